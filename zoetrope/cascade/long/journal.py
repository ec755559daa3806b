"""The journal of a long video: what it is made from, and how much of it is finished."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout
from safetensors.torch import load_file
from torch import Tensor

from zoetrope.config import shown
from zoetrope.files import whole, write_text
from zoetrope.files.plain import read_json
from zoetrope.files.tensors import save_tensors

NAME = "journal.json"
LOCK = "lock"
FORMAT = 1


class Journal:
    """A folder with `journal.json`, which is replaced whole whenever a block is finished.

    Attributes:
        folder: with the journal and the frames that it tells of.
        made: everything that the video depends on, as JSON values.
    """

    def __init__(self, folder: Path, made: Mapping[str, Any], done: Mapping[str, int]) -> None:
        self.folder, self.made = folder, dict(made)
        self._done = dict(done)

    @classmethod
    def begin(cls, folder: Path, made: Mapping[str, Any], *, resume: bool) -> Self:
        """The journal in a folder, which is created; with `resume`, the one that is there already, if there is one.

        Raises ValueError if one with finished blocks is there and `resume` is not asked for, or if its video is made
        from something else.
        """
        path = folder / NAME
        made = json.loads(json.dumps(made))
        if path.exists():
            other, done = _read(path)
            if done and not resume:
                raise ValueError(f"{folder}: holds the beginning of a video; resume it, or remove the folder")
            if done and (different := [name for name in {**made, **other} if made.get(name) != other.get(name)]):
                told = [f"{name} {shown(made.get(name))} instead of {shown(other.get(name))}" for name in different]
                raise ValueError(f"{folder}: its video was begun with other settings: now {', '.join(told)}")
            if done:
                return cls(folder, made, done)
        elif _occupied(folder):
            raise ValueError(f"{folder}: expected a new or empty folder, got one with files")
        folder.mkdir(parents=True, exist_ok=True)
        journal = cls(folder, made, {})
        journal._write()
        return journal

    def done(self, stage: str) -> int:
        """How many blocks of a stage are finished."""
        return self._done.get(stage, 0)

    def finish(self, stage: str, blocks: int, state: Mapping[str, Tensor] | None = None) -> None:
        """Note that so many blocks of a stage are finished, with the tensors that its next block begins from."""
        if state:
            with whole(self._state(stage, blocks)) as partial:
                save_tensors({name: value.contiguous().cpu() for name, value in state.items()}, partial)
        self._done[stage] = blocks
        self._write()
        for before in self.folder.glob(f"{stage}.*.safetensors"):
            if before != self._state(stage, blocks):
                before.unlink()

    def state(self, stage: str) -> dict[str, Tensor]:
        """The tensors that the next block of a stage begins from; none where `finish` got none."""
        path = self._state(stage, self.done(stage))
        return load_file(path) if path.exists() else {}

    def _state(self, stage: str, blocks: int) -> Path:
        return self.folder / f"{stage}.{blocks}.safetensors"

    def _write(self) -> None:
        content = {"format": FORMAT, "made": self.made, "done": self._done}
        write_text(self.folder / NAME, json.dumps(content, indent=1))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """The right to make a video in a folder, which is created. The system takes it back from a process that ends.

    Raises ValueError if another process makes one there, or if the folder holds something else than a video.
    """
    if not (folder / NAME).exists() and _occupied(folder):
        raise ValueError(f"{folder}: expected a new or empty folder, got one with files")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(f"{folder}: another process is making this video; wait for it, or end it") from None
    try:
        yield
    finally:
        lock.release()


def _occupied(folder: Path) -> bool:
    return folder.is_dir() and any(path.name != LOCK for path in folder.iterdir())


def _read(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """What a journal's video is made from, and its finished blocks. Raises ValueError if it is none."""
    stored = read_json(path)
    try:
        made, done = dict(stored["made"]), {str(stage): int(count) for stage, count in stored["done"].items()}
        format_number = stored["format"]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ValueError(f"{path}: expected the journal of a long video, got something else") from None
    if format_number != FORMAT:
        raise ValueError(f"{path}: expected format {FORMAT}, got {shown(format_number)}")
    return made, done
