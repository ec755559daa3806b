"""Fast forms of layers, for networks that do not learn: the same parameters, the same answers but for rounding.

`zoetrope.layers.fused` puts them in place of the textbook's. They write into the memory of what nobody else holds.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoetrope.layers.attention import TextAttention
from zoetrope.layers.convolution import Row, TemporalConv, Upsample, convolved, shuffle
from zoetrope.layers.elementwise import GELU, Modulated, SiLU, Sum, SumOfProduct
from zoetrope.layers.linear import is_convolved, linear
from zoetrope.layers.patches import Enter, Leave, blocks

_RUNS = {2: torch.complex64, 4: torch.complex128}


class SiLUInPlace(SiLU):
    """In the memory of h."""

    def forward(self, h: Tensor) -> Tensor:
        return nn.functional.silu(h, inplace=True)


class GELUInPlace(GELU):
    """In the memory of h."""

    def forward(self, h: Tensor) -> Tensor:
        own: Tensor = torch.ops.aten.gelu_(h)
        return own


class SumInPlace(Sum):
    """In the memory of the branch, unless the sum is of another type."""

    def forward(self, h: Tensor, branch: Tensor) -> Tensor:
        return branch.add_(h) if branch.dtype == torch.result_type(h, branch) else h + branch


class SumOfProductInPlace(SumOfProduct):
    """In the memory of h."""

    def forward(self, h: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return h.addcmul_(a, b)


class ModulatedNorm(Modulated):
    """Where all frames have the same scale and shift, they are put into the norm's own: h is gone through once less."""

    def forward(self, norm: nn.LayerNorm, h: Tensor, scale_shift: Tensor) -> Tensor:
        if scale_shift.shape[:2] != (1, 1):
            return super().forward(norm, h, scale_shift)
        scale, shift = scale_shift.to(norm.weight.dtype).flatten().chunk(2)
        weight, bias = norm.weight * (1 + scale), torch.addcmul(shift, norm.bias, 1 + scale)
        return nn.functional.layer_norm(h, norm.normalized_shape, weight, bias, norm.eps)


class AbsorbedTextAttention(TextAttention):
    """Keys and values of few tokens are absorbed by the maps before and after, on a CPU in float32.

    Keys are multiplied with the map that makes queries, and values with the map that follows, before either meets a
    pixel: what is left of each pixel's work are two maps with heads x L channels between them.
    """

    def attended(self, h: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """See `TextAttention.attended`."""
        if not self.absorbs(h, k):
            return super().attended(h, k, v, mask)
        made = [self._absorbed(*one) for one in zip(h.split(1), k, v, mask, strict=True)]
        return made[0] if len(made) == 1 else torch.cat(made)

    def absorbs(self, h: Tensor, k: Tensor) -> bool:
        """Whether it is worth it: for few tokens, and fewer where there are several videos."""
        videos, heads, length, _ = k.shape
        return videos * heads * length <= h.shape[-1] and videos == len(h) and is_convolved(h)

    def _absorbed(self, h: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """The answer for one video h (1, F, H, W, D), with k and v (heads, L, d) and mask (L,)."""
        heads, length, d = k.shape
        into = k @ self.query.weight.view(heads, d, -1) / math.sqrt(d)  # (heads, L, D)
        unseen = torch.zeros_like(mask, dtype=h.dtype).masked_fill_(~mask, -math.inf).repeat(heads)
        scores = linear(h, into.flatten(0, 1), unseen).unflatten(-1, (heads, length))
        out = torch.einsum("ohd,hld->ohl", self.out.weight.view(-1, heads, d), v)
        return linear(scores.softmax(-1).flatten(-2), out.flatten(1), self.out.bias)


class RoundRow(Row):
    """All parts use the same memory, for getting new one takes longer than what is done in it.

    Where they have one frame each, what came after a part is the next one already: the row then begins at another
    place, `start`, and goes round.
    """

    def __init__(self, part: Tensor, before: Tensor):
        b, f, *sizes = part.shape
        self._all, self._start = part.new_empty(b, f + 2, *sizes), 0
        self._all[:, 0] = before
        self._all[:, 1:-1] = part

    @property
    def frames(self) -> Tensor:
        """See `Row.frames`."""
        return self._all

    @property
    def start(self) -> int:
        """Where the frame before the part is."""
        return self._start

    def end(self, frame: Tensor) -> None:
        """See `Row.end`."""
        self._all[:, self._start - 1] = frame

    def moved_on(self, part: Tensor) -> Row:
        """See `Row.moved_on`."""
        last = self._all[:, self._start - 2]
        if part.shape[1] + 2 != self._all.shape[1]:
            return RoundRow(part, last)
        if part.shape[1] == 1:
            self._start = (self._start + 1) % 3
            return self
        self._all[:, 0] = last
        self._all[:, 1:-1] = part
        return self


class TemporalConvInPlace(TemporalConv):
    """Parts of a video take turns in one place."""

    row: ClassVar[type[Row]] = RoundRow


class MappedUpsample(Upsample):
    """The linear map that follows and its own are made one, through which h goes while it is coarse."""

    def mapped(self, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """See `Upsample.mapped`."""
        with torch.autocast("cpu" if h.is_meta else h.device.type, enabled=False):
            maps = weight @ self.linear.weight.unflatten(0, (4, -1))
            biases = self.linear.bias.unflatten(0, (4, -1)) @ weight.mT + bias
        return shuffle(linear(h, maps.flatten(0, 1), biases.flatten()), 2)


class EnterByRuns(Enter):
    """A run of pixels within a row of a patch moves as one number, several times as fast as one by one.

    The channels are then in another order than the weights know, which are brought into it, being small.
    """

    def forward(self, videos: Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        """See `Enter.forward`. Raises ValueError for videos that want a gradient: fast forms have none."""
        if any(video.requires_grad for video in videos):
            raise ValueError(
                "z: expected no gradient to be asked of a network that is fused; call the one it was made of"
            )
        n = self.patch
        if not all(_has_runs(video, n) for video in videos):
            return super().forward(videos)
        runs = [blocks(video.view(_RUNS[n]), n, 1).squeeze(-2) for video in videos]
        h = torch.cat(runs, dim=-1).view(torch.float32).flatten(4)  # ... row, channel, column
        weight = self.conv.weight.unflatten(1, (n, n, -1)).transpose(2, 3).flatten(1, 3)
        return convolved(h, weight, self.conv.bias)


class LeaveByRuns(Leave):
    """As `EnterByRuns`, the other way."""

    def forward(self, h: Tensor) -> Tensor:
        n, weight, bias = self.patch, self.conv.weight, self.conv.bias
        assert bias is not None
        if torch.is_autocast_enabled("cpu") or not _has_runs(h, n):
            return super().forward(h)
        weight, bias = (value.unflatten(0, (n, n, -1)).transpose(1, 2).flatten(0, 2) for value in (weight, bias))
        out = convolved(h, weight, bias).contiguous()  # which it is already, but without oneDNN
        runs = out.view(_RUNS[n]).unflatten(-1, (n, -1))  # (B, F, H / n, W / n, row, channel)
        return runs.permute(0, 5, 1, 2, 4, 3).contiguous().view(torch.float32).flatten(3, 4)


def _has_runs(x: Tensor, run: int) -> bool:
    """Whether each `run` of values along the last axis can be looked at as one."""
    if run not in _RUNS or x.device.type != "cpu" or x.dtype != torch.float32:
        return False
    places = (*x.stride()[:-1], x.storage_offset())
    return x.stride(-1) == 1 and all(place % run == 0 for place in places)
