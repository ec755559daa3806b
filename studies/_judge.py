"""What the recogniser says of pictures and videos of toybox, and what a super-resolved video lacks of the truth."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoetrope.data.toybox.prompts import Prompt
from zoetrope.metrics.psnr import decibels
from zoetrope.metrics.recogniser import recognise
from zoetrope.video import Video

MOVING = 8  # frames


def shares(videos: Tensor, prompts: Sequence[Prompt], fps: float) -> dict[str, float]:
    """Of videos (B, C, F, H, W) the share whose colour, shape and motion are what their prompts say, and all three.

    The motion of so few frames that the recogniser reads none, not even in true clips, is not judged.
    """
    aspects = ("colour", "shape", "motion") if videos.shape[2] >= MOVING else ("colour", "shape")
    right = {aspect: 0 for aspect in (*aspects, "all")}
    for video, prompt in zip(videos, prompts, strict=True):
        shown = Video.from_tensor(video, fps)
        seen, thing = recognise(shown.frames, shown.fps), prompt.script.things[0]
        truth = {"colour": thing.colour, "shape": thing.shape, "motion": prompt.script.motion}
        hits = [getattr(seen, aspect) == truth[aspect] for aspect in aspects]
        for aspect, hit in zip(right, [*hits, all(hits)], strict=True):
            right[aspect] += hit
    return {aspect: count / len(videos) for aspect, count in right.items()}


def restored(made: Tensor, truth: Tensor) -> dict[str, float]:
    """How far videos (B, C, F, H, W) are from the truth.

    `psnr` is of the mean squared error over all; `shift` the mean over videos and channels of how far the mean colour
    lies from the truth's, in steps of 255.
    """
    squared = (made - truth).square().mean()
    shift = (made.mean((2, 3, 4)) - truth.mean((2, 3, 4))).abs().mean() * 127.5
    return {"psnr": float(decibels(squared)), "shift": float(shift)}


def clips(count: int, shape: Any, first: int = 0) -> tuple[Tensor, list[str]]:
    """Clips of toybox that no training sees, (B, C, F, H, W), and their captions."""
    from zoetrope.data.toybox.held_out import held_out

    examples = [held_out(number, shape) for number in range(first, first + count)]
    return torch.stack([example.video for example in examples]), [example.text for example in examples]
