"""Batches made ahead of time: by a thread, or by processes that decode videos while the network learns."""

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
from zoetrope.training.workers import POLL, SLOW, answers
from zoetrope.wording import counted

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger(__name__)


def encoded(dataset: Dataset, texts: EmbeddingCache, progress: Callable[[int, int], None]) -> EmbeddingCache:
    """The same cache with the features of every caption: from beside the data where there are any, or encoded now.

    Of captions that go by a name all features are there, once something is noted of them; any that is gone is encoded
    when it is asked for.

    `progress(done, total)` is called now and then. Raises ValueError if features beside the data are another encoder's,
    or do not cover its captions.
    """
    for folder, captions in dataset.features():
        texts.take(folder, captions)
    listing = dataset.listing()
    if listing is None or texts.recall(listing) is None:
        texts.prepare(dataset.captions(), progress)
    return texts


class Loader:
    """The batches of a training from `start` to `end`, both in examples, in order; to be iterated over once.

    What comes does not depend on the number of `workers`. They are processes begun from a clean one, so that neither
    threads nor a GPU that this process already uses are in their way; the batches and all that they hold are sent to
    them. They end with this process, and one that is dead or stopped is an error, see `zoetrope.training.workers`.

    Attributes:
        waited: seconds for which the training has waited for a batch so far.
        skipped: how often each clip that can no longer be read was passed over.
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
        """`share` is what this process learns from of each batch; the batches end early when `stopped()` is true."""
        self.batches, self.start, self.end, self.workers, self.stopped = batches, start, end, workers, stopped
        self.make = _Make(batches, share)
        self.waited = 0.0
        self.skipped: Counter[str] = Counter()
        self._thread = ThreadPoolExecutor(1)

    def close(self) -> None:
        """End the thread that reads data; processes end with the iteration."""
        self._thread.shutdown()
        if self.skipped.total() > len(self.skipped):
            said = "%s could not be read, %d times in all; others stood in for them"
            log.warning(said, counted(len(self.skipped), "clip"), self.skipped.total())

    def positions(self) -> Iterator[int]:
        """Where the batches begin."""
        position = self.start
        while position < self.end:
            yield position
            position += self.batches.size_at(position)

    def __iter__(self) -> Iterator[Batch]:
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
                self._tell(batch)
                yield batch
        finally:
            coming.close()

    def call(self, function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """What a function that reads the data set or the texts returns: these serve one thread at a time."""
        return self._thread.submit(function, *arguments, **named).result()

    def _tell(self, batch: Batch) -> None:
        for name, reason in batch.skipped:
            if name not in self.skipped:
                log.warning("%s: %s; another clip stands in for it", name, reason)
            self.skipped[name] += 1

    def _by_thread(self) -> Generator[Batch, None, None]:
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

    def _settled(self, coming: "Future[Batch]") -> Batch | None:
        """What is being made, or None as soon as it is not to be waited for any longer."""
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
    """What a worker does: the batch, or this process's share of it, at a position."""

    batches: Batches
    share: BatchSlice

    def __call__(self, position: int) -> Batch:
        return self.batches.at(position, self.share)
