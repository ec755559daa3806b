"""What turns gradients into updates: AdamW, and Muon for the matrices inside a network."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

from zoetrope.networks import Network

OptimizerName = Literal["adamw", "muon"]
# Coefficients of the quintic iteration of Jordan et al. 2024 (kellerjordan.github.io/posts/muon): singular values are
# driven into about [0.7, 1.2], not to 1 exactly, in few steps.
QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """Momentum whose every update is made orthogonal: all directions of a matrix learn at one speed.

    [Jordan et al. 2024, kellerjordan.github.io/posts/muon], with updates scaled to the size of AdamW's, so that one
    learning rate serves both [Liu et al. 2025, arXiv:2502.16982, Sec. 2.2]. A convolution is a matrix of outputs by
    inputs x taps. Matrices of one shape are worked on together, which is what makes it cheap.
    """

    def __init__(
        self, matrices: Iterable[Tensor], *, dtype: torch.dtype, momentum: float = 0.95, weight_decay: float = 0.0
    ):
        """`dtype` is what the iteration computes in; bfloat16 is enough where it is fast."""
        self.dtype = dtype
        super().__init__(matrices, {"lr": 1e-3, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.flatten(1).shape, []).append(parameter)
            for parameters in by_shape.values():
                self._step_together(parameters, group)

    def _step_together(self, parameters: list[Tensor], group: dict[str, float]) -> None:
        momentum, rate = group["momentum"], group["lr"]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        means = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in parameters]
        torch._foreach_lerp_(means, gradients, 1 - momentum)
        ahead = torch._foreach_lerp(gradients, means, momentum)  # Nesterov's look ahead
        stacked = torch.stack([value.flatten(1) for value in ahead])
        updates = orthogonal(stacked, self.dtype) * (0.2 * max(stacked.shape[1:]) ** 0.5)
        torch._foreach_mul_(parameters, 1 - rate * group["weight_decay"])
        shaped = [update.view_as(parameter) for update, parameter in zip(updates, parameters, strict=True)]
        torch._foreach_add_(parameters, shaped, alpha=-rate)


def orthogonal(matrices: Tensor, dtype: torch.dtype = torch.float32, steps: int = 5) -> Tensor:
    """About U V^T of each matrix U S V^T of (N, rows, columns), by a Newton-Schulz iteration."""
    a, b, c = QUINTIC
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices.to(dtype) if wide else matrices.to(dtype).mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return (x if wide else x.mT).to(matrices.dtype)


def optimizers(
    network: Network, name: OptimizerName, *, betas: tuple[float, float], weight_decay: float, dtype: torch.dtype
) -> tuple[Optimizer, ...]:
    """The optimizers of a network's parameters, none of which has two. "muon" leaves to AdamW what is no inner matrix.

    Raises ValueError if Muon is asked for and the network has no inner matrices.
    """
    inner = list(network.matrices()) if name == "muon" else []
    if name == "muon" and not inner:
        raise ValueError(f"optimizer: expected 'adamw', got 'muon': a {type(network).__name__} has no inner matrices")
    taken = {id(parameter) for parameter in inner}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in taken]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    adamw = AdamW(groups, betas=betas, eps=1e-8, fused=True)
    return (adamw, Muon(inner, dtype=dtype, weight_decay=weight_decay)) if inner else (adamw,)


def state_shapes(optimizer: Optimizer, parameter: Tensor) -> dict[str, torch.Size]:
    """What an optimizer remembers of a parameter that has had a gradient, by name."""
    if isinstance(optimizer, Muon):
        return {"momentum": parameter.shape}
    return {"step": torch.Size(), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
