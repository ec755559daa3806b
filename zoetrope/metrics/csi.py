"""The critical success index of events, such as rain above a threshold: hits among all that was made or was there."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from zoetrope.metrics.psnr import expect_pair


def csi(
    made: Tensor, truth: Tensor, thresholds: Sequence[float], pool: int = 1, present: Tensor | None = None
) -> Tensor:
    """hits / (hits + misses + false alarms), (T, C, F), at each threshold, of each channel and frame.

    An event is a value of at least the threshold. With `pool` it is one anywhere in a block of pool x pool pixels, so
    that a forecast may be right a few pixels away [pooled scores as in Gong et al. 2024, arXiv:2402.04290]. Events are
    counted over all videos; NaN where there are none, neither made nor true.

    Args:
        made, truth: videos (B, C, F, H, W), in units.
        thresholds: T of them, in the same units.
        pool: pixels of a block to either side; rows and columns that fill no block are left out.
        present: where there are values, like the truth, bool; None: everywhere. Others are no events.

    Raises ValueError for different shapes, no thresholds, and blocks larger than the frames.
    """
    hits, events = events_of(made, truth, thresholds, pool, present)
    return hits.double() / events


def events_of(
    made: Tensor, truth: Tensor, thresholds: Sequence[float], pool: int = 1, present: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Hits, and events that were made or were there, (T, C, F) int64 each; see `csi`."""
    expect_pair(made, truth)
    if not len(thresholds):
        raise ValueError("thresholds: expected at least one, got none")
    if not 1 <= pool <= min(made.shape[3:]):
        raise ValueError(f"pool: expected 1 to {min(made.shape[3:])} pixels, got {pool}")
    if present is not None:
        if present.shape != truth.shape:
            raise ValueError(f"present: expected the shape {tuple(truth.shape)}, got {tuple(present.shape)}")
        made, truth = (torch.where(present, video, -torch.inf) for video in (made, truth))
    highest = [
        max_pool2d(video.double().flatten(0, 2)[:, None], pool)[:, 0].unflatten(0, video.shape[:3])
        for video in (made, truth)
    ]
    found = []
    for threshold in thresholds:
        ours, theirs = (video >= threshold for video in highest)
        found.append(torch.stack([event.sum((0, 3, 4)) for event in (ours & theirs, ours | theirs)]))
    hits, events = torch.stack(found, 1)
    return hits, events
