"""Later stages over a long video: windows that overlap give what one run over everything gives, without seams."""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zoetrope.cascade.long.frames import Frames
from zoetrope.cascade.long.journal import Journal
from zoetrope.cascade.long.overlap import Enlarging, calls, exact_halo, exact_spans, fading_spans
from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.cascade.upscaling import enlarged
from zoetrope.conditioning import Conditioning
from zoetrope.guidance.over_frames import OverFrames
from zoetrope.inputs.low_res import LowRes
from zoetrope.known.reconstruction import Reconstruction
from zoetrope.networks import Network, NetworkConfig, Reach
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers import Sampler
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.ddim import DDIM
from zoetrope.shapes import VideoShape

CLIP = VideoShape(frames=16, height=4, width=4, fps=4)
LONG = 50


def stage(
    name: str, source: VideoShape, size: int, times: int = 1, temporal: str = "convolution", **sampling: Any
) -> StageSpec:
    """A small super-resolution stage with a random network."""
    shape = VideoShape(frames=source.frames * times, height=size, width=size, fps=source.fps * times)
    network = VideoUNetConfig(
        low_res=True, text_width=None, embedding=16, head=8, levels=(Level(width=8, temporal=(temporal,)),)
    )
    return StageSpec(
        name=name, shape=shape, inputs=(LowRes(shape=source, logsnr=math.log(3.0)),), network=network,
        sampling=SamplingSpec(**{"steps": 2, "threshold": None, **sampling}),
    )  # fmt: skip


def random_network(own: StageSpec) -> Network:
    torch.manual_seed(len(own.name))
    network = own.network.build().eval().requires_grad_(False)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return network


def low_res(frames: int = LONG) -> Tensor:
    """A moving pattern (3, F, 4, 4), and a grain of its own in each frame."""
    t, y, x = torch.meshgrid(torch.arange(frames), torch.arange(4), torch.arange(4), indexing="ij")
    wave = torch.stack([torch.sin(0.3 * t + x + c * y) for c in range(3)])
    return (0.6 * wave + 0.2 * torch.randn(wave.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)


def parts(folder: Path, stages: Sequence[StageSpec], total: int = LONG) -> list[Enlarging]:
    folder.mkdir(exist_ok=True)
    source = Frames(path=folder / "base.raw", shape=CLIP.with_(frames=total))
    source.write(range(total), low_res(total))
    found = []
    for own in stages:
        made = Frames(path=folder / f"{own.name}.raw", shape=enlarged(own, source.shape))
        draw = Draw(seed=3, samples=[1])
        found.append(Enlarging(stage=own, given=Conditioning(), draw=draw, source=source, made=made))
        source = made
    return found


def made(folder: Path, stages: Sequence[StageSpec], total: int = LONG) -> Tensor:
    """The video of the last stage, made in windows."""
    every = parts(folder, stages, total)
    journal = Journal.begin(folder / "journal", {}, resume=True)
    for part in every:
        for _ in part.run(lambda own=part: random_network(own.stage), journal):
            pass
    return part.made.read(range(part.made.shape.frames))


def whole(stages: Sequence[StageSpec], total: int = LONG) -> Tensor:
    """The same in one run over everything."""
    video, shape = low_res(total)[None], CLIP.with_(frames=total)
    for own in stages:
        long = own.on(enlarged(own, shape), shape)
        video, shape = (
            stage_video(long, random_network(own), Conditioning(), video, Draw(seed=3, samples=[1])),
            long.shape,
        )
    return video[0]


@pytest.mark.parametrize("sampler", [DDIM(), Ancestral()])
@pytest.mark.parametrize("times", [1, 2])
def test_with_a_bounded_reach_windows_give_what_one_run_gives(tmp_path: Path, sampler: Sampler, times: int) -> None:
    first = stage("ssr1", CLIP, 8, times, sampler=sampler)
    second = stage("ssr2", first.shape, 16, sampler=sampler)
    assert all(0 < (exact_halo(own) or 0) <= own.shape.frames // 4 for own in (first, second))
    assert all(len(part.spans()) > 3 and not part.spans()[0].faded for part in parts(tmp_path / "a", [first, second]))
    expected = whole([first, second])
    assert expected.std() > 0.1
    assert float((made(tmp_path / "a", [first, second]) - expected).abs().max() / expected.abs().max()) < 1e-5


def test_a_halo_too_short_would_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = stage("ssr1", CLIP, 8)
    monkeypatch.setattr("zoetrope.cascade.long.overlap.exact_halo", lambda stage: 0)
    assert (made(tmp_path / "a", [own]) - whole([own])).abs().max() > 1e-3


def test_with_an_unbounded_reach_windows_fade_into_each_other(tmp_path: Path) -> None:
    """Where they meet, frames change as little as elsewhere; cut hard they would jump."""
    own = stage("ssr1", CLIP, 8, temporal="attention", steps=1)
    [part] = parts(tmp_path / "a", [own])
    spans = part.spans()
    assert exact_halo(own) is None and all(span.faded == 4 for span in spans[:-1])
    found = made(tmp_path / "a", [own])
    for span, after in pairwise(spans):
        alone, next_alone = (part._made(random_network(own), each._replace(kept=each.seen)) for each in (span, after))
        for place in range(span.faded):
            frame = span.kept.stop - span.faded + place
            share = (place + 1) / (span.faded + 1)
            one, other = alone[:, frame - span.seen.start], next_alone[:, frame - after.seen.start]
            assert torch.allclose(found[:, frame], torch.lerp(one, other, share), atol=1e-6)
            assert (one - other).abs().max() > 1e-4


def test_windows_of_a_single_stride_overlap_by_fewer_frames(tmp_path: Path) -> None:
    levels = (Level(width=8, temporal=("attention",)), Level(width=8, temporal=("attention",), every=16))
    own = stage("ssr1", CLIP, 8)
    [part] = parts(tmp_path / "a", [own.with_(network=own.network.with_(levels=levels))])
    assert part.check() == 4 and [span.faded for span in part.spans()] == [4, 4, 4, 0]
    short = VideoShape(frames=1, height=4, width=4, fps=4)
    [part] = parts(tmp_path / "b", [stage("ssr1", short, 8, threshold=0.95)])
    with pytest.raises(ValueError, match="stage 'ssr1': expected windows of at least 2 frames, which can overlap by"):
        part.check()


class BlurConfig(NetworkConfig):
    """Predicts the mean of z over 9 frames as v."""

    text_width: int | None = None

    def build(self) -> "Blur":
        return Blur()

    def check(self, frames: int, height: int, width: int) -> None:
        return

    def reach(self) -> Reach:
        return Reach(frames=4, pixels=0, grid=1)


class Blur(Network):
    """See `BlurConfig`."""

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        return torch.nn.functional.avg_pool3d(z, (9, 1, 1), 1, (4, 0, 0)) * 3


def test_gradients_reach_back_as_far_as_calls_look(tmp_path: Path) -> None:
    """Known frames by the gradient: the error of one depends on frames beyond it."""
    shape = VideoShape(frames=96, height=1, width=1, fps=4)
    source = shape.with_(frames=48, fps=2)
    sampling = SamplingSpec(steps=2, threshold=None, known=Reconstruction(weight=20))
    own = StageSpec(name="tsr1", shape=shape, inputs=(), fills=source, network=BlurConfig(), sampling=sampling)
    draw, video = Draw(seed=3, samples=[1]), torch.rand(3, 128, 1, 1)
    folder = tmp_path / "a"
    folder.mkdir()
    given = Frames(path=folder / "base.raw", shape=source.with_(frames=128))
    given.write(range(128), video)
    made = Frames(path=folder / "tsr1.raw", shape=shape.with_(frames=256))
    part = Enlarging(stage=own, given=Conditioning(), draw=draw, source=given, made=made)
    assert exact_halo(own) == 16 and not part.spans()[0].faded and len(part.spans()) == 4
    for _ in part.run(Blur, Journal.begin(folder / "journal", {}, resume=True)):
        pass
    whole = stage_video(own.on(made.shape, given.shape), Blur(), Conditioning(), video[None], draw)[0]
    assert float((made.read(range(256)) - whole).abs().max() / whole.abs().max()) < 1e-5


@pytest.mark.parametrize("temporal", ["convolution", "attention"])
def test_killed_after_every_window_the_video_is_the_same(tmp_path: Path, temporal: str) -> None:
    own = stage("ssr1", CLIP, 8, temporal=temporal)
    expected = made(tmp_path / "a", [own])
    [part] = parts(tmp_path / "b", [own])
    count = 0
    while count < len(part.spans()):
        running = part.run(lambda: random_network(own), Journal.begin(tmp_path / "b" / "journal", {}, resume=True))
        assert next(running).number == count + 1
        count += 1
    assert torch.equal(part.made.read(range(LONG)), expected)
    assert (
        list(
            part.run(
                lambda: pytest.fail("no network is needed"), Journal.begin(tmp_path / "b" / "journal", {}, resume=True)
            )
        )
        == []
    )


@given(total=st.integers(1, 400), cells=st.integers(2, 12), halo=st.integers(0, 12), unit=st.integers(1, 4))
@settings(deadline=None)
def test_windows_cover_every_frame(total: int, cells: int, halo: int, unit: int) -> None:
    total, length = total * unit, 4 * cells * unit
    halo = min(halo, cells) * unit
    for spans in (exact_spans(total, length, halo), fading_spans(total, length, cells * unit)):
        assert spans[0].kept.start == 0 and spans[-1].kept.stop == total
        for span in spans:
            assert span.kept.start in span.seen or (not span.kept and span.kept.stop <= span.seen.stop)
            assert len(span.seen) <= length and span.seen.start % unit == 0 == span.seen.stop % unit
        for span, after in pairwise(spans):
            assert after.kept.start == span.kept.stop - span.faded
    for span in exact_spans(total, length, halo):
        assert span.seen.start in (0, *range(span.kept.start - halo + 1)) and (
            span.seen.stop in (total, span.kept.stop + halo)
        )
        assert span.seen.start == 0 or span.kept.start - span.seen.start >= halo


def test_calls_are_those_of_the_sampler() -> None:
    assert [calls(stage("ssr1", CLIP, 8, steps=4, sampler=name)) for name in ("ddim", "ancestral", "heun")] == [4, 4, 7]


def test_what_depends_on_all_frames_has_no_bounded_reach() -> None:
    assert exact_halo(stage("ssr1", CLIP, 8, threshold=0.95)) is None
    assert exact_halo(stage("ssr1", CLIP, 8, guidance=OverFrames(last=2.0))) is None
    assert exact_halo(stage("ssr1", CLIP, 8, guidance=OverFrames(first=2.0, last=2.0))) is not None
    assert exact_halo(stage("ssr1", CLIP, 8, steps=3)) == 3 * stage("ssr1", CLIP, 8).network.reach().frames  # type: ignore[operator]


def test_keeping_frames_keeps_them(tmp_path: Path) -> None:
    own = stage("tsr1", CLIP, 4, 2, keep_frames=True)
    assert torch.equal(made(tmp_path / "a", [own])[:, ::2], low_res())


def test_a_window_that_the_network_cannot_process_is_refused(tmp_path: Path) -> None:
    own = stage("ssr1", CLIP, 8)
    levels = (Level(width=8, temporal=("convolution",)), Level(width=8, temporal=("convolution",), every=4))
    strided = own.with_(network=own.network.with_(levels=levels))
    [part] = parts(tmp_path / "a", [strided], total=14)
    with pytest.raises(ValueError, match="frames: expected a multiple of 4, got 14; the nearest is"):
        part.check()
