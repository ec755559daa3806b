"""Attention of queries to keys [Vaswani et al. 2017, arXiv:1706.03762, Sec. 3.2.1], by the faster of two ways."""

import math
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

LONGEST = 1024  # keys


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
    """From queries (N, heads, L, d), and keys and values (N, heads, L', d), values (N, heads, L, d).

    Takes a boolean mask that broadcasts to (N, heads, L, L') and is True for what is seen, at least one key for each
    query; or `causal`, where L = L' and each query sees the keys up to its own.

    PyTorch's kernel for processors needs two to seven times as long for a backward pass in half precision as plain
    matrix products do, unless there are thousands of keys. A score is then rounded before the softmax, too.
    """
    plain = q.device.type == "cpu" and q.dtype in (torch.bfloat16, torch.float16) and k.shape[-2] <= LONGEST
    if not plain:
        return scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    with torch.autocast("cpu", enabled=False):  # which would make scores twice as wide
        scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)
        if causal:
            mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        return scores.softmax(-1) @ v


def attention_by_length(q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int]) -> Tensor:
    """Attention within each of the sequences, of so many tokens, that lie one after the other in q, k and v.

    All are (T, heads, d), as is the result. In one call where `takes_lengths`, else sequence by sequence.
    """
    if takes_lengths(q):
        from torch.nn.attention.varlen import varlen_attn

        ends = torch.tensor(list(accumulate(lengths, initial=0)), dtype=torch.int32, device=q.device)
        made = varlen_attn(q, k, v, ends, ends, max(lengths), max(lengths))
        assert isinstance(made, Tensor)
        return made
    each = zip(*(x.transpose(0, 1)[None].split(list(lengths), dim=2) for x in (q, k, v)), strict=True)
    return torch.cat([attention(*one) for one in each], dim=2)[0].transpose(0, 1)


def takes_lengths(q: Tensor) -> bool:
    """Whether one call computes attention of sequences of different lengths: on GPUs with FlashAttention alone."""
    fits = q.is_cuda and q.dtype in (torch.bfloat16, torch.float16) and q.shape[-1] % 8 == 0 and q.shape[-1] <= 256
    return fits and _has_lengths() and torch.cuda.get_device_capability(q.device) >= (8, 0)


@cache
def _has_lengths() -> bool:
    """Whether this PyTorch has attention by length; it came with 2.10."""
    return find_spec("torch.nn.attention.varlen") is not None
