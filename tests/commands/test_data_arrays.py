"""Arrays on the command line: what is in them, what they are like, pictures of them, and a training on them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

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
    assert "values of 5 of the 20 frames:" in text and json.dumps(rain["scales"][1])[:20] in text


def test_a_constant_channel_is_an_error(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("flat.npz", u=np.ones((5, 2, 2)), v=np.arange(20.0).reshape(5, 2, 2))
    done = cli("data", "statistics", "flat.npz", "--variables", "v,u")
    assert done.code == 2 and "flat.npz: u: is 1 everywhere, and has nothing to learn" in done.err
    assert '{"type": "range", "lo": 0.0, "hi": 19.0}' in done.out


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


def test_a_training_on_arrays(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures as arrays train, resume and sample as films do, and a resumed training is the same."""
    monkeypatch.chdir(tmp_path)
    np.save("films.npy", DRAW.integers(0, 256, size=(9, 3, 4, 4), dtype=np.uint8))
    scale = {"type": "range", "lo": 0, "hi": 255}
    variables = {name: {"scale": scale} for name in ("red", "green", "blue")}
    data = {"type": "arrays", "path": "films.npy", "variables": variables, "axes": "tcyx", "rate": 2}
    shape = {"frames": 2, "height": 4, "width": 4, "fps": 2}
    stage = {"name": "base", "shape": shape, "inputs": [], "network": network(low_res=False), "sampling": {"steps": 2}}
    learning = {"data": {"type": "toybox"}, "phases": [{"examples": 6, "batch": 2}], "warm_up": 0, "precision": "fp32"}
    learning |= {"checkpoint_every": 2, "sample_every": 0, "log_every": 2, "workers": 1}
    recipe = {
        "name": "arrays",
        "cascade": {"name": "arrays", "text": None, "stages": [stage]},
        "training": {"base": learning},
    }
    Path("recipe.json").write_text(json.dumps(recipe))
    words = ("train", "recipe.json", "--stage", "base", "--quiet", "--data", json.dumps(data))
    assert cli(*words, "--out", "whole").code == 0
    short = ("--set", 'base.training.phases=[{"examples": 4, "batch": 2}]')
    longer = ("--set", 'base.training.phases=[{"examples": 6, "batch": 2}]')
    assert cli(*words, "--out", "parts", *short).code == 0
    done = cli("train", "--resume", "--out", "parts", "--quiet", *longer)
    assert done.code == 0, done.err
    one, two = (load_file(next(Path(run).glob("checkpoints/*6/model.safetensors"))) for run in ("whole", "parts"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    stored = json.loads(Path("whole/recipe.json").read_text())["training"]["base"]["data"]
    assert stored["path"] == str(tmp_path / "films.npy")
    assert cli("generate", "--model", "whole", "-o", "a.mp4", "--quiet").code == 0
