"""The network of a `zoetrope.networks.dit.DiTConfig`."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoetrope.conditioning import Conditioning, Tokens
from zoetrope.diffusion.tensors import has_data
from zoetrope.layers.elementwise import SumOfProduct
from zoetrope.layers.embedding import GuidanceEmbedding, LogSNREmbedding
from zoetrope.layers.linear import Linear
from zoetrope.layers.rotary import grid_phases, phases
from zoetrope.layers.tokens import Past, ScaledNorm, glorot, mapped, patches, video_of
from zoetrope.layers.zero import zero
from zoetrope.networks import ClipBatch, Network
from zoetrope.networks._beside import Beside
from zoetrope.networks._checkpointing import called
from zoetrope.networks._dit_block import TokenBlock, Told, outputs_of
from zoetrope.networks._given import embedded, lone_frames, videos_given, with_numbers
from zoetrope.networks._passing import anchored, passed
from zoetrope.networks._text import TextInput
from zoetrope.networks.dit import DiTConfig
from zoetrope.shapes import expect_shape


class FramesKept(NamedTuple):
    """What a causal network keeps of the frames that it has seen: their number, and each block's keys and values."""

    frames: int
    blocks: tuple[tuple[Tensor, Tensor], ...]


class DiT(Network):
    """The transformer on spacetime patches."""

    def __init__(self, config: DiTConfig):
        super().__init__()
        self.config = config
        width, told = config.width, config.told
        inside, outside = config.channels + sum(config.concatenated.values()), config.channels + config.anchored
        rows = config.patch[0] * config.patch[1] * config.patch[2]
        self.logsnr = LogSNREmbedding(told, 256)
        self.low_res_logsnr = LogSNREmbedding(told, 256) if config.low_res else None
        self.guidance = GuidanceEmbedding(told) if config.guided else None
        heads = width // config.head
        self.text = None if config.text_width is None else TextInput(config.text_width, told, heads)
        self.beside = Beside.of(config, told)
        self.enter = glorot(Linear(rows * inside, width))
        self.modulation = zero(nn.Linear(told, outputs_of(config))) if config.modulation == "shared" else None
        self.layers = nn.ModuleList(TokenBlock(config) for _ in range(config.depth))
        self.last_modulation = zero(nn.Linear(told, 2 * width))
        self.leave = zero(Linear(width, rows * outside))
        self.gain = zero(nn.Linear(told, 2 if config.low_res else 1))
        self.norm, self.sum_of_product = ScaledNorm(), SumOfProduct()

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        """Output like z (B, C, F, H, W) at noise level logsnr, (B,) or (B, F)."""
        return self._answers([ClipBatch(z, logsnr, conditioning)])[0]

    def pack(self, videos: Sequence[ClipBatch]) -> list[Tensor]:
        """See `Network.pack`: linear maps take the tokens of all videos at once, attention those of each."""
        return self._answers(videos)

    def continued(
        self, z: Tensor, logsnr: Tensor, conditioning: Conditioning, earlier: FramesKept | None = None
    ) -> tuple[Tensor, FramesKept]:
        """The output for frames that follow `earlier` ones, as of the whole, and the rollout up to their end.

        `conditioning` is that of the new frames alone. Without `times` they follow the earlier ones at the `fps` of the
        config. To denoise frames, call this with the same `earlier` at each step; to go on after them, call it once
        more with the frames as known, and keep that rollout.

        Raises ValueError unless the network is causal, and for independent images.
        """
        if not self.config.causal:
            raise ValueError("causal: expected true to continue a clip, got false: its frames see later ones")
        if conditioning.images is not None and bool(conditioning.images.any()):
            raise ValueError("images: expected none in a clip that is continued, got independent images")
        if z.shape[2] % self.config.patch[0]:
            raise ValueError(f"frames: expected a multiple of {self.config.patch[0]} to go on with, got {z.shape[2]}")
        pasts = [Past(None if earlier is None else earlier.blocks[index]) for index in range(self.config.depth)]
        start = 0 if earlier is None else earlier.frames
        [out] = self._answers([ClipBatch(z, logsnr, conditioning)], pasts, start)
        return out, FramesKept(start + z.shape[2], tuple(past.after for past in pasts if past.after is not None))

    def matrices(self) -> Iterator[Tensor]:
        """The weights of the blocks' linear maps."""
        for module in self.layers.modules():
            if isinstance(module, nn.Linear):
                yield module.weight

    def blocks(self) -> Iterator[nn.Module]:
        """The blocks."""
        yield from self.layers

    def _answers(
        self, videos: Sequence[ClipBatch], pasts: Sequence[Past] | None = None, start: int = 0
    ) -> list[Tensor]:
        """The output for each video, whose first frame is number `start` of its clip."""
        patch, many = self.config.patch, [video.z.shape[2] > 1 for video in videos]
        for video in videos:
            self.config.check(*video.z.shape[2:])
        clips = [_still(video, patch[0]) for video in videos]
        given = [videos_given(clip.z, clip.conditioning.maps, self.config.concatenated) for clip in clips]
        told = [self._told(clip, start) for clip in clips]
        vectors = [each.e for each in told]
        h = mapped(self.enter, [torch.cat([patches(x, patch) for x in each], dim=-1) for each in given])
        if self.modulation is not None:
            shared = mapped(self.modulation, vectors)
            told = [each._replace(e=e) for each, e in zip(told, shared, strict=True)]
        for index, layer in enumerate(self.layers):
            past = None if pasts is None else pasts[index]
            h = called(layer, h, told, past, checkpointing=self.config.checkpointing)
        h = [self.norm(x, m) for x, m in zip(h, mapped(self.last_modulation, vectors), strict=True)]
        ends = zip(mapped(self.leave, h), vectors, given, clips, strict=True)
        made = [self._answer(*each) for each in ends]
        return [out if several else out.mean(2, keepdim=True) for out, several in zip(made, many, strict=True)]

    def _told(self, clip: ClipBatch, start: int) -> Told:
        """The conditioning of the blocks. Raises ValueError for missing, misshapen or unsupported inputs."""
        z, logsnr, conditioning = clip
        every, tokens, mask = self.config.patch[0], None, None
        e = embedded("logsnr", logsnr, z, self.logsnr)
        if self.text is not None:
            tokens, mask, pooled = self.text(conditioning.tokens.get("text"), len(z), z.shape[2])
            if every > 1 and pooled.shape[1] > 1:
                tokens, mask = (x.unflatten(0, (len(z), -1))[:, ::every].flatten(0, 1) for x in (tokens, mask))
            e = e + pooled
        e = with_numbers(e, z, conditioning, self.low_res_logsnr, self.guidance)
        if self.beside is not None:
            e = e + self.beside(z, conditioning)
        if every > 1 and e.shape[1] > 1:
            e = e.unflatten(1, (-1, every)).mean(2)
        return Told(nn.functional.silu(e), self._phases(clip, start), tokens, mask, self._seen(clip))

    def _phases(self, clip: ClipBatch, start: int) -> tuple[Tensor, ...]:
        """Rotary positions of the patches' centres."""
        (every, rows, columns), config = self.config.patch, self.config
        frames, height, width = clip.z.shape[2:]
        seconds, device = clip.conditioning.times, clip.z.device
        if seconds is None:
            seconds = torch.arange(start, start + frames, device=device, dtype=torch.float64)[None] / config.fps
        else:
            expect_shape("times", seconds, len(clip.z), frames)
        time = seconds.double().unflatten(1, (-1, every)).mean(2) * config.per_second
        unit = config.per_height / (config.height or height)
        down, across = (
            (torch.arange(size // step, device=device, dtype=torch.float64) + 0.5) * (step * unit)
            for size, step in ((height, rows), (width, columns))
        )
        axes = time[:, :, None, None, None], down[None, None, :, None, None], across[None, None, None, :, None]
        if config.attention == "full":
            made = [grid_phases(axes, config.head, config.slowest)]
        else:
            in_frame = grid_phases(axes[1:], config.head, config.slowest)
            made = [in_frame, phases(axes[0], config.head // 2, config.slowest)]
        precise = torch.complex128 if clip.z.dtype == torch.float64 else torch.complex64
        return tuple(one.to(precise) for one in made)

    def _seen(self, clip: ClipBatch) -> Tensor | None:
        """Which frames each frame may look at, (B, F, F): independent images only at themselves. None: at all."""
        lone = lone_frames(clip.conditioning.images, clip.z)
        if lone is None:
            return None
        if self.config.patch[0] > 1:
            if has_data(lone) and lone.any():
                raise ValueError(
                    f"images: expected none, got frames that share patches of {self.config.patch[0]} frames with others"
                )
            return None
        own = torch.eye(lone.shape[1], dtype=torch.bool, device=lone.device)
        return own | ~(lone[:, :, None] | lone[:, None])

    def _answer(self, h: Tensor, e: Tensor, given: Sequence[Tensor], clip: ClipBatch) -> Tensor:
        """The output (B, C, F, H, W) from the features of patches and the input videos."""
        out, leaving = video_of(h, self.config.patch).to(clip.z.dtype), None
        if self.config.anchored:
            out, leaving = out[:, :-1], out[:, -1:]
        gains = self.gain(e)
        if gains.shape[1] > 1:
            gains = gains.repeat_interleave(self.config.patch[0], dim=1)
        out = passed(out, gains, given, self.sum_of_product)
        if leaving is None:
            return out
        return anchored(out, leaving, given, clip.logsnr, clip.conditioning, self.sum_of_product)


def _still(clip: ClipBatch, frames: int) -> ClipBatch:
    """A single image as a clip of equal frames; longer clips as they are."""
    if frames == 1 or clip.z.shape[2] > 1:
        return clip
    z, logsnr, given = clip

    def longer(value: Tensor) -> Tensor:
        return value if value.ndim == 1 else value.expand(-1, frames)

    return ClipBatch(
        z.expand(-1, -1, frames, -1, -1),
        longer(logsnr),
        replace(
            given,
            tokens={name: _of_video(tokens) for name, tokens in given.tokens.items()},
            maps={name: x.expand(-1, -1, frames, -1, -1) for name, x in given.maps.items()},
            numbers={name: longer(x) for name, x in given.numbers.items()},
            times=None if given.times is None else longer(given.times),
            images=None,
        ),
    )


def _of_video(tokens: Tokens) -> Tokens:
    """The tokens of the only frame, as those of the video."""
    return tokens.each(lambda value: value[:, 0]) if tokens.values.ndim == 4 else tokens
