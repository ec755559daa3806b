"""A training as it is followed on the terminal, until it ends or is ended by a signal."""

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoetrope.commands._ending import interrupt
from zoetrope.commands._talk import Talk

if TYPE_CHECKING:
    from zoetrope.training.loop import Metrics, Run

ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGBREAK")


def follow(talk: Talk, run: "Run", verb: str, out: Path) -> "Metrics | None":
    """Train to the end and show progress; Ctrl-C stops after the current step, with a checkpoint.

    `verb` is the command that resumes the folder `out`.
    """
    last: Metrics | None = None
    with _stopping(run, verb, out) as received, talk.bars() as bars:
        bars.begin(run.stage.name, run.spec.examples)
        bars.advance(run.state.examples)
        try:
            for last in run.train():
                loss = "-" if last.loss is None else f"{last.loss:.4f}"
                with suppress(OSError):  # a terminal that is closed ends a training by a signal, and not in here
                    bars.advance(last.examples, f"loss {loss}, {last.examples_per_second:.1f} examples/s")
        except FloatingPointError as error:
            raise ValueError(f"{run.folder}: {error}; try a lower training.phases.0.peak") from None
    if run.state.examples < run.spec.examples:  # told to stop, or another process was
        raise interrupt(_kept(run, verb, out), received[-1] if received else 0)
    return last


def _kept(run: "Run", verb: str, out: Path) -> str:
    """The message when a training is interrupted between steps."""
    if run.state.examples == 0:
        return "interrupted before the first step: nothing is kept"
    return (
        f"interrupted: a checkpoint is kept at {run.state.examples} examples; "
        f"to go on: zoetrope {verb} --out {shlex.quote(str(out))} --resume"
    )


@contextmanager
def naming(out: Path) -> Iterator[None]:
    """Name the run in system errors that name no file, such as a full disk."""
    try:
        yield
    except OSError as error:
        if error.strerror and error.filename is None:
            raise OSError(error.errno, error.strerror, str(out)) from error
        raise


@contextmanager
def _stopping(run: "Run", verb: str, out: Path) -> Iterator[list[int]]:
    """Let the first terminating signal end the training between two steps; a second ends it at once.

    Signals that the caller has disabled, as with nohup, stay disabled. Yields the list of received signals.
    """
    received: list[int] = []

    def stop(number: int, frame: Any) -> None:
        received.append(number)
        for name, handler in before.items():
            signal.signal(name, handler)
        if not run.stop():
            raise interrupt(_kept(run, verb, out), number)

    known = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
    kept = [one for one in known if one == signal.SIGINT or signal.getsignal(one) is not signal.SIG_IGN]
    before = {one: signal.signal(one, stop) for one in kept}
    try:
        yield received
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
