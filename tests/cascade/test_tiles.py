"""Tiles: what they cover, that their results are those of the whole, and what they cost in memory."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from zoetrope.cascade.execution import cost as costs
from zoetrope.cascade.execution import layout as layouts
from zoetrope.cascade.execution.call import Calls, in_one_call
from zoetrope.cascade.execution.cost import sampler_bytes, stage_cost, whole_tile
from zoetrope.cascade.execution.layout import Layout, least_memory, plan_layout
from zoetrope.cascade.execution.meter import Meter, peak_bytes
from zoetrope.cascade.execution.run import of_window
from zoetrope.cascade.execution.streamed import streamed
from zoetrope.cascade.execution.tiles import Tile, best_tiles, tiled, tiles_of
from zoetrope.cascade.noise import video_noise, window_noise
from zoetrope.cascade.sample import Draw, sample_stage, stage_video
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion import process
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.prediction import x_from
from zoetrope.guidance import Guidance, Share
from zoetrope.inputs.low_res import low_res_given, usual_inputs
from zoetrope.inputs.text import text_given
from zoetrope.layers.fused import fused
from zoetrope.networks import Network, Reach
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers import Sampler
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules import Schedule
from zoetrope.schedules.cosine import Cosine
from zoetrope.schedules.discrete import Discrete
from zoetrope.shapes import VideoShape, Window
from zoetrope.video.resample import upsample

pytestmark = pytest.mark.first

CPU = torch.device("cpu")
SHAPE = VideoShape(frames=9, height=48, width=64, fps=9)
CONV = Level(width=8, temporal="convolution")
TEXT = Level(width=16, text_attention=True, temporal="convolution")
STILL = Level(width=8)
GLOBAL = Level(width=16, temporal="attention")
WIDE = Level(width=16, spatial_attention=True, temporal="convolution")


def config(*levels: Level, **fields: Any) -> VideoUNetConfig:
    return VideoUNetConfig(**{"text_width": 6, "embedding": 16, "head": 8, "levels": levels} | fields)


def awake(network: Network) -> Network:
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=draw))
    return network.eval().requires_grad_(False)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def stage(network: VideoUNetConfig, shape: VideoShape = SHAPE, factor: int = 2, **sampling: Any) -> StageSpec:
    source = None
    if network.low_res:
        small = {"height": shape.height // factor, "width": shape.width // factor}
        source = shape.with_(**small)
    spec = SamplingSpec(**{"steps": 2} | sampling)
    inputs = usual_inputs(source, logsnr=math.log(3))
    return StageSpec(name="ssr", shape=shape, inputs=inputs, network=network, sampling=spec)


def words(count: int) -> Conditioning:
    mask = torch.ones(count, 3, dtype=torch.bool)
    return text_given(randn(count, 3, 6, seed=7), mask)


NETWORKS = {
    "one level": config(CONV),
    "two levels": config(CONV, TEXT),
    "three levels": config(CONV, STILL.with_(blocks=2), TEXT),
    "patch": config(CONV, TEXT, patch=2),
    "large patch": config(CONV, patch=4),
    "conditioned": config(CONV, CONV, patch=2, low_res=True),
    "frames apart": config(STILL, STILL.with_(convolution=False), low_res=True),
    "attends in time": config(CONV, GLOBAL),
    "attends in space": config(CONV, WIDE),
}


@pytest.mark.parametrize(("name", "guidance"), [*((name, 0.0) for name in NETWORKS), ("conditioned", 2.0)])
def test_tiles_give_what_the_whole_gives(name: str, guidance: float) -> None:
    network = NETWORKS[name]
    spec = stage(network, guidance=guidance, threshold=None)
    source = None if spec.source is None else randn(1, 3, 9, 24, 32, seed=3)
    dtype = torch.float64 if name == "one level" else torch.float32  # which is many times faster
    calls = Calls(
        stage=spec,
        network=awake(network.build()).to(dtype),
        given=words(1).to(CPU, dtype),
        video=source,
        noise=lambda purpose, window: window.of(randn(1, 3, 9, 48, 64, seed=4)),
        step=lambda level: 0,
    )
    z, level = randn(1, 3, 9, 48, 64).to(dtype), Cosine()(torch.tensor([0.4]))
    reach = network.reach()
    near, far = (math.ceil(least / reach.grid) * reach.grid for least in (20, 28))
    size = (9 if reach.frames is None else 4, *((48, 64) if reach.pixels is None else (near, far)))
    tiles = tiles_of(SHAPE, size, reach)
    assert len(tiles) > 2
    with torch.inference_mode():
        whole = in_one_call(calls, Window.whole(SHAPE))(z, level)
        parts = tiled(lambda window: in_one_call(calls, window), tiles)(z, level)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-11 if dtype == torch.float64 else 1e-4)


class Spread(Guidance):
    """Three variants, whose shares differ from frame to frame and from step to step."""

    def weights(self, steps: int) -> list[float]:
        return [1.0] * steps

    def variants(self, given: Conditioning, negative: Conditioning | None) -> list[Conditioning]:
        return [given, given.without("text"), given]

    def shares(self, step: int, steps: int) -> list[Share]:
        each = torch.arange(SHAPE.frames) + float(step)
        return [1 + each, -each / 2, -each / 2]


@pytest.mark.parametrize("per_frame", [False, True])
@pytest.mark.parametrize("rows", [1, 2])
def test_shares_of_frames_are_those_of_the_frames_in_a_part(rows: int, per_frame: bool) -> None:
    spec = stage(NETWORKS["two levels"], guidance=Spread(), threshold=None)
    steps = torch.arange(SHAPE.frames).expand(rows, -1) % 2
    calls = Calls(
        stage=spec,
        network=awake(spec.network.build()).double(),
        given=words(rows),
        video=None,
        noise=lambda purpose, window: window.of(randn(rows, 3, 9, 48, 64, seed=4)),
        step=lambda level: (level.logsnr < 0).long() if per_frame else 1,
    )
    logsnr = (1.0 - 2 * steps) if per_frame else torch.zeros(rows)
    z, level = randn(rows, 3, 9, 48, 64), NoiseLevel.variance_preserving(logsnr.double())
    whole, tiles = Window.whole(SHAPE), tiles_of(SHAPE, (4, 48, 64), spec.network.reach())
    with torch.inference_mode():
        expected = in_one_call(calls, whole)(z, level)
        in_tiles = tiled(lambda window: in_one_call(calls, window), tiles)(z, level)
        in_parts = streamed(calls, whole, 2, keep=False, in_place=False)(z, level)
        none = calls.network(z, level.logsnr, calls.given.without("text"))
        own = calls.network(z, level.logsnr, calls.given)
    at = steps if per_frame else torch.ones(rows, SHAPE.frames)
    weight = (torch.arange(SHAPE.frames) + at)[:, None, :, None, None] / 2
    answer = x_from("v", own + weight * (own - none), z, level)
    for got in (expected, in_tiles, in_parts):
        torch.testing.assert_close(got, answer, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_reach_is_as_far_as_the_network_looks(name: str) -> None:
    """Nothing beyond the reach matters; what is claimed is no more than a grid cell above what does."""
    network = NETWORKS[name]
    reach, built = network.reach(), awake(network.build()).double()
    frames, middle, size = 11, 5, 64
    z = randn(1, 3, frames, size, size).requires_grad_(True)
    low = randn(1, 3, frames, size, size, seed=1) if network.low_res else None
    given = words(1)
    if low is not None:
        given = given | low_res_given(low, torch.zeros(1, dtype=torch.float64))
    out = built(z, torch.zeros(1, dtype=torch.float64), given)
    cell = slice(size // 2, size // 2 + reach.grid)
    out[:, :, middle, cell, cell].square().sum().backward()
    assert z.grad is not None
    seen = z.grad.abs().amax((0, 1)) > 0
    times, rows = seen.any(2).any(1).nonzero().flatten(), seen.any(2).any(0).nonzero().flatten()
    assert middle - int(times[0]) == int(times[-1]) - middle == (middle if reach.frames is None else reach.frames)
    far = max(size // 2 - int(rows[0]), int(rows[-1]) + 1 - cell.stop)
    if reach.pixels is None:
        assert far == size // 2
    else:
        assert reach.pixels - reach.grid < far <= reach.pixels


def test_reach() -> None:
    assert config(STILL).reach() == Reach(frames=0, pixels=4 + 0, grid=1, streams=True)
    assert config(CONV, CONV, patch=8).reach() == Reach(frames=3, pixels=88, grid=16, streams=True)
    assert config(CONV, GLOBAL).reach().frames is None and config(CONV, GLOBAL).reach().pixels is not None
    assert config(CONV, WIDE).reach().pixels is None and config(CONV, WIDE).reach().frames == 3
    assert config(CONV, positions=True).reach() == Reach(None, None, 1)


@pytest.mark.parametrize("reach", [Reach(3, 20, 8), Reach(0, 0, 1), Reach(None, 9, 4), Reach(2, None, 16)])
@pytest.mark.parametrize("largest", [0, 3000, 12_000, 10**9])
def test_tiles_cover_everything_once(reach: Reach, largest: int) -> None:
    tiles = best_tiles(SHAPE, reach, largest)
    covered = torch.zeros(1, 1, 9, 48, 64)
    for tile in tiles:
        tile.kept.of(covered).add_(1)
        for kept, seen, size, halo in zip(
            tile.kept, tile.seen, (9, 48, 64), (reach.frames, reach.pixels, reach.pixels), strict=True
        ):
            if halo is None:
                assert kept == seen == range(size)
            else:
                assert seen.start <= max(0, kept.start - halo) and seen.stop >= min(size, kept.stop + halo)
    assert (covered == 1).all()
    assert all(edge % reach.grid == 0 for tile in tiles for axis in tile.seen[1:] for edge in (axis.start, axis.stop))
    most = max(tile.seen.volume for tile in tiles)
    rows, columns = (48, 64) if reach.pixels is None else (reach.grid, reach.grid)
    smallest = tiles_of(SHAPE, (9 if reach.frames is None else 1, rows, columns), reach)
    assert most <= max(largest, *(tile.seen.volume for tile in smallest))
    assert len(best_tiles(SHAPE, reach, 10**9)) == 1


def test_more_memory_is_less_work() -> None:
    reach = Reach(3, 20, 8)
    work = [sum(tile.seen.volume for tile in best_tiles(SHAPE, reach, most)) for most in range(9000, 30_000, 3000)]
    assert all(later <= earlier for earlier, later in pairwise(work)) and work[-1] < work[0]


@pytest.mark.parametrize("fill", ["repeat", "blank"])
@pytest.mark.parametrize("small", [(4, 6, 5), (12, 24, 20), (2, 8, 10), (12, 10, 7)])
def test_a_window_of_the_upsampled_is_the_upsampled_window(small: tuple[int, int, int], fill: Any) -> None:
    shape = VideoShape(frames=12, height=24, width=40, fps=12)
    video = randn(2, 3, *small).float()
    whole = upsample(video, shape, fill)
    for frames, rows, columns in [
        (range(0, 12), range(0, 24), range(0, 40)),
        (range(5, 8), range(7, 9), range(1, 39)),
        (range(0, 1), range(0, 1), range(39, 40)),
        (range(11, 12), range(11, 24), range(0, 13)),
    ]:
        window = Window(frames, rows, columns)
        torch.testing.assert_close(upsample(video, shape, fill, window), window.of(whole), rtol=0, atol=2e-6)


def test_a_window_of_the_noise_is_the_noise_of_the_window() -> None:
    window = Window(range(3, 9), range(5, 20), range(50, 64))
    both = torch.stack([video_noise(1, sample, "ssr augment", SHAPE, 3) for sample in (2, 5)])
    assert torch.equal(window_noise(1, [2, 5], "ssr augment", SHAPE, 3, window), window.of(both))


LARGE = VideoShape(frames=24, height=96, width=128, fps=24)


WHOLE = Layout([Tile(Window.whole(LARGE), Window.whole(LARGE))])


@pytest.fixture
def two_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that streams is given two frames of LARGE at a time, and samplers hold small temporaries."""
    monkeypatch.setattr(costs, "PART", 2 * 96 * 128)
    monkeypatch.setattr(process, "PIECE", 2**15)


@pytest.mark.usefixtures("two_frames")
@pytest.mark.parametrize(("sampler", "steps"), [*((name, 2) for name in Sampler.names()), ("ddim", 1), ("heun", 1)])
def test_what_a_stage_makes_does_not_depend_on_its_layout(sampler: str, steps: int) -> None:
    sampling = {"sampler": Sampler.named(sampler)(), "guidance": 1.0, "steps": steps}
    spec = stage(config(CONV, TEXT, patch=2, low_res=True), LARGE, **sampling)
    network, source = awake(spec.network.build()), randn(2, 3, 24, 48, 64).float().clamp(-1, 1)
    text = words(2).to(CPU, torch.float32)
    made: list[list[Tensor]] = []
    both, one = stage_cost(spec, 2, 3, 2), stage_cost(spec, 1, 3, 2)
    alone = both._replace(call=one.call, pixel=one.pixel)
    for budget, tiles, apart in (
        (None, 1, False),
        (None, 1, False),
        (alone.peak(2 * 96 * 128), 1, True),
        (alone.peak(16_000), 2, True),
    ):
        layout = plan_layout(spec, 2, 3, budget, CPU)
        assert (layout.part, layout.one_at_a_time) == (2, apart) and (len(layout.tiles) > 1) == (tiles > 1)
        assert layout.keep == (budget is None and steps > 1)
        assert layout.in_place(spec) == (steps == tiles == 1)
        draw = Draw(seed=3, samples=(0, 4), memory=budget, layout=None if made else WHOLE)
        made.append(list(sample_stage(spec, network, text, source, draw)))
    for whole, *others in zip(*made, strict=True):
        for other in others:
            torch.testing.assert_close(other, whole, rtol=0, atol=2e-4)


@pytest.mark.usefixtures("two_frames")
@pytest.mark.parametrize("schedule", [Cosine(), Discrete(spacing="trailing")], ids=["cosine", "discrete"])
def test_a_sample_of_z_is_that_of_the_whole_in_parts(schedule: Schedule) -> None:
    """In a single step x_hat must not take the place of z, which the sample is made from."""
    spec = stage(config(CONV, TEXT, patch=2), LARGE, sampler=DDIM(sample="z"), steps=1).with_(schedule=schedule)
    network, text = awake(spec.network.build()), words(2).to(CPU, torch.float32)
    in_parts = Layout([whole_tile(spec)], part=2, keep=False)
    expected, made = (
        stage_video(spec, network, text, None, Draw(seed=3, samples=(0, 4), layout=layout))
        for layout in (WHOLE, in_parts)
    )
    torch.testing.assert_close(made, expected, rtol=0, atol=2e-4)
    assert not in_parts.in_place(spec)
    assert in_parts.in_place(spec.with_(sampling=spec.sampling.with_(sampler=DDIM())))


@pytest.mark.usefixtures("two_frames")
def test_dynamic_thresholds_look_beyond_tiles() -> None:
    spec = stage(config(STILL, patch=2), LARGE, threshold=0.9, guidance=3.0)
    network, text = awake(spec.network.build()), words(1).to(CPU, torch.float32)
    outs = []
    for budget, layout in ((None, WHOLE), (stage_cost(spec, 1, 3, 2).peak(16_000), None)):
        draw = Draw(seed=3, samples=(0,), memory=budget, layout=layout)
        outs.append(stage_video(spec, network, text, None, draw))
    torch.testing.assert_close(outs[1], outs[0], rtol=0, atol=1e-4)


def test_a_budget_that_does_not_suffice() -> None:
    spec = stage(config(CONV, TEXT, patch=2, low_res=True), LARGE)
    with pytest.raises(ValueError, match=r"stage 'ssr' \(24x96x128@24fps\) needs 5\d\d MB .*, got 100 MB"):
        plan_layout(spec, 1, 3, 100_000_000, CPU)
    attending = stage(config(GLOBAL, WIDE), LARGE)
    needed = stage_cost(attending, 1, 3).peak(Window.whole(LARGE).volume)
    assert len(plan_layout(attending, 1, 3, needed, CPU).tiles) == 1
    with pytest.raises(ValueError, match="stage 'ssr'"):
        plan_layout(attending, 1, 3, needed - 10_000_000, CPU)
    least = least_memory(attending, 2, 3, CPU)
    assert stage_cost(attending, 2, 3).peak(Window.whole(LARGE).volume) > least
    assert plan_layout(attending, 2, 3, least, CPU).one_at_a_time


def test_guidance_and_batch_are_counted() -> None:
    plain, guided = (stage(config(CONV, TEXT, patch=2), LARGE, guidance=weight) for weight in (0.0, 2.0))
    one, two, both = (stage_cost(spec, batch, 3) for spec, batch in ((plain, 1), (plain, 2), (guided, 1)))
    assert two.pixel == pytest.approx(2 * one.pixel, rel=0.01) and two.state == 2 * one.state
    assert 1.8 < both.pixel / one.pixel < 2.6


@pytest.mark.parametrize("part", [None, 2])
def test_counted_bytes_are_those_of_real_tensors(part: int | None) -> None:
    spec = stage(config(CONV, TEXT, patch=2, low_res=True), LARGE, guidance=1.0)
    calls = Calls(
        stage=spec,
        network=fused(awake(spec.network.build())),
        given=words(1).to(CPU, torch.float32),
        video=torch.zeros(1, 3, 24, 48, 64),
        noise=lambda purpose, window: torch.zeros(1, 3, *map(len, window)),
        step=lambda level: 0,
    )
    make = of_window(calls, Layout([], part, keep=False))
    frames = range(7 if part is None else 24)
    for window in (Window.whole(LARGE), Window(frames, range(48), range(16, 96))):
        z = torch.zeros(1, 3, *map(len, window))
        level = NoiseLevel(*torch.ones(3, 1, dtype=torch.float64))
        with torch.no_grad():
            real = peak_bytes(lambda z=z, level=level, window=window: make(window)(z, level))
        volume = (part or len(window.frames)) * math.prod(window.sizes[1:])
        assert stage_cost(spec, 1, 3, part).window(volume) == pytest.approx(real, rel=0.1)


@pytest.mark.parametrize("name", Sampler.names())
def test_what_samplers_hold_is_measured(name: str) -> None:
    sampler = Sampler.named(name)()
    spec = stage(config(CONV, TEXT, patch=2), VideoShape(frames=64, height=256, width=128, fps=8))
    spec = spec.with_(sampling=SamplingSpec(sampler=sampler, steps=9, guidance=0.0))
    shape, held = (1, 3, *spec.shape.sizes), []

    def run() -> None:
        start = torch.empty(shape)
        levels = [Cosine()(t.expand(1)) for t in torch.linspace(1, 0, 10, dtype=torch.float64)]
        steps = sampler(denoise, start, levels, noise=lambda step: torch.zeros(shape))
        del start
        for step in steps:
            del step

    def denoise(z: Tensor, level: NoiseLevel) -> Tensor:
        x_hat = torch.zeros_like(z)
        held.append(meter.live.now)
        return x_hat

    with Meter[Any]() as meter:
        run()
    assert sampler_bytes(spec, 1) == (pytest.approx(meter.live.peak, rel=0.02), pytest.approx(max(held), rel=0.02))


def test_small_videos_are_not_cut_up_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "LARGEST", 2_000_000)
    monkeypatch.setattr(costs, "PART", 96 * 128)
    spec = stage(config(CONV, TEXT, patch=2, low_res=True), LARGE)
    layout = plan_layout(spec, 1, 3, None, CPU)
    assert len(layout.tiles) > 1 and layout.part == 1
    small = stage(config(CONV, TEXT, patch=2, low_res=True))
    assert plan_layout(small, 1, 3, None, CPU) == Layout([Tile(Window.whole(SHAPE), Window.whole(SHAPE))])
