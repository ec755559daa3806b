"""Rotary positions with real coordinates: a query and a key meet by how far apart they are, in seconds or in space.

[Su et al. 2021, arXiv:2104.09864, Sec. 3.4, with fractions as positions; per axis as Heo et al. 2024, arXiv:2403.13298]
"""

import torch
from torch import Tensor


def phases(places: Tensor, pairs: int, slowest: float) -> Tensor:
    """Unit complex numbers (..., pairs) at angles place x frequency, for real places (...) in float64.

    Frequencies fall geometrically from 1 radian per unit of place to nearly 1 / slowest.
    """
    steps = torch.arange(pairs, device=places.device, dtype=torch.float64) / pairs
    angles = places.double()[..., None] * slowest**-steps
    return torch.polar(torch.ones_like(angles), angles)


def rotated(x: Tensor, by: Tensor) -> Tensor:
    """x (..., d), each neighbouring pair of channels turned by the phases (..., d / 2); in float32 for narrower x."""
    wide = x if x.dtype == torch.float64 else x.float()
    turned = torch.view_as_complex(wide.contiguous().unflatten(-1, (-1, 2))) * by
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)


def rotate(x: Tensor, by: Tensor) -> Tensor:
    """`rotated` in the memory of x, which is in float32 or float64."""
    torch.view_as_complex(x.unflatten(-1, (-1, 2))).mul_(by)
    return x


def shares_of_pairs(head: int, axes: int) -> tuple[int, ...]:
    """How many pairs of a head's channels each axis gets: (height, width), or (time, height, width).

    Time gets about a quarter, as in CogVideoX [Yang et al. 2024, arXiv:2408.06072, Sec. 2.2].
    """
    pairs = head // 2
    if axes == 2:
        return pairs // 2, pairs - pairs // 2
    side = 3 * pairs // 8
    return pairs - 2 * side, side, side


def grid_phases(axes: tuple[Tensor, ...], head: int, slowest: float) -> Tensor:
    """Phases (..., head / 2) of the points of a grid, whose pairs are shared out among the axes.

    Takes the places along each axis, shaped to broadcast over the grid.
    """
    shape = torch.broadcast_shapes(*(axis.shape for axis in axes))
    shares = shares_of_pairs(head, len(axes))
    each = [phases(axis, pairs, slowest) for axis, pairs in zip(axes, shares, strict=True)]
    return torch.cat([one.expand(*shape, -1) for one in each], dim=-1)
