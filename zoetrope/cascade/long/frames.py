"""Frames of a long video in one file, written and read by number."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoetrope.shapes import VideoShape


@dataclass(frozen=True, kw_only=True)
class Frames:
    """A file of frames (C, H, W), one after the other, each at the place of its number.

    It is not mapped into memory: on a full disk a write fails, where a mapping would end the process.

    Attributes:
        path: of the file, which the first write creates.
        shape: of the video.
        channels: of each frame.
        coarse: whether values in [-1, 1] are stored in 256 levels, as video files do, and not as float32.
    """

    path: Path
    shape: VideoShape
    channels: int = 3
    coarse: bool = False

    @property
    def size(self) -> int:
        """The bytes of a frame."""
        return self.channels * self.shape.height * self.shape.width * (1 if self.coarse else 4)

    @property
    def total_bytes(self) -> int:
        """The bytes of the whole video."""
        return self.size * self.shape.frames

    def stored_bytes(self) -> int:
        """The bytes that the file takes of the disk: without the holes before frames that were written out of order.

        Where the system does not tell holes, all up to the last frame.
        """
        if not self.path.exists():
            return 0
        with self.path.open("rb") as file:
            end = os.fstat(file.fileno()).st_size
            if not hasattr(os, "SEEK_HOLE"):
                return end
            stored = place = 0
            while place < end:
                try:
                    start = os.lseek(file.fileno(), place, os.SEEK_DATA)
                except OSError:  # no data from here on
                    break
                place = os.lseek(file.fileno(), start, os.SEEK_HOLE)
                stored += place - start
            return stored

    def write(self, numbers: Sequence[int], video: Tensor) -> None:
        """Store these frames of the video, (C, n, H, W); they are on the disk when this returns.

        Raises OSError that names the file, as on a full disk.
        """
        try:
            with self.path.open("r+b" if self.path.exists() else "w+b") as file:
                for number, frame in zip(numbers, video.unbind(1), strict=True):
                    file.seek(self.size * self._checked(number))
                    file.write(self._stored(frame).tobytes())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fspath(self.path)) from error

    def read(self, numbers: Sequence[int]) -> Tensor:
        """These frames, (C, n, H, W) float32.

        Raises ValueError that names the file if it ends before one of them.
        """
        grid = (self.channels, self.shape.height, self.shape.width)
        video = torch.empty(self.channels, len(numbers), *grid[1:], dtype=torch.float32)
        with self.path.open("rb") as file:
            for place, number in enumerate(numbers):
                file.seek(self.size * self._checked(number))
                stored = file.read(self.size)
                if len(stored) < self.size:
                    raise ValueError(f"{self.path}: damaged, it ends before frame {number}")
                video[:, place] = self._restored(stored).view(grid)
        return video

    def _checked(self, number: int) -> int:
        if not 0 <= number < self.shape.frames:
            raise ValueError(f"{self.path}: expected a frame number from 0 to {self.shape.frames - 1}, got {number}")
        return number

    def _stored(self, frame: Tensor) -> np.ndarray:
        values = frame.detach().to("cpu", torch.float32).contiguous()
        if self.coarse:
            values = values.add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
        return values.numpy()

    def _restored(self, stored: bytes) -> Tensor:
        values = np.frombuffer(stored, np.uint8 if self.coarse else np.float32)
        restored = torch.from_numpy(values.astype(np.float32))
        return restored.div_(127.5).sub_(1) if self.coarse else restored
