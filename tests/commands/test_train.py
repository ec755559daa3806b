"""`zoetrope train` on films made by the test: what a run leaves, exact resume after a kill, and generating with it."""

import json
import math
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from subprocess import Popen

import pytest
import torch
from safetensors.torch import load_file

from zoetrope.codecs import save_codec
from zoetrope.codecs.autoencoder import Autoencoder
from zoetrope.commands._following import ENDING, _stopping
from zoetrope.commands._sources import data_json
from zoetrope.data.folder import Folder
from zoetrope.data.latents import Latents
from zoetrope.data.toybox import Toybox
from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.recipes import load_recipe
from zoetrope.training.checkpoints import Keeper
from zoetrope.training.loop import Run
from zoetrope.training.spec import Recipe
from zoetrope.training.trained import run_recipe
from zoetrope.video import probe, read

from .conftest import Cli, start

WEIGHTS = ("model.safetensors", "average.safetensors", "optimizer.safetensors")


def short(stage: str, examples: int = 12) -> list[str]:
    """Options for a training of a few steps."""
    at = f"{stage}.training"
    return [
        "--set", f'{at}.phases=[{{"examples": {examples}, "batch": 4}}]', "--set", f"{at}.log_every=4",
        "--set", f"{at}.checkpoint_every=16", "--set", f"{at}.sample_every=8",
    ]  # fmt: skip


def metrics(run: Path) -> list[dict[str, float]]:
    """The lines of metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def appears(path: Path, process: Popen[str]) -> None:
    """Wait until a running command has made a file."""
    for _ in range(30_000):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError(f"{path} did not appear")


def test_a_run_and_what_it_makes(cli: Cli, recipe: Path, model: Path) -> None:
    done = cli("train", recipe, "--stage", "base", "--out", "base", *short("base"), "--json")
    assert done.code == 0 and "base: 12/12 loss" in done.err
    told = json.loads(done.out)
    assert told["examples"] == 12 and told["checkpoint"] == "base/checkpoints/000000012"
    lines = metrics(Path("base"))
    assert [line["examples"] for line in lines] == [4, 8, 12]
    assert all(math.isfinite(line["loss"]) and line["loss"] > 0 for line in lines)
    assert read("base/samples/000000008.png").frames.shape[0] == 1
    assert sorted(p.name for p in Path("base/checkpoints").iterdir()) == ["000000008", "000000012"]
    assert json.loads(Path("base/run.json").read_text())["stage"] == "base"
    with Path("base/metrics.jsonl").open("a") as file:
        file.write('{"examples": 16, "lo')  # as a kill leaves it

    assert cli("generate", "fog", "--model", "base", "-o", "a.mp4").code == 0
    assert (probe("a.mp4").frames, probe("a.mp4").width) == (4, 8)
    shown = json.loads(cli("show", "base", "--json").out)
    assert (shown["examples"], shown["total"], shown["metrics"]["examples"]) == (12, 12, 12)

    again = cli("train", recipe, "--stage", "base", "--out", "base")
    assert again == (2, "", "error: base: already holds a run; go on with it by --resume, or choose another --out\n")

    assert cli("train", recipe, "--stage", "tsr1", "--out", "tsr1", *short("tsr1"), "--quiet") == (0, "", "")
    alone = cli("generate", "fog", "--model", "tsr1")
    assert alone.code == 2 and "stage 'tsr1' needs a video of 4x8x8@2fps; name the model or the runs" in alone.err
    assert cli("generate", "fog", "--model", "base", "--model", "tsr1", "-o", "b.mp4").code == 0
    assert (probe("b.mp4").frames, probe("b.mp4").fps) == (8, 4)
    mixed = cli("generate", "fog", "--model", model, "--model", "tsr1", "-o", "c.mp4", "--json")
    assert [stage["name"] for stage in json.loads(mixed.out)["files"][0]["stages"]] == ["base", "tsr1", "ssr1"]


def test_data_of_the_users_own_and_a_recipe_in_python(cli: Cli, recipe: Path, films: Path) -> None:
    Path("mine.py").write_text(
        "import json\nfrom zoetrope.training.spec import Recipe\n"
        f"def recipe():\n    return Recipe.from_json(open({str(recipe)!r}).read())\n"
    )
    shutil.copytree(films, "own")
    Path("own/film2.txt").unlink()
    words = ["train", "mine.py", "--stage", "base", "--data", "own", "--out", "run", *short("base", 4), "--quiet"]
    own = str(Path("own").absolute())
    assert cli(*words) == (0, "", f"{own}: 1 dropped:\n  film2.mp4: has no caption\n")
    assert json.loads(Path("run/recipe.json").read_text())["training"]["base"]["data"]["path"] == own
    Path("elsewhere").mkdir()
    os.chdir("elsewhere")  # what is gone on with is what was begun
    done = cli("train", "--out", "../run", "--resume", *short("base", 8), "--quiet")
    assert done == (0, "", f"{own}: 1 dropped:\n  film2.mp4: has no caption\n")


def test_other_data_keep_what_the_recipe_says_of_its_own(tmp_path: Path) -> None:
    """A path replaces the path alone where the data are of one kind: a split for tests is not learnt from."""
    (tmp_path / "clips").mkdir()
    path = str(tmp_path / "clips")
    own = Folder(path="elsewhere", split="train", short="slow", captions=False)
    kept = own.with_(path=path).to_json()
    assert data_json(own, path, None, latents=False) == kept
    assert data_json(own, json.dumps({"type": "folder", "path": path}), None, latents=False)["split"] is None
    assert data_json(own, "toybox", None, latents=False) == Toybox().to_json()
    assert data_json(Toybox(), path, None, latents=False) == Folder(path=path).to_json()
    assert data_json(Toybox(pictures=True), "toybox", None, latents=False)["pictures"]
    save_codec(Autoencoder(width=8).build(), tmp_path / "codec")
    latents = Latents(source=own, codec=str(tmp_path / "codec"))
    assert data_json(latents, path, None, latents=True)["source"] == kept


def test_killed_and_resumed_is_bitwise_the_same(recipe: Path, cli: Cli, tmp_path: Path) -> None:
    """320 examples at once, and with kill -9 and Ctrl-C on the way."""
    words: list[str | Path] = ["train", recipe, "--stage", "base", "--out"]
    whole = start(*words, "whole", at=tmp_path)
    parts = start(*words, "parts", at=tmp_path)
    appears(tmp_path / "parts/checkpoints/000000016", parts)
    parts.kill()
    parts.communicate()
    assert parts.returncode == -signal.SIGKILL
    assert not (tmp_path / "parts/checkpoints/000000320").exists()

    parts = start("train", "--resume", "--out", "parts", at=tmp_path)
    appears(tmp_path / "parts/checkpoints/000000112", parts)
    parts.send_signal(signal.SIGINT)
    _, told = parts.communicate()
    assert parts.returncode == 130
    last = told.splitlines()[-1]
    assert last.startswith("interrupted: a checkpoint is kept at ")
    assert last.endswith("; to go on: zoetrope train --out parts --resume")
    assert "Traceback" not in told

    parts = start("train", "--resume", "--out", "parts", at=tmp_path)
    for process in (whole, parts):
        _, told = process.communicate()
        assert process.returncode == 0, told
    for name in WEIGHTS:
        one, other = (tmp_path / run / "checkpoints/000000320" / name for run in ("whole", "parts"))
        assert one.read_bytes() == other.read_bytes(), name
    assert [line["examples"] for line in metrics(tmp_path / "parts")] == sorted(
        {line["examples"] for line in metrics(tmp_path / "parts")}
    )


def test_an_interrupt_between_steps_says_what_is_kept(cli: Cli, recipe: Path) -> None:
    def interrupted() -> str:
        run = Run(*run_recipe(Path("run")), Path("run"), torch.device("cpu"))
        with pytest.raises(KeyboardInterrupt) as caught, _stopping(run, "train", Path("run")):
            signal.raise_signal(signal.SIGTERM)
        return str(caught.value)

    assert cli("train", recipe, "--stage", "base", "--out", "run", *short("base", 4), "--quiet").code == 0
    assert interrupted() == (
        "interrupted: a checkpoint is kept at 4 examples; to go on: zoetrope train --out run --resume"
    )
    shutil.rmtree("run/checkpoints")
    assert interrupted() == "interrupted before the first step: nothing is kept"


@pytest.mark.parametrize("name", [name for name in ENDING if hasattr(signal, name)])
def test_every_way_to_end_a_job_keeps_a_checkpoint(cli: Cli, recipe: Path, name: str) -> None:
    number = getattr(signal, name)
    before = signal.getsignal(number)
    sender = threading.Thread(target=send_once, args=(number, Path("run/checkpoints/000000016")))
    sender.start()
    done = cli("train", recipe, "--stage", "base", "--out", "run", *short("base", 40_000))
    sender.join()
    assert done.code == 128 + number and "Traceback" not in done.err
    kept = int(find_checkpoints(Path("run/checkpoints"))[-1].name)
    told = f"interrupted: a checkpoint is kept at {kept} examples; to go on: zoetrope train --out run --resume"
    assert done.err.splitlines()[-1] == told and kept >= 16
    assert signal.getsignal(number) == before


def send_once(number: int, there: Path) -> None:
    """Send this process a signal when a checkpoint is there."""
    while not there.is_dir():
        time.sleep(0.01)
    os.kill(os.getpid(), number)


def test_an_error_after_a_signal_is_told(cli: Cli, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that training answers with a checkpoint does not hide why there is none."""

    def full(self: object) -> None:
        signal.raise_signal(signal.SIGTERM)
        raise OSError(28, "No space left on device", "run")

    monkeypatch.setattr(Keeper, "finish", full)
    done = cli("train", recipe, "--stage", "base", "--out", "run", *short("base", 8), "--quiet")
    assert done == (2, "", "error: run: No space left on device\n")


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no such signals")
def test_what_nohup_has_turned_off_stays_so(cli: Cli, recipe: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run = Run(load_recipe(str(recipe)), "base", Path("run"), torch.device("cpu"))
        with _stopping(run, "train", Path("run")):
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_grid(cli: Cli, recipe: Path, model: Path) -> None:
    """For all stages by options, or field by field, which are looked at together."""
    words = ["train", recipe, "--stage", "base", *short("base", 4), "--quiet"]
    assert cli(*words, "--out", "a", "--size", "16x8", "--frames", "2", "--fps", "1") == (0, "", "")
    made = Recipe.from_json(Path("a/recipe.json").read_text()).cascade
    assert [str(stage.shape) for stage in made.stages] == ["2x16x8@1fps", "4x16x8@2fps", "4x32x16@2fps"]
    assert cli("generate", "fog", "--model", "a", "-o", "a.mp4").code == 0
    assert (probe("a.mp4").frames, probe("a.mp4").height, probe("a.mp4").width) == (2, 16, 8)
    apart = ["base.shape.height=16", "tsr1.source.height=16", "tsr1.shape.height=16", "ssr1.source.height=16"]
    sets = [word for one in (*apart, "ssr1.shape.height=32") for word in ("--set", one)]
    assert cli(*words, "--out", "b", *sets) == (0, "", "")
    refused = cli(*words, "--out", "c", "--size", "0x8")
    assert refused.code == 2 and "--size: expected HEIGHTxWIDTH in pixels" in refused.err
    assert (
        cli(*words, "--out", "c", "--frames", "0").err
        == "error: --frames: expected a finite number of 1 or more, got 0\n"
    )


def test_channels_that_the_data_do_not_have(cli: Cli, recipe: Path) -> None:
    done = cli("train", recipe, "--stage", "base", "--out", "run", "--set", "base.network.channels=1")
    assert done.code == 2 and done.err.count("\n") == 1
    assert "stages.base.network.channels: expected 3, for videos are RGB pictures, got 1" in done.err
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "base.training.lr=1"], "unknown field 'lr'; "),
        (["--set", "base.trainin.clip=2"], "unknown field 'trainin'; did you mean 'training'?"),
        (["--set", "base.training.clipp=2"], "unknown field 'clipp'; did you mean 'clip'?"),
        (["--set", "base.network.levels.0.widht=2"], "unknown field 'widht'; did you mean 'width'?"),
        (["--set", "bass.training.clip=2"], "unknown stage 'bass'; did you mean 'base'?"),
        (["--set", "base.training.clip=-1"], "training.base: clip: expected above 0, got -1"),
        (["--set", "base.training.phases=[]"], "training.base: phases: expected at least 1 item"),
        (["--set", "base.training.clip"], "--set base.training.clip: expected path=value"),
        (["--stage", "bse"], "unknown stage 'bse'; did you mean 'base'?"),
        (["--stage", "ssr1"], "says nothing of how stage 'ssr1' is trained"),
        (["--data", "nowhere"], "nowhere: expected a folder of videos or images, there is none"),
        (["--data", "toyboks"], "toyboks: expected a folder"),
        (["--resume"], "run: there is no run to resume"),
        (["--device", "gpu"], "unknown device 'gpu'"),
    ],
)
def test_refusals(cli: Cli, recipe: Path, words: list[str], message: str) -> None:
    done = cli("train", recipe, *([] if "--stage" in words else ["--stage", "base"]), "--out", "run", *words)
    assert done.code == 2 and done.err.startswith("error: ") and message in done.err, done
    assert done.err.count("\n") == 1 and not Path("run").exists()


def test_more_refusals(cli: Cli, recipe: Path) -> None:
    Path("run").mkdir(exist_ok=True)
    assert "run: expected a recipe, got a folder; that of a run" in cli("train", "run", "-o", "r").err
    assert "unknown recipe 'minni'; did you mean 'mini'?" in cli("train", "minni", "--stage", "base", "-o", "r").err
    assert "expected a recipe: " in cli("train", "-o", "r").err
    Path("bad.json").write_text('{"name": "x"}')
    assert "bad.json: not a recipe (" in cli("train", "bad.json", "--stage", "base", "-o", "r").err
    Path("bad.py").write_text("x = 1")
    assert "bad.py: expected a function recipe() in it, got none" in cli("train", "bad.py", "-o", "r").err
    Path("full").mkdir()
    Path("full/thesis.tex").write_text("")
    done = cli("train", recipe, "--stage", "base", "-o", "full")
    assert done == (2, "", "error: full: holds other files; choose another --out\n")
    assert Path("full/thesis.tex").exists()


def test_files_of_the_users_own_are_no_remains_of_a_run(cli: Cli, recipe: Path) -> None:
    """A recipe and weights in the folder of the run, and the run of a codec inside it, stay as they are."""
    for name in ("weights/base.safetensors", "own/recipe.json", "runs/codec/run.json"):
        path = Path(name)
        path.parent.mkdir(parents=True)
        path.write_text(recipe.read_text())
        out = path.parts[0]
        done = cli("train", recipe, "--stage", "base", "-o", out)
        assert done == (2, "", f"error: {out}: holds other files; choose another --out\n")
        Path(out, "lock.json").write_text("{}")  # as a run that failed before it had learnt anything leaves it
        if path.parent.name == "codec":
            assert cli("train", recipe, "--stage", "base", "-o", out) == done
        assert path.read_text() == recipe.read_text()


@pytest.mark.shared
def test_real_clips(cli: Cli, recipe: Path, shared: Path) -> None:
    clips = shared / "data" / "real_clips" / "clips"
    metadata = shared / "data" / "real_clips" / "metadata.jsonl"
    rows = [json.loads(line) for line in metadata.read_text().splitlines()]
    Path("real").mkdir()
    for row in rows[:6]:
        shutil.copy(clips / Path(row["file_name"]).name, "real")
        (Path("real") / Path(row["file_name"]).with_suffix(".txt").name).write_text(row["text"])
    words = ["--data", "real", "--stage", "base", "--out", "run", *short("base", 8), "--quiet"]
    done = cli("train", recipe, *words)
    assert (done.code, done.out) == (0, "") and done.err.startswith("3 captions fill the 32 tokens that t5 reads")
    assert all(math.isfinite(line["loss"]) for line in metrics(Path("run")))
    assert Path("run/samples/000000008.png").is_file()


def test_starting_from_other_weights(cli: Cli, recipe: Path, model: Path) -> None:
    still = ["--set", 'base.training.phases=[{"examples": 4, "batch": 4, "peak": 1e-30}]']
    done = cli("train", recipe, "--stage", "base", "--out", "tuned", "--init", model, *short("base"), *still)
    assert done.code == 0, done.err
    [trained] = Path("tuned/checkpoints").iterdir()
    ours, theirs = load_file(trained / "model.safetensors"), load_file(model / "base/model.safetensors")
    # The model keeps bfloat16, and a learning rate of nothing leaves the weights as they were read.
    assert all(torch.equal(ours[name], value.float()) for name, value in theirs.items())

    refused = cli("train", recipe, "--stage", "tsr1", "--out", "other", "--init", "tuned", *short("tsr1"))
    assert refused.code == 2 and "unknown stage 'tsr1'" in refused.err and not Path("other/checkpoints").exists()
