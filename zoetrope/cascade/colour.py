"""Colour drift: how a stage changes the mean and the standard deviation of each channel of its input video.

Super-resolution adds frames and detail; it has no reason to brighten, tint or fade. Shifts add up over a cascade, and
these six numbers per video reveal them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

MEAN_LIMIT = 0.02
STD_LIMIT = 0.05
"""How far a stage may shift a channel, as a share of the range from black to white, before it is worth a warning.

A mean that is off by 5 levels of 255 is visible side by side. The means of a real clip and its downsampled copy differ
by less than 0.0001. The clip's deviation is larger than its copy's, by up to 0.015 in toybox for one doubling: that is
the detail that a stage should add.
"""


@dataclass(frozen=True, kw_only=True)
class Tone:
    """The mean and the standard deviation of each channel, over all pixels of all frames; black is 0 and white is 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, video: Tensor) -> Self:
        """The tone of one video (C, F, H, W), clipped to [-1, 1]; computed frame by frame, without a copy of it."""
        frames, channels = video.shape[1], video.shape[0]
        moments = torch.empty(2, frames, channels, device=video.device)
        frame = torch.empty(channels, *video.shape[2:], device=video.device)
        for number in range(frames):
            torch.clamp(video[:, number], -1, 1, out=frame)
            # Several times as fast as torch.var_mean: sums over rows, in two passes, which is accurate enough.
            mean = frame.sum(2).mean(1) / frame.shape[2]
            rows = torch.linalg.vector_norm(frame.sub_(mean[:, None, None]), dim=2)
            moments[0, number], moments[1, number] = rows.square().mean(1) / frame.shape[2], mean
        variance, mean = moments.cpu().double()
        return cls._pooled((mean + 1) / 2, variance / 4)

    @classmethod
    def joined(cls, tones: Sequence[Self]) -> Self:
        """The tone of videos of equal length taken together."""
        mean = torch.tensor([tone.mean for tone in tones], dtype=torch.float64)
        return cls._pooled(mean, torch.tensor([tone.std for tone in tones], dtype=torch.float64).square())

    @classmethod
    def _pooled(cls, mean: Tensor, variance: Tensor) -> Self:
        """The tone of equal parts from their moments (N, C): the variance is that within parts plus that between."""
        std = (variance.mean(0) + mean.var(0, correction=0)).sqrt()
        return cls(mean=tuple(mean.mean(0).tolist()), std=tuple(std.tolist()))


@dataclass(frozen=True, kw_only=True)
class ColourShift:
    """The tone of a stage's input video and of its output."""

    input: Tone
    output: Tone

    @classmethod
    def between(cls, given: Tensor, made: Tensor) -> Self:
        """Compare two videos (C, F, H, W) in [-1, 1], of any sizes."""
        return cls(input=Tone.of(given), output=Tone.of(made))

    @classmethod
    def joined(cls, colours: Iterable[Self]) -> Self:
        """The colour of clips of equal length, taken together."""
        parts = list(colours)
        return cls(input=Tone.joined([c.input for c in parts]), output=Tone.joined([c.output for c in parts]))

    @property
    def mean_shift(self) -> tuple[float, ...]:
        """How much each channel's mean rose."""
        return tuple(after - before for before, after in zip(self.input.mean, self.output.mean, strict=True))

    @property
    def std_shift(self) -> tuple[float, ...]:
        """How much each channel's deviation rose."""
        return tuple(after - before for before, after in zip(self.input.std, self.output.std, strict=True))

    @property
    def drifts(self) -> bool:
        """Whether a channel moved further than `MEAN_LIMIT` or `STD_LIMIT`, or is not a number."""
        within = all(abs(shift) <= MEAN_LIMIT for shift in self.mean_shift)
        return not (within and all(abs(shift) <= STD_LIMIT for shift in self.std_shift))

    def __str__(self) -> str:
        return f"mean {_signed(self.mean_shift)}, deviation {_signed(self.std_shift)}"

    def to_json(self) -> dict[str, list[float] | bool]:
        """Means and deviations by channel, their shifts, and whether the colours drift."""
        values = {
            "input_mean": self.input.mean, "input_std": self.input.std,
            "output_mean": self.output.mean, "output_std": self.output.std,
            "mean_shift": self.mean_shift, "std_shift": self.std_shift,
        }  # fmt: skip
        return {name: [round(value, 5) for value in own] for name, own in values.items()} | {"drifts": self.drifts}


def _signed(shifts: Iterable[float]) -> str:
    return "(" + ", ".join(f"{shift:+.3f}" for shift in shifts) + ")"
