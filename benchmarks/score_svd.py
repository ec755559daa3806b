"""Videos of a picture: is it kept, does as much move as is asked, and does the prompt tell the rest?

    python benchmarks/score_svd.py --model runs/svd --out runs/score_svd

Pictures are the first frames of toybox clips whose colour and shape are combined as in no clip of the training.

- "kept": the PSNR of a video's first frame to the picture, in dB, up to 50, and how near the codec alone comes;
- "shown": the shares of videos in which the analytic recogniser sees the colour and the shape of the picture, and the
  motion of the clip, which only a prompt tells;
- "motion": the motion that is measured (`zoetrope.video.motion`) at each strength that is asked for, from the picture
  alone. It rises monotonically if of every two neighbouring strengths the larger one gives more, pair by pair of one
  picture and noise, in all of the interval.

Beside the videos stand stills of the picture, and true clips. Intervals hold 95 % and are clustered by picture.

Prints the tables; writes table.md, scores.json and a sheet of pictures. Videos are kept: started again after it was
stopped, it goes on.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from _judging import summary, verdicts
from _kept import Frames, kept, settings_of, write_json
from _moving import TRUE, above, cascade_of, mean_told, true_clips
from _options import positive
from _scores import lines, mean_reached, share_told, write_whole
from score_known import CEILING, decibels, mean
from score_latents import codec_of, recoded

from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.data.toybox.prompts import Prompt, combinations
from zoetrope.inputs.motion_strength import NAME as MOTION
from zoetrope.models.cascade import Cascade
from zoetrope.models.opening import OpenModel, open_model
from zoetrope.video import Video, contact_sheet, save_image
from zoetrope.video.motion import motion_strength

STRENGTHS = (1.0, 2.0, 4.0, 6.0, 8.0, 10.0)  # toybox's clips have 1 to 10
ALONE, TOLD = "picture alone", "picture and prompt"
STILL, RECODED = "stills", "true clips, encoded and decoded"
GOOD = 30.0  # dB, the aim of the first frame
Videos = list[list[Video]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, judge, write. Raises ValueError for a model that takes no picture, or has no latents."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", nargs="+", required=True, help="folders of runs or of a model")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=positive, default=64)
    parser.add_argument("--noises", type=positive, default=2, help="videos of each picture")
    parser.add_argument("--strengths", nargs="*", type=float, default=list(STRENGTHS))
    parser.add_argument("--first", type=float, help="weight of guidance in the first frame; by default the model's")
    options = parser.parse_args(arguments)
    model = opened(options.model)
    if options.first is not None:
        fields = [(f"{model.spec.stages[0].name}.sampling.guidance.first", options.first)]
        model = model._replace(spec=tuned(model.spec, Tuning(fields=fields)))
    options.out.mkdir(parents=True, exist_ok=True)
    prompts, stage = moving(options.pictures), model.spec.stages[0]
    clips = true_clips([one.script for one in prompts], options.noises, stage.codec.pixels(stage.shape))
    videos = filmed(model, prompts, clips, options)
    network = codec_of(model)
    videos[RECODED] = [[recoded(network, several[0])] for several in clips]
    videos[STILL] = [[still(several[0])] for several in clips]
    videos[TRUE] = clips
    strengths = strengths_of(options.strengths)
    told = {
        "kept": {name: first_frames(videos[name], clips) for name in (ALONE, TOLD, *strengths, RECODED)},
        "shown": {
            name: summary(verdicts("combinations", prompts, videos[name])) for name in (ALONE, TOLD, STILL, TRUE)
        },
        "motion": {name: moved(videos[name]) for name in (ALONE, *strengths, STILL, TRUE)},
        "more motion": {f"{b} - {a}": more(videos[a], videos[b]) for a, b in pairwise(strengths)},
    }
    some = [one for n in range(min(6, len(prompts))) for one in (clips[n][0], videos[ALONE][n][0], videos[TOLD][n][0])]
    save_image(options.out / "videos.png", contact_sheet(some, 1))
    write_json(options.out / "scores.json", {"of": settings_of(model, (stage,)), "scores": told})
    write_whole(options.out / "table.md", table(told) + "\n")
    print(table(told))


def opened(names: Sequence[str]) -> OpenModel:
    """The model. Raises ValueError for one that takes no picture, or has no latents."""
    model = open_model(names)
    inputs = {one.name for one in model.spec.stages[0].inputs}
    if missing := {"picture", "first_frame", MOTION} - inputs:
        raise ValueError(
            f"{' '.join(names)}: expected a model of a picture, got one without {', '.join(sorted(missing))}"
        )
    if model.codec is None:
        raise ValueError(f"{' '.join(names)}: expected a model of latents, got one of pixels")
    return model


def moving(number: int) -> list[Prompt]:
    """Held-out combinations of one thing that moves."""
    return [one for one in combinations(2 * number + 16) if one.script.motion != "still"][:number]


def filmed(
    model: OpenModel, prompts: Sequence[Prompt], clips: Videos, options: argparse.Namespace
) -> dict[str, Videos]:
    """Videos that begin with the first frame of each prompt's first clip: as many noises in every way of asking."""
    cascade, settings = cascade_of(model), settings_of(model, model.spec.stages[:1])
    strengths = dict(zip(strengths_of(options.strengths), options.strengths, strict=True))
    rows: dict[str, Videos] = {name: [] for name in (ALONE, TOLD, *strengths)}
    for number, (prompt, several) in enumerate(zip(prompts, clips, strict=True)):
        noises = [number * options.noises + noise for noise in range(options.noises)]
        for name, videos in rows.items():
            text, strength = prompt.text if name == TOLD else None, strengths.get(name)
            asked = [settings, number, prompt.text, text, noises, strength]
            picture = Video(several[0].frames[:1], several[0].fps)
            given = {"picture": picture, **({} if strength is None else {MOTION: strength})}
            make = partial(sampled, cascade, [text] * len(noises), noises, given)
            videos.append([Video(one, picture.fps) for one in kept(options.out / "videos", asked, make)])
    return rows


def sampled(cascade: Cascade, texts: Sequence[str | None], samples: Sequence[int], given: dict[str, Any]) -> Frames:
    """Videos (B, F, H, W, 3) in one batch."""
    *_, last = cascade.stream(texts, seed=0, samples=samples, given=given)
    return np.stack([video.frames for video in last.videos()])


def strengths_of(values: Sequence[float]) -> list[str]:
    """The names of what is asked for by its strength."""
    return [f"strength {value:g}" for value in values]


def still(clip: Video) -> Video:
    """The first frame for as long as the clip."""
    return Video(np.repeat(clip.frames[:1], len(clip.frames), 0), clip.fps)


def over(values: list[list[float]]) -> dict[str, Any]:
    """The mean over pictures of videos, clustered by picture."""
    return mean([(value, number) for number, row in enumerate(values) for value in row])


def first_frames(videos: Videos, clips: Videos) -> dict[str, Any]:
    """The PSNR of the first frames to those of each prompt's first clip."""
    firsts = [several[0].frames[:1] for several in clips]
    pairs = zip(videos, firsts, strict=True)
    return over([[min(CEILING, decibels(one.frames[:1], first)) for one in row] for row, first in pairs])


def strength(video: Video) -> float:
    """How much moves in a video."""
    return float(motion_strength(video.to_tensor()[None], video.fps)[0])


def moved(videos: Videos) -> dict[str, Any]:
    """The mean motion of videos."""
    return over([[strength(one) for one in row] for row in videos])


def more(less: Videos, videos: Videos) -> dict[str, Any]:
    """How much more moves, pair by pair."""
    pairs = [list(zip(*each, strict=True)) for each in zip(videos, less, strict=True)]
    return over([[strength(a) - strength(b) for a, b in row] for row in pairs])


def table(told: dict[str, Any]) -> str:
    """All tables as Markdown."""
    rows = [(name, mean_told(one), mean_reached(one, GOOD)) for name, one in told["kept"].items()]
    parts = [lines(("first frame", "PSNR, dB", f"{GOOD:g} reached"), rows)]
    aspects = ("colour", "shape", "motion")
    shares = [(name, *(share_told(one["aspects"][each]) for each in aspects)) for name, one in told["shown"].items()]
    parts.append(lines(("videos", *aspects), shares))
    parts.append(lines(("motion", "measured"), [(name, mean_told(one)) for name, one in told["motion"].items()]))
    differences = [(name, mean_told(one), above(one, 1)) for name, one in told["more motion"].items()]
    parts.append(lines(("difference", "measured", "more"), differences))
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
