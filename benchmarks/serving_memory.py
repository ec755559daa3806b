"""Memory of `zoetrope serve` from job to job: what the server and its worker hold after 5 jobs and after 100.

    python benchmarks/serving_memory.py                      # the base of mini, one prompt after the other
    python benchmarks/serving_memory.py --model runs/mine --jobs 300

Starts a server of its own in a new folder, sends jobs one by one, each with another prompt and seed, and reads
the resident memory of both processes in /proc, so it needs Linux. Every job stays in the history.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from _options import positive

EARLY = 5
WORDS = ("red", "blue", "green", "white"), ("circle", "star", "square", "heart"), ("left", "right", "up", "down")


def asked(address: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON that the server answers."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, content, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)


def resident(process: int) -> int:
    """The bytes of a process that are in memory."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def processes(server: int) -> list[int]:
    """The server and its workers."""
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    return [server, *map(int, children)]


def prompt(number: int) -> str:
    """Another prompt for each of 64 numbers."""
    colour, shape, way = (words[number // 4**place % 4] for place, words in enumerate(WORDS))
    return f"a {colour} {shape} moving {way}"


def main() -> None:
    """Start, work, and print one line for each count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--until", default="base")
    parser.add_argument("--jobs", type=positive, default=100)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "zoetrope", "serve", "--api", "--port=0", "--folder", folder]
        process = subprocess.Popen([*command, "--model", words.model], stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        try:
            line = process.stderr.readline()
            while not line.startswith("http://"):
                print(line.strip(), flush=True)
                assert process.poll() is None
                line = process.stderr.readline()
            address = line.split()[0].partition("?")[0]
            while not all(asked(address)["ready"]):
                time.sleep(0.2)
            name = asked(f"{address}/models")[0]["name"]
            measure(address, processes(process.pid), {"model": name, "until": words.until}, words.jobs)
        finally:
            process.terminate()
            process.wait()


def measure(address: str, every: list[int], job: dict[str, Any], jobs: int) -> None:
    """Run the jobs, and tell what the processes hold."""
    began, early = time.perf_counter(), list[int]()
    for number in range(1, jobs + 1):
        made = asked(f"{address}/jobs", {**job, "prompt": prompt(number), "seed": number})
        while made["state"] in ("queued", "running"):
            time.sleep(0.05)
            made = asked(f"{address}/jobs/{made['id']}")
        assert made["state"] == "done", made
        if number in (EARLY, jobs // 2, jobs):
            now = [resident(process) for process in every]
            early = early or now
            grown = [f"{after / before - 1:+.1%}" for before, after in zip(early, now, strict=True)]
            told = ", ".join(f"{size / 2**20:.1f} MiB" for size in now)
            print(f"after {number} jobs, {time.perf_counter() - began:.0f} s: {told} {' '.join(grown)}", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
