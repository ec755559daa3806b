"""Codecs between videos in pixels and their latents, one kind per file.

To add one, add a file with a frozen value that subclasses `Codec`. Its `build` makes a module with an encoder, which
sees each frame alone, and a decoder, which may see neighbouring frames as well.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from zoetrope.config import Kind
from zoetrope.shapes import expect_shape


class Posterior(NamedTuple):
    """The encoder's normal distribution of the unscaled latents of a video: mean and logvar, (B, C, F, h, w) each."""

    mean: Tensor
    logvar: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """A sample, of standard normal noise like the mean."""
        return self.mean + (self.logvar / 2).exp() * noise

    def divergence(self) -> Tensor:
        """KL(posterior || standard normal) per video, (B,), in nats: summed over a frame, averaged over frames."""
        terms = (self.mean.square() + self.logvar.exp() - 1 - self.logvar) / 2
        return terms.sum((1, 3, 4)).mean(1)


class CodecNetwork(nn.Module, ABC):
    """The module that every codec builds, for videos (B, C, F, H, W) in [-1, 1].

    Attributes:
        scale: a buffer, () like the weights and stored with them: latents are the means times it. `measure` sets it.
    """

    scale: Tensor

    def __init__(self, codec: "Codec"):
        super().__init__()
        self.codec = codec
        self.register_buffer("scale", torch.ones(()))

    @abstractmethod
    def posterior(self, x: Tensor) -> Posterior:
        """The distribution of the unscaled latents of x. Raises ValueError for sizes that the factor doesn't divide."""

    @abstractmethod
    def stream(self, parts: Iterable[Tensor]) -> Iterator[Tensor]:
        """The videos of unscaled latents that arrive as consecutive parts (B, C, f, h, w) of one video, as parts.

        Equal to the whole, whatever the parts are.
        """

    def encode(self, x: Tensor) -> Tensor:
        """The scaled latents of x, (B, channels, F, H / factor, W / factor): means, without noise."""
        return self.posterior(x).mean * self.scale

    def decode(self, z: Tensor) -> Tensor:
        """The video of scaled latents. It is not clipped, so that gradients pass."""
        expect_shape("latents", z, None, self.codec.channels, None, None, None)
        return torch.cat(list(self.stream([z / self.scale])), dim=2)


class Codec(Kind, ABC):
    """The description of a codec; `build` makes the module with fresh weights.

    Attributes:
        channels: of the latents.
        margin: latents on each side that one latent's pixels depend on, and that a latent depends on: the overlap
            with which tiles equal the whole.
    """

    folder: ClassVar[str] = "zoetrope.codecs"

    channels: Annotated[int, Field(ge=1, le=64)] = 3

    @property
    @abstractmethod
    def factor(self) -> int:
        """Pixels per latent, along height and along width."""

    @property
    @abstractmethod
    def margin(self) -> int:
        """See the class."""

    @abstractmethod
    def build(self) -> CodecNetwork:
        """The module with fresh weights, from the global random state."""

    def check(self, height: int, width: int) -> None:
        """Raise ValueError, with the nearest legal sizes, unless the factor divides a video's height and width."""
        for name, size in (("height", height), ("width", width)):
            if size % self.factor or not size:
                below = size // self.factor * self.factor
                near = [str(n) for n in (below, below + self.factor) if n]
                raise ValueError(
                    f"{name}: expected a multiple of the codec's factor {self.factor}, got {size}; "
                    f"nearest: {' or '.join(near)}"
                )


def measure(network: CodecNetwork, videos: Iterable[Tensor]) -> float:
    """Set and return the network's `scale`: 1 / the standard deviation of the unscaled latents of all the videos.

    Latents then have the deviation 1 that diffusion expects [Rombach et al. 2022, arXiv:2112.10752, Sec. 4.3.2 and
    App. G]. Moments are added up in float64, so that only one of the videos (B, C, F, H, W) is in memory.

    Raises ValueError if there are no videos, or if all their latents are equal.
    """
    count, total, squares = 0, 0.0, 0.0
    with torch.no_grad():
        for x in videos:
            mean = network.posterior(x).mean.double()
            count, total = count + mean.numel(), total + float(mean.sum())
            squares += float(mean.square().sum())
    variance = squares / count - (total / count) ** 2 if count else 0.0
    if not variance > 0:
        raise ValueError(f"scale: expected latents that differ, got {count} equal ones: it cannot be measured")
    network.scale.fill_(variance**-0.5)
    return float(network.scale)
