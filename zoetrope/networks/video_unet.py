"""The factorised space-time U-Net of Imagen Video [Ho et al. 2022, arXiv:2210.02303, Sec. 2.3 and 2.6].

One network for base, temporal and spatial super-resolution: what differs is the configuration, level by level.
Each block mixes space (convolutions, then attention among pixels), text, and time (attention or convolution), in this
order. As in the Efficient U-Net [Saharia et al. 2022, arXiv:2205.11487, App. B.1] resolution falls before a level's
blocks and rises after them, and skips are scaled by 1 / sqrt(2).
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, pairwise
from typing import Annotated, Literal, Self, TypeVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zoetrope.conditioning import Conditioning
from zoetrope.config import Config
from zoetrope.diffusion.anchor import anchor, departure
from zoetrope.diffusion.prediction import Prediction
from zoetrope.layers.attention import (
    FeedForward,
    SpatialAttention,
    TemporalAttention,
    TextAttention,
    modulated,
)
from zoetrope.layers.convolution import (
    Downsample,
    Merge,
    ResidualBlock,
    TemporalConv,
    Upsample,
)
from zoetrope.layers.embedding import FramePosition, GuidanceEmbedding, LogSNREmbedding, PixelPosition, TextPool
from zoetrope.layers.in_place import plus, plus_product, silu
from zoetrope.layers.patches import Enter, Leave
from zoetrope.layers.zero import zero
from zoetrope.networks import Network, NetworkConfig, Part, Reach, Width
from zoetrope.shapes import expect_shape

LARGEST = 2**35  # blocks x width^2 of all levels, some forty parameters each: 250 times the paper's largest network
SKIP_SCALE = 1 / math.sqrt(2)
Value = TypeVar("Value")


def _kept(values: Iterable[Value]) -> tuple[Iterator[Value], Iterator[Value]]:
    """The values, and the same once more for one who comes later. `itertools.tee` would hold on to many for long."""
    queue: deque[Value] = deque()

    def now() -> Iterator[Value]:
        for value in values:
            queue.append(value)
            yield value

    def later() -> Iterator[Value]:
        while queue:
            yield queue.popleft()

    return now(), later()


class Level(Config):
    """One resolution of a U-Net.

    Attributes:
        width: channels.
        blocks: blocks on the way down and again on the way up; the last level has them once.
        convolution: whether a block has spatial convolutions.
        spatial_attention, text_attention: what its pixels attend to. Blocks with attention end in a feed-forward.
        temporal: what mixes frames.
    """

    width: Width
    blocks: Annotated[int, Field(ge=1, le=256)] = 1
    convolution: bool = True
    spatial_attention: bool = False
    text_attention: bool = False
    temporal: Literal["attention", "convolution"] | None = None

    @property
    def attends(self) -> bool:
        """Whether there is attention of any sort."""
        return self.spatial_attention or self.text_attention or self.temporal == "attention"


class VideoUNetConfig(NetworkConfig):
    """A space-time U-Net, from its finest level to its coarsest.

    Attributes:
        low_res: whether a conditioning video is concatenated to z, with the level of its noise embedded.
        patch: pixels of each patch x patch block that are moved into channels at the input: full resolution for less.
        embedding: width of the conditioning vector; head: channels of an attention head.
        positions: whether frames and pixels are told where they lie in the clip and in the frame, beside the relative
            positions of attention, which are all the paper speaks of. Not for stages that are trained on crops.
        anchored: whether the answer begins at that of a video which is low_res, and every pixel decides how far it
            stays there. What low_res tells already, flat areas and given frames, is then right from the first step of
            training. For networks that predict v.
        checkpointing: recompute blocks in the backward pass instead of keeping their activations.
        levels: resolutions, the finest first; each has half the height and width of the one before it.
    """

    patch: Annotated[int, Field(ge=1, le=256)] = 1
    embedding: Width = 256
    head: Width = 32
    positions: bool = False
    anchored: bool = False
    checkpointing: bool = False
    levels: Annotated[tuple[Level, ...], Field(min_length=1, max_length=12)] = (
        Level(width=32, temporal="convolution"),
        Level(width=64, spatial_attention=True, text_attention=True, temporal="attention"),
    )

    def build(self) -> "VideoUNet":
        """The network with fresh weights."""
        return VideoUNet(self)

    @property
    def predicts(self) -> Prediction | None:
        """v, where the answer has an anchor."""
        return "v" if self.anchored else None

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        """A few bytes of JSON must not ask for a network that no machine could hold."""
        size = sum(level.blocks * level.width**2 for level in self.levels)
        if size > LARGEST:
            raise ValueError(f"levels: expected a sum of blocks x width^2 of at most {LARGEST:,}, got {size:,}")
        return self

    @model_validator(mode="after")
    def _has_an_anchor(self) -> Self:
        if self.anchored and not self.low_res:
            raise ValueError("anchored: expected false without low_res, which is the anchor")
        return self

    @model_validator(mode="after")
    def _whole_heads(self) -> Self:
        for index, level in enumerate(self.levels):
            if level.attends and level.width % self.head:
                raise ValueError(f"levels.{index}.width: expected a multiple of head = {self.head}, got {level.width}")
        return self

    def check(self, frames: int, height: int, width: int) -> None:
        """Raise ValueError unless height and width are multiples of the coarsest level's pixel."""
        pixel = self.patch * 2 ** (len(self.levels) - 1)
        for name, size in (("height", height), ("width", width)):
            if size % pixel:
                near = max(pixel, round(size / pixel) * pixel)
                raise ValueError(f"{name}: expected a multiple of {pixel}, got {size}; the nearest is {near}")

    def reach(self) -> Reach:
        """The receptive field: local wherever there are convolutions alone, and no positions in frame and clip."""
        path = [*range(len(self.levels)), *range(len(self.levels) - 2, -1, -1)]  # down, and up again
        frames: int | None = sum(self.levels[i].blocks * (self.levels[i].temporal == "convolution") for i in path)
        pixels: int | None = self._pixels(path)
        if self.positions or any(level.temporal == "attention" for level in self.levels):
            frames = None
        if self.positions or any(level.spatial_attention for level in self.levels):
            pixels = None
        streams = not (self.positions or any(level.temporal == "attention" for level in self.levels))
        return Reach(frames, pixels, self.patch * 2 ** (len(self.levels) - 1), streams)

    def _pixels(self, path: list[int]) -> int:
        """How far the convolutions of all blocks on the path see, followed from the output to the input."""
        far, before = self.patch, 0  # the last convolution's
        for index in reversed(path):
            pixel = self.patch * 2**index
            if index > before:  # a coarse pixel is seen as a whole
                far = math.ceil(far / pixel) * pixel
            far += pixel * 2 * self.levels[index].blocks * self.levels[index].convolution
            before = index
        return far + self.patch  # the first convolution's


class Block(nn.Module):
    """Space, text and time at one resolution. h (B, F, H, W, D) -> same."""

    def __init__(self, level: Level, config: VideoUNetConfig):
        super().__init__()
        width, heads = level.width, level.width // config.head
        self.spatial = ResidualBlock(width, config.embedding) if level.convolution else None
        self.temporal_conv = TemporalConv(width) if level.temporal == "convolution" else None
        self.spatial_attention = SpatialAttention(width, heads) if level.spatial_attention else None
        self.text_attention = TextAttention(width, heads, config.embedding) if level.text_attention else None
        self.temporal_attention = TemporalAttention(width, heads) if level.temporal == "attention" else None
        self.feed_forward = FeedForward(width, config.embedding) if level.attends else None

    def forward(self, h: Tensor, e: Tensor, tokens: Tensor, mask: Tensor, images: Tensor | None) -> Tensor:
        h = self._before(h, e)
        if self.temporal_conv is not None:
            h = plus(h, self.temporal_conv(h, images))
        return self._after(h, e, tokens, mask, images)

    def stream(self, parts: Iterable[Tensor], e: Tensor, tokens: Tensor, mask: Tensor) -> Iterator[Tensor]:
        """The same of a video that comes in parts, for a block without temporal attention."""
        parts = (self._before(h, e) for h in parts)
        if self.temporal_conv is not None:
            parts = self.temporal_conv.stream(parts)
        return (self._after(h, e, tokens, mask, None) for h in parts)

    def _before(self, h: Tensor, e: Tensor) -> Tensor:
        """What comes before frames are convolved with their neighbours."""
        return h if self.spatial is None else self.spatial(h, e)

    def _after(self, h: Tensor, e: Tensor, tokens: Tensor, mask: Tensor, images: Tensor | None) -> Tensor:
        if self.spatial_attention is not None:
            h = plus(h, self.spatial_attention(h))
        if self.text_attention is not None:
            h = plus(h, self.text_attention(h, tokens, mask))
        if self.temporal_attention is not None:
            h = plus(h, self.temporal_attention(h, images))
        if self.feed_forward is not None:
            h = plus(h, self.feed_forward(h, e))
        return h


class VideoUNet(Network):
    """The network of a `VideoUNetConfig`; see there."""

    def __init__(self, config: VideoUNetConfig):
        super().__init__()
        self.config = config
        width, levels = config.embedding, config.levels
        self.logsnr = LogSNREmbedding(width)
        self.low_res_logsnr = LogSNREmbedding(width) if config.low_res else None
        self.guidance = GuidanceEmbedding(width) if config.guided else None
        # Time, text and place of a frame are added up, then mixed: "to the left" means another thing in each frame.
        self.mix = nn.Sequential(nn.Linear(width, width), nn.SiLU(), zero(nn.Linear(width, width)))
        self.frame_position = FramePosition(width) if config.positions else None
        self.pixel_positions = nn.ModuleList(PixelPosition(x.width) for x in levels) if config.positions else None
        self.text_in = nn.Sequential(nn.LayerNorm(config.text_width or 1), nn.Linear(config.text_width or 1, width))
        self.null_text = nn.Parameter(nn.init.normal_(torch.empty(width), std=0.02))
        self.text_pool = TextPool(width, max(1, width // 64))
        self.enter = Enter(config.channels * (2 if config.low_res else 1), config.patch, levels[0].width)
        self.down = nn.ModuleList(nn.ModuleList(Block(x, config) for _ in range(x.blocks)) for x in levels)
        self.up = nn.ModuleList(nn.ModuleList(Block(x, config) for _ in range(x.blocks)) for x in levels[:-1])
        pairs = list(pairwise(levels))
        self.coarser = nn.ModuleList(Downsample(fine.width, coarse.width) for fine, coarse in pairs)
        self.finer = nn.ModuleList(Upsample(coarse.width, fine.width) for fine, coarse in pairs)
        self.merge = nn.ModuleList(Merge(fine.width) for fine in levels[:-1])
        self.norm = nn.LayerNorm(levels[0].width)
        self.modulation = zero(nn.Linear(width, 2 * levels[0].width))
        self.leave = zero(Leave(levels[0].width, config.channels + config.anchored, config.patch))
        # At low noise v is mostly the noise in z, and a super-resolved video is mostly the one that it is made from:
        # letting z and low_res themselves through, by gains that the noise levels decide, leaves the blocks to paint
        # pictures instead of carrying noise, and training starts faster.
        self.gain = zero(nn.Linear(width, 2 if config.low_res else 1))

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        """Output like z (B, C, F, H, W) at noise level logsnr (B,)."""
        images = conditioning.images
        tokens, mask = self._text(z, conditioning)
        e = nn.functional.silu(self._embedding(z, logsnr, conditioning, tokens, mask, images))
        context = (e, tokens, mask, images)

        videos = self._videos(Part(z, conditioning.maps))
        h = self.enter(videos)
        skips = []
        for index, blocks in enumerate(self.down):
            if index > 0:
                skips.append(h)
                h = self.coarser[index - 1](h)
            if self.pixel_positions is not None:
                h = h + self.pixel_positions[index](*h.shape[2:4], h.device).to(h.dtype)
            h = self._run(blocks, h, context)
        for index in reversed(range(len(skips))):
            h = self._run(self.up[index], self._merged(index, h, skips[index]), context)
        return self._left(h, e, videos, logsnr, conditioning)

    def stream(self, parts: Iterable[Part], logsnr: Tensor, conditioning: Conditioning) -> Iterator[Tensor]:
        """See `Network.stream`: every layer hands a part on as soon as it has seen the frame that follows it."""
        if not self.config.reach().streams:
            yield from super().stream(parts, logsnr, conditioning)
            return
        parts = iter(parts)
        first = next(parts)
        tokens, mask = self._text(first.z, conditioning)
        e = nn.functional.silu(self._embedding(first.z, logsnr, conditioning, tokens, mask, None))
        videos, known = _kept(self._videos(part) for part in chain([first], parts))
        del first
        h: Iterator[Tensor] = map(self.enter, videos)
        skips = []
        for index, blocks in enumerate(self.down):
            if index > 0:
                h, kept = _kept(h)
                skips.append(kept)
                h = map(self.coarser[index - 1], h)
            h = self._stream(blocks, h, e, tokens, mask)
        for index in reversed(range(len(skips))):
            h = self._stream(self.up[index], map(partial(self._merged, index), h, skips[index]), e, tokens, mask)
        for each, video in zip(h, known, strict=True):
            yield self._left(each, e, video, logsnr, conditioning)
            del each, video

    def _stream(
        self, blocks: nn.Module, h: Iterator[Tensor], e: Tensor, tokens: Tensor, mask: Tensor
    ) -> Iterator[Tensor]:
        for block in blocks.children():
            assert isinstance(block, Block)
            h = block.stream(h, e, tokens, mask)
        return h

    def _videos(self, part: Part) -> list[Tensor]:
        """What enters: z, and low_res beside it in a network for super-resolution."""
        if not self.config.low_res:
            return [part.z]
        low_res = part.maps.get("low_res")
        if low_res is None:
            raise ValueError("maps: expected 'low_res', the previous stage's video, got none")
        expect_shape("maps['low_res']", low_res, *part.z.shape)
        return [part.z, low_res.to(part.z.dtype)]

    def _merged(self, index: int, h: Tensor, skip: Tensor) -> Tensor:
        """A coarse level's result and what its finer level had before, at the resolution of the latter."""
        return self.merge[index](self.finer[index], h, skip, SKIP_SCALE)

    def _left(
        self, h: Tensor, e: Tensor, videos: Sequence[Tensor], logsnr: Tensor, conditioning: Conditioning
    ) -> Tensor:
        """The output (B, C, F, H, W) of the last features and of the videos that entered."""
        h, like = modulated(self.norm, h, self.modulation(e)), videos[0].dtype
        out = self.leave(silu(h)).to(like)
        out, leaving = (out[:, :-1], out[:, -1:]) if self.config.anchored else (out, None)
        for gain, video in zip(self.gain(e).to(like).unbind(-1), videos, strict=True):  # each (B, F or 1)
            out = plus_product(out, gain[:, None, :, None, None], video)
        if leaving is None:
            return out
        known = anchor(videos[0], videos[1], logsnr, conditioning.numbers["low_res_logsnr"])
        return known + departure(plus_product(out, leaving, known))

    def matrices(self) -> Iterator[Tensor]:
        """The weights of linear maps and convolutions between the first and the last."""
        for part in (self.mix, self.down, self.up, self.coarser, self.finer, self.merge):
            for module in part.modules():
                if isinstance(module, nn.Linear | nn.Conv2d):
                    yield module.weight

    def blocks(self) -> Iterator[nn.Module]:
        """The blocks of all levels, down and up."""
        for level in (*self.down, *self.up):
            yield from level.children()

    def _run(self, blocks: nn.Module, h: Tensor, context: tuple[Tensor | None, ...]) -> Tensor:
        for block in blocks.children():
            if self.config.checkpointing and torch.is_grad_enabled():
                h = checkpoint(block, h, *context, use_reentrant=False)
            else:
                h = block(h, *context)
        return h

    def _text(self, z: Tensor, conditioning: Conditioning) -> tuple[Tensor, Tensor]:
        """Tokens (N, L', E) and mask: one text a video (N = B), or one a frame (N = B F) where text is (B, F, L, D).

        Where there is no text the first token is one that stands for that. L' is L or more, a multiple of 16: attention
        to so many takes no longer than to a few less.
        """
        given = conditioning.tokens.get("text")
        if given is None:
            null = self.null_text.expand(len(z), 1, -1)
            return null, torch.ones(null.shape[:2], dtype=torch.bool, device=z.device)
        text, mask = given.values, given.mask
        if text.shape[-1] != self.config.text_width:
            raise ValueError(f"text: expected width {self.config.text_width}, got {text.shape[-1]}: another encoder?")
        text, mask = text.flatten(0, -3), mask.flatten(0, -2)
        if len(text) not in (len(z), len(z) * z.shape[2]):
            raise ValueError(f"text: expected {len(z)} texts or one for each frame, got {len(text)}")
        more = -mask.shape[1] % 16 if mask.shape[1] else 16
        tokens, mask = self.text_in(nn.functional.pad(text, (0, 0, 0, more))), nn.functional.pad(mask, (0, more))
        null = nn.functional.pad(~mask.any(-1, keepdim=True), (0, mask.shape[1] - 1))
        return torch.where(null[..., None], self.null_text.to(tokens.dtype), tokens), mask | null

    def _embedding(
        self, z: Tensor, logsnr: Tensor, conditioning: Conditioning, tokens: Tensor, mask: Tensor, images: Tensor | None
    ) -> Tensor:
        """The conditioning vector (B, F or 1, E)."""
        e = self.logsnr(logsnr)[:, None] + self.text_pool(tokens, mask).unflatten(0, (len(z), -1))
        if self.low_res_logsnr is not None:
            e = e + self.low_res_logsnr(_number(conditioning, "low_res_logsnr", "the noise level of low_res"))[:, None]
        if self.guidance is not None:
            e = e + self.guidance(_number(conditioning, "guidance", "the weight of guidance"))[:, None]
        if self.frame_position is not None and z.shape[2] > 1:
            places = self.frame_position(z.shape[2], z.device)
            e = e + (places if images is None else places * ~images[:, None, None])
        return e + self.mix(nn.functional.silu(e))


def _number(conditioning: Conditioning, name: str, what: str) -> Tensor:
    """A number (B,) that the network cannot do without. Raises ValueError if it is not there."""
    if name not in conditioning.numbers:
        raise ValueError(f"numbers: expected {name!r}, {what} (B,), got none")
    return conditioning.numbers[name]
