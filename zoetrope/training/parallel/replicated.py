"""Every process has the whole network: PyTorch's DistributedDataParallel.

Gradients are summed in buckets, while the backward pass still computes those of earlier layers.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch._C._distributed_c10d import GradBucket
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from zoetrope.networks import ClipBatch, Network
from zoetrope.processes.ranks import Ranks
from zoetrope.training.parallel import Parallel, Synced


class Replicated(Parallel):
    """All weights on every process."""

    def spread(self, network: Network, ranks: Ranks, dtype: torch.dtype) -> None:
        """Nothing to do."""

    def synced(self, network: Network, ranks: Ranks) -> Synced:
        """The network, wrapped if there are several processes."""
        if ranks.world == 1:
            return Synced(network, nullcontext, network.pack)
        # Unused parameters change from phase to phase (temporal layers, for single images), so DDP has to find them.
        # That also keeps the buckets fixed: a resumed training sums in the same order as one that never stopped.
        entrance = _Entrance(network)
        wrapped = DistributedDataParallel(entrance, find_unused_parameters=True, gradient_as_bucket_view=True)
        wrapped.register_comm_hook(None, _add_up)
        return Synced(wrapped, wrapped.no_sync, wrapped)


class _Entrance(nn.Module):
    """What DistributedDataParallel calls: a network's `forward`, or, for a list of clips, its `pack`."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(self, first: Tensor | Sequence[ClipBatch], *others: Any) -> Tensor | list[Tensor]:
        """The output, or outputs."""
        return self.network(first, *others) if isinstance(first, Tensor) else self.network.pack(first)


def _add_up(state: object, bucket: GradBucket) -> Future[Tensor]:
    """The sum over all processes, where the default is the mean."""
    future: Future[list[Tensor]] = dist.all_reduce(bucket.buffer(), async_op=True).get_future()
    return future.then(lambda done: done.value()[0])
