"""`zoetrope generate --known`: given frames come back as they are, and what cannot be is said in one line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from zoetrope.video import Video, read, read_tags

from .conftest import Cli

SIZE = (16, 16)  # of the last stage's 8 frames, at 4 a second
METHOD = ["--known-method", "reconstruction"]


def pictures(count: int, seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def save(frames: np.ndarray, name: str, fps: float = 4) -> str:
    Video(frames, fps).save(name)
    return name


@pytest.fixture
def learnt(model: Path, tmp_path: Path) -> Path:
    """The model, whose base says that it has learnt known frames."""
    folder = tmp_path / "learnt"
    shutil.copytree(model, folder)
    spec = json.loads((folder / "cascade.json").read_text())
    spec["stages"][0]["sampling"]["known"] = {"type": "learnt"}
    (folder / "cascade.json").write_text(json.dumps(spec))
    return folder


def test_known_frames_come_back_as_they_are(cli: Cli, learnt: Path) -> None:
    first, last = pictures(2)
    save(first[None], "a.png")
    save(last[None], "b.png")
    done = cli(
        "generate", "fog", "--model", learnt, "--known", "0=a.png", "--known", "-1=b.png", "-o", "out/", "--json"
    )
    assert done.code == 0, done.err
    made = read("out/", fps=4).frames
    assert np.array_equal(made[0], first) and np.array_equal(made[7], last) and len(made) == 8
    told = json.loads(done.out)
    assert told["known"]["frames"] == [0, 7] and told["known"]["files"] == ["0=a.png", "-1=b.png"]
    assert told["settings"]["base"]["known"]["type"] == "learnt"


def test_a_clip_and_a_picture_of_another_size(cli: Cli, learnt: Path) -> None:
    save(pictures(8, size=(32, 64)), "clip.mp4")
    words = ["generate", "fog", "--model", learnt, "--known", "0:3=clip.mp4", "-o", "out/"]
    refused = cli(*words)
    assert refused.code == 2 and "--fit crop" in refused.err and "32x64" in refused.err and not Path("out").exists()
    assert cli(*words, "--fit", "crop").code == 0
    cropped = read("clip.mp4", frames=3, size=SIZE).frames
    assert np.array_equal(read("out/", fps=4).frames[:3], cropped)


def test_a_model_that_has_not_learnt_them(cli: Cli, model: Path) -> None:
    [picture] = pictures(1)
    save(picture[None], "a.png")
    words = ["generate", "fog", "--model", model, "--known", "0=a.png", "-o", "out/"]
    refused = cli(*words)
    assert refused.code == 2 and "--known-method reconstruction" in refused.err and "more than twice" in refused.err
    for more in (METHOD, [*METHOD, "--known-weight", "5"], ["--set", 'base.sampling.known={"type": "replacement"}']):
        done = cli(*words, *more)
        assert done.code == 0, done.err
        assert np.array_equal(read("out/", fps=4).frames[0], picture)
        shutil.rmtree("out")


def test_going_on_knows_what_was_known(cli: Cli, learnt: Path) -> None:
    save(pictures(1), "a.png")
    words = [
        "generate",
        "fog",
        "--model",
        learnt,
        "--count",
        "2",
        "-o",
        "a.mp4",
        "--resume",
        "--json",
        "--known",
        "0=a.png",
    ]
    first, again = cli(*words), cli(*words)
    assert [file.get("skipped", False) for file in json.loads(first.out)["files"]] == [False, False]
    assert [file.get("skipped", False) for file in json.loads(again.out)["files"]] == [True, True]
    assert "known" in json.loads(read_tags(json.loads(first.out)["files"][0]["path"])["comment"])
    save(pictures(1, seed=1), "a.png")
    other = cli(*words)
    assert "skipped" not in other.out


def test_a_known_video_of_lower_resolution(cli: Cli, model: Path) -> None:
    save(pictures(2, size=(4, 4)), "small.gif", fps=1)
    words = ["generate", "fog", "--model", model, "--until", "base", "--low-res", "small.gif", "-o", "out/"]
    assert "expected no low_res" in cli(*words).err
    assert cli(*words, *METHOD, "--known-weight", "3").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--known", "a.png"], "--known a.png: expected PLACE=FILE, such as 0=first.png"),
        (["--known", "0="], "expected PLACE=FILE"),
        (["--known", "0=a.png", "--known", "0=a.png"], "expected one file for 0, got two"),
        (["--known", "0=a.png", "--known", "-8=a.png"], "known -8: frame 0 is given twice"),
        (["--known", "99=a.png"], "known 99: expected a frame from 0 to 7"),
        (["--known", "0=none.png"], "none.png"),
        (["--known", "0=words.txt"], "words.txt"),
        (["--known", "0:2=a.png"], "expected 2 frames, got one picture"),
        (["--known", "x=a.png"], "known x: expected the number of a frame"),
        (["--known-method", "replacement"], "expected known frames that it is about"),
        (["--known", "0=a.png", "--known-method", "magic"], "known_method: "),
        (["--known", "0=a.png", "--known-weight", "nan"], "--known-weight"),
        (["--known", "0=a.png", "--known-weight", "3"], "expected with a known_method that has one"),
        (["--low-res", "a.png", *METHOD], "low_res: height: expected a divisor of 8"),
        (["--fit", "crop"], "--fit: expected a video or pictures that it is about"),
    ],
)
def test_bad_input(cli: Cli, learnt: Path, words: list[str], message: str) -> None:
    save(pictures(1), "a.png")
    Path("words.txt").write_text("no picture")
    done = cli("generate", "fog", "--model", learnt, "-o", "out/", *words)
    assert done.code == 2 and message in done.err, done.err
    assert len(done.err.strip().splitlines()) == 1 and not Path("out").exists()
