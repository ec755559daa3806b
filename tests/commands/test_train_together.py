"""Training in several processes under torchrun: what they learn together is what one learns alone."""

import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.training.state import read_metrics

from .conftest import Cli

PHASES = '[{"examples": 8, "batch": 4, "frames": 1}, {"examples": 10, "batch": 5, "images": 0.4}]'
STEPS = [
    "--set", f"base.training.phases={PHASES}", "--set", "base.training.optimizer=muon",
    "--set", "base.training.log_every=4", "--set", "base.training.sample_every=8",
]  # fmt: skip


def together(*words: object) -> subprocess.CompletedProcess[str]:
    """Run a command of zoetrope in two processes."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "zoetrope"]
    return subprocess.run([*launch, *map(str, words)], capture_output=True, text=True, timeout=300)


def test_two_processes_learn_what_one_does(cli: Cli, recipe: Path) -> None:
    assert cli("train", recipe, "--stage", "base", "--out", "alone", *STEPS).code == 0
    done = together("train", recipe, "--stage", "base", "--out", "both", *STEPS, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"checkpoint"') == 1  # one of them speaks
    assert len(list(Path("both/samples").iterdir())) == len(list(Path("alone/samples").iterdir())) > 0
    alone, both = (read_metrics(Path(run) / "metrics.jsonl") for run in ("alone", "both"))
    assert [line["examples"] for line in alone] == [line["examples"] for line in both]
    for one, other in zip(alone, both, strict=True):
        assert abs(one["loss"] - other["loss"]) < 2e-3 * one["loss"]
    ours, theirs = (
        load_file(find_checkpoints(Path(run) / "checkpoints")[-1] / "model.safetensors") for run in ("alone", "both")
    )
    for name, value in ours.items():
        assert torch.allclose(value, theirs[name], atol=2e-3), name

    # Two go on with what one began.
    more = ["--set", 'base.training.phases=[{"examples": 30, "batch": 5}]']
    done = together("train", "--resume", "--out", "alone", *more)
    assert done.returncode == 0, done.stderr
    assert read_metrics(Path("alone/metrics.jsonl"))[-1]["examples"] == 30


def test_a_divided_distillation_and_what_it_makes(cli: Cli, recipe: Path) -> None:
    divided = ["--set", "base.training.parallel.type=sharded"]
    short = ["--set", 'base.training.phases=[{"examples": 4, "batch": 4}]']
    done = together("train", recipe, "--stage", "base", "--out", "run", *short, *divided)
    assert done.returncode == 0, done.stderr
    rounds = [
        word
        for name in ("guidance", "halving", "last")
        for word in ("--set", f'base.distillation.{name}={{"examples": 8, "batch": 4, "peak": 1e-4}}')
    ]
    # Without the dashes before the command, torchrun takes --start for one of its own.
    to_two = ["--start", "4", "--steps", "2", "--weights", "0", "4"]
    done = together("--", "distill", "run", "--out", "out", *to_two, *rounds, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"rounds"') == 1
    newest = find_checkpoints(Path("out/steps-2/checkpoints"))[-1]
    assert newest.name == "000000008" and (newest / "model").is_dir()
    for model in ("run", "out"):
        made = cli("generate", "fog", "--model", model, "-o", f"{model}.mp4", "--steps", "2")
        assert made.code == 0, made.err
    assert cli("train", recipe, "--stage", "base", "--out", "tuned", "--init", "run", *short).code == 0
