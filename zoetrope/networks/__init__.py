"""Network architectures, one per file. To add one, add a file with a frozen value that subclasses `NetworkConfig`.

A network maps (z, logsnr, conditioning) to an output shaped like z. It knows no schedule, no guidance and no loss.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from zoetrope.conditioning import NONE, Conditioning
from zoetrope.config import Kind
from zoetrope.diffusion.prediction import Prediction
from zoetrope.layers.bare import bare

Width = Annotated[int, Field(ge=1, le=2**19)]  # 128 times what the paper's networks have


class Part(NamedTuple):
    """Some consecutive frames of a video: z (B, C, f, H, W), and the maps that are told with them."""

    z: Tensor
    maps: Mapping[str, Tensor] = NONE


class Former(NamedTuple):
    """Where the values of a tensor are in files of older versions: in these rows of the tensor of another name."""

    name: str
    first: int
    end: int


class Network(nn.Module, ABC):
    """What every architecture builds: a module with this `forward`."""

    @abstractmethod
    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        """Output like z (B, C, F, H, W) at noise level logsnr: (B,), or (B, F) where each frame has its own."""

    def stream(self, parts: Iterable[Part], logsnr: Tensor, conditioning: Conditioning) -> Iterator[Tensor]:
        """Outputs like z for a video that comes in parts, one after the other: what `forward` gives, cut up.

        `conditioning` is as for `forward`, without maps. Networks whose `Reach` says that they stream hold no more
        than a few parts at a time, others the whole video. Once a part's output is given, its z may be overwritten.
        """
        known = list(parts)
        z = torch.cat([part.z for part in known], dim=2)
        maps = {name: torch.cat([part.maps[name] for part in known], dim=2) for name in known[0].maps}
        whole = replace(conditioning, maps=maps)
        yield from self(z, logsnr, whole).split([part.z.shape[2] for part in known], dim=2)

    def matrices(self) -> Iterator[Tensor]:
        """The weights that map features to features, for optimizers that treat matrices as such; none unless told."""
        yield from ()

    def formerly(self) -> Mapping[str, Former]:
        """By its name of today, where each tensor is in older files, of those that went elsewhere."""
        return {}

    def blocks(self) -> Iterator[nn.Module]:
        """The parts, called one after the other, that are compiled or divided one by one; none unless told."""
        yield from ()


class Reach(NamedTuple):
    """How far a network looks: the output at one place depends on what lies within so many frames and pixels of it.

    None is everywhere: along that axis a video cannot be processed in parts. Parts begin and end at multiples of
    `grid` pixels and of `every` frames of the whole. A network that `streams` need not see frames twice to process them
    in parts.
    """

    frames: int | None
    pixels: int | None
    grid: int
    streams: bool = False
    every: int = 1


class NetworkConfig(Kind, ABC):
    """The hyper-parameters of a network; `build` makes the module with fresh weights.

    Attributes:
        channels: of the videos it works on.
        low_res: whether it expects a conditioning video, which makes it a network for super-resolution.
        text_width: D of the text embeddings it expects; None: it is told no text.
        guided: whether it is told the weight of guidance and answers as guided. Such a network has the weights of one
            that is not and some of its own, without which it answers just as that one.
    """

    folder: ClassVar[str] = "zoetrope.networks"

    channels: Annotated[int, Field(ge=1, le=64)] = 3
    low_res: bool = False
    text_width: Width | None = 384
    guided: bool = False

    @property
    def reads(self) -> set[str]:
        """The names of the inputs that it is told, see `zoetrope.inputs`; the weight of guidance is not among them."""
        return ({"text"} if self.text_width is not None else set()) | ({"low_res"} if self.low_res else set())

    @property
    def predicts(self) -> Prediction | None:
        """What alone the output can be read as; None: whatever it is trained for."""
        return None

    @abstractmethod
    def build(self) -> Network:
        """A network with fresh weights, from the global random state."""

    def bare(self) -> Network:
        """The network on the meta device, without weights: for its shapes, or to be given weights from a file."""
        with bare():
            return self.build()

    @abstractmethod
    def check(self, frames: int, height: int, width: int) -> None:
        """Raise ValueError, with the nearest legal size, if the network can't process videos of this size."""

    def reach(self) -> Reach:
        """How far the network looks; everywhere, unless an architecture knows better."""
        return Reach(frames=None, pixels=None, grid=1)
