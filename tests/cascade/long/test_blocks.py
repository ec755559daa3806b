"""Long videos of known laws: what a scheme keeps of them, what it forgets, and that a kill changes nothing."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import pytest
import torch

from tests.cascade.long.gaussian import FPS, covariance, error, exact_covariance, made_covariance, rollout
from tests.known.test_learnt import awake
from tests.samplers.test_levels_per_frame import gaussian
from zoetrope.cascade.long.blocks import Rollout, numbered_noise
from zoetrope.cascade.long.journal import Journal
from zoetrope.cascade.noise import video_noise
from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.inputs.region import MASK, REGION, Region
from zoetrope.known.replacement import Replacement
from zoetrope.models.asking import conditioning_of
from zoetrope.networks import Network, NetworkConfig
from zoetrope.networks.dit import DiTConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers import Sampler
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.ddim import DDIM
from zoetrope.samplers.heun import Heun
from zoetrope.schedules.discrete import Discrete
from zoetrope.schemes import LongVideo, SamplingScheme
from zoetrope.schemes.adaptive import Adaptive
from zoetrope.schemes.autoregressive import Autoregressive
from zoetrope.schemes.hierarchy import Hierarchy
from zoetrope.schemes.interpolation import Interpolation
from zoetrope.schemes.long_range import LongRange
from zoetrope.schemes.pyramid import Pyramid, places

T = 40
IN_ONE_GO: list[SamplingScheme] = [
    Autoregressive(step=4),
    LongRange(step=4),
    Hierarchy(step=4),
    Hierarchy(step=4, levels=3),
]


def true(law: str) -> torch.Tensor:
    return covariance(law, torch.arange(T, dtype=torch.float64))


@pytest.mark.parametrize("scheme", [*IN_ONE_GO, Adaptive(step=4), Pyramid(step=4)], ids=repr)
def test_every_scheme_reaches_the_law_of_an_autoregression(tmp_path: Path, scheme: SamplingScheme) -> None:
    """Each frame depends on its neighbours alone, and every block is given neighbours: the error is the sampler's.

    That of DDIM on 8 such frames in one go is 0.10 with 32 steps and 0.027 with 128; it halves with twice the steps.
    """
    errors = []
    for steps in (32, 128):
        folder = tmp_path / str(steps)
        folder.mkdir()
        errors.append(error(made_covariance(rollout(folder, "ar1", scheme, T, steps=steps)), true("ar1")))
    assert errors[0] < 0.13 and errors[1] < 0.034 and 3.4 < errors[0] / errors[1] < 4.4, errors


def test_networks_are_told_the_rate_of_a_blocks_frames(tmp_path: Path) -> None:
    """Key frames are apart: a network that is told frames per second is told theirs, as in training."""
    own, rates = rollout(tmp_path, "ar1", Interpolation(skip=5), 36, steps=2), list[float]()

    def told(stage: StageSpec) -> Conditioning:
        rates.append(stage.shape.fps)
        return Conditioning()

    made_covariance(replace(own, given=told))
    assert rates == [FPS / 5] + [FPS] * 7


@pytest.mark.parametrize("scheme", IN_ONE_GO, ids=repr)
@pytest.mark.parametrize("law", ["ar1", "shared"])
def test_blocks_are_draws_given_what_the_scheme_observes(
    tmp_path: Path, scheme: SamplingScheme, law: Literal["ar1", "shared"]
) -> None:
    expected = exact_covariance(law, scheme, LongVideo(total=T, most=8))
    assert error(made_covariance(rollout(tmp_path, law, scheme, T, steps=256)), expected) < 0.02


def test_what_lasts_is_kept_by_those_that_look_far_back(tmp_path: Path) -> None:
    """Frames share a part of their variance, 0.5; that of the first and the last frame is lost or kept."""
    shared = {}
    for scheme in IN_ONE_GO:
        folder = tmp_path / f"{len(shared)}"
        folder.mkdir()
        shared[repr(scheme)] = float(made_covariance(rollout(folder, "shared", scheme, T, steps=64))[0, -1])
    forgets, *keep = shared.values()
    assert forgets < 0.12 and all(own > 0.3 for own in keep), shared


@pytest.mark.parametrize("sampler", [DDIM(), Heun()])
@pytest.mark.parametrize("delay", [1, 3, 8])
def test_a_rolling_window_is_the_whole_video_with_shifted_levels(tmp_path: Path, sampler: Sampler, delay: int) -> None:
    """In one call: frames that did not begin are noise, and of those that are done the nearest one suffices here."""
    rolled = rollout(tmp_path, "ar1", Pyramid(delay=delay), 12, most=12, steps=8, sampler=sampler)
    found = made_covariance(rolled)
    ladder = [rolled.stage.schedule(t[None]) for t in torch.linspace(1, 0, 9, dtype=torch.float64)]
    levels = []
    for row in places(12, 8, delay):
        each = [ladder[place] for place in row]
        levels.append(type(ladder[0])(*(torch.stack(values, dim=1) for values in zip(*each, strict=True))))
    z = torch.eye(12, dtype=torch.float64).view(1, 12, 12, 1, 1)
    denoise = gaussian(covariance("ar1", torch.arange(12, dtype=torch.float64)))
    for step in sampler(denoise, z, levels, noise=lambda n: torch.zeros_like(z)):
        whole = step.x_hat[0, :, :, 0, 0]
    assert error(found, whole.T @ whole) < 2e-3


def ordinary(folder: Path, scheme: SamplingScheme, sampler: Sampler, total: int = 20) -> Rollout:
    """A roll-out of three channels with ordinary noise."""
    folder.mkdir(exist_ok=True)
    own = rollout(folder, "ar1", scheme, total, steps=6, sampler=sampler)
    stage = own.stage.with_(network=own.stage.network.with_(channels=3))
    frames = replace(own.frames, channels=3)
    return replace(own, stage=stage, frames=frames, draw=Draw(seed=0, samples=[2]))


def run(own: Rollout, most: int | None = None) -> int:
    """Run at most so many blocks, as if killed then."""
    journal = Journal.begin(own.frames.path.parent, {"seed": 0}, resume=True)
    count = 0
    for piece in own.run(own.stage.network.build, journal):
        count += 1
        assert piece.number == journal.done("line") <= piece.total
        if count == most:
            break
    return count


@pytest.mark.parametrize("scheme", [*IN_ONE_GO, Adaptive(), Pyramid(delay=2)], ids=repr)
def test_killed_after_every_block_the_video_is_the_same(tmp_path: Path, scheme: SamplingScheme) -> None:
    whole, parts = (ordinary(tmp_path / name, scheme, Ancestral(gamma=0.5)) for name in ("whole", "parts"))
    blocks = run(whole)
    assert sum(run(parts, most=1) for _ in range(blocks)) == blocks and run(parts) == 0
    made = whole.frames.path.read_bytes()
    assert made == parts.frames.path.read_bytes() and len(made) == 20 * 3 * 4
    assert [path.name for path in (tmp_path / "parts").iterdir() if path.suffix == ".safetensors"] == []


@pytest.mark.parametrize("name", Sampler.names())
def test_a_rolling_window_draws_noise_by_frame_and_place(tmp_path: Path, name: str) -> None:
    """Two videos of other lengths have the same first frames, but for rounding."""
    sampler = Sampler.named(name)()
    short, long = (ordinary(tmp_path / f"{n}", Pyramid(delay=2), sampler, total=n) for n in (9, 14))
    assert run(short) and run(long)
    assert torch.equal(short.frames.read(range(7)), long.frames.read(range(7)))


def test_a_rolling_window_makes_the_sample_of_its_sampler(tmp_path: Path) -> None:
    """Of frames that do not see each other it is that of a clip, also where it is z, at a level with some noise."""
    network = VideoUNetConfig(text_width=None, embedding=16, head=8, levels=(Level(width=8, temporal=()),))
    own = mixing(tmp_path / "a", network, Pyramid(delay=2), 8)
    sampling = own.stage.sampling.with_(sampler=DDIM(sample="z"), steps=4)
    own = replace(own, stage=own.stage.with_(schedule=Discrete(spacing="trailing"), sampling=sampling))
    built = awake(network)
    list(own.run(lambda: built, Journal.begin(tmp_path / "a", {}, resume=False)))
    expected = stage_video(own.stage, built, own.given(own.stage), None, own.draw)[0]
    torch.testing.assert_close(own.frames.read(range(8)), expected, rtol=0, atol=1e-5)


def test_noise_is_that_of_a_short_video_in_its_frames(tmp_path: Path) -> None:
    own = ordinary(tmp_path / "a", Autoregressive(), DDIM())
    drawn = numbered_noise(own.stage, own.draw, "start", [0, 3, 7])
    assert torch.equal(drawn[0], video_noise(0, 2, "line start", own.stage.shape, 3)[:, [0, 3, 7]])


def test_the_first_block_is_what_the_stage_makes_by_itself(tmp_path: Path) -> None:
    own = ordinary(tmp_path / "a", Autoregressive(), Ancestral())
    run(own, most=1)
    times = torch.arange(8, dtype=torch.float64)[None] / 8
    alone = stage_video(
        own.stage, own.stage.network.build(), replace(own.given(own.stage), times=times), None, own.draw
    )
    assert torch.equal(own.frames.read(range(8)), alone[0].float())


def test_a_network_that_did_not_learn_known_frames_is_refused(tmp_path: Path) -> None:
    own = ordinary(tmp_path / "a", Autoregressive(), DDIM())
    plain = replace(own, stage=own.stage.with_(sampling=own.stage.sampling.with_(known=None)))
    with pytest.raises(ValueError, match="stage 'line': expected a network that learnt to continue known frames"):
        run(plain)
    short = replace(plain, frames=replace(plain.frames, shape=plain.stage.shape))
    assert run(short) == 1  # a single block of its own length observes nothing


@pytest.mark.parametrize(("temporal", "every"), [("attention", 1), ("convolution", 1), ("attention", 2)])
def test_networks_that_mix_neighbours_are_given_even_frames_alone(tmp_path: Path, temporal: str, every: int) -> None:
    """What is refused before anything is sampled is what the network itself refuses."""
    levels = (Level(width=8, temporal=(temporal,)), Level(width=8, temporal=(temporal,), every=every))
    config = VideoUNetConfig(channels=3, text_width=None, embedding=16, head=8, fps=FPS, levels=levels)
    own = ordinary(tmp_path / "a", Hierarchy(), DDIM())
    shape = own.stage.shape.with_(height=4, width=4)
    own = replace(
        own,
        stage=own.stage.with_(network=config, shape=shape),
        frames=replace(own.frames, shape=shape.with_(frames=20)),
    )
    times = torch.tensor([[0.0, 1, 3, 4]]) / FPS
    network = config.build()

    def answer() -> None:
        network(torch.randn(1, 3, 4, 4, 4), torch.zeros(1), replace(own.given(own.stage), times=times))

    if config.needs_even_frames:
        with pytest.raises(ValueError, match="times: expected frames at equal distances"):
            answer()
        with pytest.raises(
            ValueError, match="scheme hierarchy: its blocks are of frames at uneven distances, such as 0, 2, 5"
        ):
            own.check()
    else:
        answer()
        assert own.check() == 4
    assert replace(own, scheme=Autoregressive()).check() == 4


MIXING = [
    VideoUNetConfig(text_width=None, embedding=16, head=8, levels=(Level(width=8, temporal="convolution"),)),
    DiTConfig(text_width=None, width=16, head=8, depth=1, patch=(2, 2, 2)),
]


def mixing(folder: Path, network: NetworkConfig, scheme: SamplingScheme, total: int) -> Rollout:
    """A roll-out of a network that mixes neighbours in time, of which nothing is sampled."""
    own = ordinary(folder, scheme, DDIM())
    shape = own.stage.shape.with_(height=4, width=4)
    return replace(
        own,
        stage=own.stage.with_(network=network, shape=shape),
        frames=replace(own.frames, shape=shape.with_(frames=total)),
    )


@pytest.mark.parametrize("network", MIXING, ids=lambda network: network.kind())
@pytest.mark.parametrize("scheme", [Adaptive(), LongRange(), Hierarchy()], ids=repr)
def test_uneven_frames_are_refused_before_anything_is_sampled(
    tmp_path: Path, network: NetworkConfig, scheme: SamplingScheme
) -> None:
    """Also where only what frames show decides how far apart they are."""
    own = mixing(tmp_path / "a", network, scheme, 32)
    with pytest.raises(ValueError, match=rf"scheme {scheme.kind()}: its blocks are of frames at uneven distances, .* "):
        own.check()
    assert replace(own, scheme=Autoregressive()).check() == 7
    assert mixing(tmp_path / "b", network, scheme, 8).check() == 1  # a clip observes nothing


class Unlike(Adaptive):
    """A scheme that does not say that it chooses by what frames show."""

    free: ClassVar[bool] = False


def test_a_block_at_uneven_distances_is_refused_where_the_plan_did_not_show_it(tmp_path: Path) -> None:
    """The network, which has no seconds to see it by, would take them as if they were evenly spaced."""
    own = mixing(tmp_path / "a", MIXING[1], Unlike(), 32)
    assert own.check() == 7
    with pytest.raises(ValueError, match=r"Unlike: its blocks are of frames at uneven distances, such as \d+, "):
        run(own)


@pytest.mark.parametrize("scheme", [Autoregressive(), Hierarchy()], ids=repr)
def test_a_stage_that_learnt_regions_is_told_what_each_block_observes(tmp_path: Path, scheme: SamplingScheme) -> None:
    levels = (Level(width=8, temporal=("attention",)),)
    network = VideoUNetConfig(text_width=None, region=True, embedding=16, head=8, fps=FPS, levels=levels)
    own = mixing(tmp_path / "a", network.with_(region=False), scheme, 20)
    stage = own.stage.with_(network=network, inputs=(Region(),))
    stage = stage.with_(sampling=stage.sampling.with_(steps=1, known=Replacement(redraw=False)))
    told = list[Conditioning]()

    def load() -> Network:
        made = network.build()
        made.register_forward_pre_hook(lambda _, given: told.append(given[2]))
        return made

    own = replace(own, stage=stage, given=lambda stage: conditioning_of(stage, {}, 1))
    blocks = list(scheme.blocks(own.video()))
    assert len(list(own.run(load, Journal.begin(tmp_path / "a", {}, resume=False)))) == len(blocks) == len(told) > 2
    for block, given in zip(blocks, told, strict=True):
        mask, seen = given.maps[MASK][0, 0], given.maps[REGION][0]
        assert (
            mask.amax((1, 2)).tolist() == mask.amin((1, 2)).tolist() == [own in block.observed for own in block.frames]
        )
        for place, number in enumerate(block.frames):
            assert torch.equal(seen[:, place], own.frames.read([number])[:, 0] * (number in block.observed))


def test_a_scheme_that_needs_more_context_than_the_network_has_is_refused_at_once(tmp_path: Path) -> None:
    own = ordinary(tmp_path / "a", LongRange(step=7), DDIM())
    with pytest.raises(ValueError, match="long_range: step: expected at most 6, for the network sees 8 frames"):
        run(own)
    assert not own.frames.path.exists()
