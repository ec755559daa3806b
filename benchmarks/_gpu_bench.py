"""What the parts of `gpu.py` write with: cases that are recorded as they end, whatever ends them."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _machine import Place, place

RESULTS, NOW = "results.jsonl", "now.txt"
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
        self._done = {line["what"] for line in lines(out) if line["part"] == part}

    @property
    def here(self) -> Place:
        """The device, with the type that training would choose there."""
        return place(self.device, None)

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
            self.tell(what, error="left out: the time of this part is over")
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


def tell(out: Path, line: dict[str, Any]) -> None:
    """Append a line to the results of a folder."""
    with (out / RESULTS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def lines(out: Path) -> list[dict[str, Any]]:
    """The results so far; a last line that a kill cut short is dropped."""
    return list(_lines(out / RESULTS))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for text in path.read_text("utf-8").splitlines():
        try:
            yield json.loads(text)
        except ValueError:
            return
