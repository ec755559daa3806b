"""A prior on vectors: exact on a Gaussian whose mean depends on what is given, and able to learn it."""

from typing import Any

import pytest
import torch
from torch import Tensor

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning, Tokens
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.guidance.picture import PictureGuidance
from zoetrope.inputs.picture import Picture
from zoetrope.models.cascade import Cascade
from zoetrope.networks import Network
from zoetrope.networks.vector import VectorConfig
from zoetrope.pictures.small import SmallPictures
from zoetrope.samplers import Sampler
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.heun import Heun
from zoetrope.shapes import VideoShape
from zoetrope.training.objectives import STUDENT, Lesson
from zoetrope.training.objectives.denoise import Denoising

D, TOLD = 4, 8
MEAN = torch.tensor([0.8, -0.5, 1.2, 0.3])
TURN = torch.linalg.qr(torch.randn(D, D, generator=torch.Generator().manual_seed(0)))[0]
DEVIATION = torch.tensor([0.2, 0.5, 1.0, 1.6])
COVARIANCE = TURN @ torch.diag(DEVIATION**2) @ TURN.T


def stage(sampler: Sampler, steps: int, guidance: float = 0.0) -> StageSpec:
    """A prior that is told a sign, by which the mean of its vectors is multiplied."""
    return StageSpec(
        name="prior",
        shape=VideoShape(frames=1, height=1, width=1, fps=1),
        inputs=(Picture(encoder=SmallPictures(width=TOLD)),),
        network=VectorConfig(channels=D, text_width=None, picture_width=TOLD, width=64, depth=3),
        sampling=SamplingSpec(sampler=sampler, steps=steps, threshold=None, guidance=PictureGuidance(weight=guidance)),
    )


class Exact(Network):
    """The exact denoiser's v; for the unknown sign that of the mean 0."""

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        told, level = conditioning.tokens["picture"], NoiseLevel.variance_preserving(logsnr.double())
        alpha, sigma = level.alpha[:, None], level.sigma[:, None]
        known = told.mask[:, :1]
        mean = torch.where(known, told.values[:, 0, :1].double(), 0.0) * MEAN.double()
        turn, variance = TURN.double(), DEVIATION.double() ** 2
        centred = (z.flatten(1).double() - alpha * mean) @ turn
        x = mean + (centred * variance * alpha / (alpha**2 * variance + sigma**2)) @ turn.T
        eps = (z.flatten(1).double() - alpha * x) / sigma
        return (alpha * eps - sigma * x).to(z.dtype).reshape(z.shape)


def drawn(network: Network, spec: StageSpec, sign: float, count: int) -> Tensor:
    """Vectors (count, D) that a cascade of this one stage makes, by its public API."""
    run = Cascade(CascadeSpec(name="toy", stages=(spec,)), lambda _: network)
    given = {"picture": torch.full((count, TOLD), sign)}
    *_, last = run.stream([None] * count, seed=1, samples=range(count), given=given)
    return last.x_hat.flatten(1)


def expect_moments(x: Tensor, sign: float, tolerance: float) -> None:
    """Within `tolerance` of the largest deviation and variance, in every direction."""
    torch.testing.assert_close(x.mean(0), sign * MEAN, atol=tolerance * float(DEVIATION.max()), rtol=0)
    torch.testing.assert_close(torch.cov(x.T), COVARIANCE, atol=tolerance * float(DEVIATION.max()) ** 2, rtol=0)


@pytest.mark.parametrize(("sampler", "sign"), [(Heun(), 1.0), (Ancestral(gamma=1.0), -1.0)], ids=["heun", "ancestral"])
def test_the_exact_denoiser_reaches_mean_and_covariance(sampler: Sampler, sign: float) -> None:
    expect_moments(drawn(Exact(), stage(sampler, 96), sign, 1500), sign, 3 * (2 / 1500) ** 0.5)


def test_guidance_moves_the_mean_and_keeps_the_covariance() -> None:
    """x_hat is affine in the mean: (1 + w) f(z, sign) - w f(z, unknown) is the denoiser of a Gaussian farther away."""
    x = drawn(Exact(), stage(Heun(), 128, guidance=1.0), 1.0, 1500)
    expect_moments(x, 2.0, 3 * (2 / 1500) ** 0.5)


def test_it_learns_the_gaussian() -> None:
    spec, draw = stage(Heun(), 32), torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network: Any = spec.network.build()
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
    )
    steps = 700
    learning = torch.optim.AdamW(network.parameters(), 2e-3)
    falling = torch.optim.lr_scheduler.LambdaLR(learning, lambda step: 1 - step / steps)
    for _ in range(steps):
        sign = (torch.rand(256, 1, generator=draw) < 0.5).float() * 2 - 1
        x = sign * MEAN + torch.randn(256, D, generator=draw) * DEVIATION @ TURN.T
        u = (torch.rand(1, generator=draw, dtype=torch.float64) + torch.arange(256) / 256) % 1
        eps = torch.randn(256, D, 1, 1, 1, generator=draw)
        given = Conditioning(tokens={"picture": Tokens.real(sign.expand(-1, TOLD)[:, None])})
        lesson = Lesson(x[:, :, None, None, None], eps, u, given, weight="v")
        Denoising()(spec, lesson, {STUDENT: network}).mean().backward()
        learning.step()
        learning.zero_grad()
        falling.step()
        average.update_parameters(network)
    made: Any = average.module.eval().requires_grad_(False)
    for sign in (1.0, -1.0):
        expect_moments(drawn(made, spec, sign, 1500), sign, 0.12)


def test_an_unknown_picture_is_not_one_of_zeros() -> None:
    torch.manual_seed(0)
    network = stage(Heun(), 1).network.build()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    z, logsnr = torch.randn(2, D, 1, 1, 1), torch.zeros(2)
    zeros = Conditioning(tokens={"picture": Tokens.real(torch.zeros(2, 1, TOLD))})
    unknown = network(z, logsnr, zeros.without("picture"))
    assert (network(z, logsnr, zeros) - unknown).abs().max() > 1e-3
    torch.testing.assert_close(network(z, logsnr, Conditioning()), unknown)
    with pytest.raises(ValueError, match=r"picture.*another picture encoder"):
        network(z, logsnr, Conditioning(tokens={"picture": Tokens.real(torch.zeros(2, 1, TOLD + 1))}))


def test_it_takes_vectors_alone() -> None:
    with pytest.raises(ValueError, match="height: expected 1, for a vector is one pixel, got 2"):
        VectorConfig().check(1, 2, 1)
    with pytest.raises(ValueError, match="depth, width: expected depth x width"):
        VectorConfig(depth=1024, width=2**19)
    with pytest.raises(ValueError, match="width: expected a multiple of heads = 8, got 60; nearest is 64"):
        VectorConfig(width=60)
