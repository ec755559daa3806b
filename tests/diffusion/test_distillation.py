"""Distillation targets: reference vectors, closed forms, and students made of them that lose nothing."""

import math

import pytest
import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.distillation import (
    Jump,
    TimeGrid,
    expect_distillable,
    guided_answer,
    halving_answer,
    jump_answer,
    thresholded_answer,
)
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.prediction import Prediction, eps_from_x, target, v_from_x, x_from
from zoetrope.diffusion.process import diffuse
from zoetrope.diffusion.tensors import expand_like
from zoetrope.guidance import combined
from zoetrope.guidance.text import TextGuidance
from zoetrope.schedules.cosine import Cosine

KINDS: tuple[Prediction, ...] = ("v", "x", "flow")
both = pytest.mark.parametrize("kind", KINDS)


def gaussian(mean: float, variance: float) -> Denoise:
    """The exact denoiser of N(mean, variance)."""

    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        a, s = expand_like(level.alpha, z), expand_like(level.sigma, z)
        return mean + variance * a / (a**2 * variance + s**2) * (z - a * mean)

    return run


def at(t: float, count: int = 1) -> NoiseLevel:
    return Cosine()(torch.full((count,), t, dtype=torch.float64))


def states(count: int) -> Tensor:
    return torch.randn(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("mean", "variance", "x", "v"),
    [(0.0, 1.0, 0.427125260171044, -0.089505255757042), (0.5, 0.25, 0.599962113293331, -0.276584276583321)],
)
def test_reference_vectors(mean: float, variance: float, x: float, v: float) -> None:
    z = torch.full((1, 1), 0.9, dtype=torch.float64)
    place, grid = torch.tensor([6]), TimeGrid(jumps=4, each=True)  # from t = 0.75 over 0.625 to 0.5
    jump = grid.jump(Cosine(), place)
    assert [float(level.logsnr) for level in jump] == pytest.approx([float(at(t).logsnr) for t in (0.75, 0.625, 0.5)])
    teacher = gaussian(mean, variance)
    assert float(halving_answer("x", teacher, z, jump, place)) == pytest.approx(x, abs=1e-13)
    assert float(halving_answer("v", teacher, z, jump, place)) == pytest.approx(v, abs=1e-13)


def test_answer_for_unit_variance_in_closed_form() -> None:
    """Half the angle of a jump, delta: v = -tan(delta) / 2 z."""
    grid, place = TimeGrid(jumps=8, each=False), torch.tensor([4, 8, 12, 16])
    jump, z = grid.jump(Cosine(), place), states(4)
    delta = torch.atan2(jump.start.sigma, jump.start.alpha) - torch.atan2(jump.middle.sigma, jump.middle.alpha)
    got = halving_answer("v", gaussian(0, 1), z, jump, place)
    torch.testing.assert_close(got, -0.5 * torch.tan(delta)[:, None] * z, rtol=0, atol=1e-12)


@both
@pytest.mark.parametrize("shift", [0.0, -3.0])
def test_one_step_with_the_answer_ends_where_two_did(kind: Prediction, shift: float) -> None:
    place, grid, z = torch.tensor([3, 4, 9, 16]), TimeGrid(jumps=8, each=True), states(4)
    jump, teacher = grid.jump(Cosine(shift=shift), place), gaussian(0.5, 0.25)
    answer = halving_answer(kind, teacher, z, jump, place)
    x = x_from(kind, answer, z, jump.start)
    one = diffuse(x, eps_from_x(x, z, jump.start), jump.end)
    for level_t, level_s in ((jump.start, jump.middle), (jump.middle, jump.end)):
        x = teacher(z, level_t)
        z = diffuse(x, eps_from_x(x, z, level_t), level_s)
    torch.testing.assert_close(one, z, rtol=0, atol=1e-12)


@both
def test_any_alpha_and_sigma(kind: Prediction) -> None:
    level_t = NoiseLevel(*(torch.tensor([value], dtype=torch.float64) for value in (0.7, 3.0, 0.0)))
    level_s = NoiseLevel(*(torch.tensor([value], dtype=torch.float64) for value in (0.9, 0.4, 0.0)))
    x, eps = states(2)[:1], states(2)[1:]
    z_t, z_s = diffuse(x, eps, level_t), diffuse(x, eps, level_s)
    torch.testing.assert_close(jump_answer(kind, z_t, z_s, level_t, level_s), target(kind, x, eps, level_t))


@both
def test_the_steps_that_end_at_the_data_answer_with_the_last_x(kind: Prediction) -> None:
    place, grid, z, teacher = torch.tensor([1, 2]), TimeGrid(jumps=4, each=True), states(2), gaussian(0.5, 0.25)
    jump = grid.jump(Cosine(), place)
    got = x_from(kind, halving_answer(kind, teacher, z, jump, place), z, jump.start)
    torch.testing.assert_close(got[:1], teacher(z, jump.start)[:1], rtol=0, atol=1e-12)
    first = teacher(z, jump.start)
    middle = diffuse(first, eps_from_x(first, z, jump.start), jump.middle)
    torch.testing.assert_close(got[1:], teacher(middle, jump.middle)[1:], rtol=0, atol=1e-12)


def test_float32_is_near_float64() -> None:
    for jumps in (1, 8, 128):
        grid = TimeGrid(jumps=jumps, each=True)
        place = torch.arange(1, 2 * jumps + 1)
        z, jump = states(len(place)), grid.jump(Cosine(), place)
        for kind in KINDS:
            exact = halving_answer(kind, gaussian(0.5, 0.25), z, jump, place)
            rough = halving_answer(kind, gaussian(0.5, 0.25), z.float(), jump, place)
            torch.testing.assert_close(rough.double(), exact, rtol=0, atol=3e-4)


def test_places_cover_the_grid_evenly() -> None:
    u = (torch.arange(800, dtype=torch.float64) + 0.5) / 800
    assert TimeGrid(jumps=4, each=False).place(u).bincount().tolist() == [0, 0, 200, 0, 200, 0, 200, 0, 200]
    assert TimeGrid(jumps=4, each=True).place(u).bincount().tolist() == [0] + [100] * 8
    ends = torch.tensor([0.0, math.nextafter(1, 0)], dtype=torch.float64)
    assert TimeGrid(jumps=3, each=False).place(ends).tolist() == [2, 6]
    jump = TimeGrid(jumps=3, each=False).jump(Cosine(), torch.tensor([6, 2]))
    assert Cosine().time(jump.start.logsnr).tolist() == pytest.approx([1, 1 / 3], abs=1e-6)
    assert isinstance(jump, Jump) and float(jump.end.sigma[1]) == float(at(0).sigma)


SLOPES = {8: 0.024037231791, 4: 0.050437790381, 2: 0.117080895948}  # of x_hat in z at t = 1, after 256 steps' worth
GAIN = 0.4969975240492395  # of the whole way from z_1 to z_0 in 256 steps of the exact denoiser


@both
def test_students_of_a_gaussian_keep_their_teachers_map(kind: Prediction) -> None:
    """Exact students of N(0.5, 0.25) are affine in z: slopes at t = 1 and the whole way from noise, halving by halving.

    Samplers end with x_hat, not with z_0, which makes the gain smaller by 5e-7.
    """
    probes = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    steps, teacher, gains = 256, gaussian(0.5, 0.25), list[float]()
    while steps > 1:
        steps //= 2
        grid, tables = TimeGrid(jumps=steps, each=False), {}
        for place in range(2, 2 * steps + 1, 2):
            where = torch.full((2,), place)
            jump = grid.jump(Cosine(), where)
            low, high = x_from(kind, halving_answer(kind, teacher, probes, jump, where), probes, jump.start)
            tables[round(float(jump.start.logsnr[0]), 6)] = (float(high - low), float(low))

        def student(z: Tensor, level: NoiseLevel, tables: dict[float, tuple[float, float]] = tables) -> Tensor:
            slope, intercept = tables[round(float(level.logsnr[0]), 6)]
            return slope * z + intercept

        teacher = student
        start = student(probes, at(1, 2))
        if steps in SLOPES:
            assert float(start[1] - start[0]) == pytest.approx(SLOPES[steps], abs=1e-10)
            assert float(start[0]) == pytest.approx(0.5, abs=1e-4)
        z = probes
        for i in range(steps, 0, -1):
            level_t, level_s = at(i / steps, 2), at((i - 1) / steps, 2)
            x = student(z, level_t)
            z = diffuse(x, eps_from_x(x, z, level_t), level_s)
        gains.append(float(x[1] - x[0]))
    assert gains == pytest.approx([gains[0]] * 8, abs=1e-12)
    assert gains[0] == pytest.approx(GAIN, abs=1e-6)


def test_guided_answers_are_the_guided_denoiser() -> None:
    def conditional(z: Tensor, level: NoiseLevel) -> Tensor:
        return gaussian(0.6, 0.09)(z, level)

    def unconditional(z: Tensor, level: NoiseLevel) -> Tensor:
        return gaussian(0.0, 0.45)(z, level)

    z, level = states(3), at(0.4, 3)
    weight = torch.tensor([0.0, 2.0, 15.0])
    c, u = (v_from_x(side(z, level), z, level) for side in (conditional, unconditional))
    got = x_from("v", guided_answer(c, u, weight), z, level)
    for row, w in enumerate(weight.tolist()):
        expected = combined([conditional(z, level), unconditional(z, level)], TextGuidance(weight=w).shares(0, 1))
        torch.testing.assert_close(got[row], expected[row], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["v", "x", "eps", "flow"])
def test_thresholded_answers_are_clipped_denoisers(kind: Prediction) -> None:
    z, level = states(3), at(0.4, 3)
    x = torch.tensor([[-3.0, -1.0], [-0.2, 0.9], [1.0, 7.0]], dtype=torch.float64)
    answer = target(kind, x, eps_from_x(x, z, level), level)
    got = thresholded_answer(kind, answer, z, level)
    torch.testing.assert_close(x_from(kind, got, z, level), x.clamp(-1, 1), rtol=0, atol=1e-12)
    torch.testing.assert_close(got[1], answer[1], rtol=0, atol=1e-14)


def test_eps_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match=r"base: expected a network that predicts v, x or flow, .* of almost 0"):
        expect_distillable("base", "eps")
    place, grid = torch.tensor([2]), TimeGrid(jumps=4, each=False)
    with pytest.raises(ValueError, match="predicts v, x or flow"):
        halving_answer("eps", gaussian(0, 1), states(1), grid.jump(Cosine(), place), place)


@pytest.mark.parametrize("kind", ["v", "x", "eps", "flow"])
def test_jumps_without_preserved_variance(kind: Prediction) -> None:
    alpha, sigma = torch.tensor([[0.5, 1.3]], dtype=torch.float64), torch.tensor([[2.0, 0.3]], dtype=torch.float64)
    level_t, level_s = (NoiseLevel(a, s, 2 * torch.log(a / s)) for a, s in zip(alpha.T, sigma.T, strict=True))
    x, eps = states(2)[:, None]
    got = jump_answer(kind, diffuse(x, eps, level_t), diffuse(x, eps, level_s), level_t, level_s)
    torch.testing.assert_close(got, target(kind, x, eps, level_t), rtol=0, atol=1e-12)


@both
def test_every_frame_has_a_jump_of_its_own(kind: Prediction) -> None:
    grid, place = TimeGrid(jumps=4, each=True), torch.tensor([[1, 4], [8, 2], [5, 3]])
    z = torch.randn(3, 3, 2, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    got = halving_answer(kind, gaussian(0.5, 0.25), z, grid.jump(Cosine(), place), place)
    for frame in range(2):
        one, own = slice(frame, frame + 1), place[:, frame]
        alone = halving_answer(kind, gaussian(0.5, 0.25), z[:, :, one], grid.jump(Cosine(), own), own)
        assert torch.equal(got[:, :, one], alone)
