"""The video as a value: pictures for people, and the way to and from tensors."""

import logging
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from zoetrope.video.writing import Seal, Writer, check_output, open_writer

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, repr=False)
class Video:
    """Pictures in sRGB, frames (F, H, W, 3) uint8, of which `fps` are shown a second.

    Raises ValueError for another type or shape, for no pictures, and for a frame rate that is not positive.
    """

    frames: np.ndarray
    fps: float

    def __post_init__(self) -> None:
        if self.frames.dtype != np.uint8 or self.frames.ndim != 4 or self.frames.shape[3] != 3:
            raise ValueError(f"Video.frames: expected (F, H, W, 3) uint8, got {self.frames.shape} {self.frames.dtype}")
        if 0 in self.frames.shape:
            raise ValueError(f"Video.frames: expected at least one picture and one pixel, got {self.frames.shape}")
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"Video.fps: expected a positive number, got {self.fps}")

    def __repr__(self) -> str:
        frames, height, width, _ = self.frames.shape
        return f"Video({frames} frames of {height}x{width} at {self.fps:g} fps)"

    def _repr_html_(self) -> str:
        """The video in a notebook, see `zoetrope.video.notebook`."""
        from zoetrope.video.notebook import as_html

        return as_html(self)

    @property
    def seconds(self) -> float:
        """How long the video lasts."""
        return len(self.frames) / self.fps

    @classmethod
    def from_tensor(cls, x: Tensor, fps: float) -> Self:
        """The video of x (3, F, H, W) in [-1, 1], clipped to that. Raises ValueError for NaN or infinity."""
        made = pictures(x)
        # NumPy itself would ask for large pages, and getting these is slow.
        frames = torch.empty(*x.shape[1:], 3, dtype=torch.uint8).numpy()
        for place, picture in zip(frames, made, strict=True):
            place[:] = picture
        return cls(frames, fps)

    def to_tensor(self) -> Tensor:
        """The video as (3, F, H, W) float32 in [-1, 1]; `from_tensor` gives exactly this video back."""
        levels = torch.from_numpy(np.ascontiguousarray(self.frames.transpose(3, 0, 1, 2)))
        return levels.to(torch.float32).div_(127.5).sub_(1)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        tags: Mapping[str, str] | None = None,
        sound_of: str | os.PathLike[str] | None = None,
        seal: Seal | None = None,
    ) -> None:
        """Write the video; the name says how, see `zoetrope.video.check_output`, which raises for an impossible one.

        `tags`, `sound_of` and `seal` are those of `zoetrope.video.open_writer`; what is lost of the sound is logged.
        """
        check_output(path, len(self.frames))
        with open_writer(path, self.fps, *self.frames.shape[1:3], tags=tags, sound_of=sound_of, seal=seal) as writer:
            writer.write(self.frames)
        _log_notes(path, writer)


def pictures(x: Tensor) -> Iterator[np.ndarray]:
    """The pictures (H, W, 3) uint8 of a video x (3, F, H, W) in [-1, 1], clipped to that, one after the other.

    Raises ValueError for another shape, and for NaN or infinity as soon as it comes to that.
    """
    if x.ndim != 4 or x.shape[0] != 3:
        raise ValueError(f"video: expected shape (3, F, H, W), got {tuple(x.shape)}")
    return map(_picture, x.unbind(1))


def _picture(frame: Tensor) -> np.ndarray:
    values = frame.detach().to("cpu", torch.float32)
    expect_finite(values)
    levels = values.add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
    return levels.permute(1, 2, 0).contiguous().numpy()


def expect_finite(x: Tensor) -> None:
    """Raise ValueError for NaN or infinity."""
    if not torch.stack(x.aminmax()).isfinite().all():  # one pass, which NaN comes through
        raise ValueError("video: expected finite values, got NaN or infinity")


def save_tensor(
    x: Tensor,
    fps: float,
    path: str | os.PathLike[str],
    *,
    tags: Mapping[str, str] | None = None,
    sound_of: str | os.PathLike[str] | None = None,
    seal: Seal | None = None,
) -> None:
    """Write what `Video.from_tensor(x, fps).save(path)` would, picture by picture while others are made."""
    made = pictures(x)
    check_output(path, x.shape[1])
    with open_writer(path, fps, *x.shape[2:], tags=tags, sound_of=sound_of, seal=seal) as writer:
        for picture in made:
            writer.write(picture)
    _log_notes(path, writer)


def _log_notes(path: str | os.PathLike[str], writer: Writer) -> None:
    for note in writer.notes:
        _log.warning("%s: %s", os.fspath(path), note)
