"""Run one stage: from noise, what it is told and the previous stage's video to this stage's video."""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from zoetrope.cascade.execution.call import Calls
from zoetrope.cascade.execution.layout import Layout, layout_here
from zoetrope.cascade.execution.meta import META
from zoetrope.cascade.execution.run import denoiser
from zoetrope.cascade.execution.tiles import Tile
from zoetrope.cascade.noise import Scheme, window_noise
from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.denoise import dynamically_thresholded, keeping, per_step
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.inputs import Extent, Input, Noise
from zoetrope.networks import Network
from zoetrope.routines import Ready
from zoetrope.shapes import Window

log = logging.getLogger(__name__)

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Which videos are sampled, and where: sample numbers of a seed, a device and the type networks compute in.

    Attributes:
        negative: text that guidance leads away from, with as many tokens as the prompts.
        memory: what the whole process may hold at its peak, in bytes; see
            `zoetrope.cascade.execution.layout.plan_layout`.
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
    stage: StageSpec, network: Network, given: Conditioning, video: Tensor | None, draw: Draw
) -> Iterator[Tensor]:
    """Yield x_hat (B, C, F, H, W) after each denoising step of a stage; the last is what it made.

    It lies in [-1, 1] where the stage has a threshold.

    `given` is what is told of each of draw.samples, the text first of all: the network is told what the stage has
    inputs for. `video` (B, C, f, h, w) is what the previous stage made. The network works in tiles where memory asks
    for it, which changes the result by rounding at most. Drop each x_hat before you ask for the next one: that saves
    the memory of a video.

    Raises ValueError if draw.memory does not suffice, and for a distilled stage if it is asked for what it was not
    distilled for, or is given negative text.
    """
    stage.check_sampling()
    if draw.negative is not None and stage.network.guided and stage.sampling.guided:
        raise ValueError(f"stage {stage.name!r}: a distilled network knows no negative prompt; run its teacher instead")
    steps = stage.sampling.routine(ready(stage, network, given, video, draw))
    return (next(steps).x_hat for _ in range(stage.sampling.length))


def ready(stage: StageSpec, network: Network, given: Conditioning, video: Tensor | None, draw: Draw) -> Ready:
    """A stage that is ready to run. Raises ValueError if draw.memory does not suffice."""
    log.debug("stage %s", stage.name)
    layout = draw.layout or layout_here(stage, len(draw.samples), text_length(given), draw.memory, draw.device)
    if len(layout.tiles) > 1:
        log.info("stage %s: %d tiles of up to %s", stage.name, len(layout.tiles), _largest(layout.tiles))
    if layout.part is not None:
        log.info("stage %s: %d frames at a time", stage.name, layout.part)
    denoise = denoiser(_calls(stage, network, given, video, draw, layout), layout)
    threshold = stage.sampling.threshold
    if isinstance(threshold, float):
        denoise = dynamically_thresholded(denoise, threshold)
    if stage.sampling.keep_frames and video is not None:
        denoise = keeping(denoise, video)
    whole = Window.whole(stage.shape)
    return Ready(
        denoise=denoise,
        levels=sampling_levels(stage, draw),
        noise=lambda purpose: _noise(stage, draw, purpose, whole),
        sampler=stage.sampling.sampler,
    )


def stage_video(stage: StageSpec, network: Network, given: Conditioning, video: Tensor | None, draw: Draw) -> Tensor:
    """What a stage makes, (B, C, F, H, W): the last that `sample_stage` yields."""
    return deque(sample_stage(stage, network, given, video, draw), maxlen=1).pop()


def sampling_levels(stage: StageSpec, draw: Draw) -> list[NoiseLevel]:
    """The noise levels (B,) that the steps of a stage lead through, from noise to data."""
    times = torch.linspace(1, 0, stage.sampling.steps + 1, dtype=torch.float64)
    return [stage.schedule(t.expand(len(draw.samples)).to(draw.device)) for t in times]


def calls_of(stage: StageSpec, network: Network, given: Conditioning, video: Tensor | None, draw: Draw) -> Calls:
    """What `sample_stage` makes the network's calls from."""
    return Calls(
        stage=stage,
        network=network,
        given=given.only(_names(stage.told)),
        video=video,
        noise=lambda purpose, window: _noise(stage, draw, purpose, window),
        step=per_step(sampling_levels(stage, draw), range(stage.sampling.steps)),
        negative=draw.negative,
        device=draw.device.type,
        dtype=draw.dtype,
    )


def _calls(
    stage: StageSpec, network: Network, given: Conditioning, video: Tensor | None, draw: Draw, layout: Layout
) -> list[Calls]:
    """The calls for the whole batch, or for each of its videos."""
    if not layout.one_at_a_time:
        return [calls_of(stage, network, given, video, draw)]
    rows = torch.arange(len(draw.samples)).split(1)
    return [
        calls_of(stage, network, given.select(row), None if video is None else video[row], draw.row(int(row)))
        for row in rows
    ]


@lru_cache(maxsize=64)
def _names(inputs: tuple[Input, ...]) -> set[str]:
    """What the values are called that inputs make."""
    alone = Extent(videos=1, grid=(1, 1, 1), tokens=1, width=1)
    with META:
        return {name for each in inputs for name in each.blank(alone).names}


def text_length(given: Conditioning) -> int:
    """The number of tokens, L, of the longest sequence; 0 if there is none."""
    return max((tokens.mask.shape[-1] for tokens in given.tokens.values()), default=0)


def _largest(tiles: Sequence[Tile]) -> str:
    return "x".join(str(len(axis)) for axis in max((tile.seen for tile in tiles), key=lambda window: window.volume))


def _noise(stage: StageSpec, draw: Draw, purpose: str, window: Window) -> Tensor:
    if draw.noise is not None:
        return draw.noise(purpose, window).to(draw.device, torch.float32)
    what, channels = f"{stage.name} {purpose}", stage.network.channels
    return window_noise(draw.seed, draw.samples, what, stage.shape, channels, window, draw.scheme).to(draw.device)
