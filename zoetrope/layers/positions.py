"""Relative positions: distances, and their buckets, each with a bias in attention."""

import math

import torch
from torch import Tensor, nn

from zoetrope.layers.zero import zero

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


class RelativePositions(nn.Module):
    """Attention among frames with a vector for each pair of them, in keys, queries and values.

    logits_ij = q_i k_j + q_i K_ij + k_j Q_ji, out_i = sum_j a_ij (v_j + V_ij). K, Q and V are what a network makes of
    the distance from the first frame of the pair to the second and of the first one's conditioning vector [Harvey et
    al. 2022, arXiv:2205.11495; Wu et al. 2021, arXiv:2107.14222]. They start at zero.
    """

    def __init__(self, width: int, heads: int, embedding: int):
        super().__init__()
        self.heads = heads
        self.distance = nn.Linear(3, width)
        self.condition = nn.Linear(embedding, width)
        self.out = zero(nn.Linear(width, 3 * width))

    def forward(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, e: Tensor, distances: Tensor | None) -> Tensor:
        """Queries, keys and values (P, B heads, F, d), bias (1, B heads, F, F) -> like v.

        e (B, F or 1, E) is the conditioning vector; `distances` (B, F, F) are how many frames each key lies after each
        query, None for consecutive frames.
        """
        for_k, for_q, for_v = (self._by_head(x) for x in self.pairs(e, distances, q.shape[2]).to(q.dtype).chunk(3, -1))
        # Of all pixels at once: (B heads, F, P, d) times (B heads, F, d, F).
        of_q = (q.permute(1, 2, 0, 3) @ for_k.mT).permute(2, 0, 1, 3)
        of_k = (k.permute(1, 2, 0, 3) @ for_q.mT).permute(2, 0, 3, 1)
        logits = (q @ k.mT + of_q + of_k) / math.sqrt(q.shape[-1]) + bias
        weights = logits.softmax(-1).to(v.dtype)
        return weights @ v + (weights.permute(1, 2, 0, 3) @ for_v).permute(2, 0, 1, 3)

    def pairs(self, e: Tensor, distances: Tensor | None, frames: int) -> Tensor:
        """The vectors (B, F, F, 3 D) of all pairs."""
        if distances is None and e.shape[1] == 1:  # the same for pairs at the same distance
            place = torch.arange(frames, device=e.device)
            steps = torch.arange(1 - frames, frames, device=e.device)
            return self._vectors(e, steps.expand(1, 1, -1))[:, 0][:, place - place[:, None] + frames - 1]
        if distances is None:
            place = torch.arange(frames, device=e.device)
            distances = (place - place[:, None])[None]
        return self._vectors(e, distances)

    def _vectors(self, e: Tensor, distances: Tensor) -> Tensor:
        """Of distances (B or 1, F or 1, n), with e (B, F or 1, E) -> (B, F or 1, n, 3 D)."""
        d = distances.to(self.distance.weight.dtype)
        features = torch.stack([d.clamp(min=0).log1p(), (-d).clamp(min=0).log1p(), (d == 0).to(d.dtype)], dim=-1)
        return self.out(nn.functional.silu(self.distance(features) + self.condition(e)[:, :, None]))

    def _by_head(self, pairs: Tensor) -> Tensor:
        """(B, F, F, D) -> (B heads, F, F, d)."""
        return pairs.unflatten(-1, (self.heads, -1)).permute(0, 3, 1, 2, 4).flatten(0, 1)


def spacing(times: Tensor, images: Tensor | None = None) -> Tensor:
    """The median distance (B,) between consecutive frames, for times (B, F) in any order; F is 2 or more.

    Frames with images (B, F) True do not count; where no two frames do, it is 1.
    """
    if images is None:
        return times.sort(-1).values.diff(dim=-1).median(-1).values
    steps = times.double().masked_fill(images, math.nan).sort(-1).values.diff(dim=-1)
    return steps.nanmedian(-1).values.nan_to_num(1.0)


def distances_between(times: Tensor, unit: Tensor | float, images: Tensor | None = None) -> Tensor:
    """How many frames each key lies after each query, (B, F, F), for times (B, F) and the seconds (B,) of one frame.

    Distances within NEAR of a whole number are rounded to it. Raises ValueError if two frames have the same time;
    frames with images (B, F) True do not count.
    """
    unit = torch.as_tensor(unit, dtype=torch.float64, device=times.device).reshape(-1, 1, 1)
    seconds = times.double()[:, None, :] - times.double()[:, :, None]
    same = (seconds == 0) & ~torch.eye(times.shape[1], dtype=torch.bool, device=times.device)
    if images is not None:
        same = same & ~(images[:, :, None] | images[:, None, :])
    if same.any():
        raise ValueError("times: expected frames that are seen at different times")
    distances = seconds / unit
    whole = distances.round()
    return torch.where((distances - whole).abs() < NEAR, whole, distances)


def are_even(distances: Tensor, images: Tensor | None = None) -> bool:
    """Whether the frames of every example are evenly spaced and in order, by their distances (B, F, F).

    Between frames of which one or both have images (B, F) True, distances do not count.
    """
    steps = distances.diagonal(1, dim1=1, dim2=2)
    if images is None:
        return bool((steps > 0).all() and (steps - steps[:, :1]).abs().max() < NEAR)
    unseen = images[:, 1:] | images[:, :-1]
    longest, shortest = steps.masked_fill(unseen, -math.inf).amax(-1), steps.masked_fill(unseen, math.inf).amin(-1)
    return bool((shortest > 0).all() and (longest - shortest < NEAR).all())


def are_consecutive(distances: Tensor, images: Tensor) -> bool:
    """Whether each frame is 1 from the next, by distances (B, F, F), where neither has images (B, F) True."""
    place = torch.arange(distances.shape[1], device=distances.device)
    unseen = images[:, :, None] | images[:, None, :]
    return bool(((distances == place - place[:, None]) | unseen).all())


def frame_positions(times: Tensor | None, frames: int, images: Tensor | None, device: torch.device) -> Tensor:
    """Positions of frames between the first, -1, and the last, 1: (F) or (B, F); evenly spaced without times.

    Frames with images (B, F) True do not count, and have any finite position.
    """
    even = torch.linspace(-1, 1, frames, device=device)
    if times is None and images is None:
        return even
    places = torch.arange(frames, device=device)[None] if times is None else times
    if images is None:
        first, last = places.aminmax(dim=1, keepdim=True)
        return ((places - first) / (last - first) * 2 - 1).float()
    places = places.double().expand(images.shape)
    first = places.masked_fill(images, math.inf).amin(1, keepdim=True)
    length = places.masked_fill(images, -math.inf).amax(1, keepdim=True) - first
    inside = ((places - first) / length * 2 - 1).float().masked_fill(images, 0.0)
    return inside if times is not None else torch.where(images.any(1, keepdim=True), inside, even)
