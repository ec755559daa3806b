"""`zoetrope evaluate` on forecasts: known frames of real clips, ensembles, rollouts, gaps, and reports of them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zoetrope.cascade.spec import CascadeSpec
from zoetrope.channels import Channel, to_units
from zoetrope.commands._forecasts import ForecastOptions
from zoetrope.metrics.crps import crps
from zoetrope.metrics.shelf import Shelf
from zoetrope.models.folder import write_model
from zoetrope.scales.deviation import Deviation
from zoetrope.scales.log import Log

from .conftest import Cli

CHANNELS = (
    Channel(name="rain", unit="mm h-1", scale=Log(floor=0.1, hi=100)),
    Channel(name="wind", unit="m s-1", scale=Deviation(mean=8, deviation=3)),
)
SHAPE = {"frames": 4, "height": 4, "width": 6, "fps": 1}
LARGE = {"frames": 4, "height": 8, "width": 12, "fps": 1}
FIELD_METRICS = "crps,spread_skill,rank_histogram,csi,spectrum,mae,rmse"


def network(*, low_res: bool) -> dict[str, object]:
    levels = [{"width": 8, "temporal": ["attention"]}]
    return {
        "type": "video_unet", "channels": 2, "text_width": None, "embedding": 8, "head": 8, "low_res": low_res,
        "levels": levels,
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of rain and wind with random weights, and recordings of eight frames, of which one has gaps."""
    place = tmp_path_factory.mktemp("weather")
    base = {"name": "base", "shape": SHAPE, "inputs": [], "network": network(low_res=False)}
    ssr = {"name": "ssr", "shape": LARGE, "inputs": [{"type": "low_res", "shape": SHAPE}]}
    sampling = {"steps": 2, "threshold": None, "known": {"type": "replacement"}}
    stages = [one | {"sampling": sampling} for one in (base, ssr | {"network": network(low_res=True)})]
    channels = [channel.to_json() for channel in CHANNELS]
    spec = CascadeSpec.from_json({"name": "storms", "channels": channels, "text": None, "stages": stages})
    torch.manual_seed(0)
    networks = {stage.name: stage.network.build() for stage in spec.stages}
    for built in networks.values():
        for weight in built.parameters():
            torch.nn.init.normal_(weight, std=0.1)
    write_model(place / "storms", spec, networks, "# storms\n")
    draw = np.random.default_rng(0)
    for number in range(3):
        rain = np.exp(draw.normal(size=(8, 8, 12))).astype(np.float32)
        wind = draw.normal(8, 3, size=(8, 8, 12)).astype(np.float32)
        np.savez(place / f"full{number}.npz", rain=rain, wind=wind)
    rain[5, 2:4, 3] = np.nan
    (place / "gaps").mkdir()
    np.savez(place / "gaps" / "one.npz", rain=rain, wind=wind)
    return place


def data(folder: Path, path: str = "full*.npz", **fields: Any) -> str:
    variables = {channel.name: channel.to_json() for channel in CHANNELS}
    source = {"type": "arrays", "path": str(folder / path), "variables": variables, "rate": 1}
    return json.dumps(source | fields)


def told(report: str = "report") -> dict[str, dict[str, Any]]:
    """The results of a report's first model, by name."""
    (entry,) = json.loads((Path(report) / "results.json").read_text())["entries"]
    return {one["name"]: one for one in entry["results"]}


def test_an_ensemble_from_known_frames_is_measured(folder: Path, cli: Cli) -> None:
    words = ("evaluate", folder / "storms", "--data", data(folder), "--until", "base", "--device", "cpu")
    asked = ("--known", "0:2", "--members", "3", "--count", "4", "--reference", "6", "--thresholds", "rain=1,2")
    done = cli(*words, *asked, "--metrics", FIELD_METRICS)
    assert done.code == 0, done.err
    results = told()
    assert list(results) == FIELD_METRICS.replace("csi", "csi[rain]").split(",")
    made, real = (Shelf(Path("report/samples") / name, None, CHANNELS) for name in ("storms", "real-4x4x6@1fps"))  # type: ignore[arg-type]
    assert not made.has(12) and made.has(11) and real.has(5) and not real.has(6)
    truth = torch.stack([real.read(case) for case in range(4)])
    members = torch.stack([torch.stack([made.read(3 * case + own) for case in range(4)]) for own in range(3)])
    assert torch.equal(members[:, :, :, :2], truth[:, :, :2].expand(3, -1, -1, -1, -1, -1))  # given frames come back
    apart = (members[0] - members[1]).abs().amax((1, 3, 4))
    assert (apart[:, :2] == 0).all() and (apart[:, 2:] > 0.05).all()
    units = to_units(members.double(), CHANNELS, axis=2), to_units(truth.double(), CHANNELS, axis=1)
    wanted = crps(units[0][:, :, :, 2:], units[1][:, :, 2:])
    row = results["crps"]["details"]["channels"]["wind"]
    assert row["by_frame"] == pytest.approx(wanted[1].tolist(), rel=1e-4) and row["unit"] == "m s-1"
    assert results["crps"]["details"]["frames"] == [2, 3] and results["crps"]["samples"] == 4
    assert results["crps"]["protocol"]["frames"] == 2 and "the first 4 real videos" in results["crps"]["notes"][0]
    assert set(results["rmse"]["plain"]) == {"persistence", "climatology"}
    first = done.out.splitlines()[0].split()
    assert first == ["storms", "persistence", "climatology"]
    page = Path("report/index.html").read_text()
    for text in ("Given were the frames 0:2", "12 videos", "3 for each of 4 cases", "by wavenumber", "of at least 2"):
        assert text in page, text
    with np.load("report/maps/storms/crps.npz") as maps:
        assert maps["rain"].shape == (2, 4, 6) and np.isfinite(maps["rain"]).all()
    assert 'src="maps/storms/rmse-wind.png"' in page and Path("report/maps/storms/rmse-wind.png").is_file()
    asked = asked[:-2]
    again = cli(*words, *asked, "--metrics", "crps")
    assert again.code == 0 and told()["crps"] == results["crps"]
    other = cli(*words, "--known", "0:1", *asked[2:], "--metrics", "crps")
    assert other.code == 2 and "known (['0:2'] there, ['0:1'] asked)" in other.err


def test_downscaling_and_a_long_rollout_are_measured(folder: Path, cli: Cli) -> None:
    words = ("evaluate", folder / "storms", "--data", data(folder), "--device", "cpu", "--quiet")
    done = cli(*words, "--after", "base", "--members", "2", "--count", "3", "--metrics", "crps,mae")
    assert done.code == 0, done.err
    assert told()["crps"]["protocol"]["shape"] == "4x8x12@1fps"
    assert told()["crps"]["details"]["frames"] == [0, 1, 2, 3] and list(told()["mae"]["plain"]) == ["climatology"]
    asked = ("--known", "0:2", "--seconds", "7", "--scheme", "autoregressive", "--count", "2", "--members", "2")
    done = cli(*words, "--until", "base", *asked, "--metrics", "rmse,spread_skill", "-o", "long")
    assert done.code == 0, done.err
    rmse = told("long")["rmse"]
    assert rmse["protocol"]["shape"] == "7x4x6@1fps" and len(rmse["details"]["channels"]["rain"]["by_frame"]) == 5
    shelf = Shelf(Path("long/samples/storms"), None, CHANNELS)  # type: ignore[arg-type]
    real = Shelf(Path("long/samples/real-7x4x6@1fps"), None, CHANNELS)  # type: ignore[arg-type]
    assert torch.allclose(shelf.read(3)[:, :2], real.read(1)[:, :2], atol=1e-5)
    assert "Made in blocks by autoregressive" in Path("long/index.html").read_text()


def test_clips_with_missing_values(folder: Path, cli: Cli) -> None:
    gaps = data(folder, "gaps", missing="mask", start=2)
    words = ("evaluate", folder / "storms", "--data", gaps, "--device", "cpu", "--quiet", "--count", "3")
    done = cli(*words, "--known", "0:1", "--members", "2", "--until", "ssr", "--metrics", "crps,spectrum")
    assert done.code == 0, done.err
    results = told()
    assert results["crps"]["value"] > 0 and "without missing values" in results["spectrum"]["reason"]
    assert all(np.isfinite(results["crps"]["details"]["channels"]["rain"]["by_frame"]))
    done = cli(*words, "--after", "base", "--metrics", "mae", "-o", "other")
    assert done.code == 2 and "--after: expected clips without missing values" in done.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--known", "0:4"], "--known: expected a frame for the model to make, got all 4"),
        (["--known", "0:9"], "--known 0:9: expected a frame from 0 to 3"),
        (["--known", "0:2", "--known", "1"], "--known: frame 1 is given twice"),
        (["--known", "first"], "--known first: expected the number of a frame"),
        (["--known", "0", "--after", "base"], "--known: expected without --after"),
        (["--members", "0"], "--members: expected a finite number of 1 or more"),
        (["--scheme", "pyramid"], "--scheme: expected with --seconds"),
        (["--seconds", "4.5"], "--seconds: expected a whole number of frames at 1 a second"),
        (["--seconds", "8", "--known", "1:3"], "--known: expected the first frames"),
        (["--known-method", "replacement"], "--known-method: expected with --known"),
        (["--known", "0", "--known-method", "replacment"], "did you mean 'replacement'"),
        (["--thresholds", "rain=1"], "--thresholds: expected with csi among --metrics"),
        (["--thresholds", "rain=x", "--metrics", "csi"], "--thresholds rain=x: expected values in units"),
        (["--known", "0", "--thresholds", "rian=1", "--metrics", "csi"], "unknown channel 'rian'; did you mean 'rain'"),
        (["--known", "0", "--metrics", "csi"], "no threshold was named"),
        (["--metrics", "crps"], "--members N"),
    ],
)
def test_bad_input(folder: Path, cli: Cli, words: list[str], why: str) -> None:
    usual = [] if "--metrics" in words else ["--metrics", "values"]
    own = () if "--after" in words else ("--until", "base")
    done = cli("evaluate", folder / "storms", "--data", data(folder), "--device", "cpu", *own, *words, *usual)
    assert done.code == 2 and why in done.err, done.err
    assert not Path("report").exists() and "Traceback" not in done.err


def test_numbers_that_the_data_tell_reach_the_model_and_others_are_warned_about(folder: Path, cli: Cli) -> None:
    level = {"width": 8, "temporal": ["attention"]}
    own = {"type": "video_unet", "channels": 2, "text_width": None, "embedding": 8, "head": 8, "numbers": ["gauge"]}
    stage = {
        "name": "base", "shape": SHAPE, "inputs": [{"type": "number", "told": "gauge", "lo": 0, "hi": 4}],
        "network": own | {"levels": [level]}, "sampling": {"steps": 2, "threshold": None},
    }  # fmt: skip
    channels = [channel.to_json() for channel in CHANNELS]
    spec = CascadeSpec.from_json({"name": "told", "channels": channels, "text": None, "stages": [stage]})
    torch.manual_seed(0)
    network = spec.stages[0].network.build()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    write_model(Path("told"), spec, {"base": network}, "# told\n")
    rows = [f"{folder}/full{number}.npz,{gauge}" for number, gauge in ((0, 1), (1, 3), (2, ""))]
    Path("index.csv").write_text("\n".join(["file,gauge", *rows]) + "\n")
    words = ("evaluate", "told", "--count", "3", "--members", "2", "--metrics", "values", "--device", "cpu", "--quiet")
    told_ = data(Path(), str(Path("index.csv").absolute()), told={"gauge": "number"}, stride=8)
    assert cli(*words, "--data", told_, "--out", "with") == (0, "", "")
    often = cli(*words[:3], "5", *words[4:], "--data", told_, "--out", "often")
    assert often.code == 0 and "warning: 5 clips asked for, 3 there, which come again" in often.err
    silent = data(Path(), str(Path("index.csv").absolute()), stride=8)
    done = cli(*words, "--data", silent, "--out", "without")
    assert done.code == 0 and "warning: told: the data tell no number 'gauge'" in done.err
    one, other = (Shelf(Path(report, "samples/told"), None, CHANNELS) for report in ("with", "without"))  # type: ignore[arg-type]
    real = Shelf(Path("with/samples/real-4x4x6@1fps"), None, CHANNELS)  # type: ignore[arg-type]
    gauges = [real.told(case).get("gauge") for case in range(3)]
    assert set(gauges) == {1, 3, None}
    for case, gauge in enumerate(gauges):
        for member in (2 * case, 2 * case + 1):
            same = torch.allclose(one.read(member), other.read(member), atol=1e-6)
            assert same == (gauge is None), (case, gauge)


def test_a_report_says_how_it_was_made_whatever_the_numbers() -> None:
    """1 is a weight and a length like others: a report of them is not continued with others."""
    usual = ForecastOptions(("0:4",), "reconstruction")
    assert usual.settings() == {"known": ["0:4"], "method": "reconstruction"}
    assert usual._replace(weight=1.0).settings() == {**usual.settings(), "weight": 1.0}
    assert ForecastOptions(seconds=1.0, members=3).settings() == {"seconds": 1.0, "members": 3}
    assert ForecastOptions().settings() == {}


def test_a_model_of_the_name_of_the_real_clips_and_a_pool_of_nothing(folder: Path, cli: Cli) -> None:
    shutil.copytree(folder / "storms", folder / "real")
    words = (
        "--data",
        data(folder),
        "--until",
        "base",
        "--metrics",
        "mae",
        "--count",
        2,
        "--known",
        "0",
        "-o",
        "r",
        "--steps",
        1,
    )
    done = cli("evaluate", folder / "real", *words, "--pool", 2)
    assert done.code == 2 and "--pool: expected with --thresholds" in done.err
    done = cli("evaluate", folder / "real", *words, "--json")
    assert done.code == 0, done.err
    assert (Path("r") / "samples" / "real-2" / "00000.npz").is_file()
