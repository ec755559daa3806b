"""Numbers of a run of the suite: their table, and what changed since the last run on the same machine.

A number is named WHAT/QUANTITY, such as "sampling base/seconds"; the quantity says which way is better.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Numbers = Mapping[str, float]
# Quantities in the order of the table's columns: their titles, and whether more is better; None: neither.
QUANTITIES: dict[str, tuple[str, bool | None]] = {
    "seconds": ("seconds", False),
    "examples_per_second": ("examples/s", True),
    "of_peak": ("of matmul peak", True),
    "of_bandwidth": ("of copy bandwidth", True),
    "bytes": ("bytes", False),
    "of_memory": ("of the memory", False),
    "times": ("times ours", True),
    "times_bytes": ("times our memory", True),
    "times_python": ("times an empty Python", False),
    "per_second": ("per second", None),
}
SAME = ("machine", "device", "dtype", "threads", "clock", "quick", "model")  # what makes two runs comparable


class Change(NamedTuple):
    """A number before and now. `share` is by how much it grew; `worse` whether it got worse by more than tolerated."""

    name: str
    before: float
    now: float
    share: float
    worse: bool
    better: bool


def read_history(path: Path) -> list[dict[str, Any]]:
    """All entries, oldest first; none without a file. Raises ValueError that names a line which is not JSON."""
    entries = []
    for number, line in enumerate(path.read_text("utf-8").splitlines() if path.exists() else (), start=1):
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: line {number}: not JSON: {error}") from None
    return entries


def add_entry(path: Path, entry: Mapping[str, Any]) -> None:
    """Append an entry; the file is replaced as a whole, so that an interrupted run leaves no half line."""
    before = path.read_text("utf-8") if path.exists() else ""
    part = path.with_name(path.name + ".part")
    part.write_text(before + json.dumps(entry, sort_keys=True) + "\n", "utf-8")
    os.replace(part, path)


def changes(
    history: Iterable[Mapping[str, Any]], about: Mapping[str, Any], now: Numbers, tolerance: float
) -> list[Change]:
    """What became of each number since the last comparable entry that has it; new and neutral ones are left out.

    A number that should be small is worse beyond before * (1 + tolerance), one that should be large below
    before / (1 + tolerance); better is the same the other way round.
    """
    before: dict[str, float] = {}
    for entry in history:
        if all(entry.get(key) == about.get(key) for key in SAME):
            before.update(entry["numbers"])
    found = []
    for name, value in now.items():
        more = QUANTITIES[name.rpartition("/")[2]][1]
        if name not in before or more is None or not before[name]:
            continue
        ratio = value / before[name]
        grew, shrank = ratio > 1 + tolerance, ratio < 1 / (1 + tolerance)
        worse, better = (shrank, grew) if more else (grew, shrank)
        found.append(Change(name, before[name], value, ratio - 1, worse, better))
    return found


def told(found: Sequence[Change], tolerance: float) -> str:
    """The changes for people, the worst ones first."""
    if not found:
        return "history: nothing to compare with"
    order = sorted(found, key=lambda change: (not change.worse, not change.better, -abs(change.share)))
    lines = [
        f"{'WORSE ' if one.worse else 'better' if one.better else '      '} {one.name}: "
        f"{shown(one.before)} -> {shown(one.now)} ({one.share:+.1%})"
        for one in order
        if one.worse or one.better
    ]
    worse = sum(one.worse for one in found)
    head = f"history: {len(found)} numbers compared, {worse} worse by more than {tolerance:.0%}"
    return "\n".join([head, *lines])


def table(numbers: Numbers) -> str:
    """A markdown table: a row for everything measured, a column for every quantity that there is."""
    rows: dict[str, dict[str, float]] = {}
    for name, value in numbers.items():
        what, _, quantity = name.rpartition("/")
        rows.setdefault(what, {})[quantity] = value
    used = [quantity for quantity in QUANTITIES if any(quantity in row for row in rows.values())]
    lines = ["| | " + " | ".join(QUANTITIES[quantity][0] for quantity in used) + " |", "|---" * (1 + len(used)) + "|"]
    for what, row in rows.items():
        cells = (shown(row[quantity]) if quantity in row else "" for quantity in used)
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def shown(number: float) -> str:
    """Three digits, and a letter for thousands beyond a million."""
    for letter, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if abs(number) >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
