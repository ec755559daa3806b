"""A run on disk: which checkpoints are there, what damage to them says, and what a kill leaves."""

import json
import logging
import threading
from pathlib import Path

import pytest
import torch
from conftest import make_pipe
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.training.batch import Batch
from zoetrope.training.checkpoints import Keeper, Snapshot
from zoetrope.training.loop import Run
from zoetrope.training.meters import Outcome
from zoetrope.training.spec import Phase
from zoetrope.training.state import read_metrics

from .stages import CPU, recipe


def test_a_half_written_checkpoint_is_not_one(cache: Path, tmp_path: Path) -> None:
    own = recipe(phases=(Phase(examples=8, batch=4),))
    for _ in Run(own, "base", tmp_path, CPU).train(cache):
        pass
    checkpoints = tmp_path / "checkpoints"
    (whole,) = find_checkpoints(checkpoints)
    assert whole.name == "000000008"
    partial = checkpoints / ".000000012.partial"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half")
    (checkpoints / "000000016").mkdir()
    assert find_checkpoints(checkpoints) == [whole]
    assert Run(own, "base", tmp_path, CPU).state.examples == 8
    (whole / "model.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"model\.safetensors: not a whole safetensors file"):
        Run(own, "base", tmp_path, CPU)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("optimizer.safetensors", b"half"),
        ("errors.safetensors", b"half"),
        ("state.json", b"{"),
        ("state.json", b"[1]"),
        ("state.json", b"{}"),
    ],
)
def test_damage_to_a_checkpoint_is_named(cache: Path, tmp_path: Path, file: str, content: bytes) -> None:
    own = recipe(phases=(Phase(examples=4, batch=4),))
    for _ in Run(own, "base", tmp_path, CPU).train(cache):
        pass
    before = (tmp_path / "run.json").read_bytes()
    (tmp_path / "checkpoints/000000004" / file).write_bytes(content)
    with pytest.raises(ValueError, match=rf"000000004/{file}: "):
        Run(own, "base", tmp_path, CPU)
    assert (tmp_path / "run.json").read_bytes() == before


@pytest.mark.parametrize("content", ["[1]", "{}", '{"stage": "base"}'])
def test_a_record_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match=r"run\.json: expected the record of a run, got "):
        Run(recipe(phases=(Phase(examples=4, batch=4),)), "base", tmp_path, CPU)


@pytest.mark.parametrize("file", ["optimizer", "errors"])
def test_tensors_of_another_training_are_named(cache: Path, tmp_path: Path, file: str) -> None:
    own = recipe(phases=(Phase(examples=4, batch=4),))
    for _ in Run(own, "base", tmp_path, CPU).train(cache):
        pass
    path = tmp_path / f"checkpoints/000000004/{file}.safetensors"
    stored = {name: value.clone() for name, value in load_file(path).items()}
    name = max(stored)
    save_file({**stored, name: torch.zeros(3, 1)}, path)
    about = json.loads((path.parent / "state.json").read_text())
    del about["files"]  # the checksums, without which it is not damage
    (path.parent / "state.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=rf"{file}\.safetensors: expected a tensor '{name}' .* got shape \(3, 1\)"):
        Run(own, "base", tmp_path, CPU)


def test_opening_a_run_clears_what_a_kill_left(cache: Path, tmp_path: Path) -> None:
    own = recipe(phases=(Phase(examples=16, batch=4),), log_every=4)
    reports = Run(own, "base", tmp_path, CPU).train(cache)
    next(reports)
    reports.close()  # type: ignore[attr-defined]
    stale = tmp_path / "checkpoints/.000000099.partial"
    stale.mkdir()
    lines = tmp_path / "metrics.jsonl"
    with lines.open("a") as file:
        file.write('{"examples": 8, "lo')
    assert [line["examples"] for line in read_metrics(lines)] == [4]
    for _ in Run(own, "base", tmp_path, CPU).train(cache):
        pass
    assert not stale.exists()
    assert [line["examples"] for line in read_metrics(lines)] == [4, 8, 12, 16]
    lines.write_text('{"examp\n{"examples": 4}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl:1: "):
        read_metrics(lines)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[" * 500 + "]" * 500, "too deeply nested"),
        ("[" * 50_000 + "]" * 50_000, "too deeply nested"),
        ("[1]", "it tells no number of examples"),
        ('{"examples": null}', "it tells no number of examples"),
        ('{"examples": 4, "loss": []}', "loss: expected a number, got '\\[\\]'"),
        ('{"examples": 4, "seconds": "x"}', "seconds: expected a number, got 'x'"),
    ],
)
def test_metrics_that_no_training_wrote(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"examples": 4}\n' + line + "\n")
    assert read_metrics(path) == [{"examples": 4}]  # as if it was torn
    path.write_text(line + '\n{"examples": 4}\n')
    with pytest.raises(ValueError, match=rf"metrics\.jsonl:1: .*{said}"):
        read_metrics(path)


def test_metrics_that_are_a_pipe_are_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == []
    make_pipe(path)
    with pytest.raises(ValueError, match=r"metrics\.jsonl: expected a plain file"):
        read_metrics(path)


def test_a_run_remembers_how_it_was_gone_on_with(cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = recipe(phases=(Phase(examples=16, batch=4),), log_every=4)
    reports = Run(own, "base", tmp_path, CPU).train(cache)
    next(reports)
    reports.close()  # type: ignore[attr-defined]
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with caplog.at_level(logging.WARNING):
            Run(own, "base", tmp_path, CPU)
    finally:
        torch.set_num_threads(threads)
    assert f"was written with {threads} threads, not {threads + 1}" in caplog.text
    history = json.loads((tmp_path / "run.json").read_text())["history"]
    assert [(entry["examples"], entry["threads"]) for entry in history] == [(0, threads), (4, threads + 1)]
    assert history[0]["versions"]["torch"] == torch.__version__ and history[0]["command"]


def test_a_stop_during_the_last_save_still_leaves_a_checkpoint(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(recipe(phases=(Phase(examples=8, batch=4),)), "base", tmp_path, CPU)
    parts = run.state.parts

    def interrupted() -> dict[str, dict[str, Tensor]]:
        assert run.stop()
        return parts()

    monkeypatch.setattr(run.state, "parts", interrupted)
    for _ in run.train(cache):
        pass
    assert find_checkpoints(tmp_path / "checkpoints") and not run.stop()


def test_only_the_newest_checkpoints_are_kept(cache: Path, tmp_path: Path) -> None:
    own = recipe(phases=(Phase(examples=20, batch=4),), checkpoint_every=8, keep=2)
    for _ in Run(own, "base", tmp_path, CPU).train(cache):
        pass
    assert [path.name for path in find_checkpoints(tmp_path / "checkpoints")] == ["000000016", "000000020"]


@pytest.mark.parametrize(("batch", "every", "most"), [(4, 8, 8), (4, 16, 16), (4, 20, 20), (3, 10, 12), (4, 1, 8)])
def test_a_kill_at_any_time_costs_no_more_than_an_interval(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, every: int, most: int
) -> None:
    """However slowly checkpoints are written."""
    written = threading.Event()
    write, learn, wait = Keeper._write, Run._learn, Keeper._wait

    def slow(keeper: Keeper, snapshot: Snapshot) -> None:
        assert written.wait(60)
        write(keeper, snapshot)

    def waiting(keeper: Keeper) -> None:
        written.set()
        wait(keeper)
        written.clear()

    lost = []

    def learnt(run: Run, batch: Batch) -> Outcome:
        outcome = learn(run, batch)
        whole = find_checkpoints(tmp_path / "checkpoints")
        lost.append(run.state.examples - (int(whole[-1].name) if whole else 0))
        return outcome

    monkeypatch.setattr(Keeper, "_write", slow)
    monkeypatch.setattr(Keeper, "_wait", waiting)
    monkeypatch.setattr(Run, "_learn", learnt)
    own = recipe(phases=(Phase(examples=60, batch=batch),), checkpoint_every=every)
    for _ in Run(own, "base", tmp_path, CPU).train(cache):
        pass
    assert max(lost) <= most and len(lost) == 60 // batch


def test_a_folder_holds_one_run(tmp_path: Path) -> None:
    Run(recipe(), "base", tmp_path, CPU)
    with pytest.raises(ValueError, match="is a run of stage 'base', not of 'tsr1'"):
        Run(recipe(), "tsr1", tmp_path, CPU)
    with pytest.raises(ValueError, match="another network"):
        Run(recipe().override("base.network.embedding", 32), "base", tmp_path, CPU)


def test_a_run_without_a_checkpoint_needs_the_weights_that_it_began_with(cache: Path, tmp_path: Path) -> None:
    own = recipe(phases=(Phase(examples=8, batch=4),))
    for _ in Run(recipe(seed=1), "base", tmp_path / "first", CPU).train(cache):
        pass
    one, other = (tmp_path / f"first/checkpoints/000000040/{name}.safetensors" for name in ("average", "model"))
    Run(own, "base", tmp_path / "run", CPU, one)  # and is killed
    with pytest.raises(ValueError, match="run: ended before its first checkpoint; name its initial weights again"):
        Run(own, "base", tmp_path / "run", CPU)
    with pytest.raises(ValueError, match=r"model\.safetensors: expected the weights that .*run has begun with"):
        Run(own, "base", tmp_path / "run", CPU, other)
    again = Run(own, "base", tmp_path / "run", CPU, one)
    begun = load_file(one)
    assert all(torch.equal(value, begun[name]) for name, value in again.state.network.state_dict().items())
    for _ in again.train(cache):
        pass
    assert Run(own, "base", tmp_path / "run", CPU).state.examples == 8
    with pytest.raises(ValueError, match=r"model\.safetensors: expected the weights that .*run has begun with"):
        Run(own, "base", tmp_path / "run", CPU, other)
