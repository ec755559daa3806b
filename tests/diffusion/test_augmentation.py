"""Blur of the low-resolution input: the Gaussian's closed form, against SciPy's, along and across frames."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from zoetrope.diffusion.augmentation import BLUR_SIGMAS, blur, blur_sigma

SIZES = (2, 3, 2, 5, 7)


@settings(max_examples=20, deadline=None)
@given(sigma=st.floats(0.05, 3), seed=st.integers(0, 99))
def test_it_is_scipys_gaussian_of_three_by_three_pixels(sigma: float, seed: int) -> None:
    video = torch.from_numpy(np.random.default_rng(seed).normal(size=SIZES))
    blurred = blur(video, torch.tensor([sigma, sigma], dtype=torch.float64))
    expected = gaussian_filter(video.numpy(), (sigma, sigma), axes=(3, 4), radius=1, mode="mirror")
    np.testing.assert_allclose(blurred.numpy(), expected, atol=1e-12)


def test_every_video_has_its_own_and_zero_is_none() -> None:
    video = torch.rand(3, *SIZES[1:], dtype=torch.float64)
    sigma = torch.tensor([0.0, 0.4, 0.6], dtype=torch.float64)
    blurred = blur(video, sigma)
    assert torch.equal(blurred[0], video[0])
    alone = torch.cat([blur(video[i : i + 1], sigma[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(blurred, alone, atol=0, rtol=0)
    assert not torch.allclose(blurred[1], video[1]) and blurred.isfinite().all()


@pytest.mark.parametrize("axis", [3, 4])
def test_an_axis_of_a_single_pixel_stays(axis: int) -> None:
    sizes = [1, 1, 1, 6, 6]
    sizes[axis] = 1
    video, sigma = torch.rand(sizes, dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64)
    expected = gaussian_filter1d(video.numpy(), 0.5, axis=7 - axis, radius=1, mode="mirror")
    np.testing.assert_allclose(blur(video, sigma).numpy(), expected, atol=1e-12)


def test_a_flat_frame_stays_and_frames_do_not_mix() -> None:
    video = torch.zeros(1, 3, 3, 4, 4, dtype=torch.float64)
    video[:, :, 1] = 0.7
    torch.testing.assert_close(blur(video, torch.tensor([0.6])), video, atol=1e-12, rtol=0)


def test_sigmas_are_uniform_between_the_papers() -> None:
    assert BLUR_SIGMAS == (0.4, 0.6)
    torch.testing.assert_close(blur_sigma(torch.tensor([0.0, 0.25, 1.0])), torch.tensor([0.4, 0.45, 0.6]))
