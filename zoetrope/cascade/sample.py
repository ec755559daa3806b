"""Run one stage: from text, noise and the previous stage's video to this stage's video."""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zoetrope.cascade.local import Local, local_denoiser
from zoetrope.cascade.memory import Layout, layout_here
from zoetrope.cascade.noise import Noise, Scheme, window_noise
from zoetrope.cascade.spec import StageSpec
from zoetrope.cascade.tiles import Tile, one_by_one, tiled
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.denoise import Denoise, dynamically_thresholded, keeping, per_step
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.networks import Network
from zoetrope.samplers import Step
from zoetrope.shapes import Window

log = logging.getLogger(__name__)

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Which videos are sampled, and where: sample numbers of a seed, a device and the type networks compute in.

    Attributes:
        negative: text that guidance leads away from, with as many tokens as the prompts.
        memory: what the whole process may hold at its peak, in bytes; see `zoetrope.cascade.memory.plan_layout`.
        layout: used instead, if given.
        scheme: how noise is drawn from the seed and the sample numbers.
        noise: used instead, if given: the noise of the whole batch, on any device.
    """

    seed: int
    samples: Sequence[int]
    negative: Conditioning | None = None
    device: torch.device = CPU
    dtype: torch.dtype = torch.float32
    memory: int | None = None
    layout: Layout | None = None
    scheme: Scheme = "philox"
    noise: Noise | None = None

    def __post_init__(self) -> None:
        if self.dtype not in (torch.float32, torch.bfloat16, torch.float16):
            raise ValueError(f"dtype: expected torch.float32, torch.bfloat16 or torch.float16, got {self.dtype}")

    def row(self, number: int) -> "Draw":
        """The same for one video of the batch."""
        given = self.noise
        noise = None if given is None else lambda purpose, window: given(purpose, window)[number : number + 1]
        return replace(self, samples=[self.samples[number]], noise=noise)


def sample_stage(
    stage: StageSpec, network: Network, text: Conditioning, video: Tensor | None, draw: Draw
) -> Iterator[Tensor]:
    """Yield x_hat (B, C, F, H, W) after each denoising step of a stage; the last is what it made.

    It lies in [-1, 1] where the stage has a threshold.

    `text` holds one prompt for each of draw.samples; `video` (B, C, f, h, w) is what the previous stage made. The
    network works in tiles where memory asks for it, which changes the result by rounding at most. Whoever lets go of
    an x_hat before asking for the next one saves the memory of a video.

    Raises ValueError if draw.memory does not suffice, and for a distilled stage if it is asked for what it was not
    distilled for, or is given negative text.
    """
    stage.check_sampling()
    if draw.negative is not None and stage.network.guided and any(stage.sampling.weights()):
        raise ValueError(f"stage {stage.name!r}: a distilled network knows no negative prompt; run its teacher instead")
    steps = _steps(stage, network, text, video, draw)
    return (next(steps).x_hat for _ in range(stage.sampling.steps))


def _steps(stage: StageSpec, network: Network, text: Conditioning, video: Tensor | None, draw: Draw) -> Iterator[Step]:
    """The sampler of a stage, ready to run."""
    levels = sampling_levels(stage, draw)
    log.debug("stage %s", stage.name)
    layout = draw.layout or layout_here(stage, len(draw.samples), text_length(text), draw.memory, draw.device)
    if len(layout.tiles) > 1:
        log.info("stage %s: %d tiles of up to %s", stage.name, len(layout.tiles), _largest(layout.tiles))
    if layout.part is not None:
        log.info("stage %s: %d frames at a time", stage.name, layout.part)
    denoise = _thresholded(stage, _denoiser(stage, network, text, video, draw, layout))
    whole = Window.whole(stage.shape)
    if stage.sampling.keep_frames and video is not None:
        denoise = keeping(denoise, video)
    noise = _noise(stage, draw, "start", whole)
    return stage.sampling.sampler(denoise, noise, levels, noise=lambda step: _noise(stage, draw, f"step {step}", whole))


def stage_video(stage: StageSpec, network: Network, text: Conditioning, video: Tensor | None, draw: Draw) -> Tensor:
    """What a stage makes, (B, C, F, H, W): the last that `sample_stage` yields."""
    return deque(sample_stage(stage, network, text, video, draw), maxlen=1).pop()


def sampling_levels(stage: StageSpec, draw: Draw) -> list[NoiseLevel]:
    """The noise levels (B,) that the steps of a stage lead through, from noise to data."""
    times = torch.linspace(1, 0, stage.sampling.steps + 1, dtype=torch.float64)
    return [stage.schedule(t.expand(len(draw.samples)).to(draw.device)) for t in times]


def _denoiser(
    stage: StageSpec, network: Network, text: Conditioning, video: Tensor | None, draw: Draw, layout: Layout
) -> Denoise:
    """The denoiser of the whole batch, before any threshold that looks at whole videos."""

    def some(text: Conditioning, video: Tensor | None, draw: Draw) -> Denoise:
        local = local_of(stage, network, text, video, draw, layout)
        numbers = {tile.seen: number for number, tile in enumerate(layout.tiles, start=1)}

        def of_window(window: Window) -> Denoise:
            if len(numbers) > 1:
                log.debug("stage %s: tile %d of %d", stage.name, numbers[window], len(numbers))
            return local_denoiser(local, window)

        return tiled(of_window, layout.tiles)

    if not layout.apart:
        return some(text, video, draw)
    rows = torch.arange(len(draw.samples)).split(1)
    return one_by_one(
        [some(text.select(row), None if video is None else video[row], draw.row(int(row))) for row in rows]
    )


def local_of(
    stage: StageSpec, network: Network, text: Conditioning, video: Tensor | None, draw: Draw, layout: Layout
) -> Local:
    """What `sample_stage` makes the denoisers of windows from."""
    return Local(
        stage,
        network,
        text,
        video,
        noise=lambda purpose, window: _noise(stage, draw, purpose, window),
        weight=per_step(sampling_levels(stage, draw), stage.sampling.weights()),
        negative=draw.negative,
        device=draw.device.type,
        dtype=draw.dtype,
        part=layout.part,
        keep=layout.keep,
        once=layout.once(stage),
    )


def text_length(text: Conditioning) -> int:
    """The number of tokens, L."""
    return 0 if text.text is None else text.text.shape[-2]


def _largest(tiles: Sequence[Tile]) -> str:
    return "x".join(str(len(axis)) for axis in max((tile.seen for tile in tiles), key=lambda window: window.volume))


def _thresholded(stage: StageSpec, denoise: Denoise) -> Denoise:
    """With dynamic thresholding, which looks at whole videos, if the stage says so."""
    threshold = stage.sampling.threshold
    return dynamically_thresholded(denoise, threshold) if isinstance(threshold, float) else denoise


def _noise(stage: StageSpec, draw: Draw, purpose: str, window: Window) -> Tensor:
    if draw.noise is not None:
        return draw.noise(purpose, window).to(draw.device, torch.float32)
    what, channels = f"{stage.name} {purpose}", stage.network.channels
    return window_noise(draw.seed, draw.samples, what, stage.shape, channels, window, draw.scheme).to(draw.device)
