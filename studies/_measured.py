"""Measurements in files, each made once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from zoetrope.config.differences import differences
from zoetrope.files import write_text

WEIGHTS = ".weights.json"  # beside measurements: of which weights they are
Json = dict[str, Any]


class Kept(NamedTuple):
    """Measurements in files, each made once."""

    folder: Path

    def expect(self, networks: Json) -> None:
        """Remember of which weights measurements are. Raises ValueError where some of other weights are kept."""
        path = self.folder / WEIGHTS
        there = json.loads(path.read_text()) if path.exists() else networks
        if (other := next(differences(networks, there), None)) is not None:
            raise ValueError(
                f"{self.folder}: expected measurements of the weights that are there now, got some of others "
                f"({other.path}); give another --out, or move them away"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(networks, indent=1) + "\n")

    def __call__(self, name: str, make: Callable[[], Any]) -> Any:
        """The measurement of this name; `make` gives it if it was not made before."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            made = make()
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(made))
        return json.loads(path.read_text())
