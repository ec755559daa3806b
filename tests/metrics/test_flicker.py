"""Flicker by hand."""

import pytest
import torch

from zoetrope.metrics.flicker import flicker


def test_it_sees_change_and_not_error() -> None:
    truth = torch.rand(1, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    assert flicker(truth, truth).item() == 0
    assert flicker(truth + 0.3, truth).item() == pytest.approx(0, abs=1e-7)
    trembling = truth.clone()
    trembling[:, :, 1::2] += 0.02
    assert flicker(trembling, truth).item() == pytest.approx(0.01, rel=1e-4)


def test_repeated_frames_miss_the_changes() -> None:
    truth = torch.linspace(0, 0.3, 4)[None, None, :, None, None].expand(1, 3, 4, 5, 6)
    repeated = truth[:, :, ::2].repeat_interleave(2, 2)
    assert flicker(repeated, truth).item() == pytest.approx(0.05, rel=1e-4)  # 0.1 each time, of a range of 2


def test_one_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="two frames"):
        flicker(torch.zeros(1, 3, 1, 4, 4), torch.zeros(1, 3, 1, 4, 4))
