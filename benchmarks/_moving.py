"""How videos move: measures of each, ratios to those of true clips with their intervals, and tables of both."""

import argparse
import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _options import positive

from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.data.toybox.prompts import SEED
from zoetrope.data.toybox.render import render
from zoetrope.data.toybox.scene import Script, scene
from zoetrope.metrics.intervals import Mean
from zoetrope.metrics.recogniser import follow, recognise
from zoetrope.metrics.recogniser.course import unexplained
from zoetrope.metrics.steadiness import flicker_alone, shake, together
from zoetrope.models.cascade import Cascade
from zoetrope.models.opening import OpenModel, open_model
from zoetrope.models.precision import compute_dtype
from zoetrope.shapes import VideoShape
from zoetrope.video import Video

MEASURES = ("path error", "shake", "flicker")
WAY = "way"
TRUE, SHUFFLED, CHANCE = "true clips", "true clips, shuffled", "another's clip"
SCENES = 9_500_000  # the true clips are numbered from here
Clips = list[list[Video]]


def arguments_of(description: str | None) -> argparse.ArgumentParser:
    """The arguments of every score of videos."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--model", nargs="+", required=True, help="a folder of runs or of a model, or several")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--prompts", type=positive, default=64)
    parser.add_argument("--noises", type=positive, default=2, help="videos of each prompt")
    parser.add_argument("--until", help="last stage to run; the default is the whole cascade")
    parser.add_argument("--steps", type=positive, help="denoising steps of every stage, for a quick look")
    return parser


def opened(names: Sequence[str], steps: int | None) -> tuple[OpenModel, Cascade]:
    """A model and its cascade, on the GPU if there is one. Raises ValueError for a model of single pictures."""
    model = open_model(names)
    model = model if steps is None else model._replace(spec=tuned(model.spec, Tuning(steps=steps)))
    if not model.spec.videos or model.spec.videos[-1].shape.frames < 2:
        raise ValueError(f"{', '.join(names)}: expected a model of videos, got one of single pictures")
    return model, cascade_of(model)


def cascade_of(model: OpenModel) -> Cascade:
    """The cascade of a model, on the GPU if there is one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Cascade.of(model, device=device, dtype=compute_dtype(device))


def movement(video: Video) -> dict[str, Any]:
    """A video's MEASURES, None for what cannot be told, its WAY, the length of its path in heights, and its motion."""
    path, _ = follow(video.frames, video.fps)
    followed = len(path.times) >= 6
    return {
        "path error": unexplained(path) if followed else None,
        "shake": shake(path, video.fps),
        "flicker": float(flicker_alone(together([video.frames]))[0]),
        WAY: float(np.hypot(np.diff(path.x), np.diff(path.y)).sum()) if followed else None,
        "motion": recognise(video.frames, video.fps).motion,
    }


def true_clips(scripts: Sequence[Script], noises: int, shape: VideoShape) -> Clips:
    """`noises` true clips of each script, no two of one scene."""
    return [[true_clip(one, noises * n + k, shape) for k in range(noises)] for n, one in enumerate(scripts)]


def true_clip(script: Script, number: int, shape: VideoShape) -> Video:
    """A true clip of a script; `number` says which."""
    frames = render(scene(script, SCENES + number), shape)
    return Video((frames * 255).round().astype(np.uint8), shape.fps)


def shuffled(video: Video, number: int) -> Video:
    """The video with its frames in another order, which `number` draws."""
    rng = np.random.default_rng(np.random.SeedSequence([SEED, number]))
    return Video(video.frames[rng.permutation(len(video.frames))], video.fps)


def ratio(values: Sequence[float], others: Sequence[float], clusters: Sequence[Hashable]) -> dict[str, Any]:
    """The mean of values over that of others, pair by pair of one cluster, with its interval by linearisation.

    None and no interval where the others have a mean of 0; no interval for a single cluster.
    """
    below = math.fsum(others) / len(others)
    told: dict[str, Any] = {"value": None, "low": None, "high": None, "samples": len(values)}
    told["clusters"] = len(set(clusters))
    if below == 0:
        return told
    value = math.fsum(values) / len(values) / below
    half = Mean.of([(a - value * b) / below for a, b in zip(values, others, strict=True)], clusters).half
    return told | {"value": value} | ({} if half is None else {"low": value - half, "high": value + half})


def against(made: Sequence[Sequence[Mapping[str, Any]]], true: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Each measure's mean and its ratio to that of true clips of the same prompts; [prompt][video].

    A second ratio, "at equal motions", is to the mean of all true clips of the motion that the recogniser names in the
    video, for what is at rest does not shake. Pairs of which one cannot be measured are left out, and counted.
    """
    usual = {name: _by_motion(true, name) for name in (*MEASURES, WAY)}
    told: dict[str, Any] = {"videos": sum(map(len, made)), "prompts": len(made), "measures": {}}
    for name in (*MEASURES, WAY):
        pairs = [
            (one[name], other[name], usual[name].get(one["motion"], usual[name][None]), number)
            for number, (several, clips) in enumerate(zip(made, true, strict=True))
            for one, other in zip(several, clips, strict=True)
            if one[name] is not None and other[name] is not None
        ]
        if not pairs:
            continue
        values, others, same, clusters = (list(column) for column in zip(*pairs, strict=True))
        told["measures"][name] = {
            "mean": dict(Mean.of(values, clusters).to_json()),
            "ratio": ratio(values, others, clusters),
            "at equal motions": ratio(values, same, clusters),
        }
    return told


def _by_motion(true: Sequence[Sequence[Mapping[str, Any]]], name: str) -> dict[str | None, float]:
    """The mean of a measure over true clips of each motion that is seen; None: of all."""
    every = [one for several in true for one in several if one[name] is not None]
    motions = {None} | {one["motion"] for one in every}
    found: dict[str | None, float] = {}
    for motion in motions:
        values = [one[name] for one in every if motion is None or one["motion"] == motion]
        found[motion] = math.fsum(values) / max(1, len(values))
    return found


def within(told: Mapping[str, Any], share: float) -> str:
    """Whether a ratio is that near to 1: "yes" if its whole interval is, "no" if none of it is."""
    if told["low"] is None:
        return "not decided"
    if 1 - share <= told["low"] and told["high"] <= 1 + share:
        return "yes"
    return "no" if told["high"] < 1 - share or told["low"] > 1 + share else "not decided"


def mean_told(told: Mapping[str, Any] | None, digits: int = 4) -> str:
    """ "0.0123 (0.0101 to 0.0145)" of a mean or a ratio."""
    if told is None or told["value"] is None:
        return "-"
    value, half = told["value"], told.get("half")
    low, high = told.get("low"), told.get("high")
    if half is not None:
        low, high = value - half, value + half
    interval = "" if low is None or low == high else f" ({low:.{digits}g} to {high:.{digits}g})"
    return f"{value:.{digits}g}{interval}"


def above(value: Mapping[str, Any], sign: int) -> str:
    """Whether a difference's whole interval lies on this side of 0."""
    if value["half"] is None:
        return "not decided"
    middle = sign * value["value"]
    return "yes" if middle > value["half"] else "no" if middle < -value["half"] else "not decided"
