"""`zoetrope extend` and `zoetrope generate --seconds`: videos of minutes, which a kill does not cost."""

import json
import os
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoetrope.cascade.long.frames import Frames
from zoetrope.text.t5 import T5
from zoetrope.video import Video, probe, read, read_tags

from .conftest import Cli, start

LEARNT = ("--set", "base.sampling.known=learnt")


def film(path: str, frames: int = 6) -> str:
    pictures = np.zeros((frames, 8, 8, 3), np.uint8)
    for k in range(frames):
        pictures[k, 2:6, k % 8, k % 3] = 200
    Video(pictures, 2.0).save(path)
    return path


def test_the_given_frames_come_first(cli: Cli, model: Path) -> None:
    film("in/")
    words = ["extend", "in/", "--seconds", 8, "--model", model, *LEARNT, "--until", "base", "--prompt", "fog"]
    done = cli(*words, "-o", "out/", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    [file] = told["files"]
    assert (file["path"], file["prompt"], file["given"], file["frames"], file["fps"]) == ("out/", "fog", 6, 16, 2)
    assert file["scheme"] == {"type": "autoregressive", "step": None}
    assert [(stage["name"], stage["blocks"]) for stage in file["stages"]] == [("base", 5)]
    pictures = read("out/").frames
    assert pictures.shape == (16, 8, 8, 3) and np.array_equal(pictures[:6], read("in/").frames)
    assert not list(Path().glob("*.unfinished")) and "base: 16x8x8@2fps, 5 blocks" in done.err
    made = json.loads(read_tags("out/")["comment"])
    assert made["extended"] == "in" and made["long"]["seconds"] == 8 and made["long"]["prompt"] == "fog"


def test_all_stages_run_and_names_are_found(cli: Cli, model: Path) -> None:
    film("in/")
    done = cli("extend", "in/", "--seconds", 8, "--model", model, *LEARNT, "--scheme", "pyramid")
    assert done.code == 0, done.err
    assert done.out.strip() == "in-extended.mp4"
    info = probe("in-extended.mp4")
    assert (info.frames, info.height, info.width, info.fps) == (32, 16, 16, 4)


def test_generate_for_seconds(cli: Cli, model: Path) -> None:
    words = ["generate", "fog", "rain", "--model", model, *LEARNT, "--seconds", 5, "-o", "out.mp4", "--count", 2]
    done = cli(*words, "--json")
    assert done.code == 0, done.err
    files = json.loads(done.out)["files"]
    assert [(file["prompt"], file["sample"], file["frames"]) for file in files] == [
        ("fog", 0, 20), ("fog", 1, 20), ("rain", 0, 20), ("rain", 1, 20),
    ]  # fmt: skip
    assert "4/4 ssr1" in done.err and probe("out-004.mp4").frames == 20
    again = cli(*words, "--json", "--resume")
    assert [file["skipped"] for file in json.loads(again.out)["files"]] == [True] * 4
    other = cli(*words, "--resume", "--seed", 1)
    assert other.code == 2 and "expected the video of 'fog' with these settings, or nothing, to go on from" in other.err


def test_several_videos_into_a_new_folder(cli: Cli, model: Path) -> None:
    """As clips, each is a folder in it; nothing but these is left there."""
    words = ["generate", "fog", "rain", "--model", model, *LEARNT, "--until", "base", "-o"]
    done = cli(*words, "many/", "--seconds", 5, "--json")
    assert done.code == 0, done.err
    assert [file["path"] for file in json.loads(done.out)["files"]] == ["many/001/", "many/002/"]
    assert sorted(path.name for path in Path("many").iterdir()) == ["001", "002"]
    assert len(read("many/002/").frames) == 10
    assert cli(*words, "clips/").code == 0 and len(read("clips/002/").frames) == 4
    named = cli(*words, "named/f_%04d.png", "--seconds", 5)
    assert named.code == 0, named.err
    assert len(read("named/f_002-%04d.png").frames) == 10


def test_a_video_of_a_clips_length_is_the_clip(cli: Cli, model: Path) -> None:
    for options in ([], ["--seconds", 2]):
        out = f"out{len(options)}/"
        assert cli("generate", "fog", "--model", model, *LEARNT, "-o", out, *options).code == 0
    assert np.array_equal(read("out0/").frames, read("out2/").frames)


def test_with_another_text_encoder_it_is_not_gone_on_with(cli: Cli, model: Path, encoder: T5, tmp_path: Path) -> None:
    shutil.copytree(encoder.model, tmp_path / "t5")
    file = shutil.copytree(model, tmp_path / "model") / "cascade.json"
    told = json.loads(file.read_text())
    told["text"]["model"] = str(tmp_path / "t5")
    file.write_text(json.dumps(told))
    film("in/")
    words = ["extend", "in/", "--seconds", "20", "--model", "model", *LEARNT, "--prompt", "fog", "--quiet"]
    journal = tmp_path / "out.unfinished/journal.json"
    running = start(*map(str, words), "-o", "out/", at=tmp_path)
    while running.poll() is None and not (journal.exists() and json.loads(journal.read_text())["done"]):
        time.sleep(0.01)
    running.kill()
    running.wait(timeout=60)
    weights = tmp_path / "t5/model.safetensors"
    save_file({name: value + 0.1 for name, value in load_file(weights).items()}, weights, {"format": "pt"})
    changed = cli(*words, "-o", "out/", "--resume")
    assert changed.code == 2 and "was begun with other settings: now text 't5 sha256:" in changed.err


def test_killed_and_resumed_it_is_the_same(cli: Cli, model: Path, tmp_path: Path) -> None:
    film("in/")
    words = ["extend", "in/", "--seconds", "20", "--model", str(model), *LEARNT, "--prompt", "fog", "--quiet"]
    assert cli(*words, "-o", "whole/").code == 0
    journal = tmp_path / "out.unfinished" / "journal.json"
    for kill in (signal.SIGKILL, signal.SIGTERM):
        running = start(*words, "-o", "out/", "--resume", at=tmp_path)
        before = journal.read_text() if journal.exists() else ""
        while running.poll() is None and (not journal.exists() or len(journal.read_text()) - len(before) < 2):
            time.sleep(0.01)
        running.send_signal(kill)
        err = running.communicate(timeout=60)[1]
        assert running.returncode == (-9 if kill == signal.SIGKILL else 143), err
    assert err.strip() == "interrupted: what is finished stays, and the same command with --resume goes on"
    assert list(Path().glob("out/*")) == []  # pictures appear when all are written
    refused = cli(*words, "-o", "out/")
    assert refused.code == 2 and "holds the beginning of a video; --resume goes on with it, or remove" in refused.err
    changed = cli(*words, "-o", "out/", "--resume", "--seed", 1)
    assert changed.code == 2 and "was begun with other settings: now seed 1 instead of 0" in changed.err
    done = cli(*words, "-o", "out/", "--resume")
    assert done.code == 0, done.err
    assert np.array_equal(read("out/").frames, read("whole/").frames) and not journal.parent.exists()


def test_a_full_disk_says_what_stays(cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no device that is always full")
    words = ["generate", "fog", "--seconds", 8, "--model", model, *LEARNT, "-o", "out/", "--quiet"]
    usual, count = Frames.write, 0

    def full(self: Frames, numbers: Sequence[int], video: Tensor) -> None:
        """After three blocks the disk is one that has no room."""
        nonlocal count
        count += 1
        if count == 4:
            os.symlink("/dev/full", self.path.with_suffix(".full"))
            usual(Frames(path=self.path.with_suffix(".full"), shape=self.shape), [0], video[:, :1])
            return
        usual(self, numbers, video)

    monkeypatch.setattr(Frames, "write", full)
    done = cli(*words)
    assert done.code == 2 and "out.unfinished" in done.err
    assert "No space left on device; what is finished stays, and the same command with --resume goes on" in done.err
    monkeypatch.setattr(Frames, "write", usual)
    assert cli(*words, "--resume").code == 0 and len(read("out/").frames) == 32


BAD: list[tuple[list[object], str]] = [
    (["--seconds", "8.3"], "--seconds: expected a whole number of frames at 2 a second, such as 8 or 8.5, got 8.3"),
    (["--seconds", "0"], "--seconds: expected a positive number, got 0"),
    (["--seconds", "-1"], "--seconds: expected a finite number of 0 or more, got -1"),
    (
        ["--seconds", "1e12", "--until", "base"],
        "--seconds: expected at most 5000000, for videos of up to 10000000 frames, got 1e+12",
    ),
    (["--seconds", "nan"], "--seconds: expected a finite number of 0 or more, got nan"),
    (
        ["--seconds", "3"],
        "--seconds: expected more than 3, which the given video lasts, for all of the longer one, got 3",
    ),
    (
        ["--seconds", "8", "--scheme", "autoregresive"],
        "--scheme: unknown sampling scheme 'autoregresive'; did you mean",
    ),
    (
        ["--seconds", "8", "--scheme", '{"type": "autoregressive", "stp": 3}'],
        "--scheme: Autoregressive: unknown field 'stp'; did you mean 'step'?",
    ),
    (
        ["--seconds", "8", "--scheme", '{"type": "hierarchy", "step": 3}'],
        "hierarchy: step: expected at most 2, for the",
    ),
    (
        ["--seconds", "8", "--scheme", "hierarchy"],
        "scheme hierarchy: its blocks are of frames at uneven distances, such as 0, 5, ",
    ),
    (
        ["--seconds", "8", "--scheme", "adaptive"],
        "scheme adaptive: its blocks are of frames at uneven distances, chosen by what they show, and the network of",
    ),
    (["--seconds", "8", "--prompt", " "], "--prompt: expected some text, got only blanks"),
    (["--seconds", "8", "--until", "ssr9"], "unknown stage 'ssr9'"),
    (["--seconds", "8", "-o", "out.avi"], "expected a name ending in .gif, .mp4"),
    (["--seconds", "8", "--given", "speed=1"], "--given: unknown input 'speed'"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_input(cli: Cli, model: Path, options: list[object], message: str) -> None:
    film("in/")
    done = cli("extend", "in/", "--model", model, *LEARNT, *map(str, options))
    assert done.code == 2 and message in done.err and "Traceback" not in done.err, done.err
    assert not list(Path().glob("*.unfinished"))


def test_what_generate_refuses(cli: Cli, model: Path) -> None:
    film("in/")
    for options, message in (
        (["--scheme", "long_range"], "--scheme: expected a video longer than the model's clips; give --seconds S"),
        (["--seconds", "5", "--from", "in/"], "`zoetrope extend VIDEO --seconds S` continues a video"),
        (["--seconds", "5", "--save-stages", "x"], "--save-stages: expected without --seconds"),
        (["--seconds", "5"], "stage 'base': expected a network that learnt to continue known frames"),
    ):
        done = cli("generate", "fog", "--model", model, *options)
        assert done.code == 2 and message in done.err, done.err
    missing = cli("extend", "nowhere.mp4", "--seconds", "5", "--model", model, *LEARNT)
    assert missing.code == 2 and "nowhere.mp4" in missing.err


def test_a_negative_that_nothing_would_heed_is_refused(cli: Cli, model: Path) -> None:
    film("in/")
    words = ("extend", "in/", "--seconds", 8, "--model", model, *LEARNT, "--until", "base", "--prompt", "fog")
    done = cli(*words, "--negative", "rain", "--guidance", 0)
    assert done.code == 2 and "--negative: expected a stage that is guided" in done.err, done.err
