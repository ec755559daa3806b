"""Whether embeddings that a prior makes of captions find their pictures."""

from collections.abc import Sequence

import torch
from torch import Tensor

from zoetrope.models.cascade import Cascade
from zoetrope.shapes import expect_shape


def retrieved(vectors: Tensor, pictures: Tensor, among: int = 64) -> list[bool]:
    """For each vector (N, D) whether its own picture's embedding, of (N, D), is the nearest of `among`, by angle.

    Rows are compared with those of their own group of `among`; a last group that is not full does not count.
    Raises ValueError for other shapes, and for fewer rows than `among`.
    """
    expect_shape("pictures", pictures, *vectors.shape)
    if len(vectors) < among:
        raise ValueError(f"vectors: expected at least {among}, of which each finds its own, got {len(vectors)}")
    groups = len(vectors) // among
    rows = (torch.nn.functional.normalize(x[: groups * among].double(), dim=-1) for x in (vectors, pictures))
    own, other = (x.unflatten(0, (groups, among)) for x in rows)
    nearest = (own @ other.transpose(1, 2)).argmax(-1)
    return (nearest == torch.arange(among, device=nearest.device)).flatten().tolist()


def vectors_of(cascade: Cascade, stage: str, captions: Sequence[str], seed: int = 0, batch: int = 64) -> Tensor:
    """The vectors (N, D) that a stage makes of captions, each with noise of its own. Raises what `stream` raises."""
    made = list[Tensor]()
    for first in range(0, len(captions), batch):
        some = captions[first : first + batch]
        samples = range(first, first + len(some))
        for now in cascade.stream(list(some), seed=seed, samples=samples, until=stage):
            last = now.x_hat
        made.append(last.flatten(1).cpu())
    return torch.cat(made)
