"""Substitutes fast forms for a network's layers, for inference."""

from typing import TypeVar

import torch
from torch import nn

from zoetrope.layers.attention import TextAttention
from zoetrope.layers.convolution import TemporalConv, Upsample
from zoetrope.layers.elementwise import Modulated, SiLU, Sum, SumOfProduct
from zoetrope.layers.fast import (
    AbsorbedTextAttention,
    EnterByRuns,
    LeaveByRuns,
    MappedUpsample,
    ModulatedNorm,
    SiLUInPlace,
    SumInPlace,
    SumOfProductInPlace,
    TemporalConvInPlace,
)
from zoetrope.layers.patches import Enter, Leave

FAST: dict[type[nn.Module], type[nn.Module]] = {
    SiLU: SiLUInPlace,
    Sum: SumInPlace,
    SumOfProduct: SumOfProductInPlace,
    Modulated: ModulatedNorm,
    TextAttention: AbsorbedTextAttention,
    TemporalConv: TemporalConvInPlace,
    Upsample: MappedUpsample,
    Enter: EnterByRuns,
    Leave: LeaveByRuns,
}
"""Textbook layer -> its fast form: a subclass with the same parameters under the same names."""

OURS = ("zoetrope.", "torch.nn.")
N = TypeVar("N", bound=nn.Module)


def fused(network: N, *, channels_last: bool = False) -> N:
    """A twin of a network, with fast forms of its layers and the same weights; the original stays unchanged.

    The twin has no gradients, and follows what the original learns. Layers that hold modules of other packages, such as
    adapters, stay as they are. `channels_last` converts the weights of convolutions to the memory format in which they
    are read, also in the original: for a network that was loaded for inference.
    """
    twins: dict[nn.Module, nn.Module] = {}
    made = _twin(network, twins)
    for old, new in twins.items():
        if type(new) in FAST and all(type(part).__module__.startswith(OURS) for part in new.modules()):
            new.__class__ = FAST[type(new)]
        if channels_last and isinstance(old, nn.Conv2d) and isinstance(new, nn.Conv2d):
            old.weight.data = new.weight.data = new.weight.data.contiguous(memory_format=torch.channels_last)
    return made


def is_fused(network: nn.Module) -> bool:
    """Whether a network has fast forms of layers, and so no gradients."""
    return any(type(part) in FAST.values() for part in network.modules())


def _twin(module: N, twins: dict[nn.Module, nn.Module]) -> N:
    """A copy of a module with shared parameters and buffers, without gradients; `twins` collects all its submodules."""
    made = twins[module] = type(module).__new__(type(module))
    made.__dict__ = dict(vars(module))
    weights = {name: None if p is None else nn.Parameter(p.detach(), False) for name, p in module._parameters.items()}
    made.__dict__["_parameters"] = weights
    made.__dict__["_buffers"] = dict(module._buffers)
    parts = {name: part and (twins.get(part) or _twin(part, twins)) for name, part in module._modules.items()}
    made.__dict__["_modules"] = parts
    return made
