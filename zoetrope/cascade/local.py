"""The denoiser of a window of a stage's video: what the network is given there, guidance and static threshold."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zoetrope.cascade.resample import augment, augmentation_logsnr, upsample
from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.denoise import Denoise, Weight, denoiser, guided_together, statically_thresholded
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.networks import Network, Part
from zoetrope.shapes import Window

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Local:
    """What denoisers of windows are made from.

    Attributes:
        text: one prompt for each video; source: what the previous stage made, (B, C, f, h, w).
        noise: (purpose, window) -> noise of the stage's videos there, (B, C, F, H, W).
        weight: of guidance, by noise level; not asked for in a stage without guidance.
        negative: text that guidance leads away from.
        device, dtype: the type that the network computes in on a device of this type.
        part: frames that the network is given at a time, for one that streams; None: all of a window at once.
        keep: whether the source on this stage's grid stays in memory from step to step, and is not made anew.
        once: whether z is needed no more where x_hat is known, which takes its place then, part by part.
    """

    stage: StageSpec
    network: Network
    text: Conditioning
    source: Tensor | None
    noise: Callable[[str, Window], Tensor]
    weight: Weight
    negative: Conditioning | None = None
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    part: int | None = None
    keep: bool = True
    once: bool = False

    @property
    def copies(self) -> int:
        """How often the network is given every video: twice for guidance, unless it was distilled for that."""
        return 1 if self.stage.network.guided or not any(self.stage.sampling.weights()) else 2

    def copied(self, values: Tensor) -> Tensor:
        """Values (B, ...) as often as the network is given them."""
        return torch.cat([values] * self.copies) if self.copies > 1 else values


def local_denoiser(local: Local, window: Window) -> Denoise:
    """The denoiser of a window; a static threshold is part of it, for that needs no other part of the video."""
    given = _beside(local)
    if local.part is not None and local.part < len(window.frames):
        return _streamed(local, window, given, local.part)
    low_res = _low_res(local, window)
    given = replace(given, low_res=None if low_res is None else local.copied(low_res))

    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        told = _told(local, given, level, z)
        return _read(local, lambda z, logsnr: _computed(local, lambda: local.network(z, logsnr, told)))(z, level)

    return run


def _streamed(local: Local, window: Window, given: Conditioning, frames: int) -> Denoise:
    """The same with so many frames at a time: what is made of a part of the video is done with before the next."""
    starts = range(0, len(window.frames), frames)
    parts = [window._replace(frames=window.frames[start : start + frames]) for start in starts]
    cuts = [slice(start, start + frames) for start in starts]
    kept = [_low_res(local, part) for part in parts] if local.keep else None

    def inputs(z: Tensor) -> Iterator[Part]:
        for number, (part, cut) in enumerate(zip(parts, cuts, strict=True)):
            low_res = _low_res(local, part) if kept is None else kept[number]
            beside = None if low_res is None else local.copied(low_res)
            yield Part(local.copied(z[:, :, cut]), beside)

    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        x_hat = z if local.once else torch.empty_like(z)
        logsnr = local.copied(level.logsnr.to(z.dtype))
        outputs = local.network.stream(inputs(z), logsnr, _told(local, given, level, z))
        for cut in cuts:
            log.debug("stage %s: frame %d of %d", local.stage.name, cut.start + 1, len(window.frames))
            x_hat[:, :, cut] = _said(local, _computed(local, lambda: next(outputs)), z[:, :, cut], level)
        return x_hat

    return run


def _said(local: Local, output: Tensor, z: Tensor, level: NoiseLevel) -> Tensor:
    """What an answer that is known already says of z."""
    return _read(local, lambda z, logsnr: output)(z, level)


def _computed(local: Local, compute: Callable[[], Tensor]) -> Tensor:
    """What the network says, in the type that it computes in."""
    with torch.autocast(local.device, local.dtype, enabled=local.dtype != torch.float32):
        return compute()


def _read(local: Local, answer: Callable[[Tensor, Tensor], Tensor]) -> Denoise:
    """The network's answers as a denoiser."""
    denoise = denoiser(answer, local.stage.prediction)
    if local.copies > 1:
        denoise = guided_together(denoise, local.weight)
    return statically_thresholded(denoise) if local.stage.sampling.threshold == "static" else denoise


def _beside(local: Local) -> Conditioning:
    """All that the network is given beside z and low_res; twice, the second time without text, if it is called so."""
    given = local.text
    if local.source is not None:
        logsnr = local.stage.sampling.low_res_logsnr
        like = local.source.new_zeros(len(local.source), dtype=torch.float32)
        # Without noise: the cleanest level that training shows. What lies beyond it a network has never seen.
        level = augmentation_logsnr(like).float() if logsnr is None else like + logsnr
        given = replace(given, low_res_logsnr=level)
    return given.doubled(local.negative) if local.copies > 1 else given


def _told(local: Local, given: Conditioning, level: NoiseLevel, z: Tensor) -> Conditioning:
    """With the weight of guidance, if the network was distilled for being told it."""
    if not local.stage.network.guided:
        return given
    return replace(given, guidance=torch.full((len(z),), float(local.weight(level)), device=z.device))


def _low_res(local: Local, window: Window) -> Tensor | None:
    """The previous video on this stage's grid, noised to the level that the stage samples with."""
    if local.source is None:
        return None
    stage = local.stage
    with torch.autocast(local.device, enabled=False):
        low_res = upsample(local.source.float(), stage.shape, stage.fill, window)
        if stage.sampling.low_res_logsnr is None:
            return low_res
        level = low_res.new_full((len(low_res),), stage.sampling.low_res_logsnr)
        return augment(low_res, local.noise("augment", window), level)
