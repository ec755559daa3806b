"""Attention of queries to keys [Vaswani et al. 2017, arXiv:1706.03762, Sec. 3.2.1], by the faster of two ways."""

import math

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
