"""A codec in training, which reconstructs videos from their latents. The objective `reconstruct` trains it."""

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import model_validator

from zoetrope.codecs import Codec
from zoetrope.networks import NetworkConfig

if TYPE_CHECKING:
    from zoetrope.networks._reconstruction import ReconstructionNetwork


class ReconstructionConfig(NetworkConfig):
    """The encoder, a draw of latents, and the decoder.

    Attributes:
        low_res: always false.
        text_width: always none.
        codec: what is trained.
    """

    denoises: ClassVar[bool] = False
    objective: ClassVar[str | None] = "reconstruct"

    channels: Literal[3] = 3
    low_res: Literal[False] = False
    text_width: None = None
    codec: Codec

    @model_validator(mode="after")
    def _has_noise(self) -> Self:
        most = 3 * self.codec.factor**2
        if not self.codec.encodes:
            raise ValueError("codec: expected one with weights, got 'pixels'")
        if self.codec.channels > most:
            raise ValueError(
                f"codec.channels: expected at most {most}, the numbers in as many pixels, got {self.codec.channels}"
            )
        return self

    def build(self) -> "ReconstructionNetwork":
        """The network with fresh weights."""
        from zoetrope.networks._reconstruction import ReconstructionNetwork

        return ReconstructionNetwork(self)

    def check(self, frames: int, height: int, width: int) -> None:
        """Raise ValueError, with the nearest legal size, for one that the codec's factor does not divide."""
        self.codec.check(height, width)
