"""The arms of a study: trainings that differ in one thing, and whether a folder's run is one of them."""

from pathlib import Path
from typing import NamedTuple

import torch

from zoetrope.config import packages_of
from zoetrope.config.differences import differences
from zoetrope.config.foreign import trusting
from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.training.loop import Run
from zoetrope.training.spec import Phase, Recipe
from zoetrope.training.state import read_metrics
from zoetrope.training.trained import InitialWeights, initial_weights, run_recipe

CPU = torch.device("cpu")
DEVICE = torch.device("cuda") if torch.cuda.is_available() else CPU


class Arm(NamedTuple):
    """A training: the stage of a recipe. One that several studies have in common has a name for all of them.

    `init` names a model whose weights it begins with.
    """

    recipe: Recipe
    stage: str = "base"
    common: str | None = None
    init: str | None = None

    def phases(self, scale: float) -> list[Phase]:
        """Its phases, of this share of their examples."""
        return [shortened(phase, scale) for phase in self.recipe.train_spec(self.stage).phases]

    def asked(self, scale: float, seed: int) -> Recipe:
        """The recipe with this seed, for this share of its examples, of which as many lines of metrics tell."""
        phases = [phase.to_json() for phase in self.phases(scale)]
        often = max(1, round(self.recipe.train_spec(self.stage).log_every * min(1.0, scale)))
        fields = {"phases": phases, "seed": seed, "log_every": often}
        return self.recipe.overridden({f"{self.stage}.training.{name}": value for name, value in fields.items()})

    def trained(self, folder: Path, scale: float, seed: int = 0) -> bool:
        """Whether it was trained to its end there. Raises ValueError for a run of another recipe, or another share."""
        found = checkpoints(folder)
        if not found:
            return False
        wanted = self.asked(scale, seed)
        with trusting(*packages_of(wanted)):
            there, _ = run_recipe(folder)
        if (other := next(differences(wanted.to_json(), there.to_json()), None)) is not None:
            raise ValueError(
                f"{folder}: expected a run of this study's recipe, got one with another {other.path}; give another "
                "--out, or move it away with what was measured of it"
            )
        return int(found[-1].name) >= sum(phase.examples for phase in self.phases(scale))

    def train(self, folder: Path, scale: float, seed: int) -> None:
        """Train it, or go on with it, with this seed, for this share of its examples."""
        recipe = self.asked(scale, seed)
        for _ in Run(recipe, self.stage, folder, DEVICE, self._weights(recipe)).train():
            pass

    def _weights(self, recipe: Recipe) -> InitialWeights | None:
        """The weights that it begins with. Raises ValueError unless they fit."""
        if self.init is None:
            return None
        weights = initial_weights(self.init, self.stage)
        weights.check(recipe, self.stage)
        return weights


def shortened(phase: Phase, scale: float) -> Phase:
    """A phase of this share of its examples, two batches at least."""
    return phase.with_(examples=max(2 * phase.batch, round(phase.examples * scale)))


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return find_checkpoints(folder / "checkpoints")


def minutes(folder: Path) -> float:
    """How long a run trained."""
    lines = read_metrics(folder / "metrics.jsonl")
    return float(lines[-1]["seconds"]) / 60 if lines else 0.0
