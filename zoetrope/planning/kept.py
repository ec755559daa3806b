"""Counts that are kept from one plan to the next, in `plans` of the cache folder.

A count is found again by all that it depends on: the stage, its training, the package's own code and PyTorch. The
folder is a convenience and nothing else: an entry that is not what was written is none, one that cannot be written is
done without, and the oldest make room.
"""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch

import zoetrope
from zoetrope.cascade.execution import layout
from zoetrope.cascade.spec import StageSpec
from zoetrope.config import packages_of
from zoetrope.files import cache_folder, write_text
from zoetrope.plain_files import read_plain
from zoetrope.planning import work
from zoetrope.planning.count import Operation, Tally
from zoetrope.planning.work import TOKENS, Sampling, Training
from zoetrope.strict_json import parse_json
from zoetrope.training.spec import TrainSpec

Value = TypeVar("Value")

log = logging.getLogger(__name__)
MOST = 512  # counts that are kept, some ten kilobytes each
LARGEST = 2**22  # bytes of one


def sampling(stage: StageSpec, dtype: torch.dtype, memory: int | None) -> Sampling:
    """What `zoetrope.planning.work.sampling` counts. Without `memory` it depends on the moment, and is not kept."""
    if memory is None:
        return work.sampling(stage, dtype)

    def count() -> list[Any]:
        one = work.sampling(stage, dtype, memory)
        return [*one[:4], _plain(one.whole), one.peak]

    def read(value: list[Any]) -> Sampling:
        parameters, weight_bytes, forward, step, whole, peak = value
        return Sampling(parameters, weight_bytes, forward, step, _tally(whole), peak)

    return _kept(stage, {"what": "sampling", "dtype": str(dtype), "memory": memory}, count, read)


def training(stage: StageSpec, spec: TrainSpec, dtype: torch.dtype) -> Training:
    """What `zoetrope.planning.work.training` counts."""

    def count() -> list[Any]:
        return [[_plain(tally), peak] for _, tally, peak in work.training(stage, spec, dtype).phases]

    def read(value: list[Any]) -> Training:
        phases = zip(spec.phases, value, strict=True)
        return Training([(phase, _tally(tally), int(peak)) for phase, (tally, peak) in phases])

    return _kept(stage, {"what": "training", "dtype": str(dtype), "spec": spec.to_json()}, count, read, spec)


def least_memory(stage: StageSpec, device: torch.device) -> int:
    """What `zoetrope.cascade.execution.layout.least_memory` needs for one video of a stage."""
    what = {"what": "least memory", "device": device.type}
    return _kept(stage, what, lambda: layout.least_memory(stage, 1, TOKENS, device), int)


def _kept(
    stage: StageSpec, what: dict[str, Any], count: Callable[[], Any], read: Callable[[Any], Value], *configs: TrainSpec
) -> Value:
    """A count as it was kept, or counted now and kept; what names kinds of other packages is counted anew."""
    if packages_of(stage, *configs):
        return read(count())
    what |= {"stage": stage.to_json(), "tokens": TOKENS, "code": _code(), "torch": torch.__version__}
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    with suppress(ValueError, TypeError):  # nobody but us writes there, as a rule
        if (known := _stored(key)) is not None:
            return read(known)
    value = count()
    _store(key, value)
    return read(value)


def _folder() -> Path:
    return cache_folder("plans")


def _stored(key: str) -> Any:
    """What was kept; None if there is nothing, or something else than was written."""
    try:
        checksum, _, text = read_plain(_folder() / f"{key}.json", LARGEST).partition(b"\n")
        return parse_json(text) if checksum == _checksum(key, text).encode() else None
    except (OSError, ValueError):
        return None


def _store(key: str, value: Any) -> None:
    text = json.dumps(value)
    try:
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / f"{key}.json", f"{_checksum(key, text.encode())}\n{text}")
        _make_room(folder)
    except (OSError, ValueError) as error:
        log.info("counts are not kept: %s", error)


def _make_room(folder: Path) -> None:
    """Remove the oldest."""
    files = sorted((entry.stat().st_mtime, entry.path) for entry in os.scandir(folder) if entry.is_file())
    for _, path in files[: max(0, len(files) - MOST)]:
        Path(path).unlink(missing_ok=True)


def _checksum(key: str, text: bytes) -> str:
    return hashlib.sha256(key.encode() + text).hexdigest()


@lru_cache(maxsize=1)
def _code() -> str:
    """What the package's code is, so that a count never outlives what was counted."""
    root, found = Path(zoetrope.__file__).parent, hashlib.sha256(zoetrope.__version__.encode())
    for path in sorted(root.rglob("*.py")):
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def _plain(tally: Tally) -> list[list[Any]]:
    return [[*operation, count] for operation, count in tally.items()]


def _tally(rows: list[list[Any]]) -> Tally:
    return Counter({Operation(*row[:-1]): row[-1] for row in rows})
