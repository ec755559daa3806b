"""The parts of the benchmarks that compute and do not measure: options, history, tables, fits of scaling."""

import importlib
import json
import sys
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from cascade import latent as latents

from tests.planning.test_on_a_gpu import long
from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.codecs import save_codec
from zoetrope.data.toybox.prompts import familiar
from zoetrope.models.cascade import Cascade
from zoetrope.models.folder import write_model
from zoetrope.models.opening import OpenModel, open_model
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.planning.devices import gpu
from zoetrope.planning.plan import plan_stage
from zoetrope.planning.work import sampling
from zoetrope.recipes import load_recipe
from zoetrope.shapes import VideoShape
from zoetrope.text.t5 import T5
from zoetrope.text.words import Words

ABOUT = {"machine": {"processor": "p", "cores": 2}, "device": "cpu", "dtype": "float32", "threads": 2} | {
    "clock": "wall",
    "quick": False,
    "model": "m",
}


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    return importlib.import_module("_history")


def entry(numbers: dict[str, float], **about: Any) -> dict[str, Any]:
    return ABOUT | about | {"numbers": numbers}


def test_worse_is_slower_larger_and_further_from_the_peak(history: ModuleType) -> None:
    before = [entry({"a/seconds": 1.0, "a/of_peak": 0.5, "a/bytes": 100.0, "b/seconds": 2.0, "c/per_second": 5.0})]
    now = {"a/seconds": 1.2, "a/of_peak": 0.4, "a/bytes": 80.0, "b/seconds": 2.1, "c/per_second": 1.0, "d/seconds": 1.0}
    found = {change.name: change for change in history.changes(before, ABOUT, now, 0.1)}
    assert set(found) == {"a/seconds", "a/of_peak", "a/bytes", "b/seconds"}
    assert found["a/seconds"].worse and found["a/of_peak"].worse and not found["a/seconds"].better
    assert found["a/bytes"].better and not found["a/bytes"].worse
    assert not found["b/seconds"].worse and not found["b/seconds"].better
    assert found["a/seconds"].share == pytest.approx(0.2)


def test_the_tolerance_itself_is_tolerated(history: ModuleType) -> None:
    before = [entry({"a/seconds": 1.0, "a/of_peak": 1.1})]
    assert not any(c.worse for c in history.changes(before, ABOUT, {"a/seconds": 1.0999, "a/of_peak": 1.0001}, 0.1))


def test_each_number_is_compared_with_the_last_run_that_has_it_on_the_same_machine(history: ModuleType) -> None:
    entries = [
        entry({"a/seconds": 1.0, "b/seconds": 7.0}),
        entry({"a/seconds": 2.0}),
        entry({"a/seconds": 9.0, "b/seconds": 9.0}, threads=1),
        entry({"a/seconds": 9.0, "b/seconds": 9.0}, quick=True),
    ]
    found = history.changes(entries, ABOUT, {"a/seconds": 2.0, "b/seconds": 7.0}, 0.1)
    assert [(change.name, change.before) for change in found] == [("a/seconds", 2.0), ("b/seconds", 7.0)]
    assert history.changes(entries, ABOUT | {"device": "cuda"}, {"a/seconds": 2.0}, 0.1) == []


def test_what_is_told(history: ModuleType) -> None:
    before = [entry({"a/seconds": 1.0, "b/seconds": 1.0, "c/seconds": 1.0})]
    now = {"a/seconds": 0.5, "b/seconds": 3.0, "c/seconds": 1.0}
    lines = history.told(history.changes(before, ABOUT, now, 0.1), 0.1).splitlines()
    assert lines[0] == "history: 3 numbers compared, 1 worse by more than 10%"
    assert (
        lines[1] == "WORSE  b/seconds: 1 -> 3 (+200.0%)" and lines[2].startswith("better a/seconds") and len(lines) == 3
    )
    assert history.told([], 0.1) == "history: nothing to compare with"


def test_the_history_file_grows_by_lines(history: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    assert history.read_history(path) == []
    for seconds in (1.0, 2.0):
        history.add_entry(path, entry({"a/seconds": seconds}))
    assert [each["numbers"]["a/seconds"] for each in history.read_history(path)] == [1, 2]
    assert list(tmp_path.iterdir()) == [path] and json.loads(path.read_text().splitlines()[0])["threads"] == 2
    path.write_text(path.read_text() + "{\n")
    with pytest.raises(ValueError, match=r"history\.jsonl: line 3: not JSON"):
        history.read_history(path)


def test_a_table_has_the_columns_that_there_are(history: ModuleType) -> None:
    text = history.table({"net, forward/seconds": 0.25, "net, forward/times": 2.5, "matmul/per_second": 3.21e11})
    assert text.splitlines() == [
        "| | seconds | times ours | per second |",
        "|---|---|---|---|",
        "| net, forward | 0.25 | 2.5 |  |",
        "| matmul |  |  | 321 G |",
    ]
    assert [history.shown(x) for x in (1234.5, 0.012345, 2.5e6, 12.0)] == ["1,234", "0.0123", "2.5 M", "12"]


@pytest.fixture
def scaling(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    return importlib.import_module("scaling_laws")


def test_the_points_of_scaling_change_one_thing_each(scaling: ModuleType) -> None:
    base = load_recipe("mini").cascade.stages[0]
    points = scaling.points(base, 4)
    assert len(points) == 16
    for axis in ("frames", "pixels", "batch", "parameters"):
        places = [scaling.place_on_axis(point) for point in points if point.axis == axis]
        assert len(places) == 4 and places == sorted(set(places))
    whole = {point.axis: point for point in points if point.stage.shape == base.shape and point.batch == 1}
    assert set(whole) == {"frames", "pixels", "batch", "parameters"}
    assert all(point.batch == 1 or point.axis == "batch" for point in points)


def test_exponents_of_axes_and_laws_of_the_plan(scaling: ModuleType) -> None:
    rows = [
        {
            "axis": axis,
            "x": x,
            "measured": {"sampling seconds": 0.1 * x**power, "training bytes": 8.0 * x},
            "predicted": {"sampling seconds": 0.05 * x**power},
        }
        for axis, power in (("frames", 1.0), ("pixels", 1.5))
        for x in (2, 4, 8)
    ]
    lines = scaling.axes(rows)
    assert lines["frames"]["sampling seconds"].exponent == pytest.approx(1)
    assert lines["pixels"]["sampling seconds"].exponent == pytest.approx(1.5)
    assert lines["pixels"]["training bytes"].factor == pytest.approx(8) and "sampling bytes" not in lines["pixels"]
    laws = scaling.laws(rows)
    assert set(laws) == {"sampling"} and set(laws["sampling"]) == {"seconds"}
    assert laws["sampling"]["seconds"].correct(1.0) == pytest.approx(2)
    assert "| pixels | sampling seconds | 0.1 | 1.50 | 2 | 8 | x1.00 |" in scaling.table(lines, "against").splitlines()


def test_predictions_are_those_of_plan(scaling: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU too, which takes more frames at a time than a CPU."""
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    point = scaling.Point("frames", long(), 1)
    found = scaling.predicted(point, scaling.Place(torch.device("cuda"), torch.bfloat16))
    plan = plan_stage(point.stage, gpu("h100"), None)
    assert found["sampling bytes"] == plan.peak_bytes > 1.2 * sampling(point.stage, torch.bfloat16).peak
    assert found["sampling seconds"] == plan.seconds / 2


def test_grids_within_five_points_are_told_by_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    scores = importlib.import_module("score_dit")

    def hits(right: int) -> dict[str, list[list[bool]]]:
        return {aspect: [[number < right for number in range(1000)]] * 2 for aspect in scores.ASPECTS}

    found = {"16x24x40": hits(900), "8x24x40": hits(890), "16x40x24": hits(700), "16x32x32": hits(850)}
    table = scores.table(found, dict.fromkeys(found, hits(1000)))
    verdicts = {line.split(" | ")[0].strip("| "): line.split(" | ")[-1].strip("| ") for line in table.splitlines()}
    assert verdicts["8x24x40"] == "within 5 points" and verdicts["16x40x24"] == "not within 5 points"
    assert verdicts["16x32x32"] == "not shown" and verdicts["16x24x40"] == ""
    assert len(scores.grids()) == 6 and len(set(scores.grids())) == 6


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    return importlib.import_module


MISTAKES = [
    ("score_mini", "--noises 0", "--noises: expected a whole number of 1 or more, got '0'"),
    ("score_mini", "--limit 0", "--limit: expected a whole number of 1 or more, got '0'"),
    ("score_image", "--model m --prompts 1", "--prompts: expected a whole number of 2 or more, got '1'"),
    ("score_known", "--number -1", "--number: expected a whole number of 1 or more, got '-1'"),
    ("score_dit", "--model m --prompts many", "--prompts: expected a whole number of 1 or more, got 'many'"),
    ("score_control", "--model m --samples 0", "--samples: expected a whole number of 1 or more, got '0'"),
    ("score_control_video", "--model m --rows smothed", "--rows: invalid choice: 'smothed'"),
    ("score_gen1", "--model m --rows pictures", "--rows: invalid choice: 'pictures'"),
    ("score_zero_shot", "--model m --rows own", "--rows: invalid choice: 'own'"),
    ("score_edit", "--tuning-steps 0", "--tuning-steps: expected a whole number of 1 or more, got '0'"),
    ("long_cascade", "--number 0", "--number: expected a whole number of 1 or more, got '0'"),
    ("distilled", "runs/base --steps 8 0", "--steps: expected a whole number of 1 or more, got '0'"),
    ("augmentation", "--levels 3 0", "--levels: expected a signal-to-noise ratio above 0, or \"none\", got '0'"),
    ("augmentation", "--levels 3 non", "--levels: expected a signal-to-noise ratio above 0, or \"none\", got 'non'"),
]


@pytest.mark.parametrize(("name", "words", "told"), MISTAKES)
def test_mistaken_options_are_told_before_anything_is_made(
    script: Any, name: str, words: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        script(name).main([*words.split(), "--out", str(tmp_path / "out")])
    assert told in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_runs_too_short_to_tell_a_speed_are_refused(
    script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["scaling.py", "--examples", "64"])
    with pytest.raises(SystemExit, match="2"):
        script("scaling").main()
    assert "--examples: expected 256 or more, 4 lines of metrics, got 64" in capsys.readouterr().err


def test_processor_time_is_that_of_one_thread(script: Any) -> None:
    """The time of all threads is added up, so two would seem half as fast as they are."""
    machine, threads = script("_machine"), torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with pytest.raises(ValueError, match=r"--clock cpu: expected one thread .*, got 2"):
            machine.place("cpu", "fp32", "cpu")
        assert machine.place("cpu", "fp32").clock == "wall"
        torch.set_num_threads(1)
        assert machine.place("cpu", "fp32", "cpu").clock == "cpu"
    finally:
        torch.set_num_threads(threads)


def test_startup_counts_what_the_clock_counts(script: Any) -> None:
    startup = script("startup")
    waits = "import time; time.sleep(1)"
    assert startup.seconds(waits) > 1 > startup.seconds(waits, "cpu") > 0


def test_every_video_of_a_grid_has_noise_of_its_own(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same prompt twice: if prompts shared their noise, the videos would be equal, and intervals too narrow."""
    scores = script("score_dit")
    levels = (Level(width=8, temporal=("convolution",)), Level(width=8, text_attention=True))
    network = VideoUNetConfig(text_width=8, embedding=16, head=8, patch=2, levels=levels)
    shape = VideoShape(frames=4, height=12, width=20, fps=3)
    stage = StageSpec(name="base", shape=shape, network=network, sampling=SamplingSpec(steps=1))
    spec = CascadeSpec(name="untrained", text=Words(width=8, limit=16), stages=(stage,))
    seen = list[Any]()

    def judged(prompt: Any, frames: Any, fps: float) -> dict[str, bool]:
        seen.append(frames)
        return dict.fromkeys(scores.ASPECTS, False)

    monkeypatch.setattr(scores, "judged", judged)
    prompts = familiar(1) * 2
    hits = scores.made(Cascade(spec, lambda one: one.network.build().eval()), prompts, (2, 12, 20), 2)
    assert hits["all"] == [[False, False]] * 2 and [frames.shape for frames in seen] == [(2, 12, 20, 3)] * 4
    assert not any((one == other).all() for one, other in combinations(seen, 2))


@pytest.mark.shared
@pytest.mark.long
def test_a_quick_look_does_not_replace_the_page_of_frechet_distances(
    script: Any, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frechet = script("frechet_sanity")
    monkeypatch.setattr(frechet, "OUT", tmp_path / "frechet.md")
    weights = shared / "data/weights/mobilenet_v2/mobilenet_v2_1.0_backbone.safetensors"
    words = ["frechet_sanity.py", "--features", str(weights), "--clips", "4", "--frames", "3"]
    monkeypatch.setattr(sys, "argv", words)
    frechet.main()
    assert not (tmp_path / "frechet.md").exists() and "| as they are |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("recipe", "stage"),
    [("make_a_video@mini", "base"), ("mini_prior", "decoder"), ("gen1", "base"), ("controlnet@mini_image", "base")],
)
def test_networks_that_read_more_than_text_can_be_packed(
    script: Any, monkeypatch: pytest.MonkeyPatch, recipe: str, stage: str
) -> None:
    """Pictures, frame rates, structure, edges, or no text: the error of 8 bits is told of every network that ships."""
    package = script("package_model")
    for name, size in (("FRAMES", 2), ("HEIGHT", 8), ("WIDTH", 8)):
        monkeypatch.setattr(package, name, size)
    own = load_recipe(recipe).cascade.stage(stage)
    network = own.network.build().eval()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    made = package._output(network, own)
    assert made.isfinite().all() and made.std() > 0


def test_stages_of_a_shipped_model_are_not_packed_again(
    script: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = script("package_model")
    for name, size in (("FRAMES", 2), ("HEIGHT", 8), ("WIDTH", 8)):
        monkeypatch.setattr(package, name, size)
    with pytest.raises(SystemExit, match="--share: unknown model 'mini_imag'; did you mean 'mini_image'"):
        package.main(["mini_image", "--to", str(tmp_path / "mini_image"), "--share", "mini_imag"])
    package.main(["mini_image", "--to", str(tmp_path / "mini_image"), "--share", "mini_image"])
    assert sorted(path.name for path in (tmp_path / "mini_image").iterdir()) == ["README.md", "cascade.json"]
    made, own = open_model(tmp_path / "mini_image"), open_model("mini_image")
    assert made.weights == own.weights
    made.check(made.spec.stages)


def latent(folder: Path, text: Any) -> OpenModel:
    """A model with a stage of latents and one of pixels after it, and its codec."""
    stages = tuple(stage.with_(network=stage.network.with_(text_width=text.width)) for stage in latents.SPEC.stages)
    spec = latents.SPEC.with_(text=text, stages=stages)
    networks = {stage.name: latents.random_network(stage) for stage in stages}
    write_model(folder, spec, networks, "# x", codec=latents.codec())
    return open_model([folder])


def keys(script: Any, folder: Path) -> dict[str, Any]:
    """The names under which the benchmarks keep what a model made, and its scores."""
    model = open_model([folder])
    base, ssr = model.spec.stages
    cascade = Cascade.of(model)
    script("_scores").write_scores(folder.parent, model, torch.float32, {})
    return {
        "videos": script("_kept").settings_of(model, (base,)),
        "batches": script("_making").key(model, cascade, "base"),
        "clips": script("_super_resolution").Cascades([str(folder)], 0).key(0, ssr, base),
        "ways": script("_distilled").Way(base, model.spec.text, model.weights["base"]).key(),
        "scores": json.loads((folder.parent / "scores.json").read_text())["beside"],
    }


@pytest.mark.parametrize("change", ["codec", "encoder", "noise"])
def test_what_is_kept_is_of_the_same_codec_encoder_and_noise(script: Any, tmp_path: Path, change: str) -> None:
    (tmp_path / "t5").mkdir()
    (tmp_path / "t5/config.json").write_text("{}")
    folder = tmp_path / "model"
    latent(folder, T5(model=str(tmp_path / "t5"), width=8))
    own = keys(script, folder)
    assert own == keys(script, folder)
    if change == "codec":
        save_codec(latents.codec(seed=3), folder / "codec", over=True)
    elif change == "encoder":
        (tmp_path / "t5/config.json").write_text('{"other": 1}')
    else:
        file = folder / "cascade.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "noise": "mersenne"}))
    other = keys(script, folder)
    alike = {name for name in own if own[name] == other[name]}
    assert alike == (set() if change == "encoder" else {"ways"})  # which know of texts alone


def test_names_of_what_ships_say_no_more_than_its_description_and_weights(script: Any) -> None:
    model = open_model("mini")
    assert len(script("_kept").settings_of(model, model.spec.stages[:1])) == 5
