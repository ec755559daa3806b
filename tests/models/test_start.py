"""Cascades that start from a video: which stage it takes the place of, what is refused, and what colours become."""

import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import Maker, number_of, numbered
from zoetrope.cascade.colour import MEAN_LIMIT, STD_LIMIT, ColourShift, Tone
from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.cascade.start import Start, entries, fit_named, read_start, shape_of, stages_after
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.models.cascade import Cascade
from zoetrope.networks import Network
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.text.t5 import T5
from zoetrope.video import Video

SMALL = [(4, 8, 8, 2), (8, 8, 8, 4), (8, 16, 16, 4)]
PAPER = [
    (16, 24, 40, 3), (32, 24, 40, 6), (32, 48, 80, 6), (32, 192, 320, 6), (64, 192, 320, 12), (128, 192, 320, 24),
    (128, 768, 1280, 24),
]  # fmt: skip
NAMES = ["base", "tsr1", "ssr1", "ssr2", "tsr2", "tsr3", "ssr3"]


def spec(grids: list[tuple[int, int, int, int]]) -> CascadeSpec:
    level = Level(width=8, text_attention=True, temporal="convolution")
    names = NAMES[: len(grids)] if len(grids) == 7 else ["base", "tsr1", "ssr1"][: len(grids)]
    stages, source = [], None
    for name, (frames, height, width, fps) in zip(names, grids, strict=True):
        shape = VideoShape(frames=frames, height=height, width=width, fps=fps)
        network = VideoUNetConfig(low_res=source is not None, text_width=8, embedding=16, head=8, levels=(level,))
        sampling, inputs = SamplingSpec(steps=2), usual_inputs(source, logsnr=math.log(3.0))
        stages.append(StageSpec(name=name, shape=shape, inputs=inputs, network=network, sampling=sampling))
        source = shape
    return CascadeSpec(name="tiny", text=T5(width=8, limit=16), stages=tuple(stages))


def random_network(stage: StageSpec) -> Network:
    torch.manual_seed(len(stage.name))
    network = stage.network.build().eval().requires_grad_(False)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return network


@pytest.fixture(scope="module")
def cascade() -> Cascade:
    return Cascade(spec(SMALL), random_network)


def moving(frames: int, height: int, width: int, fps: float) -> Video:
    pictures = np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    return Video(pictures, fps)


@pytest.mark.parametrize("name", ["base", "tsr1"])
def test_the_stages_after_a_start_make_what_they_make_of_the_stage_itself(cascade: Cascade, name: str) -> None:
    whole = {now.stage: now for now in cascade.stream([None, None], samples=[0, 5]) if now.done}
    start = Start(stage=name, video=whole[name].x_hat.clamp(-1, 1))
    rest = {now.stage: now for now in cascade.stream([None, None], samples=[0, 5], start=start) if now.done}
    assert list(rest) == ["base", "tsr1", "ssr1"][1 + ["base", "tsr1"].index(name) :]
    for stage, now in rest.items():
        assert torch.equal(now.x_hat, whole[stage].x_hat) and now.colours == whole[stage].colours


def test_generate_from_a_video(cascade: Cascade) -> None:
    video = moving(4, 8, 8, 2)
    made = cascade.generate(None, video=video, until="tsr1")
    assert (made.frames.shape, made.fps) == ((8, 8, 8, 3), 4)
    assert not np.array_equal(
        made.frames, cascade.generate(None, video=moving(4, 8, 8, 2), until="tsr1", seed=1).frames
    )
    assert cascade.generate(None, video=video).frames.shape == (8, 16, 16, 3)
    named = cascade.generate(None, video=moving(8, 8, 8, 4), after="tsr1")
    assert np.array_equal(named.frames, cascade.generate(None, video=moving(8, 8, 8, 4)).frames)


@pytest.mark.parametrize(
    ("video", "options", "message"),
    [
        (moving(8, 8, 8, 2), {}, "expected 4x8x8@2fps (what base makes), or 8x8x8@4fps (what tsr1 makes), got 8x8x8@2"),
        (moving(8, 8, 9, 4), {}, "got 8x8x9@4fps; the nearest is 8x8x8@4fps; the fit 'crop' takes it resized and crop"),
        (moving(8, 8, 8, 4), {"after": "base"}, "expected 4x8x8@2fps (what base makes), got 8x8x8@4fps"),
        (moving(8, 8, 8, 4), {"after": "ssr1"}, "no stage is left to run after 'ssr1': tiny ends with it"),
        (moving(8, 8, 8, 4), {"until": "base"}, "no stage makes a video from another, 'base' is the only one to run"),
        (moving(4, 8, 8, 2), {"after": "tsr1", "until": "base"}, "after 'tsr1': the last stage to run is 'base'"),
        (moving(8, 8, 8, 4), {"until": "tsr1"}, "expected 4x8x8@2fps (what base makes), got 8x8x8@4fps"),
        (moving(8, 8, 8, 4), {"after": "tsr2"}, "unknown stage 'tsr2'; did you mean 'tsr1'?"),
        (None, {"after": "tsr1"}, "after: expected a video that stage 'tsr1' would have made, got none"),
    ],
)  # fmt: skip
def test_starts_that_are_refused(cascade: Cascade, video: Video | None, options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        cascade.generate(None, video=video, **options)
    assert message in str(refused.value)


def test_a_start_of_another_shape_is_refused(cascade: Cascade) -> None:
    for video in (torch.zeros(1, 3, 8, 8, 8), torch.zeros(2, 3, 4, 8, 8), torch.zeros(1, 1, 4, 8, 8)):
        with pytest.raises(ValueError, match=r"a start after 'base': expected shape \(1, 3, 4, 8, 8\)"):
            next(cascade.stream([None], start=Start(stage="base", video=video)))


@pytest.mark.parametrize(
    ("size", "fps", "seconds", "stage"),
    [
        ((24, 40), 3, 16 / 3, "base"), ((24, 40), 6, 16 / 3, "tsr1"), ((24, 40), 24, 16 / 3, "tsr1"),
        ((24, 40), 5, 5.4, "base"), ((48, 80), 24, 16 / 3, "ssr1"), ((192, 320), 6, 16 / 3, "ssr2"),
        ((192, 320), 12, 16 / 3, "tsr2"), ((192, 320), 24, 16 / 3, "tsr3"), ((192, 320), 60, 16 / 3, "tsr3"),
    ],
)  # fmt: skip
def test_the_stage_is_the_one_whose_shape_the_file_has(
    make_video: Maker, size: tuple[int, int], fps: int, seconds: float, stage: str
) -> None:
    path = make_video("a.mp4", np.zeros((round(seconds * fps), *size, 3), np.uint8), fps=fps)
    found = read_start(path, spec(PAPER))
    grid = spec(PAPER).stage(stage).shape
    assert found.stage.name == stage and shape_of(found.video) == grid
    assert (found.own.height, found.own.width, found.own.fps) == (*size, fps)


def test_pictures_are_picked_by_time(make_video: Maker) -> None:
    path = make_video("a.mp4", numbered(24, 16, 16), fps=12)
    ssr = spec(
        [
            (4, 8, 8, 2),
            (8, 8, 8, 4),
            (8, 16, 16, 4),
        ]
    )
    longer = spec([(4, 16, 16, 2), (8, 16, 16, 4), (8, 32, 32, 4)])
    assert number_of(read_start(path, longer).video.frames) == list(range(0, 24, 3))
    assert number_of(read_start(path, longer, after="base").video.frames) == list(range(0, 24, 6))
    assert number_of(read_start(path, ssr, fit="crop").video.frames) == list(range(0, 24, 3))
    with pytest.raises(ValueError, match="got 24x16x16@12fps; the nearest is 8x8x8@4fps; the fit 'crop' takes it res"):
        read_start(path, ssr)


def test_what_does_not_last_as_long_as_a_clip(make_video: Maker) -> None:
    own = spec(SMALL)
    longer, shorter = (make_video(f"{n}.mp4", numbered(n, 8, 8), fps=4) for n in (10, 6))
    with pytest.raises(
        ValueError, match=r"10.mp4: expected .*, got 10x8x8@4fps; .*; the fit 'crop' takes it cut to 2.00 s"
    ):
        read_start(longer, own)
    assert number_of(read_start(longer, own, fit="crop").video.frames) == list(range(8))
    with pytest.raises(ValueError, match=r"got 6x8x8@4fps; the nearest is 8x8x8@4fps$"):
        read_start(shorter, own)
    with pytest.raises(ValueError, match=r"6.mp4: expected 2.00 s or more, got 1.50 s"):
        read_start(shorter, own, fit="crop")


def test_the_nearest_stage_in_size_and_rate(make_video: Maker) -> None:
    own = spec(PAPER)
    for size, fps, stage in [
        ((240, 320), 30, "tsr3"),
        ((240, 320), 5, "ssr2"),
        ((60, 60), 30, "ssr1"),
        ((16, 32), 3, "base"),
    ]:
        path = make_video("a.mp4", np.zeros((6 * fps, *size, 3), np.uint8), fps=fps)
        assert read_start(path, own, fit="crop").stage.name == stage
    assert read_start(path, own, fit="crop", after="ssr1").stage.name == "ssr1"
    assert read_start(path, own, fit="crop", until="tsr1").stage.name == "base"


def test_a_folder_of_pictures(tmp_path: Path, make_video: Maker) -> None:
    moving(8, 8, 8, 4).save(f"{tmp_path}/told/")
    assert read_start(f"{tmp_path}/told/", spec(SMALL)).stage.name == "tsr1"
    for number, picture in enumerate(numbered(8, 8, 8)):
        make_video(f"untold/{number:02d}.png", picture[None], codec="png", pix_fmt="rgb24")
    with pytest.raises(
        ValueError, match="its pictures do not tell their frame rate; name the stage that they come afte"
    ):
        read_start(tmp_path / "untold/%02d.png", spec(SMALL))
    found = read_start(tmp_path / "untold/%02d.png", spec(SMALL), after="tsr1")
    assert number_of(found.video.frames) == list(range(8)) and found.video.fps == 4


def test_stages_that_are_left() -> None:
    own = spec(PAPER)
    assert [stage.name for stage in stages_after(own, None, "tsr1")] == NAMES[:2]
    assert [stage.name for stage in stages_after(own, "ssr2", None)] == NAMES[4:]
    assert [stage.name for stage in stages_after(own, "ssr1", "tsr2")] == NAMES[3:5]
    assert [stage.name for stage in entries(own, None, "ssr2")] == NAMES[:3]
    assert fit_named("crop") == "crop"
    with pytest.raises(ValueError, match="unknown fit 'corp'; did you mean 'crop'"):
        fit_named("corp")


def test_the_tone_of_a_video() -> None:
    video = (
        torch.rand(3, 5, 7, 9, generator=torch.Generator().manual_seed(1)) * torch.tensor([2, 1, 0.5]).view(3, 1, 1, 1)
        - 1
    )
    tone = Tone.of(video)
    flat = ((video + 1) / 2).double().flatten(1)
    assert tone.mean == pytest.approx(flat.mean(1).tolist(), abs=1e-6)
    assert tone.std == pytest.approx(flat.std(1, correction=0).tolist(), abs=1e-6)
    assert Tone.of(video * 9) == Tone.of((video * 9).clamp(-1, 1))
    halves = [Tone.of(part) for part in (video[:, :2], video[:, 2:4])]
    whole = Tone.of(video[:, :4])
    joined = Tone.joined(halves)
    assert joined.mean == pytest.approx(whole.mean) and joined.std == pytest.approx(whole.std)


def test_a_drift_of_colours_is_told(caplog: pytest.LogCaptureFixture) -> None:
    grey = torch.zeros(3, 4, 8, 8)
    same = ColourShift.between(grey, torch.zeros(3, 8, 16, 16))
    assert same.mean_shift == same.std_shift == (0, 0, 0) and not same.drifts
    tinted = grey.clone()
    tinted[2] += 2 * MEAN_LIMIT * 1.01
    colour = ColourShift.between(grey, tinted)
    assert colour.mean_shift == pytest.approx((0, 0, 1.01 * MEAN_LIMIT), abs=1e-6) and colour.drifts
    assert not ColourShift.between(grey, (tinted - grey) * 0.98 + grey).drifts
    noisy = grey.clone()
    noisy[0, :, ::2], noisy[0, :, 1::2] = 2.2 * STD_LIMIT, -2.2 * STD_LIMIT
    assert ColourShift.between(grey, noisy).drifts and not ColourShift.between(noisy, noisy).drifts
    told = colour.to_json()
    assert told["input_mean"] == [0.5] * 3 and told["mean_shift"] == [0, 0, 0.0202] and told["drifts"] is True
    assert "deviation (+0.000, +0.000, +0.000)" in str(colour)
    with caplog.at_level(logging.DEBUG, "zoetrope"):
        fresh = Cascade(spec(SMALL), random_network)
        [last] = [now for now in fresh.stream([None], until="tsr1") if now.done and now.colours]
    [record] = [record for record in caplog.records if "colours" in record.message]
    assert record.levelno == (logging.WARNING if last.colours[0].drifts else logging.DEBUG)
    assert record.message.startswith("tsr1: ") and str(last.colours[0]) in record.message
    assert math.isclose(last.colours[0].output.mean[0], float((last.x_hat[0, 0] + 1).mean() / 2), abs_tol=1e-5)
