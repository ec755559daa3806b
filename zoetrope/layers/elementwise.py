"""Elementwise operations on features, as modules without parameters so that `fused` can substitute faster ones.

Where a docstring says "own", pass only a tensor that nothing else references: a fast form may overwrite it.
"""

import torch
from torch import Tensor, nn

from zoetrope.layers.lean import gelu_linear
from zoetrope.layers.linear import Linear


class SiLU(nn.Module):
    """own h -> h sigmoid(h)."""

    def forward(self, h: Tensor) -> Tensor:
        return nn.functional.silu(h)


class MappedGELU(nn.Module):
    """own h -> out of the exact GELU of h, where out is a map of features (B, F, H, W, D), such as `Linear`."""

    def forward(self, out: nn.Module, h: Tensor) -> Tensor:
        if type(out) is Linear and out.bias is not None and h.requires_grad:
            return gelu_linear(h, out.weight, out.bias)
        mapped: Tensor = out(nn.functional.gelu(h) if h.requires_grad else torch.ops.aten.gelu_(h))
        return mapped


class Sum(nn.Module):
    """h and its own branch, of one shape -> h + branch."""

    def forward(self, h: Tensor, branch: Tensor) -> Tensor:
        return h + branch


class SumOfProduct(nn.Module):
    """own h, a and b, which together have the shape of h -> h + a b."""

    def forward(self, h: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return torch.addcmul(h, a, b)


class Modulated(nn.Module):
    """norm(h) (1 + scale) + shift, with scale and shift concatenated in scale_shift (B, F or 1, 2 D)."""

    def forward(self, norm: nn.LayerNorm, h: Tensor, scale_shift: Tensor) -> Tensor:
        h = norm(h)
        scale, shift = scale_shift.to(h.dtype)[:, :, None, None].chunk(2, dim=-1)
        return torch.addcmul(shift, h, 1 + scale)
