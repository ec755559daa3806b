"""Frames that a stage has learnt to be given: through the code that samples stages, with a network that is exact.

The network is the exact denoiser of an autoregressive video at a noise level per frame. Channels hold the answers to no
noise, to each unit of the start, and to each unit of a step's noise: mean and covariance of the samples are exact.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from cascade.test_frame_levels import LINE, ExactConfig
from samplers.test_levels_per_frame import AUTOREGRESSION, FRAMES, TABLE, ar1, law, unknown
from samplers.test_levels_per_frame import Known as Values
from torch import Tensor

from known.exact import known_of, stage_of
from known.exact import moments as exact_moments
from zoetrope.cascade.execution.cost import sampler_bytes
from zoetrope.cascade.execution.layout import Layout
from zoetrope.cascade.execution.tiles import Tile, tiles_of
from zoetrope.cascade.sample import Draw, ready, sample_stage, stage_video
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.known import Known, Method
from zoetrope.known.learnt import Learnt
from zoetrope.networks import Network
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers import Sampler
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape, Window

LEARNT = Learnt()


def line(sampler: Sampler, steps: int, channels: int = 3, known: Method | None = LEARNT) -> StageSpec:
    sampling = SamplingSpec(sampler=sampler, steps=steps, threshold=None, known=known)
    return StageSpec(name="line", shape=LINE, inputs=(), network=ExactConfig(channels=channels), sampling=sampling)


def given(values: Values, channels: int, count: int = 1) -> Known:
    """Frames of one value each."""
    video = torch.full((count, channels, FRAMES, 1, 1), torch.nan)
    for frame, value in values.items():
        video[:, :, frame] = value
    return Known(torch.tensor([frame in values for frame in range(FRAMES)]), video)


def moments(spec: StageSpec, values: Values) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the unknown frames of what a stage of one channel makes."""
    free, steps = unknown(values), spec.sampling.steps
    sources = steps if isinstance(spec.sampling.sampler, Ancestral) else 1

    def noise(purpose: str) -> Tensor:
        own = torch.zeros(1, 1 + len(free) * sources, FRAMES, 1, 1, dtype=torch.float64)
        source = 0 if purpose == "start" else 1 + int(purpose.removeprefix("step "))
        for place, frame in enumerate(free):
            own[0, 1 + len(free) * source + place, frame] = 1
        return own

    draw = Draw(seed=0, samples=[0], known=given(values, 1))
    prepared = ready(spec, spec.network.build(), Conditioning(), None, draw)
    for step in spec.sampling.routine(replace(prepared, noise=noise)):
        made = step.x_hat[0, :, :, 0, 0]
    answers = made[1:, free] - made[0, free]
    return made[0, free], answers.T @ answers


@pytest.mark.parametrize(("values", "sampler", "delay", "rmse", "errors"), [row for row in TABLE if row[2] == 0])
def test_a_stage_reaches_the_law_given_the_known_frames(
    values: Values, sampler: Sampler, delay: int, rmse: float, errors: tuple[float, ...]
) -> None:
    mean, covariance = law(values)
    for steps, expected in zip((16, 64), errors, strict=False):
        got_mean, got = moments(line(sampler, steps, channels=1), values)
        assert float((got - covariance).norm() / covariance.norm()) == pytest.approx(expected, abs=6e-5), steps
        assert float((got_mean - mean).square().mean().sqrt()) == pytest.approx(rmse, rel=0.17, abs=2e-8), steps


@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_history_guidance_is_that_of_the_closed_form(weight: float) -> None:
    """x_none + (1 + w) (x_known - x_none) of two Gaussians: without the known frames, and given them."""
    free, known, steps = unknown(AUTOREGRESSION), list(AUTOREGRESSION), 32
    spec = stage_of(FRAMES, 1, DDIM(), steps, Learnt(history=weight))
    mean, covariance = exact_moments(spec, known_of(FRAMES, 1, AUTOREGRESSION))
    assert mean[known].tolist() == pytest.approx(list(AUTOREGRESSION.values()), abs=1e-7)
    plain, (centre, given) = ar1()[free][:, free], law(AUTOREGRESSION)
    unit = torch.eye(len(free), dtype=torch.float64)
    constant, responses = torch.zeros(len(free), dtype=torch.float64), unit.clone()
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    for now, after in pairwise([Cosine()(t[None]) for t in times]):
        a, s = float(now.alpha), float(now.sigma)
        without, with_frames = (a * k @ torch.linalg.inv(a**2 * k + s**2 * unit) for k in (plain, given))
        gain = (1 + weight) * with_frames - weight * without
        x = gain @ constant + (1 + weight) * (centre - a * with_frames @ centre)
        answers, ratio = gain @ responses, float(after.sigma / now.sigma)
        constant = ratio * constant + (float(after.alpha) - ratio * a) * x
        responses = ratio * responses + (float(after.alpha) - ratio * a) * answers
    # "Pure noise" has an alpha of 5e-5, which the closed form here leaves out.
    torch.testing.assert_close(mean[free], x, rtol=0, atol=5e-4)
    torch.testing.assert_close(covariance[free][:, free], answers @ answers.T, rtol=0, atol=5e-4)
    trace = float(given.trace())
    made = float(covariance.trace())
    assert made == pytest.approx(trace, rel=0.2) if weight == 0 else made < trace


def test_context_guidance_is_that_of_the_closed_form() -> None:
    """x_none is the mean given a z all of whose frames have one level, x_known that given the known frames as well."""
    known, k, weight = list(AUTOREGRESSION), ar1().double(), 1.5
    spec = stage_of(FRAMES, 1, DDIM(), 8, Learnt(history=weight, without="noised"))
    draw = Draw(seed=3, samples=[0], known=known_of(FRAMES, 1, AUTOREGRESSION))
    prepared = ready(spec, spec.network.build(), Conditioning(), None, draw)
    level, free = prepared.levels[4], unknown(AUTOREGRESSION)
    torch.manual_seed(0)
    z = torch.randn(1, 1, FRAMES, 1, 1)
    values = torch.tensor(list(AUTOREGRESSION.values()))
    z[0, 0, known, 0, 0] = values
    made = prepared.denoise(z, level)[0, 0, :, 0, 0]
    a, s = float(level.alpha[0, free[0]]), float(level.sigma[0, free[0]])
    noised, unit = z[0, 0, :, 0, 0].double(), torch.eye(FRAMES, dtype=torch.float64)
    noised[known] = a * values.double() + s * prepared.noise("start")[0, 0, known, 0, 0].double()
    without = a * k @ torch.linalg.solve(a**2 * k + s**2 * unit, noised)
    alphas, sigmas = unit[0] * 0 + a, unit[0] * 0 + s
    alphas[known], sigmas[known] = 1, 0
    seen = alphas[:, None] * k * alphas + torch.diag(sigmas**2)
    with_frames = (k * alphas) @ torch.linalg.solve(seen, z[0, 0, :, 0, 0].double())
    expected = without + (1 + weight) * (with_frames - without)
    torch.testing.assert_close(made[free].double(), expected[free], rtol=1e-4, atol=1e-4)
    assert (without - with_frames)[free].abs().max() > 0.05 and torch.equal(made[known], values)


SHAPE = VideoShape(frames=10, height=8, width=16, fps=8)
LEVELS = (Level(width=16, blocks=1, temporal=("convolution",)), Level(width=16, blocks=1, temporal=("convolution",)))
CONV = VideoUNetConfig(levels=LEVELS, text_width=None, embedding=32, head=16)
ATTENTION = CONV.with_(levels=(LEVELS[0], Level(width=16, blocks=1, spatial_attention=True, temporal=("attention",))))


def awake(config: VideoUNetConfig) -> Network:
    """A network none of whose layers is zero."""
    network = config.build()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=draw))
    return network


def pictures(spec: StageSpec, frames: Sequence[int], count: int = 2) -> Known:
    """Known frames of noise in [-1, 1]; what is in the others is not finite."""
    draw = torch.Generator().manual_seed(1)
    video = 2 * torch.rand(count, 3, *spec.shape.sizes, generator=draw) - 1
    known = torch.tensor([frame in frames for frame in range(spec.shape.frames)])
    video[:, :, ~known] = torch.nan
    return Known(known, video)


def real(sampler: Sampler, config: VideoUNetConfig = CONV, **sampling: object) -> StageSpec:
    chosen = SamplingSpec(**{"sampler": sampler, "steps": 4, "known": Learnt(), **sampling})
    return StageSpec(name="base", shape=SHAPE, inputs=(), network=config, sampling=chosen)


@pytest.mark.parametrize("threshold", ["static", 0.8, None])
@pytest.mark.parametrize("sampler", [sampler() for sampler in Sampler.every()], ids=Sampler.names())
def test_known_frames_come_back_bit_for_bit_at_every_step(sampler: Sampler, threshold: object) -> None:
    spec = real(sampler, ATTENTION, threshold=threshold)
    known = pictures(spec, [0, 3])
    draw = Draw(seed=0, samples=[0, 1], known=known)
    made = [x_hat.clone() for x_hat in sample_stage(spec, awake(ATTENTION), Conditioning(), None, draw)]
    assert len(made) == 4
    for x_hat in made:
        assert torch.equal(x_hat[:, :, [0, 3]], known.video[:, :, [0, 3]]) and x_hat.isfinite().all()
    others = [stage_video(spec, awake(ATTENTION), Conditioning(), None, replace(draw, known=None))]
    assert not torch.equal(others[0][:, :, 1], made[-1][:, :, 1]), "the other frames do not look at the known ones"


@pytest.mark.parametrize("steps", [1, 3])
def test_tiles_streams_and_one_at_a_time_change_nothing(steps: int) -> None:
    spec = real(Ancestral(), steps=steps, known=Learnt(history=0.5, level=4.0))
    network, known = awake(CONV), pictures(spec, [0, 5])
    draw = Draw(seed=0, samples=[3, 4], known=known)
    whole = Window.whole(SHAPE)
    halves = list(tiles_of(SHAPE, (5, 8, 16), CONV.reach()))
    assert len(halves) == 2 and len(halves[0].seen.frames) < SHAPE.frames
    layouts = [
        Layout([Tile(whole, whole)]),
        Layout(halves),
        Layout([Tile(whole, whole)], part=2, keep=False),
        Layout([Tile(whole, whole)], one_at_a_time=True),
        Layout(halves, one_at_a_time=True),
    ]
    first, *others = (stage_video(spec, network, Conditioning(), None, replace(draw, layout=x)) for x in layouts)
    for other in others:
        torch.testing.assert_close(other, first, rtol=0, atol=2e-5)


class Watched(ExactConfig):
    """Writes down what the network is told."""

    def build(self) -> "Watcher":
        return Watcher()


class Watcher(Network):
    """See `Watched`; its output is z."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[Tensor, Tensor, Conditioning]] = []

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        self.told.append((z.clone(), logsnr, conditioning))
        return z


def test_a_network_is_told_the_frames_their_level_and_the_times() -> None:
    spec = line(DDIM(), 2, known=Learnt(history=1.0, level=3.0)).with_(network=Watched())
    network, known = Watcher(), given({2: 0.5}, 3)
    times = torch.linspace(0, 9, FRAMES)[None]
    stage_video(spec, network, Conditioning(times=times), None, Draw(seed=0, samples=[0], known=known))
    assert len(network.told) == 4
    first = spec.schedule(torch.ones(1).double()).logsnr
    for number, (z, logsnr, conditioning) in enumerate(network.told):
        assert conditioning.times is not None and torch.equal(conditioning.times, times)
        without = number % 2 == 0
        assert logsnr.shape == (1, FRAMES)
        assert float(logsnr[0, 2]) == pytest.approx(float(first) if without else 3.0)
        assert bool((z[:, :, 2] == 0.5).all()) is not without


def test_no_level_means_clean() -> None:
    spec = line(DDIM(), 2).with_(network=Watched())
    network = Watcher()
    stage_video(spec, network, Conditioning(), None, Draw(seed=0, samples=[0], known=given({2: 0.5}, 3)))
    for z, logsnr, _ in network.told:
        assert bool((z[:, :, 2] == 0.5).all()) and float(logsnr[0, 2]) == float(NoiseLevel.clean(1).logsnr)


def test_times_reach_the_network_in_tiles() -> None:
    """Frames at other distances in time are other frames to a network that attends to frames."""
    network = awake(ATTENTION)
    spec = real(DDIM(), ATTENTION.with_(fps=8.0))
    draw = Draw(seed=0, samples=[0], known=pictures(spec, [0], count=1))
    even, late = (torch.arange(10) / 8)[None], (torch.arange(10) / 8)[None] + 0.0
    late = torch.cat([late[:, :1], late[:, 1:] + 1], 1)
    with pytest.raises(ValueError, match="times"):  # its other level has temporal convolutions
        stage_video(spec, network, Conditioning(times=late), None, draw)
    own = ATTENTION.with_(levels=(LEVELS[0].with_(temporal=()), ATTENTION.levels[1]), fps=8.0)
    spec, network = real(DDIM(), own), awake(own)
    plain, same, other = (
        stage_video(spec, network, Conditioning(times=times), None, draw) for times in (None, even, late)
    )
    torch.testing.assert_close(same, plain, rtol=0, atol=1e-5)
    assert (other - plain).abs().max() > 1e-3


@pytest.mark.parametrize("method", [None, Learnt(), Learnt(history=1.0)])
def test_memory_is_planned_with_what_known_frames_take(method: Method | None) -> None:
    spec = real(DDIM(), ATTENTION, known=method)
    video = 4 * 3 * 10 * 8 * 16
    plain = sampler_bytes(spec.with_(sampling=spec.sampling.with_(known=None)), 1)
    state, resting = sampler_bytes(spec, 1)
    assert state >= plain[0] and resting >= plain[1] and resting <= plain[1] + 4 * video


def test_a_stage_that_has_not_learnt_them_says_so() -> None:
    spec = real(DDIM(), known=None)
    with pytest.raises(ValueError, match=r"stage 'base': expected no known frames, for it has not learnt them"):
        ready(spec, awake(CONV), Conditioning(), None, Draw(seed=0, samples=[0, 1], known=pictures(spec, [0])))


def test_known_frames_that_do_not_fit_are_refused() -> None:
    spec = real(DDIM())
    video = torch.zeros(1, 3, *SHAPE.sizes)
    some = torch.arange(10) < 2

    def run(known: Known) -> None:
        ready(spec, awake(CONV), Conditioning(), None, Draw(seed=0, samples=[0], known=known))

    with pytest.raises(ValueError, match=r"stage 'base': known.frames: expected a frame that is not known, got all 10"):
        run(Known(torch.ones(10, dtype=torch.bool), video))
    with pytest.raises(ValueError, match=r"stage 'base': known.video: expected shape \(1, 3, 10, 8, 16\), got"):
        run(Known(some, video[..., :8]))
    with pytest.raises(ValueError, match=r"known.video: expected shape \(\?, \?, 10, \?, \?\), got"):
        Known(some, video[:, :, :4])
    with pytest.raises(ValueError, match=r"known.frames: expected bool"):
        Known(some.float(), video)
    with pytest.raises(ValueError, match=r"known.video: expected finite values in known frames, got NaN"):
        Known(some, video / 0)
