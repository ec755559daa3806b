"""Power laws: found again where they are, and what they make of a plan."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from conftest import make_pipe

from zoetrope.__main__ import main
from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.data.toybox import Toybox
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.planning.devices import gpu
from zoetrope.planning.fits import Measured, PowerLaw, fit, read_measured
from zoetrope.planning.plan import plan_stage
from zoetrope.shapes import VideoShape
from zoetrope.text.t5 import T5
from zoetrope.training.spec import Phase, Recipe, TrainSpec


def test_a_law_is_found_again() -> None:
    xs = [1.0, 3.0, 10.0, 64.0]
    law = fit(xs, [0.5 * x**1.25 for x in xs])
    assert law.factor == pytest.approx(0.5) and law.exponent == pytest.approx(1.25)
    assert (law.low, law.high) == (1, 64) and law.spread == pytest.approx(1)
    assert law.at(100) == pytest.approx(0.5 * 100**1.25)


def test_spread_is_how_far_a_point_lies_off() -> None:
    law = fit([1, 2, 4], [1, 4, 4])
    assert law.exponent == pytest.approx(1) and law.spread == pytest.approx(4 / law.at(2))


@pytest.mark.parametrize(("xs", "ys"), [([2, 2], [1, 3]), ([1], [1]), ([1, 2], [0, 1]), ([1, 2, 3], [1, 2])])
def test_what_cannot_be_fitted(xs: list[float], ys: list[float]) -> None:
    with pytest.raises(ValueError, match="fit: expected"):
        fit(xs, ys)


def test_beyond_what_was_seen_a_correction_is_a_factor() -> None:
    law = PowerLaw(factor=2.0, exponent=1.5, low=1.0, high=4.0, spread=1.0)
    assert law.correct(1) == 2 and law.correct(4) == 16
    assert law.correct(2) == pytest.approx(2 * 2**1.5)
    assert law.correct(0.1) == pytest.approx(0.2) and law.correct(40) == pytest.approx(160)


def measured() -> dict[str, object]:
    """What a file holds: sampling takes three times what is predicted, training half of it and twice the bytes."""
    laws = [PowerLaw(factor, 1.0, 1e-9, 1e15, 1.0)._asdict() for factor in (3.0, 0.5, 2.0)]
    plan = {"sampling": {"seconds": laws[0]}, "training": {"seconds": laws[1], "bytes": laws[2]}}
    return {"device": "t4", "dtype": "float32", "threads": 2, "plan": plan}


def read(folder: Path, value: object) -> Measured:
    path = folder / "measured.json"
    path.write_text(json.dumps(value))
    return read_measured(path)


def tiny() -> Recipe:
    """One stage, and how it is trained."""
    shape = VideoShape(frames=2, height=4, width=4, fps=2)
    network = VideoUNetConfig(embedding=16, head=8, text_width=8, levels=(Level(width=8, temporal="attention"),))
    stage = StageSpec(name="base", shape=shape, network=network, sampling=SamplingSpec(steps=3))
    spec = TrainSpec(data=Toybox(), phases=(Phase(examples=8, batch=2),))
    return Recipe(
        name="tiny", cascade=CascadeSpec(name="tiny", text=T5(width=8), stages=(stage,)), training={"base": spec}
    )


def test_a_plan_is_corrected(tmp_path: Path) -> None:
    laws = read(tmp_path, measured())
    laws.check("t4", "float32", 7)
    stage, spec = tiny().cascade.stages[0], tiny().train_spec("base")
    plain, right = (plan_stage(stage, gpu("t4"), spec, measured=each) for each in (None, laws))
    assert plain.learning is not None and right.learning is not None
    assert right.seconds == pytest.approx(3 * plain.seconds) and right.peak_bytes == plain.peak_bytes
    assert right.learning.seconds == pytest.approx(plain.learning.seconds / 2)
    assert right.learning.peak_bytes == pytest.approx(2 * plain.learning.peak_bytes, abs=1)
    assert right.flops == plain.flops and math.isfinite(right.seconds)


def test_the_command_reads_measurements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, laws = tmp_path / "recipe.json", tmp_path / "measured.json"
    recipe.write_text(json.dumps(tiny().to_json()))
    laws.write_text(json.dumps(measured()))
    seconds = []
    for more in ([], ["--measured", str(laws)]):
        monkeypatch.setattr("sys.argv", ["zoetrope", "plan", str(recipe), "--device", "t4", "--json", "--quiet", *more])
        assert not main()
        value = json.loads(capsys.readouterr().out)
        seconds.append(value["total"]["seconds"])
    assert value["measured"] == str(laws) and seconds[1] == pytest.approx(3 * seconds[0])
    monkeypatch.setattr("sys.argv", ["zoetrope", "plan", str(recipe), "--device", "l4", "--measured", str(laws)])
    assert main() == 2
    assert "expected measurements on l4 in bfloat16, got t4 in float32" in capsys.readouterr().err


def test_another_device_than_the_one_measured(tmp_path: Path) -> None:
    laws = read(tmp_path, measured())
    with pytest.raises(ValueError, match="expected measurements on h100 in bfloat16, got t4 in float32"):
        laws.check("h100", "bfloat16", 2)
    with pytest.raises(ValueError, match="with 1 threads, got 2"):
        read(tmp_path, measured() | {"device": "cpu"}).check("cpu", "float32", 1)


def test_what_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^--measured .*none\.json: cannot be read \(No such file or directory\)$"):
        read_measured(tmp_path / "none.json")
    law = {"factor": 3.0, "exponent": 1.0, "low": 1e-9, "high": 1e15, "spread": 1.0}
    wrong_laws = [
        {"slope": 1}, [], 3, law | {"factor": "three"}, law | {"factor": -1}, law | {"low": 2, "high": 1},
        law | {"low": 0}, law | {"exponent": 1e300}, law | {"exponent": -1e300}, law | {"factor": True, "more": 1},
    ]  # fmt: skip
    wrong: list[Any] = [measured() | {"plan": {"sampling": {"seconds": one}}} for one in wrong_laws]
    wrong += [measured() | {name: value} for name in ("device", "dtype", "threads", "plan") for value in ([], None)]
    for value in (*wrong, {}, [], 3, "x"):
        with pytest.raises(ValueError, match=r"^--measured .*: expected what benchmarks/scaling_laws\.py") as caught:
            read(tmp_path, value)
        assert str(caught.value).count("measured.json") == 1 and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b'{"plan": NaN}'])
def test_a_damaged_file_of_measurements_is_named_once(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.json").write_bytes(content)
    assert main(["plan", "mini", "--device", "t4", "--measured", "a.json"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: --measured a.json: expected what benchmarks/") and told.count("a.json") == 1
    make_pipe("pipe.json")
    assert main(["plan", "mini", "--device", "t4", "--measured", "pipe.json"]) == 2
    assert "got something else (expected a plain file)" in capsys.readouterr().err
