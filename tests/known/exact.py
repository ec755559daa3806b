"""Stages whose network is the exact denoiser of a Gaussian video, and the exact moments of what they make.

Samplers are affine where the denoiser is, and so are the methods for known frames. Channels hold the answers to no
noise and to each unit of noise, of whatever purpose: mean and covariance of the samples are exact.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from samplers.test_levels_per_frame import RHO
from torch import Tensor

from zoetrope.cascade.sample import Draw, ready
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.known import Known, Method
from zoetrope.networks import Network, NetworkConfig
from zoetrope.samplers import Sampler
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.ddim import DDIM
from zoetrope.shapes import VideoShape, Window


class GaussianConfig(NetworkConfig):
    """Predicts v of videos of N(0, K); K is that of an autoregression along frames and along the pixels of a row."""

    text_width: int | None = None
    row: float = 0.5

    def build(self) -> "GaussianNetwork":
        return GaussianNetwork(self.row)

    def check(self, frames: int, height: int, width: int) -> None:
        return


class GaussianNetwork(Network):
    """See `GaussianConfig`."""

    def __init__(self, row: float) -> None:
        super().__init__()
        self.row = row

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        frames, height, width = z.shape[2:]
        assert len(z) == height == 1
        level = NoiseLevel.variance_preserving(logsnr).expand(frames)
        a, s = (value[0].repeat_interleave(width) for value in (level.alpha, level.sigma))
        covariance = covariance_of(frames, width, self.row)
        noisy = a[:, None] * covariance * a + torch.diag(s**2)
        rows = z.double().reshape(-1, frames * width)
        x = rows @ (covariance * a @ torch.linalg.inv(noisy)).T
        return ((a * rows - x) / s).reshape(z.shape)


def covariance_of(frames: int, width: int, row: float = 0.5) -> Tensor:
    """K, (F W, F W)."""
    f, w = (torch.arange(size, dtype=torch.float64) for size in (frames, width))
    return torch.kron(RHO ** (f[:, None] - f).abs(), row ** (w[:, None] - w).abs())


def stage_of(frames: int, width: int, sampler: Sampler, steps: int, method: Method | None) -> StageSpec:
    """A stage of one channel without a threshold."""
    shape = VideoShape(frames=frames, height=1, width=width, fps=8)
    sampling = SamplingSpec(sampler=sampler, steps=steps, threshold=None, known=method)
    return StageSpec(name="line", shape=shape, inputs=(), network=GaussianConfig(channels=1), sampling=sampling)


def known_of(frames: int, width: int, values: dict[int, float], low_res: Tensor | None = None) -> Known:
    """Frames of one value each."""
    video = torch.full((1, 1, frames, 1, width), torch.nan)
    for frame, value in values.items():
        video[:, :, frame] = value
    return Known(torch.tensor([frame in values for frame in range(frames)]), video, low_res)


def moments(spec: StageSpec, known: Known) -> tuple[Tensor, Tensor]:
    """Mean (F W) and covariance of what a stage makes; noise that a stage does not use has no effect."""
    frames, _, width = spec.shape.sizes
    steps, size = spec.sampling.steps, frames * width
    purposes = ["start"]
    if isinstance(spec.sampling.sampler, Ancestral):
        purposes += [f"step {step}" for step in range(steps)]
    if known.places:
        purposes += [f"known {step}" for step in range(steps)]

    def noise(purpose: str, window: Window) -> Tensor:
        own = torch.zeros(1, 1 + size * len(purposes), size, dtype=torch.float64)
        first = 1 + size * purposes.index(purpose)
        own[0, first : first + size] = torch.eye(size, dtype=torch.float64)
        return window.of(own.view(1, -1, frames, 1, width))

    prepared = ready(
        spec, spec.network.build(), Conditioning(), None, Draw(seed=0, samples=[0], noise=noise, known=known)
    )
    exact = replace(prepared, noise=lambda purpose: noise(purpose, Window.whole(spec.shape)))
    for step in spec.sampling.routine(exact):
        made = step.x_hat.reshape(-1, size)
    answers = made[1:] - made[0]
    return made[0], answers.T @ answers


def errors(spec: StageSpec, known: Known, law: tuple[Tensor, Tensor], free: Sequence[int]) -> tuple[float, float]:
    """RMSE of the mean and relative Frobenius error of the covariance, of some frames of one pixel."""
    mean, covariance = moments(spec, known)
    rmse = float((mean[list(free)] - law[0]).square().mean().sqrt())
    return rmse, float((covariance[list(free)][:, list(free)] - law[1]).norm() / law[1].norm())


SAMPLERS: dict[str, Sampler] = {"ddim": DDIM(), "ancestral": Ancestral(gamma=0)}
