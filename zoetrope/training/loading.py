"""Batches made ahead of time: by a thread, or by processes that decode videos while the network learns."""

import logging
import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from torch.utils.data import DataLoader
from torch.utils.data import Dataset as ByPosition

from zoetrope.data import Dataset
from zoetrope.data._unused import counted
from zoetrope.text._cache import EmbeddingCache
from zoetrope.training.batch import WHOLE, Batch, Batches, Share

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger(__name__)
AHEAD = 2  # batches that each worker makes before one of them is asked for


def encoded(dataset: Dataset, texts: EmbeddingCache, progress: Callable[[int, int], None]) -> EmbeddingCache:
    """The same cache with the features of every caption: from beside the data where there are any, or encoded now.

    `progress(done, total)` is called now and then. Raises ValueError if features beside the data are another encoder's,
    or do not cover its captions.
    """
    for folder, captions in dataset.features():
        texts.take(folder, captions)
    texts.prepare(dataset.captions(), progress)
    return texts


class Loader:
    """The batches of a training from `start` to `end`, both in examples, in order; to be iterated over once.

    What comes does not depend on the number of `workers`. They are processes begun from a clean one, so that neither
    threads nor a GPU that this process already uses are in their way; the batches and all that they hold are sent to
    them.

    Attributes:
        waited: seconds for which the training has waited for a batch so far.
        skipped: how often each clip that can no longer be read was passed over.
    """

    def __init__(self, batches: Batches, start: int, end: int, share: Share = WHOLE, workers: int = 0):
        """`share` is what this process learns from of each batch."""
        self.batches, self.start, self.end, self.share, self.workers = batches, start, end, share, workers
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
        coming = self._by_processes() if self.workers else self._by_thread()
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
        coming = None if first is None else self._thread.submit(self._make, first)
        while coming is not None:
            batch = coming.result()
            following = next(positions, None)
            coming = None if following is None else self._thread.submit(self._make, following)
            yield batch

    def _make(self, position: int) -> Batch:
        return self.batches.at(position, self.share)

    def _by_processes(self) -> Generator[Batch, None, None]:
        loader = DataLoader(
            _Made(self.batches, self.share),
            sampler=_Again(self.positions),
            batch_size=None,
            collate_fn=_as_is,
            num_workers=self.workers,
            prefetch_factor=AHEAD,
            multiprocessing_context=_context(),
            worker_init_fn=_patient,
        )
        for batch in loader:
            if isinstance(batch, ValueError):
                raise batch
            yield batch


class _Made(ByPosition[Batch | ValueError]):
    """Batches by position, made where it is asked for them."""

    def __init__(self, batches: Batches, share: Share):
        self.batches, self.share = batches, share

    def __getitem__(self, position: int) -> Batch | ValueError:
        try:
            return self.batches.at(position, self.share)
        except ValueError as error:
            return error  # as it is: raised here it would arrive with the worker's traceback for a message


class _Again(Iterable[int]):
    """What a function yields, each time that it is iterated over."""

    def __init__(self, function: Callable[[], Iterator[int]]):
        self.function = function

    def __iter__(self) -> Iterator[int]:
        return self.function()


def _patient(worker: int) -> None:
    """Let signals to the whole group of processes pass: the training ends its step, and then its workers."""
    log.debug("worker %d begins", worker)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _as_is(batch: Any) -> Any:
    return batch


def _context() -> multiprocessing.context.BaseContext:
    """How workers are begun: never by a fork of this process, whose threads may hold locks that no one would open."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # imported once, for all of them
    return context
