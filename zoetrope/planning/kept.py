"""A cache of counts between plans, in `plans` of the cache folder.

The key of a count is all that it depends on: the stage, its training, the package's own code and PyTorch. The cache is
optional: damaged entries and failures to write are ignored, and the oldest entries are evicted.
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
from zoetrope.cascade.spec import StageSpec
from zoetrope.config import packages_of
from zoetrope.config.strict_json import parse_json
from zoetrope.files import cache_folder, write_text
from zoetrope.files.plain import read_plain
from zoetrope.planning import work
from zoetrope.planning.count import Operation, Tally
from zoetrope.planning.work import TOKENS, Sampling, Training
from zoetrope.training.grids import stretches
from zoetrope.training.spec import TrainSpec

Value = TypeVar("Value")

log = logging.getLogger(__name__)
MOST = 512  # counts in the cache, some ten kilobytes each
LARGEST = 2**22  # bytes of one count


def sampling(
    stage: StageSpec, dtype: torch.dtype, memory: int | None, device: torch.device, card: int | None = None
) -> Sampling:
    """`zoetrope.planning.work.sampling`, cached if `memory` or `card` is given: else it depends on what is free now."""
    if memory is None and card is None:
        return work.sampling(stage, dtype, None, device)

    def count() -> list[Any]:
        one = work.sampling(stage, dtype, memory, device, card)
        return [*one[:4], _plain(one.whole), one.peak]

    def read(value: list[Any]) -> Sampling:
        parameters, weight_bytes, forward, step, whole, peak = value
        return Sampling(parameters, weight_bytes, forward, step, _tally(whole), peak)

    what = {"what": "sampling", "dtype": str(dtype), "memory": memory, "device": device.type, "card": card}
    return _kept(stage, what, count, read)


def training(stage: StageSpec, spec: TrainSpec, dtype: torch.dtype) -> Training:
    """`zoetrope.planning.work.training`, cached."""

    def count() -> list[Any]:
        return [[_plain(tally), peak] for _, tally, peak in work.training(stage, spec, dtype).phases]

    def read(value: list[Any]) -> Training:
        phases = zip([phase for phase, _ in stretches(spec)], value, strict=True)
        return Training([(phase, _tally(tally), int(peak)) for phase, (tally, peak) in phases])

    return _kept(stage, {"what": "training", "dtype": str(dtype), "spec": spec.to_json()}, count, read, spec)


def _kept(
    stage: StageSpec, what: dict[str, Any], count: Callable[[], Any], read: Callable[[Any], Value], *configs: TrainSpec
) -> Value:
    """A count from the cache, or counted now and cached; with kinds of other packages it is always counted anew."""
    if packages_of(stage, *configs):
        return read(count())
    what |= {"stage": stage.to_json(), "tokens": TOKENS, "code": _code(), "torch": torch.__version__}
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    with suppress(ValueError, TypeError):  # entries that someone else wrote
        if (known := _stored(key)) is not None:
            return read(known)
    value = count()
    _store(key, value)
    return read(value)


def _folder() -> Path:
    return cache_folder("plans")


def _stored(key: str) -> Any:
    """The cached value; None if it is missing or damaged."""
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
    """A digest of the package's code, so that a count never outlives the code that it describes."""
    root, found = Path(zoetrope.__file__).parent, hashlib.sha256(zoetrope.__version__.encode())
    for path in sorted(root.rglob("*.py")):
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def _plain(tally: Tally) -> list[list[Any]]:
    return [[*operation, count] for operation, count in tally.items()]


def _tally(rows: list[list[Any]]) -> Tally:
    return Counter({Operation(*row[:-1]): row[-1] for row in rows})
