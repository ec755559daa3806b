"""The package without what only Unix has: that is taken away, in a process of its own, before the first import."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.test_architecture import LACKING

ROOT = Path(__file__).parents[2]

PROGRAM = """
import importlib, json, os, pkgutil, signal, sys

lacking, model, recipe = json.loads(sys.argv[1]), *sys.argv[2:]
import psutil, torch  # whose authors ask for the system by name
from transformers import PreTrainedTokenizerFast, T5EncoderModel
sys.modules.update(dict.fromkeys(lacking))
for owner, names in ((os, OF_OS), (signal, OF_SIGNAL)):
    for name in names:
        delattr(owner, name)

import zoetrope
from zoetrope.__main__ import main
names = [one.name for one in pkgutil.walk_packages(zoetrope.__path__, "zoetrope.") if "__main__" not in one.name]
for name in names:
    importlib.import_module(name)
made = main(["generate", "fog", "--model", model, "-o", "fog.gif", "--quiet"])
phases = 'base.training.phases=[{"examples": 16, "batch": 4}]'
trained = main(["train", recipe, "--stage", "base", "--out", "run", "--quiet", "--set", phases])
sampled = main(["generate", "fog", "--model", "run", "-o", "own.gif", "--quiet"])
print(json.dumps([len(names), made, trained, sampled]))
"""
# Those that Windows lacks and that Python's own library, which takes this system for a Unix, does not need meanwhile.
OF_OS = ["fork", "geteuid", "getgid", "getloadavg", "getuid", "killpg", "mkfifo", "nice", "sched_getaffinity", "setsid"]
OF_OS += ["sysconf", "uname"]
OF_SIGNAL = ["SIGALRM", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGSTOP", "SIGUSR1", "SIGUSR2"]


def test_generate_and_train_without_what_only_unix_has(model: Path, recipe: Path, tmp_path: Path) -> None:
    program = PROGRAM.replace("OF_OS", repr(OF_OS)).replace("OF_SIGNAL", repr(OF_SIGNAL))
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(sorted(LACKING)), model, recipe],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    count, *statuses = json.loads(done.stdout.splitlines()[-1])
    assert count > 300 and statuses == [0, 0, 0]
    assert (tmp_path / "fog.gif").is_file() and (tmp_path / "own.gif").is_file()
