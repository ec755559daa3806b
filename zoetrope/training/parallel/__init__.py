"""Ways for several processes to train one network, one per file.

To add one, add a file with a frozen value that subclasses `Parallel`. In all of them each process learns from its share
of every batch, gradients are summed, and all processes make the same update. The sum of errors is divided by the size
of the whole batch, so shares may be uneven.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from zoetrope.conditioning import Conditioning
from zoetrope.config import Kind
from zoetrope.networks import Network
from zoetrope.processes.ranks import Ranks

Call = Callable[[Tensor, Tensor, Conditioning], Tensor]


class Synced(NamedTuple):
    """A network that synchronises gradients.

    Attributes:
        call: the network; its backward pass sums the gradients of all processes.
        alone: a context without that: gradients stay local until the first pass outside it.
    """

    call: Call
    alone: Callable[[], AbstractContextManager[None]]


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
