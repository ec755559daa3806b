"""Attention over space, over text and over time."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from zoetrope.layers.in_place import gelu
from zoetrope.layers.linear import Linear, is_convolved, linear
from zoetrope.layers.zero import zero


class SpatialAttention(nn.Module):
    """Self-attention among the pixels of each frame, frames folded into the batch. h (B, F, H, W, D) -> same.

    Positions enter as a learned bias for each bucket of distance down and across, as in time, so that other sizes work.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = Linear(width, 3 * width, bias=False)
        self.bias_down = zero(nn.Embedding(32, heads))
        self.bias_across = zero(nn.Embedding(32, heads))
        self.out = zero(Linear(width, width))

    def forward(self, h: Tensor) -> Tensor:
        qkv = self.qkv(self.norm(h)).flatten(0, 1).flatten(1, 2)  # (BF, HW, 3 D)
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).transpose(1, 3).unbind(2)  # (BF, heads, HW, d)
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=self._bias(h.shape[2], h.shape[3], q))
        return self.out(mixed.transpose(1, 2).reshape(h.shape))

    def _bias(self, height: int, width: int, like: Tensor) -> Tensor:
        """(1, heads, HW, HW)."""
        down = self.bias_down(distance_buckets(height, like.device))[:, None, :, None]  # (H, 1, H, 1, heads)
        across = self.bias_across(distance_buckets(width, like.device))[None, :, None, :]  # (1, W, 1, W, heads)
        bias = (down + across).flatten(2, 3).flatten(0, 1)  # (HW, HW, heads)
        return bias.permute(2, 0, 1)[None].to(like.dtype)


class TextAttention(nn.Module):
    """Cross-attention from every pixel of every frame to the text tokens. h (B, F, H, W, D) -> same.

    tokens are (N, L, D) with mask (N, L): N = B for one text a video, N = B F for one text a frame (packed images).
    """

    def __init__(self, width: int, heads: int, text_width: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query = Linear(width, width, bias=False)
        self.key_value = nn.Linear(text_width, 2 * width, bias=False)
        self.out = zero(Linear(width, width))

    def forward(self, h: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        inner = self.norm(h)
        k, v = self.key_value(tokens).unflatten(-1, (2, self.heads, -1)).transpose(1, 3).unbind(2)  # (N, heads, L, d)
        if self._absorbs(inner, tokens):
            each = zip(inner.split(1), k, v, mask, strict=True)
            made = [self._absorbed(*one) for one in each]
            return made[0] if len(made) == 1 else torch.cat(made)
        queries = self.query(inner).reshape(len(tokens), -1, h.shape[-1])
        q = queries.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])
        return self.out(mixed.transpose(1, 2).reshape(h.shape))

    def _absorbs(self, h: Tensor, tokens: Tensor) -> bool:
        """Whether `_absorbed` is worth it: on a CPU, for few tokens, and fewer where there are several videos."""
        plain = type(self.query) is Linear and type(self.out) is Linear and not torch.is_grad_enabled()
        few = tokens.shape[:2].numel() * self.heads <= h.shape[-1]
        return plain and few and len(tokens) == len(h) and is_convolved(h)

    def _absorbed(self, h: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """The answer for one video h (1, F, H, W, D), with k and v (heads, L, d) and mask (L,).

        Keys are multiplied with the map that makes queries, and values with the map that follows, before either meets
        a pixel: what is left of each pixel's work are two maps with heads x L channels between them.
        """
        heads, length, d = k.shape
        into = k @ self.query.weight.view(heads, d, -1) / math.sqrt(d)  # (heads, L, D)
        unseen = torch.zeros_like(mask, dtype=h.dtype).masked_fill_(~mask, -math.inf).repeat(heads)
        scores = linear(h, into.flatten(0, 1), unseen).unflatten(-1, (heads, length))
        out = torch.einsum("ohd,hld->ohl", self.out.weight.view(-1, heads, d), v)
        return linear(scores.softmax(-1).flatten(-2), out.flatten(1), self.out.bias)


class TemporalAttention(nn.Module):
    """Self-attention among the frames at each pixel, with relative positions. h (B, F, H, W, D) -> same.

    Positions enter only as a learned bias for each bucket of frame distance [Ho et al. 2022, arXiv:2204.03458, Sec. 3;
    buckets of Raffel et al. 2020, arXiv:1910.10683, Sec. 2.1], so that other frame counts work.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = Linear(width, 3 * width, bias=False)
        self.bias = zero(nn.Embedding(32, heads))
        self.out = zero(Linear(width, width))

    def forward(self, h: Tensor, images: Tensor | None) -> Tensor:
        """Examples with images (B,) True are independent images: each frame attends to itself alone."""
        b, f, height, width, _ = h.shape
        qkv = self.qkv(self.norm(h)).view(b, f, height * width, 3, self.heads, -1)
        q, k, v = qkv.permute(3, 0, 2, 4, 1, 5).flatten(1, 2).unbind(0)  # (B HW, heads, F, d)
        if f == 1:
            mixed = v
        else:
            bias = self.bias(distance_buckets(f, h.device)).permute(2, 0, 1).to(q.dtype)  # (heads, F, F)
            mixed = scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
            if images is not None:
                alone = images.repeat_interleave(height * width)[:, None, None, None]
                mixed = torch.where(alone, v, mixed)  # a softmax over oneself alone is 1
        mixed = mixed.unflatten(0, (b, height * width)).permute(0, 3, 1, 2, 4)  # (B, F, HW, heads, d)
        return self.out(mixed.reshape(h.shape))


class FeedForward(nn.Module):
    """Two linear maps, modulated by the conditioning vector. h (B, F, H, W, D), e (B, F or 1, E) -> like h."""

    def __init__(self, width: int, embedding: int, expansion: int = 4):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.modulation = zero(nn.Linear(embedding, 2 * width))
        self.into = Linear(width, expansion * width)
        self.out = zero(Linear(expansion * width, width))

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        h = modulated(self.norm, h, self.modulation(e))
        return self.out(gelu(self.into(h)))


def modulated(norm: nn.LayerNorm, h: Tensor, scale_shift: Tensor) -> Tensor:
    """norm(h) (1 + scale) + shift with scale and shift (B, F or 1, D) of each frame.

    Where all frames have the same, they are put into the norm's own, which saves going through h once more.
    """
    if scale_shift.shape[:2] == (1, 1) and not torch.is_grad_enabled():
        scale, shift = scale_shift.to(norm.weight.dtype).flatten().chunk(2)
        weight, bias = norm.weight * (1 + scale), torch.addcmul(shift, norm.bias, 1 + scale)
        return nn.functional.layer_norm(h, norm.normalized_shape, weight, bias, norm.eps)
    h = norm(h)
    scale, shift = scale_shift.to(h.dtype)[:, :, None, None].chunk(2, dim=-1)
    return torch.addcmul(shift, h, 1 + scale)


def distance_buckets(places: int, device: torch.device, buckets: int = 32, farthest: int = 32) -> Tensor:
    """The bucket (N, N) of each distance k - q of a key from a query: exact for near ones, logarithmic for far ones.

    [Raffel et al. 2020, arXiv:1910.10683, Sec. 2.1]
    """
    place = torch.arange(places, device=device)
    distance = place[None, :] - place[:, None]
    half, exact = buckets // 2, buckets // 4
    far = distance.abs().clamp(min=1).double() / exact
    logarithmic = exact + (far.log() / math.log(farthest / exact) * (half - exact)).long()
    near = torch.where(distance.abs() < exact, distance.abs(), logarithmic.clamp(max=half - 1))
    return near + half * (distance > 0)
