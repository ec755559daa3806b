"""What `data check`, `train`, `data shard`, `data encode` and `evaluate` tell of data, in the same words."""

import json
import os
import shutil
from pathlib import Path

import pytest

from .conftest import WORDS, Cli

STEPS = ["--set", 'base.training.phases=[{"examples": 4, "batch": 4}]']
LOST = "  x.mp4: its caption is not UTF-8 text"


@pytest.fixture
def mixed(films: Path, tmp_path: Path) -> Path:
    """The three films, one without a caption that can be read, and a file of another kind."""
    folder = tmp_path / "mixed"
    shutil.copytree(films, folder)
    shutil.copy(films / "film0.mp4", folder / "x.mp4")
    (folder / "x.txt").write_bytes(b"caf\xe9")
    (folder / "volume.npy").write_bytes(b"x")
    return folder


def test_every_command_says_the_same(cli: Cli, mixed: Path, recipe: Path) -> None:
    kinds = "1 file of kinds that are not read: .npy (1)"
    done = cli("data", "check", mixed)
    assert done.out.splitlines() == ["3 usable: 3 videos of 9.0 s in all, 0 images", "1 dropped:", LOST, kinds]
    told = json.loads(cli("data", "check", mixed, "--json").out)
    assert told["dropped"] == [{"name": "x.mp4", "reason": "its caption is not UTF-8 text"}]
    assert told["notes"] == [kinds]
    said = f"{mixed}: 1 dropped:\n{LOST}\n{mixed}: {kinds}\n"
    for words in (
        ["train", recipe, "--stage", "base", "--out", "run", "--data", mixed, *STEPS],
        ["data", "shard", mixed, "-o", "shards"],
        ["data", "encode", mixed, "--recipe", recipe],
        ["data", "preview", mixed, "-o", "sheet.png", "--shape", "4x8x8@2", "--count", "1"],
    ):
        done = cli(*words)
        assert done.code == 0 and said in done.err, words


def test_evaluate_says_it_too(cli: Cli, mixed: Path, model: Path) -> None:
    done = cli("evaluate", model, "--data", mixed, "--until", "base", "--count", "2", "--metrics", "colour")
    assert done.code == 0 and f"warning: {mixed}: 1 dropped:\n{LOST}\n" in done.err


@pytest.mark.parametrize("verb", ["train", "check", "shard", "encode", "evaluate"])
def test_a_file_without_a_decoder_is_left_out(
    cli: Cli, films: Path, recipe: Path, model: Path, tmp_path: Path, verb: str
) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(films, folder)
    content = bytearray((films / "film0.mp4").read_bytes())
    at = content.find(b"avc1", content.find(b"stsd"))
    content[at : at + 4] = b"zzzz"
    (folder / "odd.mp4").write_bytes(content)
    (folder / "odd.txt").write_text("a codec that nobody knows")
    done = cli(*{
        "train": ["train", recipe, "--stage", "base", "--out", "run", "--data", folder, *STEPS],
        "check": ["data", "check", folder],
        "shard": ["data", "shard", folder, "-o", "shards"],
        "encode": ["data", "encode", folder, "--recipe", recipe],
        "evaluate": ["evaluate", model, "--data", folder, "--until", "base", "--count", "2", "--metrics", "colour"],
    }[verb])  # fmt: skip
    assert done.code == 0 and "1 dropped:\n  odd.mp4: " in done.out + done.err


def test_captions_that_are_cut_are_told(cli: Cli, films: Path, recipe: Path, tmp_path: Path) -> None:
    folder = tmp_path / "long"
    shutil.copytree(films, folder)
    (folder / "film0.txt").write_text("ball " * 200)
    said = "1 caption fills the 32 tokens that t5 reads, and what is beyond is not used; the longest: 'ball ball"
    assert said in cli("data", "encode", folder, "--recipe", recipe).err
    done = cli("train", recipe, "--stage", "base", "--out", "run", "--data", folder, *STEPS)
    assert done.code == 0 and said in done.err
    said = "1 caption fills the 128 tokens that minilm reads, and what is beyond is not used; the longest: 'ball ball"
    assert said in cli("data", "check", folder).out


def test_a_run_goes_on_from_another_folder(
    cli: Cli, films: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(films, tmp_path / "clips")
    assert cli("train", recipe, "--stage", "base", "--out", "run", "--data", "clips", *STEPS).code == 0
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir("/")
    more = ["--set", 'base.training.phases=[{"examples": 8, "batch": 4}]']
    done = cli("train", "--out", tmp_path / "run", "--resume", *more)
    assert done.code == 0 and "data" not in done.err.replace(str(tmp_path), "")
    done = cli("train", recipe, "--out", tmp_path / "run", "--resume", "--data=~/clips", *more)
    assert done.code == 0, done.err
    (tmp_path / "clips/film1.txt").write_text("said otherwise")
    more = ["--set", 'base.training.phases=[{"examples": 12, "batch": 4}]']
    done = cli("train", "--out", tmp_path / "run", "--resume", *more)
    assert done.code == 0 and "run: the data have changed since this run was last trained (other names" in done.err


def test_a_run_that_was_begun_with_a_relative_path(cli: Cli, films: Path, recipe: Path, tmp_path: Path) -> None:
    shutil.copytree(films, tmp_path / "clips")
    assert cli("train", recipe, "--stage", "base", "--out", "run", "--data", "clips", *STEPS).code == 0
    for name in ("recipe.json", "run.json"):  # as runs were before their paths were absolute
        text = (tmp_path / "run" / name).read_text()
        assert str(tmp_path / "clips") in text
        (tmp_path / "run" / name).write_text(text.replace(str(tmp_path / "clips"), "clips"))
    more = ["--set", 'base.training.phases=[{"examples": 8, "batch": 4}]']
    done = cli("train", "--out", "run", "--resume", *more)
    assert done.code == 0, done.err
    os.rename("clips", "moved")
    done = cli("train", "--out", "run", "--resume", *more)
    assert (done.code, done.err) == (
        2, f"error: {tmp_path / 'clips'}: expected a folder of videos or images, there is none\n"
    )  # fmt: skip


def test_numbers_of_one(cli: Cli, films: Path, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    for end in ("mp4", "txt"):
        shutil.copy(films / f"film0.{end}", folder)
    assert cli("data", "check", folder).out == "1 usable: 1 video of 3.0 s in all, 0 images\n0 dropped\n"
    done = cli("data", "shard", folder, "-o", "shards")
    assert done.out == "shards: 1 sample in 1 shard, zoetrope-000000.tar\n"
    done = cli("data", "preview", folder, "-o", "a.png", "--shape", "4x8x8@2", "--count", "1")
    assert done.out == f"a.png: 1 clip of 4x8x8@2fps, in rows\n  {WORDS[0]}\n"


def test_short_clips_are_checked_and_drawn_as_they_are_trained_on(cli: Cli, films: Path) -> None:
    grid = ["--shape", "12x8x8@1"]  # 12 seconds, of films of three
    assert cli("data", "check", films, *grid).code == 2
    assert "data preview: --short slow" in cli("data", "preview", films, *grid, "-o", "a.png").err
    assert cli("data", "check", films, *grid, "--short", "slow").out.startswith("3 usable")
    assert cli("data", "preview", films, *grid, "--short", "slow", "--count", "1", "-o", "a.png").code == 0
    assert "--short: unknown way 'slw'; did you mean 'slow'?" in cli("data", "check", films, "--short", "slw").err
    own = json.dumps({"type": "folder", "path": str(films), "short": "slow"})  # which is how it is trained on
    done = cli("data", "preview", own, *grid, "--count", "1", "-o", "b.png")
    assert done.code == 0, done.err
    done = cli("data", "preview", '{"type": "toybox"}', *grid, "--short", "slow", "-o", "c.png")
    assert done.code == 2 and "--short slow: expected a folder or shards, whose videos may be short" in done.err


def test_evaluate_refuses_shards_by_their_name(cli: Cli, films: Path) -> None:
    assert cli("data", "shard", films, "-o", "shards").code == 0
    done = cli("evaluate", "mini", "--data", "shards")
    assert done.code == 2 and "--data shards: expected the folder of clips, got shards" in done.err
