"""Attention over space, over text and over time."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from zoetrope.layers.elementwise import GELU, Modulated
from zoetrope.layers.linear import Linear
from zoetrope.layers.positions import bias_at, distance_buckets
from zoetrope.layers.zero import zero

Looks = Literal["own", "first", "first_and_previous", "all"]


class SpatialAttention(nn.Module):
    """Attention from the pixels of each frame, frames folded into the batch. h (B, F, H, W, D) -> same.

    Positions enter as a learned bias for each bucket of vertical and horizontal distance, so that other sizes work.
    Keys and values come from the frames that each frame `looks` at, without extra parameters: its own; the first; the
    first and the previous one, where the first counts as its own previous one [Wu et al. 2022, arXiv:2212.11565,
    Sec. 3.2]; or all of the clip. The bias depends on positions within frames, not on which frame a key is in.
    """

    def __init__(self, width: int, heads: int, looks: Looks = "own"):
        super().__init__()
        self.heads, self.looks = heads, looks
        self.norm = nn.LayerNorm(width)
        self.query = Linear(width, width, bias=False)
        self.key_value = Linear(width, 2 * width, bias=False)
        self.bias_down = zero(nn.Embedding(32, heads))
        self.bias_across = zero(nn.Embedding(32, heads))
        self.out = zero(Linear(width, width))

    def forward(self, h: Tensor, images: Tensor | None = None) -> Tensor:
        """Examples with images (B,) True are independent images: each frame looks only at itself."""
        b, f, height, width, _ = h.shape
        inner = self.norm(h)
        q = self.query(inner).flatten(0, 1).flatten(1, 2).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        bias = self._bias(height, width, q)
        k_v = self.key_value(inner).flatten(2, 3)  # (B, F, HW, 2 D)
        if self.looks == "own" or f == 1:
            k_v = k_v.flatten(0, 1)
        else:
            seen = self._frames_seen(b, f, images, h.device)  # (B, F, n)
            k_v = k_v[torch.arange(b, device=h.device)[:, None, None], seen].flatten(2, 3).flatten(0, 1)
            bias = bias.repeat(1, 1, 1, seen.shape[-1])
        k, v = k_v.unflatten(-1, (2, self.heads, -1)).transpose(1, 3).unbind(2)  # (BF, heads, n HW, d)
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.out(mixed.transpose(1, 2).reshape(h.shape))

    def _frames_seen(self, b: int, f: int, images: Tensor | None, device: torch.device) -> Tensor:
        """The indices (B, F, n) of the frames that each frame looks at; in a pack of images, its own n times."""
        own = torch.arange(f, device=device)
        first = torch.zeros_like(own)
        columns = {"first": [first], "first_and_previous": [first, (own - 1).clamp(min=0)]}
        seen = torch.stack(columns[self.looks], dim=-1) if self.looks in columns else own.expand(f, f)
        if images is None:
            return seen.expand(b, -1, -1)
        return torch.where(images[:, None, None], own[:, None], seen)

    def _bias(self, height: int, width: int, like: Tensor) -> Tensor:
        """(1, heads, HW, HW)."""
        down = self.bias_down(distance_buckets(height, like.device))[:, None, :, None]  # (H, 1, H, 1, heads)
        across = self.bias_across(distance_buckets(width, like.device))[None, :, None, :]  # (1, W, 1, W, heads)
        bias = (down + across).flatten(2, 3).flatten(0, 1)  # (HW, HW, heads)
        return bias.permute(2, 0, 1)[None].to(like.dtype)


class TextAttention(nn.Module):
    """Cross-attention from every pixel of every frame to the text tokens. h (B, F, H, W, D) -> same.

    tokens are (N, L, D) with mask (N, L): N = B for one text per video, N = B F for one per frame (packed images).
    """

    def __init__(self, width: int, heads: int, text_width: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query = Linear(width, width, bias=False)
        self.key_value = nn.Linear(text_width, 2 * width, bias=False)
        self.out = zero(Linear(width, width))

    def forward(self, h: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        k, v = self.key_value(tokens).unflatten(-1, (2, self.heads, -1)).transpose(1, 3).unbind(2)  # (N, heads, L, d)
        return self.attended(self.norm(h), k, v, mask)

    def attended(self, h: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """Attention from pixels h (B, F, H, W, D) to keys and values (N, heads, L, d) with mask (N, L)."""
        queries = self.query(h).reshape(len(k), -1, h.shape[-1])
        q = queries.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])
        return self.out(mixed.transpose(1, 2).reshape(h.shape))


class TemporalAttention(nn.Module):
    """Self-attention among the frames at each pixel, with relative positions. h (B, F, H, W, D) -> same.

    Positions enter only as a learned bias for each bucket of frame distance [Ho et al. 2022, arXiv:2204.03458, Sec. 3;
    buckets of Raffel et al. 2020, arXiv:1910.10683, Sec. 2.1], so that other frame counts work.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query = Linear(width, width, bias=False)
        self.key_value = Linear(width, 2 * width, bias=False)
        self.bias = zero(nn.Embedding(32, heads))
        self.out = zero(Linear(width, width))

    def forward(self, h: Tensor, images: Tensor | None, distances: Tensor | None = None) -> Tensor:
        """Examples with images (B,) True are independent images: each frame attends only to itself.

        `distances` (B, F, F) are how many frames each key lies after each query; None: consecutive frames.
        """
        b, f, height, width, _ = h.shape
        inner = self.norm(h)
        k, v = (self._by_pixel(x) for x in self.key_value(inner).chunk(2, dim=-1))
        if f == 1:
            mixed = v
        else:
            q = self._by_pixel(self.query(inner))
            mixed = self._attended(q, k, v, b, distances)
            if images is not None:
                alone = images.repeat_interleave(height * width)[:, None, None, None]
                mixed = torch.where(alone, v, mixed)  # a softmax over a single key is 1
        mixed = mixed.unflatten(0, (b, height * width)).permute(0, 3, 1, 2, 4)  # (B, F, HW, heads, d)
        return self.out(mixed.reshape(h.shape))

    def _by_pixel(self, h: Tensor) -> Tensor:
        """(B, F, H, W, D) -> (B HW, heads, F, d)."""
        return h.flatten(2, 3).unflatten(-1, (self.heads, -1)).permute(0, 2, 3, 1, 4).flatten(0, 1)

    def _attended(self, q: Tensor, k: Tensor, v: Tensor, b: int, distances: Tensor | None) -> Tensor:
        """Attention with the distance bias, shared by all pixels; with `distances` it differs from video to video."""
        if distances is None:
            bias = self.bias(distance_buckets(q.shape[2], q.device)).permute(2, 0, 1).to(q.dtype)  # (heads, F, F)
            return scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
        biases = bias_at(self.bias, distances).permute(0, 3, 1, 2).to(q.dtype)  # (B, heads, F, F)
        videos = zip(*(x.chunk(b) for x in (q, k, v, biases)), strict=True)
        return torch.cat([scaled_dot_product_attention(*video) for video in videos])


class FeedForward(nn.Module):
    """Two linear maps, modulated by the conditioning vector. h (B, F, H, W, D), e (B, F or 1, E) -> like h."""

    def __init__(self, width: int, embedding: int, expansion: int = 4):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.modulation = zero(nn.Linear(embedding, 2 * width))
        self.into = Linear(width, expansion * width)
        self.out = zero(Linear(expansion * width, width))
        self.modulated, self.gelu = Modulated(), GELU()

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        h = self.modulated(self.norm, h, self.modulation(e))
        return self.out(self.gelu(self.into(h)))
