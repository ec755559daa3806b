"""The command line: `zoetrope VERB`, also `python -m zoetrope VERB`."""

import contextvars
import ctypes
import os
import sys
from collections.abc import Sequence

import typer

from zoetrope.commands import application
from zoetrope.commands._ending import Signals, explained
from zoetrope.commands._talk import fail, speak_safely
from zoetrope.config.errors import nearest, unknown

USAGE_ERROR: type[BaseException] = typer.BadParameter.__mro__[2]
"""Base of what typer raises for a wrong command line, which has moved between versions of typer and click."""

COMPLETE = "_ZOETROPE_COMPLETE"
"""The variable in which shells say that they complete a command line."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # the names of glibc's mallopt


def _spare_the_system() -> None:
    """Make the allocator reuse memory: requesting it from the system takes longer than most of the work done in it.

    With glibc, freed memory stays with the process for reuse, except for blocks of hundreds of megabytes, such as whole
    videos, which go back to the system at once.
    """
    library = ctypes.CDLL(None) if os.name == "posix" else None
    if library is not None and hasattr(library, "mallopt"):
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        library.mallopt(_MMAP_THRESHOLD, 2**25)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 2 for an error that the user can fix, 128 + N after signal N.

    That is 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP, and 138 if SIGUSR1 ends a training. Any other error
    is a bug, and keeps its traceback.
    """
    _spare_the_system()
    speak_safely()
    words = list(sys.argv[1:] if arguments is None else arguments)
    signals = Signals()
    try:
        with signals.caught():
            return contextvars.copy_context().run(_run, words)
    except KeyboardInterrupt as stop:
        fail(str(stop) or "interrupted", "")
        return signals.status
    except Exception as error:
        if signals.received:
            fail("interrupted", "")
            return signals.status
        message = explained(error, next(iter(words), "zoetrope"))
        if message is None:
            raise
        fail(message)
        return 2


def _run(words: list[str]) -> int:
    command = typer.main.get_command(application())
    if COMPLETE in os.environ:  # a shell asks for completions, or for its script
        command.main(words, prog_name="zoetrope", complete_var=COMPLETE)
        return 0
    try:
        with command.make_context("zoetrope", words) as context:
            command.invoke(context)
            sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except BrokenPipeError:  # the reader has closed the pipe, as in `zoetrope show mini | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except USAGE_ERROR as error:
        fail(_usage(error))
        return 2
    return 0


def _usage(error: BaseException) -> str:
    """The message about a wrong command line, in our words where typer's are unclear."""
    near = getattr(error, "possibilities", None)
    if near:
        given = str(getattr(error, "option_name", ""))
        if nearest(given, near) is not None:
            return unknown("option", given, near)
        return f"unknown option {given!r}{_hint(error)}"
    return f"{getattr(error, 'format_message')()}{_hint(error)}"  # noqa: B009


def _hint(error: BaseException) -> str:
    context = getattr(error, "ctx", None)
    return f" (see {context.command_path} --help)" if context is not None else ""


if __name__ == "__main__":
    sys.exit(main())
