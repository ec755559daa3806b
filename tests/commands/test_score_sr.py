"""The measurements of a model, from its folder to their tables, and its packing, with a tiny untrained cascade."""

import argparse
import importlib
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.commands.conftest import Cli, network
from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.data.toybox.prompts import wordings
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.models.cascade import Cascade
from zoetrope.models.folder import read_spec, write_model
from zoetrope.models.opening import open_model
from zoetrope.shapes import VideoShape
from zoetrope.text.t5 import T5

BASE = VideoShape(frames=4, height=12, width=20, fps=2)
TSR = VideoShape(frames=8, height=12, width=20, fps=4)
SSR = VideoShape(frames=8, height=24, width=40, fps=4)


@pytest.fixture(scope="module")
def untrained(encoder: T5, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Base, temporal and spatial super-resolution of frames that are large enough for SSIM."""
    plain = SamplingSpec(steps=2)
    of_base, of_tsr = (usual_inputs(shape, logsnr=math.log(3.0)) for shape in (BASE, TSR))
    stages = (
        StageSpec(name="base", shape=BASE, network=network(False), sampling=SamplingSpec(steps=4, guidance=1.0)),
        StageSpec(
            name="tsr1",
            shape=TSR,
            inputs=of_base,
            network=network(True),
            sampling=plain,
        ),
        StageSpec(
            name="ssr1",
            shape=SSR,
            inputs=of_tsr,
            network=network(True),
            sampling=plain,
        ),
    )
    folder = tmp_path_factory.mktemp("models") / "untrained"
    torch.manual_seed(0)
    networks = {stage.name: stage.network.build() for stage in stages}
    for built in networks.values():
        for weight in built.parameters():
            torch.nn.init.normal_(weight, std=0.2)
    write_model(folder, CascadeSpec(name="untrained", text=encoder, stages=stages), networks, "# untrained\n")
    return folder


def benchmark(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module(name)


def test_stages_are_scored_and_scores_are_kept(
    untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    score_sr = benchmark("score_sr", monkeypatch)
    arguments = ["--model", str(untrained), "--out", str(tmp_path), "--clips", "1", "ssr1=2"]
    score_sr.main(arguments)
    first = capsys.readouterr().out
    scores = json.loads((tmp_path / "scores.json").read_text())
    rows = {(row["stage"], row["given"], row["method"]): row for row in scores["rows"]}
    ways = {"tsr1": ("repeat", "linear", "tsr1"), "ssr1": ("bilinear", "bicubic", "ssr1")}
    assert set(rows) == {(s, g, way) for s, names in ways.items() for g in ("truth", "generated") for way in names}
    assert rows["ssr1", "truth", "ssr1"]["clips"] == 2 and rows["tsr1", "truth", "tsr1"]["clips"] == 1
    for (stage, given, way), row in rows.items():
        assert (row["fidelity"]["new"] is None) == (stage == "ssr1")
        if way == stage and given == "truth":  # weights at random: plain upsampling is far better
            assert row["wins"] == 0 and row["psnr"]["every"] < rows[stage, given, ways[stage][0]]["psnr"]["every"]
    for stage in ways:  # of a generated video no way gets as near to the truth as of the truth itself
        way = ways[stage][0]
        assert rows[stage, "generated", way]["psnr"]["every"] < rows[stage, "truth", way]["psnr"]["every"]
        assert (tmp_path / f"{stage}-generated.png").is_file()
    assert (tmp_path / "table.md").read_text().strip() in first and first.count(" input, clip ") == 6
    beside = {(one["stage"], one["input"], one["measure"]): one for one in scores["compared"]}
    assert len(beside) == 4 * 3  # distances of features were not measured
    for (stage, given, measure), one in beside.items():
        assert one["way"] in ways[stage] and (one["half"] is None) == (stage == "tsr1") and one["clips"] in (1, 2)
        flicker = rows[stage, given, stage]["fidelity"]["flicker"]
        assert measure != "flicker, %" or one["made"] == pytest.approx(100 * flicker)

    score_sr.main(arguments)
    again = capsys.readouterr().out
    assert again.count(" input, clip ") == 0 and again.strip() in first
    sheets = [(tmp_path / f"{stage}-truth.png").stat().st_mtime_ns for stage in ways]
    score_sr.main([*arguments, "--seed", "1", "--stages", "tsr1", "--inputs", "truth"])
    assert capsys.readouterr().out.count(" input, clip ") == 1
    again = [(tmp_path / f"{stage}-truth.png").stat().st_mtime_ns for stage in ways]
    assert [one != other for one, other in zip(sheets, again, strict=True)] == [True, False]  # of what was measured


def test_mistakes_are_told(untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score_sr = benchmark("score_sr", monkeypatch)
    arguments = ["--model", str(untrained), "--out", str(tmp_path / "out")]
    for words, message in [
        (["--stages", "ssr11"], "did you mean 'ssr1'"),
        (["--stages", "base"], "super-resolution stage 'base'"),
        (["--clips", "0"], "number above 0"),
        (["--clips", "1", "ssr11=2"], "did you mean 'ssr1'"),
        (["--features", str(tmp_path / "none.safetensors")], "no such file"),
    ]:
        with pytest.raises(ValueError, match=message):
            score_sr.main([*arguments, *words])
    assert not (tmp_path / "out").exists()


def test_stages_that_are_not_named_have_the_usual_number_of_clips(
    untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = benchmark("_super_resolution", monkeypatch)
    stages = open_model([str(untrained)]).spec.stages[1:]
    assert shared.clip_counts(["ssr1=1"], stages, usual=4) == {"tsr1": 4, "ssr1": 1}
    assert shared.clip_counts(["3", "ssr1=1"], stages, usual=4) == {"tsr1": 3, "ssr1": 1}


def test_measurements_are_kept_by_what_decides_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The teacher that regenerates for a distilled stage, the noise; and for seconds the number of threads."""
    shared, distilled = (benchmark(name, monkeypatch) for name in ("_super_resolution", "_distilled"))
    cascades = shared.Cascades(["mini"], 0)
    model = cascades.model
    base = model.spec.stages[0]
    own = cascades.key(0, base)
    first, *others = model.spec.teachers
    slow = first.with_(sampling=first.sampling.with_(steps=first.sampling.steps * 2))
    noise = "mersenne" if model.spec.noise == "philox" else "philox"
    for spec in (model.spec.with_(teachers=(slow, *others)), model.spec.with_(noise=noise)):
        cascades.model = model._replace(spec=spec)
        assert cascades.key(0, base) != own
    way, threads = distilled.Way(base, model.spec.text, model.weights[base.name]), torch.get_num_threads()
    try:
        keys = set()
        for number in (1, 2):
            torch.set_num_threads(number)
            keys.add(way.key())
    finally:
        torch.set_num_threads(threads)
    assert len(keys) == 2


def test_videos_kept_with_fewer_frames_are_made_again(
    untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    making = benchmark("_making", monkeypatch)
    cascade = Cascade.from_pretrained(str(untrained))
    options = argparse.Namespace(noises=1, until="tsr1", out=tmp_path)
    for most in (2, 8, 8):
        made = making.videos_of(cascade, ["fog"], options, {"base": "a-0", "tsr1": "a-1"}, most)
        assert [len(made[stage][0][0].frames) for stage in ("base", "tsr1")] == [min(most, 4), most]
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    making.videos_of(cascade, ["fog"], options, {"base": "a-0", "tsr1": "a-1"}, 8)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")} == kept


def test_levels_of_augmentation_are_compared(
    untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    augmentation = benchmark("augmentation", monkeypatch)
    augmentation.main(
        [
            "--model",
            str(untrained),
            "--out",
            str(tmp_path),
            "--clips",
            "1",
            "--stages",
            "ssr1",
            "--levels",
            "3.0",
            "none",
        ]
    )
    curves = json.loads((tmp_path / "levels.json").read_text())["curves"]
    assert [(curve["stage"], curve["input"], curve["default"]) for curve in curves] == [
        ("ssr1", "truth", "3"), ("ssr1", "generated", "3"),
    ]  # fmt: skip
    for curve in curves:
        assert set(curve["levels"]) == {"3", "none"} and set(curve["plain"]) == {"bilinear", "bicubic"}
        assert curve["levels"]["3"] != curve["levels"]["none"]
    assert "SNR 3 (default)" in capsys.readouterr().out
    assert (tmp_path / "augmentation.png").is_file() == (importlib.util.find_spec("matplotlib") is not None)


def test_videos_are_judged_after_every_stage(
    untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    score_mini = benchmark("score_mini", monkeypatch)
    words = ["--model", str(untrained), "--out", str(tmp_path), "--noises", "2", "--limit", "1", "--sets"]
    score_mini.main([*words, "combinations"])
    rows = [line.split(" | ")[1] for line in capsys.readouterr().out.split("\n\n")[0].splitlines()[2:]]
    assert rows == ["base", "tsr1", "ssr1"]
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert list(scores["sets"]["combinations"]) == ["base", "tsr1", "ssr1"]
    assert [score["videos"] for score in scores["sets"]["combinations"].values()] == [2, 2, 2]
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    assert len(kept) == 6
    frames = [np.load(path)["frames"] for path in kept if path.name.startswith("combinations")]
    assert not any(np.array_equal(a, b) for a, b in itertools.combinations(frames, 2))  # noises of their own
    score_mini.main([*words, "combinations"])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")} == kept
    assert json.loads((tmp_path / "scores.json").read_text()) == scores
    bases, others = ([file for file in kept if ("x" in np.load(file)) == first] for first in (True, False))
    assert len(bases) == 2
    before = [np.load(file)["frames"] for file in others]
    for file in others:
        file.unlink()
    score_mini.main([*words, "combinations"])  # goes on from what base had made
    assert all(path.stat().st_mtime_ns == kept[path] for path in bases)
    assert all(np.array_equal(old, np.load(file)["frames"]) for old, file in zip(before, others, strict=True))
    score_mini.main([*words, "wordings", "--until", "base"])
    more = json.loads((tmp_path / "scores.json").read_text())["sets"]
    assert more["combinations"] == scores["sets"]["combinations"] and list(more["wordings"]) == ["base"]
    score_mini.main([*words[:5], "1", "--limit", "1", "--sets", "combinations", "--until", "base"])
    stages = json.loads((tmp_path / "scores.json").read_text())["sets"]["combinations"]
    assert [score["videos"] for score in stages.values()] == [1, 2, 2] and list(stages) == ["base", "tsr1", "ssr1"]
    told = (tmp_path / "table.md").read_text().split("| held-out words | prompts |")[1]
    assert len(told.splitlines()) == 2 + len(wordings(1)[0].unseen)


TO_TWO = ("--start", "4", "--steps", "2")
TO_ONE = ("--start", "2", "--steps", "1")
SHORT = json.dumps({"examples": 4, "batch": 4})


@pytest.fixture
def distil(cli: Cli, untrained: Path, films: Path) -> Callable[..., str]:
    """Distil a stage for as long as it takes to have every round."""

    def distil(stage: str, out: str, *words: str, model: str | Path = untrained) -> str:
        rounds = [f"{stage}.distillation.{name}={SHORT}" for name in ("guidance", "halving", "last")]
        sets = [word for part in rounds for word in ("--set", part)]
        done = cli("distill", model, "--stage", stage, "--out", out, "--data", films, "--quiet", *sets, *words)
        assert done == (0, "", "")
        return out

    return distil


def test_distilled_stages_are_measured_beside_their_originals(
    distil: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    distilled = benchmark("distilled", monkeypatch)
    names = [
        distil("base", "base", *TO_TWO, "--weights", "0", "4"),
        distil("base", "noisy", *TO_TWO, "--sampler", "stochastic"),
        distil("tsr1", "tsr1", *TO_ONE),
        distil("ssr1", "ssr1", *TO_ONE),
    ]
    words = [*names, "--out", "out", "--page", "page", "--steps", "4", "--sr-steps", "2", "--prompts", "9"]
    words += ["--clips", "1", "--oscillating", "4"]
    distilled.main(words)
    told = json.loads(Path("page/distilled.json").read_text())["rows"]
    rows = [(row["stage"], row["network"], row["steps"], row["sampler"], row["guidance"]) for row in told]
    constant = [
        ("original", 4, "ddim"), ("guided", 4, "ddim"), ("distilled", 2, "ddim"),
        ("guided", 4, "ddim"), ("distilled", 4, "stochastic"), ("distilled", 2, "ddim"),
        ("distilled", 2, "stochastic"), ("distilled", 1, "ddim"),
    ]  # fmt: skip
    base = [row[1:4] for row in rows if row[0] == "base" and row[4] == "1"]
    assert sorted(base) == sorted(constant)
    waves = [row[1:] for row in rows if row[4] == "4 and 1"]  # the range of the other distillation ends at 1
    assert waves == [(*way, "4 and 1") for way in constant[:3]]
    assert [row[:4] for row in rows if row[0] == "ssr1"] == [
        ("ssr1", "original", 2, "ddim"), ("ssr1", "distilled", 1, "ddim"),
    ]  # fmt: skip
    assert all(row["videos"] == 9 for row in told if row["stage"] == "base")
    assert all((row["psnr_new"] is None) == (row["stage"] == "ssr1") for row in told if row["stage"] != "base")
    assert Path("page/distilled.png").is_file() and "| original | 4 | ddim | 1 |" in capfd.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}
    distilled.main(words)
    assert {path: path.stat().st_mtime_ns for path in Path("out").iterdir()} == before

    with pytest.raises(ValueError, match="--divide: expected a divisor of the 4 frames of base, got 3"):
        distilled.main(["base", "tsr1", "--speed", "--out", "out", "--divide", "3"])
    distilled.main(["base", "tsr1", "--speed", "--out", "out", "--divide", "2"])
    speed = json.loads(Path("out/distilled_speed.json").read_text())
    assert set(speed["medians"]["original"]) == {"base", "tsr1", "all"} and speed["times"] > 18
    assert "| base | 2 | 2 | 256 |" in capfd.readouterr().out


def test_originals_are_packed_in_eight_bits(
    distil: Callable[..., str],
    untrained: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    package_model = benchmark("package_model", monkeypatch)
    recipe = {"name": "untrained", "cascade": read_spec(untrained).to_json(), "training": {}}
    Path("recipe.json").write_text(json.dumps(recipe))
    names = [distil("base", "base", *TO_TWO), distil("ssr1", "ssr1", *TO_ONE)]
    words = [str(untrained), *names, "--recipe", "recipe.json", "--to", "packed"]
    with pytest.raises(SystemExit, match=r"would take 0\.\d MB, more than 0.01"):
        package_model.main([*words, "--most", "0.01"])
    assert not Path("packed").exists()
    package_model.main(words)
    assert "distilled: base, ssr1" in capfd.readouterr().out
    packed = open_model(["packed"])
    assert [stage.name for stage in packed.spec.teachers] == ["base", "ssr1"]
    stored = load_file("packed/base/teacher.safetensors")
    assert stored["enter.conv.weight"].dtype == torch.int8 and "enter.conv.weight.scale" in stored
    assert load_file("packed/base/model.safetensors")["enter.conv.weight"].dtype == torch.bfloat16
    for words in (["--teacher", "--steps", "3"], []):
        assert cli("generate", "fog", "--model", "packed", "-o", "a.mp4", *words).code == 0
    package_model.main(["packed", "--recipe", "recipe.json", "--to", "smaller", "--eight-bits"])
    whole = load_file("packed/base/model.safetensors")["enter.conv.weight"].float().flatten(1)
    eight = load_file("smaller/base/model.safetensors")
    near = eight["enter.conv.weight"].float().flatten(1) * eight["enter.conv.weight.scale"][:, None]
    assert eight["enter.conv.weight"].dtype == torch.int8
    torch.testing.assert_close(near, whole, rtol=0, atol=float(whole.abs().max()) / 250)
    assert cli("generate", "fog", "--model", "smaller", "-o", "b.mp4").code == 0
    distil("ssr1", "again", *TO_TWO, model="packed")  # from the original, although that is in 8 bits
