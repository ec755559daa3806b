"""The rank of the truth among the members of ensembles [Hamill 2001, Mon. Weather Rev. 129]."""

import torch
from torch import Tensor

from zoetrope.metrics.crps import expect_ensemble


def rank_histogram(members: Tensor, truth: Tensor, present: Tensor | None = None, seed: int = 0) -> Tensor:
    """How often the truth has each rank, (C, M + 1) int64: below all members first, above all last.

    Flat where the truth could be any member; highest at both ends where members are too much alike. Among members that
    are equal to the truth its rank is drawn at random, by `seed`.

    Args:
        members: (M, B, C, F, H, W).
        truth: (B, C, F, H, W).
        present: where there are values, like the truth, bool; None: everywhere.
        seed: of the ranks among equal values.

    Raises ValueError for shapes that do not fit.
    """
    count = expect_ensemble(members, truth, 1)
    below, equal = (members < truth).sum(0), (members == truth).sum(0)
    draw = torch.Generator().manual_seed(seed)
    share = torch.rand(truth.shape, generator=draw, dtype=torch.float64).to(truth.device)
    rank = below + (share * (equal + 1)).long()
    if present is not None and present.shape != truth.shape:
        raise ValueError(f"present: expected the shape {tuple(truth.shape)}, got {tuple(present.shape)}")
    found = []
    for channel in range(truth.shape[1]):
        ranks = rank[:, channel] if present is None else rank[:, channel][present[:, channel]]
        found.append(torch.bincount(ranks.flatten(), minlength=count + 1))
    return torch.stack(found)
