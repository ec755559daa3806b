"""One noise for all frames: a stage that enlarges each frame on its own makes equal frames of equal frames."""

import pytest
import torch

from zoetrope.cascade.long.blocks import numbered_noise
from zoetrope.cascade.sample import Draw, sample_stage, stage_video
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers import Sampler
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.ddim import DDIM
from zoetrope.shapes import VideoShape, Window

from .test_sample import low, network_of, text

SOURCE = VideoShape(frames=2, height=4, width=8, fps=3)
SHAPE = VideoShape(frames=2, height=8, width=16, fps=3)
STILL = (Level(width=8), Level(width=16, text_attention=True))


def stage(**sampling: object) -> StageSpec:
    network = VideoUNetConfig(low_res=True, text_width=6, embedding=16, head=8, levels=STILL)
    spec = SamplingSpec(**{"steps": 3} | sampling)  # type: ignore[arg-type]
    return StageSpec(name="sr", shape=SHAPE, inputs=usual_inputs(SOURCE, logsnr=1.0), network=network, sampling=spec)


@pytest.mark.parametrize("sampler", [DDIM(), Ancestral()])
def test_equal_frames_become_equal_frames(sampler: Sampler) -> None:
    still = low(2)[:, :, :1].expand(-1, -1, 2, -1, -1).contiguous()
    draw = Draw(seed=3, samples=[0, 7])
    one, other = (stage(sampler=sampler, shared_noise=shared) for shared in (True, False))
    same, free = (stage_video(own, network_of(own), text(2), still, draw) for own in (one, other))
    assert torch.equal(same[:, :, 0], same[:, :, 1])
    assert (free[:, :, 0] - free[:, :, 1]).abs().max() > 1e-3
    torch.testing.assert_close(same[:, :, 0], free[:, :, 0], rtol=0, atol=0)  # the first frame's noise is its own
    assert (same[0] - same[1]).abs().max() > 1e-3  # each video has its own


def test_noise_of_windows_and_of_long_videos_is_shared_too() -> None:
    own, draw = stage(shared_noise=True), Draw(seed=3, samples=[0])
    noise = numbered_noise(own, draw, "start", [0, 5, 9])
    assert torch.equal(noise[:, :, 0], noise[:, :, 1]) and torch.equal(noise[:, :, 0], noise[:, :, 2])
    part = numbered_noise(own, draw, "start", [4], Window(range(1), range(2, 6), range(8)))
    assert torch.equal(part, noise[:, :, :1, 2:6, :8])


def test_steps_agree_in_parts_and_as_a_whole() -> None:
    own, draw = stage(shared_noise=True, sampler=Ancestral()), Draw(seed=3, samples=[0])
    *_, last = sample_stage(own, network_of(own), text(1), low(1), draw)
    explicit = Draw(
        seed=3, samples=[0], noise=lambda purpose, window: numbered_noise(own, draw, purpose, [*window.frames], window)
    )
    *_, again = sample_stage(own, network_of(own), text(1), low(1), explicit)
    assert torch.equal(last, again)
