"""The Fréchet core against formulas and another library, and where covariances are singular."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn

from zoetrope.metrics.frechet import Gaussian, frechet_distance


def random(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_the_book(x: Tensor, y: Tensor) -> float:
    """The textbook formula with a matrix root."""
    m, n = x.mean(0).numpy(), y.mean(0).numpy()
    a, b = np.cov(x.numpy(), rowvar=False), np.cov(y.numpy(), rowvar=False)
    return float(((m - n) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * np.trace(np.real(sqrtm(a @ b))))


def of(x: Tensor, y: Tensor) -> float:
    return frechet_distance(Gaussian.of(x), Gaussian.of(y))


def test_a_distance_of_known_moments() -> None:
    a = torch.tensor([[2.0, 0.3], [0.3, 1.0]], dtype=torch.float64)
    b = torch.tensor([[1.0, -0.2], [-0.2, 0.5]], dtype=torch.float64)
    one = Gaussian.of_moments(torch.tensor([0.1, 0.2], dtype=torch.float64), a)
    for count in (2, 1000):
        other = Gaussian.of_moments(torch.tensor([-0.3, 0.4], dtype=torch.float64), b, count)
        assert abs(frechet_distance(one, other) - 0.5746281113712536) < 1e-12


@pytest.mark.parametrize("counts", [(40, 60), (8, 9), (9, 300)])
def test_it_is_the_formula_with_a_matrix_root(counts: tuple[int, int]) -> None:
    x = random(counts[0], 7) @ random(7, 7, seed=1)
    y = random(counts[1], 7, seed=2) @ random(7, 7, seed=3) + 0.5
    assert math.isclose(of(x, y), by_the_book(x, y), rel_tol=1e-9)


def test_it_is_that_of_torchmetrics() -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Means(nn.Module):
        """Twelve numbers of a picture."""

        num_features = 12

        def forward(self, x: Tensor) -> Tensor:
            return x.float().mean((2, 3)).repeat(1, 4) ** torch.arange(1, 13).div(6)

    theirs = FrechetInceptionDistance(feature=Means(), input_img_size=(3, 8, 8)).set_dtype(torch.float64)
    sets = []
    for real, seed in ((True, 0), (False, 1)):
        pictures = torch.randint(0, 200 + 50 * seed, (40, 3, 8, 8), generator=torch.Generator().manual_seed(seed))
        theirs.update(pictures.to(torch.uint8), real=real)
        sets.append(Means()(pictures.to(torch.uint8)).double())
    assert math.isclose(of(*sets), float(theirs.compute()), rel_tol=1e-4)


def test_fewer_samples_than_features() -> None:
    x = random(6, 50)
    y = x + 3 * torch.eye(50, dtype=torch.float64)[0]
    assert of(x, x) < 1e-12  # a matrix root of these singular covariances is off by more
    assert abs(of(x, y) - 9) < 1e-10
    empty = torch.zeros(6, 3000, dtype=torch.float64)  # features that are never there change nothing
    assert abs(of(torch.cat([x, empty], 1), torch.cat([2 * x, empty], 1)) - of(x, 2 * x)) < 1e-9


def test_symmetries() -> None:
    x, y = random(30, 5), random(20, 5, seed=1) * 2 + 1
    turn = torch.linalg.qr(random(5, 5, seed=2)).Q
    assert math.isclose(of(x, y), of(y, x), rel_tol=1e-12)
    assert math.isclose(of(x @ turn + 3, y @ turn + 3), of(x, y), rel_tol=1e-10)
    assert math.isclose(of(3 * x, 3 * y), 9 * of(x, y), rel_tol=1e-12)
    assert of(x, y) == of(x.clone(), y.clone())  # to the last digit


def test_joined_parts_are_the_whole() -> None:
    x, y = random(31, 6) * torch.arange(1, 7) + 100, random(50, 6, seed=1)
    parts = Gaussian.joined(Gaussian.of(part) for part in x.split([1, 4, 20, 6]))
    whole = Gaussian.of(x)
    assert parts.count == 31
    torch.testing.assert_close(parts.mean, whole.mean)
    torch.testing.assert_close(parts.factor.T @ parts.factor, whole.factor.T @ whole.factor)
    assert math.isclose(frechet_distance(parts, Gaussian.of(y)), of(x, y), rel_tol=1e-10)


def test_the_bias_falls_as_one_over_n() -> None:
    distances = []
    for count in (100, 200, 400):
        pairs = [of(random(count, 8, seed=2 * k), random(count, 8, seed=2 * k + 1)) for k in range(12)]
        distances.append(sum(pairs) / len(pairs))
    for few, many in pairwise(distances):
        assert 1.6 < few / many < 2.4


@pytest.mark.parametrize(
    ("x", "y", "told"),
    [
        (random(1, 3), random(5, 3), "at least 2"),
        (random(4, 3), random(5, 2), "one width"),
    ],
)
def test_what_cannot_be_compared(x: Tensor, y: Tensor, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        of(x, y)


@pytest.mark.parametrize("features", [torch.full((3, 2), torch.nan), torch.zeros(0, 2), torch.zeros(4)])
def test_what_are_no_features(features: Tensor) -> None:
    with pytest.raises(ValueError, match="features: expected"):
        Gaussian.of(features)


def test_one_sample_has_no_variance() -> None:
    with pytest.raises(ValueError, match="at least 2 samples for a variance, got 1"):
        _ = Gaussian.of(torch.ones(1, 3)).variance
