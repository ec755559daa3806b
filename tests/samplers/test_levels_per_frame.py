"""A noise level per frame: what is known stays, and samplers converge to the law of the rest given it.

Samplers are affine in their start and their noise where the denoiser is, so that the mean and the covariance of what
they make are read off exactly: the channels of a video hold the answer to no noise, to each unit of the start, and to
each unit of each step's noise.
"""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zoetrope.diffusion import process
from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel, changes
from zoetrope.diffusion.tensors import expand_like
from zoetrope.samplers import Noise, Sampler, Step
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.cosine import Cosine

FRAMES, RHO = 8, 0.9
SAMPLERS = [*(sampler() for sampler in Sampler.every()), Ancestral(gamma=1), DDIM(sample="z")]
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=[*Sampler.names(), "noisiest", "z"])

Known = dict[int, float]
AUTOREGRESSION: Known = {0: 0.8, 1: -0.2, 2: 1.0}
BRIDGE: Known = {0: 1.0, 7: -0.5}
MIDDLE: Known = {3: 1.2}
COUNTS = (16, 64, 256, 1024)
# What is known, the sampler, and how many steps each unknown frame starts after the one before;
# the mean's RMSE, and the relative Frobenius error of the covariance at each number of steps.
TABLE = [
    (AUTOREGRESSION, DDIM(), 0, 3.9e-5, (0.1493, 0.0396, 0.0100, 0.0025)),
    (AUTOREGRESSION, Ancestral(gamma=0), 0, 2.3e-9, (0.2204, 0.0660, 0.0177, 0.0045)),
    (AUTOREGRESSION, Ancestral(gamma=1), 0, 2.3e-9, (0.0481, 0.0120, 0.0030, 0.0007)),
    (AUTOREGRESSION, DDIM(), 4, 4.0e-5, (0.1466, 0.0380, 0.0099, 0.0025)),
    (BRIDGE, DDIM(), 0, 1.2e-5, (0.1488, 0.0395, 0.0100, 0.0025)),
    (BRIDGE, Ancestral(gamma=1), 0, 5e-10, (0.0336, 0.0109, 0.0029, 0.0007)),
    (MIDDLE, DDIM(), 0, 3.9e-5, (0.1466, 0.0388, 0.0099, 0.0025)),
]
LAWS = [
    (AUTOREGRESSION, [0.9**k for k in range(1, 6)], [1 - 0.81**k for k in range(1, 6)]),
    (
        BRIDGE,
        [0.771916, 0.552409, 0.339040, 0.129438, -0.078726, -0.287764],
        [0.176780, 0.290431, 0.346017, 0.346017, 0.290431, 0.176780],
    ),
    (MIDDLE, [0.8748, 0.972, 1.08, 1.08, 0.972, 0.8748, 0.78732], [1 - 0.81**k for k in (3, 2, 1, 1, 2, 3, 4)]),
]


def ar1() -> Tensor:
    place = torch.arange(FRAMES, dtype=torch.float64)
    return RHO ** (place[:, None] - place[None]).abs()


def gaussian(covariance: Tensor) -> Denoise:
    """The exact denoiser of frames of N(0, covariance), for z (1, C, F, 1, 1) and a level (1, F)."""

    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        a, s = level.alpha[0], level.sigma[0]
        noisy = a[:, None] * covariance * a + torch.diag(s**2)
        gain = covariance * a @ torch.linalg.inv(noisy)
        return (z.flatten(1, 2).view(-1, len(a)) @ gain.T).view(z.shape)

    return run


def unknown(known: Known) -> list[int]:
    return [frame for frame in range(FRAMES) if frame not in known]


def levels_of(known: Known, steps: int, delay: int) -> list[NoiseLevel]:
    """Known frames are clean; each other one takes `steps` steps, and starts `delay` of them after the one before."""
    late = torch.zeros(FRAMES)
    late[unknown(known)] = delay * torch.arange(FRAMES - len(known), dtype=late.dtype)
    given = torch.tensor([frame in known for frame in range(FRAMES)])
    clean = NoiseLevel.clean(1, FRAMES)
    done = torch.arange(steps + int(late.max()) + 1)
    times = 1 - ((done[:, None] - late) / steps).clamp(0, 1).double()
    return [NoiseLevel.where(given, clean, Cosine()(t[None])) for t in times]


def last(sampler: Sampler, denoise: Denoise, z: Tensor, levels: Sequence[NoiseLevel], noise: Noise) -> Step:
    for step in sampler(denoise, z, levels, noise=noise):
        done = step
    return done


def moments(sampler: Sampler, known: Known, steps: int, delay: int) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the unknown frames, to rounding."""
    free, levels = unknown(known), levels_of(known, steps, delay)
    sources = len(levels) - 1 if isinstance(sampler, Ancestral) else 1
    unit = torch.zeros(len(free), FRAMES, dtype=torch.float64)
    unit[torch.arange(len(free)), free] = 1
    start = torch.zeros(1 + len(free) * sources, FRAMES, dtype=torch.float64)
    start[:, list(known)] = torch.tensor(list(known.values()), dtype=torch.float64)
    start[1 : 1 + len(free)] += unit

    def noise(step: int) -> Tensor:
        own = torch.zeros_like(start)
        first = 1 + len(free) * (step + 1)
        own[first : first + len(free)] = unit
        return own.view(1, -1, FRAMES, 1, 1)

    made = last(sampler, gaussian(ar1()), start.clone().view(1, -1, FRAMES, 1, 1), levels, noise).x_hat[0, :, :, 0, 0]
    assert torch.equal(made[:, list(known)], start[:, list(known)])
    answers = made[1:, free] - made[0, free]
    return made[0, free], answers.T @ answers


def law(known: Known) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the unknown frames given the known ones."""
    free, given, covariance = unknown(known), list(known), ar1()
    gain = torch.linalg.solve(covariance[given][:, given], covariance[given][:, free]).T
    values = torch.tensor(list(known.values()), dtype=torch.float64)
    return gain @ values, covariance[free][:, free] - gain @ covariance[given][:, free]


@pytest.mark.parametrize(("known", "mean", "variances"), LAWS)
def test_laws_of_the_unknown_frames(known: Known, mean: list[float], variances: list[float]) -> None:
    got, covariance = law(known)
    assert got.tolist() == pytest.approx(mean, abs=1e-6)
    assert covariance.diagonal().tolist() == pytest.approx(variances, abs=1e-6)


@pytest.mark.parametrize(("known", "sampler", "delay", "rmse", "errors"), TABLE)
def test_samplers_reach_the_law_given_the_known_frames(
    known: Known, sampler: Sampler, delay: int, rmse: float, errors: tuple[float, ...]
) -> None:
    mean, covariance = law(known)
    most = 256 if isinstance(sampler, Ancestral) else 1024  # whose columns are all steps' noises
    for steps, expected in zip([count for count in COUNTS if count <= most], errors, strict=False):
        got_mean, got = moments(sampler, known, steps, delay)
        assert float((got - covariance).norm() / covariance.norm()) == pytest.approx(expected, abs=6e-5), steps
        # The sampler starts at a mean of 0, and the law of noised data at alpha_1 times the mean.
        assert float((got_mean - mean).square().mean().sqrt()) == pytest.approx(rmse, rel=0.17), steps


def drawn(seed: int, dtype: torch.dtype = torch.float64, frames: int = 5) -> Tensor:
    """Two small videos of noise."""
    return torch.randn(2, 3, frames, 2, 2, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def looking_around(z: Tensor, level: NoiseLevel) -> Tensor:
    """A denoiser whose every frame depends on all frames and on its own level; it does not stay in [-1, 1]."""
    return 1.5 * torch.tanh(z + 0.3 * z.mean(2, keepdim=True)) + 0.1 * expand_like(level.alpha, z)


def frame_by_frame(z: Tensor, level: NoiseLevel) -> Tensor:
    """A denoiser of frames that do not look at one another."""
    a, s = expand_like(level.alpha, z), expand_like(level.sigma, z)
    return torch.tanh(2 * z * a / (a**2 + s**2))


def walked(
    sampler: Sampler,
    denoise: Denoise,
    z: Tensor,
    levels: Sequence[NoiseLevel],
    noise: Noise | None = None,
) -> list[tuple[Tensor, Tensor]]:
    """z and x_hat after each step."""
    steps = sampler(denoise, z.clone(), levels, noise=noise or (lambda step: drawn(step + 1, z.dtype, z.shape[2])))
    return [(step.z.clone(), step.x_hat.clone()) for step in steps]


tracks = st.lists(
    st.one_of(
        st.just("known"),
        st.floats(0.05, 0.95),  # noised and left so
        st.tuples(st.integers(0, 4), st.integers(1, 4)),  # the step it starts at, and how many it takes
    ),
    min_size=5,
    max_size=5,
)
Track = str | float | tuple[int, int]
STEPS = 8


def track_levels(track: Track) -> list[NoiseLevel]:
    """The levels (2, 1) of one frame."""
    if track == "known":
        return [NoiseLevel.clean(2, 1)] * (STEPS + 1)
    if isinstance(track, float):
        times = torch.full((STEPS + 1,), track)
    else:
        assert isinstance(track, tuple)
        times = 1 - ((torch.arange(STEPS + 1).double() - track[0]) / track[1]).clamp(0, 1)
    return [Cosine()(t.expand(2, 1)) for t in times.double()]


def together(frames: Sequence[list[NoiseLevel]]) -> list[NoiseLevel]:
    """Levels (2, F) of frames whose levels are known one by one."""
    rows = zip(*frames, strict=True)
    return [NoiseLevel(*(torch.cat(values, 1) for values in zip(*row, strict=True))) for row in rows]


@every_sampler
@settings(deadline=None, max_examples=30)
@given(plan=tracks, dtype=st.sampled_from([torch.float32, torch.float64]), pieces=st.booleans())
def test_frames_whose_level_does_not_change_stay(
    sampler: Sampler, plan: list[Track], dtype: torch.dtype, pieces: bool
) -> None:
    levels = together([track_levels(track) for track in plan])
    before = drawn(0, dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "PIECE", 30 if pieces else process.PIECE)
        steps = walked(sampler, looking_around, before, levels)
    moves = changes(levels)
    known = [place for place, track in enumerate(plan) if track == "known"]
    arrived = torch.zeros(2, 5, dtype=torch.bool)
    for place, (z, x_hat) in enumerate(steps):
        assert z.isfinite().all() and x_hat.isfinite().all() and z.dtype == x_hat.dtype == dtype
        held = ~moves[place][:, None, :, None, None].expand_as(z)
        assert torch.equal(z[held], before[held])
        assert torch.equal(x_hat[:, :, known], before[:, :, known])
        done = arrived[:, None, :, None, None].expand_as(z)
        assert torch.equal(x_hat[done], before[done])
        if place < STEPS - 1:
            arrived |= moves[place] & ~moves[place + 1 :].any(0)
            done = arrived[:, None, :, None, None].expand_as(z)
            assert torch.equal(z[done], x_hat[done])
        before = z


@every_sampler
@settings(deadline=None, max_examples=30)
@given(plan=tracks)
def test_a_frame_is_sampled_as_it_would_be_alone(sampler: Sampler, plan: list[Track]) -> None:
    """Whatever the levels of the others are, and without the steps in which it waits."""
    z = drawn(0)
    _, x_hat = walked(sampler, frame_by_frame, z, together([track_levels(track) for track in plan]))[-1]
    for place, track in enumerate(plan):
        if not isinstance(track, tuple):
            continue
        start, count = track
        times = torch.linspace(1, 0, count + 1, dtype=torch.float64)

        def noise(step: int, place: int = place, start: int = start) -> Tensor:
            return drawn(start + step + 1)[:, :, [place]]

        alone = walked(sampler, frame_by_frame, z[:, :, [place]], [Cosine()(t.expand(2)) for t in times], noise)
        torch.testing.assert_close(x_hat[:, :, [place]], alone[-1][1], rtol=0, atol=1e-12)


@every_sampler
@settings(deadline=None, max_examples=30)
@given(
    steps=st.integers(1, 9),
    shift=st.floats(-5, 3),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    pieces=st.booleans(),
)
def test_the_same_level_in_every_frame_is_a_level_for_all(
    sampler: Sampler, steps: int, shift: float, dtype: torch.dtype, pieces: bool
) -> None:
    times = torch.stack([torch.linspace(1, 0, steps + 1), torch.linspace(0.8, 0, steps + 1)], 1).double()
    whole = [Cosine(shift=shift)(t) for t in times]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "PIECE", 30 if pieces else process.PIECE)
        expected = walked(sampler, looking_around, drawn(0, dtype), whole)
        got = walked(sampler, looking_around, drawn(0, dtype), [level.expand(5) for level in whole])
    rounding = 16 * torch.finfo(dtype).eps  # some processors round sums over expanded levels otherwise
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=rounding)


@every_sampler
def test_examples_of_one_batch_may_arrive_at_different_steps(sampler: Sampler) -> None:
    times = torch.tensor([[1, 1], [0.5, 0.8], [0, 0.4], [0, 0]], dtype=torch.float64)
    got = walked(sampler, frame_by_frame, drawn(0), [Cosine()(t) for t in times])
    assert torch.equal(got[1][0][0], got[1][1][0]) and torch.equal(got[2][1][0], got[1][1][0])
    early = walked(sampler, frame_by_frame, drawn(0), [Cosine()(t[:1].expand(2)) for t in times[:3]])
    torch.testing.assert_close(got[-1][1][0], early[-1][1][0], rtol=0, atol=1e-12)


@every_sampler
def test_a_known_frame_at_exactly_no_noise_does_no_harm(sampler: Sampler) -> None:
    """alpha = 1, sigma = 0, logsnr infinite: a level that nobody can divide by."""
    one = torch.ones(2, 1, dtype=torch.float64)
    exact = NoiseLevel(one, 0 * one, torch.inf * one)
    plan = [[exact] * (STEPS + 1), *(track_levels((0, STEPS)) for _ in range(4))]
    for z, x_hat in walked(sampler, looking_around, drawn(0), together(plan)):
        assert z.isfinite().all() and x_hat.isfinite().all()
        assert torch.equal(z[:, :, 0], drawn(0)[:, :, 0]) and torch.equal(x_hat[:, :, 0], drawn(0)[:, :, 0])


def test_levels_on_the_meta_device_are_walked_through() -> None:
    levels = [NoiseLevel(*torch.ones(3, 1, 2, dtype=torch.float64, device="meta"))] * 3
    z = torch.empty(1, 3, 2, 4, 4, device="meta")
    for sampler in SAMPLERS:
        assert len(list(sampler(lambda z, level: z + 1, z, levels, noise=lambda step: torch.ones_like(z)))) == 2
