"""Retrieval by embeddings, against cases that can be counted."""

import pytest
import torch

from zoetrope.metrics.retrieval import retrieved


def test_shares() -> None:
    pictures = torch.eye(8).repeat(2, 1)
    assert retrieved(pictures * torch.rand(16, 1) + 0, pictures, among=8) == [True] * 16  # by angle alone
    assert retrieved(pictures.roll(1, 0), pictures, among=8) == [False] * 16
    half = pictures.clone()
    half[:8:2] = -half[:8:2] - half[1:8:2] * -2
    assert sum(retrieved(half, pictures, among=8)) == 12
    assert (
        retrieved(torch.cat([pictures, pictures[:3].roll(1, 0)]), torch.cat([pictures, pictures[:3]]), 8) == [True] * 16
    )


def test_chance() -> None:
    draw = torch.Generator().manual_seed(0)
    vectors, pictures = (torch.randn(6400, 16, generator=draw) for _ in range(2))
    assert abs(sum(retrieved(vectors, pictures)) / 6400 - 1 / 64) < 4 * (1 / 64 / 6400) ** 0.5


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="vectors: expected at least 64, of which each finds its own, got 3"):
        retrieved(torch.zeros(3, 2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="pictures: expected shape"):
        retrieved(torch.zeros(64, 2), torch.zeros(64, 3))
