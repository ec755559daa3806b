"""How long the examples of a training take to make, here and now: a few of each phase are made and timed.

Frames are rendered or decoded and inputs made of them; texts, which are encoded once and looked up, are left out.
"""

import time

from zoetrope.cascade.spec import StageSpec
from zoetrope.data.mixture import MixtureDataset, Part
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.processes.cores import cores
from zoetrope.text import TextEncoder
from zoetrope.training.batch import Batches, BatchSlice
from zoetrope.training.spec import TrainSpec

SECONDS = 0.5  # for the examples of a phase, beside its first one
MOST = 16  # examples of a phase, likewise


def example_seconds(stage: StageSpec, spec: TrainSpec, encoder: TextEncoder | None) -> list[float] | None:
    """Seconds for an example of each phase, made by the `workers` of the spec together; None: the data are not here.

    Workers are as fast together as there are cores here: more of them than that take turns.
    """
    if not spec.data.local:
        return None
    try:
        untold = MixtureDataset((Part(source=spec.data, captions=False),), [spec.data.open()])
        texts = None if encoder is None else EmbeddingCache(encoder)  # which needs no encoder where there are no texts
        batches = Batches(stage=stage, spec=spec, dataset=untold, texts=texts)
        together = max(1, min(spec.workers, cores()))
        return [_seconds(batches, number) / together for number in range(len(spec.phases))]
    except (ValueError, OSError):
        return None


def _seconds(batches: Batches, number: int) -> float:
    """The mean time for an example, of some evenly spread over a phase. The first, which opens files, is left out."""
    phases, spent, made = batches.spec.phases, 0.0, 0
    start = sum(phase.examples for phase in phases[:number])
    while made <= MOST and (made < 2 or spent < SECONDS):
        position = start + made * phases[number].examples // (MOST + 1)
        size = batches.size_at(position)
        begun = time.perf_counter()
        batches.at(position, BatchSlice(made % size, size))
        spent += time.perf_counter() - begun if made else 0.0
        made += 1
    return spent / (made - 1)
