"""How several processes train one network: one way a file. To add one, add a file with a value of `Parallel`.

Whatever the way, each process learns from its share of every batch, the gradients are added up, and all make one and
the same update; the sum of the shares' errors is divided by the size of the whole batch, so shares may be uneven.
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
from zoetrope.training.ranks import Ranks

Call = Callable[[Tensor, Tensor, Conditioning], Tensor]


class Synced(NamedTuple):
    """A network as it is trained by several processes.

    Attributes:
        call: the network itself; its backward pass adds the gradients of all processes up.
        alone: a context in which it does not: gradients stay here until the first pass outside.
    """

    call: Call
    alone: Callable[[], AbstractContextManager[None]]


class Parallel(Kind, ABC):
    """A way to divide the work, and perhaps the weights, among processes."""

    folder: ClassVar[str] = "zoetrope.training.parallel"

    def check(self, optimizer: str, adapted: bool, ranks: Ranks) -> None:
        """Raise ValueError if a training with this optimizer, or with adapters, cannot be divided in this way."""
        return

    @abstractmethod
    def spread(self, network: Network, ranks: Ranks, dtype: torch.dtype) -> None:
        """Divide a network's weights among the processes, in place, before optimizers know them.

        `dtype` is what the training computes in.
        """

    @abstractmethod
    def synced(self, network: Network, ranks: Ranks) -> Synced:
        """The network as it is trained, after it was spread; parameters that are frozen by now stay so."""
