"""Checkpoints of a run: written while the training goes on, whole or not there, and found again after anything.

A checkpoint is a folder named by the examples seen. Its parts are safetensors files, or folders of them if the weights
are divided among processes, see `zoetrope.training.pieces`; `state.json` says where the training was and what the
checksums of the files are. Moving averages, which others read, are always single files.
"""

import json
import logging
import os
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import distributed as dist

from zoetrope.explain import reason
from zoetrope.models.weights import save_tensors
from zoetrope.strict_json import read_json
from zoetrope.training.pieces import Damaged, Piece, Stored, divided, pieces, write_pieces
from zoetrope.training.ranks import Ranks
from zoetrope.training.state import TrainState
from zoetrope.training.writing import remove

log = logging.getLogger(__name__)
POSITION = "state.json"
PARTS = ("model", "average", "optimizer", "errors")  # what every checkpoint has
CHUNK = 1 << 22
SLOW = 60  # seconds after which it is told that a checkpoint is still being written


class Snapshot(NamedTuple):
    """A training at one moment, as this process has it, on the CPU.

    Attributes:
        examples: seen by then.
        own: pieces of what is divided among the processes, by part.
        shared: what every process has, by part; only the leading process has taken it.
    """

    examples: int
    own: Mapping[str, Mapping[str, Piece]]
    shared: Mapping[str, Mapping[str, Piece]]


class Keeper:
    """Writes checkpoints in the background, each process what it has, and removes those that are too old.

    A checkpoint that cannot be written, as on a full disk, is reported, and the next one tried as if it had been.
    """

    def __init__(self, checkpoints: Path, ranks: Ranks, state: TrainState, keep: int, keep_every: int = 0):
        """`keep` of the newest are kept, and the first at or after each multiple of `keep_every` examples, if any."""
        self.folder, self.ranks, self.keep, self.keep_every = checkpoints, ranks, keep, keep_every
        self.together = divided(dict(state.network.named_parameters()))
        self.reached = state.examples  # the position of the newest checkpoint that was begun and has not failed
        self._kept = state.examples
        self._failure: OSError | None = None
        # The training's own messages must not meet those of the thread that writes.
        self._group = dist.new_group(backend="gloo") if self.together else None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def save(self, state: TrainState) -> None:
        """Take a snapshot, once the last one is written, and begin to write it."""
        self.settle()
        self.reached = state.examples
        if self.together or self.ranks.leads:
            parts = state.parts()
            own = {name: pieces(part) for name, part in parts.items() if divided(part)}
            shared = {name: pieces(part) for name, part in parts.items() if name not in own and self.ranks.leads}
            self._pending = self._worker.submit(self._write, Snapshot(state.examples, own, shared))

    def settle(self) -> None:
        """Wait until the last snapshot is written, or has failed to be, which is told."""
        self._wait()
        if self._failure is not None:
            log.warning("%s: the training goes on, and tries again at its next checkpoint", self._failure)

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
        """Wait for what is being written. Raises OSError if that failed."""
        self._wait()
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """End the thread that writes."""
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
        """Do something on every process at once. Raises OSError on all of them if it fails on one."""
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
        """Write what this process has; the size and checksum of each file."""
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
        return {str(file.relative_to(partial)): _checksum(file) for file in files}

    def _gathered(self, own: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """The checksums of all processes' files."""
        if self._group is None:
            return own
        every: list[Any] = [None] * self.ranks.world
        dist.all_gather_object(every, own, group=self._group)
        return {name: value for part in every for name, value in part.items()}

    def _complete(self, examples: int, sums: dict[str, tuple[int, int]], partial: Path, final: Path) -> None:
        """Put the averages together, write down what is there, give it its name, and remove old checkpoints."""
        if not self.ranks.leads:
            return
        for folder in [path for path in partial.iterdir() if path.is_dir() and path.name.startswith("average")]:
            stored, file = Stored(partial, folder.name), partial / f"{folder.name}.safetensors"
            save_tensors({name: stored.read(name) for name in sorted(stored.names())}, file)
            _flush(file)
            shutil.rmtree(folder)
            sums = {name: value for name, value in sums.items() if not name.startswith(f"{folder.name}/")}
            sums[file.name] = _checksum(file)
        about = {"threads": torch.get_num_threads(), "processes": self.ranks.world, "files": sums}
        value = {"examples": examples, **about, "checksum": _digest(about)}
        (partial / POSITION).write_text(json.dumps(value))
        for path in (partial / POSITION, *(path for path in partial.iterdir() if path.is_dir()), partial):
            _flush(path)
        remove(final)
        partial.rename(final)
        _flush(self.folder)
        for old in outdated(find_checkpoints(self.folder), self.keep, self.keep_every):
            remove(old)


def outdated(checkpoints: list[Path], keep: int, keep_every: int = 0) -> list[Path]:
    """Which of these, oldest first, need not be kept any longer; see `Keeper`."""
    places = [int(path.name) // keep_every if keep_every else 0 for path in checkpoints]
    marks = [here > before for before, here in zip([0, *places], places, strict=False)]
    return [path for path, mark in zip(checkpoints[:-keep], marks, strict=False) if not mark]


def find_checkpoints(checkpoints: Path) -> list[Path]:
    """The complete checkpoints of a folder, oldest first."""
    found = (path for path in checkpoints.glob("[0-9]*") if path.name.isdecimal() and (path / POSITION).exists())
    return sorted(found, key=lambda path: int(path.name))


def sweep(checkpoints: Path) -> None:
    """Remove what a training that was killed while it wrote a checkpoint has left of it."""
    for stale in checkpoints.glob(".*.partial"):
        remove(stale)


def go_on(checkpoints: Path, state: TrainState, ranks: Ranks) -> Path | None:
    """Continue from the newest checkpoint, if there is any; of one that is damaged, from that before.

    The damaged one is set aside under another name. Raises ValueError that names the file if the only one is damaged,
    or if the checkpoint is not of this network and training.
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
    """Raise Damaged, which names the file, unless a checkpoint is as it was written."""
    sums = _position(checkpoint).get("files", {})
    for part in PARTS:
        Stored(checkpoint, part)
    for name, known in sums.items():
        _expect_as_written(checkpoint / name, known)


def check_file(file: Path) -> None:
    """Raise Damaged, which names it, if this file is one of a checkpoint, and is not as it was written there."""
    if (file.parent / POSITION).exists():
        sums = _position(file.parent).get("files", {})
        if file.name in sums:
            _expect_as_written(file, sums[file.name])


def _expect_as_written(file: Path, known: Sequence[int]) -> None:
    if not file.is_file():
        raise Damaged(f"{file}: no such file")
    if [*_checksum(file)] != [*known]:
        raise Damaged(f"{file}: is not as it was written")


def _position(checkpoint: Path) -> dict[str, Any]:
    """What the checkpoint says of itself. Raises Damaged if that is not what was written.

    The folder's name is a second record of the examples, and a checksum one of the rest; earlier versions had neither
    checksum nor files.
    """
    path = checkpoint / POSITION
    try:
        value = read_json(path)
        about = {name: value[name] for name in ("threads", "processes", "files") if name in value}
        if value["examples"] != int(checkpoint.name):
            raise Damaged(f"{path}: is of {value['examples']} examples, in a folder that is named {checkpoint.name}")
        known = value.get("checksum", _digest(about)) if "files" in about else _digest(about)
        if value.keys() - {"examples", "checksum", *about} or known != _digest(about):
            raise Damaged(f"{path}: is not as it was written")
    except Damaged:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{path}: cannot be read ({reason(error, path)})") from None
    return dict(value)


def _digest(about: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(about, sort_keys=True).encode())


def _clear(folder: Path) -> None:
    remove(folder)
    folder.mkdir(parents=True)


def _checksum(path: Path) -> tuple[int, int]:
    """A file's size in bytes and the CRC-32 of its contents."""
    size, checksum = 0, 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            size, checksum = size + len(chunk), zlib.crc32(chunk, checksum)
    return size, checksum


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, have reached the disk."""
    if os.name == "nt" and path.is_dir():  # which Windows does not open
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
