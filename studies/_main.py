"""The command of every study: train what is not trained yet, measure what is not measured yet, write the page."""

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from _arms import minutes
from _measured import Kept
from _page import publish, rounded
from _study import Study, networks_of

from zoetrope.config import unknown


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
        publish(study, json.loads(numbers.read_text()), options.page)
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
    publish(study, rounded(numbers), options.page)


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
