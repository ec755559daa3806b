"""How long examples take: measured where the data are, unknown elsewhere, and a training as long as the slower part."""

import json
import os
import time
from pathlib import Path

import pytest

from tests.training.stages import recipe, stage
from zoetrope.__main__ import main
from zoetrope.data import Dataset, Example, Source
from zoetrope.data.camera import Camera
from zoetrope.data.folder import Folder
from zoetrope.data.mixture import Mixture, Part
from zoetrope.data.pictured import Pictured
from zoetrope.data.shards import Shards
from zoetrope.data.toybox import Toybox
from zoetrope.planning import examples
from zoetrope.planning.devices import gpu
from zoetrope.planning.examples import example_seconds
from zoetrope.planning.plan import plan_stage
from zoetrope.processes.cores import cores as count_cores
from zoetrope.shapes import VideoShape
from zoetrope.training.spec import Phase

PHASES = (Phase(examples=400, batch=4, frames=1), Phase(examples=100, batch=4, images=0.5))
WEB = Shards(path="https://host.invalid/train-{000..009}.tar")


class Slow(Dataset):
    """Clips of toybox that take 5 ms for each frame."""

    def __init__(self) -> None:
        self.clips = Toybox(scripts=3).open()

    def example(self, index: int, shape: VideoShape) -> Example:
        time.sleep(0.005 * shape.frames)
        return self.clips.example(index, shape)

    def captions(self) -> list[str]:
        return self.clips.captions()


def test_what_examples_take(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    monkeypatch.setattr(Toybox, "open", lambda self: slow)
    made = recipe()
    spec = made.train_spec("base").with_(phases=PHASES)
    found = example_seconds(stage("base"), spec, made.cascade.text)
    assert found is not None and found[0] > 0.005 and found[1] > 0.01
    assert max(found) < 1  # on a machine that does other things too
    monkeypatch.setattr(examples, "cores", lambda: 4)
    shared = example_seconds(stage("base"), spec.with_(workers=4), made.cascade.text)
    assert shared is not None and shared[1] > 0.01 / 4 and shared[1] < 0.75 * found[1]


@pytest.mark.parametrize(("workers", "cores", "together"), [(0, 4, 1), (1, 4, 1), (3, 4, 3), (64, 2, 2), (2, 1, 1)])
def test_more_workers_than_cores_are_no_faster(
    monkeypatch: pytest.MonkeyPatch, workers: int, cores: int, together: int
) -> None:
    monkeypatch.setattr(examples, "_seconds", lambda batches, number: 6.0)
    monkeypatch.setattr(examples, "cores", lambda: cores)
    made = recipe()
    spec = made.train_spec("base").with_(phases=PHASES, workers=workers)
    assert example_seconds(stage("base"), spec, made.cascade.text) == [6.0 / together] * 2


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="a system that does not tell")
def test_cores_are_those_that_this_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert count_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert count_cores() == len(allowed)


@pytest.mark.parametrize(
    "data", [Folder(path="nowhere"), WEB, Mixture(parts=(Part(source=WEB),)), Camera(source=WEB), Pictured(source=WEB)]
)
def test_data_that_are_not_here(data: Source) -> None:
    made = recipe()
    assert data.local == isinstance(data, Folder)
    assert example_seconds(stage("base"), made.train_spec("base").with_(data=data), made.cascade.text) is None


def test_a_training_takes_as_long_as_the_slower_of_network_and_data() -> None:
    spec, place = recipe().train_spec("base").with_(phases=PHASES), gpu("h100")
    alone = plan_stage(stage("base"), place, spec).learning
    assert alone is not None and alone.data_seconds is None and alone.seconds == alone.network_seconds
    for first, second in ((1.0, 1.0), (0.0, 1.0), (1e-12, 1e-12)):
        both = plan_stage(stage("base"), place, spec, examples=[first, second]).learning
        assert both is not None and both.network_seconds == alone.seconds
        assert both.data_seconds == 400 * first + 100 * second
    fast = plan_stage(stage("base"), place, spec, examples=[0.0, 0.0]).learning
    mixed = plan_stage(stage("base"), place, spec, examples=[0.0, 5.0]).learning
    assert fast is not None and fast.seconds == alone.seconds
    one = plan_stage(stage("base"), place, spec.with_(phases=PHASES[:1])).learning
    assert mixed is not None and one is not None and mixed.seconds == pytest.approx(one.seconds + 500)


def test_the_command_tells_both_speeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe()
    absent = made.training["tsr1"].with_(data=Folder(path=str(tmp_path / "none")))
    made = made.with_(training={"base": made.training["base"], "tsr1": absent})
    (tmp_path / "recipe.json").write_text(json.dumps(made.to_json()))
    monkeypatch.setattr("sys.argv", ["zoetrope", "plan", str(tmp_path / "recipe.json"), "--device", "cpu"])
    main()
    out = capsys.readouterr().out
    head, base, tsr1, ssr1 = out[out.index("training:") :].splitlines()[1:5]
    assert "examples/s  of the data" in head
    assert base.split()[-3] != "-" and tsr1.split()[-3] == "-" and ssr1.split()[1:] == ["-"] * 7
    assert "Of data that are not here no example could be made." in out
