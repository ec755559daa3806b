"""What is done to features that nobody else holds: in their own memory where no gradient will want what was there."""

import torch
from torch import Tensor, nn


def silu(fresh: Tensor) -> Tensor:
    """h sigmoid(h) of what was made for this alone."""
    return nn.functional.silu(fresh, inplace=not torch.is_grad_enabled())


def gelu(fresh: Tensor) -> Tensor:
    """The exact GELU of what was made for this alone."""
    if torch.is_grad_enabled():
        return nn.functional.gelu(fresh)
    own: Tensor = torch.ops.aten.gelu_(fresh)
    return own


def plus(h: Tensor, branch: Tensor) -> Tensor:
    """h and the branch (same shape) that was made from it for this alone."""
    if torch.is_grad_enabled() or branch.dtype != torch.result_type(h, branch):
        return h + branch
    return branch.add_(h)


def plus_product(fresh: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """What was made for this alone, and a b, which together have its shape."""
    return torch.addcmul(fresh, a, b) if torch.is_grad_enabled() else fresh.addcmul_(a, b)
