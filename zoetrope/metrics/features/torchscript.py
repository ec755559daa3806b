"""Any network in a TorchScript file, of pictures or of clips. The file is a program and is run: name one you trust."""

from typing import Literal, Self

import torch
from pydantic import PositiveInt
from torch import Tensor

from zoetrope.metrics.features import ClipNetwork, Extractor, FeatureNetwork
from zoetrope.metrics.features._script import Levels, find_program, run
from zoetrope.metrics.features._sizes import to_size


class TorchScript(Extractor):
    """Features (N, D) of a TorchScript module; an output with more axes is flattened.

    Attributes:
        path: a file, or with a sha256 "owner/name/file" on the hub; sha256: what the file has to have.
        sees: "frames", pictures (N, 3, H, W), or "clips", (N, 3, F, H, W).
        frames: how many frames of a clip it looks at; None is all.
        height, width: what pictures are resized to, bilinearly and antialiased; None leaves them as they are.
        levels: the range of its input.
        options: further arguments by name, such as {"return_features": true}.
    """

    path: str
    sha256: str | None = None
    sees: Literal["frames", "clips"] = "clips"
    frames: PositiveInt | None = 16
    height: PositiveInt | None = 224
    width: PositiveInt | None = 224
    levels: Levels = "-1..1"
    options: dict[str, bool] = {}  # noqa: RUF012 - pydantic copies it

    @classmethod
    def at(cls, where: str) -> Self:
        """See `Extractor`."""
        return cls(path=where)

    def open(self, device: torch.device | str = "cpu") -> FeatureNetwork | ClipNetwork:
        """See `Extractor`. The network looks once at a black clip, to see what it gives."""
        network, checksum = find_program(self.path, self.sha256, "name the TorchScript file", device)

        def of_pictures(pictures: Tensor) -> Tensor:
            return run(network, self._sized(pictures), self.levels, self.options, device)

        def of_clips(clips: Tensor) -> Tensor:
            frames = self._sized(clips.transpose(1, 2).flatten(0, 1)).unflatten(0, (len(clips), -1))
            return run(network, frames.transpose(1, 2), self.levels, self.options, device)

        size = (self.height or 32, self.width or 32)
        layer = f"output of the module, input in {self.levels}" + (f", {self.options}" if self.options else "")
        fixed = self.height is not None and self.width is not None
        resize = f"{self.height}x{self.width} bilinear, antialiased where it shrinks" if fixed else "none"
        if self.sees == "frames":
            width = of_pictures(torch.zeros(1, 3, *size)).shape[1]
            return FeatureNetwork(self.kind(), checksum, layer, width, of_pictures, resize)
        width = of_clips(torch.zeros(1, 3, self.frames or 16, *size)).shape[1]
        return ClipNetwork(self.kind(), checksum, layer, width, self.frames or 1, self.frames, of_clips, resize)

    def _sized(self, pictures: Tensor) -> Tensor:
        if self.height is None or self.width is None:
            return pictures
        return to_size(pictures, (self.height, self.width), mode="bilinear")
