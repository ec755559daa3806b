"""Clips on disk, lossless, one file each, so that an interrupted evaluation can continue."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoetrope.channels import RGB, Channel, are_rgb
from zoetrope.config.errors import reason
from zoetrope.fields import video_of
from zoetrope.files import whole
from zoetrope.files.zipped import DAMAGED
from zoetrope.metrics.clips import Clips
from zoetrope.shapes import VideoShape
from zoetrope.video import Video

_BESIDE = "beside "


class Shelf:
    """A folder of numbered clips of one shape with their texts.

    Pictures are kept without loss, in 8-bit levels, and other channels in float32, as networks see them; a file appears
    whole or not at all.
    """

    def __init__(self, folder: Path, shape: VideoShape, channels: tuple[Channel, ...] = RGB) -> None:
        self.folder, self.shape, self.channels = folder, shape, channels

    def has(self, number: int) -> bool:
        """Whether this clip is there."""
        return self._path(number).is_file()

    def put(
        self,
        number: int,
        video: Tensor,
        text: str,
        skipped: Sequence[str] = (),
        present: Tensor | None = None,
        told: Mapping[str, float | str | Tensor] = MappingProxyType({}),
    ) -> None:
        """Store a clip (C, F, H, W); `skipped` names unreadable clips that it replaces.

        `present` is where it has values, like it, bool; None: everywhere. `told` is what the data tell of it by name.

        Raises ValueError for one of another shape.
        """
        shape = self.shape
        if tuple(video.shape) != (len(self.channels), *shape.sizes):
            raise ValueError(f"{self._path(number)}: expected a clip of {shape}, got shape {tuple(video.shape)}")
        self.folder.mkdir(parents=True, exist_ok=True)
        kept: dict[str, Any] = (
            {"frames": Video.from_tensor(video, shape.fps).frames} if self._pictured else {"x": video.numpy()}
        )
        kept |= {} if present is None else {"present": present.numpy()}
        kept |= {f"{_BESIDE}{name}": one.numpy() for name, one in told.items() if isinstance(one, Tensor)}
        words = {name: one for name, one in told.items() if not isinstance(one, Tensor)}
        kept |= {"told": np.array(json.dumps(words))} if words else {}
        with whole(self._path(number)) as partial, partial.open("wb") as file:
            np.savez_compressed(file, text=np.array(text), skipped=np.array(skipped, dtype=str), **kept)

    def read(self, number: int) -> Tensor:
        """The clip (C, F, H, W), in [-1, 1] where bounded. Raises ValueError if its file is damaged."""
        if self._pictured:
            return self.video(number).to_tensor()
        return torch.from_numpy(self._field(number, "x"))

    @property
    def _pictured(self) -> bool:
        return are_rgb(self.channels)

    def video(self, number: int) -> Video:
        """The clip as a video."""
        if not self._pictured:
            return video_of(self.read(number), self.channels, self.shape.fps)
        return Video(self._field(number, "frames"), self.shape.fps)

    def text(self, number: int) -> str:
        """The text of the clip."""
        return str(self._field(number, "text"))

    def skipped(self, number: int) -> tuple[str, ...]:
        """The unreadable clips that this one replaces."""
        return tuple(map(str, self._field(number, "skipped")))

    def present(self, number: int) -> Tensor | None:
        """Where the clip has values, (C, F, H, W) bool; None: everywhere."""
        with self._opened(number) as file:
            return torch.from_numpy(file["present"]) if "present" in file.files else None

    def told(self, number: int) -> dict[str, Any]:
        """What the data tell of the clip by name: numbers and labels, and arrays of actions and maps."""
        with self._opened(number) as file:
            words = dict(json.loads(str(file["told"]))) if "told" in file.files else {}
            return words | {name.removeprefix(_BESIDE): file[name] for name in file.files if name.startswith(_BESIDE)}

    def clips(self, count: int, origin: str) -> Clips:
        """The first `count` clips."""
        return Clips(self.shape, count, self.read, origin, self.channels, self.present, self.told)

    def _field(self, number: int, name: str) -> np.ndarray:
        with self._opened(number) as file:
            found: np.ndarray = file[name]
            return found

    @contextmanager
    def _opened(self, number: int) -> Iterator[Any]:
        """The file of a clip. Raises ValueError if it is damaged."""
        path = self._path(number)
        try:
            with np.load(path, allow_pickle=False) as file:
                yield file
        except (*DAMAGED, KeyError, OSError) as error:
            raise ValueError(
                f"{path}: not a clip of this report ({reason(error, path)}); delete the file to have it made again"
            ) from None

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.npz"
