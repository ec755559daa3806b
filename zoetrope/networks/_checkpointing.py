"""Blocks whose activations are computed again in the backward pass."""

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def called(block: nn.Module, *given: Any, checkpointing: bool) -> Any:
    """The block's output; if `checkpointing`, its activations aren't kept for the backward pass."""
    if checkpointing and torch.is_grad_enabled():
        return checkpoint(block, *given, use_reentrant=False)
    return block(*given)
