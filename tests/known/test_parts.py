"""Frames of which only some pixels are known: masks in space, for networks that have not learnt them."""

from typing import Any

import pytest
import torch
from samplers.test_levels_per_frame import AUTOREGRESSION, FRAMES, RHO, law, unknown
from torch import Tensor

from known.exact import SAMPLERS, GaussianConfig, covariance_of, errors, moments, stage_of
from known.test_learnt import awake
from known.test_reconstruction import METHODS, TABLE
from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.known import Known, Method
from zoetrope.known.learnt import Learnt
from zoetrope.known.reconstruction import Reconstruction
from zoetrope.known.replacement import Replacement
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers.ddim import DDIM
from zoetrope.shapes import VideoShape


def pixels(mask: Tensor, values: Tensor) -> Known:
    """Known pixels of a video of one channel: mask and values are (F, H, W)."""
    some = mask.flatten(1).any(1)
    return Known(some, values[None, None, some], mask=mask[some])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_known_pixels_of_a_picture_are_as_good_as_known_frames_of_a_video(sampler: str) -> None:
    """An autoregression along a row instead of along time: the same numbers, to all digits."""
    mask, values = torch.zeros(1, 1, FRAMES, dtype=torch.bool), torch.full((1, 1, FRAMES), 7.0)
    for place, value in AUTOREGRESSION.items():
        mask[0, 0, place], values[0, 0, place] = True, value
    found = []
    for method in METHODS.values():
        spec = stage_of(1, FRAMES, SAMPLERS[sampler], 64, method)
        spec = spec.with_(network=GaussianConfig(channels=1, row=RHO))
        found.append(errors(spec, pixels(mask, values), law(AUTOREGRESSION), unknown(AUTOREGRESSION)))
    assert found == [pytest.approx(row, abs=6e-4) for row in TABLE[sampler, 64]]


def test_a_mask_that_moves_leads_towards_the_conditional_mean() -> None:
    """A hole that moves by a pixel a frame: given pixels are exact, and reconstruction comes nearer."""
    frames, width = 4, 6
    mask = torch.ones(frames, 1, width, dtype=torch.bool)
    for frame in range(frames):
        mask[frame, 0, frame + 1] = mask[frame, 0, frame + 2] = False
    values = torch.randn(frames, 1, width, generator=torch.Generator().manual_seed(2))
    known, there = mask.flatten(), pixels(mask, values)
    covariance, given = covariance_of(frames, width), values.flatten().double()[known]
    wanted = covariance[~known][:, known] @ torch.linalg.solve(covariance[known][:, known], given)
    away: dict[str, float] = {}
    methods: dict[str, Method] = {"replacement": Replacement(), "weight 2": Reconstruction(weight=2)}
    for name, method in {**methods, "weight 5": Reconstruction(weight=5)}.items():
        mean, spread = moments(stage_of(frames, width, DDIM(), 64, method), there)
        torch.testing.assert_close(mean[known], given, rtol=0, atol=1e-6)
        assert spread.diag()[known].abs().max() < 1e-9
        away[name] = float((mean[~known] - wanted).norm() / wanted.norm())
    assert away["weight 5"] < away["weight 2"] < away["replacement"] < 1
    assert away["weight 5"] < 0.5


NETWORK = VideoUNetConfig(
    text_width=None, embedding=8, head=8, levels=(Level(width=8), Level(width=8, temporal=("attention",)))
)
SHAPE = VideoShape(frames=4, height=8, width=12, fps=4)


def stage(method: Method, **sampling: Any) -> StageSpec:
    fields: dict[str, Any] = {"steps": 3, "known": method} | sampling
    spec = SamplingSpec(**fields)
    return StageSpec(name="line", shape=SHAPE, inputs=(), network=NETWORK, sampling=spec)


def hole() -> Known:
    mask = torch.ones(3, 8, 12, dtype=torch.bool)
    mask[:, 2:6, 3:9] = False
    return Known(torch.tensor([True, True, False, True]), torch.rand(2, 3, 3, 8, 12) * 2 - 1, mask=mask)


@pytest.mark.parametrize("threshold", ["static", 0.9, None])
@pytest.mark.parametrize("method", [Replacement(), Replacement(redraw=False), Reconstruction()])
def test_known_pixels_come_back_exactly(method: Method, threshold: Any) -> None:
    known, network, draw = hole(), awake(NETWORK), Draw(seed=0, samples=[0, 1])
    spec = stage(method, threshold=threshold)
    made = stage_video(spec, network, Conditioning(), None, Draw(seed=0, samples=[0, 1], known=known))
    plain = stage_video(spec, network, Conditioning(), None, draw)
    assert known.mask is not None
    assert torch.equal(made[:, :, known.places][:, :, known.mask], known.values[:, :, known.mask])
    assert not torch.allclose(made[:, :, :, 2:6, 3:9], plain[:, :, :, 2:6, 3:9], atol=1e-4)
    other = Known(known.frames, torch.where(known.mask, known.video, 0.123), mask=known.mask)
    again = stage_video(spec, network, Conditioning(), None, Draw(seed=0, samples=[0, 1], known=other))
    assert torch.equal(again, made), "what is in the hole matters"


def test_a_mask_of_everything_is_none() -> None:
    known = hole()
    whole = Known(known.frames, known.video, mask=torch.ones(3, 8, 12, dtype=torch.bool))
    bare = Known(known.frames, known.video)
    for method in (Replacement(), Reconstruction()):
        one, other = (
            stage_video(stage(method), awake(NETWORK), Conditioning(), None, Draw(seed=0, samples=[0, 1], known=each))
            for each in (whole, bare)
        )
        assert torch.equal(one, other)


def test_masks_that_do_not_fit() -> None:
    known, frames = hole(), torch.ones(4, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"known.mask: expected shape \(3, 8, 12\), got \(3, 8, 11\)"):
        Known(known.frames, known.video, mask=torch.ones(3, 8, 11, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"known.mask: expected bool, got torch.float32"):
        Known(known.frames, known.video, mask=torch.ones(3, 8, 12))
    with pytest.raises(ValueError, match=r"'line': known.mask: expected none, 'learnt' takes whole"):
        stage_video(stage(Learnt()), awake(NETWORK), Conditioning(), None, Draw(seed=0, samples=[0, 1], known=known))
    video = torch.zeros(2, 3, 4, 8, 12)
    Known(frames, video, mask=torch.zeros(4, 8, 12, dtype=torch.bool)).check(2, 3, SHAPE.sizes)
    complete = Known(frames, video, mask=torch.ones(4, 8, 12, dtype=torch.bool))
    assert complete.complete
    with pytest.raises(ValueError, match="expected a frame that is not known, got all 4"):
        complete.check(2, 3, SHAPE.sizes)
