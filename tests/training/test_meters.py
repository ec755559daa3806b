"""What a training says of itself: lines of metrics, faults as files, and clocks that jump."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.training.batch import Batches
from zoetrope.training.loop import Run
from zoetrope.training.meters import BINS, Interval, Outcome, peak_memory
from zoetrope.training.spec import Recipe
from zoetrope.training.state import read_metrics

Tiny = Callable[..., Recipe]
Trained = Callable[..., Run]


def test_loss_by_time() -> None:
    interval = Interval(0)
    times = torch.tensor([0.0, 0.124, 0.125, 0.999], dtype=torch.float64)
    interval.add(Outcome(2.5, 1.0, times, torch.tensor([1.0, 3.0, 5.0, 7.0])))
    interval.add(Outcome(math.nan, 1.0, times, torch.tensor([1.0, 1.0, 1.0, math.nan])))
    assert interval.loss_by_time() == (2.0, 5.0, *[None] * (BINS - 3), 7.0)
    assert interval.mean_loss() == 2.5
    assert Interval(0).loss_by_time() == (None,) * BINS and Interval(0).mean_loss() is None


def test_share_of_waiting() -> None:
    interval = Interval(0, waited=5.0)
    interval.start -= 10
    assert interval.data_wait(7.5) == pytest.approx(0.25, abs=0.01) and interval.data_wait(500) == 1
    assert interval.speed(40) == pytest.approx(4, rel=0.01)


def test_a_line_of_metrics(tiny: Tiny, trained: Trained) -> None:
    run = trained(tiny(warm_up=100), "run")
    lines = read_metrics(run.folder / "metrics.jsonl")
    assert [line["examples"] for line in lines] == [8, 16, 24]
    for line in lines:
        bins = [value for value in line["loss_by_time"] if value is not None]
        assert len(line["loss_by_time"]) == BINS and len(bins) >= 4 and min(bins) <= line["loss"] <= max(bins)
        assert 0 <= line["data_wait"] <= 1 and line["examples_per_second"] > 0
        assert line["learning_rate"] == run.spec.learning_rate(line["examples"])
        assert 10**7 < line["peak_memory"] <= peak_memory(run.device)
    assert 0 < lines[0]["seconds"] < lines[1]["seconds"] < lines[2]["seconds"]


CHILD = """
import subprocess, sys
held = b"x" * 10**9 if len(sys.argv) > 1 else None
script = "import torch; from zoetrope.training.meters import peak_memory; print(peak_memory(torch.device('cpu')))"
print(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
"""


def test_memory_is_not_that_of_the_process_that_began_this_one() -> None:
    small, large = (
        int(subprocess.run([sys.executable, "-c", CHILD, *more], capture_output=True, text=True, check=True).stdout)
        for more in ((), ("large",))
    )
    assert 10**8 < small < 10**9 and abs(large - small) < 10**8


def test_seconds_go_on_and_clocks_may_jump(
    tiny: Tiny, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: 2e9 - 1e5 * next(jumps))  # backwards, by a day and more at each look
    trained(tiny(), "run", until=8)
    first = read_metrics(tmp_path / "run/metrics.jsonl")
    path = tmp_path / "run/metrics.jsonl"
    path.write_text("".join(json.dumps(line | {"seconds": 1000.0}) + "\n" for line in first))
    trained(tiny(), "run")
    lines = read_metrics(path)
    assert [line["examples"] for line in lines] == [8, 16, 24]
    assert lines[0]["seconds"] == 1000 < lines[1]["seconds"] < lines[2]["seconds"] < 1500
    assert all(line["examples_per_second"] > 0 and 0 <= line["data_wait"] <= 1 for line in lines)


def test_metrics_of_an_older_version_are_gone_on_with(tiny: Tiny, trained: Trained, tmp_path: Path) -> None:
    trained(tiny(), "run", until=8)
    path = tmp_path / "run/metrics.jsonl"
    known = ("examples", "total", "loss", "grad_norm", "learning_rate", "examples_per_second")
    path.write_text("".join(json.dumps({key: line[key] for key in known}) + "\n" for line in read_metrics(path)))
    trained(tiny(), "run")
    assert [line.get("seconds", 0) > 0 for line in read_metrics(path)] == [False, True, True]


def test_a_fault_is_written_down(tiny: Tiny, tmp_path: Path) -> None:
    run = Run(tiny(patience=3), "base", tmp_path / "run", torch.device("cpu"))
    texts = EmbeddingCache(run.recipe.cascade.text, tmp_path / "cache")
    good = Batches(stage=run.stage, spec=run.spec, dataset=run.spec.data.open(), texts=texts).at(0)
    x = good.x.clone()
    x[2] = math.inf
    bad = replace(good, x=x)
    run._learn(good)
    for _ in range(2):
        run._learn(bad)
    assert sorted(path.name for path in (run.folder / "bad").iterdir()) == ["000000004.json", "000000008.json"]
    told = json.loads((run.folder / "bad/000000004.json").read_text(), parse_constant=pytest.fail)
    assert told["examples"] == 4 and isinstance(told["loss"], str)
    assert [row["name"] for row in told["batch"]] == list(good.names) and len(set(good.names)) == 4
    assert [row["t"] for row in told["batch"]] == good.times.tolist()
    assert [isinstance(row["loss"], float) for row in told["batch"]] == [True, True, False, True]
    with pytest.raises(FloatingPointError, match="3 times in a row at 12 examples"):
        run._learn(bad)
