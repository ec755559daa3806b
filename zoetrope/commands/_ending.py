"""Early ends of commands: by a signal, for lack of memory, or by an error that the user can fix."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import ClassVar

from zoetrope.cascade.room import lacks_memory

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_LESS = {
    "train": "a smaller batch needs less, or the same in more parts (training.accumulate)",
    "distill": "a smaller batch needs less, or the same in more parts (training.accumulate)",
}
_TILES = "with --memory SIZE, less than what is there, stages work in tiles"
_HOMELESS = "Could not determine home directory"


class Signals:
    """SIGTERM and SIGHUP as KeyboardInterrupt, so that what is half-written is removed as after Ctrl-C.

    Attributes:
        received: the last signal, 0 for none. A library that is interrupted may turn the interrupt into another error,
            so any error after a signal counts as caused by it.
        active: the signals that are caught now.
    """

    active: ClassVar["Signals | None"] = None

    def __init__(self) -> None:
        self.received = 0

    @property
    def status(self) -> int:
        """The exit status after a KeyboardInterrupt: the one that shells use for a death by the received signal."""
        return 128 + (self.received or int(signal.SIGINT))

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Catch in this block the signals that would end the process at once; ignored ones stay ignored."""
        here = threading.current_thread() is threading.main_thread()
        numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)] if here else []
        usual = (signal.SIG_DFL, signal.default_int_handler)
        before = {number: signal.getsignal(number) for number in numbers}
        ours = {number: handler for number, handler in before.items() if handler in usual}
        for number in ours:
            signal.signal(number, self._end)
        outer, Signals.active = Signals.active, self
        try:
            yield
        finally:
            Signals.active = outer
            for number, handler in ours.items():
                signal.signal(number, handler)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        raise KeyboardInterrupt


def interrupt(message: str, number: int) -> KeyboardInterrupt:
    """An exception that ends the command with this message and a signal's exit status; 0: a signal caught elsewhere."""
    if Signals.active is not None:
        Signals.active.received = number
    return KeyboardInterrupt(message)


@contextmanager
def interrupted_saying(message: Callable[[], str]) -> Iterator[None]:
    """Give this message if the block is interrupted, even if a library turned the interrupt into another error."""
    try:
        yield
    except BaseException as error:
        received = Signals.active is not None and Signals.active.received
        if isinstance(error, KeyboardInterrupt) or (received and isinstance(error, Exception)):
            raise KeyboardInterrupt(message()) from None
        raise


def explained(error: BaseException, verb: str) -> str | None:
    """One line about an error that the user can fix; None for any other."""
    if lacks_memory(error):
        said = str(error).strip().partition("\n")[0]
        line = said if isinstance(error, MemoryError) and said else f"{verb}: out of memory"
        return line if "--memory" in line else f"{line}; {_LESS.get(verb, _TILES)}"
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror}"
    if isinstance(error, ValueError | OSError) or str(error).startswith(_HOMELESS):
        return str(error) or type(error).__name__
    return None
