"""Similarity against one written with scipy's filters, and its closed form for flat pictures."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from zoetrope.metrics.ssim import ssim


def reference(x: np.ndarray, y: np.ndarray, span: float) -> float:
    """Of one channel (H, W); a radius of 5 is the window of 11."""

    def mean(value: np.ndarray) -> np.ndarray:
        return gaussian_filter(value, 1.5, mode="reflect", radius=5)[5:-5, 5:-5]

    ux, uy = mean(x), mean(y)
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    vx, vy, vxy = mean(x * x) - ux * ux, mean(y * y) - uy * uy, mean(x * y) - ux * uy
    index = (2 * ux * uy + c1) * (2 * vxy + c2) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))
    return float(index.mean())


@pytest.mark.parametrize(("span", "low"), [(2.0, -1.0), (1.0, 0.0), (255.0, 0.0)])
def test_it_is_that_of_scipy(span: float, low: float) -> None:
    rng = np.random.default_rng(0)
    truth = gaussian_filter(rng.uniform(low, low + span, (2, 3, 4, 24, 31)), (0, 0, 0, 1, 1))
    made = truth + 0.05 * span * rng.standard_normal(truth.shape)
    told = ssim(torch.from_numpy(made), torch.from_numpy(truth), span)
    expected = [[np.mean([reference(made[b, c, f], truth[b, c, f], span) for c in range(3)]) for f in range(4)]
                for b in range(2)]  # fmt: skip
    assert 0.2 < np.mean(expected) < 0.9
    np.testing.assert_allclose(told.numpy(), expected, atol=1e-9)


def test_flat_pictures_differ_in_light_alone() -> None:
    truth = torch.full((1, 3, 1, 16, 16), 0.5)
    expected = (2 * 0.5 * 0.25 + 0.02**2) / (0.5**2 + 0.25**2 + 0.02**2)
    assert ssim(truth / 2, truth).item() == pytest.approx(expected)
    assert ssim(truth, truth).item() == pytest.approx(1)


def test_mistakes_are_refused() -> None:
    video = torch.zeros(1, 3, 2, 12, 10)
    with pytest.raises(ValueError, match="at least 11x11"):
        ssim(video, video)
    with pytest.raises(ValueError, match="expected one shape"):
        ssim(video, video[:, :, :1])
