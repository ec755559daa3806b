"""Arrays on the command line: what is in them, what they are like, pictures of them, and a training on them."""

import json
from pathlib import Path

import numpy as np
import pytest

from zoetrope.channels import Channel
from zoetrope.data.arrays import Arrays
from zoetrope.data.arrays.statistics import MOST_KEPT, statistics
from zoetrope.fields.value import Fields
from zoetrope.scales.deviation import Deviation
from zoetrope.scales.range import Range
from zoetrope.shapes import VideoShape
from zoetrope.video import read

from .conftest import Cli
from .test_without_text import network

DRAW = np.random.default_rng(8)
RAIN = np.exp(DRAW.normal(size=(20, 4, 6)))
WIND = DRAW.normal(3, 2, size=(20, 4, 6))
CLIP = "4x4x6@2"


@pytest.fixture
def weather(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of two variables, twice a second, of which one has gaps; the folder of it is the current one."""
    monkeypatch.chdir(tmp_path)
    channels = [
        Channel(name="rain", unit="mm h-1", scale=Range(lo=0, hi=50)),
        Channel(name="wind", scale=Deviation(deviation=1)),
    ]
    values = np.stack([RAIN, WIND])
    values[0, 2, 1, 3] = np.nan
    Fields(values, channels, fps=2).save("weather.nc")
    return tmp_path / "weather.nc"


def test_what_is_in_a_file(cli: Cli, weather: Path) -> None:
    done = cli("data", "check", "weather.nc")
    assert done.code == 0 and "  rain: 20x4x6 (time, y, x), float32, mm h-1" in done.out.splitlines()
    assert "--variables" in done.out
    assert len(json.loads(cli("data", "check", weather.parent, "--json").out)["files"]) == 1
    for words in (("statistics", "weather.nc"), ("preview", "weather.nc", "-o", "a.png", "--shape", CLIP)):
        done = cli("data", *words)
        assert done.code == 2 and "variables" in done.err, done
    for words, message in (
        (("--axes", "tyx"), "--axes: expected --variables too"),
        (("--variables", "rian"), "weather.nc: unknown variable 'rian'; did you mean 'rain'"),
        (("--variables", "rain,wind", "--axes", "y,t,x"), "expected axes in the order of the file"),
    ):
        done = cli("data", "check", "weather.nc", *words)
        assert done.code == 2 and message in done.err, done


def test_check_tells_ranges_gaps_and_clips(cli: Cli, weather: Path) -> None:
    asked = ("data", "check", "weather.nc", "--variables", "rain,wind", "--shape", CLIP)
    done = cli(*asked)
    assert done.code == 0, done.err
    first, clips, head, rain, wind, dropped = done.out.splitlines()
    assert first == "1 recording of 20 frames in all, 4x6, 2 frames a second" and clips.startswith(
        "17 clips of 4x4x6@2fps"
    )
    assert head == "values of all frames:" and dropped == "0 dropped"
    assert "0.208 % missing" in rain and "0 % missing" in wind
    told = json.loads(cli(*asked, "--json").out)
    assert [one["missing"] for one in told["variables"]] == [1, 0] and told["clips"] == 17
    assert told["variables"][1]["mean"] == pytest.approx(WIND.mean(), rel=1e-6)
    assert sum(told["variables"][0]["histogram"]) == pytest.approx(1)
    described = {
        "type": "arrays",
        "path": "weather.nc",
        "variables": {"rain": {"scale": {"type": "range", "lo": 0, "hi": 1}}},
    }
    Path("source.json").write_text(json.dumps(described))
    share = 100 * (np.delete(RAIN.flatten(), 2 * 24 + 9) > 1).mean()
    for data in (json.dumps(described), "source.json"):
        assert f"{share:.3g} % beyond the ends of its scale" in cli("data", "check", data).out
    assert cli("data", "check", "source.json", "--shape", "4x4x6@3").code == 2


def test_statistics_are_those_of_numpy(cli: Cli, weather: Path) -> None:
    done = cli("data", "statistics", "weather.nc", "--variables", "rain,wind", "--json")
    assert done.code == 0, done.err
    rain, wind = json.loads(done.out)["variables"]
    known = np.delete(RAIN.flatten().astype(np.float32), 2 * 24 + 9).astype(np.float64)
    for told, values in ((rain, known), (wind, WIND.astype(np.float32).astype(np.float64).flatten())):
        assert told["count"] == len(values)
        assert told["mean"] == pytest.approx(values.mean(), rel=1e-12)
        assert told["deviation"] == pytest.approx(values.std(), rel=1e-12)
        assert (told["lowest"], told["highest"]) == (values.min(), values.max())
        assert told["quantiles"]["0.95"] == pytest.approx(np.quantile(values, 0.95))
        assert told["scales"][0]["deviation"] == pytest.approx(values.std(), rel=1e-5)
    assert [scale["type"] for scale in rain["scales"]] == ["deviation", "range", "log"]
    assert [scale["type"] for scale in wind["scales"]] == ["deviation", "range"]
    for scale in rain["scales"]:
        described = {"type": "arrays", "path": "weather.nc", "missing": "mask", "variables": {"rain": {"scale": scale}}}
        x = Arrays.from_json({key: value for key, value in described.items() if key != "type"}).open()
        assert x.example(0, VideoShape(frames=4, height=4, width=6, fps=2)).video.abs().max() < 8
        assert "beyond" not in cli("data", "check", json.dumps(described)).out
    text = cli("data", "statistics", "weather.nc", "--variables", "rain", "--most", "5").out
    assert "values of 5 of the 20 frames:" in text and rain["unit"] == "mm h-1"
    assert '  "rain": {"unit": "mm h-1", "scale": {"type": "range", "lo": ' in text


def test_a_constant_channel_is_an_error(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("flat.npz", u=np.ones((5, 2, 2)), v=np.arange(20.0).reshape(5, 2, 2))
    done = cli("data", "statistics", "flat.npz", "--variables", "v,u")
    assert done.code == 2 and "flat.npz: u: is 1 everywhere, and has nothing to learn" in done.err
    assert '{"type": "range", "lo": 0.0, "hi": 19.0}' in done.out


def test_fill_values_that_nothing_declares_are_told(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of netCDF, and of GDAL in float64, whose squares are too large for any number."""
    monkeypatch.chdir(tmp_path)
    for name, fill in (("sst", 9.96921e36), ("dem", -np.finfo(np.float64).max)):
        values = DRAW.normal(size=(8, 6, 6)).astype(np.float32 if name == "sst" else np.float64)
        values[:, :2] = fill
        np.save(f"{name}.npy", values)
        stored = float(values[0, 0, 0])
        words = (f"{name}.npy", "--variables", "t", "--axes", "t,y,x")
        told = f"t: {stored:g} looks like a fill value, as scales take values up to 1e+30: if it stands for no value"
        for command in ("check", "statistics"):
            done = cli("data", command, *words)
            assert done.code == 0, done.err
            assert "values of all frames:" in done.out and f"{stored:.6g}" in done.out
            assert told in done.out and f'"fill": [{stored!r}]' in done.out and "scales for its" not in done.out
            as_json = json.loads(cli("data", command, *words, "--json").out)
            assert as_json["variables"][0]["scales"] == [] and "looks like a fill value" in as_json["notes"][0]
        source = {"type": "arrays", "path": f"{name}.npy", "missing": "mask", "fill": [stored]}
        source["variables"] = {"t": {"scale": {"type": "deviation", "deviation": 1}}}
        done = cli("data", "statistics", json.dumps(source))
        assert "33.3 % missing" in done.out and "looks like" not in done.out and '"type": "range"' in done.out
    mostly = np.zeros((4, 100, 100))
    mostly[0, 0, 0] = 2e30  # mean and deviation could be those of a scale
    np.save("few.npy", mostly)
    done = cli("data", "statistics", "few.npy", "--variables", "t")
    assert "2e+30 looks like a fill value" in done.out and '"type": "range"' not in done.out


@pytest.mark.parametrize(
    ("values", "shares", "scales"),
    [
        ([1e16, 1e16 + 2], [0.5, 0.5], ["deviation", "range", "log"]),
        ([1e17, 1e17], [1, 0], []),
        ([0, 5e-324], [1, 0], ["range"]),  # whose squares are 0
        ([1e-200, 2e-200], [0.5, 0.5], ["range", "log"]),
        ([-3.0, 5.0], [0.5, 0.5], ["deviation", "range"]),
    ],
)
def test_values_that_hardly_differ(
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    values: list[float],
    shares: list[float],
    scales: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.broadcast_to(np.array(values)[:, None, None], (2, 3, 3)))
    done = cli("data", "check", "a.npy", "--variables", "t", "--axes", "t,y,x", "--json")
    assert done.code == 0, done.err
    (told,) = json.loads(done.out)["variables"]
    assert [told["histogram"][0], told["histogram"][-1]] == shares and sum(told["histogram"]) == 1
    assert [scale["type"] for scale in told["scales"]] == scales


def test_histograms_are_those_of_numpy(tmp_path: Path) -> None:
    values = np.random.default_rng(3).integers(-50, 90, size=(6, 40, 40)).astype(np.float64) / 4
    np.save(tmp_path / "a.npy", values)
    opened = Arrays(path=str(tmp_path / "a.npy"), variables={"u": Channel(name="u", scale=Deviation(deviation=1))})
    (found,), _ = statistics(opened.open())
    wanted = np.histogram(values, 24, (values.min(), values.max()))[0] / values.size
    np.testing.assert_allclose(found.histogram(), wanted, atol=0)


def test_statistics_of_many_values_keep_a_bounded_sample(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(40, 256, 256)).astype(np.float32)
    np.save(tmp_path / "many.npy", values)
    variables = {"u": Channel(name="u", scale=Deviation(deviation=1))}
    opened = Arrays(path=str(tmp_path / "many.npy"), variables=variables).open()
    (found,), frames = statistics(opened)
    assert frames == 40 and found.present == values.size > 2 * MOST_KEPT
    assert found.mean == pytest.approx(values.mean(dtype=np.float64), abs=1e-12)
    assert found.deviation == pytest.approx(values.std(dtype=np.float64), rel=1e-12)
    assert MOST_KEPT / 2.1 < len(found.sample) <= MOST_KEPT
    for share in (0.01, 0.5, 0.99):
        assert found.quantile(share) == pytest.approx(np.quantile(values, share), abs=0.02)
    (some,), frames = statistics(opened, 7)
    assert frames == 7 and some.present == 7 * 256 * 256
    assert some.mean == pytest.approx(values[::6].mean(dtype=np.float64), abs=1e-12)


def test_preview_draws_a_strip_for_every_channel(cli: Cli, weather: Path) -> None:
    done = cli(
        "data", "preview", "weather.nc", "--variables", "rain,wind", "--shape", CLIP, "--count", "3", "-o", "a.png"
    )
    assert done.code == 0, done.err
    assert done.out.splitlines()[0] == "a.png: 3 clips of 4x4x6@2fps, in rows; grey has no value"
    assert done.out.splitlines()[1].startswith("  rain: ") and "weather.nc from frame" in done.out.splitlines()[3]
    sheet = read("a.png").frames[0]
    assert sheet.shape == (3 * (4 + 4) + 4, 2 * (4 * 7 - 1 + 4) + 4, 3)
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 50


def test_a_training_on_arrays(cli: Cli, weather: Path) -> None:
    """Two channels, one with gaps, train in worker processes, resume bit for bit, and come out in their units."""
    rain = {"name": "rain", "unit": "mm h-1", "scale": {"type": "log", "floor": 0.1, "hi": 50}}
    wind = {"name": "wind", "scale": {"type": "deviation", "mean": 3, "deviation": 2}}
    data = {"type": "arrays", "path": "weather.nc", "variables": {"rain": rain, "wind": wind}, "missing": "mask"}
    stage = {
        "name": "base", "shape": {"frames": 2, "height": 4, "width": 6, "fps": 2}, "inputs": [],
        "network": network(low_res=False) | {"channels": 2}, "sampling": {"steps": 2, "threshold": None},
    }  # fmt: skip
    learning = {
        "data": {"type": "toybox"}, "phases": [{"examples": 6, "batch": 2}], "warm_up": 0, "precision": "fp32",
        "checkpoint_every": 2, "sample_every": 6, "log_every": 2,
    }  # fmt: skip
    cascade = {"name": "weather", "channels": [rain, wind], "text": None, "stages": [stage]}
    Path("recipe.json").write_text(json.dumps({"name": "weather", "cascade": cascade, "training": {"base": learning}}))
    words = ("train", "recipe.json", "--stage", "base", "--quiet", "--data", json.dumps(data))
    assert cli(*words, "--out", "whole", "--set", "base.training.workers=1") == (0, "", "")
    assert cli(*words, "--out", "parts", "--set", "base.training.phases.0.examples=4").code == 0
    longer = ("--set", "base.training.phases.0.examples=6")
    assert cli("train", "--resume", "--out", "parts", "--quiet", *longer) == (0, "", "")
    for part in ("model", "average", "optimizer"):
        one, two = (Path(run, "checkpoints/000000006", f"{part}.safetensors") for run in ("whole", "parts"))
        assert one.read_bytes() == two.read_bytes(), part
    stored = json.loads(Path("whole/recipe.json").read_text())["training"]["base"]["data"]
    assert stored["path"] == str(weather)
    assert cli("generate", "--model", "whole", "-o", "made.nc", "--quiet").code == 0
    described = json.dumps(data | {"path": "made.nc", "missing": "refuse"})
    told = json.loads(cli("data", "check", described, "--json").out)
    assert (told["frames"], told["rate"], told["dropped"]) == (2, pytest.approx(2), [])
    judged = ("evaluate", "whole", "--count", "8", "--metrics", "values", "--out", "report", "--data")
    done = cli(*judged, json.dumps(data))
    assert done.code == 2 and "expected clips without missing values" in done.err, done.err
    refused = cli(*words[:-1], json.dumps(data | {"missing": "refuse"}), "--out", "refused")
    assert refused.code == 2 and "weather.nc: rain: expected values everywhere, got 1 missing value" in refused.err
