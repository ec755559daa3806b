"""Moving averages of a network's weights, with several half-lives at once."""

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from zoetrope.layers.fused import fused
from zoetrope.networks import Network
from zoetrope.training.pieces import local


class Averages:
    """One average for each half-life, in examples; sampling uses the first."""

    def __init__(self, network: Network, half_lives: Sequence[int]):
        """Each begins as a copy of the network, fused."""
        self.half_lives = tuple(half_lives)
        self.networks = tuple(fused(_copied(network).eval()) for _ in self.half_lives)

    def update(self, network: Network, batch: int, examples: int) -> None:
        """Move the averages towards the network after a batch; it has now seen `examples`."""
        theirs: list[Tensor] = [local(weight) for weight in network.parameters()]
        for average, half_life in zip(self.networks, self.half_lives, strict=True):
            # Forget early weights quickly: the half-life is at most a tenth of the examples seen so far. The code of
            # Karras et al. 2022, arXiv:2206.00364, does the same with a twentieth.
            memory = max(1.0, min(half_life, 0.1 * examples))
            with torch.no_grad():
                ours: list[Tensor] = [local(weight) for weight in average.parameters()]
                torch._foreach_lerp_(ours, theirs, 1 - 0.5 ** (batch / memory))

    def named(self) -> Iterator[tuple[str, Network]]:
        """(name of its file in a checkpoint, average) of each."""
        for place, (half_life, network) in enumerate(zip(self.half_lives, self.networks, strict=True)):
            yield (f"average-{half_life}" if place else "average"), network


def _copied(network: Network) -> Network:
    """A copy with its own tensors; also of a network in a dry run."""
    parameters = {id(own): nn.Parameter(own.detach().clone()) for own in network.parameters()}
    buffers = {id(own): own.clone() for own in network.buffers()}
    return copy.deepcopy(network, {**parameters, **buffers})
