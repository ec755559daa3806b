"""Clips on disk, lossless, one file each, so that an interrupted evaluation can continue."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from zoetrope.config.errors import reason
from zoetrope.files import whole
from zoetrope.metrics.clips import Clips
from zoetrope.shapes import VideoShape
from zoetrope.video import Video


class Shelf:
    """A folder of numbered clips of one shape with their texts.

    The pictures are kept without loss, in 8-bit levels; a file appears whole or not at all.
    """

    def __init__(self, folder: Path, shape: VideoShape) -> None:
        self.folder, self.shape = folder, shape

    def has(self, number: int) -> bool:
        """Whether this clip is there."""
        return self._path(number).is_file()

    def put(self, number: int, video: Tensor, text: str, skipped: Sequence[str] = ()) -> None:
        """Store a clip (3, F, H, W) in [-1, 1]; `skipped` names unreadable clips that it replaces.

        Raises ValueError for one of another shape.
        """
        shape = self.shape
        if tuple(video.shape) != (3, shape.frames, shape.height, shape.width):
            raise ValueError(f"{self._path(number)}: expected a clip of {shape}, got shape {tuple(video.shape)}")
        self.folder.mkdir(parents=True, exist_ok=True)
        frames = Video.from_tensor(video, shape.fps).frames
        with whole(self._path(number)) as partial, partial.open("wb") as file:
            np.savez_compressed(file, frames=frames, text=np.array(text), skipped=np.array(skipped, dtype=str))

    def read(self, number: int) -> Tensor:
        """The clip (3, F, H, W) in [-1, 1]. Raises ValueError if its file is damaged."""
        return self.video(number).to_tensor()

    def video(self, number: int) -> Video:
        """The clip as a video."""
        return Video(self._field(number, "frames"), self.shape.fps)

    def text(self, number: int) -> str:
        """The text of the clip."""
        return str(self._field(number, "text"))

    def skipped(self, number: int) -> tuple[str, ...]:
        """The unreadable clips that this one replaces."""
        return tuple(map(str, self._field(number, "skipped")))

    def clips(self, count: int, origin: str) -> Clips:
        """The first `count` clips."""
        return Clips(self.shape, count, self.read, origin)

    def _field(self, number: int, name: str) -> np.ndarray:
        path = self._path(number)
        try:
            with np.load(path, allow_pickle=False) as file:
                return file[name]
        except (ValueError, KeyError, OSError, EOFError) as error:
            raise ValueError(
                f"{path}: not a clip of this report ({reason(error, path)}); delete the file to have it made again"
            ) from None

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.npz"
