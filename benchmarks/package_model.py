"""Put trained and distilled runs together to a model that ships, such as `zoetrope/models/mini`.

    python benchmarks/package_model.py runs/base runs/tsr1 runs/ssr1 ... --to zoetrope/models/mini
    python benchmarks/package_model.py runs/base-8 runs/tsr1-8 runs/ssr1-8 ... --to zoetrope/models/mini
    python benchmarks/package_model.py mini runs/base-8 --to zoetrope/models/mini
    python benchmarks/package_model.py mini runs/base-8 --to zoetrope/models/mini_latents --share mini
    python benchmarks/package_model.py runs/mini_image --to zoetrope/models/mini_image
    python benchmarks/package_model.py runs/emoji --to zoetrope/models/emoji --eight-bits --trained-on "animated emoji"

The description is the recipe's, which has the model's name, but for stages that were distilled; weights are the runs'
averaged ones in bfloat16, or with --eight-bits in 8 bits. The originals of distilled stages go with them in 8 bits. For
each stage and each original a line tells how far 8 bits and bfloat16 take the weights, and what the network makes of
noise, from the weights that were given, in per cent of their size. Nothing is written if it would be more than --most.
The card and the scores that are there stay. With --share, stages of a shipped model are not stored again.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.config import unknown
from zoetrope.inputs import Extent
from zoetrope.inputs.low_res import LEVEL
from zoetrope.models.cascade import Cascade
from zoetrope.models.finding import shipped
from zoetrope.models.folder import FILE, SHARES
from zoetrope.models.opening import OpenModel, open_model
from zoetrope.models.weights import read_weights, write_weights
from zoetrope.networks import Network
from zoetrope.recipes import load_recipe

SCORES = "scores.json"
KINDS = (("8 bits", torch.int8), ("bfloat16", torch.bfloat16))
TOYBOX = "toybox, a procedural world of flat coloured shapes that move"
TOKENS = 8
FRAMES, HEIGHT, WIDTH = 16, 48, 80  # as much of a stage's shape is enough to tell its network's error


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the runs, write the model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--recipe", help="the name of the model's folder by default")
    parser.add_argument("--most", type=float, default=60.0, metavar="MB", help="largest size of the model")
    parser.add_argument("--eight-bits", action="store_true", help="weights in 8 bits, all stages'")
    parser.add_argument(
        "--trained-on", default=TOYBOX, metavar="TEXT", help="what the data are; %(default)s by default"
    )
    parser.add_argument("--share", metavar="MODEL", help="the shipped model whose stages, named too, are left out")
    options = parser.parse_args(arguments)
    if options.share is not None and options.share not in shipped():
        raise SystemExit(f"--share: {unknown('model', options.share, shipped())}")
    dtype = torch.int8 if options.eight_bits else torch.bfloat16
    model = _described(open_model(options.runs), options.recipe or options.to.name, options.trained_on)
    model.check(model.spec.stages)
    if model.spec.teachers:
        model.originals().check(model.spec.teachers)
    card = options.to / "README.md"
    if card.exists():
        model = model._replace(card=card.read_text("utf-8"))
    scores = options.to / SCORES
    measured = scores.read_text() if scores.exists() else None
    with tempfile.TemporaryDirectory() as scratch:
        trial = Path(scratch) / "model"
        _save(model, trial, dtype, options.share)
        size = sum(file.stat().st_size for file in trial.rglob("*") if file.is_file()) / 1e6
        if size > options.most:
            raise SystemExit(f"{options.to}: the model would take {size:.1f} MB, more than {options.most:g}")
        for stage in (*model.spec.teachers, *model.spec.stages):
            told = ", ".join(f"{kind} {_errors(model, stage, Path(scratch), one)}" for kind, one in KINDS)
            print(f"{stage.name}{', distilled' if stage.distilled else ''}: {told}")
    _save(model, options.to, dtype, options.share)
    if measured is not None:
        scores.write_text(measured)
    distilled = [stage.name for stage in model.spec.stages if stage.distilled]
    print(f"{options.to}: {size:.1f} MB; distilled: {', '.join(distilled) or 'none'}")


def _described(model: OpenModel, recipe: str, trained_on: str) -> OpenModel:
    """The runs' weights with the recipe's description, which may have changed since they were trained."""
    told, found = load_recipe(recipe).cascade, {stage.name: stage for stage in model.spec.stages}
    if lost := [stage.name for stage in told.stages if stage.name not in found]:
        raise SystemExit(f"expected a run for every stage of {recipe}, got none for {', '.join(lost)}")
    stages = [found[stage.name] if found[stage.name].distilled else stage for stage in told.stages]
    spec = told.with_(stages=tuple(stages), teachers=model.spec.teachers, trained_on=trained_on)
    return model._replace(spec=type(spec).from_json(spec.to_json()))


def _save(model: OpenModel, folder: Path, dtype: torch.dtype, share: str | None) -> None:
    Cascade.of(model).save_pretrained(folder, dtype=dtype, teacher_dtype=torch.int8)
    if share is None:
        return
    home = shipped()[share]
    shared = [stage.name for stage in model.spec.stages if model.file(stage).is_relative_to(home)]
    for stage in shared:
        shutil.rmtree(folder / stage)
    told = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps({**told, SHARES: dict.fromkeys(shared, share)}, indent=1) + "\n")


def _errors(model: OpenModel, stage: StageSpec, scratch: Path, dtype: torch.dtype) -> str:
    """How far weights in `dtype`, and what becomes of noise with them, are from those that were given."""
    exact, stored = stage.network.build().eval(), stage.network.build().eval()
    read_weights(exact, model.file(stage))
    path = scratch / "one.safetensors"
    write_weights(exact, path, dtype)
    read_weights(stored, path)
    own, other = (torch.cat([value.flatten() for value in net.state_dict().values()]) for net in (exact, stored))
    return (
        f"weights {_relative(other, own):.2%}, outputs {_relative(_output(stored, stage), _output(exact, stage)):.2%}"
    )


@torch.no_grad()
def _output(network: Network, stage: StageSpec) -> Tensor:
    """What a network makes of noise at three levels, told random values of all that it reads."""
    draw = torch.Generator().manual_seed(0)
    shape, config = stage.shape, stage.network
    grid = (min(shape.frames, FRAMES), min(shape.height, HEIGHT), min(shape.width, WIDTH))
    extent = Extent(3, grid, TOKENS, config.text_width or 0, channels=config.channels)
    blank = Conditioning()
    for each in stage.all_inputs:
        blank = blank | each.blank(extent)
    given = Conditioning(
        tokens={name: told.each(lambda value: _random(value, draw)) for name, told in blank.tokens.items()},
        maps={name: _random(value, draw).clamp(-1, 1) for name, value in blank.maps.items()},
        numbers={name: torch.full_like(value, float(name != LEVEL)) for name, value in blank.numbers.items()},
    )
    z = torch.randn(3, config.channels, *grid, generator=draw)
    return network(z, torch.tensor([-6.0, 0.0, 6.0]), given)


def _random(value: Tensor, draw: torch.Generator) -> Tensor:
    """Noise like the value; a mask as it is."""
    return torch.randn(value.shape, generator=draw) if value.is_floating_point() else value


def _relative(value: Tensor, exact: Tensor) -> float:
    return float((value - exact).norm() / exact.norm())


if __name__ == "__main__":
    main()
