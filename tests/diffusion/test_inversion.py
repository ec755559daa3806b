"""DDIM backwards: the round trip on data whose exact denoiser is known, and through a network of a stage."""

from collections import deque
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from zoetrope.cascade.sample import Draw, ready
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.inversion import inverted, raised
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.tensors import expand_like
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape

NETWORK = VideoUNetConfig(
    text_width=None, embedding=16, head=8, levels=(Level(width=8), Level(width=16, spatial_attention=True))
)


def gaussian(variance: float, mean: float = 0.0) -> Denoise:
    """The exact denoiser of data N(mean, variance)."""

    def denoise(z: Tensor, level: NoiseLevel) -> Tensor:
        alpha, sigma = expand_like(level.alpha, z), expand_like(level.sigma, z)
        return mean + alpha * variance / (alpha**2 * variance + sigma**2) * (z - alpha * mean)

    return denoise


def ladder(steps: int, count: int = 1) -> list[NoiseLevel]:
    return [Cosine()(torch.full((count,), 1 - k / steps, dtype=torch.float64)) for k in range(steps + 1)]


def down(denoise: Denoise, z: Tensor, levels: list[NoiseLevel]) -> Tensor:
    """z at the last level, by DDIM."""
    step = deque(DDIM()(denoise, z.clone(), levels, noise=lambda n: torch.zeros_like(z)), maxlen=1).pop()
    return step.z


@pytest.mark.parametrize(("steps", "gain"), [(10, 0.80643), (50, 0.94388), (100, 0.97059), (500, 0.99389)])
def test_the_gain_of_a_round_trip_of_gaussian_data(steps: int, gain: float) -> None:
    """From t = 1 / N to 1 and back: what is lost falls as 1 / N."""
    levels, denoise = ladder(steps)[:-1], gaussian(0.25)
    z = torch.ones(1, 1, dtype=torch.float64)
    up = list(raised(denoise, z, levels))
    assert len(up) == steps - 1
    assert down(denoise, up[-1], levels).item() == pytest.approx(gain, abs=1e-4)


def test_a_step_back_undoes_a_step_where_the_noise_is_known() -> None:
    """Data of a single point: eps_hat does not change along a step, and every z comes back exactly."""
    levels = ladder(7, 2)[:-1]
    point, eps = torch.rand(2, 2, 3, 1, 4, 4, dtype=torch.float64)
    starts = [expand_like(level.alpha, point) * point + expand_like(level.sigma, point) * eps for level in levels]
    found = raised(lambda z, level: point, starts[-1], levels)
    for there, z in zip(reversed(starts[:-1]), found, strict=True):
        torch.testing.assert_close(z, there, rtol=0, atol=1e-12)


def test_a_video_comes_back_the_better_the_more_steps_there_are() -> None:
    """All the way from clean data, of another mean for each example."""
    x = torch.tensor([[0.9], [-0.4]], dtype=torch.float64)
    errors = []
    for steps in (8, 16, 32, 64, 128):
        levels, denoise = ladder(steps, 2), gaussian(0.25, 0.3)
        *_, noise = inverted(denoise, x, levels)
        *_, last = DDIM()(denoise, noise.clone(), levels, noise=lambda n: torch.zeros_like(x))
        errors.append((last.x_hat - x).abs().max().item())
    ratios = [coarse / fine for coarse, fine in pairwise(errors)]
    assert ratios == sorted(ratios) and ratios[0] > 1.5 and 1.9 < ratios[-1] < 2  # of first order
    assert errors[-1] < 0.02


def test_inverted_data_has_the_law_of_noise() -> None:
    """For N(0, c^2) the exact map scales x to standard normal noise: by 1 / c."""
    *_, noise = inverted(gaussian(0.25), torch.full((1, 1), 0.5, dtype=torch.float64), ladder(400))
    assert noise.item() == pytest.approx(1.0, abs=0.02)


def test_one_step_and_too_few_levels() -> None:
    x = torch.rand(1, 3, 1, 4, 4)
    (z,) = inverted(gaussian(0.25), x, ladder(1))
    assert z.shape == x.shape
    with pytest.raises(ValueError, match="levels: expected at least two, from noise to the video, got 1"):
        inverted(gaussian(0.25), x, ladder(1)[:1])


def test_a_round_trip_through_a_network() -> None:
    """With weights of a real network, without a threshold: the error falls with the number of steps."""
    torch.manual_seed(0)
    network = NETWORK.build().eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.copy_(0.15 * torch.randn(parameter.shape))
    shape, errors = VideoShape(frames=3, height=4, width=8, fps=2), []
    for steps in (4, 16, 64):
        sampling = SamplingSpec(sampler=DDIM(), steps=steps, threshold=None)
        stage = StageSpec(name="base", shape=shape, inputs=(), network=NETWORK, sampling=sampling)
        there = ready(stage, network, Conditioning(), None, Draw(seed=1, samples=[0]))
        *_, made = DDIM()(there.denoise, there.start(), there.levels, noise=torch.zeros)
        *_, noise = inverted(there.denoise, made.x_hat, there.levels)
        *_, again = DDIM()(there.denoise, noise, there.levels, noise=torch.zeros)
        errors.append((again.x_hat - made.x_hat).abs().max().item())
    assert errors[0] > 1.7 * errors[1] > 5 * errors[2]
