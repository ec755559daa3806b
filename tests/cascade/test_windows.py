"""Windows that overlap: where they lie, that the mean over them is exact, what it does to seams, and what it costs."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from known.exact import GaussianConfig, covariance_of
from torch import Tensor

from zoetrope.cascade.execution.cost import whole_tile
from zoetrope.cascade.execution.layout import Layout, layout_bytes, plan_layout
from zoetrope.cascade.execution.meter import peak_bytes
from zoetrope.cascade.execution.overlap import overlapping
from zoetrope.cascade.execution.tiles import tiles_of
from zoetrope.cascade.sample import Draw, ready, sample_stage, stage_video
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.cascade.windows import Windows, windows_told
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.known import Known
from zoetrope.known.learnt import Learnt
from zoetrope.known.reconstruction import Reconstruction
from zoetrope.layers.fused import fused
from zoetrope.metrics.seams import ends, seam_energy
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers import Sampler
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.ddim import DDIM
from zoetrope.samplers.heun import Heun
from zoetrope.shapes import VideoShape, Window

CPU = torch.device("cpu")
LEVEL = NoiseLevel.variance_preserving(torch.zeros(2))
SHAPE = VideoShape(frames=10, height=8, width=12, fps=4)
CONV = Level(width=8, temporal=("convolution",))


def unet(*levels: Level, **fields: Any) -> VideoUNetConfig:
    return VideoUNetConfig(**{"text_width": None, "embedding": 8, "head": 8, "levels": levels} | fields)


STILL = unet(Level(width=8), Level(width=8, spatial_attention=True))
MOVING = unet(CONV, Level(width=8, temporal=("attention",)))


def stage_of(
    network: VideoUNetConfig, windows: Windows | None, shape: VideoShape = SHAPE, **sampling: Any
) -> StageSpec:
    spec = SamplingSpec(**{"steps": 3} | sampling, windows=windows)
    return StageSpec(name="line", shape=shape, inputs=(), network=network, sampling=spec)


def made(spec: StageSpec, layout: Layout | None = None, count: int = 2, scale: float = 0.2, **draw: Any) -> Tensor:
    network = spec.network.build().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    numbers = list(range(count))
    return stage_video(spec, network, Conditioning(), None, Draw(seed=3, samples=numbers, layout=layout, **draw))


def test_eighty_frames_by_sixteen() -> None:
    shape = SHAPE.with_(frames=80)
    windows = Windows(frames=16).of(shape)
    assert [window.frames.start for window in windows] == [0, 14, 28, 42, 56, 64]
    assert {len(window.frames) for window in windows} == {16}
    counts = [sum(frame in window.frames for window in windows) for frame in range(80)]
    assert set(counts) == {1, 2}


@given(st.integers(1, 40), st.integers(1, 50), st.data())
def test_windows_cover_and_overlap(size: int, length: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, length - 1))
    shape = SHAPE.with_(frames=size, width=size)
    spec = Windows(frames=length, overlap=overlap, width=length, overlap_pixels=overlap)
    windows = spec.of(shape)
    spans = list(dict.fromkeys(window.frames for window in windows))
    assert len(windows) == len(spans) ** 2 == spec.count(shape)
    assert {frame for span in spans for frame in span} == set(range(size))
    assert {len(span) for span in spans} == {min(length, size)}
    assert all(one.stop - other.start >= overlap for one, other in pairwise(spans))
    overlapping(lambda window: lambda z, level: z, windows, shape.sizes)  # it covers
    if len(windows) > 1:
        with pytest.raises(ValueError, match=r"expected them to cover .* got none at frame"):
            overlapping(lambda window: lambda z, level: z, windows[:-1], shape.sizes)


@pytest.mark.parametrize(
    "windows", [Windows(frames=4), Windows(frames=5, overlap=4, height=5, width=7, overlap_pixels=4)]
)
def test_what_all_windows_agree_on_is_exactly_their_mean(windows: Windows) -> None:
    """Up to five windows lie over each frame, row and column: their mean has no rounding."""

    def local(window: Window) -> Denoise:
        return lambda z, level: z * 0.37 + 0.1

    z = torch.randn(2, 3, *SHAPE.sizes)
    mean = overlapping(local, windows.of(SHAPE), SHAPE.sizes)(z, LEVEL)
    assert torch.equal(mean, z * 0.37 + 0.1)


def test_at_each_place_it_is_the_mean_over_the_windows_there() -> None:
    spec = Windows(frames=4, overlap=2, height=5, width=7, overlap_pixels=4)
    windows = spec.of(SHAPE)
    answers = torch.randn(len(windows), 2, 3, 4, 5, 7, dtype=torch.float64)
    total, count = torch.zeros(2, 3, *SHAPE.sizes, dtype=torch.float64), torch.zeros(SHAPE.sizes)
    for window, answer in zip(windows, answers, strict=True):
        window.of(total).add_(answer)
        window.of(count).add_(1)
    assert count.max() == 2 * 4 * 3
    run = overlapping(lambda window: lambda z, level: answers[windows.index(window)], windows, SHAPE.sizes)
    torch.testing.assert_close(run(torch.zeros_like(total), LEVEL), total / count)


@pytest.mark.parametrize("sampler", [DDIM(), Heun(), Ancestral(gamma=0.3)])
@pytest.mark.parametrize("threshold", ["static", 0.9, None])
def test_a_network_of_single_frames_makes_what_one_run_makes(sampler: Sampler, threshold: Any) -> None:
    """Also in windows: noise depends on the frame alone, and thresholds are those of the whole video."""
    whole, parts = (
        made(stage_of(STILL, windows, sampler=sampler, threshold=threshold)) for windows in (None, Windows(frames=4))
    )
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)


def test_a_window_as_long_as_the_video_is_the_whole_run() -> None:
    whole = made(stage_of(MOVING, None))
    for windows in (Windows(frames=10), Windows(frames=64), Windows(), Windows(height=8, width=64, overlap_pixels=7)):
        assert torch.equal(made(stage_of(MOVING, windows)), whole)
    shorter = made(stage_of(MOVING, Windows(frames=6)))
    assert not torch.allclose(shorter, whole, atol=1e-3)


def test_a_static_threshold_clips_the_mean() -> None:
    """Not each window, whose clipped answers have another mean."""
    specs = [stage_of(MOVING, Windows(frames=6, overlap=4), steps=1, threshold=each) for each in (None, "static")]
    bare, clipped = (made(spec, scale=0.5) for spec in specs)
    assert bare.abs().max() > 1.5
    assert torch.equal(clipped, bare.clamp(-1, 1))


def test_plain_windows_are_runs_of_their_own() -> None:
    """Without an overlap, each window is what a run over its frames with their noise makes."""
    windows = Windows(frames=5, overlap=0)
    parts = made(stage_of(MOVING, windows))

    def late(purpose: str, window: Window) -> Tensor:
        whole = ready(stage_of(MOVING, None), MOVING.build(), Conditioning(), None, Draw(seed=3, samples=[0, 1]))
        return whole.noise(purpose)[:, :, 5:]

    second = made(stage_of(MOVING, None, SHAPE.with_(frames=5)), noise=late)
    torch.testing.assert_close(parts[:, :, 5:], second, rtol=0, atol=1e-5)


@pytest.mark.parametrize("known", [None, Learnt(), Reconstruction(weight=2)])
def test_layouts_give_the_same(known: Any) -> None:
    """Tiles and streaming lie within windows; known frames come back, and videos may run one by one."""
    network = unet(CONV, CONV)
    spec = stage_of(network, Windows(frames=6, overlap=2, width=8, overlap_pixels=4), known=known)
    whole = Window.whole(spec.seen)
    layouts = {"apart": Layout(list(tiles_of(spec.seen, spec.seen.sizes, network.reach())), one_at_a_time=True)}
    if not isinstance(known, Reconstruction):
        layouts["tiles"] = Layout(list(tiles_of(spec.seen, (6, 4, 4), network.reach())))
        layouts["parts"] = Layout([*layouts["apart"].tiles], part=2, keep=False)
        assert len(layouts["tiles"].tiles) > 1
    given = None
    if known is not None:
        given = Known(torch.arange(10) == 7, torch.rand(2, 3, 1, 8, 12))
    expected = made(spec, Layout([layouts["apart"].tiles[0]]), known=given)
    assert whole.sizes == (6, 8, 8)
    if given is not None:
        assert torch.equal(expected[:, :, 7:8], given.video)
        assert not torch.allclose(expected, made(spec), atol=1e-3)
    for name, layout in layouts.items():
        torch.testing.assert_close(made(spec, layout, known=given), expected, rtol=0, atol=1e-4, msg=name)


def test_a_single_step_never_writes_into_what_the_next_window_reads() -> None:
    spec = stage_of(unet(CONV), Windows(frames=6, overlap=4), steps=1)
    layout = plan_layout(spec, 2, 0, None, CPU)._replace(part=2)
    assert not layout.in_place(spec)
    torch.testing.assert_close(made(spec, layout), made(spec), rtol=0, atol=1e-5)


MOST = VideoShape(frames=64, height=32, width=32, fps=8)


@pytest.mark.parametrize("network", [unet(CONV, CONV), unet(Level(width=8, temporal=("attention",)))])
@pytest.mark.parametrize("width", [None, 16])
def test_memory_is_that_of_a_window_and_known_before(network: VideoUNetConfig, width: int | None) -> None:
    whole = stage_of(network, None, MOST)
    spec = stage_of(network, Windows(frames=16, width=width), MOST)
    layout, all_at_once = (Layout([whole_tile(each)]) for each in (spec, whole))
    built = fused(network.build().eval().requires_grad_(False))
    weights = sum(weight.nbytes for weight in built.parameters())

    def run() -> None:
        for x_hat in sample_stage(spec, built, Conditioning(), None, Draw(seed=0, samples=[0], layout=layout)):
            del x_hat

    predicted = layout_bytes(spec, 1, 0, layout) - weights
    assert 0.8 * predicted < peak_bytes(run) <= predicted
    assert predicted < 0.4 * (layout_bytes(whole, 1, 0, all_at_once) - weights)


def covariance_made(windows: Windows | None, frames: int, sampler: Sampler) -> Tensor:
    """The exact covariance (F, F) of what a stage makes whose network is exact on clips of a window."""
    shape = VideoShape(frames=frames, height=1, width=1, fps=8)
    spec = StageSpec(
        name="line", shape=shape, inputs=(), network=GaussianConfig(channels=1),
        sampling=SamplingSpec(sampler=sampler, steps=32, threshold=None, windows=windows),
    )  # fmt: skip
    purposes = ["start", *(f"step {step}" for step in range(32 if isinstance(sampler, Ancestral) else 0))]

    def noise(purpose: str) -> Tensor:
        own = torch.zeros(1, frames * len(purposes), frames, dtype=torch.float64)
        own[0, frames * purposes.index(purpose) :][:frames] = torch.eye(frames, dtype=torch.float64)
        return own.view(1, -1, frames, 1, 1)

    prepared = ready(spec, spec.network.build(), Conditioning(), None, Draw(seed=0, samples=[0]))
    for step in spec.sampling.routine(replace(prepared, noise=noise)):
        answers = step.x_hat[0, :, :, 0, 0]
    return answers.T @ answers


def seams_of(covariance: Tensor, windows: Windows) -> float:
    """`seam_energy` in the mean, from videos whose scatter is the covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    roots = (vectors * values.clamp(min=0).sqrt()).T  # (F directions, F)
    return float(seam_energy(roots[None, :, :, None, None], windows))


@pytest.mark.parametrize("sampler", [DDIM(), Ancestral(gamma=0.3)])
def test_the_mean_over_windows_makes_smaller_seams_than_plain_windows(sampler: Sampler) -> None:
    """Of an autoregressive video: plain windows are independent, so that their seam has 2 / (2 - 2 rho) the energy."""
    frames, plain, mean = 32, Windows(frames=8, overlap=0), Windows(frames=8, overlap=2)
    exact = seams_of(covariance_of(frames, 1), plain)
    assert exact == pytest.approx(1, abs=1e-9)
    apart, joined = covariance_made(plain, frames, sampler), covariance_made(mean, frames, sampler)
    whole = covariance_made(None, frames, sampler)
    assert seams_of(whole, plain) == pytest.approx(1, abs=0.1)
    assert seams_of(apart, plain) == pytest.approx(10, rel=0.15)
    assert apart[7, 8].abs() < 1e-9, "plain windows are independent"
    assert seams_of(joined, mean) < 0.2 * seams_of(apart, plain)
    wide = Windows(frames=8, overlap=6)
    assert seams_of(covariance_made(wide, frames, sampler), mean) < seams_of(joined, mean)


def test_seam_energy_is_what_it_says() -> None:
    """A ramp has none; a jump of three steps at the one end of plain windows has nine times the energy."""
    ramp = torch.arange(8.0).view(1, 1, 8, 1, 1).expand(1, 1, 8, 1, 1).clone()
    windows = Windows(frames=4, overlap=0)
    assert seam_energy(ramp, windows).item() == 1
    ramp[:, :, 4:] += 2
    assert seam_energy(ramp, windows).item() == 9
    across = ramp.permute(0, 1, 3, 4, 2)
    assert seam_energy(across, Windows(width=4, overlap_pixels=0)).item() == 9
    assert seam_energy(across.mT, Windows(height=4, overlap_pixels=0)).item() == 9
    assert ends(Windows(frames=4, overlap=1), SHAPE) == ([3, 4, 6, 7], [], [])
    with pytest.raises(ValueError, match="expected several of 8 frames of 1x1, got one"):
        seam_energy(ramp, Windows(frames=9))
    with pytest.raises(ValueError, match="that no window divides"):
        seam_energy(ramp, Windows(frames=1, overlap=0))


def test_windows_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="overlap: expected fewer than the 4 frames of a window, got 4"):
        Windows(frames=4, overlap=4)
    with pytest.raises(ValueError, match="overlap_pixels: expected fewer than the width of a window, 8, got 8"):
        Windows(width=8)
    with pytest.raises(ValueError, match="overlap"):
        Windows(frames=4, overlap=-1)
    with pytest.raises(ValueError, match=r"sampling.windows: expected at most 10,000 of .*, got 60,000"):
        stage_of(MOVING, Windows(frames=1, overlap=0), SHAPE.with_(frames=60_000))
    with pytest.raises(
        ValueError, match=r"windows: expected frames, or frames:overlap, such as 16 or 16:2, got '1:2:3'"
    ):
        windows_told("1:2:3")
    with pytest.raises(ValueError, match="windows: expected frames"):
        windows_told("many")
    with pytest.raises(ValueError, match=r"windows.*overlap: expected fewer"):
        windows_told((4, 6))
    outside = [Window(range(4, 12), range(8), range(12))]
    with pytest.raises(ValueError, match=r"expected them within 10 frames of 8x12, got frames 4 to 11"):
        overlapping(lambda window: lambda z, level: z, outside, SHAPE.sizes)


def test_windows_are_of_whole_frames_of_the_source() -> None:
    source = SHAPE.with_(frames=5, fps=2)
    spec = StageSpec(
        name="tsr", shape=SHAPE, inputs=usual_inputs(source)[1:],
        network=unet(CONV, low_res=True),
    )  # fmt: skip
    fine = spec.with_(sampling=spec.sampling.with_(windows=Windows(frames=4)))
    assert [window.frames.start for window in fine.windows] == [0, 2, 4, 6]
    with pytest.raises(ValueError, match=r"'tsr': sampling.windows.frames: expected a multiple of 2.*such as 4, got 5"):
        spec.with_(sampling=spec.sampling.with_(windows=Windows(frames=5)))
    with pytest.raises(ValueError, match=r"windows.overlap: expected a multiple of 2.*, got 1"):
        spec.with_(sampling=spec.sampling.with_(windows=Windows(frames=4, overlap=1)))


def test_a_network_has_to_process_windows_alone() -> None:
    strict = unet(CONV, Level(width=8), Level(width=8))
    with pytest.raises(ValueError, match="height"):
        stage_of(strict, None, SHAPE.with_(height=10))
    stage_of(strict, Windows(height=8, overlap_pixels=4), SHAPE.with_(height=10))
    with pytest.raises(ValueError, match="height"):
        stage_of(strict, Windows(height=6, overlap_pixels=4), SHAPE.with_(height=12))


def test_windows_of_every_stage_are_in_proportion() -> None:
    larger = VideoShape(frames=20, height=16, width=24, fps=8)
    assert Windows(frames=4).scaled(SHAPE, larger) == Windows(frames=8, overlap=4, overlap_pixels=16)
    assert Windows(width=9).scaled(SHAPE, larger) == Windows(overlap=4, width=18, overlap_pixels=16)
    assert windows_told(4) == windows_told("4") == windows_told((4, 2)) == windows_told("4:2") == Windows(frames=4)
    assert windows_told(1) == Windows(frames=1, overlap=0) and windows_told(None) is None
