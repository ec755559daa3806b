"""Put trained runs together to the model that ships: `zoetrope/models/mini`.

    python benchmarks/package_mini.py runs/base runs/tsr1 runs/ssr1 ... --to zoetrope/models/mini

The description is the recipe's, but for stages that were distilled; weights are the runs' averaged ones in bfloat16.
The card that is there stays.
"""

import argparse
from pathlib import Path

import torch

from zoetrope.recipes import load_recipe
from zoetrope.training.trained import gather


def main() -> None:
    """Read the runs, write the model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--recipe", default="mini")
    options = parser.parse_args()
    gathered = gather(options.runs)
    told, found = load_recipe(options.recipe).cascade, {stage.name: stage for stage in gathered.spec.stages}
    stages = [found[stage.name] if found[stage.name].distilled else stage for stage in told.stages]
    spec = told.model_copy(update={"stages": tuple(stages), "teachers": gathered.spec.teachers})
    gathered = gathered._replace(spec=spec)
    gathered.check(gathered.spec.stages)
    card = options.to / "README.md"
    if card.exists():
        gathered = gathered._replace(card=card.read_text())
    gathered.cascade(torch.device("cpu"), torch.float32).save_pretrained(options.to)


if __name__ == "__main__":
    main()
