"""Ways for several processes to train one network, one per file.

To add one, add a file with a frozen value that subclasses `Parallel`. In all of them each process learns from its share
of every batch, gradients are summed, and all processes make the same update. The sum of errors is divided by the size
of the whole batch, so shares may be uneven.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from zoetrope.conditioning import Conditioning
from zoetrope.config import Kind
from zoetrope.networks import ClipBatch, Network
from zoetrope.processes.ranks import Ranks

Call = Callable[[Tensor, Tensor, Conditioning], Tensor]
Pack = Callable[[Sequence[ClipBatch]], list[Tensor]]


@dataclass(frozen=True)
class PackingCall:
    """A call that can also be made for videos of several sizes at once, see `zoetrope.networks.Network.pack`."""

    call: Call
    pack: Pack

    def __call__(self, z: Tensor, logsnr: Tensor, given: Conditioning) -> Tensor:
        """The output for videos of one size."""
        return self.call(z, logsnr, given)


@dataclass(frozen=True)
class LastLayerCall:
    """A call of a learning network, with the weights of its last layer, see `zoetrope.networks.Network.last`."""

    call: Call
    last: Tensor

    def __call__(self, z: Tensor, logsnr: Tensor, given: Conditioning) -> Tensor:
        """The output."""
        return self.call(z, logsnr, given)


class Synced(NamedTuple):
    """A network that synchronises gradients.

    Attributes:
        call: the network; its backward pass sums the gradients of all processes.
        alone: a context without that: gradients stay local until the first pass outside it.
        pack: the network's `pack`, synchronised too; None: only `call` is.
    """

    call: Call
    alone: Callable[[], AbstractContextManager[None]]
    pack: Pack | None = None


class Parallel(Kind, ABC):
    """A way to distribute the work, and perhaps the weights, over processes."""

    folder: ClassVar[str] = "zoetrope.training.parallel"

    def check(self, optimizer: str, adapted: bool, ranks: Ranks) -> None:
        """Raise ValueError if a training with this optimizer, or with adapters, cannot be distributed this way."""
        return

    @abstractmethod
    def spread(self, network: Network, ranks: Ranks, dtype: torch.dtype) -> None:
        """Shard a network's weights over the processes, in place, before optimizers are made.

        `dtype` is what the training computes in.
        """

    @abstractmethod
    def synced(self, network: Network, ranks: Ranks) -> Synced:
        """The network after `spread`, synchronised; parameters that are frozen by now stay frozen."""
