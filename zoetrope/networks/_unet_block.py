"""The levels of the space-time U-Net and their blocks."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, NamedTuple, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from zoetrope.config import Config
from zoetrope.layers.attention import FeedForward, Looks, SpatialAttention, TemporalAttention, TextAttention
from zoetrope.layers.convolution import ResidualBlock, TemporalConv
from zoetrope.layers.elementwise import Sum
from zoetrope.networks import Width

Temporal = Literal["convolution", "pseudo_3d", "attention"]
Relative = Literal["table", "network"]


class Level(Config):
    """One resolution of a U-Net.

    Attributes:
        width: channels.
        blocks: number of blocks on the way down and again on the way up; the last level has them once.
        convolution: whether a block has spatial convolutions.
        spatial_attention, text_attention: what pixels attend to. Blocks with attention end in a feed-forward.
        temporal: layers that mix frames: "convolution" as a residual branch of each block, or "pseudo_3d", one right
            after each spatial convolution; "attention"; one of the former and attention, in this order; or none.
        looks: the frames whose pixels give keys and values to spatial attention: its "own", the "first",
            "first_and_previous", or "all"; see `zoetrope.layers.attention.SpatialAttention`. It has no parameters:
            weights trained with one choice work with the others.
        join: how temporal layers join the spatial path: "add" as residual branches, or "mix" with a share that each
            block learns, alpha spatial + (1 - alpha) temporal, where alpha = 1 is the image network [Blattmann et al.
            2023, arXiv:2304.08818, Sec. 3.1.1]. Images take the spatial path alone.
        every: this level and coarser ones keep every n-th frame of the level before [Bar-Tal et al. 2024,
            arXiv:2401.12945, Sec. 3.1].
    """

    width: Width
    blocks: Annotated[int, Field(ge=1, le=256)] = 1
    convolution: bool = True
    spatial_attention: bool = False
    text_attention: bool = False
    temporal: Annotated[tuple[Temporal, ...], Field(max_length=2)] = ()
    looks: Looks = "own"
    join: Literal["add", "mix"] = "add"
    every: Annotated[int, Field(ge=1, le=64)] = 1

    @field_validator("temporal", mode="before")
    @classmethod
    def _of_today(cls, value: Any) -> Any:
        """Accept a single name or null, as in descriptions from when a level had at most one temporal layer."""
        return () if value is None else (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if len(self.temporal) == 2 and (self.temporal[0] == "attention" or self.temporal[1] != "attention"):
            raise ValueError(
                f'temporal: expected "convolution", "attention" or both in this order, got {self.temporal}; '
                '"pseudo_3d" may stand for "convolution"'
            )
        if "pseudo_3d" in self.temporal and (not self.convolution or self.join == "mix"):
            raise ValueError(
                "temporal: expected 'pseudo_3d' with spatial convolutions and join 'add', as it is in their branch"
            )
        if self.looks != "own" and not self.spatial_attention:
            raise ValueError(f"looks: expected 'own' without spatial_attention, got {self.looks!r}")
        if self.join == "mix" and not self.temporal:
            raise ValueError("join: expected 'add' without anything temporal, got 'mix'")
        return self

    @property
    def attends(self) -> bool:
        """Whether its blocks have attention of any kind."""
        return self.spatial_attention or self.text_attention or "attention" in self.temporal

    @property
    def mixes_all_frames(self) -> bool:
        """Whether frames depend on others at any distance."""
        return "attention" in self.temporal or self.looks != "own"


class BlockContext(NamedTuple):
    """The conditioning of every block.

    Attributes:
        e: the conditioning vector, after its activation, (B, F or 1, E).
        tokens, mask: of the text, (N, L, D) and (N, L), N = B or B F; None in a network without text.
        images: True for frames that are independent images, (B, F or 1); None: there are none.
        distances: how many frames each key lies after each query, (B, F, F); None: consecutive frames.
    """

    e: Tensor
    tokens: Tensor | None = None
    mask: Tensor | None = None
    images: Tensor | None = None
    distances: Tensor | None = None

    def every(self, n: int) -> "BlockContext":
        """The same for every n-th frame."""
        if n == 1:
            return self

        def of_texts(x: Tensor | None) -> Tensor | None:
            if x is None or len(x) == len(self.e):
                return x
            return x.unflatten(0, (len(self.e), -1))[:, ::n].flatten(0, 1)

        distances = None if self.distances is None else self.distances[:, ::n, ::n] / n
        images = None if self.images is None else self.images[:, ::n]
        return BlockContext(self.e[:, ::n], of_texts(self.tokens), of_texts(self.mask), images, distances)


class Mix(nn.Module):
    """A learned share alpha of the spatial path: alpha h + (1 - alpha) (h + branch)."""

    def __init__(self) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.zeros(1))  # of alpha
        self.sum = Sum()

    def forward(self, h: Tensor, branch: Tensor, images: Tensor | None = None) -> Tensor:
        """The mix; for images alpha is 1."""
        temporal = torch.sigmoid(-self.logit).to(branch.dtype)
        if images is not None:
            temporal = temporal * ~images[:, :, None, None, None]
        return self.sum(h, branch * temporal)


class Block(nn.Module):
    """Space, text and time at one resolution. h (B, F, H, W, D) -> same."""

    def __init__(self, level: Level, head: int, embedding: int, relative: Relative = "table"):
        super().__init__()
        width, heads = level.width, level.width // head
        pseudo_3d = "pseudo_3d" in level.temporal
        self.spatial = ResidualBlock(width, embedding, pseudo_3d) if level.convolution else None
        self.temporal_conv = TemporalConv(width) if "convolution" in level.temporal else None
        self.spatial_attention = SpatialAttention(width, heads, level.looks) if level.spatial_attention else None
        self.text_attention = TextAttention(width, heads, embedding) if level.text_attention else None
        told = embedding if relative == "network" else None
        self.temporal_attention = TemporalAttention(width, heads, told) if "attention" in level.temporal else None
        self.feed_forward = FeedForward(width, embedding) if level.attends else None
        self.mix = Mix() if level.join == "mix" else None
        self.only_temporal = not (level.spatial_attention or level.text_attention)  # is the feed-forward's attention
        self.sum = Sum()

    def forward(self, h: Tensor, context: BlockContext) -> Tensor:
        h = self._before(h, context.e, context.images)
        if self.temporal_conv is not None:
            h = self._joined(h, self.temporal_conv(h, context.images), context.images)
        return self._after(h, context)

    def stream(self, parts: Iterable[Tensor], context: BlockContext) -> Iterator[Tensor]:
        """`forward` for a video in parts, in a block without temporal attention and pseudo-3D convolutions."""
        before, after = PartContext(context), PartContext(context)
        parts = (self._before(h, own.e, own.images) for h in parts for own in (before(h),))
        if self.temporal_conv is not None:
            parts = self.temporal_conv.stream(parts, self._joined, context.images)
        return (self._after(h, after(h)) for h in parts)

    def _before(self, h: Tensor, e: Tensor, images: Tensor | None) -> Tensor:
        """The layers before the temporal convolution."""
        return h if self.spatial is None else self.spatial(h, e, images)

    def _joined(self, h: Tensor, branch: Tensor, images: Tensor | None = None) -> Tensor:
        """h joined with a temporal layer's branch."""
        return self.sum(h, branch) if self.mix is None else self.mix(h, branch, images)

    def _after(self, h: Tensor, context: BlockContext) -> Tensor:
        if self.spatial_attention is not None:
            h = self.sum(h, self.spatial_attention(h, context.images))
        if self.text_attention is not None:
            h = self.sum(h, self.text_attention(h, context.tokens, context.mask))
        image = self.mix is not None and h.shape[1] == 1
        if self.temporal_attention is not None and not image:
            branch = self.temporal_attention(h, context.images, context.distances, context.e)
            h = self._joined(h, branch, context.images)
        if self.feed_forward is None or (self.only_temporal and image):
            return h
        branch = self.feed_forward(h, context.e)
        return self._joined(h, branch, context.images) if self.only_temporal else self.sum(h, branch)


class PartContext:
    """The conditioning of consecutive parts of a video."""

    def __init__(self, context: BlockContext):
        self._context, self._start = context, 0

    def __call__(self, h: Tensor) -> BlockContext:
        """The conditioning of the next part, h (B, f, H, W, D)."""
        start, self._start = self._start, self._start + h.shape[1]

        def cut(x: Tensor) -> Tensor:
            return x if x.shape[1] == 1 else x[:, start : self._start]

        images = self._context.images
        return self._context._replace(e=cut(self._context.e), images=None if images is None else cut(images))
