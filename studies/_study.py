"""What all studies share: arms that are trained, measurements that are kept, and a page that says what came of it.

A study compares arms, trainings that differ in one thing. Each is an ordinary run, `OUT/<arm>`, so an interrupted study
goes on where it was; one that other studies train as well is `OUT/../common/<name>`. Every measurement of a study is a
JSON file under `OUT/measured`, made once. The page, with its plot, is written from these files alone.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.models.weights import read_weights
from zoetrope.text import TextEncoder
from zoetrope.text._cache import EmbeddingCache
from zoetrope.training.checkpoints import find_checkpoints
from zoetrope.training.distil import Distillation, is_distillation
from zoetrope.training.loop import Run
from zoetrope.training.precision import compute_dtype
from zoetrope.training.spec import Phase, Recipe
from zoetrope.training.state import read_metrics
from zoetrope.training.trained import run_recipe

CPU = torch.device("cpu")
DEVICE = torch.device("cuda") if torch.cuda.is_available() else CPU
Json = dict[str, Any]


class Arm(NamedTuple):
    """A training: the stage of a recipe. One that several studies have in common has a name for all of them."""

    recipe: Recipe
    stage: str = "base"
    common: str | None = None

    def train(self, folder: Path, scale: float) -> None:
        """Train it, or go on with it, for this share of its examples."""
        spec = self.recipe.train_spec(self.stage)
        phases = [shortened(phase, scale).to_json() for phase in spec.phases]
        recipe = self.recipe.override(f"{self.stage}.training.phases", phases)
        for _ in Run(recipe, self.stage, folder, DEVICE).train():
            pass


class Distilling(NamedTuple):
    """A distillation: the stage of a recipe, and what gives the file with its trained weights."""

    recipe: Recipe
    weights: Callable[[], Path]
    stage: str = "base"

    def train(self, folder: Path, scale: float) -> None:
        """Distil it, or go on with it, in rounds of this share of their examples."""
        recipe, spec = self.recipe, self.recipe.distil_spec(self.stage)
        for name in ("guidance", "halving", "last"):
            phase = shortened(getattr(spec, name), scale).to_json()
            recipe = recipe.override(f"{self.stage}.distillation.{name}", phase)
        if not is_distillation(folder):
            Distillation.begin(folder, recipe, self.stage, self.weights())
        for part in Distillation.open(folder).rounds():
            if not part.finished:
                for _ in Run(part.recipe, part.stage, part.folder, DEVICE).train():
                    pass


def shortened(phase: Phase, scale: float) -> Phase:
    """A phase of this share of its examples."""
    return phase.model_copy(update={"examples": max(1, round(phase.examples * scale))})


class Page(NamedTuple):
    """What a study says: whether the paper's finding was seen, in a sentence; rows of a table; and a plot."""

    verdict: str
    table: Sequence[Sequence[str]]
    draw: Callable[[Any], None]


class Study(NamedTuple):
    """A finding of the paper, and how it is looked for at the size of toybox.

    Attributes:
        name: of the page and of the folder of its runs.
        finding: what the paper reports, and where.
        setup: what was done, for people.
        arms: what is trained or distilled, by name.
        measure: from the folder of each arm, and a keeper of measurements, to all numbers.
        page: from these numbers to what is told.
    """

    name: str
    title: str
    finding: str
    setup: str
    arms: Mapping[str, Arm | Distilling]
    measure: Callable[[Mapping[str, Path], "Kept"], Json]
    page: Callable[[Json], Page]


class Kept(NamedTuple):
    """Measurements in files, each made once."""

    folder: Path

    def __call__(self, name: str, make: Callable[[], Any]) -> Any:
        """The measurement of this name; `make` gives it if it was not made before."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            made = make()
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.partial")
            partial.write_text(json.dumps(made))
            os.replace(partial, path)
        return json.loads(path.read_text())


def main(study: Study) -> None:
    """Train what is not trained yet, measure what is not measured yet, and write the page."""
    parser = argparse.ArgumentParser(description=study.title, epilog=study.setup)
    parser.add_argument("--out", type=Path, default=Path("runs/studies") / study.name, help="folder of the runs")
    parser.add_argument("--page", type=Path, default=Path("docs/results"), help="folder of the page")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="arms that are trained at once")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the examples, to try a study out")
    parser.add_argument("--arm", choices=list(study.arms), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        study.arms[options.arm].train(_folder(study, options.arm, options.out), options.scale)
        return
    _train_all(study, options)
    folders = {name: _folder(study, name, options.out) for name in study.arms}
    numbers = study.measure(folders, Kept(options.out / "measured"))
    _write(study, numbers, folders, options.page)


def _folder(study: Study, name: str, out: Path) -> Path:
    """Where an arm is trained."""
    arm = study.arms[name]
    return out.parent / "common" / arm.common if isinstance(arm, Arm) and arm.common else out / name


def _train_all(study: Study, options: argparse.Namespace) -> None:
    """Every arm in a process of its own, with its share of the cores."""
    cores = os.cpu_count() or 1
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, cores // options.jobs))}
    waiting, running = list(study.arms), dict[str, subprocess.Popen[bytes]]()
    while waiting or running:
        while waiting and len(running) < options.jobs:
            name = waiting.pop(0)
            words = [sys.executable, sys.argv[0], "--arm", name, "--out", str(options.out)]
            running[name] = subprocess.Popen([*words, "--scale", str(options.scale)], env=environment)
        name, process = next(iter(running.items()))
        if process.wait() != 0:
            raise SystemExit(f"{study.name}: the training of {name} failed; see above")
        del running[name]


def minutes(folder: Path) -> float:
    """How long a run took, or all rounds of a distillation."""
    if is_distillation(folder):
        return sum(minutes(part.folder) for part in Distillation.open(folder).rounds())
    lines, before, total = read_metrics(folder / "metrics.jsonl"), 0, 0.0
    for line in lines:
        total += (line["examples"] - before) / line["examples_per_second"]
        before = line["examples"]
    return total / 60


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return find_checkpoints(folder / "checkpoints")


def texts(encoder: TextEncoder, prompts: Sequence[str]) -> Conditioning:
    """Prompts as conditioning."""
    text, mask = EmbeddingCache(encoder).encode(prompts)
    return Conditioning(text=text, text_mask=mask)


class Sampler:
    """A stage of a run, or of a model's folder of weights, ready to sample in other ways than its own."""

    def __init__(self, stage: StageSpec, encoder: TextEncoder, weights: Path):
        self.stage, self.encoder = stage, encoder
        self.network = stage.network.build()
        read_weights(self.network, weights)
        self.network.eval().requires_grad_(False).to(DEVICE)

    @classmethod
    def of_run(cls, folder: Path, checkpoint: Path | None = None) -> "Sampler":
        """That of a run's newest checkpoint, or of another one; with the averaged weights."""
        recipe, stage = run_recipe(folder)
        at = checkpoint or checkpoints(folder)[-1]
        return cls(recipe.cascade.stage(stage), recipe.cascade.text, at / "average.safetensors")

    def __call__(
        self,
        prompts: Sequence[str],
        video: Tensor | None = None,
        *,
        seed: int = 0,
        batch: int = 16,
        stage: StageSpec | None = None,
    ) -> Tensor:
        """Videos (B, C, F, H, W) of prompts, in [-1, 1]; the number of a prompt is that of its noise.

        `stage` is the stage's description with other sampling, a shape of its own or more frames.
        """
        made = []
        for start in range(0, len(prompts), batch):
            part = range(start, min(len(prompts), start + batch))
            given = texts(self.encoder, [prompts[i] for i in part]).to(DEVICE, torch.float32)
            source = None if video is None else video[part.start : part.stop].to(DEVICE)
            draw = Draw(seed=seed, samples=list(part), device=DEVICE, dtype=compute_dtype(DEVICE))
            last = stage_video(stage or self.stage, self.network, given, source, draw)
            made.append(last.float().clamp(-1, 1).cpu())
        return torch.cat(made)


def sampled_with(stage: StageSpec, **fields: Any) -> StageSpec:
    """A stage with other sampling."""
    sampling = {**stage.sampling.to_json(), **fields}
    return stage.model_copy(update={"sampling": type(stage.sampling).from_json(sampling)})


def _write(study: Study, numbers: Json, folders: Mapping[str, Path], out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    page = study.page(numbers)
    out.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
    page.draw(axes)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    figure.tight_layout()
    figure.savefig(out / f"{study.name}.png", dpi=110)
    head, *rows = page.table
    lines = [
        f"# {study.title}",
        "",
        f"**The paper**: {study.finding}",
        "",
        f"**Here**: {page.verdict}",
        "",
        f"![{study.title}]({study.name}.png)",
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        "## How it was done",
        "",
        study.setup,
        "",
        *_costs(folders),
        f"`python studies/{study.name}.py` trains, measures and writes this page.",
        "",
    ]
    (out / f"{study.name}.md").write_text("\n".join(lines))
    (out / f"{study.name}.json").write_text(json.dumps(numbers, indent=1) + "\n")
    print(f"{out / study.name}.md: {page.verdict}")


def _costs(folders: Mapping[str, Path]) -> list[str]:
    if not folders:
        return []
    threads = os.environ.get("OMP_NUM_THREADS", "one a core")
    told = ", ".join(f"{name} {minutes(folder):.0f} min" for name, folder in folders.items())
    return [
        f"Training, all with seed 0, on {_device()} (threads: {threads}): {told}. Minutes count "
        "whatever else the machine did.",
        "",
    ]


def _device() -> str:
    return torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"{os.cpu_count()} CPU cores"
