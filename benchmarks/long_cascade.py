"""Videos of a minute through the cascade: what their ends show, how far colours drift, and how much memory they take.

    python benchmarks/long_cascade.py --model mini --until ssr2 --number 4 --out runs/long_cascade

Every video is made by `zoetrope generate --seconds S` in a process of its own, whose largest resident memory is kept;
one of five seconds of the same prompt is made in the same way, for comparison. Prompts are flat things of toybox's long
world on backgrounds that stay as they are, every second of which turns into another colour; the recogniser reads the
last five seconds of the file. The drift of the background is the distance of its colour in the last five seconds from
the one that is told, and from that of the first five, in steps of 255; true clips of the same prompts are read as a
ceiling.

Prints one line of JSON a video, and writes scores.json and a contact sheet. Videos are kept: started again after it was
stopped, it goes on.
"""

import argparse
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _kept import digest, kept_value, settings_of
from _options import positive

from zoetrope.cascade.long.film import folder_of
from zoetrope.data.toybox.course import draw as drawn
from zoetrope.data.toybox.long import LongPrompt, long_prompts
from zoetrope.data.toybox.story import DAYS
from zoetrope.data.toybox.vocabulary import BACKGROUNDS, FLAT_SHAPES
from zoetrope.metrics.intervals import Mean, Proportion
from zoetrope.metrics.recogniser import foreground, recognise
from zoetrope.models.opening import open_model
from zoetrope.shapes import VideoShape
from zoetrope.video import Video, contact_sheet, read, save_image

SHORT, LAST = 5.0, 5.0  # seconds
TRUE = VideoShape(frames=1, height=24, width=40, fps=3)  # of the true clips that are read beside the videos


def main(arguments: Sequence[str] | None = None) -> None:
    """Make, judge, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--until", default="ssr2")
    parser.add_argument("--number", type=positive, default=4, help="prompts")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--scheme", default="hierarchy")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    model = open_model(options.model)
    settings = settings_of(model, model.spec.until(options.until))
    told: list[dict[str, Any]] = []
    sheet: list[Video] = []
    for number, prompt in enumerate(chosen(options.number, options.seconds)):
        short = made(prompt, SHORT, number, settings, options)
        one = made(prompt, options.seconds, number, settings, options)
        video = read(one["file"])
        clip = _true(prompt, options.seconds)
        one |= {"judged": judged(video, prompt), "true clip": judged(clip, prompt)}
        one["memory against 5 seconds"] = one["peak_bytes"] / short["peak_bytes"]
        told.append(one)
        sheet += [_eight(clip), _eight(video)]
        print(json.dumps(one), flush=True)
    scores = {"videos": told, "summary": summary(told)}
    print(json.dumps(scores["summary"], indent=1))
    (options.out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    save_image(options.out / "videos.png", contact_sheet(sheet, 1))


def chosen(number: int, seconds: float) -> list[LongPrompt]:
    """Flat things on backgrounds that stay as they are; every second one turns into another colour."""
    found = [one for one in long_prompts(12 * number + 24, seconds, seed=7) if _plain(one)]
    turning, staying = ([one for one in found if bool(one.story.becomes) == turns] for turns in (True, False))
    return [one for pair in zip(turning, staying, strict=False) for one in pair][:number]


def _plain(one: LongPrompt) -> bool:
    return one.story.thing.shape in FLAT_SHAPES and one.story.background != DAYS


def made(
    prompt: LongPrompt, seconds: float, sample: int, settings: Sequence[Any], options: argparse.Namespace
) -> dict[str, Any]:
    """A video of the prompt, made by the command line in a process of its own: its file, memory and seconds.

    `settings` are all that decides what the model makes of a request. One that was made before stays, with what was
    measured then; one that was interrupted is made anew, for its memory is that of all of it.
    """
    scheme = ["--scheme", options.scheme] if seconds > SHORT else []
    asked = digest([*settings, prompt.text, seconds, scheme])
    file = options.out / f"{sample}-{seconds:g}-{asked}.mp4"
    words = ["generate", prompt.text, "--model", options.model, "--until", options.until, "--seconds", f"{seconds:g}"]
    words += [*scheme, "--seed", str(sample), "--quiet", "-o", str(file)]
    value = file.with_suffix(".json")
    if not file.exists():
        value.unlink(missing_ok=True)
    return {"file": str(file), **kept_value(value, partial(_run, words, prompt, seconds, file))}


def _run(words: Sequence[str], prompt: LongPrompt, seconds: float, file: Path) -> dict[str, Any]:
    """Run the command line, which makes the file."""
    file.unlink(missing_ok=True)
    shutil.rmtree(folder_of(file), ignore_errors=True)
    start = time.perf_counter()
    child = os.posix_spawn(sys.executable, [sys.executable, "-m", "zoetrope", *words], dict(os.environ))
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"zoetrope {' '.join(words)}: exit status {os.waitstatus_to_exitcode(status)}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    wall = time.perf_counter() - start
    return {"prompt": prompt.text, "seconds": seconds, "peak_bytes": peak, "took": round(wall, 1)}


def judged(video: Video, prompt: LongPrompt) -> dict[str, float]:
    """What a video's last five seconds show, and how far the background's colour is from what it was and should be."""
    story, last = prompt.story, round(LAST * video.fps)
    seen = recognise(video.frames[-last:], video.fps)
    colour, shape = seen.colour == story.colours[-1], seen.shape == story.thing.shape
    first, end = _behind(video.frames[:last]), _behind(video.frames[-last:])
    told = BACKGROUNDS[story.background]
    truth = np.asarray([*told.top, *told.bottom], float)
    return {
        "colour": float(colour),
        "shape": float(shape),
        "both": float(colour and shape),
        "background off": _apart(end, truth),
        "background moved": _apart(end, first),
    }


def _behind(frames: np.ndarray) -> np.ndarray:
    back = foreground.backdrop(foreground.working(frames))
    return np.asarray([*back.top, *back.bottom], float)


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return 255 * math.sqrt(float(np.square(one - other).mean()))


def _true(prompt: LongPrompt, seconds: float) -> Video:
    shape = TRUE.with_(frames=round(seconds * TRUE.fps))
    return Video((drawn(prompt.course, shape) * 255).round().astype(np.uint8), TRUE.fps)


def _eight(video: Video) -> Video:
    """Eight frames of a video, as small as those of true clips, for a sheet."""
    step = max(1, video.frames.shape[1] // TRUE.height)
    return Video(video.frames[:: max(1, len(video.frames) // 8), ::step, ::step][:8], 1)


def summary(told: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Shares and means over the videos, with their intervals."""
    found: dict[str, Any] = {}
    prompts = list(range(len(told)))
    for kind in ("judged", "true clip"):
        for name in told[0][kind]:
            values = [one[kind][name] for one in told]
            shares = name in ("colour", "shape", "both")
            one = Proportion.of([bool(v) for v in values], prompts) if shares else Mean.of(values, prompts)
            found[f"{kind}, {name}"] = dict(one.to_json())
    ratios = [one["memory against 5 seconds"] for one in told]
    found["memory against 5 seconds"] = dict(Mean.of(ratios, prompts).to_json()) | {"largest": max(ratios)}
    return found


if __name__ == "__main__":
    main()
