"""What a stage is compared with, and what is told of the comparison."""

import math

import pytest
import torch
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.data.toybox.held_out import held_out, held_out_script
from zoetrope.data.toybox.scene import is_held_out
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.metrics.features import FeatureNetwork
from zoetrope.metrics.super_resolution import Fidelity, StageFidelity, TrueVideo, compare, interpolated, plain
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.video.resample import degrade

SMALL = VideoShape(frames=4, height=12, width=20, fps=3)
LONG = VideoShape(frames=12, height=12, width=20, fps=9)
LARGE = VideoShape(frames=4, height=24, width=40, fps=3)
BOTH = VideoShape(frames=8, height=24, width=40, fps=6)


def stage(shape: VideoShape, source: VideoShape | None = SMALL) -> StageSpec:
    network = VideoUNetConfig(low_res=source is not None, text_width=8, embedding=16, head=8, levels=(Level(width=8),))
    return StageSpec(name="stage", shape=shape, inputs=usual_inputs(source), network=network)


def clip(shape: VideoShape) -> Tensor:
    return held_out(0, shape).video[None]


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        (LONG, ("linear", "repeat")),
        (LARGE, ("bicubic", "bilinear")),
        (BOTH, ("linear bicubic", "linear bilinear", "repeat bicubic", "repeat bilinear")),
    ],
    ids=str,
)
def test_plain_ways_make_what_the_stage_makes(shape: VideoShape, names: tuple[str, ...]) -> None:
    truth = clip(shape)
    made = {name: way(degrade(truth, SMALL)) for name, way in plain(stage(shape)).items()}
    assert tuple(sorted(made)) == names
    for name, video in made.items():
        assert video.shape == truth.shape, name
        assert video.abs().max() <= 1
        assert 10 < compare(video, TrueVideo.seen(truth, None), SMALL).every.psnr < 60, name


def test_a_stage_without_a_source_has_nothing_to_beat() -> None:
    with pytest.raises(ValueError, match="expected one with a source"):
        plain(stage(SMALL, None))


def test_blending_meets_the_given_frames_and_steady_changes() -> None:
    steady = torch.linspace(0, 1, 13)[None, None, :, None, None].expand(1, 3, 13, 12, 20)
    made = interpolated(steady[:, :, :12:3], 12)
    torch.testing.assert_close(made[:, :, :10], steady[:, :, :10])
    assert torch.equal(made[:, :, 9:], steady[:, :, 9:10].expand(1, 3, 3, 12, 20))


def test_given_and_new_frames_are_told_apart() -> None:
    truth = clip(LONG)
    repeated = plain(stage(LONG))["repeat"](degrade(truth, SMALL))
    told = compare(repeated, TrueVideo.seen(truth, None), SMALL)
    assert told.new is not None and told.every.features is None
    assert told.every.squared == pytest.approx(told.new.squared * 2 / 3)
    damaged = truth.clone()
    damaged[:, :, ::3] *= 0.9
    told = compare(damaged, TrueVideo.seen(truth, None), SMALL)
    assert told.new is not None and told.new.squared == 0 and math.isinf(told.new.psnr) and told.new.ssim == 1
    assert told.every.squared > 0 and told.every.ssim < 1
    assert compare(clip(LARGE), TrueVideo.seen(clip(LARGE), None), SMALL).new is None


def test_features_are_compared_frame_by_frame() -> None:
    network = FeatureNetwork("means", "0" * 64, "means", 3, lambda x: x.add(1).mean((2, 3)))
    truth = clip(LONG)
    told = compare(truth, TrueVideo.seen(truth, network), SMALL)
    assert told.new is not None and told.every.features == told.new.features == 0
    black = truth.clone()
    black[:, :, ::3] = -1  # no light at all: nothing in common with the truth
    told = compare(black, TrueVideo.seen(truth, network), SMALL)
    assert told.new is not None and told.new.features == 0 and told.every.features == pytest.approx(1 / 3)


def test_an_exact_video_does_not_make_the_mean_infinite() -> None:
    one = StageFidelity(every=Fidelity(squared=0, ssim=1, features=0), new=None, flicker=0)
    two = StageFidelity(every=Fidelity(squared=0.04, ssim=0.5, features=0.5), new=None, flicker=0.2)
    mean = StageFidelity.mean([one, two])
    assert mean.every.psnr == pytest.approx(10 * math.log10(4 / 0.02))
    assert (mean.every.ssim, mean.every.features, mean.new, mean.flicker) == (0.75, 0.25, None, 0.1)
    assert StageFidelity.from_json(mean.to_json()) == mean


def test_a_single_frame_has_no_flicker() -> None:
    one = VideoShape(frames=1, height=24, width=40, fps=3)
    told = compare(clip(one), TrueVideo.seen(clip(one), None), VideoShape(frames=1, height=12, width=20, fps=3))
    assert told.flicker is None and told.every.squared == 0
    assert StageFidelity.mean([told, told]).flicker is None


def test_held_out_clips_are_held_out_and_the_same_on_every_grid() -> None:
    assert [is_held_out(held_out_script(number)) for number in range(6)] == [True, False] * 3
    assert len({held_out(number, SMALL).text for number in range(6)}) == 6
    small = degrade(clip(VideoShape(frames=4, height=96, width=160, fps=3)), SMALL)
    assert (small - clip(SMALL)).abs().mean() < 0.02
