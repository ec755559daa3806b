"""How well a text-to-image model of toybox makes videos without training, by routine `zero_shot`.

    python benchmarks/score_zero_shot.py --model runs/mini_image --out runs/score_zero_shot

Prompts of one flat object, as in training, each with noise of its own. Every frame is judged by itself by the analytic
recogniser: the colour, the shape and the place of the object. With an even number of noises things go to the right in
half of the videos, and to the left in the others. A frame counts if the object, seen from where it is in the first
frame, should be within the picture.

- shift: the slope of the object's place over frames, by least squares, over the motion that was asked for; 1 is right
- within 15 %: the videos of which that is between 0.85 and 1.15; videos with fewer than three such places are not
- found, colour, shape: of how many frames that holds; "first frame" is the picture that the model makes by itself
- steadiness: how far consecutive frames are apart where neither has a foreground, a share of the range

Rows: "zero_shot"; the same weights whose attention keeps to its own frame; with a smoothed background; and pictures by
themselves, of which each has noise of its own. Intervals hold 95 % and are clustered by prompt.

Below the table: whether the shift is within 15 % of what was asked for, colours and shapes are right, and backgrounds
steadier than where attention keeps to its own frame, pair by pair.

Videos are kept: started again after it was stopped, it goes on.
"""

import argparse
import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from _kept import Frames, kept, settings_of
from _moving import above, cascade_of, mean_told
from _options import positive
from _scores import lines, reached, share_told, write_whole
from numpy.typing import NDArray
from score_image import BATCH, Asked, Picture, seen, sheet

from zoetrope.cascade.grid import on_grid
from zoetrope.cascade.spec import CascadeSpec
from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.layers.attention import Looks
from zoetrope.metrics.intervals import Mean, Proportion
from zoetrope.metrics.recogniser import recognise_picture
from zoetrope.models.cascade import Cascade
from zoetrope.models.opening import OpenModel, open_model
from zoetrope.routines import Routine
from zoetrope.routines._foreground import foreground
from zoetrope.routines.straight import Straight
from zoetrope.routines.zero_shot import ZeroShot
from zoetrope.video import Video, save_image

EDGE = 0.25  # frame heights from the edge of the picture within which a place does not count
NEAR = 0.15  # of the shift
AIM = 0.85  # of colours and shapes
SHOWN = 6  # prompts on the sheets
MOVED, OWN, UNSURE = "zero_shot", "own attention", "not decided"
SMOOTHED, PICTURES = "smoothed", "pictures"


class Way(NamedTuple):
    """A row of the table: the routine of the first stage, and what its attention looks at."""

    routine: Routine
    looks: Looks


class Judged(NamedTuple):
    """A video of a prompt.

    Attributes:
        shift: over the motion that was asked for; None: the object is found in too few frames.
        frames: of each frame that counts: whether the object is found, and its colour and its shape are right.
        first: the same of the first frame.
        unsteady: the mean distance of consecutive frames in the background; None: there is none.
    """

    prompt: int
    shift: float | None
    frames: list[tuple[bool, bool, bool]]
    first: tuple[bool, bool, bool]
    unsteady: float | None


def way_of(spec: CascadeSpec, way: Way, frames: int) -> CascadeSpec:
    """The cascade with this routine, whose first stage looks at these frames."""
    spec = on_grid(tuned(spec, Tuning(routine=way.routine)), frames=frames)
    first = spec.videos[0]
    looking = first.with_(network=first.network.looking(way.looks))
    return spec.with_(stages=tuple(looking if stage.name == first.name else stage for stage in spec.stages))


def judged(video: Video, one: Asked, prompt: int, motion: float) -> Judged:
    """What a video shows of its prompt; `motion` is to the right, in frame heights a frame."""
    found = [recognise_picture(picture) for picture in video.frames]
    thing = one.script.things[0]
    hits = [(x.seen > 0, x.colour == thing.colour, x.shape == thing.shape) for x in found]
    height, width = video.frames.shape[1:3]
    inside = [
        bool(found[0].seen) and abs(found[0].x + number * motion) < width / height / 2 - EDGE
        for number in range(len(found))
    ]
    places = [(number, x.x) for number, x in enumerate(found) if inside[number] and x.seen]
    shift = None
    if motion and len(places) >= 3:
        shift = float(np.polyfit(*zip(*places, strict=True), 1)[0]) / motion
    counted = [hit for number, hit in enumerate(hits) if number and inside[number]]
    return Judged(prompt, shift, counted, hits[0], unsteadiness(video.frames))


def unsteadiness(frames: NDArray[np.uint8]) -> float | None:
    """How far consecutive frames are apart where neither has a foreground, a share of the range; None: nowhere."""
    video = torch.from_numpy(frames).permute(3, 0, 1, 2)[None].double() / 255
    before = foreground(video, 2)[0, 0]
    behind = ~(before[1:] | before[:-1])
    if not behind.any():
        return None
    return float((video[0, :, 1:] - video[0, :, :-1]).abs().mean(0)[behind].mean())


def made(
    model: OpenModel, way: Way, prompts: Sequence[Asked], options: argparse.Namespace
) -> tuple[list[Judged], list[list[Picture]]]:
    """Every video of every prompt, judged, and the frames of the first ones."""
    found, pictures = list[Judged](), list[list[Picture]]()
    for noise in range(options.noises):
        pixels = options.motion * (-1) ** noise
        routine = way.routine.with_(motion=(0.0, pixels)) if isinstance(way.routine, ZeroShot) else way.routine
        spec = way_of(model.spec, way._replace(routine=routine), options.frames)
        motion = pixels / spec.videos[0].shape.height if isinstance(routine, ZeroShot) else 0.0
        own, last = model._replace(spec=spec), spec.until(options.until)[-1]
        cascade, settings = cascade_of(own), settings_of(own, spec.until(options.until))
        for start in range(0, len(prompts), BATCH // 4):
            part = range(start, min(start + BATCH // 4, len(prompts)))
            texts = [prompts[number].text for number in part]
            make = partial(_batch, cascade, texts, noise, part, options.until)
            videos = kept(options.out / "videos", [*settings, noise, [*part], texts], make)
            for number, frames in zip(part, videos, strict=True):
                video = Video(frames, last.made.fps)
                found.append(judged(video, prompts[number], number, motion))
                if number < SHOWN and noise < 2:
                    pictures.append(list(video.frames))
    return found, pictures


def _batch(cascade: Cascade, texts: Sequence[str], seed: int, part: range, until: str | None) -> Frames:
    """The videos (B, F, H, W, 3) of prompts after the last stage."""
    for now in cascade.stream(texts, seed=seed, samples=part, until=until):
        videos = now.videos() if now.done else []
    return np.stack([video.frames for video in videos])


def summary(found: Sequence[Judged], moves: bool = True) -> dict[str, Any]:
    """Means and shares with their intervals, clustered by prompt; `moves`: whether motion was asked for."""
    shifts = [(one.shift, one.prompt) for one in found if one.shift is not None]
    told: dict[str, Any] = {"videos": len(found)}
    if shifts:
        told["shift"] = dict(Mean.of([value for value, _ in shifts], [prompt for _, prompt in shifts]).to_json())
    if moves:
        near = [one.shift is not None and abs(one.shift - 1) < NEAR for one in found]
        told["within 15 %"] = dict(Proportion.of(near, [one.prompt for one in found]).to_json())
    for place, name in enumerate(("found", "colour", "shape")):
        hits = [(frame[place], one.prompt) for one in found for frame in one.frames]
        first = [(one.first[place], one.prompt) for one in found]
        for where, values in ((name, hits), (f"first frame: {name}", first)):
            if values:
                told[where] = dict(Proportion.of([hit for hit, _ in values], [own for _, own in values]).to_json())
    steady = [(one.unsteady, one.prompt) for one in found if one.unsteady is not None]
    if steady:
        told["steadiness"] = dict(Mean.of([value for value, _ in steady], [own for _, own in steady]).to_json())
    return told


def steadier(found: Sequence[Judged], other: Sequence[Judged]) -> dict[str, Any] | None:
    """How much farther consecutive frames are apart in one's backgrounds than in the other's, pair by pair of the same
    prompt and noise: below 0 one is steadier. None: no pair has a background."""
    pairs = [
        (one.unsteady - two.unsteady, one.prompt)
        for one, two in zip(found, other, strict=True)
        if one.unsteady is not None and two.unsteady is not None
    ]
    return dict(Mean.of([value for value, _ in pairs], [own for _, own in pairs]).to_json()) if pairs else None


def verdicts(scores: dict[str, dict[str, Any]]) -> str:
    """Whether the aims are reached, a line each."""
    if (told := scores.get(MOVED)) is None:
        return ""
    text = ""
    if (shift := told.get("shift")) is not None:
        half = math.inf if shift["half"] is None else shift["half"]  # of a single prompt
        low, high = shift["value"] - half, shift["value"] + half
        near = "yes" if low >= 1 - NEAR and high <= 1 + NEAR else "no" if high < 1 - NEAR or low > 1 + NEAR else UNSURE
        text += f"\n\nshift within 15 %: {near}"
    elif "within 15 %" in told:
        text += "\n\nshift within 15 %: no, for no video has one"
    for name in ("colour", "shape"):
        if name in told:
            text += f"\n\n{name} right in {100 * AIM:g} %: {reached(told[name], AIM)}"
    if (apart := told.get("steadier")) is not None:
        text += f"\n\nsteadier than with its own attention: {above(apart, -1)}, by {mean_told(apart, 3)} of the range"
    return text


SHARES = ("within 15 %", "found", "colour", "shape", "first frame: colour", "first frame: shape")


def table(scores: dict[str, dict[str, Any]]) -> str:
    """A line for each row."""
    rows = [
        (
            name,
            str(told["videos"]),
            mean_told(told.get("shift"), 3),
            *(share_told(told.get(share)) for share in SHARES),
            mean_told(told.get("steadiness"), 3),
        )
        for name, told in scores.items()
    ]
    return lines(("way", "videos", "shift", *SHARES, "steadiness"), rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, judge, write. Raises ValueError for a model that makes videos."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", nargs="+", required=True, help="a folder of a model or of runs, or several")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--prompts", type=positive, default=48)
    parser.add_argument("--noises", type=positive, default=2, help="videos of each prompt")
    parser.add_argument("--frames", type=positive, default=8)
    parser.add_argument("--motion", type=float, default=2.0, help="pixels a frame, of the first stage")
    parser.add_argument("--fields", default="{}", help="other fields of zero_shot, as JSON")
    parser.add_argument("--until", help="last stage to run")
    parser.add_argument("--rows", nargs="*", choices=(MOVED, OWN, SMOOTHED, PICTURES), help="only these rows")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    model, prompts = open_model(options.model), seen(options.prompts)
    plain = ZeroShot.from_json({"type": "zero_shot", **json.loads(options.fields)})
    ways = {
        MOVED: Way(plain, "first"),
        OWN: Way(plain, "own"),
        SMOOTHED: Way(plain.with_(smoothing=0.6), "first"),
        PICTURES: Way(Straight(), "own"),
    }
    scores, every = dict[str, dict[str, Any]](), dict[str, list[Judged]]()
    for name, way in ways.items():
        if options.rows and name not in options.rows:
            continue
        every[name], pictures = made(model, way, prompts, options)
        scores[name] = summary(every[name], moves=options.motion != 0)
        save_image(options.out / f"{name.replace(' ', '_')}.png", sheet(pictures))
        print(table({name: scores[name]}), flush=True)
    if {MOVED, OWN} <= every.keys():
        scores[MOVED]["steadier"] = steadier(every[MOVED], every[OWN])
    print(verdicts(scores), flush=True)
    write_whole(options.out / "table.md", table(scores) + verdicts(scores) + "\n")
    write_whole(options.out / "scores.json", json.dumps({"fields": plain.to_json(), "scores": scores}, indent=1) + "\n")


if __name__ == "__main__":
    main()
