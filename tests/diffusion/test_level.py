"""Noise levels: precision at the ends, clean frames, and levels of examples and of frames side by side."""

import math

import pytest
import torch

from zoetrope.diffusion.level import CLEANEST, NoiseLevel, changes
from zoetrope.diffusion.tensors import aligned, blend, expand_like
from zoetrope.schedules.cosine import Cosine


def times(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_variance_preserving_keeps_small_sigmas() -> None:
    level = NoiseLevel.variance_preserving(times(40.0, -40.0))
    assert abs(float(level.sigma[0]) / math.exp(-20) - 1) < 1e-12
    assert abs(float(level.alpha[1]) / math.exp(-20) - 1) < 1e-12


def test_clean_is_data_to_float64() -> None:
    level = NoiseLevel.clean(2, 3)
    assert level.per_frame and level.is_clean.all() and level.logsnr.shape == (2, 3)
    assert (level.alpha == 1).all() and (level.sigma < 1e-12).all() and (level.logsnr == CLEANEST).all()
    x = torch.randn(2, 3, 3, 2, 2)
    assert torch.equal(blend(level.alpha, x, level.sigma, torch.randn_like(x)), x)
    assert not Cosine()(times(0.0)).is_clean.any()


def test_levels_of_examples_and_of_frames() -> None:
    whole = Cosine()(times(0.2, 0.7))
    spread = whole.expand(3)
    assert not whole.per_frame and spread.per_frame
    assert spread.alpha.shape == (2, 3) and torch.equal(spread.sigma[:, 1], whole.sigma)
    assert spread.expand(3) is spread
    assert whole.expand_as(whole) is whole and torch.equal(whole.expand_as(spread).logsnr, spread.logsnr)


def test_windows_examples_and_copies() -> None:
    level = Cosine()(torch.rand(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(level.frames(range(1, 4)).alpha, level.alpha[:, 1:4])
    assert torch.equal(level.frames(slice(3, None)).logsnr, level.logsnr[:, 3:])
    assert torch.equal(level.select(torch.tensor([1])).sigma, level.sigma[1:])
    assert torch.equal(level.repeated(2).alpha, torch.cat([level.alpha, level.alpha]))
    whole = Cosine()(times(0.2, 0.7))
    assert whole.frames(range(1, 4)) is whole


def test_known_frames_are_put_among_others() -> None:
    noisy, known = Cosine()(times(0.5, 0.6)).expand(4), torch.tensor([True, False, False, True])
    level = NoiseLevel.where(known, NoiseLevel.clean(2, 4), noisy)
    assert level.is_clean.tolist() == [known.tolist()] * 2
    assert torch.equal(level.alpha[:, 1:3], noisy.alpha[:, 1:3])


def test_changes_from_level_to_level() -> None:
    levels = [Cosine()(times(*values)) for values in ((1, 1), (0.5, 1), (0, 1))]
    assert changes(levels).tolist() == [[True, False], [True, False]]


def test_values_are_aligned_with_examples_or_frames() -> None:
    video = torch.zeros(2, 2, 2, 2, 2)  # every axis is equal: what is aligned with the wrong one has other values
    assert torch.equal(expand_like(times(1.0, 2.0), video)[:, 0, 0, 0, 0], torch.tensor([1.0, 2.0]))
    frames = torch.tensor([[1, 2], [3, 4]], dtype=torch.float64)
    spread = expand_like(frames, video) + video
    assert torch.equal(spread, torch.einsum("bf,bcfhw->bcfhw", frames.float(), torch.ones_like(video)))
    assert aligned(frames > 2, video).dtype == torch.bool
    assert expand_like(frames, torch.zeros(2, 3, 2)).shape == (2, 1, 2)
    with pytest.raises(ValueError, match=r"one value per example, shape \(2,\), or per frame, \(2, 3\), got \(2, 2\)"):
        expand_like(frames, torch.zeros(2, 2, 3, 1, 1))
    with pytest.raises(ValueError, match=r"one value per example, shape \(2,\), got \(2, 2\)"):
        expand_like(frames, torch.zeros(2, 2))
