"""Every process has a shard of each weight: PyTorch's fully_shard (FSDP2), block by block.

A block's weights are gathered just before they are needed and freed afterwards; gradients, averages and optimizer
states stay sharded [Zhao et al. 2023, arXiv:2304.11277].
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
    register_fsdp_forward_method,
)

from zoetrope.networks import Network
from zoetrope.processes.ranks import Ranks
from zoetrope.training.parallel import Parallel, Synced


class Sharded(Parallel):
    """Weights, gradients and optimizer states sharded over the processes of torchrun.

    Attributes:
        offload: keep the weights, and compute their updates, in host memory.
    """

    offload: bool = False

    def check(self, optimizer: str, adapted: bool, ranks: Ranks) -> None:
        """Raise ValueError for 8-bit AdamW and adapters, and without torchrun."""
        if optimizer == "adamw8bit":
            raise ValueError("parallel: 'adamw8bit' remembers blocks that cannot be divided; use 'replicated'")
        if adapted:
            raise ValueError("parallel: adapters are small enough for 'replicated', 'sharded' does not train them")
        if not dist.is_initialized():
            raise ValueError("parallel: 'sharded' needs torchrun; one process is enough: --nproc-per-node=1")

    def spread(self, network: Network, ranks: Ranks, dtype: torch.dtype) -> None:
        """Shard each block, and then everything outside of blocks."""
        device = next(network.parameters()).device.type
        mesh = init_device_mesh(device, (ranks.world,))
        offload = CPUOffloadPolicy(pin_memory=device == "cuda") if self.offload else OffloadPolicy()
        low = dtype if dtype != torch.float32 else None
        for block in network.blocks():
            # Inputs stay as autocast has them; weights travel in the dtype that autocast would cast them to anyway.
            precision = MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32, cast_forward_inputs=False)
            fully_shard(block, mesh=mesh, mp_policy=precision, offload_policy=offload)
        # Rounding would ruin the embeddings of noise levels.
        precision = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
        fully_shard(network, mesh=mesh, mp_policy=precision, offload_policy=offload, reshard_after_forward=True)
        for module in _sharded(network):
            module.set_gradient_divide_factor(1.0)  # the sum over all processes, where the default is the mean
            module.set_force_sum_reduction_for_comms(True)

    def synced(self, network: Network, ranks: Ranks) -> Synced:
        """The network itself, already sharded."""
        assert isinstance(network, FSDPModule)
        divided: FSDPModule = network
        register_fsdp_forward_method(network, "pack")

        @contextmanager
        def alone() -> Iterator[None]:
            divided.set_requires_gradient_sync(False)
            try:
                yield
            finally:
                divided.set_requires_gradient_sync(True)

        return Synced(network, alone, network.pack)


def _sharded(network: Network) -> Iterator[FSDPModule]:
    for module in network.modules():
        if isinstance(module, FSDPModule):
            yield module
