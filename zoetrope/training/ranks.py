"""Training in several processes: each learns from its share of every batch, and all of them make the same update.

Under `torchrun` the processes find each other by its environment. Without it there is one, and nothing is sent.
"""

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch import distributed as dist


class Ranks(NamedTuple):
    """This process among `world`; rank 0 leads: it alone writes files and speaks."""

    rank: int = 0
    world: int = 1

    @classmethod
    def join(cls, device: torch.device) -> Self:
        """Meet the other processes that torchrun has started; alone without torchrun. Each takes a GPU of its own."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world == 1:
            return cls()
        if not dist.is_initialized():
            if device.type == "cuda":
                torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            # Whoever waits while rank 0 encodes all captions waits long.
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=24))
        return cls(dist.get_rank(), world)

    def leave(self) -> None:
        """Say goodbye to the other processes."""
        if self.world > 1:
            dist.destroy_process_group()

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def share(self, size: int) -> Tensor:
        """Which of a batch's `size` examples this process learns from."""
        return torch.arange(self.rank, size, self.world)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor, all on one device, by its sum over all processes, in one message."""
        if self.world == 1:
            return
        flat = torch.cat([tensor.flatten().float() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def add_up_gradients(self, parameters: Sequence[nn.Parameter], *others: Tensor) -> None:
        """The same for the gradients of parameters, and for `others`; what has none anywhere is left without."""
        if self.world == 1:
            return
        has = torch.tensor([float(p.grad is not None) for p in parameters], device=parameters[0].device)
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.add_up([*(p.grad for p in parameters if p.grad is not None), has, *others])
        for parameter, count in zip(parameters, has.tolist(), strict=True):
            if count == 0:
                parameter.grad = None

    def meet(self) -> None:
        """Wait until every process is here."""
        if self.world > 1:
            dist.barrier()


ALONE = Ranks()
