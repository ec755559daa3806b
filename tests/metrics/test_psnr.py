"""Signal-to-noise against its closed form."""

import math

import pytest
import torch

from zoetrope.metrics.psnr import decibels, psnr, squared_error_of_frames


def test_a_known_error_has_its_decibels() -> None:
    truth = torch.rand(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0)).double() - 0.5
    made = truth.clone()
    made[0, :, 1] += 0.02
    made[1, :, 3, :, ::2] -= 0.2
    told = psnr(made, truth)
    assert told.shape == (2, 4)
    assert told[0, 1].item() == pytest.approx(20 * math.log10(2 / 0.02))
    assert told[1, 3].item() == pytest.approx(20 * math.log10(2 / (0.2 / math.sqrt(2))))
    assert torch.isinf(told).sum() == 6 and (told > 0).all()


def test_a_clip_is_not_exact_because_a_frame_is() -> None:
    truth = torch.zeros(1, 3, 2, 4, 4)
    made = truth.clone()
    made[:, :, 1] = 0.1
    assert decibels(squared_error_of_frames(made, truth).mean()).item() == pytest.approx(10 * math.log10(4 / 0.005))


def test_the_range_is_that_of_the_data() -> None:
    generator = torch.Generator().manual_seed(1)
    made, truth = torch.rand(2, 1, 3, 2, 8, 8, generator=generator).unbind()
    torch.testing.assert_close(psnr(made, truth, 1.0), psnr(made * 2 - 1, truth * 2 - 1))
    torch.testing.assert_close(psnr(made, truth, 1.0), psnr(made * 255, truth * 255, 255.0))


def test_mistakes_are_refused() -> None:
    video = torch.zeros(1, 3, 2, 4, 4)
    with pytest.raises(ValueError, match="expected one shape"):
        psnr(video, video[:, :, :1])
    with pytest.raises(ValueError, match="expected one shape"):
        psnr(video[0], video[0])
    with pytest.raises(ValueError, match="data_range"):
        psnr(video, video, 0.0)
