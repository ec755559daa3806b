"""`zoetrope evaluate` on small models: the report, resuming, several processes, and what is refused."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zoetrope.metrics.shelf import Shelf
from zoetrope.shapes import VideoShape
from zoetrope.video import Video

from .conftest import Cli, other_codec, other_encoder, other_noise
from .test_train_together import together

TOYBOX = '{"type": "toybox"}'
FAST = ["--until", "base", "--steps", "1", "--count", "6"]


class Motion(nn.Module):
    """Mean colours and changes of clips (N, 3, F, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean((2, 3, 4)), (x[:, :, 1:] - x[:, :, :-1]).abs().mean((2, 3, 4))], 1)


class Means(nn.Module):
    """Mean colours of pictures (N, 3, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The value of --features for a small TorchScript file."""
    path = tmp_path_factory.mktemp("scripts") / "motion.pt"
    torch.jit.script(Motion()).save(str(path))
    fields = {"path": str(path), "frames": None, "height": None, "width": None}
    return f"torchscript={json.dumps(fields)}"


def told(report: Path | str = "report") -> dict[str, Any]:
    """What a report's results.json holds."""
    return json.loads((Path(report) / "results.json").read_text())


def samples(report: Path | str, label: str) -> list[np.ndarray]:
    """The pictures of a report's videos, in order."""
    return [np.load(file)["frames"] for file in sorted((Path(report) / "samples" / label).glob("*.npz"))]


def test_a_report_on_a_folder(cli: Cli, model: Path, films: Path, motion: str) -> None:
    done = cli("evaluate", model, "--data", films, *FAST, "--features", motion, "--json")
    assert done.code == 0, done.err
    value = json.loads(done.out)
    assert value == told()
    entry = value["entries"][0]
    by_name = {result["name"]: result for result in entry["results"]}
    distance = by_name["frechet[torchscript]"]
    own = distance["protocol"]
    assert (own["made"], own["real"], own["frames"], own["seed"], own["shape"]) == (6, 6, 4, 0, "4x8x8@2fps")
    assert len(own["sha256"]) == 64 and distance["value"] > distance["details"]["endless"]
    assert by_name["colour"]["value"] >= 0
    for name, remedy in (("fvd", "i3d"), ("fid", "inception"), ("clip_score", "clip"), ("r_precision", "clip")):
        assert by_name[name]["reason"] and f"--features {remedy}=" in by_name[name]["remedy"]
    assert not any(one.get("reason", "").startswith(f"{name}: ") for name, one in by_name.items())
    assert "toybox" in by_name["attributes"]["reason"] and "--after" in by_name["psnr"]["reason"]
    assert "6 clips are cut from 3 files" in value["notes"][0]
    assert sorted(set(value["prompts"])) == sorted(p.read_text() for p in films.glob("*.txt"))
    page = Path("report/index.html").read_text()
    linked = re.findall(r'src="([^"]+)"', page)
    assert len(linked) == 12 and all((Path("report") / name).is_file() for name in linked)
    assert not re.search(r"https?://(?!www\.w3)", page)  # it opens from disk, without a network
    for text in ("frechet[torchscript]", own["sha256"], "Not measured", "name one: --features i3d=PATH"):
        assert text in page


def test_toybox_prompts_are_judged_and_models_compared(cli: Cli, model: Path) -> None:
    words = ["--data", "toybox", *FAST, "--metrics", "attributes,colour"]
    done = cli("evaluate", model, model, *words)
    assert done.code == 0, done.err
    first, second = told()["entries"]
    assert (first["label"], second["label"]) == ("tiny", "tiny-2") and first["results"] == second["results"]
    (attributes, _) = first["results"]
    assert attributes["value"] == 0 and attributes["details"]["of"] == 6
    assert attributes["interval"][0] == 0 and 40 < attributes["interval"][1] < 80 and attributes["error"] is None
    assert f"{attributes['samples']} videos)" in done.out
    assert "held out" in told()["reference"] and "attributes" in done.out
    assert done.out.splitlines()[0].split() == ["tiny", "tiny-2"]
    done = cli("evaluate", model, *words, "--split", "training", "-o", "other", "--quiet")
    assert (done.code, done.out) == (0, "")
    assert told("other")["reference"] == "toybox, as in training" and told("other")["prompts"] != told()["prompts"]


def test_a_report_is_gone_on_with_and_others_are_refused(cli: Cli, model: Path, films: Path) -> None:
    words = [
        "evaluate",
        model,
        "--data",
        films,
        *FAST,
        "--metrics",
        "colour",
        "--set",
        "base.sampling.sampler=ancestral",
    ]
    words = words[:-2]
    assert cli(*words).code == 0
    before, made = told(), samples("report", "tiny")
    files = sorted(Path("report/samples/tiny").iterdir())
    for lost in files[1], Path("report/results.json"):
        lost.unlink()
    assert cli(*words).code == 0  # as after a kill
    assert told() == before
    assert all(np.array_equal(a, b) for a, b in zip(made, samples("report", "tiny"), strict=True))
    times = [file.stat().st_mtime_ns for file in files]
    assert cli(*words).code == 0 and [file.stat().st_mtime_ns for file in files] == times
    for change, names in (
        (["--seed", "1"], ["seed (0 there, 1 asked)"]), (["--count", "5"], ["count (6 there, 5 asked)"]),
        (["--steps", "2"], ["models"]), (["--reference", "4"], ["reference (6 there, 4 asked)"]),
    ):  # fmt: skip
        done = cli(*words, *change)
        assert done.code == 2 and "holds a report of other settings" in done.err
        assert all(name in done.err for name in names), done.err
    Path("other").mkdir()
    Path("other/mine.txt").write_text("mine")
    done = cli(*words, "-o", "other")
    assert done.code == 2 and "got another folder" in done.err and os.listdir("other") == ["mine.txt"]


@pytest.mark.parametrize(
    "change",
    [other_codec, other_encoder, other_noise],
    ids=["codec", "encoder", "noise"],
)
def test_a_model_that_changed_in_any_file_is_another(cli: Cli, latent: Path, change: Callable[[Path], None]) -> None:
    words = ["evaluate", latent, "--data", "toybox", "--count", "2", "--metrics", "colour"]
    for _ in range(2):
        done = cli(*words)
        assert done.code == 0, done.err
    change(latent)
    done = cli(*words)
    assert done.code == 2 and "holds a report of other settings: models" in done.err


def test_clips_that_changed_are_others(cli: Cli, model: Path, films: Path, tmp_path: Path) -> None:
    clips, report = tmp_path / "clips", tmp_path / "report"
    shutil.copytree(films, clips)
    words = ["evaluate", model, "--until", "base", "--steps", "1", "--count", "2", "--metrics", "colour", "-o", report]
    for data in (clips, json.dumps({"type": "folder", "path": str(clips)})):
        for _ in range(2):
            done = cli(*words, "--data", data)
            assert done.code == 0, done.err
        kept = json.loads((report / "settings.json").read_text())
        earlier = {name: value for name, value in kept.items() if name != "clips"}
        assert earlier != kept
        (report / "settings.json").write_text(json.dumps(earlier))
        assert cli(*words, "--data", data).code == 0  # a report of a version that did not tell them
        (report / "settings.json").write_text(json.dumps(kept))
        (clips / "film1.txt").write_text(f"another caption of {len(str(data))} letters")
        done = cli(*words, "--data", data)
        assert done.code == 2 and "holds a report of other settings: clips ('" in done.err
        shutil.rmtree(report)


def test_real_clips_can_come_in_the_place_of_a_stage(cli: Cli, model: Path) -> None:
    words = ["--data", "toybox", "--after", "tsr1", "--steps", "1", "--count", "4"]
    done = cli("evaluate", model, *words, "--metrics", "psnr,ssim,flicker,colour")
    assert done.code == 0, done.err
    results = {result["name"]: result for result in told()["entries"][0]["results"]}
    assert results["psnr"]["unit"] == "dB" and results["psnr"]["protocol"]["shape"] == "8x16x16@4fps"
    assert 0 < results["psnr"]["value"] < 60 and len(results["psnr"]["details"]["by_frame"]) == 8
    assert [stage["name"] for stage in told()["entries"][0]["stages"]] == ["ssr1"]


def test_processes_share_the_work_and_change_nothing(cli: Cli, model: Path, films: Path, motion: str) -> None:
    words = ["evaluate", model, "--data", films, "--until", "base", "--steps", "1", "--count", "11"]
    words += ["--metrics", "frechet,colour", "--features", motion, "--json"]
    assert cli(*words, "-o", "alone").code == 0
    done = together(*words, "-o", "both")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"entries"') == 1
    alone, both = told("alone"), told("both")
    assert [e["results"] for e in alone["entries"]] == [e["results"] for e in both["entries"]]
    for one, other in zip(samples("alone", "tiny"), samples("both", "tiny"), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("words", "told_"),
    [
        (["--metrics", "fdv"], "unknown measure 'fdv'; did you mean 'fvd'?"),
        (["--metrics", "frechet[mobilnet]"], "did you mean 'mobilenet_v2'?"),
        (["--metrics", ","], "expected the name of a metric"),
        (["--metrics", "fvd"], "nothing can be measured: FVD: no i3d was named"),
        (["--metrics", "r_precision", "--count", "1"], "at least 2 generated videos, got 1"),
        (["--metrics", "psnr"], "--after STAGE"),
        (["--features", "mobilenet"], "expected KIND=WHERE"),
        (["--features", "mobilenet=x"], "did you mean 'mobilenet_v2'?"),
        (["--features", "i3d={"], "expected JSON"),
        (["--features", 'i3d={"where": "x"}'], "unknown field 'where'"),
        (["--count", "0"], "--count: expected a finite number of 1 or more"),
        (["--split", "heldout"], "did you mean 'held_out'?"),
        (["--after", "base", "--reference", "3"], "as many as --count"),
        (["--known", "0", "--reference", "3"], "--reference: expected at least as many as --count with --known, 64"),
        (["--window", "2", "--metrics", "colour"], "--window: expected with a network of clips"),
        (["--window", "2"], "--window: expected with a network of clips"),  # for none is named
        (["--features", "i3d=x.pt", "--metrics", "fid,colour"], "--features i3d: expected with a metric that takes it"),
        (["--short", "hold"], "--short hold: expected a folder, whose videos may be short, got toybox"),
        (["--data", TOYBOX, "--short", "drop"], "--short drop: expected without, for --data describes the source"),
        (["--after", "base", "--guidance", "2"], "--guidance: none of the stages to run is guided"),
        (["--until", "bse"], "did you mean 'base'?"),
    ],
)
def test_bad_input(cli: Cli, model: Path, words: list[str], told_: str) -> None:
    data = [] if "--data" in words else ["--data", "toybox"]
    done = cli("evaluate", model, *data, *words)
    assert done.code == 2 and told_ in done.err, done.err
    assert not Path("report").exists() and "Traceback" not in done.err


def test_too_short_for_the_network(cli: Cli, model: Path, motion: str) -> None:
    needs = motion.replace('"frames": null', '"frames": 5')
    done = cli("evaluate", model, "--data", "toybox", *FAST, "--metrics", "frechet", "--features", needs)
    assert done.code == 2 and "expected clips of at least 5 frames, got 4" in done.err
    done = cli("evaluate", model, "--data", "toybox", *FAST, "--features", needs)
    assert done.code == 0
    (result,) = [r for r in told()["entries"][0]["results"] if r["name"] == "frechet[torchscript]"]
    assert "got 4" in result["reason"]


def test_a_window_of_frames(cli: Cli, model: Path, motion: str) -> None:
    words = ["evaluate", model, "--data", "toybox", *FAST, "--metrics", "frechet", "--features", motion]
    for window, frames in ((), 4), (("--window", "3"), 3):
        assert cli(*words, *window).code == 0
        assert told()["entries"][0]["results"][0]["protocol"]["frames"] == frames
    done = cli(*words, "--window", "5")
    assert done.code == 2 and "expected clips of at least 5 frames, got 4 (--window 4" in done.err
    torch.jit.script(Means()).save("means.pt")
    pictures = {"path": "means.pt", "sees": "frames", "height": None, "width": None}
    done = cli(*words[:-1], f"torchscript={json.dumps(pictures)}", "--window", "3", "-o", "other")
    assert done.code == 2 and "error: --window: expected with a network of clips" in done.err
    missing = ["--metrics", "fvd,colour", "--features", "i3d=none.pt", "--window", "3"]
    assert cli(*words[:-4], *missing, "-o", "third").code == 0  # which says what is missing


def test_clips_that_could_not_be_read_are_told(cli: Cli, model: Path, films: Path) -> None:
    words = ["evaluate", model, "--data", films, *FAST, "--metrics", "colour"]
    assert cli(*words).code == 0
    shelf = Shelf(Path("report/samples/real-4x8x8@2fps"), VideoShape(frames=4, height=8, width=8, fps=2))
    shelf.put(2, shelf.read(2), shelf.text(2), ["film9.mp4"])  # as where a file was damaged
    done = cli(*words)
    assert done.code == 0 and "1 of the clips could not be read, and others stand in their place: film9.mp4" in done.err
    assert any("film9.mp4" in note for note in told()["notes"])


def test_short_clips_are_treated_as_training_treated_them(cli: Cli, model: Path) -> None:
    """A clip of the base stage lasts 2 s; a film of five pictures in 1.25 s is too short for it."""
    Path("set").mkdir()
    frames = np.zeros((5, 8, 8, 3), np.uint8)
    frames[:] = np.linspace(20, 230, 5).astype(np.uint8)[:, None, None, None]
    Video(frames, 4).save("set/short.mp4")
    Path("set/short.txt").write_text("fog")
    words = ["evaluate", model, "--data", "set", *FAST, "--metrics", "colour", "--quiet"]
    seen = {}
    for how in ("hold", "slow"):
        assert cli(*words, "--short", how, "--out", how).code == 0
        seen[how] = samples(how, "real-4x8x8@2fps")[0][:, 0, 0, 0].astype(int)
    assert len(set(seen["hold"])) < 4 and len(set(seen["slow"])) == 4
    refused = cli(*words, "--short", "slow", "--out", "hold")
    assert refused.code == 2 and "holds a report of other settings: short (None there, 'slow' asked)" in refused.err
    assert "no clip has 4 frames at 2 fps" in cli(*words, "--short", "drop", "--out", "drop").err
    wrong = cli(*words, "--short", "hodl", "--out", "x")
    assert wrong == (2, "", "error: --short: unknown way 'hodl'; did you mean 'hold'?\n")


def test_a_folder_that_is_not_there(cli: Cli, model: Path) -> None:
    done = cli("evaluate", model, "--data", "nowhere")
    assert done.code == 2 and "nowhere" in done.err
    done = cli("evaluate", "minni", "--data", "toybox")
    assert done.code == 2 and "did you mean 'mini'?" in done.err
