"""`zoetrope serve`: a page, and JSON over HTTP, to make videos with."""

import os
import re
import secrets
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoetrope.commands._ending import interrupted_saying
from zoetrope.commands._options import Trust, at_least, bytes_named, expect_device_name, expect_dtype_name
from zoetrope.commands._sampling import DType
from zoetrope.commands._talk import Talk
from zoetrope.config.extras import needed

if TYPE_CHECKING:
    from zoetrope.serving.engine import Engine
    from zoetrope.serving.limits import Limits
    from zoetrope.serving.offers import Offer
    from zoetrope.serving.views import Views

Served = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="[NAME=]MODEL",
        help="A model to offer, under this name: a shipped name, a folder, a hub id, a run, or a folder of runs. "
        "Repeatable. [all that are shipped]",
    ),
]
FolderName = Annotated[
    Path, typer.Option("--folder", metavar="DIR", help="The history: jobs, their videos, and files sent for them.")
]
Api = Annotated[bool, typer.Option("--api", help="JSON over HTTP alone, without the page.")]
Host = Annotated[
    str, typer.Option(metavar="ADDRESS", help="Where to listen. Other machines reach only another than this one.")
]
Port = Annotated[int, typer.Option(help="0: any that is free.")]
TokenGiven = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        envvar="ZOETROPE_TOKEN",
        help="What clients have to know; 16 letters or more. [on loopback none; elsewhere a new one, which is printed]",
    ),
]
Runs = Annotated[list[Path] | None, typer.Option("--runs", metavar="DIR", help="Trainings to show. Repeatable.")]
Reports = Annotated[
    list[Path] | None, typer.Option("--reports", metavar="DIR", help="Evaluations to show. Repeatable.")
]
Devices = Annotated[
    list[str] | None,
    typer.Option("--device", metavar="NAME", help="cpu, cuda, cuda:1, mps. Repeatable: a process for each. [the best]"),
]
MemoryEach = Annotated[
    str | None, typer.Option("--memory", metavar="SIZE", help="The most that each process may hold, such as 4GB.")
]
MOST_CONNECTIONS = 256
"""Connections at a time; more are answered with 503."""


def serve(
    model: Served = None,
    folder: FolderName = Path("served"),
    api: Api = False,
    host: Host = "127.0.0.1",
    port: Port = 7860,
    token: TokenGiven = None,
    runs: Runs = None,
    reports: Reports = None,
    most_waiting: Annotated[int, typer.Option(metavar="N", help="Jobs that wait.")] = 32,
    most_seconds: Annotated[int, typer.Option(metavar="S", help="Work on one job.")] = 3600,
    most_upload: Annotated[str, typer.Option(metavar="SIZE", help="One file that is sent.")] = "64MiB",
    most_disk: Annotated[str, typer.Option(metavar="SIZE", help="All jobs; then no more are taken.")] = "10GiB",
    device: Devices = None,
    dtype: DType = "auto",
    memory: MemoryEach = None,
    trust: Trust = None,
    worker: Annotated[bool, typer.Option("--worker", hidden=True)] = False,
) -> None:
    """Make videos in a browser, or by JSON over HTTP.

    With a queue, previews while they are made, and a history.
    """
    own = WorkerOptions(model, dtype, memory, trust)
    if worker:
        from zoetrope.commands._working import work

        work(own, device[0] if device else None)
        return
    at_least("--port", port, 0, 65535)
    at_least("--most-waiting", most_waiting, 1)
    at_least("--most-seconds", most_seconds, 1)
    sizes = {"upload": bytes_named(most_upload, "--most-upload"), "disk": bytes_named(most_disk, "--most-disk")}
    if memory is not None:
        bytes_named(memory)
    expect_dtype_name(dtype)
    for name in device or ():
        expect_device_name(name)
    needed("uvicorn", "ui", "serve")
    needed("starlette", "ui", "serve")

    from zoetrope.serving.limits import Limits
    from zoetrope.serving.views import Views

    limits = Limits(queue=most_waiting, seconds=most_seconds, **sizes)
    views = Views(*([Path(os.path.expanduser(path)) for path in paths or []] for paths in (runs, reports)))
    address = Address(host, port, _token(token, host))
    commands = [own.words(name) for name in device or []] or [own.words(None)]
    folder = Path(os.path.expanduser(folder))
    from zoetrope.files import alone

    with alone(folder, f"--folder {folder}: another server works here; end it, or choose another"):
        _serve(address, _engine(folder, own, commands, limits), views, page=not api)


class Address(NamedTuple):
    """Where to listen, and what clients have to know."""

    host: str
    port: int
    token: str | None


class WorkerOptions(NamedTuple):
    """Options that the processes get, and with which they run every command."""

    models: list[str] | None
    dtype: str
    memory: str | None
    trust: list[str] | None

    def offers(self) -> "list[Offer]":
        """The models to offer. Raises ValueError for two of one name."""
        from zoetrope.serving.offers import Offer, shipped_names

        found = [Offer.of(text) for text in self.models or shipped_names()]
        names = [offer.name for offer in found]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"--model: expected one model of the name {twice!r}, got two; name them as NAME=MODEL")
        return found

    def words(self, device: str | None) -> list[str]:
        """The words that start a process on a device."""
        models = [f"--model={offer.name}={offer.target}" for offer in self.offers()]
        return ["serve", "--worker", *models, *self.everywhere(device)]

    def everywhere(self, device: str | None) -> list[str]:
        """The words that every command gets."""
        told = {"device": device, "dtype": self.dtype, "memory": self.memory}
        return [
            *(f"--{name}={value}" for name, value in told.items() if value is not None),
            *(f"--trust={package}" for package in self.trust or []),
        ]


def _token(given: str | None, host: str) -> str | None:
    """What clients have to know; None: nothing. Raises ValueError for a token that is soon guessed."""
    from zoetrope.serving.guard import is_loopback

    if given is not None and not re.fullmatch(r"[A-Za-z0-9_-]{16,200}", given):
        raise ValueError("--token: expected 16 to 200 letters, digits, '-' and '_'")
    return given or (None if is_loopback(host) else secrets.token_urlsafe(24))


def _engine(folder: Path, own: WorkerOptions, commands: list[list[str]], limits: "Limits") -> "Engine":
    from zoetrope.serving.engine import Engine
    from zoetrope.serving.process import usual_command

    return Engine(folder, own.offers(), [usual_command(words) for words in commands], limits)


def _serve(address: Address, engine: "Engine", views: "Views", *, page: bool) -> None:
    """Listen until a signal ends it."""
    import uvicorn

    from zoetrope.serving.app import application
    from zoetrope.serving.guard import is_loopback

    talk = Talk(json=False, quiet=False)
    for name, reason in engine.history.unreadable.items():
        talk.warn(f"{engine.history.folder / name}: is left as it is, for it cannot be read ({reason})")

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            engine.close()  # who follows jobs would keep their connections
            await super().shutdown(sockets)

    app: Any = application(engine, views, token=address.token, loopback=is_loopback(address.host), page=page)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.create_server((address.host, address.port), family=family) as listening:
        port = listening.getsockname()[1]
        host = f"[{address.host}]" if ":" in address.host else address.host
        secret = "" if address.token is None else f"?token={address.token}"
        talk.say(f"http://{host}:{port}/{secret if page else 'api'}  (history: {engine.folder})")
        if address.token is not None and not page:
            talk.say(f"token: {address.token}")
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, limit_concurrency=MOST_CONNECTIONS,
            timeout_keep_alive=5, timeout_graceful_shutdown=5, http="h11", ws="none", lifespan="on",
        )  # fmt: skip
        with interrupted_saying(lambda: "stopped; jobs that had not ended wait for the next server"):
            Server(config).run(sockets=[listening])
