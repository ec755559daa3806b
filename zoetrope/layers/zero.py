"""Maps that start at zero, so that a residual branch begins as nothing and a network as what surrounds it."""

from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def zero(module: M) -> M:
    """The same module with all its parameters zero."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module
