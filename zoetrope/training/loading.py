"""Batches loaded ahead of time, by a thread or by processes, while the network learns."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from zoetrope.data import Dataset
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.training.batch import WHOLE, Batch, Batches, BatchSlice
from zoetrope.training.packed import PackedBatch
from zoetrope.training.workers import POLL, SLOW, answers
from zoetrope.wording import counted

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger(__name__)


def encoded(dataset: Dataset, texts: EmbeddingCache, progress: Callable[[int, int], None]) -> EmbeddingCache:
    """The cache with the features of every caption: those stored with the data, or else encoded now.

    For a data set whose captions have a name, a note in the cache means that all features are there; any that is
    missing is encoded on demand. `progress(done, total)` is called now and then. Raises ValueError if features stored
    with the data are another encoder's, or do not cover its captions.
    """
    for folder, captions in dataset.features():
        texts.take(folder, captions)
    listing = dataset.listing()
    if listing is None or texts.recall(listing) is None:
        texts.prepare(dataset.captions(), progress)
    return texts


class Loader:
    """The batches of a training from `start` to `end`, both in examples, in order; iterate once.

    Batches do not depend on the number of `workers`. These are processes started from a clean one, so that threads or a
    GPU in use by this process cannot disturb them; `batches` is sent to them with all its contents. They end with this
    process. A dead or stopped worker is an error, see `zoetrope.training.workers`.

    Attributes:
        waited: seconds that the training has waited for batches so far.
        skipped: how often each clip that can no longer be read was skipped.
    """

    def __init__(
        self,
        batches: Batches,
        start: int,
        end: int,
        share: BatchSlice = WHOLE,
        workers: int = 0,
        stopped: Callable[[], bool] = lambda: False,
    ):
        """`share` is this process's share of each batch; iteration ends early when `stopped()` is true."""
        self.batches, self.start, self.end, self.workers, self.stopped = batches, start, end, workers, stopped
        self.make = _Make(batches, share)
        self.waited = 0.0
        self.skipped: Counter[str] = Counter()
        self._thread = ThreadPoolExecutor(1)

    def close(self) -> None:
        """End the reading thread; worker processes end with the iteration."""
        self._thread.shutdown()
        if self.skipped.total() > len(self.skipped):
            message = "%s could not be read, %d times in all; others stood in for them"
            log.warning(message, counted(len(self.skipped), "clip"), self.skipped.total())

    def positions(self) -> Iterator[int]:
        """The position at which each batch starts."""
        position = self.start
        while position < self.end:
            yield position
            position += self.batches.size_at(position)

    def __iter__(self) -> Iterator[Batch | PackedBatch]:
        many = self.workers
        coming = (
            answers(self.make, self.positions(), many, __name__, self.stopped, "the batch that begins at example")
            if many
            else self._by_thread()
        )
        try:
            while True:
                before = time.perf_counter()
                batch = next(coming, None)
                self.waited += time.perf_counter() - before
                if batch is None:
                    return
                self._log_skipped(batch)
                yield batch
        finally:
            coming.close()

    def call(self, function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """Call a function that reads the data set or the texts, which only one thread may use at a time."""
        return self._thread.submit(function, *arguments, **named).result()

    def _log_skipped(self, batch: Batch | PackedBatch) -> None:
        for name, reason in batch.skipped:
            if name not in self.skipped:
                log.warning("%s: %s; another clip stands in for it", name, reason)
            self.skipped[name] += 1

    def _by_thread(self) -> Generator[Batch | PackedBatch, None, None]:
        positions = self.positions()
        first = next(positions, None)
        coming = None if first is None else self._thread.submit(self.make, first)
        while coming is not None:
            batch = self._settled(coming)
            if batch is None:
                return
            following = next(positions, None)
            coming = None if following is None else self._thread.submit(self.make, following)
            yield batch

    def _settled(self, coming: "Future[Batch | PackedBatch]") -> Batch | PackedBatch | None:
        """The coming batch, or None once the loader is stopped."""
        waited, slow = 0.0, SLOW
        while not wait([coming], POLL).done:
            waited += POLL
            if self.stopped():
                return None
            if waited >= slow:
                log.warning("the next batch has been read for %.0f s", waited)
                slow *= 4
        return coming.result()


@dataclass(frozen=True)
class _Make:
    """A worker's job: position -> the batch there, or this process's share of it."""

    batches: Batches
    share: BatchSlice

    def __call__(self, position: int) -> Batch | PackedBatch:
        return self.batches.at(position, self.share)
