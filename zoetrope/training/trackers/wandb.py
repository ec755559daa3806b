"""Weights & Biases; WANDB_MODE=offline keeps everything in the run's folder until `wandb sync`."""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoetrope.files import write_text
from zoetrope.files.plain import read_json
from zoetrope.training.trackers import Connection, Tracker

FILE = "wandb.json"


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

    def open(self, run: Path, examples: int, recipe: Mapping[str, Any]) -> Connection:
        self.check()
        import wandb

        file = run / FILE
        if not file.exists():
            write_text(file, json.dumps({"id": uuid.uuid4().hex[:12]}))
        name = read_json(file)["id"]
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


class _Line(Connection):
    def __init__(self, line: Any, image: Any) -> None:
        self.line, self.image = line, image

    def scalars(self, examples: int, values: Mapping[str, float]) -> None:
        self.line.log({**values, "examples": examples})

    def sheet(self, examples: int, picture: Path) -> None:
        self.line.log({"samples": self.image(str(picture)), "examples": examples})

    def close(self) -> None:
        self.line.finish()
