"""Moving averages of a network's weights, of several memories at once."""

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from zoetrope.layers.fused import fused
from zoetrope.networks import Network
from zoetrope.training.pieces import local


class Averages:
    """One average for each half-life, in examples; the first is what is sampled with."""

    def __init__(self, network: Network, half_lives: Sequence[int]):
        """Each begins as a copy of the network, fused."""
        self.half_lives = tuple(half_lives)
        self.networks = tuple(fused(_copied(network).eval()) for _ in self.half_lives)

    def update(self, network: Network, batch: int, examples: int) -> None:
        """Follow the network, which has learnt from a batch and has now seen so many examples."""
        theirs: list[Tensor] = [local(weight) for weight in network.parameters()]
        for average, half_life in zip(self.networks, self.half_lives, strict=True):
            # Early weights are worth forgetting quickly: the half-life is a tenth of what was seen until then. The code
            # of Karras et al. 2022, arXiv:2206.00364, does the same with a twentieth.
            memory = max(1.0, min(half_life, 0.1 * examples))
            with torch.no_grad():
                ours: list[Tensor] = [local(weight) for weight in average.parameters()]
                torch._foreach_lerp_(ours, theirs, 1 - 0.5 ** (batch / memory))

    def named(self) -> Iterator[tuple[str, Network]]:
        """Each average by the name that its file has in a checkpoint."""
        for place, (half_life, network) in enumerate(zip(self.half_lives, self.networks, strict=True)):
            yield (f"average-{half_life}" if place else "average"), network


def _copied(network: Network) -> Network:
    """A copy with tensors of its own, also of a network without values."""
    parameters = {id(own): nn.Parameter(own.detach().clone()) for own in network.parameters()}
    buffers = {id(own): own.clone() for own in network.buffers()}
    return copy.deepcopy(network, {**parameters, **buffers})
