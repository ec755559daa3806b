"""Signals as exceptions, so that half-written files are removed."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Never

_NAMES = ("SIGTERM", "SIGHUP")


@contextmanager
def unwinding() -> Iterator[None]:
    """SIGTERM and SIGHUP raise SystemExit in this block, with the status that shells give to a death by the signal.

    Signals that the program handles or ignores stay as they are, and so does everything outside the main thread,
    where Python has no handlers.
    """
    main = threading.current_thread() is threading.main_thread()
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)] if main else []
    ours = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in ours:
            if signal.getsignal(number) is _end:
                signal.signal(number, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> Never:
    sys.exit(128 + number)
