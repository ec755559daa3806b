"""Weights & Biases; WANDB_MODE=offline keeps everything in the run's folder until `wandb sync`."""

import json
import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from zoetrope.config.errors import shown
from zoetrope.files import write_text
from zoetrope.files.plain import read_json
from zoetrope.training.trackers import Connection, Tracker
from zoetrope.wording import one_line

FILE = "wandb.json"
OFFLINE = ("offline", "dryrun", "disabled")  # modes in which nothing is sent


class Wandb(Tracker):
    """A run of a project, the same one each time the training is resumed.

    Attributes:
        project: its name there.
        entity: its owner; None is the account's default.
    """

    project: str
    entity: str | None = None

    def check(self) -> None:
        """See `Tracker`."""
        try:
            import wandb  # noqa: F401
        except ImportError as error:
            raise ValueError(f"wandb: expected the package to be installed ({error}); try: pip install wandb") from None
        if not _may_send():
            raise ValueError(
                "wandb: expected a login, got none; `wandb login` makes one, or WANDB_API_KEY names its key, or "
                "WANDB_MODE=offline keeps everything here"
            )

    def open(self, run: Path, examples: int, recipe: Mapping[str, Any]) -> Connection:
        """See `Tracker`. Raises ValueError for a file of the run's id that holds something else."""
        self.check()
        import wandb

        file = run / FILE
        if not file.exists():
            write_text(file, json.dumps({"id": uuid.uuid4().hex[:12]}))
        told = read_json(file)
        if not isinstance(told, dict) or not isinstance(name := told.get("id"), str):
            raise ValueError(
                f'{file}: expected an object with the "id" of the run at Weights & Biases, got {shown(told)}'
            )
        line = wandb.init(
            project=self.project,
            entity=self.entity,
            id=name,
            name="/".join(run.resolve().parts[-2:]),
            resume="allow",
            dir=str(run),
            config=dict(recipe),
            settings=wandb.Settings(silent=True),
        )
        # A resumed training sends some positions twice, which wandb's own step counter would refuse.
        line.define_metric("*", step_metric="examples")
        return _Line(line, wandb.Image)


def _may_send() -> bool:
    """Whether there is a login to send with, where wandb looks for one, or nothing is to be sent. Asks no server."""
    import wandb

    if any(os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")):
        return True
    try:
        settings: Any = wandb.setup().settings
    except Exception as error:  # whatever it raises for settings that it does not know
        raise ValueError(f"wandb: {one_line(str(error))}") from error
    if settings.mode in OFFLINE or settings.api_key or _in_netrc(urlsplit(settings.base_url).netloc):
        return True
    if wandb.run is None:
        wandb.teardown()  # so that it looks at the environment again, should the user now change that
    return False


def _in_netrc(host: str) -> bool:
    """Whether a file of logins has one for a host."""
    own = os.environ.get("NETRC")
    for path in (own,) if own else (Path.home() / ".netrc", Path.home() / "_netrc"):
        with suppress(OSError, NetrcParseError):
            if netrc(path).authenticators(host):
                return True
    return False


class _Line(Connection):
    def __init__(self, line: Any, image: Any) -> None:
        self.line, self.image = line, image

    def scalars(self, examples: int, values: Mapping[str, float]) -> None:
        self.line.log({**values, "examples": examples})

    def sheet(self, examples: int, picture: Path) -> None:
        self.line.log({"samples": self.image(str(picture)), "examples": examples})

    def close(self) -> None:
        self.line.finish()
