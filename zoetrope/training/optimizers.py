"""Optimizers: AdamW, also with 8-bit states, and Muon for the matrices of a network."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

from zoetrope.networks import Network
from zoetrope.training.matrices import by_matrix, shared_out
from zoetrope.training.pieces import local

OptimizerName = Literal["adamw", "adamw8bit", "muon"]
BLOCK, SMALLEST = 256, 4096  # 8-bit values per shared scale; smaller tensors keep 32-bit states
# Coefficients of the quintic iteration of Jordan et al. 2024 (kellerjordan.github.io/posts/muon): singular values are
# driven into about [0.7, 1.2], not to 1 exactly, in few steps.
QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """Momentum with orthogonalised updates: all directions of a matrix learn at the same speed.

    [Jordan et al. 2024, kellerjordan.github.io/posts/muon], with updates scaled to the size of AdamW's, so that one
    learning rate serves both [Liu et al. 2025, arXiv:2502.16982, Sec. 2.2]. A convolution is a matrix of outputs by
    inputs x taps. Matrices of one shape are processed together, which makes it cheap. If several processes train
    together, each processes some of the matrices, whether the weights are replicated or sharded.
    """

    def __init__(
        self, matrices: Iterable[Tensor], *, dtype: torch.dtype, momentum: float = 0.95, weight_decay: float = 0.0
    ):
        """`dtype` is what the iteration computes in; bfloat16 is precise enough where it is fast."""
        self.dtype = dtype
        super().__init__(matrices, {"lr": 1e-3, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shape = torch.Size([len(parameter), parameter.numel() // len(parameter)])
                    by_shape.setdefault(shape, []).append(parameter)
            for shape, parameters in by_shape.items():
                self._step_together(parameters, shape, group)

    def _step_together(self, parameters: list[Tensor], shape: torch.Size, group: dict[str, float]) -> None:
        momentum, rate = group["momentum"], group["lr"]
        gradients = [local(parameter.grad) for parameter in parameters if parameter.grad is not None]
        means = [local(self.state[p].setdefault("momentum", torch.zeros_like(p))) for p in parameters]
        torch._foreach_lerp_(means, gradients, 1 - momentum)
        ahead = [value.flatten(1) for value in torch._foreach_lerp(gradients, means, momentum)]  # Nesterov's look ahead
        size, mesh = 0.2 * max(shape) ** 0.5, getattr(parameters[0], "device_mesh", None)
        if mesh is None:
            updates = shared_out(ahead, lambda matrices: orthogonal(matrices, self.dtype) * size)
        else:
            updates = by_matrix(ahead, shape[0], mesh, lambda matrices: orthogonal(matrices, self.dtype) * size)
        own = [local(parameter) for parameter in parameters]
        torch._foreach_mul_(own, 1 - rate * group["weight_decay"])
        shaped = [update.view_as(weight) for update, weight in zip(updates, own, strict=True)]
        torch._foreach_add_(own, shaped, alpha=-rate)


def orthogonal(matrices: Tensor, dtype: torch.dtype = torch.float32, steps: int = 5) -> Tensor:
    """Approximately U V^T for each matrix U S V^T of (N, rows, columns), by a Newton-Schulz iteration."""
    a, b, c = QUINTIC
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices.to(dtype) if wide else matrices.to(dtype).mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if wide else x.mT).to(matrices.dtype)


def optimizers(
    network: Network, name: OptimizerName, *, betas: tuple[float, float], weight_decay: float, dtype: torch.dtype
) -> tuple[Optimizer, ...]:
    """The optimizers of the learning parameters, one for each parameter. "muon" uses AdamW for all but inner matrices.

    Raises ValueError if Muon is asked for and the network has no inner matrices, or for 8 bits without bitsandbytes.
    """
    inner = [matrix for matrix in network.matrices() if matrix.requires_grad] if name == "muon" else []
    if name == "muon" and not inner:
        raise ValueError(f"optimizer: expected 'adamw', got 'muon': a {type(network).__name__} has no inner matrices")
    taken = {id(parameter) for parameter in inner}
    rest = [parameter for parameter in network.parameters() if parameter.requires_grad and id(parameter) not in taken]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if name == "adamw8bit":
        return (_eight_bit(groups, betas),)
    adamw = AdamW(groups, betas=betas, eps=1e-8, fused=True)
    return (adamw, Muon(inner, dtype=dtype, weight_decay=weight_decay)) if inner else (adamw,)


def _eight_bit(groups: list[dict[str, Any]], betas: tuple[float, float]) -> Optimizer:
    """AdamW with 8-bit states and a scale for each block [Dettmers et al. 2022, arXiv:2110.02861, Sec. 2]."""
    try:
        from bitsandbytes.optim import AdamW8bit  # type: ignore[import-not-found]
    except ImportError as error:
        raise ValueError(
            f"optimizer: 'adamw8bit' expects the package bitsandbytes ({error}); try: pip install bitsandbytes"
        ) from None
    made: Optimizer = AdamW8bit(groups, betas=betas, eps=1e-8, min_8bit_size=SMALLEST)
    return made


def state_shapes(optimizer: Optimizer, parameter: Tensor) -> dict[str, torch.Size]:
    """The shapes of an optimizer's state for a parameter that has had a gradient, by name."""
    if isinstance(optimizer, Muon):
        return {"momentum": parameter.shape}
    if not isinstance(optimizer, AdamW):
        shapes = {"step": torch.Size(), "state1": parameter.shape, "state2": parameter.shape}
        if parameter.numel() < SMALLEST:
            return shapes
        scales = torch.Size([-(-parameter.numel() // BLOCK)])
        tables = {"qmap1": torch.Size([256]), "qmap2": torch.Size([256])}  # what each of the 256 numbers stands for
        return shapes | tables | {"absmax1": scales, "absmax2": scales}
    return {"step": torch.Size(), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}


def remembered(optimizer: Optimizer, parameter: Tensor, stored: Mapping[str, Tensor]) -> dict[str, Tensor | int]:
    """An optimizer's state for a parameter, from its stored tensors."""
    own: dict[str, Tensor | int] = {name: value.to(parameter.device) for name, value in stored.items()}
    if not isinstance(optimizer, AdamW | Muon):
        own["step"] = int(stored["step"])
    return own
