"""Run one stage: from text, noise and the previous stage's video to this stage's video."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zoetrope.cascade.noise import video_noise
from zoetrope.cascade.resample import augment, augmentation_logsnr, upsample
from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.denoise import (
    Denoise,
    denoiser,
    dynamically_thresholded,
    guided_together,
    per_step,
    statically_thresholded,
)
from zoetrope.diffusion.schedule import NoiseLevel
from zoetrope.networks import Network
from zoetrope.samplers import Step

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Which videos are sampled, and where: sample numbers of a seed, a device and the type networks compute in.

    `negative`, if given, holds text that guidance leads away from, with as many tokens as the prompts.
    """

    seed: int
    samples: Sequence[int]
    negative: Conditioning | None = None
    device: torch.device = CPU
    dtype: torch.dtype = torch.float32


def sample_stage(
    stage: StageSpec, network: Network, text: Conditioning, video: Tensor | None, draw: Draw
) -> Iterator[Step]:
    """Yield after each denoising step of a stage; the last x_hat (B, C, F, H, W) is what it made, in [-1, 1].

    `text` holds one prompt for each of draw.samples; `video` (B, C, f, h, w) is what the previous stage made.
    """
    given = text if video is None else _with_low_res(stage, text, video, draw)
    times = torch.linspace(1, 0, stage.sampling.steps + 1, dtype=torch.float64)
    levels = [stage.schedule(t.expand(len(draw.samples)).to(draw.device)) for t in times]
    denoise = _thresholded(stage, _denoise(stage, network, given, levels, draw))
    noise = _noise(stage, draw, "start")
    return stage.sampling.sampler(denoise, noise, levels, noise=lambda step: _noise(stage, draw, f"step {step}"))


def _denoise(
    stage: StageSpec, network: Network, given: Conditioning, levels: Sequence[NoiseLevel], draw: Draw
) -> Denoise:
    """The stage's network as a denoiser, guided if the stage says so."""
    weights = stage.sampling.weights()
    guides = any(weight != 0 for weight in weights)
    seen = given.doubled(draw.negative) if guides else given

    def call(z: Tensor, logsnr: Tensor) -> Tensor:
        with torch.autocast(draw.device.type, draw.dtype, enabled=draw.dtype != torch.float32):
            return network(z, logsnr, seen)

    raw = denoiser(call, stage.prediction)
    return guided_together(raw, per_step(levels, weights)) if guides else raw


def _thresholded(stage: StageSpec, denoise: Denoise) -> Denoise:
    threshold = stage.sampling.threshold
    if threshold is None:
        return denoise
    return statically_thresholded(denoise) if threshold == "static" else dynamically_thresholded(denoise, threshold)


def _with_low_res(stage: StageSpec, text: Conditioning, video: Tensor, draw: Draw) -> Conditioning:
    """Add the previous video on this stage's grid, noised to the level that the stage samples with."""
    low_res = upsample(video.float(), stage.shape, stage.fill)
    logsnr = stage.sampling.low_res_logsnr
    if logsnr is None:  # the cleanest level that training shows: what lies beyond it a network has never seen
        level = augmentation_logsnr(low_res.new_zeros(len(low_res))).float()
        return replace(text, low_res=low_res, low_res_logsnr=level)
    level = low_res.new_full((len(low_res),), logsnr)
    return replace(text, low_res=augment(low_res, _noise(stage, draw, "augment"), level), low_res_logsnr=level)


def _noise(stage: StageSpec, draw: Draw, purpose: str) -> Tensor:
    channels, what = stage.network.channels, f"{stage.name} {purpose}"
    made = [video_noise(draw.seed, sample, what, stage.shape, channels) for sample in draw.samples]
    return torch.stack(made).to(draw.device)
