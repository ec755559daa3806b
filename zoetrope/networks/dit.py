"""A diffusion transformer on spacetime patches, for videos of any size, shape and length, and images as single frames.

The blocks of DiT [Peebles & Xie 2023, arXiv:2212.09748, Sec. 3.2]: attention and feed-forward, whose norms are scaled
and shifted and whose branches are gated by the conditioning vector, all from zero (adaLN-Zero). In time as Sora
[Brooks et al. 2024, "Video generation models as world simulators"], which published no architecture: patches of several
frames, native sizes, and clips of different sizes packed into one sequence [Dehghani et al. 2023, arXiv:2307.06304].
"""

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from zoetrope.diffusion.prediction import Prediction
from zoetrope.networks import NetworkConfig, Reach, SizedInputs, Width, expect_multiples
from zoetrope.shapes import FramesPerSecond

if TYPE_CHECKING:
    from zoetrope.networks._dit import DiT

__all__ = ["SIZES", "DiTConfig", "PublishedSize"]

LARGEST = 2**35  # depth x width^2, some 20 parameters each: 500 times DiT-XL


class PublishedSize(NamedTuple):
    """A size of DiT, and how many parameters were published for it, with patches of 2 x 2 of four channels.

    The published networks learn a table of 1001 classes, and see no text and one frame.
    """

    depth: int
    width: int
    heads: int
    parameters: float


SIZES = {
    "S": PublishedSize(12, 384, 6, 33e6),
    "B": PublishedSize(12, 768, 12, 130e6),
    "L": PublishedSize(24, 1024, 16, 458e6),
    "XL": PublishedSize(28, 1152, 16, 675e6),
}
"""The sizes of DiT [arXiv:2212.09748, Tab. 1 and 4]; `DiTConfig.sized` makes a network of one."""


class DiTConfig(NetworkConfig):
    """A transformer on patches of space and time.

    Attributes:
        low_res: whether low_res is concatenated to z, with its noise level embedded.
        aligned: maps on the videos' grid that are concatenated to z, with their channels, see `zoetrope.inputs.map`.
        patch: frames, rows and columns of a patch, which is one token. An image is one frame also where patches have
            several: it is seen as a still clip.
        width: channels of a token; depth: number of blocks; head: channels of an attention head.
        embedding: width of the conditioning vector; None: that of a token, as in DiT.
        modulation: how a block's scales, shifts and gates come from the conditioning vector: by a map of each "block",
            as in DiT, or by a "shared" map and an offset for each block, with a third fewer parameters [Chen et al.
            2023, arXiv:2310.00426, Sec. 2.3].
        attention: "full": tokens attend to all tokens of a clip. "factorised": first to those of their frame, then to
            those of their place in other frames, which takes one more attention a block and costs far less for many
            tokens.
        causal: whether frames see no later frames, so that a rollout can keep keys and values; see `DiT.continued`.
        fps: frames per second of videos without `times`.
        per_second, per_height: rotary positions in a second, and in the height of a frame; at neighbouring positions
            the fastest pair of channels is 1 radian apart. Across counts in heights too, so that pixels are square.
        height: number of pixels that count as the height of a frame; None: each video's own, so that a position means
            the same part of a picture at every size. A number for stages that train on crops.
        slowest: how many times slower than the fastest the slowest pair of channels turns, about.
        anchored: whether the output starts from that of a video equal to low_res, and each pixel learns how far to stay
            there. For networks that predict v.
        checkpointing: recompute blocks in the backward pass instead of keeping their activations.
    """

    packs: ClassVar[bool] = True

    aligned: SizedInputs = ()
    patch: tuple[
        Annotated[int, Field(ge=1, le=64)], Annotated[int, Field(ge=1, le=256)], Annotated[int, Field(ge=1, le=256)]
    ] = (1, 2, 2)
    width: Width = 192
    depth: Annotated[int, Field(ge=1, le=1024)] = 6
    head: Annotated[int, Field(ge=8, le=4096, multiple_of=2)] = 32
    embedding: Width | None = None
    modulation: Literal["block", "shared"] = "block"
    attention: Literal["factorised", "full"] = "factorised"
    causal: bool = False
    fps: FramesPerSecond = 8.0
    per_second: Annotated[float, Field(gt=0, le=1_000_000)] = 8.0
    per_height: Annotated[float, Field(gt=0, le=1_000_000)] = 16.0
    height: Annotated[int, Field(ge=1, le=131_072)] | None = None
    slowest: Annotated[float, Field(ge=1, le=1_000_000)] = 100.0
    anchored: bool = False
    checkpointing: bool = False

    @classmethod
    def sized(cls, size: Literal["S", "B", "L", "XL"], **fields: Any) -> Self:
        """A network of one of DiT's sizes, with other fields as given."""
        of = SIZES[size]
        return cls(**{"depth": of.depth, "width": of.width, "head": of.width // of.heads} | fields)

    def build(self) -> "DiT":
        """The network with fresh weights."""
        from zoetrope.networks._dit import DiT

        return DiT(self)

    @property
    def told(self) -> int:
        """The width of the conditioning vector."""
        return self.width if self.embedding is None else self.embedding

    @property
    def reads_seconds(self) -> bool:
        """See `NetworkConfig`."""
        return True

    @property
    def concatenated(self) -> dict[str, int]:
        """The maps that are concatenated to z, in order, with their channels."""
        return ({"low_res": self.channels} if self.low_res else {}) | {one.name: one.size + 1 for one in self.aligned}

    @property
    def sizes(self) -> dict[str, int]:
        """See `NetworkConfig`."""
        return super().sizes | {one.name: one.size for one in self.aligned}

    @property
    def predicts(self) -> Prediction | None:
        """v if anchored, otherwise any."""
        return "v" if self.anchored else None

    @property
    def needs_even_frames(self) -> bool:
        """Where a patch has several frames, which lie in it as if evenly spaced, at the mean of their times."""
        return self.patch[0] > 1

    @property
    def takes_packs(self) -> bool:
        """Where a patch has one frame."""
        return self.patch[0] == 1

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """A few bytes of JSON must not ask for a network that no machine could hold."""
        if (size := self.depth * self.width * max(self.width, self.told)) > LARGEST:
            raise ValueError(f"depth, width: expected depth x width^2 of at most {LARGEST:,}, got {size:,}")
        if self.width % self.head:
            near = max(1, round(self.width / self.head)) * self.head
            raise ValueError(
                f"width: expected a multiple of head = {self.head}, got {self.width}; the nearest is {near}"
            )
        if self.anchored and not self.low_res:
            raise ValueError("anchored: expected false without low_res, which is the anchor")
        return self

    def check(self, frames: int, height: int, width: int) -> None:
        """Raise ValueError unless sizes are multiples of a patch, or an image's."""
        length, rows, columns = self.patch
        length = 1 if frames == 1 else length
        expect_multiples(("frames", frames, length), ("height", height, rows), ("width", width, columns))

    def reach(self) -> Reach:
        """Unlimited: every token attends to all, by way of other tokens at least."""
        return Reach(None, None, math.lcm(*self.patch[1:]), every=self.patch[0])
