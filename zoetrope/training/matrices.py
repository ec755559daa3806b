"""Work on many matrices, shared among processes."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.device_mesh import DeviceMesh


def by_matrix(pieces: Sequence[Tensor], rows: int, mesh: DeviceMesh, work: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """`work` on matrices (N, rows, columns) that are sharded; returns the results, sharded alike.

    `pieces` are this process's rows of each, (r, columns), as `fully_shard` divides them. Matrix k is gathered on
    process k modulo their number, processed there and scattered again.
    """
    world, rank, group = mesh.size(), mesh.get_local_rank(), mesh.get_group()
    columns, part = pieces[0].shape[1], -(-rows // world)
    heights = [max(0, min(part, rows - other * part)) for other in range(world)]
    counts = [len(range(other, len(pieces), world)) for other in range(world)]
    order = [index for other in range(world) for index in range(other, len(pieces), world)]
    sent = torch.cat([pieces[index].flatten() for index in order])
    away = [count * heights[rank] * columns for count in counts]
    home = [counts[rank] * height * columns for height in heights]
    received = sent.new_empty(sum(home))
    dist.all_to_all_single(received, sent, home, away, group=group)
    bands = zip(received.split(home), heights, strict=True)
    stacked = torch.cat([band.view(counts[rank], height, columns) for band, height in bands], dim=1)
    if len(stacked):
        stacked = work(stacked)
    done = torch.cat([band.flatten() for band in stacked.split(heights, dim=1)])
    back = torch.empty_like(sent)
    dist.all_to_all_single(back, done, away, home, group=group)
    made = back.view(len(pieces), heights[rank], columns)
    places = {index: place for place, index in enumerate(order)}
    return [made[places[index]] for index in range(len(pieces))]


def shared_out(matrices: Sequence[Tensor], work: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """`work` on matrices (N, rows, columns) that all processes have; each processes some of them."""
    everything = torch.stack(list(matrices))
    world = dist.get_world_size() if dist.is_initialized() else 1
    if world == 1:
        return list(work(everything).unbind())
    share = -(-len(everything) // world)
    own = everything[dist.get_rank() * share :][:share]
    own = torch.cat([own, everything[: share - len(own)]])  # the last processes may have fewer, and send padding
    made = everything.new_empty(share * world, *everything.shape[1:])
    gather = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)  # its name from PyTorch 2.13 on
    gather(made, work(own).contiguous())
    return list(made[: len(everything)].unbind())
