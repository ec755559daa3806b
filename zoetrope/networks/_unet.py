"""The network of a `zoetrope.networks.video_unet.VideoUNetConfig`."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.tensors import has_data
from zoetrope.layers.attention import SpatialAttention, TemporalAttention
from zoetrope.layers.convolution import Downsample, KeepFrames, Merge, RepeatFrames, Upsample
from zoetrope.layers.elementwise import Modulated, SiLU, SumOfProduct
from zoetrope.layers.embedding import FramePosition, GuidanceEmbedding, LogSNREmbedding, PixelPosition, TextPool
from zoetrope.layers.patches import Enter, Leave
from zoetrope.layers.positions import are_consecutive, are_even, distances_between, frame_positions, spacing
from zoetrope.layers.zero import zero
from zoetrope.networks import Former, FrameChunk, Network
from zoetrope.networks._beside import Beside
from zoetrope.networks._checkpointing import called
from zoetrope.networks._given import embedded_beyond, lone_or_last, number, videos_given, with_numbers
from zoetrope.networks._passing import anchored, passed
from zoetrope.networks._text import text_tokens
from zoetrope.networks._unet_block import Block, BlockContext, Level
from zoetrope.networks._unet_stream import streamed
from zoetrope.networks.video_unet import VideoUNetConfig

SKIP_SCALE = 1 / math.sqrt(2)
OF_MAPS = ("enter.conv.weight", "gain.weight", "gain.bias")
"""The tensors that depend on the maps, those of the first convolution first."""
PASSED = ("low_res", "first_frame", "region")
"""Maps that also pass to the output, the first of a network's: masks and maps of other quantities do not."""


class VideoUNet(Network):
    """The space-time U-Net.

    `forward` is `context`, `enter`, `descend`, `ascend` and `answer`: a network that controls this one, such as a
    ControlNet, changes what passes between them.
    """

    def __init__(self, config: VideoUNetConfig):
        super().__init__()
        self.config = config
        width, levels = config.embedding, config.levels
        self.logsnr = LogSNREmbedding(width)
        self.low_res_logsnr = LogSNREmbedding(width) if config.low_res else None
        self.first_frame_logsnr = _from_zero(LogSNREmbedding(width), width) if config.first_frame else None
        self.guidance = GuidanceEmbedding(width) if config.guided else None
        # Noise level, text and frame position are summed, then mixed: the effect of the text may depend on the frame.
        self.mix = nn.Sequential(nn.Linear(width, width), nn.SiLU(), zero(nn.Linear(width, width)))
        self.frame_position = FramePosition(width) if config.positions else None
        self.pixel_positions = nn.ModuleList(PixelPosition(x.width) for x in levels) if config.positions else None
        if config.text_width is not None:
            self.text_in = nn.Sequential(nn.LayerNorm(config.text_width), nn.Linear(config.text_width, width))
            self.null_text = nn.Parameter(nn.init.normal_(torch.empty(width), std=0.02))
            self.text_pool = TextPool(width, max(1, width // 64))
        self.beside = Beside.of(config, width)
        self.enter = Enter(config.channels + sum(config.concatenated.values()), config.patch, levels[0].width)
        self.down = nn.ModuleList(_blocks(level, config) for level in levels)
        self.up = nn.ModuleList(_blocks(level, config) for level in levels[:-1])
        pairs = list(pairwise(levels))
        self.coarser = nn.ModuleList(Downsample(fine.width, coarse.width) for fine, coarse in pairs)
        self.finer = nn.ModuleList(Upsample(coarse.width, fine.width) for fine, coarse in pairs)
        self.merge = nn.ModuleList(Merge(fine.width) for fine in levels[:-1])
        self.fewer = nn.ModuleList(KeepFrames(x.width, x.every) if x.every > 1 else nn.Identity() for x in levels)
        self.more = nn.ModuleList(RepeatFrames(x.width, x.every) if x.every > 1 else nn.Identity() for x in levels)
        self.norm = nn.LayerNorm(levels[0].width)
        self.modulation = zero(nn.Linear(width, 2 * levels[0].width))
        self.leave = zero(Leave(levels[0].width, config.channels + config.anchored, config.patch))
        self.gain = zero(nn.Linear(width, 1 + sum(getattr(config, name) for name in PASSED)))
        self.modulated, self.silu, self.sum_of_product = Modulated(), SiLU(), SumOfProduct()

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        """Output like z (B, C, F, H, W) at noise level logsnr, (B,) or (B, F)."""
        context = self.whole_context(z, logsnr, conditioning)
        videos = self.videos(FrameChunk(z, conditioning.maps))
        h, skips = self.descend(self.enter(videos), context)
        return self.answer(self.ascend(h, skips, context), context.e, videos, logsnr, conditioning)

    def stream(self, parts: Iterable[FrameChunk], logsnr: Tensor, conditioning: Conditioning) -> Iterator[Tensor]:
        """See `Network.stream`: every layer passes a part on once it has seen the frame after it."""
        if not self.config.reach().streams:
            return super().stream(parts, logsnr, conditioning)
        return streamed(self, parts, logsnr, conditioning)

    def whole_context(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> BlockContext:
        """`context` for a whole video. Raises ValueError also for values of another number of frames."""
        context = self.context(z, logsnr, conditioning)
        for name, value in (("logsnr, numbers", context.e), ("images", context.images)):
            if value is not None and value.shape[1] not in (1, z.shape[2]):
                raise ValueError(f"{name}: expected one for each of {z.shape[2]} frames, got {value.shape[1]}")
        return context

    def context(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> BlockContext:
        """The conditioning of the blocks. Raises ValueError for missing, misshapen or unsupported inputs."""
        images, frames = lone_or_last(conditioning.images, z), z.shape[2]
        if self.config.strides[-1] > 1:
            if images is not None and images.any():
                raise ValueError("images: expected none, the frames of a pack cannot cross the strides of `every`")
            self.config.check(*z.shape[2:])
        tokens, mask = None, None
        if self.config.text_width is not None:
            text = conditioning.tokens.get("text")
            tokens, mask = text_tokens(text, self.config.text_width, self.text_in, self.null_text, (len(z), frames))
        distances, even = self._distances(conditioning.times, images, frames)
        e = embedded_beyond("logsnr", logsnr, z, self.logsnr)
        if tokens is not None:
            e = e + self.text_pool(tokens, mask).unflatten(0, (len(z), -1))
        e = with_numbers(e, z, conditioning, self.low_res_logsnr, self.guidance, embedded_beyond)
        if self.first_frame_logsnr is not None:
            level = number(conditioning, "first_frame_logsnr", "the noise level of first_frame")
            e = e + embedded_beyond("numbers['first_frame_logsnr']", level, z, self.first_frame_logsnr)
        if self.beside is not None:
            e = e + self.beside(z, conditioning, embedded_beyond)
        if self.frame_position is not None and frames > 1:
            alone = None if images is None or images.shape[1] == 1 else images
            times = conditioning.times if alone is not None or not even else None
            places = self.frame_position(frame_positions(times, frames, alone, z.device))
            e = e + (places if images is None else places * ~images[..., None])
        e = e + self.mix(nn.functional.silu(e))
        return BlockContext(nn.functional.silu(e), tokens, mask, images, distances)

    def videos(self, part: FrameChunk) -> list[Tensor]:
        """The videos to concatenate: z, and maps, such as low_res in a network for super-resolution."""
        return videos_given(part.z, part.maps, self.config.concatenated)

    def descend(self, h: Tensor, context: BlockContext) -> tuple[Tensor, list[Tensor]]:
        """From the finest level to the coarsest: the coarsest features, and a skip from each level before it.

        Takes h (B, F, H, W, D); the results are (B, F', H', W', D') of their levels, skips from fine to coarse.
        """
        skips: list[Tensor] = []
        for index, blocks in enumerate(self.down):
            if index > 0:
                skips.append(h)
                h = self.coarser[index - 1](h)
            h = self.fewer[index](h)
            if self.pixel_positions is not None:
                h = h + self.pixel_positions[index](*h.shape[2:4], h.device).to(h.dtype)
            h = self._run(blocks, h, context.every(self.config.strides[index]))
        return h, skips

    def ascend(self, h: Tensor, skips: Sequence[Tensor], context: BlockContext) -> Tensor:
        """From the coarsest level to the finest: features (B, F, H, W, D) from the results of `descend`."""
        h = self.more[len(skips)](h)
        for index in reversed(range(len(skips))):
            h = self._run(
                self.up[index], self.merged(index, h, skips[index]), context.every(self.config.strides[index])
            )
            h = self.more[index](h)
        return h

    def merged(self, index: int, h: Tensor, skip: Tensor) -> Tensor:
        """A coarse level's output, upsampled and merged with the skip of the next finer level."""
        return self.merge[index](self.finer[index], h, skip, SKIP_SCALE)

    def answer(
        self, h: Tensor, e: Tensor, videos: Sequence[Tensor], logsnr: Tensor, conditioning: Conditioning
    ) -> Tensor:
        """The output (B, C, F, H, W) from the last features and the input videos."""
        h, like = self.modulated(self.norm, h, self.modulation(e)), videos[0].dtype
        out = self.leave(self.silu(h)).to(like)
        out, leaving = (out[:, :-1], out[:, -1:]) if self.config.anchored else (out, None)
        out = passed(out, self.gain(e), videos, self.sum_of_product)
        return out if leaving is None else anchored(out, leaving, videos, logsnr, conditioning, self.sum_of_product)

    def matrices(self) -> Iterator[Tensor]:
        """The weights of linear maps and convolutions, except for the first and the last."""
        for part in (self.mix, self.down, self.up, self.coarser, self.finer, self.merge, self.fewer, self.more):
            for module in part.modules():
                if isinstance(module, nn.Linear | nn.Conv2d):
                    yield module.weight

    def blocks(self) -> Iterator[nn.Module]:
        """The blocks of all levels, down and up."""
        for level in (*self.down, *self.up):
            yield from level.children()

    def grown(self, stored: Mapping[str, Tensor], maps: Mapping[str, int] | None) -> dict[str, Tensor]:
        """See `Network.grown`: the first convolution sees more maps, and more of these videos pass to the output."""
        of_maps = {name: stored[name] for name in OF_MAPS if name in stored}
        if maps is None:
            if all(value.shape == self.get_parameter(name).shape for name, value in of_maps.items()):
                return {}
            self._expect_known(of_maps.get(OF_MAPS[0]))
        elif other := [f"{name} ({size} channels)" for name, size in (maps.items() - self.config.concatenated.items())]:
            raise ValueError(f"maps: expected those that the network is given, {self._told_maps()}, got {other[0]}")
        placed = {name: self._placed(name, value, maps or {}) for name, value in of_maps.items()}
        found = {name: value for name, value in placed.items() if value is not None}
        return found if len(found) == len(placed) else {}

    def _placed(self, name: str, value: Tensor, maps: Mapping[str, int]) -> Tensor | None:
        """A tensor of a network that is given these maps, with zeros for all others; None: it is of no such one."""
        own, pixels = self.get_parameter(name), self.config.patch**2
        sizes = {"": self.config.channels} | self.config.concatenated
        if name == OF_MAPS[0]:  # its inputs: the pixels of a patch, and in each all channels
            if value.ndim != own.ndim or value.shape[1] % pixels:
                return None
            own, value = (x.unflatten(1, (pixels, -1)).transpose(0, 2) for x in (own.detach(), value))
        else:
            sizes = {"": 1} | {video: 1 for video in PASSED if getattr(self.config, video)}
        theirs = {video: sizes[video] for video in ("", *maps) if video in sizes}
        if own.shape[1:] != value.shape[1:] or sum(theirs.values()) != len(value):
            return None
        parts = dict(zip(theirs, value.split(list(theirs.values())), strict=True))
        zeros = {video: value.new_zeros(size, *value.shape[1:]) for video, size in sizes.items()}
        more = torch.cat(list((zeros | parts).values()))
        return more.transpose(0, 2).flatten(1, 2) if name == OF_MAPS[0] else more

    def _expect_known(self, entering: Tensor | None) -> None:
        """Raise ValueError for a first convolution that sees some maps, if it is not known which."""
        inputs = 0 if entering is None or entering.ndim != 4 else entering.shape[1] // self.config.patch**2
        if self.config.channels < inputs < self.config.channels + sum(self.config.concatenated.values()):
            raise ValueError(
                f"maps: expected to know which of {self._told_maps()} these weights are given, which a file alone does "
                "not tell; name its model or run"
            )

    def _told_maps(self) -> str:
        return " and ".join(self.config.concatenated) or "none"

    def formerly(self) -> Mapping[str, Former]:
        """Query, key and value of spatial and temporal attention were once a single matrix, "qkv"."""
        found = {}
        for name, module in self.named_modules():
            if isinstance(module, SpatialAttention | TemporalAttention):
                [width] = module.norm.normalized_shape
                found[f"{name}.query.weight"] = Former(f"{name}.qkv.weight", 0, width)
                found[f"{name}.key_value.weight"] = Former(f"{name}.qkv.weight", width, 3 * width)
        return found

    def _run(self, blocks: nn.Module, h: Tensor, context: BlockContext) -> Tensor:
        for block in blocks.children():
            h = called(block, h, context, checkpointing=self.config.checkpointing)
        return h

    def _distances(self, times: Tensor | None, images: Tensor | None, frames: int) -> tuple[Tensor | None, bool]:
        """Distances between frames, None where each is 1 from the next; and whether the frames are evenly spaced.

        Raises ValueError for frames at the same time, and for uneven ones in a network with temporal convolutions,
        which assume neighbours.
        """
        if times is None or frames == 1 or not has_data(times):  # in a dry run
            return None, True
        alone = None if images is None else images.expand(times.shape)
        times = times if alone is None else times.masked_fill(alone, 0.0)
        unit = spacing(times, alone) if self.config.fps is None else 1 / self.config.fps
        distances = distances_between(times, unit, alone)
        even = are_even(distances, alone)
        if not even and self.config.needs_even_frames:
            raise ValueError(
                "times: expected frames at equal distances, one after the other: what lies in a row is mixed"
            )
        plain = are_consecutive(distances, alone) if alone is not None else even and (distances[:, 0, 1] == 1).all()
        return (None if plain else distances), even


def _from_zero(embedding: nn.Module, width: int) -> nn.Module:
    """An embedding that begins as zeros."""
    return nn.Sequential(embedding, nn.SiLU(), zero(nn.Linear(width, width)))


def _blocks(level: Level, config: VideoUNetConfig) -> nn.ModuleList:
    return nn.ModuleList(Block(level, config.head, config.embedding, config.relative) for _ in range(level.blocks))
