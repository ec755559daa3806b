"""A network on vectors, such as embeddings of pictures: the prior of a decoder.

A vector of D numbers is a video of one pixel with D channels. The prior of unCLIP [Ramesh et al. 2022,
arXiv:2204.06125, Sec. 2.2] is a transformer on a row of tokens; a vector is one token, so that here the rows of a
residual network suffice, told of text and noise level as a diffusion transformer is.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from zoetrope.networks import NetworkConfig, Width

if TYPE_CHECKING:
    from zoetrope.networks._vector import VectorNetwork

LARGEST = 2**32  # depth x width^2, some eight parameters each


class VectorConfig(NetworkConfig):
    """A residual network on vectors.

    Attributes:
        channels: D, of the vectors.
        low_res: always false, for a vector has no resolution.
        width: features of the vector inside.
        depth: number of residual blocks.
        heads: of the attention that pools the text.
    """

    vectors: ClassVar[bool] = True

    channels: Width = 128
    low_res: Literal[False] = False
    width: Width = 256
    depth: Annotated[int, Field(ge=1, le=1024)] = 4
    heads: Annotated[int, Field(ge=1, le=1024)] = 8

    def build(self) -> "VectorNetwork":
        """The network with fresh weights."""
        from zoetrope.networks._vector import VectorNetwork

        return VectorNetwork(self)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """A few bytes of JSON must not ask for a network that no machine could hold."""
        if (size := self.width * (self.depth * self.width + self.channels)) > LARGEST:
            raise ValueError(f"depth, width: expected depth x width^2 of at most {LARGEST:,}, got {size:,}")
        if self.width % self.heads:
            near = max(1, round(self.width / self.heads)) * self.heads
            raise ValueError(f"width: expected a multiple of heads = {self.heads}, got {self.width}; nearest is {near}")
        return self

    def check(self, frames: int, height: int, width: int) -> None:
        """Raise ValueError unless it is a vector: one frame of one pixel."""
        for name, size in (("frames", frames), ("height", height), ("width", width)):
            if size != 1:
                raise ValueError(f"{name}: expected 1, for a vector is one pixel, got {size}; the nearest is 1")
