"""Relative positions: distances, and their buckets, each with a bias in attention."""

import math

import torch
from torch import Tensor, nn

NEAR = 1e-2  # frames: distances this close to a whole number of frames are rounded to it


def buckets_of(distance: Tensor, buckets: int = 32, farthest: int = 32) -> Tensor:
    """The bucket of each integer distance (...) of a key from a query: exact for near ones, logarithmic for far ones.

    [Raffel et al. 2020, arXiv:1910.10683, Sec. 2.1]
    """
    half, exact = buckets // 2, buckets // 4
    far = distance.abs().clamp(min=1).double() / exact
    logarithmic = exact + (far.log() / math.log(farthest / exact) * (half - exact)).long()
    near = torch.where(distance.abs() < exact, distance.abs(), logarithmic.clamp(max=half - 1))
    return near + half * (distance > 0)


def distance_buckets(places: int, device: torch.device) -> Tensor:
    """The bucket (N, N) of the distance k - q of each of N evenly spaced places k from each place q."""
    place = torch.arange(places, device=device)
    return buckets_of(place[None, :] - place[:, None])


def bias_at(table: nn.Embedding, distances: Tensor) -> Tensor:
    """The bias (..., heads) at distances (...) in frames, linearly interpolated between integers."""
    whole = distances.floor()
    low = table(buckets_of(whole.long()))
    high = table(buckets_of(whole.long() + 1))
    return torch.lerp(low, high, (distances - whole)[..., None].to(low.dtype))


def spacing(times: Tensor) -> Tensor:
    """The median distance (B,) between consecutive frames, for times (B, F) in any order; F is 2 or more."""
    return times.sort(-1).values.diff(dim=-1).median(-1).values


def distances_between(times: Tensor, unit: Tensor | float) -> Tensor:
    """How many frames each key lies after each query, (B, F, F), for times (B, F) and the seconds (B,) of one frame.

    Distances within NEAR of a whole number are rounded to it. Raises ValueError if two frames have the same time.
    """
    unit = torch.as_tensor(unit, dtype=torch.float64, device=times.device).reshape(-1, 1, 1)
    if not (unit > 0).all():
        raise ValueError("times: expected frames that are seen at different times")
    distances = (times.double()[:, None, :] - times.double()[:, :, None]) / unit
    whole = distances.round()
    return torch.where((distances - whole).abs() < NEAR, whole, distances)


def are_even(distances: Tensor) -> bool:
    """Whether the frames of every example are evenly spaced and in order, by their distances (B, F, F)."""
    steps = distances.diagonal(1, dim1=1, dim2=2)
    return bool((steps > 0).all() and (steps - steps[:, :1]).abs().max() < NEAR)
