"""Write the picture encoder that ships, from a finished run of the recipe `pictures`.

    python benchmarks/package_pictures.py runs/pictures

Only the picture tower is kept, in float16, as zoetrope/pictures/small.safetensors.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file

from zoetrope.files import whole
from zoetrope.files.tensors import save_tensors
from zoetrope.models.runs import read_run
from zoetrope.pictures.small import PREFIX, SHIPPED


def package(run: Path, out: Path) -> None:
    """Write the picture tower of a run's newest average."""
    weights = load_file(read_run(run).average_file())
    kept = {name: value.to(torch.float16).contiguous() for name, value in weights.items() if name.startswith(PREFIX)}
    with whole(out) as partial:
        save_tensors(kept, partial)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    asked = parser.parse_args()
    package(asked.run, asked.out)
    print(asked.out)
