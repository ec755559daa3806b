"""The command for a loan of a GPU: all of it runs on a CPU, tiny, and nothing that fails ends it."""

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from zoetrope.known import Method
from zoetrope.networks import NetworkConfig
from zoetrope.samplers import Sampler

pytestmark = pytest.mark.first

ROOT = Path(__file__).parents[1]
PARTS = ["same", "resume", "networks", "paper", "planned", "graphs", "train"]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("gpu")


def results(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_a_rehearsal_goes_through_every_part(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks/gpu.py"), "--rehearse", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    found = results(tmp_path)
    assert [line for line in found if "error" in line] == []
    assert list(dict.fromkeys(line["part"] for line in found)) == ["about", *PARTS]
    assert all(line["agrees"] for line in found if line["part"] == "same")
    assert all(line["resumed equal"] for line in found if line["part"] == "resume")
    assert all(f"## {part}\n" in done.stdout for part in PARTS)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("results.jsonl", "table.md", "log.txt", "base.safetensors", "metrics.jsonl")
    }


def test_every_network_and_way_of_sampling_is_compared(gpu: ModuleType) -> None:
    cases = importlib.import_module("_gpu_cases")
    assert {config.kind() for config in cases.NETWORKS.values()} == set(NetworkConfig.names()) - set(cases.LEFT_OUT)
    names = cases.stages()
    for kind in (Sampler, Method):
        word = "sampler" if kind is Sampler else "known"
        assert {f"{word} {name}" for name in kind.names()} <= set(names)


def test_an_error_of_the_size_that_is_looked_for_is_seen(gpu: ModuleType) -> None:
    same = importlib.import_module("_gpu_same")
    right = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert same.away([right * 1.001], [right]) == pytest.approx(1e-3, rel=1e-3)
    assert same.away([right * float("nan")], [right]) == float("inf")
    assert not same.judged(torch.float32, {"output": ("output", 2e-4)})["agrees"]
    assert same.judged(torch.float32, {"output": ("output", 5e-5)})["agrees"]


def part(gpu: ModuleType, run: Any) -> Any:
    return gpu.Part("part", SimpleNamespace(run=run), 2.0)


def options(out: Path) -> argparse.Namespace:
    return argparse.Namespace(out=out, device="cpu", rehearse=True, forks=True)


def test_a_case_that_fails_or_kills_its_process_is_told_and_the_next_runs(gpu: ModuleType, tmp_path: Path) -> None:
    def fails() -> dict[str, Any]:
        raise ValueError("no")

    def faults() -> dict[str, Any]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def dies() -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    def run(bench: Any) -> None:
        for name, case in (("a", fails), ("b", dies), ("c", faults), ("d", lambda: {"fine": 1})):
            bench.case(name, case)

    gpu.run_part(part(gpu, run), options(tmp_path), 60)
    found = {line["what"]: line.get("error") for line in results(tmp_path)}
    assert found == {
        "a": "ValueError: no",
        "b": "its process ended with status -9",
        "c": "RuntimeError: CUDA error: an illegal memory access was encountered",
        "d": None,
    }
    assert "| d |" in gpu.table(results(tmp_path))


def test_a_part_that_takes_too_long_is_ended(gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "GRACE", 0.2)
    begin = time.monotonic()
    gpu.run_part(part(gpu, lambda bench: bench.case("slow", lambda: time.sleep(60))), options(tmp_path), 0.5)
    assert time.monotonic() - begin < 30
    assert [line["error"] for line in results(tmp_path)] == ["took more than 0 s"]


def test_a_part_that_cannot_begin_is_told(gpu: ModuleType, tmp_path: Path) -> None:
    def run(bench: Any) -> None:
        raise OSError("no such device")

    gpu.run_part(part(gpu, run), options(tmp_path), 60)
    assert [line["what"] for line in results(tmp_path)] == ["the part itself"]
    assert "no such device" in (tmp_path / "log.txt").read_text()


def test_what_there_was_no_time_for_is_run_when_the_folder_goes_on(gpu: ModuleType, tmp_path: Path) -> None:
    bench = importlib.import_module("_gpu_bench").Bench
    assert not bench("part", tmp_path, "cpu", 0.0, True).case("late", lambda: {"seconds": 1.0})
    assert results(tmp_path)[-1]["error"].startswith("left out")
    again = bench("part", tmp_path, "cpu", 60.0, True)
    assert again.found() == {} and again.case("late", lambda: {"seconds": 1.0})
    assert again.found()["late"]["seconds"] == 1
    assert not bench("part", tmp_path, "cpu", 60.0, True).case("late", lambda: pytest.fail("it is there"))
    told = gpu.table(results(tmp_path))
    assert told.count("| late |") == 1 and "left out" not in told


def test_a_line_that_a_kill_cut_short_costs_no_other(gpu: ModuleType, tmp_path: Path) -> None:
    kit = importlib.import_module("_gpu_bench")
    kit.tell(tmp_path, {"part": "a", "what": "one"})
    with (tmp_path / kit.RESULTS).open("a") as file:
        file.write('{"part": "a", "wh')
    kit.tell(tmp_path, {"part": "a", "what": "two"})
    kit.tell(tmp_path, {"part": "a", "what": "three"})
    assert [line["what"] for line in kit.lines(tmp_path)] == ["one", "two", "three"]


def test_a_rehearsal_does_not_stand_for_the_real_run(gpu: ModuleType, tmp_path: Path) -> None:
    kit, now = importlib.import_module("_gpu_bench"), {"card": "NVIDIA H200", "rehearsed": False}
    gpu.expect_own(tmp_path, now)
    kit.tell(tmp_path, {"part": "about", "what": "this run", **now})
    gpu.expect_own(tmp_path, now)
    for other in ({**now, "rehearsed": True}, {**now, "card": "NVIDIA A100"}):
        with pytest.raises(ValueError, match=r"has results of (rehearsed|card) .*; give another --out"):
            gpu.expect_own(tmp_path, other)


def test_the_sum_of_stages_is_that_of_all_that_ran_before_too(gpu: ModuleType, tmp_path: Path) -> None:
    paper, kit = importlib.import_module("_gpu_paper"), importlib.import_module("_gpu_bench")
    for stage in paper.stages(True):
        kit.tell(tmp_path, {"part": "paper", "what": stage.name, "seconds": 2.5, "peak bytes": None})
    paper.run(kit.Bench("paper", tmp_path, "cpu", 60.0, True))
    last = results(tmp_path)[-1]
    assert (last["what"], last["stages"], last["seconds"]) == ("all that ran", 2, 5.0)
