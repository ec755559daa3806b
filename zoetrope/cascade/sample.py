"""Sample one stage: from noise, conditioning and the previous stage's video to this stage's video."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from zoetrope.cascade.between import filled
from zoetrope.cascade.execution.call import Calls, of_frames
from zoetrope.cascade.execution.cost import differentiates
from zoetrope.cascade.execution.layout import Layout, layout_here
from zoetrope.cascade.execution.run import denoiser_of
from zoetrope.cascade.execution.tiles import Tile, one_by_one
from zoetrope.cascade.noise import Scheme, window_noise
from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.denoise import Denoise, dynamically_thresholded, keeping, per_step
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.tensors import sent
from zoetrope.inputs import WindowNoise
from zoetrope.inputs.text import TEXT, tells_text
from zoetrope.known import Known, Method, Task, keeping_known
from zoetrope.layers.fused import is_fused
from zoetrope.networks import Network
from zoetrope.routines import Ready
from zoetrope.shapes import VideoShape, Window
from zoetrope.video.resample import degrade

log = logging.getLogger(__name__)

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Which videos are sampled and how: a seed, sample numbers, a device and the dtype that networks compute in.

    Attributes:
        negative: text that guidance leads away from, with as many tokens as the prompts.
        memory: the largest peak memory of the whole process, in bytes; see
            `zoetrope.cascade.execution.layout.plan_layout`.
        layout: used as it is instead of planning one for `memory`.
        scheme: how noise is drawn from the seed and the sample numbers.
        noise: used instead of drawn noise: that of the whole batch, on any device.
        known: frames of the stage's videos that are given, on any device; x_hat has them exactly as they are.
    """

    seed: int
    samples: Sequence[int]
    negative: Conditioning | None = None
    device: torch.device = CPU
    dtype: torch.dtype = torch.float32
    memory: int | None = None
    layout: Layout | None = None
    scheme: Scheme = "philox"
    noise: WindowNoise | None = None
    known: Known | None = None

    def __post_init__(self) -> None:
        if self.dtype not in (torch.float32, torch.bfloat16, torch.float16):
            raise ValueError(f"dtype: expected torch.float32, torch.bfloat16 or torch.float16, got {self.dtype}")

    def row(self, number: int) -> "Draw":
        """The draw of a single video of the batch."""
        given = self.noise
        noise = None if given is None else lambda purpose, window: given(purpose, window)[number : number + 1]
        known = None if self.known is None else self.known.select(slice(number, number + 1))
        return replace(self, samples=[self.samples[number]], noise=noise, known=known)


def sample_stage(
    stage: StageSpec, network: Network, given: Conditioning, video: Tensor | None, draw: Draw
) -> Iterator[Tensor]:
    """Yield x_hat (B, C, F, H, W) after each denoising step of a stage; the last one is the stage's video.

    x_hat lies in [-1, 1] where the stage has a threshold.

    `given` is the conditioning of each of draw.samples, such as the text; a stage without a text input is not told any.
    `video` (B, C, f, h, w) is the previous stage's video. The network runs in tiles where memory requires it, which
    changes the result by rounding at most. Drop each x_hat before you ask for the next one: that saves the memory of
    one video.

    Raises ValueError if draw.memory does not suffice, for known frames that do not fit the stage or that it cannot use,
    and for a distilled stage if it is sampled in a way that it was not distilled for, or gets negative text.
    """
    stage.check_sampling()
    if draw.negative is not None and stage.network.guided and stage.sampling.guided:
        raise ValueError(f"stage {stage.name!r}: a distilled network knows no negative prompt; run its teacher instead")
    prepared = ready(stage, network, given, video, draw)
    steps = stage.sampling.routine(prepared)
    return (prepared.keep(next(steps).x_hat) for _ in range(stage.sampling.length))


def ready(stage: StageSpec, network: Network, given: Conditioning, video: Tensor | None, draw: Draw) -> Ready:
    """The stage, ready for its routine. Raises what `sample_stage` raises."""
    log.debug("stage %s", stage.name)
    draw = filled(stage, video, draw)
    video = None if stage.fills is not None else video  # its frames are known now
    stage, draw = drawn(stage, draw), _on_device(draw)
    layout = draw.layout or layout_here(stage, len(draw.samples), text_length(given), draw.memory, draw.device)
    if len(layout.tiles) > 1:
        log.info("stage %s: %d tiles of up to %s", stage.name, len(layout.tiles), _largest(layout.tiles))
    if layout.part is not None:
        log.info("stage %s: %d frames at a time", stage.name, layout.part)
    if len(stage.windows) > 1:
        log.info("stage %s: %d windows of %s", stage.name, len(stage.windows), "x".join(map(str, stage.seen.sizes)))
    if differentiates(stage):
        _expect_gradients(stage, network, layout)
    whole, levels = Window.whole(stage.shape), sampling_levels(stage, draw)
    of = partial(_denoiser, stage, network, given, video, draw, levels, layout.one_at_a_time)
    holds = stage.sampling.known is not None and stage.sampling.known.holds
    if draw.known is not None and holds:
        clean = NoiseLevel.clean(len(draw.samples), device=draw.device)
        levels = [draw.known.level(clean, level) for level in levels]
    thresholded = partial(_thresholded, stage, video=video, draw=draw)
    return Ready(
        denoise=thresholded(of(lambda calls: denoiser_of(calls, layout))),
        levels=levels,
        noise=lambda purpose: _noise(stage, draw, purpose, whole),
        sampler=stage.sampling.sampler,
        held=draw.known if holds else None,
        part=lambda frames: of(lambda calls: of_frames(calls, frames)),
        threshold=thresholded,
        keep=lambda x_hat: _keeping(stage, lambda z, _: z, video, draw)(x_hat, levels[-1]),
    )


def drawn(stage: StageSpec, draw: Draw) -> StageSpec:
    """The stage with a method for known frames only where there are some: what it costs depends on that.

    Raises ValueError for known frames that do not fit it, or that it has no method for.
    """
    if draw.known is None:
        return without_known(stage)
    method = stage.sampling.known
    if method is None:
        others = [name for name in Method.names() if name != "learnt"]
        raise ValueError(
            f"stage {stage.name!r}: expected no known frames, for it has not learnt them; sampling.known can be one of "
            f"{others}"
        )
    if stage.sampling.routine.in_parts:
        name = stage.sampling.routine.kind()
        raise ValueError(
            f"stage {stage.name!r}: expected no known frames with routine {name!r}, which makes all of them"
        )
    if draw.known.low_res is not None and not method.in_space:
        raise ValueError(
            f"stage {stage.name!r}: known.low_res: expected none, {method.kind()!r} takes known frames alone"
        )
    if draw.known.mask is not None and not method.in_part:
        raise ValueError(
            f"stage {stage.name!r}: known.mask: expected none, {method.kind()!r} takes whole frames; replacement and "
            "reconstruction take parts"
        )
    try:
        draw.known.check(len(draw.samples), stage.network.channels, stage.shape.sizes)
    except ValueError as error:
        raise ValueError(f"stage {stage.name!r}: {error}") from None
    return stage


def without_known(stage: StageSpec) -> StageSpec:
    """The stage without a method for known frames, except where another stage gives it some."""
    if stage.sampling.known is None or stage.fills is not None:
        return stage
    return stage.with_(sampling=stage.sampling.with_(known=None))


def _thresholded(stage: StageSpec, denoise: Denoise, video: Tensor | None, draw: Draw) -> Denoise:
    """The denoiser with the stage's threshold; frames that it keeps, and known frames, are put into x_hat after it."""
    threshold = stage.sampling.threshold
    if isinstance(threshold, float):
        denoise = dynamically_thresholded(denoise, threshold)
    elif threshold == "static" and not clips_calls(stage, draw):
        denoise = _clipped(denoise)
    return _keeping(stage, denoise, video, draw)


def _keeping(stage: StageSpec, denoise: Denoise, video: Tensor | None, draw: Draw) -> Denoise:
    """The denoiser whose x_hat has the frames that a stage keeps, and known frames, as they are."""
    if stage.sampling.keep_frames and video is not None:
        denoise = keeping(denoise, video)
    return denoise if draw.known is None else keeping_known(denoise, draw.known)


def stage_video(stage: StageSpec, network: Network, given: Conditioning, video: Tensor | None, draw: Draw) -> Tensor:
    """The video (B, C, F, H, W) of a stage: the last one that `sample_stage` yields."""
    return deque(sample_stage(stage, network, given, video, draw), maxlen=1).pop()


def sampling_levels(stage: StageSpec, draw: Draw) -> list[NoiseLevel]:
    """The noise levels (B,) that a stage steps through, from noise to data."""
    times = stage.schedule.times(stage.sampling.steps)
    return [stage.schedule(sent(t.expand(len(draw.samples)), draw.device)) for t in times]


def calls_of(
    stage: StageSpec,
    network: Network,
    given: Conditioning,
    video: Tensor | None,
    draw: Draw,
    levels: Sequence[NoiseLevel] | None = None,
) -> Calls:
    """The network calls of `sample_stage`, for the whole batch; `levels` (B,) are those that it will be called with."""
    return Calls(
        stage=stage,
        network=network,
        given=given if tells_text(stage.inputs) else given.lacking(TEXT),
        video=video,
        noise=lambda purpose, window: _noise(stage, draw, purpose, window),
        step=per_step(levels or sampling_levels(stage, draw), range(stage.sampling.steps)),
        negative=draw.negative,
        device=draw.device.type,
        dtype=draw.dtype,
        clips=clips_calls(stage, draw),
    )


def clips_calls(stage: StageSpec, draw: Draw) -> bool:
    """Whether a static threshold is applied to each call; otherwise to x_hat of whole videos, once that is complete."""
    return draw.known is None and len(stage.windows) == 1


def _clipped(denoise: Denoise) -> Denoise:
    """Clip x_hat to [-1, 1], in place."""
    return lambda z, level: denoise(z, level).clamp_(-1, 1)


def _denoiser(
    stage: StageSpec,
    network: Network,
    given: Conditioning,
    video: Tensor | None,
    draw: Draw,
    levels: Sequence[NoiseLevel],
    one_at_a_time: bool,
    make: Callable[[Calls], Denoise],
) -> Denoise:
    """The denoiser that `make` makes, of the whole batch or of each of its videos, which knows the known frames."""

    def of(given: Conditioning, video: Tensor | None, draw: Draw) -> Denoise:
        own = levels if len(levels[0].logsnr) == len(draw.samples) else sampling_levels(stage, draw)
        denoise = make(calls_of(stage, network, given, video, draw, own))
        if stage.sampling.known is None or draw.known is None:
            return denoise
        noise = partial(_noise_of_frames, stage, draw)
        reduced = _reduction(stage, draw.known.low_res)
        task = Task(stage=stage.name, known=draw.known, levels=own, noise=noise, reduced=reduced)
        return stage.sampling.known.denoiser(denoise, task)

    if not one_at_a_time:
        return of(given, video, draw)
    rows = torch.arange(len(draw.samples)).split(1)
    return one_by_one(
        [of(given.select(row), None if video is None else video[row], draw.row(int(row))) for row in rows]
    )


def _reduction(stage: StageSpec, low_res: Tensor | None) -> Callable[[Tensor], Tensor] | None:
    """How a stage's videos become one like `low_res`: as those of a previous stage are made for training."""
    if low_res is None:
        return None
    frames, height, width = low_res.shape[2:]
    grid = VideoShape(frames=frames, height=height, width=width, fps=stage.shape.fps * frames / stage.shape.frames)
    return lambda videos: degrade(videos, grid)


def _expect_gradients(stage: StageSpec, network: Network, layout: Layout) -> None:
    """Raise ValueError if the denoiser of a stage that needs its gradient would have none."""
    what = f"stage {stage.name!r}: known frames by the gradient of its network"
    if is_fused(network):
        raise ValueError(f"{what}: expected the network in textbook form, got a fused one, which has no gradients")
    if len(layout.tiles) > 1 or layout.part is not None:
        raise ValueError(f"{what}: expected whole videos, got a layout in parts")


def _on_device(draw: Draw) -> Draw:
    return draw if draw.known is None else replace(draw, known=draw.known.to(draw.device, torch.float32))


def text_length(given: Conditioning) -> int:
    """The number of tokens, L, of the longest sequence; 0 if there is none."""
    return max((tokens.mask.shape[-1] for tokens in given.tokens.values()), default=0)


def _largest(tiles: Sequence[Tile]) -> str:
    return "x".join(str(len(axis)) for axis in max((tile.seen for tile in tiles), key=lambda window: window.volume))


def _noise(stage: StageSpec, draw: Draw, purpose: str, window: Window) -> Tensor:
    if draw.noise is not None:
        return sent(draw.noise(purpose, window), draw.device, torch.float32)
    what, channels = f"{stage.name} {purpose}", stage.network.channels
    own = window._replace(frames=range(1)) if stage.sampling.shared_noise else window
    noise = window_noise(draw.seed, draw.samples, what, stage.shape, channels, own, draw.scheme)
    noise = sent(noise, draw.device)
    return noise if own is window else noise.repeat(1, 1, len(window.frames), 1, 1)


def _noise_of_frames(stage: StageSpec, draw: Draw, purpose: str, frames: Sequence[int]) -> Tensor:
    whole = Window.whole(stage.shape)
    windows = [whole._replace(frames=range(frame, frame + 1)) for frame in frames]
    return torch.cat([_noise(stage, draw, purpose, window) for window in windows], dim=2)
