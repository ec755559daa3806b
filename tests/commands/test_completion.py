"""Shells complete the command line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(words: list[str], at: Path, **variables: str) -> str:
    """What a command prints."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(words, cwd=at, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("zoetrope ge", ["generate"]),
        ("zoetrope upscale --aga", ["--again"]),
        ("zoetrope generate --again absent.mp4 --no-prompt", ["--no-prompt-in-file"]),
        ("zoetrope data cur", ["curate"]),
    ],
)
def test_verbs_and_options(tmp_path: Path, line: str, found: list[str]) -> None:
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    told = run([sys.executable, "-m", "zoetrope"], tmp_path, _ZOETROPE_COMPLETE="complete_bash", **words)
    assert told.split() == found


def test_in_a_real_shell(tmp_path: Path) -> None:
    if not (bash := shutil.which("bash")):
        pytest.skip("there is no bash here")
    tool = tmp_path / "zoetrope"
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m zoetrope "$@"\n')
    tool.chmod(0o755)
    script = run([str(tool)], tmp_path, _ZOETROPE_COMPLETE="source_bash")
    (tmp_path / "script.sh").write_text(script)
    ask = "source script.sh; complete -p zoetrope; COMP_WORDS=(zoetrope gene); COMP_CWORD=1; "
    name = script.partition("()")[0].strip()
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    told = run([bash, "-c", f'{ask}{name} zoetrope; echo "${{COMPREPLY[@]}}"'], tmp_path, PATH=path)
    assert f"-F {name} zoetrope" in told and told.split()[-1] == "generate"
