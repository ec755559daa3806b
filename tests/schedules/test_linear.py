"""The straight schedule, and all that steps through levels, learns at them or distils on them without unit variance."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.diffusion.distillation import TimeGrid, halving_answer
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.loss import loss_weight, output_weight
from zoetrope.diffusion.prediction import output_from_x, target, x_from
from zoetrope.diffusion.process import diffuse, power_ratio
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers import Sampler
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.cosine import Cosine
from zoetrope.schedules.linear import RectifiedFlow
from zoetrope.shapes import VideoShape
from zoetrope.training.times.log_normal import LogNormal

END = 1 / (1 + math.exp(10))  # alpha at t = 1
MEAN, STD = 0.5, 0.4


def at(*values: float, shift: float = 0.0) -> NoiseLevel:
    return RectifiedFlow(shift=shift)(torch.tensor(values, dtype=torch.float64))


def exact(z: Tensor, level: NoiseLevel) -> Tensor:
    """The exact denoiser of N(MEAN, STD^2), for any alpha and sigma."""
    a, s = (value.to(z.dtype).reshape(-1, *[1] * (z.ndim - 1)) for value in (level.alpha, level.sigma))
    return MEAN + STD**2 * a / (a**2 * STD**2 + s**2) * (z - a * MEAN)


@settings(deadline=None, max_examples=25)
@given(t=st.floats(0, 1))
def test_it_is_straight(t: float) -> None:
    level, wanted = at(t), END + t * (1 - 2 * END)
    assert float(level.sigma) == pytest.approx(wanted, rel=1e-12)
    assert float(level.alpha) == pytest.approx(1 - wanted, rel=1e-10)
    assert float(level.alpha + level.sigma) == pytest.approx(1, abs=1e-15)


@settings(deadline=None, max_examples=25)
@given(t=st.floats(0, 1), m=st.floats(0.1, 10))
def test_a_shift_moves_time_as_for_larger_pictures(t: float, m: float) -> None:
    straight = END + t * (1 - 2 * END)
    moved = at(t, shift=-2 * math.log(m))
    assert float(moved.sigma) == pytest.approx(m * straight / (1 + (m - 1) * straight), rel=1e-10)


def test_log_normal_noise_is_logit_normal_time() -> None:
    u = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    schedule = RectifiedFlow()
    sigma = schedule(LogNormal(mean=0.3, std=1.2)(u, schedule)).sigma
    logit = torch.log(sigma) - torch.log1p(-sigma)
    torch.testing.assert_close(torch.distributions.Normal(0.3, 1.2).cdf(logit), u, rtol=0, atol=1e-7)


@settings(deadline=None, max_examples=25)
@given(t=st.floats(0, 1), seed=st.integers(0, 99))
def test_flow_is_the_velocity_of_z(t: float, seed: int) -> None:
    """dz/dt = eps - x: the target of the prediction, whose loss has weight 1; x_hat = z - sigma output."""
    x, eps = torch.randn(2, 1, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    moment = torch.tensor([t], dtype=torch.float64)

    def z_at(t: Tensor) -> Tensor:
        return diffuse(x, eps, RectifiedFlow()(t))

    velocity = torch.autograd.functional.jacobian(z_at, moment)[..., 0]
    torch.testing.assert_close(velocity, (1 - 2 * END) * target("flow", x, eps, at(t)), rtol=1e-9, atol=1e-9)
    output = torch.randn(1, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 1))
    z, level = z_at(moment), at(t)
    torch.testing.assert_close(x_from("flow", output, z, level), z - level.sigma * output, rtol=0, atol=1e-12)
    assert float(output_weight("flow", "flow", level)) == pytest.approx(1, rel=1e-9)


@settings(deadline=None, max_examples=25)
@given(t=st.floats(0.01, 0.99), error=st.floats(0.01, 1))
def test_the_weight_flow_is_the_error_of_flow_whatever_is_predicted(t: float, error: float) -> None:
    for level in (at(t), Cosine()(torch.tensor([t], dtype=torch.float64))):
        of_flow = float((level.alpha + level.sigma) / level.sigma) * error
        assert float(loss_weight("flow", level)) * error**2 == pytest.approx(of_flow**2, rel=1e-9)


@pytest.mark.parametrize("steps", [1, 4, 32])
def test_ddim_is_eulers_method(steps: int) -> None:
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    z = torch.randn(2, 3, 2, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    own, levels = z.clone(), [at(float(t), float(t)) for t in times]
    done = list(DDIM()(exact, z.clone(), levels, noise=lambda step: torch.zeros_like(z)))
    for step, (level, following) in zip(done, pairwise(levels), strict=True):
        x_hat = exact(own, level)
        velocity = output_from_x("flow", x_hat, own, level)
        own = own + float(following.sigma[0] - level.sigma[0]) * velocity
        torch.testing.assert_close(step.x_hat, x_hat, rtol=0, atol=1e-12)
    torch.testing.assert_close(done[-1].z, own, rtol=0, atol=1e-12)


def scaled(level: NoiseLevel) -> NoiseLevel:
    """The level with the same logsnr that preserves variance."""
    return NoiseLevel.variance_preserving(level.logsnr)


SAMPLERS = [*(kind() for kind in Sampler.every()), Ancestral(gamma=0), Ancestral(gamma=1)]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda each: str(each))
@pytest.mark.parametrize("per_frame", [False, True])
def test_samplers_do_not_depend_on_the_scale_of_z(sampler: Sampler, per_frame: bool) -> None:
    """z of a variance-preserving level is z here divided by sqrt(alpha^2 + sigma^2): every x_hat is the same."""
    draw = torch.Generator().manual_seed(0)
    shape = (3, 3, 2, 2, 2)
    start = torch.randn(shape, dtype=torch.float64, generator=draw)
    fresh = torch.randn(2, 20, *shape, dtype=torch.float64, generator=draw)
    levels = [at(*[t] * 3, shift=-0.7) for t in torch.linspace(1, 0, 9, dtype=torch.float64).tolist()]
    if per_frame:
        clean = NoiseLevel.clean(3, 2)
        levels = [NoiseLevel.where(torch.tensor([True, False]), clean, level.expand(2)) for level in levels]
    first = levels[0]
    length = (first.alpha**2 + first.sigma**2).sqrt()
    length = length[:, None, :, None, None] if per_frame else length[:, None, None, None, None]

    def denoise(z: Tensor, level: NoiseLevel) -> Tensor:
        if not per_frame:
            return exact(z, level)
        return torch.stack([exact(z[:, :, f], NoiseLevel(*(v[:, f] for v in level))) for f in range(2)], dim=2)

    def noise(step: int) -> Tensor:
        return fresh[step // 2**20, step % 20]

    straight = list(sampler(denoise, start * length, levels, noise=noise))
    preserving = list(sampler(denoise, start.clone(), [scaled(level) for level in levels], noise=noise))
    for one, other in zip(straight, preserving, strict=True):
        torch.testing.assert_close(one.x_hat, other.x_hat, rtol=0, atol=1e-9)


def test_gamma_of_one_makes_data_of_unit_variance_exactly() -> None:
    """Var(z_s | z_t) of N(0, 1), from the joint law of both, is what gamma = 1 adds."""
    level_s, level_t = at(0.3), at(0.6)
    power_s, power_t = (level.alpha**2 + level.sigma**2 for level in (level_s, level_t))
    covariance = level_t.alpha / level_s.alpha * power_s
    exact_variance = power_s - covariance**2 / power_t
    kept = (level_t.alpha / level_s.alpha) ** 2
    added = power_ratio(level_s, level_t) * (level_t.sigma**2 - kept * level_s.sigma**2)
    assert float(added) == pytest.approx(float(exact_variance), rel=1e-12)
    preserving = [Cosine()(torch.tensor([t], dtype=torch.float64)) for t in (0.3, 0.6)]
    assert torch.equal(power_ratio(*preserving), torch.ones(1, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["flow", "v", "x"])
def test_a_student_on_it_ends_where_its_teacher_does(kind: str) -> None:
    grid = TimeGrid(jumps=4, each=False)
    place = torch.tensor([8, 6, 4, 2])
    jump = grid.jump(RectifiedFlow(), place)
    z = torch.randn(4, 3, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    answer = halving_answer(kind, exact, z, jump, place)  # type: ignore[arg-type]
    x_hat = x_from(kind, answer, z, jump.start)  # type: ignore[arg-type]
    noise = output_from_x("eps", x_hat, z, jump.start)
    at_the_end = diffuse(x_hat, noise, jump.end)
    for row in range(3):  # the last one ends in data
        levels = [NoiseLevel(*(v[row : row + 1] for v in level)) for level in jump]
        own = z[row : row + 1]
        for level, following in pairwise(levels):
            made = exact(own, level)
            own = diffuse(made, output_from_x("eps", made, own, level), following)
        torch.testing.assert_close(at_the_end[row : row + 1], own, rtol=0, atol=1e-9)
    assert (x_hat[3] - exact(z[3:], NoiseLevel(*(v[3:] for v in jump.start)))[0]).abs().max() > 1e-6


def test_anchored_networks_refuse_it() -> None:
    source = VideoShape(frames=1, height=2, width=2, fps=1)
    network = VideoUNetConfig(
        low_res=True, anchored=True, text_width=None, embedding=8, head=4, levels=(Level(width=4),)
    )
    shape = source.with_(height=4, width=4)
    inputs = tuple(each for each in usual_inputs(source) if each.name != "text")
    StageSpec(name="ssr", shape=shape, network=network, inputs=inputs)
    with pytest.raises(ValueError, match="expected a schedule that preserves variance, such as cosine, for an anch"):
        StageSpec(name="ssr", shape=shape, network=network, inputs=inputs, schedule=RectifiedFlow())
