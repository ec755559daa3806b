"""TensorBoard and Weights & Biases: what a training leaves with them is read back from their files."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from zoetrope.processes.ranks import ALONE, Ranks
from zoetrope.training.building import expect_trainable
from zoetrope.training.loop import Run
from zoetrope.training.spec import Recipe
from zoetrope.training.state import read_metrics
from zoetrope.training.trackers import Tracker, scalars_of
from zoetrope.training.trackers.tensorboard import TensorBoard
from zoetrope.training.trackers.wandb import Wandb

Tiny = Callable[..., Recipe]
Trained = Callable[..., Run]


def test_every_tracker_is_found() -> None:
    assert Tracker.names() == ["tensorboard", "wandb"]
    assert Tracker.from_json({"type": "wandb", "project": "p"}) == Wandb(project="p")
    line = {"loss": 0.5, "loss_by_time": (0.25, None, 1.0), "name": "x", "total": 3}
    assert scalars_of(line) == {"loss": 0.5, "loss_by_time/0": 0.25, "loss_by_time/2": 1.0, "total": 3.0}


def test_tensorboard(tiny: Tiny, trained: Trained) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    recipe = tiny(trackers=(TensorBoard(),), sample_every=8)
    trained(recipe, "run", until=16)
    run = trained(recipe, "run")
    found = events.EventAccumulator(str(run.folder / "tensorboard"))
    found.Reload()
    lines = read_metrics(run.folder / "metrics.jsonl")
    for name in ("loss", "learning_rate", "data_wait", "peak_memory"):
        seen = [(event.step, event.value) for event in found.Scalars(name)]
        assert seen == [(line["examples"], pytest.approx(line[name], rel=1e-6)) for line in lines], name
    assert any(name.startswith("loss_by_time/") for name in found.Tags()["scalars"])
    # The training was stopped between the line of 16 examples and the sheet.
    assert [(event.step, event.height > 0) for event in found.Images("samples")] == [(8, True), (24, True)]


def test_wandb_offline(tiny: Tiny, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    recipe = tiny(trackers=(Wandb(project="films"),), sample_every=16)
    run = trained(recipe, "run")
    (log,) = (run.folder / "wandb").glob("offline-run-*/*.wandb")
    words = (b"films", b"loss_by_time/0", b"examples_per_second", b"samples", b"media/images")
    deadline = time.monotonic() + 60  # a process of wandb's own writes it
    while not all(word in log.read_bytes() for word in words) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [word for word in words if word not in log.read_bytes()] == []
    assert len(list((run.folder / "wandb").glob("offline-run-*/files/media/images/*.png"))) == 1
    assert (run.folder / "wandb.json").is_file()


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The home folder of a user who has not logged in to wandb."""
    wandb = pytest.importorskip("wandb")
    wandb.teardown()  # it looks at the environment once
    for name in [name for name in os.environ if name.startswith("WANDB_")] + ["NETRC"]:
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(home))
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example:8080")
    yield home
    wandb.teardown()


def test_a_new_run_expects_a_login_and_one_that_goes_on_does_without(
    tiny: Tiny, trained: Trained, tmp_path: Path, nobody: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = tiny(trackers=(Wandb(project="films"),))
    stage, spec = recipe.cascade.stage("base"), recipe.train_spec("base")
    message = r"^wandb: expected a login, got none; `wandb login` makes one"
    with pytest.raises(ValueError, match=message):
        expect_trainable(stage, spec, tmp_path / "new", ALONE)
    expect_trainable(stage, spec, tmp_path / "new", Ranks(rank=1, world=2))  # which sends nothing
    with pytest.raises(ValueError, match=message):
        trained(recipe, "new")
    assert not list((tmp_path / "new").glob("wandb*"))
    trained(tiny(), "run", until=8)
    expect_trainable(stage, spec, tmp_path / "run", ALONE)
    assert trained(recipe, "run").state.examples == 24
    told = [record.getMessage() for record in caplog.records if "wandb" in record.getMessage()]
    assert len(told) == 1 and told[0].startswith("wandb: cannot be opened (expected a login, got none;")
    assert told[0].endswith("the training goes on without it")


def test_a_user_who_then_asks_for_no_login_needs_none(
    tiny: Tiny, trained: Trained, nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though wandb looks at the environment once."""
    recipe = tiny(trackers=(Wandb(project="films"),))
    with pytest.raises(ValueError, match="expected a login"):
        trained(recipe, "run")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert list((trained(recipe, "run").folder / "wandb").glob("offline-run-*"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("WANDB_API_KEY", "0" * 40, None),
        ("WANDB_MODE", "offline", None),
        ("WANDB_MODE", "disabled", None),
        ("WANDB_MODE", "onlnie", r"^wandb: .*onlnie"),
        (".netrc", "wandb.example:8080", None),
        (".netrc", "other.example", "^wandb: expected a login"),
    ],
)
def test_where_a_login_is_looked_for(
    nobody: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str | None
) -> None:
    if name == ".netrc":
        (nobody / name).write_text(f"machine {value} login user password {'0' * 40}\n")
    else:
        monkeypatch.setenv(name, value)
    with nullcontext() if message is None else pytest.raises(ValueError, match=message):
        Wandb(project="films").check()


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_package_that_is_not_there_is_named(
    tiny: Tiny, trained: Trained, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for module in ("tensorboard", "torch.utils.tensorboard", "torch.utils.tensorboard.writer", "wandb"):
        monkeypatch.setitem(sys.modules, module, None)
    tracker = TensorBoard() if name == "tensorboard" else Wandb(project="p")
    message = rf"{name}: expected the package to be installed .*; try: pip install {name}"
    with pytest.raises(ValueError, match=message):
        recipe = tiny(trackers=(tracker,))
        expect_trainable(recipe.cascade.stage("tsr1"), recipe.train_spec("tsr1"), Path(), ALONE)
    with pytest.raises(ValueError, match=message):
        trained(tiny(trackers=(tracker,)), "run")


@pytest.mark.parametrize("told", ["[1]", "{}", '{"id": 5}', '"abc"'])
def test_another_file_than_that_of_the_id_is_told(told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    (tmp_path / "wandb.json").write_text(told)
    with pytest.raises(ValueError, match=r'wandb\.json: expected an object with the "id" of the run'):
        Wandb(project="p").open(tmp_path, 0, {})
