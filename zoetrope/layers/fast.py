"""Fast forms of layers for inference: the same parameters, and the same outputs up to rounding.

`zoetrope.layers.fused` substitutes them for the textbook layers. They overwrite tensors that nothing else references.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoetrope.layers.attention import TextAttention
from zoetrope.layers.convolution import PaddedPart, TemporalConv, Upsample, convolved, shuffle
from zoetrope.layers.elementwise import Modulated, SiLU, Sum, SumOfProduct
from zoetrope.layers.linear import is_convolved, linear
from zoetrope.layers.patches import Enter, Leave, blocks

_RUNS = {2: torch.complex64, 4: torch.complex128}


class SiLUInPlace(SiLU):
    """In the memory of h."""

    def forward(self, h: Tensor) -> Tensor:
        return nn.functional.silu(h, inplace=True)


class SumInPlace(Sum):
    """In the memory of the branch, unless the sum has another dtype."""

    def forward(self, h: Tensor, branch: Tensor) -> Tensor:
        return branch.add_(h) if branch.dtype == torch.result_type(h, branch) else h + branch


class SumOfProductInPlace(SumOfProduct):
    """In the memory of h."""

    def forward(self, h: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return h.addcmul_(a, b)


class ModulatedNorm(Modulated):
    """Folds scale and shift into the norm's weights where all frames share them, which saves a pass over h."""

    def forward(self, norm: nn.LayerNorm, h: Tensor, scale_shift: Tensor) -> Tensor:
        if scale_shift.shape[:2] != (1, 1):
            return super().forward(norm, h, scale_shift)
        scale, shift = scale_shift.to(norm.weight.dtype).flatten().chunk(2)
        weight, bias = norm.weight * (1 + scale), torch.addcmul(shift, norm.bias, 1 + scale)
        return nn.functional.layer_norm(h, norm.normalized_shape, weight, bias, norm.eps)


class AbsorbedTextAttention(TextAttention):
    """For few tokens: folds the query projection into the keys and the output projection into the values.

    What remains for each pixel is two linear maps with heads x L channels between them. On a CPU in float32.
    """

    def attended(self, h: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """See `TextAttention.attended`."""
        if not self.absorbs(h, k):
            return super().attended(h, k, v, mask)
        made = [self._absorbed(*one) for one in zip(h.split(1), k, v, mask, strict=True)]
        return made[0] if len(made) == 1 else torch.cat(made)

    def absorbs(self, h: Tensor, k: Tensor) -> bool:
        """Whether folding pays: only for few tokens, and the fewer the more videos there are."""
        videos, heads, length, _ = k.shape
        return videos * heads * length <= h.shape[-1] and videos == len(h) and is_convolved(h)

    def _absorbed(self, h: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """The output for one video h (1, F, H, W, D), with k and v (heads, L, d) and mask (L,)."""
        heads, length, d = k.shape
        into = k @ self.query.weight.view(heads, d, -1) / math.sqrt(d)  # (heads, L, D)
        unseen = torch.zeros_like(mask, dtype=h.dtype).masked_fill_(~mask, -math.inf).repeat(heads)
        scores = linear(h, into.flatten(0, 1), unseen).unflatten(-1, (heads, length))
        out = torch.einsum("ohd,hld->ohl", self.out.weight.view(-1, heads, d), v)
        return linear(scores.softmax(-1).flatten(-2), out.flatten(1), self.out.bias)


class RingPart(PaddedPart):
    """All parts share one buffer, because allocation would take longer than the work itself.

    Where parts have one frame each, the frame after a part already is the next part: the buffer is then a ring that
    begins at `start`.
    """

    def __init__(self, part: Tensor, before: Tensor):
        b, f, *sizes = part.shape
        self._all, self._start = part.new_empty(b, f + 2, *sizes), 0
        self._all[:, 0] = before
        self._all[:, 1:-1] = part

    @property
    def frames(self) -> Tensor:
        """See `PaddedPart.frames`."""
        return self._all

    @property
    def start(self) -> int:
        """The index of the frame before the part."""
        return self._start

    def end(self, frame: Tensor) -> None:
        """See `PaddedPart.end`."""
        self._all[:, self._start - 1] = frame

    def moved_on(self, part: Tensor) -> PaddedPart:
        """See `PaddedPart.moved_on`."""
        last = self._all[:, self._start - 2]
        if part.shape[1] + 2 != self._all.shape[1]:
            return RingPart(part, last)
        if part.shape[1] == 1:
            self._start = (self._start + 1) % 3
            return self
        self._all[:, 0] = last
        self._all[:, 1:-1] = part
        return self


class TemporalConvInPlace(TemporalConv):
    """Consecutive parts of a video share one buffer."""

    row: ClassVar[type[PaddedPart]] = RingPart


class MappedUpsample(Upsample):
    """Multiplies its own linear map with the next one, and applies the product at the coarse resolution."""

    def mapped(self, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """See `Upsample.mapped`."""
        with torch.autocast("cpu" if h.is_meta else h.device.type, enabled=False):
            maps = weight @ self.linear.weight.unflatten(0, (4, -1))
            biases = self.linear.bias.unflatten(0, (4, -1)) @ weight.mT + bias
        return shuffle(linear(h, maps.flatten(0, 1), biases.flatten()), 2)


class EnterByRuns(Enter):
    """Moves each row of a patch as a single number, several times as fast as pixel by pixel.

    This changes the order of channels; the weights, which are small, are permuted to match.
    """

    def forward(self, videos: Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        """See `Enter.forward`. Raises ValueError for videos that require a gradient: fast forms have none."""
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
    """The inverse of `EnterByRuns`, for `Leave`."""

    def forward(self, h: Tensor) -> Tensor:
        n, weight, bias = self.patch, self.conv.weight, self.conv.bias
        assert bias is not None
        if torch.is_autocast_enabled("cpu") or not _has_runs(h, n):
            return super().forward(h)
        weight, bias = (value.unflatten(0, (n, n, -1)).transpose(1, 2).flatten(0, 2) for value in (weight, bias))
        out = convolved(h, weight, bias).contiguous()  # no copy, except without oneDNN
        runs = out.view(_RUNS[n]).unflatten(-1, (n, -1))  # (B, F, H / n, W / n, row, channel)
        return runs.permute(0, 5, 1, 2, 4, 3).contiguous().view(torch.float32).flatten(3, 4)


def _has_runs(x: Tensor, run: int) -> bool:
    """Whether each `run` of values along the last axis can be viewed as a single number."""
    if run not in _RUNS or x.device.type != "cpu" or x.dtype != torch.float32:
        return False
    places = (*x.stride()[:-1], x.storage_offset())
    return x.stride(-1) == 1 and all(place % run == 0 for place in places)
