"""Examples a second of mini's base training: two processes of one thread against one process of one thread.

    python benchmarks/scaling.py --rounds 5 --examples 1600 --json scaling.json

The sides take turns, each a fresh run of the same recipe; a run's speed is that from its second line of metrics to its
last, so that starting is not counted. Printed are the medians, and how many times as fast two processes are.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _options import positive

from zoetrope.training.state import read_metrics

WAYS = ("one", "replicated", "sharded")
EVERY, LINES = 4, 4  # batches from one line of metrics to the next, and the fewest lines that tell a speed


def speed(way: str, folder: Path, examples: int, batch: int, frames: int) -> float:
    """Examples a second of one fresh run."""
    at = "base.training"
    phase = [{"examples": examples, "batch": batch, "frames": frames}]
    sets = [f"{at}.phases={json.dumps(phase)}", f"{at}.log_every={EVERY * batch}", f"{at}.sample_every=0"]
    if way == "sharded":
        sets.append(f"{at}.parallel.type=sharded")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if way != "one" else []
    words = ["train", "mini", "--stage", "base", "--out", str(folder), "--quiet"]
    command = [sys.executable, *launch, "-m", "zoetrope", *words, *(word for item in sets for word in ("--set", item))]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    lines = read_metrics(folder / "metrics.jsonl")[1:]
    return float((lines[-1]["examples"] - lines[0]["examples"]) / (lines[-1]["seconds"] - lines[0]["seconds"]))


def main() -> None:
    """Measure by turns and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--examples", type=positive, default=1600, help="of each run")
    parser.add_argument("--batch", type=positive, default=16)
    parser.add_argument("--frames", type=positive, default=1)
    parser.add_argument("--way", action="append", choices=WAYS, help="may be given several times; one and replicated")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    options = parser.parse_args()
    if options.examples < (least := LINES * EVERY * options.batch):
        parser.error(f"--examples: expected {least} or more, {LINES} lines of metrics, got {options.examples}")
    ways = options.way or ["one", "replicated"]
    seen: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as home:
        for number in range(options.rounds):
            for way in ways:
                folder = Path(home) / f"{way}-{number}"
                seen[way].append(speed(way, folder, options.examples, options.batch, options.frames))
                print(f"{way}: {seen[way][-1]:.1f} examples/s", flush=True)
    medians = {way: statistics.median(values) for way, values in seen.items()}
    result: dict[str, Any] = {"batch": options.batch, "frames": options.frames, "all": seen, "medians": medians}
    for way in ways[1:]:
        result[f"{way} / {ways[0]}"] = medians[way] / medians[ways[0]]
        print(f"{way}: {medians[way]:.1f} examples/s, {result[f'{way} / {ways[0]}']:.2f} x {ways[0]}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
