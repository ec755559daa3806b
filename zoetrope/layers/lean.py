"""Layers that keep little for the backward pass: what is cheap is computed again there.

Their outputs and gradients are those of the plain operations, up to rounding.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import gelu, layer_norm

from zoetrope.layers.linear import linear, weight_gradient
from zoetrope.layers.rotary import rotate, rotated

norm_backward = torch.ops.aten.native_layer_norm_backward


def scaled_norm(h: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """The norm of h (B, F, H, W, D) over channels, times 1 + scale, plus shift; both (B, F or 1, 1, 1, D).

    Keeps h, which is kept for other reasons, and not its norm. Where all frames share the scale it is a weight.
    """
    if scale.shape[:2] == (1, 1):
        return layer_norm(h, h.shape[-1:], 1 + scale.flatten(), shift.flatten(), eps)
    out: Tensor = _ScaledNorm.apply(h, scale, shift, eps)
    return out


def gelu_linear(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The linear map, with weights (D', D) and bias (D'), of the exact GELU of h (B, F, H, W, D). Keeps h alone."""
    out: Tensor = _GELULinear.apply(h, weight, bias)
    return out


def turned_norm(x: Tensor, weight: Tensor, phases: Tensor, eps: float) -> Tensor:
    """The norm of x (..., d) over channels, times weight (d), each neighbouring pair turned by phases (..., d / 2).

    Takes one tensor beside the result, in both directions. Results are in float32 for narrower x.
    """
    out: Tensor = _TurnedNorm.apply(x, weight, phases, eps)
    return out


class _ScaledNorm(Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
        norm, mean, rstd = torch.native_layer_norm(h, h.shape[-1:], None, None, eps)
        ctx.save_for_backward(h, mean, rstd, scale)
        return torch.addcmul(shift.to(norm.dtype), norm, 1 + scale.to(norm.dtype), out=norm)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        g, h, mean, rstd, scale = _wide(g, *ctx.saved_tensors)
        of_scale = (h - mean).mul_(rstd).mul_(g).sum_to_size(scale.shape)
        of_h, _, _ = norm_backward(g * (1 + scale), h, h.shape[-1:], mean, rstd, None, None, [True, False, False])
        return of_h, of_scale, g.sum_to_size(scale.shape), None


class _GELULinear(Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(h, weight)
        return linear(gelu(h), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        h, weight = ctx.saved_tensors
        needs_weight, needs_bias = ctx.needs_input_grad[1:]
        of_h = torch.ops.aten.gelu_backward(linear(g, weight.to(g.dtype).mT, None), h)
        of_weight = weight_gradient(gelu(h), g) if needs_weight else None
        return of_h, of_weight, g.sum(tuple(range(g.ndim - 1))) if needs_bias else None


class _TurnedNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, phases: Tensor, eps: float) -> Tensor:
        norm, mean, rstd = torch.native_layer_norm(x, x.shape[-1:], weight, None, eps)
        ctx.save_for_backward(x, weight, phases, mean, rstd)
        return rotate(norm if norm.dtype == torch.float64 else norm.float(), phases)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, phases, mean, rstd = ctx.saved_tensors
        g, x, weight, mean, rstd = _wide(g, x, weight, mean, rstd)
        mask = [True, ctx.needs_input_grad[1], False]
        of_x, of_weight, _ = norm_backward(rotated(g, phases.conj()), x, x.shape[-1:], mean, rstd, weight, None, mask)
        return of_x, of_weight, None, None


def _wide(*values: Tensor) -> list[Tensor]:
    """In float64 if the first is, otherwise in float32."""
    return [value.to(torch.promote_types(values[0].dtype, torch.float32)) for value in values]
