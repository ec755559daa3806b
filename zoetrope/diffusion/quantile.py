"""Exact quantiles of magnitudes, for any number of values in little memory."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoetrope.diffusion.tensors import has_data

Values = Any  # a tensor, or an array of NumPy's
PIECE, PIECE_GPU = 2**20, 2**26  # values that are processed at a time


def quantile(values: Tensor, fraction: float, least: float = 0.0) -> Tensor:
    """The quantile (B,) of the magnitudes of each row of values (B, ...), or `least` where that is larger.

    Linearly interpolated as in torch.quantile, which refuses rows of more than 2^24 values. A bisection counts the
    values up to a bound until few remain in question; only these are copied. NaN counts as larger than any number.
    """
    if not has_data(values):  # without data there is nothing to count
        return values.flatten(1).kthvalue(1, dim=1).values
    position = fraction * (values[0].numel() - 1)
    if values.device.type != "cpu":
        return counted_quantile(values, position, least)
    below, above = math.floor(position), math.ceil(position)
    ends = []
    for row in values:
        pieces = _pieces(row)
        if _count(pieces, least) > above:
            ends.append((least, least))
            continue
        low = _smallest(pieces, below + 1)
        ends.append((low, low if _count(pieces, low) > above else _next(pieces, low)))
    lows, highs = torch.tensor(ends, dtype=values.dtype, device=values.device).unbind(1)
    return torch.where(lows == highs, lows, torch.lerp(lows, highs, position - below)).clamp(min=least)


def counted_quantile(values: Tensor, position: float, least: float = 0.0) -> Tensor:
    """`quantile` at a position among the sorted magnitudes, from 0, where the values are, without asking for any.

    A GPU's host then does not wait. All rows are bisected together, as often as a float has bits.
    """
    below, above = math.floor(position), math.ceil(position)
    real, whole = (torch.float64, torch.int64) if values.dtype == torch.float64 else (torch.float32, torch.int32)
    pieces = values.flatten(1).split(max(1, PIECE_GPU // len(values)), dim=1)

    def sizes() -> Iterator[Tensor]:
        return (piece.to(real).abs() for piece in pieces)

    def count(most: Tensor) -> Tensor:
        return sum(((size <= most[:, None]).sum(1) for size in sizes()), torch.zeros_like(most, dtype=torch.long))

    low = torch.full((len(values),), -1, dtype=whole, device=values.device)
    high = torch.full_like(low, math.inf, dtype=real).view(whole)
    infinity, nan = high.view(real), torch.full_like(low, math.nan, dtype=real)
    for _ in range(8 * whole.itemsize - 1):  # the bits of magnitudes are ordered as these are
        middle = low + (high - low) // 2
        enough = (middle >= 0) & (count(middle.clamp(min=0).view(real)) > below)
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    under = torch.where(count(infinity) > below, high.view(real), nan)
    more = [torch.where(size > under[:, None], size, math.inf).amin(1) for size in sizes()]
    following = torch.where(count(infinity) > above, torch.stack(more).amin(0), nan)
    over = torch.where(count(under) > above, under, following)
    found = torch.where(under == over, under, torch.lerp(under, over, position - below))
    return found.to(values.dtype).clamp(min=least)


def _smallest(pieces: Sequence[Values], count: int) -> float:
    """The smallest number that `count` magnitudes or more do not exceed; NaN if there is none."""
    real, whole = (np.float64, np.int64) if pieces[0].itemsize == 8 else (np.float32, np.int32)
    low, under = 0.0, _count(pieces, 0.0)
    if under >= count:
        return 0.0
    high = 4.0
    while (within := _count(pieces, high)) < count:
        if high == math.inf:
            return math.nan
        low, under, high = high, within, high * high if high * high < float(np.finfo(real).max) else math.inf
    while within - under > PIECE:  # bisect over bit patterns: as integers they are ordered like the floats
        bits = int(real(low).view(whole)), int(real(high).view(whole))
        if bits[1] - bits[0] == 1:
            return high
        middle = float(whole(sum(bits) // 2).view(real))
        found = _count(pieces, middle)
        if found >= count:
            high, within = middle, found
        else:
            low, under = middle, found
    few = [size[(size > low) & (size <= high)] for size in map(abs, pieces)]
    return float(torch.cat([torch.as_tensor(some) for some in few]).kthvalue(count - under).values)


def _next(pieces: Sequence[Values], number: float) -> float:
    """The smallest magnitude above a number; NaN if there is none."""
    least = [float(above.min()) for above in (size[size > number] for size in map(abs, pieces)) if len(above)]
    return min(least, default=math.nan)


def _count(pieces: Sequence[Values], most: float) -> int:
    """How many magnitudes do not exceed a number."""
    fitting = (abs(piece) <= most for piece in pieces)
    return sum(int(np.count_nonzero(fits) if isinstance(fits, np.ndarray) else fits.sum()) for fits in fitting)


def _pieces(values: Tensor) -> list[Values]:
    """Views of at most PIECE values each, for any strides; NumPy arrays on a CPU, where they are faster."""
    if values.numel() > PIECE:
        halves = values.tensor_split(2, dim=int(np.argmax(values.shape)))
        return [piece for half in halves for piece in _pieces(half)]
    plain = values.float() if values.itemsize < 4 else values
    return [plain.detach().numpy() if values.device.type == "cpu" else plain]
