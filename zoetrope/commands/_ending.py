"""How commands end early: by a signal, for want of memory, or because of what the user can mend."""

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
        received: the last of the signals that came, 0 for none. Libraries that are interrupted in the wrong moment make
            some other error of the interrupt: whatever is raised after a signal is raised because of it.
        active: those that are caught now.
    """

    active: ClassVar["Signals | None"] = None

    def __init__(self) -> None:
        self.received = 0

    @property
    def status(self) -> int:
        """The exit status after a KeyboardInterrupt: what shells give to a death by the signal that came."""
        return 128 + (self.received or int(signal.SIGINT))

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Catch them in this block, where they would end the process at once; who ignores them goes on to do so."""
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
    """What ends the command with this message, with the exit status of a signal; 0 is one that came elsewhere."""
    if Signals.active is not None:
        Signals.active.received = number
    return KeyboardInterrupt(message)


@contextmanager
def interrupted_saying(message: Callable[[], str]) -> Iterator[None]:
    """Where this block is interrupted, say this, also where a library has made another error of the interrupt."""
    try:
        yield
    except BaseException as error:
        received = Signals.active is not None and Signals.active.received
        if isinstance(error, KeyboardInterrupt) or (received and isinstance(error, Exception)):
            raise KeyboardInterrupt(message()) from None
        raise


def explained(error: BaseException, verb: str) -> str | None:
    """One line on an error that the user can mend; None for one that is ours."""
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
