"""What the parts of `gpu.py` write with: cases that are recorded as they end, whatever ends them."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from _machine import Place, place

RESULTS, NOW = "results.jsonl", "now.txt"
LEFT_OUT = "left out: "  # begins the error of what there was no time for: it is run when the folder goes on
LONGEST = 300  # letters of an error


class Bench:
    """One part of the run: where it runs, how long it may, and the file that its cases are written to.

    Attributes:
        part: its name.
        out: the folder of the results.
        device: "cuda" or "cpu". Nothing touches a GPU before `here` is asked for, so that processes can be forked.
        rehearse: whether everything is tiny, only to see that it runs.
        options: further options of the command line.
    """

    def __init__(self, part: str, out: Path, device: str, seconds: float, rehearse: bool, options: Any = None):
        self.part, self.out, self.device, self.rehearse, self.options = part, out, device, rehearse, options
        self._end = time.monotonic() + seconds
        self._done = {line["what"] for line in self._told() if not left_out(line)}

    @property
    def here(self) -> Place:
        """The device, with the type that training would choose there."""
        return place(self.device, None)

    def found(self) -> dict[str, dict[str, Any]]:
        """What the cases of this part have found so far, without those that failed."""
        return {line["what"]: line for line in self._told() if "error" not in line}

    def _told(self) -> list[dict[str, Any]]:
        return [line for line in lines(self.out) if line["part"] == self.part]

    def left(self) -> float:
        """Seconds until the part has to end."""
        return self._end - time.monotonic()

    def tell(self, what: str, **found: Any) -> None:
        """Append a line to the results."""
        tell(self.out, {"part": self.part, "what": what, **found})

    def case(self, what: str, run: Callable[[], dict[str, Any]]) -> bool:
        """Run and record one case: what it found, or its error; True if it is there. One recorded before is not run.

        An error of the GPU itself ends the process, in which nothing would work any more; the part is then begun again
        in another one, after this case.
        """
        if what in self._done:
            return False
        if self.left() <= 0:
            self.tell(what, error=f"{LEFT_OUT}the time of this part is over")
            return False
        now, begin = self.out / NOW, time.monotonic()
        now.write_text(what)
        try:
            found = run()
        except Exception as error:
            self.tell(what, error=shown(error))
            if is_fault(error):
                raise
            return False
        else:
            self.tell(what, **found, took=time.monotonic() - begin)
            return True
        finally:
            now.unlink(missing_ok=True)


def is_fault(error: BaseException) -> bool:
    """Whether an error leaves the process without a GPU that works, as a failed assertion in a kernel does."""
    return "CUDA error" in str(error) or type(error).__name__ == "AcceleratorError"


def shown(error: BaseException) -> str:
    """The kind of an error and its first lines."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:LONGEST]


def left_out(line: dict[str, Any]) -> bool:
    """Whether a line tells of a case that there was no time for."""
    return str(line.get("error", "")).startswith(LEFT_OUT)


def tell(out: Path, line: dict[str, Any]) -> None:
    """Append a line to the results of a folder, after one that a kill cut short on a line of its own."""
    path = out / RESULTS
    cut = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * cut + json.dumps(line) + "\n")


def lines(out: Path) -> list[dict[str, Any]]:
    """The results so far; lines that a kill cut short are dropped."""
    return list(_lines(out / RESULTS))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for text in path.read_text("utf-8").splitlines():
        with suppress(ValueError):
            yield json.loads(text)
