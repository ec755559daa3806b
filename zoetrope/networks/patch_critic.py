"""A critic of patches [Isola et al. 2017, arXiv:1611.07004, Sec. 3.2.2], with which codecs are trained: no denoiser.

Its scores are of overlapping patches. Each sees one frame, or, for decoders of videos, several [Blattmann et al. 2023,
arXiv:2304.08818, Sec. 3.1.1].
"""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from zoetrope.networks import NetworkConfig

if TYPE_CHECKING:
    from zoetrope.networks._patch_critic import PatchCritic


class PatchCriticConfig(NetworkConfig):
    """Convolutions of stride 2, each with twice the features of the one before, up to 8 times `width`.

    Attributes:
        low_res: always false.
        text_width: always none.
        width: features of the first convolution.
        depth: how many convolutions of stride 2: scores are 2^depth pixels apart.
        temporal: whether convolutions see the frames before and after.
    """

    denoises: ClassVar[bool] = False

    channels: Literal[3] = 3
    low_res: Literal[False] = False
    text_width: None = None
    width: Annotated[int, Field(ge=1, le=1024)] = 32
    depth: Annotated[int, Field(ge=1, le=6)] = 2
    temporal: bool = False

    def build(self) -> "PatchCritic":
        """The network with fresh weights."""
        from zoetrope.networks._patch_critic import PatchCritic

        return PatchCritic(self)

    def check(self, frames: int, height: int, width: int) -> None:
        """Raise ValueError for sizes that are smaller than a patch."""
        least = 2**self.depth
        for name, size in (("height", height), ("width", width)):
            if size < least:
                raise ValueError(f"{name}: expected {least} or more for a critic of depth {self.depth}, got {size}")
