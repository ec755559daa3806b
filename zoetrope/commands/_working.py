"""A process of `zoetrope serve` that works on jobs: each is a command of this command line, and is watched."""

import io
import json
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import typer

from zoetrope.commands._ending import explained
from zoetrope.commands._options import device_named, dtype_named
from zoetrope.config.foreign import trusting

if TYPE_CHECKING:
    from zoetrope.commands.serve import WorkerOptions
    from zoetrope.serving.worker import Ended, WorkPlace

USAGE_ERROR: type[BaseException] = typer.BadParameter.__mro__[2]
"""Base of what typer raises for a wrong command line."""


def work(own: "WorkerOptions", device: str | None) -> None:
    """Work on what comes in on stdin, until it ends; see `zoetrope.serving.worker`."""
    from zoetrope.serving.worker import Desk

    sink = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is not taken for an event
    desk = Desk(partial(_run, own.everywhere(device)), cache(partial(_place, own, device)), sys.stdin, sink)
    desk.work(lambda: [_described(own, offer.name, offer.target) for offer in own.offers()])


def _described(own: "WorkerOptions", name: str, target: str) -> dict[str, Any]:
    """A model that is offered, or why it cannot be."""
    from zoetrope.serving.describing import describe

    try:
        with trusting(*(own.trust or ())):
            return {"offer": name, **describe(target)}
    except (ValueError, OSError) as error:
        return {"offer": name, "error": str(error).replace(target, name)}


def _place(own: "WorkerOptions", device: str | None) -> "WorkPlace":
    from zoetrope.serving.worker import WorkPlace

    here = device_named(device)
    return WorkPlace(here, dtype_named(own.dtype, here))


def _run(everywhere: Sequence[str], words: Sequence[str]) -> "Ended":
    """Run a command, with the words that all get, as the command line would."""
    from zoetrope.serving.worker import Ended

    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code, error = _status([words[0], *everywhere, *words[1:]])
    notes = [line.removeprefix("warning: ") for line in err.getvalue().splitlines() if line.strip()]
    return Ended(code, json.loads(out.getvalue()) if code == 0 else {}, error, notes)


def _status(words: Sequence[str]) -> tuple[int, str | None]:
    """The status that a command ends with, and its error. One that is a bug goes to stderr with its traceback."""
    from zoetrope.commands import application

    command = typer.main.get_command(application())
    try:
        with command.make_context("zoetrope", list(words)) as context:
            command.invoke(context)
        return 0, None
    except typer.Exit as done:
        return done.exit_code, None
    except KeyboardInterrupt:
        return 130, None
    except USAGE_ERROR as error:
        return 2, str(getattr(error, "message", error))
    except Exception as error:
        message = explained(error, words[0])
        if message is not None:
            return 2, message
        traceback.print_exc(file=sys.__stderr__)
        return 1, f"{type(error).__name__}: {error}"
