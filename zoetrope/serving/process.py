"""The server's side of a process that works on jobs."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

LONGEST = 2**26  # bytes of a line; a label may have 65,536 classes
GRACE = 10.0
"""Seconds for a job to end by itself once it is cancelled; then its process is ended, and another one begins."""

OnEvent = Callable[[Mapping[str, Any]], None]


class Lost(Exception):
    """The process ended while it worked."""


class WorkerProcess:
    """One process, started when it is needed.

    Attributes:
        models: what it said of the models that the server offers; None: it has not said it yet.
    """

    def __init__(self, command: Sequence[str]) -> None:
        """`command` starts a process that speaks as `zoetrope.serving.worker` does."""
        self.command = list(command)
        self.models: list[dict[str, Any]] | None = None
        self.process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The number of the process; None: it does not run."""
        return None if self.process is None or self.process.returncode is not None else self.process.pid

    async def start(self) -> None:
        """Start it, if it does not run, and wait until it is ready. Raises Lost if it ends before that."""
        if self.pid is not None:
            return
        pipe = asyncio.subprocess.PIPE
        # A session of its own: Ctrl-C in the terminal is for the server, which then ends it.
        apart: dict[str, Any] = {"start_new_session": True} if os.name == "posix" else {}
        self.process = await asyncio.create_subprocess_exec(
            *self.command, stdin=pipe, stdout=pipe, limit=LONGEST, **apart
        )
        told = await self._next()
        while told.get("event") != "ready":
            told = await self._next()
        self.models = list(told["models"])

    async def run(
        self, job: str, folder: Path, words: Sequence[str], told: OnEvent, seconds: float
    ) -> Mapping[str, Any]:
        """Work on a job and return the event of its end; the others go to `told`.

        Raises TimeoutError after so many `seconds`, and Lost if the process ends; it is then started anew.
        """
        await self._send({"do": "run", "job": job, "folder": str(folder), "words": list(words)})
        try:
            async with asyncio.timeout(seconds):
                while True:
                    event = await self._next()
                    if event.get("job") != job:
                        continue
                    if event.get("event") == "ended":
                        return event
                    told(event)
        except TimeoutError:
            await self.end()
            raise

    async def cancel(self, job: str) -> None:
        """Ask for the end of a job."""
        with suppress(Lost):
            await self._send({"do": "cancel", "job": job})

    async def end(self) -> None:
        """End the process: by the end of its input, and after a while by force."""
        process, self.process = self.process, None
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(GRACE):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def kill(self) -> None:
        """End the process at once; whoever waits for it gets Lost."""
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.kill()

    async def _send(self, value: Mapping[str, Any]) -> None:
        if self.process is None or self.process.stdin is None:
            raise Lost("it does not run")
        try:
            self.process.stdin.write(json.dumps(value).encode() + b"\n")
            await self.process.stdin.drain()
        except (ConnectionError, BrokenPipeError):
            raise Lost(await self._fate()) from None

    async def _next(self) -> Mapping[str, Any]:
        if self.process is None or self.process.stdout is None:
            raise Lost("it does not run")
        try:
            line = await self.process.stdout.readline()
        except ValueError:
            self.kill()
            await self.process.stdout.read()  # to its end, or the pipe would stay open
            raise Lost(f"its process said more than {LONGEST:,} bytes in a line") from None
        if not line:
            raise Lost(await self._fate())
        try:
            value = json.loads(line)
        except ValueError:  # it was killed while it spoke
            self.kill()
            raise Lost(await self._fate()) from None
        return value if isinstance(value, dict) else {}

    async def _fate(self) -> str:
        """How the process ended."""
        status = None if self.process is None else await self.process.wait()
        if status is not None and status < 0:
            return f"its process was ended by signal {-status}; perhaps memory ran out"
        return f"its process ended with status {status}"


def usual_command(words: Sequence[str]) -> list[str]:
    """The command of a worker: this Python, and the words of Zoetrope's command line."""
    return [sys.executable, "-m", "zoetrope", *words]
