"""Checkpoints of a run: written atomically while training continues, and found again after any interruption.

A checkpoint is a folder named by the examples seen. Its parts are safetensors files, or folders of them if the weights
are sharded, see `zoetrope.training.pieces`; `state.json` holds the position of the training and the checksums of the
files. Moving averages, which sampling reads, are always single files.
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import distributed as dist

from zoetrope.files.tensors import save_tensors
from zoetrope.models.checkpoints import (
    POSITION,
    Damaged,
    digest,
    expect_as_written,
    find_checkpoints,
    read_position,
    size_and_crc,
)
from zoetrope.processes.ranks import Ranks
from zoetrope.training.pieces import Piece, Stored, divided, pieces, write_pieces
from zoetrope.training.state import TrainState
from zoetrope.training.writing import remove

log = logging.getLogger(__name__)
PARTS = ("model", "average", "optimizer", "errors")  # what every checkpoint has
SLOW = 60  # seconds until the log says that a checkpoint is still being written


class Snapshot(NamedTuple):
    """The state of a training at one moment: this process's share of it, on the CPU.

    Attributes:
        examples: seen so far.
        own: this process's pieces of sharded tensors, by part.
        shared: tensors that every process has, by part; only in the leading process.
    """

    examples: int
    own: Mapping[str, Mapping[str, Piece]]
    shared: Mapping[str, Mapping[str, Piece]]


class Keeper:
    """Writes checkpoints in the background, each process its own share, and removes old ones.

    If a checkpoint cannot be written, as on a full disk, this is logged, and the next one is attempted as usual.
    """

    def __init__(self, checkpoints: Path, ranks: Ranks, state: TrainState, keep: int, keep_every: int = 0):
        """`keep` of the newest are kept, and the first at or after each multiple of `keep_every` examples, if any."""
        self.folder, self.ranks, self.keep, self.keep_every = checkpoints, ranks, keep, keep_every
        self.together = divided(dict(state.network.named_parameters()))
        self.reached = state.examples  # position of the newest checkpoint that was started and has not failed
        self._kept = state.examples
        self._failure: OSError | None = None
        # A group of its own keeps messages of the writing thread apart from those of the training.
        self._group = dist.new_group(backend="gloo") if self.together else None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def save(self, state: TrainState) -> None:
        """Take a snapshot, as soon as the previous one is written, and start writing it."""
        self.settle()
        self.reached = state.examples
        if self.together or self.ranks.leads:
            parts = state.parts()
            own = {name: pieces(part) for name, part in parts.items() if divided(part)}
            shared = {name: pieces(part) for name, part in parts.items() if name not in own and self.ranks.leads}
            self._pending = self._worker.submit(self._write, Snapshot(state.examples, own, shared))

    def settle(self, then: str = "the training goes on, and tries again at its next checkpoint") -> None:
        """Wait until the last snapshot is written, or has failed, which is logged, with what happens `then`."""
        self._wait()
        if self._failure is not None:
            log.warning("%s: %s", self._failure, then)

    def _wait(self) -> None:
        pending, self._pending, self._failure = self._pending, None, None
        if pending is None:
            return
        waited = 0
        while not wait([pending], SLOW).done:
            waited += SLOW
            log.warning("%s: has been writing the checkpoint at %d for %d s", self.folder, self.reached, waited)
        try:
            pending.result()
            self._kept = self.reached
        except OSError as error:
            self._failure, self.reached = error, self._kept

    def finish(self) -> None:
        """Wait until the last snapshot is written. Raises OSError if that failed."""
        self._wait()
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """End the writing thread."""
        self._worker.shutdown()

    def _write(self, snapshot: Snapshot) -> None:
        final = self.folder / f"{snapshot.examples:09d}"
        partial = self.folder / f".{final.name}.partial"
        sums: dict[str, tuple[int, int]] = {}
        try:
            self._all(lambda: _clear(partial) if self.ranks.leads else None)
            self._all(lambda: sums.update(self._write_parts(snapshot, partial)))
            every = self._gathered(sums)
            self._all(lambda: self._complete(snapshot.examples, every, partial, final))
        except BaseException as error:
            if self.ranks.leads:
                shutil.rmtree(partial, ignore_errors=True)
            if isinstance(error, OSError) and error.strerror and error.filename is None:
                raise OSError(error.errno, error.strerror, str(final)) from error
            raise

    def _all(self, work: Callable[[], None]) -> None:
        """Run `work` on every process. Raises OSError on all of them if it fails on one."""
        error: OSError | None = None
        try:
            work()
        except OSError as caught:
            error = caught
        failed = torch.tensor([int(error is not None)])
        if self._group is not None:
            dist.all_reduce(failed, dist.ReduceOp.MAX, group=self._group)
        if error is not None:
            raise error
        if failed:
            raise OSError(f"{self.folder}: another process could not write its part")

    def _write_parts(self, snapshot: Snapshot, partial: Path) -> dict[str, tuple[int, int]]:
        """Write this process's share; return the size and checksum of each file."""
        files = []
        for name, part in snapshot.own.items():
            (partial / name).mkdir(exist_ok=True)
            files.append(partial / name / f"{self.ranks.rank:05d}.safetensors")
            write_pieces(part, files[-1])
        for name, part in snapshot.shared.items():
            files.append(partial / f"{name}.safetensors")
            save_tensors({key: piece.values for key, piece in part.items()}, files[-1])
        for file in files:
            _flush(file)
        return {str(file.relative_to(partial)): size_and_crc(file) for file in files}

    def _gathered(self, own: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """The checksums of all processes' files."""
        if self._group is None:
            return own
        every: list[Any] = [None] * self.ranks.world
        dist.all_gather_object(every, own, group=self._group)
        return {name: value for part in every for name, value in part.items()}

    def _complete(self, examples: int, sums: dict[str, tuple[int, int]], partial: Path, final: Path) -> None:
        """Assemble the averages, write `state.json`, rename the folder to its final name, remove old checkpoints."""
        if not self.ranks.leads:
            return
        for folder in [path for path in partial.iterdir() if path.is_dir() and path.name.startswith("average")]:
            stored, file = Stored(partial, folder.name), partial / f"{folder.name}.safetensors"
            save_tensors({name: stored.read(name) for name in sorted(stored.names())}, file)
            _flush(file)
            shutil.rmtree(folder)
            sums = {name: value for name, value in sums.items() if not name.startswith(f"{folder.name}/")}
            sums[file.name] = size_and_crc(file)
        about = {"threads": torch.get_num_threads(), "processes": self.ranks.world, "files": sums}
        value = {"examples": examples, **about, "checksum": digest(about)}
        (partial / POSITION).write_text(json.dumps(value))
        for path in (partial / POSITION, *(path for path in partial.iterdir() if path.is_dir()), partial):
            _flush(path)
        remove(final)
        partial.rename(final)
        _flush(self.folder)
        for old in outdated(find_checkpoints(self.folder), self.keep, self.keep_every):
            remove(old)


def outdated(checkpoints: list[Path], keep: int, keep_every: int = 0) -> list[Path]:
    """Which of these checkpoints, oldest first, can be removed; see `Keeper`."""
    places = [int(path.name) // keep_every if keep_every else 0 for path in checkpoints]
    marks = [here > before for before, here in zip([0, *places], places, strict=False)]
    return [path for path, mark in zip(checkpoints[:-keep], marks, strict=False) if not mark]


def sweep(checkpoints: Path) -> None:
    """Remove the remains of a checkpoint whose writing was killed."""
    for stale in checkpoints.glob(".*.partial"):
        remove(stale)


def go_on(checkpoints: Path, state: TrainState, ranks: Ranks) -> Path | None:
    """Load the newest checkpoint, if there is any; if it is damaged, the one before it.

    A damaged one is renamed and kept. Raises ValueError that names the file if the only one is damaged, or if the
    checkpoint is not of this network and training.
    """
    while found := find_checkpoints(checkpoints):
        newest, error = found[-1], None
        if ranks.leads:
            try:
                check_whole(newest)
            except Damaged as caught:
                error = caught
        if not ranks.any(error is not None):
            state.load(newest)
            return newest
        if len(found) == 1:
            raise error or Damaged(f"{newest}: is damaged, says the leading process")
        if ranks.leads:
            aside = newest.with_name(f"damaged-{newest.name}")
            remove(aside)
            newest.rename(aside)
            log.error("%s; it is set aside as %s, and the training goes on from %s", error, aside.name, found[-2])
        ranks.meet()
    return None


def check_whole(checkpoint: Path) -> None:
    """Raise Damaged, which names the file, unless all files of a checkpoint match their checksums."""
    sums = read_position(checkpoint).get("files", {})
    for part in PARTS:
        Stored(checkpoint, part)
    for name, known in sums.items():
        expect_as_written(checkpoint / name, known)


def _clear(folder: Path) -> None:
    remove(folder)
    folder.mkdir(parents=True)


def _flush(path: Path) -> None:
    """Flush a file, or a folder's entries, to the disk."""
    if os.name == "nt" and path.is_dir():  # which Windows does not open
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
