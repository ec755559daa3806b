"""Models of other channels than red, green and blue, from a recipe to values in units; without text."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from zoetrope.cascade.spec import CascadeSpec
from zoetrope.channels import RGB
from zoetrope.fields import Fields
from zoetrope.models.cascade import Cascade
from zoetrope.models.folder import write_model
from zoetrope.recipes import mini
from zoetrope.video import read

from .conftest import Cli

SHAPE = {"frames": 2, "height": 4, "width": 6, "fps": 2}
LARGE = {"frames": 2, "height": 8, "width": 12, "fps": 2}
TRUST = ("--trust", "my_lab")
SAMPLING = {"steps": 2, "threshold": None}


def network(channels: int, *, low_res: bool) -> dict[str, object]:
    level = {"width": 8, "temporal": ["attention"]}
    fixed = {"type": "video_unet", "text_width": None, "embedding": 8, "head": 8}
    return {**fixed, "channels": channels, "low_res": low_res, "levels": [level]}


def described(count: int) -> dict[str, object]:
    """A recipe of two stages for waves of so many channels, as JSON."""
    from my_lab.waves import wave_channels

    learning = {
        "data": {"type": "my_lab.waves.Waves", "count": count},
        "phases": [{"examples": 8, "batch": 2, "images": 0.5}],
        "warm_up": 0, "precision": "fp32", "checkpoint_every": 4, "sample_every": 8, "log_every": 4,
    }  # fmt: skip
    base = {"name": "base", "shape": SHAPE, "inputs": [], "network": network(count, low_res=False)}
    inputs = [{"type": "low_res", "shape": SHAPE}]
    ssr = {"name": "ssr", "shape": LARGE, "inputs": inputs, "network": network(count, low_res=True)}
    stages = [stage | {"sampling": SAMPLING} for stage in (base, ssr)]
    channels = [channel.to_json() for channel in wave_channels(count)]
    cascade = {"name": "waves", "channels": channels, "text": None, "stages": stages}
    return {"name": "waves", "cascade": cascade, "training": {"base": learning, "ssr": learning}}


@pytest.mark.parametrize("count", [1, 3, 4, 12])
def test_channels_are_trained_resumed_sampled_and_planned(count: int, outside: Path, cli: Cli) -> None:
    Path("waves.json").write_text(json.dumps(described(count)))
    whole = ("train", "waves.json", *TRUST, "--device", "cpu", "--quiet")
    assert cli(*whole, "--out", "runs") == (0, "", "")
    cut = ("--set", "base.training.phases.0.examples=4")
    assert cli(*whole, "--out", "cut", "--stage", "base", *cut).code == 0
    more = ("--set", "base.training.phases.0.examples=8", *TRUST, "--device", "cpu", "--quiet")
    assert cli("train", "--out", "cut", "--resume", *more).code == 0
    for part in ("model", "average", "optimizer"):
        one, other = (Path(run, "checkpoints/000000008", f"{part}.safetensors") for run in ("runs/base", "cut"))
        assert one.read_bytes() == other.read_bytes(), part
    sheet = read("runs/base/samples/000000008.png").frames[0]
    assert sheet.shape == (8 * count * (4 + 4) + 4, 2 * 7 - 1 + 8, 3)
    planned = cli("plan", "waves.json", "--device", "h100", "--json", *TRUST)
    assert [stage["name"] for stage in json.loads(planned.out)["stages"]] == ["base", "ssr"]
    made = cli("generate", "--model", "runs", "-o", "a.npz", "--device", "cpu", "--quiet")
    assert made == (0, "", "")
    with np.load("a.npz") as file:
        assert {name: file[name].shape for name in file.files if name[0] == "a" and name != "about.json"} == {
            f"a{k}": (2, 8, 12) for k in range(count)
        }
        again = Cascade.from_pretrained("runs").generate()
        assert isinstance(again, Fields)
        for channel in again.channels:
            np.testing.assert_allclose(file[channel.name], again[channel.name], rtol=1e-5)
            assert channel.unit == "K" and 200 < again[channel.name].mean() < 350
    waves = json.dumps({"type": "my_lab.waves.Waves", "count": count})
    assert cli("data", "preview", waves, "--shape", "2x4x6@2", "--count", "3", "-o", "sheet.png", *TRUST).code == 0
    assert read("sheet.png").frames[0].shape == (3 * count * (4 + 4) + 4, 2 * 7 - 1 + 8, 3)
    judged = (
        "--known",
        "0",
        "--known-method",
        "replacement",
        "--members",
        "2",
        "--count",
        "3",
        "--metrics",
        "crps,mae",
    )
    done = cli("evaluate", "runs/base", "--data", waves, *judged, "--device", "cpu", "--json", *TRUST)
    assert done.code == 0, done.err
    score = json.loads(done.out)["entries"][0]["results"][0]
    assert [row["unit"] for row in score["details"]["channels"].values()] == ["K"] * count and score["value"] > 0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of four channels with random weights, which can go on from known frames."""
    folder = tmp_path_factory.mktemp("models") / "waves"
    names, channels = ("u", "v", "p", "t"), []
    for k, name in enumerate(names):
        channels.append({"name": name, "unit": "K", "scale": {"type": "deviation", "mean": 270 + k, "deviation": 5}})
    base = {"name": "base", "shape": SHAPE, "inputs": [], "network": network(4, low_res=False)}
    ssr = {"name": "ssr", "shape": LARGE, "inputs": [{"type": "low_res", "shape": SHAPE}]}
    ssr["network"] = network(4, low_res=True)
    known = SAMPLING | {"known": {"type": "replacement"}}
    stages = [stage | {"sampling": known} for stage in (base, ssr)]
    spec = CascadeSpec.from_json({"name": "waves", "channels": channels, "text": None, "stages": stages})
    torch.manual_seed(0)
    networks = {stage.name: stage.network.build() for stage in spec.stages}
    for built in networks.values():
        for weight in built.parameters():
            torch.nn.init.normal_(weight, std=0.3)
    write_model(folder, spec, networks, "# waves\n")
    return str(folder)


def test_pictures_of_a_channel_in_colours(model: str, cli: Cli) -> None:
    assert "channels: u [K] (deviation), v [K] (deviation)" in cli("show", model).out
    command = ("generate", "--model", model, "--device", "cpu", "--quiet")
    assert cli(*command, "-o", "a.npz", "--save-stages", "kept").code == 0
    shown = ("--channel", "p", "--colours", "grey", "--range", "262", "282")
    assert cli(*command, "-o", "p/", *shown).code == 0
    with np.load("a.npz") as file:
        levels = np.rint(255 * np.clip((file["p"] - 262) / 20, 0, 1))
    np.testing.assert_array_equal(read("p/").frames[..., 1], levels)
    assert sorted(path.name for path in Path("kept").iterdir()) == ["a-base.npz", "a-ssr.npz"]
    assert cli(*command, "-o", "b.mp4", *shown).code == 0
    assert cli("generate", "--again", "b.mp4", "-o", "c.mp4").code == 0
    assert Path("c.mp4").read_bytes() == Path("b.mp4").read_bytes()
    Path("c.mp4").unlink()
    kept = cli(*command, "-o", "a.npz", "--resume", "--json")
    assert [file.get("skipped") for file in json.loads(kept.out)["files"]] == [True]
    for words, told in (
        (("--channel", "a9"), "--channel: unknown channel 'a9'"),
        (("--colours", "virdis"), "--colours: unknown colour map 'virdis'; did you mean 'viridis'"),
        (("--range", "5", "5"), "--range: expected two numbers that rise, got 5 and 5"),
        (("storm",), "waves is told no text; expected no prompt, got 'storm'"),
    ):
        done = cli(*command, "-o", "c.mp4", *words)
        assert done.code == 2 and told in done.err, done.err


NOTHING_HEAVY = """
import sys
from zoetrope.__main__ import main
sys.argv = ["zoetrope", *sys.argv[1:]]
assert not main()
print(sorted({"transformers", "tokenizers", "zoetrope.text.t5", "zoetrope.text.minilm"} & set(sys.modules)))
"""


def test_no_language_model_is_loaded(model: str, tmp_path: Path) -> None:
    words = ("generate", "--model", model, "-o", "a.npz", "--device", "cpu", "--quiet")
    path = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", NOTHING_HEAVY, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_a_model_in_red_green_and_blue_has_no_looks(cli: Cli) -> None:
    done = cli("generate", "fog", "--model", "mini", "-o", "a.mp4", "--colours", "turbo")
    assert done.code == 2 and "--colours: expected without, for mini makes pictures in red, green and blue" in done.err


def test_what_does_not_agree_is_named(outside: Path, cli: Cli) -> None:
    recipe = described(2)

    def refused(*words: str) -> str:
        Path("waves.json").write_text(json.dumps(recipe))
        done = cli("train", "waves.json", "--out", "run", *words, *TRUST)
        assert done.code == 2
        return done.err

    told = refused("--set", "base.training.data.count=3")
    assert "training.base.data: expected the channels a0 [K], a1 [K], got a0 [K], a1 [K], a2 [K]" in told
    recipe["cascade"]["channels"][1]["unit"] = "degC"  # type: ignore[index]
    assert "training.base.data: channel 'a1': expected the unit 'degC', got 'K'" in refused()
    recipe["cascade"]["channels"][1] |= {"unit": "K", "scale": {"type": "deviation", "deviation": 3}}  # type: ignore[index]
    assert "training.base.data: channel 'a1': expected the scale {'type': 'deviation', 'mean': 0.0" in refused()
    recipe = described(2)
    told = "stages.base.sampling.threshold: expected null, for a0 [K], a1 [K] has no bounds, got 'static'"
    assert told in refused("--set", "base.sampling.threshold=static")
    told = "stages.base.network.channels: expected 2, for the channels are a0 [K], a1 [K], got 3"
    assert told in refused("--set", "base.network.channels=3")


def test_old_models_are_in_red_green_and_blue() -> None:
    value = mini.recipe().cascade.to_json()
    del value["channels"]
    assert CascadeSpec.from_json(value).channels == RGB


def test_known_frames_in_units_come_back(model: str, cli: Cli) -> None:
    cascade = Cascade.from_pretrained(model)
    made = cascade.generate(seed=1)
    assert isinstance(made, Fields)
    first = made.values[:, 0] + 0.5
    for given in (first, Fields(first[:, None], made.channels, 2)):
        other = cascade.generate(known={0: given}, seed=2)
        assert isinstance(other, Fields)
        np.testing.assert_allclose(other.values[:, 0], first, atol=1e-4)
        assert np.abs(other.values[:, 1] - made.values[:, 1]).max() > 0.1
    Fields(first[:, None], made.channels, 2).save("past.npz")
    command = ("generate", "--model", model, "--device", "cpu", "--quiet", "-o", "a.npz")
    assert cli(*command, "--known", "0=past.npz") == (0, "", "")
    with np.load("a.npz") as file:
        np.testing.assert_allclose(file["t"][0], first[3], atol=1e-4)
    holes = np.zeros((8, 12), bool)
    holes[:, 6:] = True
    part = cascade.generate(known={"0:2": made.values}, mask=holes, seed=3)
    assert isinstance(part, Fields)
    np.testing.assert_allclose(part.values[..., :6], made.values[..., :6], atol=1e-4)
    with pytest.raises(ValueError, match=r"known 0: expected a size of 8x12, as ssr makes, got 8x11"):
        cascade.generate(known={0: first[..., 1:]})
    with pytest.raises(ValueError, match=r"known 0: expected finite values, got NaN or infinity"):
        cascade.generate(known={0: first * np.nan})
    with pytest.raises(ValueError, match=r"known 0: expected the channels u .*, got u \[K\]$"):
        cascade.generate(known={0: Fields(first[:1, None], made.channels[:1], 2)})
    np.savez("other.npz", u=first[0])
    refused = cli(*command, "--known", "0=other.npz")
    assert refused.code == 2 and "other.npz: expected an array 'v', got none" in refused.err
    refused = cli(*command, "--from", "a.mp4")
    assert refused.code == 2 and "expected a file of values, such as .npz, for waves makes u [K]" in refused.err
    low = Fields(made.values[..., ::2, ::2], made.channels, 2)
    assert isinstance(cascade.generate(video=low, after="base"), Fields)


def test_videos_of_many_clips(model: str, cli: Cli) -> None:
    command = ("generate", "--model", model, "--seconds", "3", "--known-method", "replacement", "--device", "cpu")
    assert cli(*command, "--scheme", "autoregressive", "-o", "a.npz", "--quiet") == (0, "", "")
    with np.load("a.npz") as file:
        assert file["p"].shape == (6, 8, 12) and file["time"].tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
        kept = {name: file[name][:, ::2, ::2] for name in ("u", "v", "p", "t")}
    np.savez("past.npz", **{name: values[:3] for name, values in kept.items()})
    more = ("extend", "past.npz", "--model", model, "--seconds", "3", "--known-method", "replacement")
    assert cli(*more, "--until", "base", "-o", "b.npz", "--device", "cpu", "--quiet") == (0, "", "")
    with np.load("b.npz") as file:
        np.testing.assert_allclose(file["v"][:3], kept["v"][:3], atol=1e-4)
    shown = cli("show", "b.npz")
    assert shown.code == 0 and "b.npz: made by `zoetrope extend`" in shown.out and "again: zoetrope" in shown.out
    refused = cli("show", "past.npz")
    assert refused.code == 2 and "past.npz: expected a file of values that zoetrope wrote" in refused.err
    assert cli(*command, "--scheme", "autoregressive", "-o", "p/", "--channel", "v", "--quiet").code == 0
    assert len(read("p/").frames) == 6
    kept["p"][1, 0, 0] = np.nan
    np.savez("past.npz", **{name: values[:3] for name, values in kept.items()})
    refused = cli(*more, "-o", "c.npz", "--device", "cpu")
    assert refused.code == 2 and "past.npz: expected finite values, got NaN or infinity in frame 1" in refused.err
    assert not Path("c.npz.unfinished").exists()
    refused = cli("upscale", "a.mp4", "--model", model, "-o", "c.mp4")
    assert refused.code == 2 and "waves: expected a model of pictures in red, green and blue" in refused.err


def test_it_is_judged_by_what_makes_sense_of_its_channels(outside: Path, cli: Cli) -> None:
    Path("waves.json").write_text(json.dumps(described(2)))
    train = ("train", "waves.json", "--stage", "base", "--out", "run", "--device", "cpu", "--quiet", *TRUST)
    assert cli(*train).code == 0
    data = json.dumps({"type": "my_lab.waves.Waves", "count": 2})
    command = ("evaluate", "run", "--count", "3", "--out", "report", "--device", "cpu", "--json", *TRUST)
    done = cli(*command, "--data", data)
    assert done.code == 0, done.err
    (entry,) = json.loads(Path("report/results.json").read_text())["entries"]
    taken = {result["name"]: result for result in entry["results"] if "value" in result}
    assert list(taken) == ["spectrum", "values"]
    assert taken["values"]["details"]["values"]["a1"]["real_mean"] == pytest.approx(271, abs=2)
    refused = cli(*command, "--data", data.replace("2", "3"))
    assert refused.code == 2 and "--data: expected the channels a0 [K], a1 [K], got" in refused.err
