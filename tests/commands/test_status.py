"""`zoetrope status`: one line a run, whatever became of it."""

import json
import shutil
from pathlib import Path

from zoetrope.commands.status import _duration
from zoetrope.training.lock import Lock

from .conftest import Cli
from .test_train import short


def test_runs_in_every_state(cli: Cli, recipe: Path) -> None:
    for stage in ("base", "tsr1"):
        at = ["--set", f"{stage}.training.sample_every=0"]
        words = ["train", recipe, "--stage", stage, "--out", f"runs/{stage}", *short(stage, 8), *at, "--quiet"]
        assert cli(*words) == (0, "", "")
    done = cli("status", "runs")
    head, base, tsr = done.out.splitlines()
    assert head.split() == ["run", "stage", "examples", "loss", "examples/s", "eta", "checkpoint", "state"]
    assert base.split()[:3] == ["runs/base", "base", "8/8"] and base.split()[-2:] == ["000000008", "finished"]
    assert tsr.split()[1] == "tsr1"

    file = Path("runs/base/recipe.json")
    longer = json.loads(file.read_text())
    longer["training"]["base"]["phases"][0]["examples"] = 80
    file.write_text(json.dumps(longer))
    found = json.loads(cli("status", "runs/base", "--json").out)
    assert [(one["state"], one["examples"], one["total"], one["eta"]) for one in found] == [("stopped", 8, 80, None)]

    lock = Lock(Path("runs/base"))
    lock.take()
    (running,) = json.loads(cli("status", "runs/base", "--json").out)
    assert running["state"] == "running" and running["eta"] > 0 and running["loss"] > 0
    lock.release("not finite 10 times in a row")
    shown = cli("status", "runs/base", "runs/tsr1")
    assert "failed" in shown.out.splitlines()[1] and "finished" in shown.out.splitlines()[2]
    assert shown.out.splitlines()[3] == "runs/base: not finite 10 times in a row"
    shutil.copytree("runs/base", "runs/zweig")  # two of one stage
    assert [line.split()[0] for line in cli("status", "runs").out.splitlines()[1:4]] == [
        "runs/base", "runs/zweig", "runs/tsr1",
    ]  # fmt: skip


def test_what_is_no_run(cli: Cli, model: Path) -> None:
    assert cli("status", "nowhere").err == (
        "error: nowhere: expected the folder of a training, or one with trainings in it; it is no folder\n"
    )
    assert "it holds no run" in cli("status", model).err
    Path("torn").mkdir()
    Path("torn/run.json").write_text("{")
    assert cli("status", "torn").code == 2


def test_a_run_that_was_damaged(cli: Cli, recipe: Path) -> None:
    at = ["--set", "base.training.sample_every=0"]
    assert cli("train", recipe, "--stage", "base", "--out", "run", *short("base", 4), *at, "--quiet").code == 0
    metrics, about = Path("run/metrics.jsonl"), Path("run/run.json")
    line = metrics.read_text()
    metrics.write_text('{"examples": 4}\n')  # as other versions may write it
    (found,) = json.loads(cli("status", "run", "--json").out)
    assert (found["examples"], found["loss"], found["examples_per_second"]) == (4, None, None)
    metrics.write_text("[" * 50_000 + "\n" + line)
    for verb in ("status", "show"):
        assert cli(verb, "run").err.startswith("error: run/metrics.jsonl:1: expected a line of JSON (too deeply nested")
    metrics.write_text(line)
    about.write_text("[]")
    assert cli("status", "run").err == "error: run: its run.json cannot be read (it names no stage)\n"


def test_damaged_runs_beside_others(cli: Cli, recipe: Path) -> None:
    at = ["--set", "base.training.sample_every=0"]
    assert cli("train", recipe, "--stage", "base", "--out", "runs/whole", *short("base", 4), *at, "--quiet").code == 0
    for name in ("torn", "empty", "metrics"):
        shutil.copytree("runs/whole", f"runs/{name}")
    Path("runs/torn/recipe.json").write_text("{")
    Path("runs/empty/run.json").write_text("[]")
    Path("runs/metrics/metrics.jsonl").write_text("nothing\n{}\n")
    Path("runs/rounds").mkdir()
    Path("runs/rounds/distillation.json").write_text("{}")
    done = cli("status", "runs")
    _, *rows = done.out.splitlines()
    assert done.code == 0
    assert [(row.split()[0], row.split()[-1]) for row in rows[:5]] == [
        ("runs/metrics", "damaged"), ("runs/whole", "finished"), ("runs/empty", "damaged"), ("runs/torn", "damaged"),
        ("runs/rounds", "damaged"),
    ]  # fmt: skip
    errors = dict(row.split(": ", 1) for row in rows[5:])
    assert "recipe.json" in errors["runs/torn"] and "run.json" in errors["runs/empty"]
    assert errors["runs/metrics"].startswith("metrics.jsonl:1: expected a line of JSON")
    assert errors["runs/rounds"] == "not a distillation that can be read ('stage' is missing)"
    found = json.loads(cli("status", "runs", "--json").out)
    assert [one["state"] for one in found].count("damaged") == 4


def test_durations() -> None:
    assert [_duration(seconds) for seconds in (20, 90, 3600 * 5 + 60, 86_400 * 3 + 7200)] == [
        "20 s", "2 min", "5 h 01 min", "3 d 2 h",
    ]  # fmt: skip
