"""Training in several processes under torchrun: what they learn together is what one learns alone."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.training.state import read_metrics

from .conftest import Cli
from .test_train import appears

pytestmark = pytest.mark.first

PHASES = '[{"examples": 8, "batch": 4, "frames": 1}, {"examples": 10, "batch": 5, "images": 0.4}]'
STEPS = [
    "--set", f"base.training.phases={PHASES}", "--set", "base.training.optimizer=muon",
    "--set", "base.training.log_every=4", "--set", "base.training.sample_every=8",
]  # fmt: skip


LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "zoetrope"]


def together(*words: object) -> subprocess.CompletedProcess[str]:
    """Run a command of zoetrope in two processes."""
    return subprocess.run([*LAUNCH, *map(str, words)], capture_output=True, text=True, timeout=300)


def ranks_of(launcher: int) -> dict[int, int]:
    """The ids of the processes that torchrun has begun, by rank."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            rank = re.search(rb"\0RANK=(\d+)\0", (folder / "environ").read_bytes())
            if parent == launcher and rank is not None:
                found[int(rank[1])] = int(folder.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes as Linux tells them")
@pytest.mark.parametrize("gone", ["rank 1", "torchrun"])
@pytest.mark.long
def test_all_processes_end_with_one_checkpoint(gone: str, cli: Cli, recipe: Path, tmp_path: Path) -> None:
    """Where a signal reaches another than the leading one, and where torchrun is killed."""
    endless = '[{"examples": 4000000, "batch": 4, "frames": 1}]'
    words = ["train", recipe, "--stage", "base", "--out", "run", "--set", f"base.training.phases={endless}"]
    launcher = subprocess.Popen([*LAUNCH, *map(str, words)], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    ranks = dict[int, int]()
    try:
        appears(tmp_path / "run/checkpoints/000000016", launcher)
        ranks = ranks_of(launcher.pid)
        assert sorted(ranks) == [0, 1]
        os.kill(*((ranks[1], signal.SIGTERM) if gone == "rank 1" else (launcher.pid, signal.SIGKILL)))
        _, told = launcher.communicate(timeout=60)  # until all have ended, and nobody can write there any more
    finally:
        launcher.kill()
        for one in ranks.values():
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
    kept = int(find_checkpoints(tmp_path / "run/checkpoints")[-1].name)
    assert f"interrupted: a checkpoint is kept at {kept} examples; to go on: " in told, told
    # torchrun names the process that ended first: the one with the signal, 143, or one that ended with it, 130.
    ended = any(f"exitcode  : {code}" in told for code in (143, 130))
    assert gone == "torchrun" or (launcher.returncode, ended) == (1, True), told
    assert json.loads(cli("status", "run", "--json").out)[0]["state"] == "stopped"


@pytest.mark.long
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


@pytest.mark.long
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
