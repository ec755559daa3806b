"""What users get wrong: one line that says what and what would be right, exit status 2, and nothing half-written."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from zoetrope.commands._options import at_least, changes, shape_named
from zoetrope.commands._outputs import numbered, slug
from zoetrope.video import Video, probe

from .conftest import Cli, Done, start
from .test_train import short

QUICK = ["--until", "base", "--steps", "1"]
READ_ONLY = "/proc"  # not even root can make a file there


def refused(done: Done, *messages: str) -> None:
    """One line on stderr that says these things, nothing on stdout, exit status 2."""
    assert done.code == 2 and done.out == "" and done.err.startswith("error: "), done
    assert done.err.count("\n") == 1, done.err
    for message in messages:
        assert message in done.err, done.err


def nested(deep: int) -> str:
    """Lists in each other as JSON, with all ends: how deep Python reads before it misses one differs among versions."""
    return "[" * deep + "]" * deep


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--until", "tsr2"], "unknown stage 'tsr2'; did you mean 'tsr1'?"),
        (["--sampler", "ddimm"], "unknown sampler 'ddimm'; did you mean 'ddim'?"),
        (["--steps", "0"], "--steps: expected a finite number of 1 or more, got 0"),
        (["--steps", "few"], "'--steps'"),
        (["--guidance", "nan"], "--guidance: expected a finite number of 0 or more, got nan"),
        (["--guidance", "inf"], "--guidance: expected a finite number of 0 or more, got inf"),
        (["--guidance", "-1"], "--guidance: expected a finite number of 0 or more, got -1"),
        (["--count", "0"], "--count: expected a finite number of 1 or more, got 0"),
        (["--seed", "-3"], "--seed: expected a finite number of 0 or more, got -3"),
        (["--negative", " "], "--negative: expected some text, got only blanks"),
        (["--set", "base.sampling.stepz=1"], "unknown field 'stepz'; did you mean 'steps'?"),
        (["--set", "tsr9.sampling.steps=1"], "unknown stage 'tsr9'; did you mean 'tsr1'?"),
        (["--set", "text.width=24"], "error: CascadeSpec: text: expected an encoder of width 16, which stage"),
        (["--set", 'text={"type": "words", "width": 24}'], "(its network.text_width), got words of width 24"),
        (["--memory", "lots"], "--memory: expected a size such as 4GB, 512MB or 2GiB, got 'lots'"),
        (["--memory", "-4GB"], "--memory: expected a size such as 4GB, 512MB or 2GiB, got '-4GB'"),
        (["--memory", "100MB", "--until", "tsr1"], "even in its smallest tiles, got 100 MB"),
        (["--set", "base.sampling.steps=0"], "steps: expected at least 1 and at most 100000, got 0"),
        (["--set", "base.sampling.guidance=NaN"], "guidance"),
        (["--set", "base.shape.frames=6"], "expects 4x8x8@2fps"),
        (["--set", "stages.0.name=x"], "--set: stages keep their names, by which their weights are found; got 'x'"),
        (["--set", f"base.sampling.steps={nested(500)}"], "--set base.sampling.steps: expected fewer digits or"),
        (["--set", f"base.sampling.steps={nested(50_000)}"], "--set base.sampling.steps: expected fewer digits or"),
        (["--set", "base.sampling.steps=" + "9" * 5000], "--set base.sampling.steps: expected fewer digits or"),
        (["--seed", "9" * 400], "--seed: expected a number from 0 to 9223372036854775807, got a larger one"),
        (["--steps", "9" * 20], "--steps: expected a number from 1 to 100000, got a larger one"),
        (["--guidance", "1e308"], "--guidance: expected a number from 0 to 10000, got a larger one"),
        (["--memory", "9" * 400 + "GB"], "--memory: expected a size such as 4GB"),
        (["--device", "cuda:77"], "--device: unknown device 'cuda:77'"),
        (["--dtype", "fp31"], "--dtype: unknown dtype 'fp31'; did you mean 'fp32'?"),
        (["--prompts", "none.txt"], "none.txt: No such file or directory"),
        (["-o", "no/a.mp4"], "no/a.mp4: the folder 'no' does not exist"),
        (["-o", "a.mp5"], "a.mp5: expected a name ending in .gif, .mp4, .png, .webm, got '.mp5'"),
        (["-o", "a"], "a: expected a name ending in .gif, .mp4, .png, .webm, or a folder ending in '/'"),
        (["-o", "a.png"], "a.png: one .png holds one picture, not 8; name a folder or a_%04d.png"),
        (["-o", f"{READ_ONLY}/a.mp4"], f"{READ_ONLY}/a.mp4: cannot write in the folder '{READ_ONLY}'"),
        (["-o", "a.mp4", "--save-stages", "no/stages"], "the folder 'no' does not exist"),
        (["--sed", "3"], "unknown option '--sed'; did you mean '--seed'?"),
        (["--zebra", "3"], "unknown option '--zebra' (see zoetrope generate --help)"),
    ],
)
def test_generate(cli: Cli, model: Path, words: list[str], message: str) -> None:
    refused(cli("generate", "fog", "--model", model, *words), message)
    assert list(Path().iterdir()) == []


def test_models_that_are_not_there(cli: Cli, model: Path) -> None:
    refused(cli("generate", "fog", "--model", "minimal"), "unknown model 'minimal'")
    refused(cli("generate", "fog", "--model", "."), "not a model, the folder has no cascade.json")
    Path("weights.pt").write_bytes(pickle.dumps({"a": 1}))
    refused(cli("generate", "fog", "--model", "weights.pt"), "pickle files can run code and are never read")
    refused(cli("show", "minimal"), "unknown model 'minimal'")
    refused(cli("show", "/no/where"), "/no/where: expected the folder of a model or of a run, there is none of this")
    refused(cli("generate", "fog", "--model", "s3://bucket/m"), "s3://bucket/m: expected the folder of a model")
    refused(cli("generat", "fog"), "No such command 'generat'", "'generate'")


def test_prompts(cli: Cli, model: Path) -> None:
    refused(cli("generate", "", "--model", model), "prompt: expected some text, got an empty string")
    refused(cli("generate", "fog", "  ", "--model", model), "prompt: expected some text, got only blanks")
    refused(cli("generate", "--model", model), "expected a prompt, such as: zoetrope generate")
    Path("empty.txt").write_text("\n \n")
    refused(cli("generate", "--prompts", "empty.txt", "--model", model), "empty.txt: holds no prompt")
    Path("latin.txt").write_bytes("Mühle".encode("latin-1"))
    refused(cli("generate", "--prompts", "latin.txt", "--model", model), "latin.txt: expected UTF-8 text")


def test_memory_that_does_not_suffice_for_the_shipped_model(cli: Cli) -> None:
    Video(np.zeros((16, 24, 40, 3), np.uint8), 3).save("in/")
    done = cli("upscale", "in/", "--model", "mini", "--until", "tsr1", "--memory", "100MB", "-o", "a.mp4", "--quiet")
    refused(done, "memory: stage 'tsr1' (32x24x40@6fps) needs ", " MB even in its smallest tiles, got 100 MB")
    assert [path.name for path in Path().iterdir()] == ["in"]


def tensors(weights: Path) -> dict[str, torch.Tensor]:
    """Copies: what `load_file` gives is the file itself, about to be overwritten."""
    return {name: value.clone() for name, value in load_file(weights).items()}


def truncated(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-100])


def empty(weights: Path) -> None:
    weights.write_bytes(b"")


def missing(weights: Path) -> None:
    weights.unlink()


def one_less(weights: Path) -> None:
    save_file(dict(list(tensors(weights).items())[1:]), weights)


def one_more(weights: Path) -> None:
    save_file({**tensors(weights), "surplus": torch.zeros(1)}, weights)


def misshapen(weights: Path) -> None:
    own = tensors(weights)
    save_file({**own, min(own): torch.zeros(3, 1, 4)}, weights)


def pickled(weights: Path) -> None:
    torch.save(tensors(weights), weights)


def pickle_beside(weights: Path) -> None:
    torch.save(tensors(weights), weights.with_suffix(".pt"))
    weights.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated, "not a whole safetensors file"),
        (empty, "not a whole safetensors file"),
        (missing, "model.safetensors: no such file"),
        (one_less, "1 tensors are missing"),
        (one_more, "1 tensors are unexpected, first 'surplus'"),
        (misshapen, "has shape (3, 1, 4), expected"),
        (pickled, "not a whole safetensors file"),
        (pickle_beside, "pickle files can run code and are never read; convert it to safetensors"),
    ],
)
def test_weights(cli: Cli, model: Path, damage: Callable[[Path], None], message: str) -> None:
    """Those of the last stage are refused before the first stage runs."""
    shutil.copytree(model, "own")
    damage(Path("own/ssr1/model.safetensors"))
    done = cli("generate", "fog", "--model", "own", "-o", "a.mp4")
    refused(done, "own/ssr1/model.safetensors: ", message)
    assert not Path("a.mp4").exists()
    assert cli("generate", "fog", "--model", "own", *QUICK, "-o", "a.mp4").code == 0


def test_descriptions(cli: Cli, model: Path) -> None:
    shutil.copytree(model, "own")
    file = Path("own/cascade.json")
    good = json.loads(file.read_text())

    def told(value: str) -> Done:
        file.write_text(value)
        return cli("generate", "fog", "--model", "own", "-o", "a.mp4")

    refused(told(json.dumps({**good, "stagez": []})), "own/cascade.json: ", "unknown field 'stagez'", "'stages'")
    refused(told(json.dumps({**good, "format": 99})), "written by a newer version of zoetrope")
    refused(told(json.dumps({"name": "x"})), 'expected an object with a whole number "format"')
    refused(told(json.dumps({**good, "stages": []})), "own/cascade.json: ", "stages: expected at least 1 item")
    refused(told(json.dumps({**good, "text": {"type": "t6"}})), "unknown text encoder 't6'")
    refused(told(json.dumps(good)[:200]), "not readable as JSON")


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk without a free byte; skipped where a test may not mount one."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a disk")
    (folder / "filling").write_bytes(bytes(4096))
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "pictures/"])
def test_a_full_disk(cli: Cli, model: Path, full_disk: Path, name: str) -> None:
    done = cli("generate", "fog", "--model", model, *QUICK, "-o", f"{full_disk}/{name}", "--quiet")
    refused(done, str(full_disk))
    assert [p.name for p in full_disk.iterdir()] == ["filling"]


@pytest.mark.parametrize("kept", [False, True], ids=["the last stage", "what is kept of it"])
@pytest.mark.parametrize("verb", ["generate", "upscale"])
def test_a_full_disk_after_several_stages(cli: Cli, model: Path, full_disk: Path, verb: str, kept: bool) -> None:
    Path("whole").mkdir()
    Video(np.zeros((4, 8, 8, 3), np.uint8), 2).save("in/")
    words = ["generate", "fog"] if verb == "generate" else ["upscale", "in/"]
    out, stages = (Path("whole"), full_disk) if kept else (full_disk, Path("whole"))
    done = cli(*words, "--model", model, "-o", out / "a.mp4", "--save-stages", stages, "--steps", "1", "--quiet")
    refused(done._replace(err=done.err.splitlines(keepends=True)[-1]), str(full_disk))  # after warnings of colours
    assert [path.name for path in full_disk.iterdir()] == ["filling"]
    every = {"a-base.mp4": 4, "a-tsr1.mp4": 8, "a-ssr1.mp4": 8} if verb == "generate" else {"a-ssr1.mp4": 4}
    made = {} if kept else every  # the stages' own, whole, are kept
    assert {path.name: probe(path).frames for path in Path("whole").iterdir()} == made


@pytest.mark.parametrize("every", [8, 1000], ids=["on the way", "at the end"])
def test_a_full_disk_while_training(cli: Cli, recipe: Path, tmp_path: Path, every: int) -> None:
    """Room for the first small files, not for the weights."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    sets = ['base.training.phases=[{"examples": 8, "batch": 4}]', f"base.training.checkpoint_every={every}"]
    words = ["train", recipe, "--stage", "base", "--out", "run", *(word for item in sets for word in ("--set", item))]
    assert cli(*words[:-4], "--set", sets[0], "--quiet").code == 0  # the texts are encoded now
    shutil.rmtree("run")
    resource.setrlimit(resource.RLIMIT_FSIZE, (12_288, before[1]))
    try:
        done = cli(*words, "--quiet")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    warnings, last = done.err.splitlines()[:-1], done.err.splitlines()[-1]
    refused(done._replace(err=last + "\n"), "run/checkpoints/", "cannot be written")
    expected = ["the training goes on", "the training ends, and tries once more"] if every == 8 else []
    assert all(part in line for part, line in zip(expected, warnings, strict=True))
    assert list(Path("run/checkpoints").iterdir()) == []


def test_stages_into_a_file_and_a_negative_without_guidance(cli: Cli, model: Path) -> None:
    Path("stages").write_text("mine")
    words = ["generate", "fog", "--model", model, "-o", "a.mp4"]
    refused(cli(*words, "--save-stages", "stages"), "--save-stages stages: expected a folder or a new name, got a file")
    refused(cli(*words, "--negative", "a ball", "--guidance", "0"), "--negative: expected a stage that is guided")
    assert [p.name for p in Path().iterdir()] == ["stages"]


@pytest.fixture
def bad_films(tmp_path: Path, films: Path, sound: Path, no_pictures: Path) -> Path:
    """A folder in which everything has something wrong."""
    folder = tmp_path / "bad"
    folder.mkdir()
    film = (films / "film0.mp4").read_bytes()
    (folder / "truncated.mp4").write_bytes(film[: len(film) // 3])
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("I am no film")
    (folder / "no_text.mp4").write_bytes(film)
    (folder / "blank.mp4").write_bytes(film)
    (folder / "alone.txt").write_text("a caption of nothing")
    shutil.copy(sound, folder / "sound.mp4")
    shutil.copy(no_pictures, folder / "no_pictures.avi")
    for name in ("truncated", "empty", "text", "sound", "no_pictures"):
        (folder / f"{name}.txt").write_text("a film")
    (folder / "blank.txt").write_text(" \n")
    (folder / "metadata.jsonl").write_text(
        '{"file_name": "gone.mp4", "text": "a film"}\n{"file_name": "x.mp4"}\n{"fi\n'
    )
    return folder


REASONS = {
    "truncated.mp4": "", "empty.mp4": "", "text.mp4": "", "sound.mp4": "no video", "no_pictures.avi": "",
    "no_text.mp4": "has no caption", "blank.mp4": "its caption is empty",
    "alone.txt": "is a caption without a video", "metadata.jsonl:1": "names 'gone.mp4', which does not exist",
    "metadata.jsonl:2": "has no 'text'", "metadata.jsonl:3": "is not JSON",
}  # fmt: skip


def test_data_without_a_usable_clip(cli: Cli, bad_films: Path, recipe: Path) -> None:
    done = cli("data", "check", bad_films, "--json")
    dropped = {item["name"]: item["reason"] for item in json.loads(done.out)["dropped"]}
    assert done.code == 2 and done.err == f"error: {bad_films}: no usable clip\n"
    assert dropped.keys() == REASONS.keys()
    for name, reason in REASONS.items():
        assert dropped[name] and reason in dropped[name]
    done = cli("train", recipe, "--stage", "base", "--data", bad_films, "--out", "run")
    assert done.code == 2 and done.err.startswith(f"error: {bad_films}: no usable clip\n")
    assert all(f": {dropped[name]}\n" in done.err for name in REASONS)
    assert not Path("run").exists()


def test_what_is_written_goes_to_this_machine(
    cli: Cli, films: Path, recipe: Path, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    there = "s3://bucket/new"
    for words in (
        ["data", "shard", films],
        ["train", recipe, "--stage", "base"],
        ["distill", model, "--stage", "base"],
        ["evaluate", model, "--data", films],
        ["generate", "fog", "--model", model, *QUICK],
    ):
        name = f"{there}.gif" if words[0] == "generate" else there
        refused(cli(*words, "--out", name), "is an address; expected a")
    assert not Path("s3:").exists()
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert cli("train", recipe, "--stage", "base", "--out", "~/run", *short("base", 4), "--quiet").code == 0
    assert Path("home/run/run.json").is_file() and not Path("~").exists()
    assert cli("distill", "--resume", "--out", "~/new").err.startswith(f"error: {tmp_path}")


def test_data_check_and_preview(cli: Cli, films: Path, bad_films: Path) -> None:
    for file in films.iterdir():
        shutil.copy(file, bad_films)
    done = cli("data", "check", bad_films)
    assert done.code == 0 and done.out.startswith("3 usable: 3 videos of 9.0 s in all, 0 images\n11 dropped:\n")
    refused(cli("data", "check", films, "--shape", "999x8x8@30", "--quiet"), "no usable clip for 999x8x8@30fps")
    refused(cli("data", "check", "nowhere"), "nowhere: expected a folder of videos or images, there is none")
    done = cli("data", "preview", films, "-o", "sheet.png", "--shape", "4x16x24@2", "--count", "2", "--json")
    assert done.code == 0 and len(json.loads(done.out)["captions"]) == 2 and Path("sheet.png").stat().st_size > 100
    assert cli("data", "preview", "toybox", "-o", "toys.png", "--count", "2", "--quiet") == (0, "", "")
    refused(cli("data", "preview", films, "-o", "sheet.jpg"), "expected the name of a .png file")
    refused(cli("data", "preview", films, "-o", "s.png", "--shape", "4x4"), "expected FRAMESxHEIGHTxWIDTH@FPS")
    refused(
        cli("data", "preview", films, "-o", "s.png", "--stage", "bass"), "unknown stage 'bass'; did you mean 'base'"
    )


def test_ctrl_c_while_generating(model: Path, tmp_path: Path) -> None:
    words: list[str | Path] = ["--model", model, "--set", "tsr1.sampling.steps=20000", "-o", "a.mp4"]
    process = start("generate", "fog", *words, at=tmp_path)
    assert process.stderr is not None
    while not process.stderr.readline().startswith("base: 4x8x8@2fps, 3 steps"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted: 0 of 1 videos were written (nothing)"
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_training(recipe: Path, tmp_path: Path) -> None:
    endless = 'base.training.phases=[{"examples": 1000000, "batch": 4}]'
    process = start("train", recipe, "--stage", "base", "--out", "run", "--set", endless, at=tmp_path)
    while not (tmp_path / "run/metrics.jsonl").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    last = max((tmp_path / "run/checkpoints").iterdir())
    assert err.splitlines()[-1] == (
        f"interrupted: a checkpoint is kept at {int(last.name)} examples; to go on: zoetrope train --out run --resume"
    )
    assert "Traceback" not in err and (last / "average.safetensors").is_file()


def test_our_own_mistakes_keep_their_traceback(cli: Cli) -> None:
    Path("odd.py").write_text("def recipe():\n    return 1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        cli("show", "odd.py")


@pytest.mark.parametrize("verb", ["generate", "preview", "evaluate"])
def test_no_more_is_begun_than_could_be_made(cli: Cli, model: Path, films: Path, verb: str) -> None:
    words = {
        "generate": ["generate", "fog", "--model", model],
        "preview": ["data", "preview", films, "--shape", "4x8x8@2", "-o", "sheet.png"],
        "evaluate": ["evaluate", model, "--data", films],
    }
    refused(cli(*words[verb], "--count", "100000000000"), "--count: expected a number from 1 to 100000, got a larger")


def test_values_of_options() -> None:
    assert changes(["a.b=1", "c=x=y", 'd={"e": null}']) == [("a.b", 1), ("c", "x=y"), ("d", {"e": None})]
    at_least("--x", None, 1)
    assert str(shape_named("16x24x40@3")) == "16x24x40@3fps" == str(shape_named("16x24x40@3fps"))
    assert slug("Ein Würfel, 3-D!") == "ein-würfel-3-d" and slug("?!") == "video" and len(slug("long " * 99)) <= 60
    assert numbered("v/a.mp4", 7) == "v/a-007.mp4" and numbered("a_%04d.png", 7) == "a_007-%04d.png"


def test_help_of_all_commands_is_not_cut_short(cli: Cli) -> None:
    for words in ([], ["data"]):
        listed = cli(*words, "--help").out.partition("Commands:")[2]
        assert listed.count("\n") > 3 and "..." not in listed, listed
