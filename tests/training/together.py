"""What a process of a test under torchrun does: one training after another, as the file that it is given says."""

import json
import sys
from pathlib import Path

import torch

import zoetrope.data
import zoetrope.networks
import zoetrope.text
import zoetrope.training.objectives
from zoetrope.processes.ranks import Ranks
from zoetrope.training.loop import Run
from zoetrope.training.spec import Recipe


def main(plan: Path) -> None:
    """Train what the plan says: [{"run": folder, "recipe": {...}, "until": examples}, ...]."""
    own = str(Path(__file__).parent / "kinds")
    for package in (zoetrope.networks, zoetrope.data, zoetrope.text, zoetrope.training.objectives):
        package.__path__ = [*package.__path__, own]
    device = torch.device("cpu")
    torch.set_num_threads(1)
    ranks = Ranks.join(device)
    for entry in json.loads(plan.read_text()):
        run = Run(Recipe.from_json(entry["recipe"]), "base", Path(entry["run"]), device, ranks=ranks)
        for progress in run.train(plan.parent / "cache"):
            if progress.examples >= entry["until"]:
                run.stop()
    ranks.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
