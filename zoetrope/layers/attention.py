"""Attention over space, over text and over time."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from zoetrope.layers.dot_product import attention
from zoetrope.layers.elementwise import MappedGELU, Modulated
from zoetrope.layers.linear import Linear
from zoetrope.layers.positions import RelativePositions, bias_at, distance_buckets
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
        """Frames with images (B, F or 1) True are independent images: they look only at themselves, and no one at them.

        The first and the previous frame of the others are those that are not images.
        """
        b, f, height, width, _ = h.shape
        inner = self.norm(h)
        q = self.query(inner).flatten(0, 1).flatten(1, 2).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        bias = self._bias(height, width, q)
        k_v = self.key_value(inner).flatten(2, 3)  # (B, F, HW, 2 D)
        if self.looks == "own" or f == 1:
            k_v = k_v.flatten(0, 1)
        else:
            seen = frames_seen(self.looks, b, f, images, h.device)  # (B, F, n)
            k_v = k_v[torch.arange(b, device=h.device)[:, None, None], seen].flatten(2, 3).flatten(0, 1)
            bias = bias.repeat(1, 1, 1, seen.shape[-1])
            if images is not None and self.looks == "all":
                unseen = apart(images.expand(b, f)).flatten(0, 1).repeat_interleave(height * width, dim=-1)
                bias = bias.masked_fill(unseen[:, None, None], -math.inf)
        k, v = k_v.unflatten(-1, (2, self.heads, -1)).transpose(1, 3).unbind(2)  # (BF, heads, n HW, d)
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.out(mixed.transpose(1, 2).reshape(h.shape))

    def _bias(self, height: int, width: int, like: Tensor) -> Tensor:
        """(1, heads, HW, HW)."""
        down = self.bias_down(distance_buckets(height, like.device))[:, None, :, None]  # (H, 1, H, 1, heads)
        across = self.bias_across(distance_buckets(width, like.device))[None, :, None, :]  # (1, W, 1, W, heads)
        bias = (down + across).flatten(2, 3).flatten(0, 1)  # (HW, HW, heads)
        return bias.permute(2, 0, 1)[None].to(like.dtype)


def frames_seen(looks: Looks, b: int, f: int, images: Tensor | None, device: torch.device) -> Tensor:
    """The indices (B, F, n) of the frames that each frame looks at; for "all", of all frames.

    Frames with images (B, F or 1) True are independent images, which look at themselves alone, but for "all".
    """
    own = torch.arange(f, device=device)
    if looks == "all":
        return own.expand(b, f, f)
    alone = torch.zeros(b, f, dtype=torch.bool, device=device) if images is None else images.expand(b, f)
    first = (~alone).long().argmax(-1, keepdim=True).expand(b, f)
    latest = torch.where(alone, -1, own).cummax(-1).values
    previous = torch.maximum(nn.functional.pad(latest[:, :-1], (1, 0), value=-1), first)
    seen = torch.stack([first] if looks == "first" else [first, previous], dim=-1)
    return torch.where(alone[..., None], own[:, None], seen)


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
        mixed = attention(q, k, v, mask[:, None, None])
        return self.out(mixed.transpose(1, 2).reshape(h.shape))


class TemporalAttention(nn.Module):
    """Self-attention among the frames at each pixel, with relative positions. h (B, F, H, W, D) -> same.

    Positions enter as a learned bias for each bucket of frame distance [Ho et al. 2022, arXiv:2204.03458, Sec. 3;
    buckets of Raffel et al. 2020, arXiv:1910.10683, Sec. 2.1], so that other frame counts work, and with `embedding`,
    the width of the conditioning vector, also by way of a network on the distance, see `RelativePositions`.
    """

    def __init__(self, width: int, heads: int, embedding: int | None = None):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query = Linear(width, width, bias=False)
        self.key_value = Linear(width, 2 * width, bias=False)
        self.bias = zero(nn.Embedding(32, heads))
        self.relative = None if embedding is None else RelativePositions(width, heads, embedding)
        self.out = zero(Linear(width, width))

    def forward(
        self, h: Tensor, images: Tensor | None, distances: Tensor | None = None, e: Tensor | None = None
    ) -> Tensor:
        """Frames with images (B, F or 1) True are independent images: they attend only to themselves, no one to them.

        `distances` (B, F, F) are how many frames each key lies after each query; None: consecutive frames. e
        (B, F or 1, E) is the conditioning vector, for the network on distances.
        """
        b, f = h.shape[:2]
        inner = self.norm(h)
        k, v = (self._by_pixel(x) for x in self.key_value(inner).chunk(2, dim=-1))
        if f == 1 and self.relative is None:
            mixed = v
        else:
            q, bias = self._by_pixel(self.query(inner)), self._bias(b, f, images, distances, v)
            if self.relative is None:
                mixed = scaled_dot_product_attention(q, k, v, attn_mask=bias)
            else:
                assert e is not None
                mixed = self.relative(q, k, v, bias, e, distances)
        mixed = mixed.unflatten(1, (b, self.heads)).permute(1, 3, 0, 2, 4)  # (B, F, HW, heads, d)
        return self.out(mixed.reshape(h.shape))

    def _by_pixel(self, h: Tensor) -> Tensor:
        """(B, F, H, W, D) -> (HW, B heads, F, d): what differs between videos and heads is shared by all pixels."""
        return h.flatten(2, 3).unflatten(-1, (self.heads, -1)).permute(2, 0, 3, 1, 4).flatten(1, 2)

    def _bias(self, b: int, f: int, images: Tensor | None, distances: Tensor | None, like: Tensor) -> Tensor:
        """(1, B heads, F, F): the bias of each distance, and -inf between an independent image and any other frame."""
        if distances is None:
            bias = self.bias(distance_buckets(f, like.device)).expand(b, f, f, self.heads)
        else:
            bias = bias_at(self.bias, distances)
        if images is not None:
            bias = bias.masked_fill(apart(images.expand(b, f))[..., None], -math.inf)
        return bias.permute(0, 3, 1, 2).flatten(0, 1)[None].to(like.dtype)


def apart(images: Tensor) -> Tensor:
    """Whether no information may pass between two frames (B, F, F): for images (B, F) True if they are independent."""
    between = images[:, :, None] | images[:, None, :]
    return between & ~torch.eye(images.shape[1], dtype=torch.bool, device=images.device)


class FeedForward(nn.Module):
    """Two linear maps, modulated by the conditioning vector. h (B, F, H, W, D), e (B, F or 1, E) -> like h."""

    def __init__(self, width: int, embedding: int, expansion: int = 4):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.modulation = zero(nn.Linear(embedding, 2 * width))
        self.into = Linear(width, expansion * width)
        self.out = zero(Linear(expansion * width, width))
        self.modulated, self.mapped_gelu = Modulated(), MappedGELU()

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        h = self.modulated(self.norm, h, self.modulation(e))
        return self.mapped_gelu(self.out, self.into(h))
