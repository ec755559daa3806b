"""The gain of a super-resolution stage: its video, and those of plain upsampling, against the ground truth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Literal, Self

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from zoetrope.cascade.spec import StageSpec
from zoetrope.config import Config
from zoetrope.metrics.features import FeatureNetwork, frame_distances
from zoetrope.metrics.flicker import flicker
from zoetrope.metrics.psnr import decibels, squared_error_of_frames
from zoetrope.metrics.ssim import ssim
from zoetrope.shapes import VideoShape
from zoetrope.video.resample import resize

Upsampling = Callable[[Tensor], Tensor]
Mode = Literal["bilinear", "bicubic"]


class Fidelity(Config):
    """How near a video is to the truth.

    Attributes:
        squared: mean squared error over the frames, for values in [-1, 1].
        ssim: mean over the frames.
        features: mean distance over the frames, see `zoetrope.metrics.features.frame_distances`; None if not measured.
    """

    squared: float
    ssim: float
    features: float | None = None

    @property
    def psnr(self) -> float:
        """Decibels of the mean squared error; infinity where there is none."""
        return float(decibels(torch.tensor(self.squared, dtype=torch.float64)))

    @classmethod
    def mean(cls, several: Sequence[Self]) -> Self:
        """Every measure's mean over videos; decibels are those of the mean squared error, which one exact video
        does not make infinite."""
        return cls(
            squared=fmean(one.squared for one in several),
            ssim=fmean(one.ssim for one in several),
            features=_mean_of([one.features for one in several]),
        )


def _mean_of(values: Sequence[float | None]) -> float | None:
    """Their mean, None unless all are there."""
    there = [value for value in values if value is not None]
    return fmean(there) if len(there) == len(values) else None


class StageFidelity(Config):
    """A stage's video against the truth.

    Attributes:
        every: over all frames; new: over frames that its source lacks, None for a spatial stage.
        flicker: see `zoetrope.metrics.flicker`; None for a single frame.
    """

    every: Fidelity
    new: Fidelity | None
    flicker: float | None

    @classmethod
    def mean(cls, several: Sequence[Self]) -> Self:
        """Every measure's mean over the videos of one stage."""
        new = [one.new for one in several if one.new is not None]
        return cls(
            every=Fidelity.mean([one.every for one in several]),
            new=Fidelity.mean(new) if new else None,
            flicker=_mean_of([one.flicker for one in several]),
        )


@dataclass(frozen=True)
class TrueVideo:
    """The ground truth of a stage's video, (1, C, F, H, W) in [-1, 1], and its features (1, F, D)."""

    video: Tensor
    network: FeatureNetwork | None = None
    features: Tensor | None = None

    @classmethod
    def seen(cls, video: Tensor, network: FeatureNetwork | None) -> "TrueVideo":
        """The truth, looked at once for all that is compared with it."""
        return cls(video, network, None if network is None else network.of_frames(video))


def compare(made: Tensor, truth: TrueVideo, source: VideoShape) -> StageFidelity:
    """How near `made` (1, C, F, H, W) is to the truth, for a stage that was given a video of `source`.

    Raises ValueError for videos of different shapes, and for frames that are smaller than the window of `ssim`.
    """
    made = made.clamp(-1, 1)
    measured = {"squared": squared_error_of_frames(made, truth.video), "ssim": ssim(made, truth.video)}
    if truth.network is not None and truth.features is not None:
        measured["features"] = frame_distances(truth.network.of_frames(made), truth.features)
    factor = made.shape[2] // source.frames
    new = torch.arange(made.shape[2]) % factor != 0
    return StageFidelity(
        every=_fidelity(measured),
        new=_fidelity({name: values[:, new.to(values.device)] for name, values in measured.items()})
        if factor > 1
        else None,
        flicker=float(flicker(made, truth.video).mean()) if made.shape[2] > 1 else None,
    )


def _fidelity(measured: Mapping[str, Tensor]) -> Fidelity:
    features = measured.get("features")
    return Fidelity(
        squared=float(measured["squared"].mean()),
        ssim=float(measured["ssim"].mean()),
        features=None if features is None else float(features.mean()),
    )


def plain(stage: StageSpec) -> dict[str, Upsampling]:
    """Plain ways to bring the stage's source (B, C, f, h, w) to its shape, by name: what the stage has to beat."""
    shape, source = stage.made, stage.source
    if source is None:
        raise ValueError(f"stage {stage.name!r}: expected one with a source, got one that makes videos from noise")
    ways: dict[str, Upsampling] = {"": lambda video: video}
    if shape.frames > source.frames:
        ways = {"repeat": partial(repeat, frames=shape.frames), "linear": partial(interpolated, frames=shape.frames)}
    if (shape.height, shape.width) == (source.height, source.width):
        return ways
    modes: tuple[Mode, ...] = ("bilinear", "bicubic")
    return {f"{name} {mode}".strip(): partial(_both, way, shape, mode) for name, way in ways.items() for mode in modes}


def _both(lengthen: Upsampling, shape: VideoShape, mode: Mode, video: Tensor) -> Tensor:
    return enlarge(lengthen(video), shape, mode)


def repeat(video: Tensor, frames: int) -> Tensor:
    """Every frame of (B, C, f, H, W) repeated: (B, C, frames, H, W)."""
    return video.repeat_interleave(frames // video.shape[2], dim=2)


def interpolated(video: Tensor, frames: int) -> Tensor:
    """Linear interpolation in time between given frames, frame k of f at k F / f; the last one is held."""
    factor = frames // video.shape[2]
    after = torch.cat([video[:, :, 1:], video[:, :, -1:]], 2)
    parts = [torch.lerp(video, after, step / factor) for step in range(factor)]
    return torch.stack(parts, 3).flatten(2, 3)


def enlarge(video: Tensor, shape: VideoShape, mode: Mode) -> Tensor:
    """Every frame (B, C, F, h, w) enlarged to (B, C, F, H, W), kept in [-1, 1]."""
    if mode == "bilinear":
        return resize(video, shape.height, shape.width)
    frames = video.transpose(1, 2).flatten(0, 1)
    frames = interpolate(frames, (shape.height, shape.width), mode=mode, align_corners=False).clamp(-1, 1)
    return frames.unflatten(0, (len(video), -1)).transpose(1, 2)
