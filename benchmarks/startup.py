"""How long `zoetrope --help` and `import zoetrope` take, and which heavy packages each of them loads."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from _options import positive

HEAVY = ("torch", "transformers", "av", "numpy", "pydantic", "safetensors", "huggingface_hub", "typer", "rich", "PIL")
ROOT = Path(__file__).parents[1]

NOTHING = "pass"
IMPORT = "import zoetrope"
HELP = """
import sys
sys.argv = ["zoetrope", "--help"]
from zoetrope.__main__ import main
try:
    main()
except SystemExit:
    pass
"""


def run(code: str) -> str:
    """Run code in a fresh interpreter and return what it printed."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", code]
    env = os.environ | {"PYTHONPATH": paths}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout


def seconds(code: str, clock: str = "wall") -> float:
    """The time of code in a fresh interpreter, start and end included: wall time, or with "cpu" processor time."""
    now = time.perf_counter if clock == "wall" else _of_children
    start = now()
    run(code)
    return now() - start


def _of_children() -> float:
    """The processor time of all processes that this one has started and waited for."""
    used = os.times()
    return used.children_user + used.children_system


def loaded(code: str) -> list[str]:
    """The heavy packages that are in memory after code."""
    tell = f"\nimport json, sys\nprint()\nprint(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    found: list[str] = json.loads(run(code + tell).splitlines()[-1])
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=positive, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    cases = {"python -c pass": NOTHING, "import zoetrope": IMPORT, "zoetrope --help": HELP}
    heavy = {name: loaded(code) for name, code in cases.items()}  # also warms the disk cache
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(options.repetitions):
        for name, code in cases.items():
            times[name].append(seconds(code))
    for name in cases:
        packages = ", ".join(heavy[name]) or "none"
        print(f"{name:<17}{statistics.median(times[name]):7.3f} s (min {min(times[name]):.3f})  loads {packages}")
    if options.json:
        options.json.write_text(json.dumps({"seconds": times, "loads": heavy}, indent=1) + "\n")


if __name__ == "__main__":
    main()
