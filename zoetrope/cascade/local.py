"""The denoiser of a window of a stage's video: what the network is given there, guidance and static threshold."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zoetrope.cascade.resample import augment, augmentation_logsnr, upsample
from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.denoise import Denoise, Weight, denoiser, guided_together, statically_thresholded
from zoetrope.diffusion.schedule import NoiseLevel
from zoetrope.networks import Network
from zoetrope.shapes import Window


@dataclass(frozen=True)
class Local:
    """What denoisers of windows are made from.

    Attributes:
        text: one prompt for each video; source: what the previous stage made, (B, C, f, h, w).
        noise: (purpose, window) -> noise of the stage's videos there, (B, C, F, H, W).
        weight: of guidance, by noise level; not asked for in a stage without guidance.
        negative: text that guidance leads away from.
        device, dtype: the type that the network computes in on a device of this type.
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


def local_denoiser(local: Local, window: Window) -> Denoise:
    """The denoiser of a window; a static threshold is part of it, for that needs no other part of the video."""
    stage = local.stage
    given = local.text if local.source is None else _with_low_res(local, local.source, window)
    if stage.network.guided:
        denoise = _told_weight(local, given)
    elif any(weight != 0 for weight in stage.sampling.weights()):
        denoise = guided_together(_plain(local, given.doubled(local.negative)), local.weight)
    else:
        denoise = _plain(local, given)
    return statically_thresholded(denoise) if stage.sampling.threshold == "static" else denoise


def _plain(local: Local, given: Conditioning) -> Denoise:
    def call(z: Tensor, logsnr: Tensor) -> Tensor:
        with torch.autocast(local.device, local.dtype, enabled=local.dtype != torch.float32):
            return local.network(z, logsnr, given)

    return denoiser(call, local.stage.prediction)


def _told_weight(local: Local, given: Conditioning) -> Denoise:
    """Guidance by a network that was distilled for it: it is told the weight and called once."""

    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        weight = torch.full((len(z),), local.weight(level), device=z.device)
        return _plain(local, replace(given, guidance=weight))(z, level)

    return run


def _with_low_res(local: Local, source: Tensor, window: Window) -> Conditioning:
    """Add the previous video on this stage's grid, noised to the level that the stage samples with."""
    stage = local.stage
    low_res = upsample(source.float(), stage.shape, stage.fill, window)
    logsnr = stage.sampling.low_res_logsnr
    if logsnr is None:  # the cleanest level that training shows: what lies beyond it a network has never seen
        level = augmentation_logsnr(low_res.new_zeros(len(low_res))).float()
        return replace(local.text, low_res=low_res, low_res_logsnr=level)
    level = low_res.new_full((len(low_res),), logsnr)
    low_res = augment(low_res, local.noise("augment", window), level)
    return replace(local.text, low_res=low_res, low_res_logsnr=level)
