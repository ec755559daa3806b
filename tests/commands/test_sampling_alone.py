"""Sampling needs nothing that trains: neither the code, nor what only a training's recipe names."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Cli

RUNS = """
import json, sys
from zoetrope.__main__ import main
status = main(sys.argv[1:])
print()
print(json.dumps([status, sorted(name for name in sys.modules if name.startswith("zoetrope.training"))]))
"""


def training_modules(*words: object) -> list[str]:
    """The modules of `zoetrope.training` that a command has imported at its end, in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", RUNS, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    status, modules = json.loads(done.stdout.splitlines()[-1])
    assert status == 0, done.stderr
    return list(modules)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the commands write goes here."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(cli: Cli, recipe: Path) -> Path:
    """A short training of the base, with two averages."""
    words = ["--set", 'base.training.phases=[{"examples": 4, "batch": 4}]', "--set", "base.training.half_life=[2, 9]"]
    assert cli("train", recipe, "--stage", "base", "--out", "runs/base", *words, "--quiet") == (0, "", "")
    return Path("runs/base")


def test_generate_imports_no_training(run: Path) -> None:
    names = {"mini": ["--until", "base", "--steps", "8"], "run": ["--model", f"{run}@9"], "runs": ["--model", "runs"]}
    for name, words in names.items():
        assert training_modules("generate", "fog", "-o", f"{name}.gif", "--dtype", "auto", *words) == []
        assert Path(f"{name}.gif").is_file()


def test_upscale_and_show_import_no_training(model: Path, films: Path) -> None:
    film = films / "film0.mp4"
    assert training_modules("upscale", film, "--model", model, "--after", "tsr1", "--fit", "crop", "-o", "up.gif") == []
    assert training_modules("show", model) == []


def test_evaluate_imports_no_training(model: Path, films: Path) -> None:
    words = ["--data", films, "--out", "report", "--count", "2", "--after", "tsr1", "--metrics", "psnr"]
    assert training_modules("evaluate", model, *words) == []
