"""What the recogniser says of pictures and videos of toybox, and what a super-resolved video lacks of the truth.

Everything is measured clip by clip, so that arms can be compared on the same clip.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zoetrope.data.toybox.held_out import held_out
from zoetrope.data.toybox.prompts import Prompt
from zoetrope.data.toybox.render import render
from zoetrope.data.toybox.scene import scene
from zoetrope.data.toybox.vocabulary import COLOURS, FLAT_SHAPES, MOTIONS
from zoetrope.metrics.flicker import flicker
from zoetrope.metrics.psnr import decibels, squared_error_of_frames
from zoetrope.metrics.recogniser import recognise
from zoetrope.shapes import VideoShape
from zoetrope.video import Video
from zoetrope.video.resample import degrade

MOVING = 8  # frames
EDGE = 0.98  # values beyond it count as saturated
CHANCE = {"colour": 1 / len(COLOURS), "shape": 1 / len(FLAT_SHAPES)}
CHANCE["all"] = CHANCE["colour"] * CHANCE["shape"]  # of pictures, and of clips too short to show a motion
CHANCE_MOVING = {**CHANCE, "motion": 1 / len(MOTIONS), "all": CHANCE["all"] / len(MOTIONS)}

Columns = dict[str, list[float]]


def hits(videos: Tensor, prompts: Sequence[Prompt], fps: float) -> Columns:
    """Of each of these videos (B, C, F, H, W), 1 or 0: whether it shows its prompt's colour, shape, motion, and all.

    The motion of so few frames that the recogniser reads none, not even in true clips, is not judged.
    """
    aspects = ("colour", "shape", "motion") if videos.shape[2] >= MOVING else ("colour", "shape")
    found: Columns = {aspect: [] for aspect in (*aspects, "all")}
    for video, prompt in zip(videos, prompts, strict=True):
        shown = Video.from_tensor(video, fps)
        seen, thing = recognise(shown.frames, shown.fps), prompt.script.things[0]
        truth = {"colour": thing.colour, "shape": thing.shape, "motion": prompt.script.motion}
        right = [float(getattr(seen, aspect) == truth[aspect]) for aspect in aspects]
        for aspect, hit in zip(found, [*right, min(right)], strict=True):
            found[aspect].append(hit)
    return found


def constant(prompts: Sequence[Prompt], aspect: str) -> float:
    """The share that is right of the one answer that is right most often."""
    things = [prompt.script.things[0] for prompt in prompts]
    answers = [(thing.colour, thing.shape) if aspect == "all" else getattr(thing, aspect) for thing in things]
    return max(map(answers.count, answers)) / len(answers)


def saturation(videos: Tensor) -> list[float]:
    """Of each video the share of its values that lie beyond EDGE on either side."""
    shares: list[float] = (videos.abs() > EDGE).double().flatten(1).mean(1).tolist()
    return shares


def filmed(prompts: Sequence[Prompt], shape: VideoShape, take: int = 0) -> Tensor:
    """True clips (B, C, F, H, W) of what prompts tell, one each; another take has other places, sizes and hues."""
    seeds = range(take * len(prompts), (take + 1) * len(prompts))
    made = [render(scene(prompt.script, seed), shape) for prompt, seed in zip(prompts, seeds, strict=True)]
    return torch.stack([torch.from_numpy(frames).permute(3, 0, 1, 2).float() * 2 - 1 for frames in made])


def restored(made: Tensor, truth: Tensor) -> Columns:
    """How far each video (B, C, F, H, W) is from the truth.

    psnr: decibels of its mean squared error. flicker: see `zoetrope.metrics.flicker`, in per cent. shift: how far the
    mean colour of the video lies from the truth's, the mean over channels, in steps of 255.
    """
    made = made.clamp(-1, 1)
    shift = (made.mean((2, 3, 4)) - truth.mean((2, 3, 4))).abs().mean(1) * 127.5
    return {
        "psnr": decibels(squared_error_of_frames(made, truth).mean(1)).tolist(),
        "flicker": (100 * flicker(made, truth)).tolist(),
        "shift": shift.tolist(),
    }


def clips(count: int, shape: VideoShape, first: int = 0) -> tuple[Tensor, list[str]]:
    """Clips of toybox that no training sees, (B, C, F, H, W), and their captions."""
    examples = [held_out(number, shape) for number in range(first, first + count)]
    return torch.stack([example.video for example in examples]), [example.text for example in examples]


def small(truth: Tensor, source: VideoShape) -> Tensor:
    """What a super-resolution stage is given of true clips."""
    return degrade(truth, source)


def put_together(several: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Columns of each repeat as tables (R, C)."""
    return {key: [one[key] for one in several] for key in several[0]}
