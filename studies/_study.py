"""What all studies share: arms that are trained, measurements that are kept, and a page that says what came of it.

A study compares arms, trainings that differ in one thing, each of them done once for every seed. A training is an
ordinary run, `OUT/<arm>/<seed>`, so an interrupted study goes on where it was; one that other studies train as well is
`OUT/../common/<name>/<seed>`. Every measurement is a JSON file under `OUT/measured`, made once. The page, with its
plot, is written from these files alone, and its verdicts from intervals alone.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _intervals import Interval, Verdict, by_prompt, flipped, over_seeds, over_shares
from torch import Tensor

from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.config import packages_of, unknown
from zoetrope.config.foreign import trusting
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.files import write_text
from zoetrope.inputs.text import text_given
from zoetrope.layers.fused import fused
from zoetrope.metrics.intervals import Proportion
from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.models.opening import open_model
from zoetrope.models.provenance import sha256_of
from zoetrope.models.weights import read_weights
from zoetrope.text import TextEncoder
from zoetrope.training.loop import Run
from zoetrope.training.spec import Phase, Recipe
from zoetrope.training.state import read_metrics
from zoetrope.training.trained import initial_weights, run_recipe

CPU = torch.device("cpu")
DEVICE = torch.device("cuda") if torch.cuda.is_available() else CPU
DTYPE = torch.bfloat16  # of networks, never chosen by how fast the machine is at the moment
SEEDS = (0, 1, 2)
WEIGHTS = ".weights.json"  # beside measurements: of which weights they are
Json = dict[str, Any]
Folders = Mapping[str, Sequence[Path]]
Table = Sequence[Sequence[float]]


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
        if (path := first_difference(wanted.to_json(), there.to_json())) is not None:
            raise ValueError(
                f"{folder}: expected a run of this study's recipe, got one with another {path}; give another --out, or "
                "move it away with what was measured of it"
            )
        return int(found[-1].name) >= sum(phase.examples for phase in self.phases(scale))

    def train(self, folder: Path, scale: float, seed: int) -> None:
        """Train it, or go on with it, with this seed, for this share of its examples."""
        recipe = self.asked(scale, seed)
        for _ in Run(recipe, self.stage, folder, DEVICE, self._weights(recipe)).train():
            pass

    def _weights(self, recipe: Recipe) -> Path | None:
        """The file of the weights that it begins with. Raises ValueError unless they fit."""
        if self.init is None:
            return None
        weights = initial_weights(self.init, self.stage)
        weights.check(recipe, self.stage)
        return weights.file


def first_difference(one: Any, other: Any, path: str = "") -> str | None:
    """Where two JSON values first differ, as "training.base.seed"; None: nowhere."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        if not (isinstance(one, list) and isinstance(other, list)):
            return None if one == other else path
        one, other = dict(enumerate(one)), dict(enumerate(other))
    for key in dict.fromkeys([*one, *other]):
        own = f"{path}.{key}".lstrip(".")
        if key not in one or key not in other:
            return own
        if (found := first_difference(one[key], other[key], own)) is not None:
            return found
    return None


def shortened(phase: Phase, scale: float) -> Phase:
    """A phase of this share of its examples, two batches at least."""
    return phase.with_(examples=max(2 * phase.batch, round(phase.examples * scale)))


class Claim(NamedTuple):
    """What a study says: a difference that is above `beyond` if the paper's finding holds here.

    `apart` are the differences of shares, prompt by prompt, that the interval is of, where it is of such. A claim that
    was added, or whose design changed, when numbers were known is `exploratory`: nothing is shown by it. One whose
    precondition fails is not `testable`; a `precondition` holds or fails.
    """

    text: str
    interval: Interval
    form: Callable[[float], str]
    beyond: float = 0.0
    apart: Sequence[float] = ()
    exploratory: bool = False
    testable: bool = True
    precondition: bool = False

    @property
    def verdict(self) -> Verdict:
        """What the interval says, and nobody else."""
        return self.interval.verdict(self.beyond)

    @property
    def told(self) -> str:
        """The verdict as a cell."""
        if self.precondition:
            return {"shown": "holds", "the opposite": "fails"}.get(self.verdict, "not shown to hold")
        if not self.testable:
            return "not testable" + " (exploratory)" * self.exploratory
        if self.exploratory:
            return f"{'not shown' if self.verdict == 'shown' else self.verdict} (exploratory)"
        return self.verdict

    def row(self) -> list[str]:
        """What is claimed, the estimate, its interval, and the verdict."""
        value, low, high = (self.form(each) for each in self.interval)
        known = f"{low} to {high}" if math.isfinite(self.interval.low) else "none: one seed"
        return ["*precondition*: " * self.precondition + self.text, value, known, f"**{self.told}**"]


def of_shares(text: str, one: Table, other: Table, beyond: float = 0.0) -> Claim:
    """That more videos are right in one way than in another, of two tables (R, C) of the same prompts."""
    apart = by_prompt(one, other)
    return Claim(text, over_shares(apart), points, beyond, apart)


def discordant(claims: Sequence[Claim]) -> str:
    """Of claims about shares: how many prompts speak for them and against, and the exact p, as a table."""
    rows = [["claim", "prompts for it", "against", "alike", "exact p of no difference"]]
    for claim in claims:
        if claim.apart:
            signs = [sum(sign * value > 0 for value in claim.apart) for sign in (1, -1)]
            exact = flipped(claim.apart)
            told = f"{exact:.3f}" if exact >= 0.0005 else "below 0.001"
            rows.append([claim.text, *map(str, (*signs, len(claim.apart) - sum(signs))), told])
    return markdown(rows)


def clustered(table: Table) -> Proportion:
    """The share of hits in a table (R, C) of prompts, with Wilson's interval, clustered by prompt."""
    hits = [(bool(hit), prompt) for row in table for prompt, hit in enumerate(row)]
    return Proportion.of([hit for hit, _ in hits], [prompt for _, prompt in hits])


def seeds_interval(table: Table) -> str:
    """The interval of a share of hits in a table (S, C) of trained networks, over seeds and clips, as a cell."""
    found = over_seeds(table)
    if not math.isfinite(found.low):
        return "one seed"
    return f"{max(0.0, found.low):.0%} to {min(1.0, found.high):.0%}"


def share_interval(table: Table) -> str:
    """The interval of the share of hits in a table (R, C) of prompts, as a cell."""
    found = clustered(table)
    return f"{found.low:.0%} to {found.high:.0%}"


ONE_SEED = (
    "not shown. One training of each arm tells nothing of how much another would differ; and there are confounds."
)


def points(share: float) -> str:
    """A difference of shares, in points."""
    return f"{100 * share:+.1f} points"


def unit(name: str, digits: int = 2) -> Callable[[float], str]:
    """Differences in this unit."""
    return lambda value: f"{value:+.{digits}f} {name}".rstrip()


def share(table: Table) -> str:
    """The mean of a table (R, C) of hits, as a cell."""
    return f"{sum(map(sum, table)) / sum(map(len, table)):.1%}"


class Page(NamedTuple):
    """What is told of the numbers: claims; tables of results, the first row of each its head; and a plot."""

    claims: Sequence[Claim]
    table: Sequence[Sequence[str]]
    draw: Callable[[Any], None]
    notes: str = ""
    limit: str = ""  # why nothing of the paper's finding is shown, where that is so


class Study(NamedTuple):
    """A finding of the paper, and how it is looked for at the size of toybox.

    Attributes:
        name: of the page and of the folder of its runs.
        finding: what the paper reports, and where.
        design: what was done, by what it concerns.
        arms: what is trained, by name, once for each seed.
        measure: from the folders of each arm, one a seed, and a keeper of measurements, to all numbers.
        page: from these numbers to what is told.
        doubts: what a reviewer would ask, and what the study has to say to it.
        moves: what would change the verdicts.
        given: what the command names first: the folder of data that do not come with the package; "" for none.
        models: shipped models whose first stage is measured as it is.
        prepare: makes the data that arms are trained on, where these do not come with the package.
    """

    name: str
    title: str
    finding: str
    design: Mapping[str, str]
    arms: Mapping[str, Arm]
    measure: Callable[[Folders, "Kept"], Json]
    page: Callable[[Json], Page]
    doubts: Mapping[str, str]
    moves: str
    seeds: Sequence[int] = SEEDS
    given: str = ""
    models: Sequence[str] = ()
    prepare: Callable[[], None] | None = None


class Kept(NamedTuple):
    """Measurements in files, each made once."""

    folder: Path

    def expect(self, networks: Json) -> None:
        """Remember of which weights measurements are. Raises ValueError where some of other weights are kept."""
        path = self.folder / WEIGHTS
        if path.exists() and (other := first_difference(networks, json.loads(path.read_text()))) is not None:
            raise ValueError(
                f"{self.folder}: expected measurements of the weights that are there now, got some of others "
                f"({other}); give another --out, or move them away"
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


def main(study: Study, of: Callable[[Path], Study] | None = None) -> None:
    """Train what is not trained yet, measure what is not measured yet, and write the page.

    `of` makes the study of the folder that the command names, where it needs one.
    """
    parser = argparse.ArgumentParser(description=study.title, epilog=study.finding)
    if of is not None:
        parser.add_argument("given", type=Path, metavar=study.given, help="folder of the data")
    parser.add_argument("--out", type=Path, help="folder of the runs; runs/studies/NAME, of a --scale runs/tried/NAME")
    parser.add_argument("--page", type=Path, help="folder of the page; docs/results, of a --scale runs/tried")
    parser.add_argument("--jobs", type=_jobs, default=1, help="trainings at once, of one thread each")
    parser.add_argument("--scale", type=_share, default=1.0, help="share of the examples, to try a study out")
    parser.add_argument("--train", nargs=2, metavar=("ARM", "SEED"), help="train this one alone")
    parser.add_argument("--rewrite", action="store_true", help="write the page anew from its numbers, measure nothing")
    options = parser.parse_args()
    runs, pages = places(options.scale)
    options.out, options.page = options.out or runs / study.name, options.page or pages
    if options.rewrite:
        numbers = options.page / f"{study.name}.json"
        if not numbers.exists():
            raise ValueError(f"{numbers}: expected the numbers of a page to rewrite, got no such file; see --page")
        _publish(study, json.loads(numbers.read_text()), options.page)
        return
    torch.set_num_threads(1)
    study = study if of is None else of(options.given)
    one = None if options.train is None else _training(study, *options.train)
    if study.prepare is not None:
        study.prepare()
    if one is not None:
        name, seed = one
        study.arms[name].train(_folder(study, name, seed, options.out), options.scale, seed)
        return
    _train_all(study, options)
    folders = {name: [_folder(study, name, seed, options.out) for seed in study.seeds] for name in study.arms}
    kept = Kept(options.out / "measured")
    kept.expect(networks_of(study, folders))
    numbers = study.measure(folders, kept)
    if folders:
        numbers["minutes"] = {name: [minutes(folder) for folder in each] for name, each in folders.items()}
    _publish(study, _rounded(numbers), options.page)


def _jobs(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"expected a share above 0 and up to 1, got {text!r}")
    return share


def _training(study: Study, name: str, seed: str) -> tuple[str, int]:
    """An arm and a seed of the study. Raises ValueError for others."""
    if name not in study.arms:
        raise ValueError("--train: " + unknown("arm", name, list(study.arms)))
    if seed not in map(str, study.seeds):
        raise ValueError(f"--train: expected a seed of {', '.join(map(str, study.seeds))}, got {seed!r}")
    return name, int(seed)


def networks_of(study: Study, folders: Folders) -> Json:
    """The checksums of all weights that the study measures: of each arm's runs, and of shipped models' first stages."""
    found: Json = {
        name: [sha256_of(checkpoints(folder)[-1] / "average.safetensors") for folder in each]
        for name, each in folders.items()
    }
    for name in study.models:
        model = open_model([name])
        first = model.spec.stages[0].name
        files = [files[first] for files in (model.weights, model.teacher_weights) if first in files]
        found[f"model {name}"] = [sha256_of(file) for file in files]
    return found


def places(scale: float) -> tuple[Path, Path]:
    """Where runs and pages are by default; those of a study that is tried out are not the study's."""
    return (Path("runs/studies"), Path("docs/results")) if scale == 1 else (Path("runs/tried"), Path("runs/tried"))


def _folder(study: Study, name: str, seed: int, out: Path) -> Path:
    """Where an arm is trained with a seed."""
    common = study.arms[name].common
    return (out.parent / "common" / common if common else out / name) / str(seed)


def _train_all(study: Study, options: argparse.Namespace) -> None:
    """Every training in a process of its own; all arms of a seed before the next seed."""
    waiting: Iterator[tuple[str, int]] = (
        (name, seed)
        for seed in study.seeds
        for name, arm in study.arms.items()
        if not arm.trained(_folder(study, name, seed, options.out), options.scale, seed)
    )
    running = dict[tuple[str, int], subprocess.Popen[bytes]]()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    while True:
        while len(running) < options.jobs and (one := next(waiting, None)):
            words = [sys.executable, sys.argv[0], *([str(options.given)] if study.given else [])]
            words += ["--train", one[0], str(one[1]), "--out", str(options.out), "--scale", str(options.scale)]
            running[one] = subprocess.Popen(words, env=environment)
        if not running:
            return
        one, process = next(iter(running.items()))
        del running[one]
        if process.wait() != 0:
            for other in running.values():  # which would go on alone, in runs that the next start goes on with
                other.wait()
            raise SystemExit(f"{study.name}: the training of {one[0]}, seed {one[1]}, failed; see above")


def minutes(folder: Path) -> float:
    """How long a run trained."""
    lines = read_metrics(folder / "metrics.jsonl")
    return float(lines[-1]["seconds"]) / 60 if lines else 0.0


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return find_checkpoints(folder / "checkpoints")


def texts(encoder: TextEncoder, prompts: Sequence[str]) -> Conditioning:
    """Prompts as conditioning."""
    text, mask = EmbeddingCache(encoder).encode(prompts)
    return text_given(text, mask)


class Sampler:
    """A stage of a run, or of a model's folder of weights, ready to sample in other ways than its own."""

    def __init__(self, stage: StageSpec, encoder: TextEncoder, weights: Path):
        self.stage, self.encoder = stage, encoder
        network = stage.network.build()
        read_weights(network, weights)
        self.network = fused(network.eval().to(DEVICE))

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
        dtype: torch.dtype = DTYPE,
    ) -> Tensor:
        """Videos (B, C, F, H, W) of prompts, in [-1, 1]; the number of a prompt is that of its noise.

        `stage` is the stage's description with other sampling, a shape of its own or more frames.
        """
        made = []
        for start in range(0, len(prompts), batch):
            part = range(start, min(len(prompts), start + batch))
            given = texts(self.encoder, [prompts[i] for i in part]).to(DEVICE, torch.float32)
            source = None if video is None else video[part.start : part.stop].to(DEVICE)
            draw = Draw(seed=seed, samples=list(part), device=DEVICE, dtype=dtype)
            last = stage_video(stage or self.stage, self.network, given, source, draw)
            made.append(last.float().clamp(-1, 1).cpu())
        return torch.cat(made)


def sampled_with(stage: StageSpec, **fields: Any) -> StageSpec:
    """A stage with other sampling."""
    sampling = {**stage.sampling.to_json(), **fields}
    return stage.with_(sampling=type(stage.sampling).from_json(sampling))


def _publish(study: Study, numbers: Json, out: Path) -> None:
    """Write the page, its plot and the numbers that both are made from."""
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
    (out / f"{study.name}.md").write_text(written(study, numbers, page))
    (out / f"{study.name}.json").write_text(json.dumps(numbers) + "\n")
    print(f"{out / study.name}.md")
    for claim in page.claims:
        print("  " + " | ".join(claim.row()))


def written(study: Study, numbers: Json, page: Page) -> str:
    """The page as text; numbers of an earlier design say themselves how they came about."""
    design: Mapping[str, str] = numbers.get("design", study.design)
    found = [
        f"**Here**: {page.limit}" if page.limit else "**Here**:",
        markdown([["claim", "estimate", "95 % interval", "verdict"], *(claim.row() for claim in page.claims)]),
        f"![{study.title}]({study.name}.png)",
        markdown(page.table),
        *([page.notes] if page.notes else []),
    ]
    return _told(study, found, "How it was done", {**design, **_costs(study, numbers)})


def planned(study: Study) -> str:
    """The page before anything is measured: what is asked, and how it is measured."""
    return _told(study, ["**Here**: not measured yet."], "How it is done", study.design)


def _told(study: Study, found: Sequence[str], how: str, design: Mapping[str, str]) -> str:
    command = f"python studies/{study.name}.py {study.given}".rstrip()
    parts = [
        f"# {study.title}",
        f"**The paper**: {study.finding}",
        *found,
        f"## {how}",
        markdown([["", ""], *([key, told] for key, told in design.items())]),
        "## What a reviewer would ask",
        "\n".join(f"- *{question}* {answer}" for question, answer in study.doubts.items()),
        f"**What would change this**: {study.moves}",
        f"`{command}` {'trains, measures' if study.arms else 'measures'} and writes this page.",
    ]
    return "\n\n".join(parts) + "\n"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table, the first its head."""
    head, *others = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *others])


def _rounded(value: Any) -> Any:
    """Numbers as a page may need them, in fewer digits than they were computed with."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return round(value, 5) if isinstance(value, float) else value


def _costs(study: Study, numbers: Json) -> dict[str, str]:
    if "minutes" not in numbers:
        return {}
    told = (f"{name} {sum(each) / len(each):.1f}" for name, each in numbers["minutes"].items())
    seeds = f"{len(study.seeds)}; of one seed all arms have the same initial weights, data and noise where they can"
    return {"seeds": seeds, "minutes a training, on a share of a busy core": ", ".join(told)}
