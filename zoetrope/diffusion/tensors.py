"""Values per example or per frame broadcast over videos, and the tensors of dry runs, which have no data."""

import torch
from torch import Tensor
from torch.nn import Parameter


def has_data(tensor: Tensor) -> bool:
    """Whether a tensor has values; those of dry runs, which only measure cost, have none."""
    return type(tensor) in (Tensor, Parameter) and not tensor.is_meta


def sent(value: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor on a device, and in a dtype. This process does not wait for a copy to a GPU, nor for its work before."""
    return value.to(device, dtype, non_blocking=device.type not in ("cpu", "mps"))


def aligned(x: Tensor, like: Tensor) -> Tensor:
    """Values per example (B,) or per frame (B, F) as a view that broadcasts over `like`, (B, ...) or (B, C, F, ...)."""
    if x.shape == like.shape[:1]:
        return x.reshape(-1, *[1] * (like.ndim - 1))
    if like.ndim > 2 and x.shape == (like.shape[0], like.shape[2]):
        return x.reshape(len(x), 1, -1, *[1] * (like.ndim - 3))
    frames = f", or per frame, ({like.shape[0]}, {like.shape[2]})" if like.ndim > 2 else ""
    raise ValueError(f"expected one value per example, shape ({like.shape[0]},){frames}, got {tuple(x.shape)}")


def expand_like(x: Tensor, like: Tensor) -> Tensor:
    """Values per example (B,) or per frame (B, F) as a view that broadcasts over `like`, in its dtype."""
    return aligned(x.to(like.dtype), like)


def blend(a: Tensor, x: Tensor, b: Tensor, y: Tensor) -> Tensor:
    """a x + b y of videos (B, C, F, H, W) with coefficients a and b, (B,) or (B, F), in as few passes as possible."""
    return torch.addcmul(expand_like(a, x) * x, expand_like(b, y), y)
