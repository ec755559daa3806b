"""The processes of one piece of work, such as a training or an evaluation: each does its share, and one leads.

Under `torchrun` the processes find each other through its environment. Without it there is one, and nothing is sent.
"""

import atexit
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch import distributed as dist

from zoetrope.processes.heartbeat import Heartbeat

_hearts: list[Heartbeat] = []  # of this process, while it works with others


def _close() -> None:
    """End gloo's threads, which would abort Python if they still ran at its exit."""
    if dist.is_initialized() and dist.get_backend() == "gloo":
        with suppress(RuntimeError):
            dist.destroy_process_group()


class Ranks(NamedTuple):
    """This process among `world`; rank 0 leads: it alone writes files and speaks."""

    rank: int = 0
    world: int = 1

    @classmethod
    def join(cls, device: torch.device) -> Self:
        """Meet the other processes that torchrun has started; alone without torchrun. Each takes a GPU of its own."""
        if "WORLD_SIZE" not in os.environ:
            return cls()
        world = int(os.environ["WORLD_SIZE"])
        if not dist.is_initialized():
            if device.type == "cuda":
                torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            # The others may wait long while rank 0 encodes all captions.
            backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
            dist.init_process_group(backend, timeout=timedelta(hours=24))
            atexit.register(_close)
            if world > 1:
                _hearts.append(Heartbeat(dist.get_rank(), world))
        return cls(dist.get_rank(), world)

    def leave(self) -> None:
        """Leave the group of processes."""
        while _hearts:
            _hearts.pop().end()
        if dist.is_initialized():
            dist.destroy_process_group()

    @contextmanager
    def together(self) -> Iterator[None]:
        """A context for collective operations. Raises ChildProcessError if another process is gone."""
        try:
            yield
        except RuntimeError as error:
            first = str(error).partition("\n")[0]
            if self.world == 1 or not (isinstance(error, dist.DistError) or "gloo" in first):
                raise
            raise ChildProcessError(
                f"another of the {self.world} processes has ended or cannot be reached: {first}"
            ) from error

    @property
    def orphaned(self) -> bool:
        """Whether torchrun, which started this process, is gone: the work should then end."""
        return any(heart.orphaned for heart in _hearts)

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor, all on one device, by its sum over all processes, in one message."""
        if self.world == 1:
            return
        flat = torch.cat([tensor.flatten().float() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def any(self, here: bool) -> bool:
        """Whether `here` is true on any process; every process must call this."""
        if self.world == 1:
            return here
        flag = torch.tensor([int(here)])
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)

    def meet(self) -> None:
        """Wait until every process has called this."""
        if self.world > 1:
            dist.barrier()


ALONE = Ranks()
