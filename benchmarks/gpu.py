"""All that can only be known on a GPU, in one command that fits a short loan of one. It has never run on a GPU so far.

    python benchmarks/gpu.py --out runs/gpu                                  # about ten minutes
    python benchmarks/gpu.py --out runs/gpu --only same resume --seconds 100
    python benchmarks/gpu.py --out runs/gpu_rehearsed --rehearse             # everything tiny, on the CPU: does it run?

Parts run in order of worth, each in a process of its own with a bounded time. One that fails or takes too long is
recorded with its error, and the next goes on; one whose GPU fails is begun again after the case that failed.
`results.jsonl` grows case by case, and `table.md` is written after every part. The same folder goes on where it ended,
also with what there was no time for; one with a rehearsal, or of another card, is refused.

| part | what it does |
|---|---|
| same | every network and way of sampling: the GPU's results and gradients against the CPU's in float32 |
| resume | a training of 24 steps, killed by itself and resumed, against one that is not: bit by bit |
| networks | ours beside the peers that are installed: time, memory, part of the measured matmul peak |
| paper | the cascade of the paper's size, 8 steps, bfloat16: time, memory, part of the peak, largest kernels |
| planned | what `zoetrope plan` says against what is measured, and the numbers of its device table |
| graphs | forward passes as they are, as CUDA graphs, and with compiled blocks |
| train | mini's base, from given weights, with toybox drawn by worker processes; weights and curve are brought back |
"""

import argparse
import contextlib
import datetime
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = (
    "1"  # asking whether there is a GPU must not stop this process from forking
)

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gpu_graphs
import _gpu_networks
import _gpu_paper
import _gpu_planned
import _gpu_resume
import _gpu_same
import _gpu_train
from _gpu_bench import LEFT_OUT, NOW, Bench, left_out, lines, tell

GRACE = 10.0  # seconds beyond its time until a part is killed
SLOWER = 20  # times as long may a rehearsal take, on machines that do other things too
LEAST = 5.0  # seconds that are worth beginning a part for


class Part(NamedTuple):
    """A part: the module with its `run(bench)`, and its seconds; None: all that are left."""

    name: str
    module: ModuleType
    seconds: float | None


PARTS = (
    Part("same", _gpu_same, 70),
    Part("resume", _gpu_resume, 50),
    Part("networks", _gpu_networks, 80),
    Part("paper", _gpu_paper, 160),
    Part("planned", _gpu_planned, 40),
    Part("graphs", _gpu_graphs, 50),
    Part("train", _gpu_train, None),
)
NAMES = [part.name for part in PARTS]


def run_part(part: Part, options: argparse.Namespace, seconds: float) -> None:
    """Run a part in processes of its own until it ends by itself or its time is over."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) >= min(LEAST, seconds / 2):
        known = len(lines(options.out))
        status = waited(begin(part, options, left), left + GRACE)
        if status == 0:
            return
        ended = f"took more than {seconds:.0f} s" if status is None else f"its process ended with status {status}"
        now = options.out / NOW
        what = now.read_text() if now.exists() else ""
        now.unlink(missing_ok=True)
        if what:
            tell(options.out, {"part": part.name, "what": what, "error": ended})
        if status is None or len(lines(options.out)) == known:  # it could not even begin
            if not what:
                tell(options.out, {"part": part.name, "what": "the part itself", "error": f"{ended}; see log.txt"})
            return


def begin(part: Part, options: argparse.Namespace, left: float) -> int:
    """Begin the process of a part; its number. Forked, it needs no imports; in a session of its own."""
    with (options.out / "log.txt").open("a") as log:
        if not options.forks:
            words = [sys.executable, *sys.argv, "--part", part.name, "--left", str(left)]
            return subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True).pid
        child = os.fork()
        if child:
            return child
        status = 1
        try:
            os.setsid()
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            work(part, options, left)
            status = 0
        except BaseException:
            traceback.print_exc(file=log)
            log.flush()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)


def work(part: Part, options: argparse.Namespace, left: float) -> None:
    """Run a part in this process."""
    part.module.run(Bench(part.name, options.out, options.device, left, options.rehearse, options))


def forks(device: str) -> bool:
    """Whether a forked process can use the device; not where an import of this one has already touched the GPU."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    status = 1
    with contextlib.suppress(BaseException):
        torch.zeros(1, device=device).add_(1).tolist()
        status = 0
    os._exit(status)


def waited(child: int, seconds: float) -> int | None:
    """What a part's process ended with, negative for a signal; None if it was killed after so many seconds.

    What it started, such as loaders, ends with it.
    """
    end, ended = time.monotonic() + seconds, False
    while not ended and time.monotonic() < end:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):  # it is still there to be signalled
            ended = True
        else:
            time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if ended else None


def table(found: Sequence[dict[str, Any]]) -> str:
    """The results in Markdown: for each part a table, whose columns are what its cases found."""
    texts, later = [], {(line["part"], line["what"]) for line in found if not left_out(line)}
    for part in dict.fromkeys(line["part"] for line in found):
        rows = [line for line in found if line["part"] == part]
        rows = [line for line in rows if not left_out(line) or (part, line["what"]) not in later]
        columns = list(dict.fromkeys(name for row in rows for name in row if name not in ("part", "what", "raw")))
        texts.append(f"## {part}\n\n| case | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
        for row in rows:
            cells = " | ".join(told(row.get(name)) for name in columns)
            texts[-1] += f"\n| {row['what']} | {cells} |"
    return "\n\n".join(texts) + "\n"


def told(value: Any) -> str:
    """A value in a cell of a table."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("|", "\\|")


def write_table(out: Path) -> None:
    """Write table.md anew, as a whole."""
    part = out / "table.md.part"
    part.write_text(table(lines(out)), "utf-8")
    os.replace(part, out / "table.md")


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="folder of the results [runs/gpu]")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="PART", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=float, default=560, help="for all parts together [560]")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--rehearse", action="store_true", help="everything tiny, on the CPU")
    parser.add_argument("--init", type=Path, help="weights that the training of mini's base begins with [fresh ones]")
    parser.add_argument("--minilm", type=Path, help="the folder of all-MiniLM-L6-v2 [the package, or the hub]")
    parser.add_argument("--workers", type=int, default=16, help="that draw toybox for the training [16]")
    parser.add_argument("--counted", type=Path, help="a file of --count: without it no part of the peak in `paper`")
    parser.add_argument("--count", type=Path, help="only count the operations of `paper` into a file: minutes, no GPU")
    parser.add_argument("--part", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--left", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rehearse:
        options.device = "cpu"
    return options


def about(options: argparse.Namespace) -> dict[str, Any]:
    """When, and in which versions. The card is asked for in a process of its own: here it would hold memory."""
    code = "import torch; print(torch.cuda.get_device_name())"
    card = None
    if options.device == "cuda":
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        card = done.stdout.strip() if done.returncode == 0 else f"none: {done.stderr.strip().splitlines()[-1:]}"
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    found = {"date": date, "card": card, "cores": os.cpu_count(), "torch": torch.__version__}
    return {**found, "forks": options.forks, "rehearsed": options.rehearse}


def expect_own(out: Path, now: dict[str, Any]) -> None:
    """Raise ValueError if a folder has results of a rehearsal or another card, which would stand for those of now."""
    for line in lines(out):
        for name in ("rehearsed", "card"):
            if line["part"] == "about" and line.get(name) != now[name]:
                raise ValueError(f"{out}: has results of {name} {line.get(name)}, not {now[name]}; give another --out")


def main() -> None:
    """Run the parts one after the other, or count. Raises ValueError for a folder with results of another kind."""
    options = arguments()
    if options.count is not None:
        counted = _gpu_paper.counted(options.rehearse)
        options.count.write_text(json.dumps(counted, indent=1) + "\n")
        return
    options.out.mkdir(parents=True, exist_ok=True)
    if options.part is not None:
        work(next(part for part in PARTS if part.name == options.part), options, options.left)
        return
    options.forks = forks(options.device)
    slower = SLOWER if options.rehearse else 1
    end = time.monotonic() + slower * options.seconds
    now = about(options)
    expect_own(options.out, now)
    tell(options.out, {"part": "about", "what": "this run", **now})
    for part in PARTS:
        left = end - time.monotonic()
        if part.name not in options.only:
            continue
        if left < LEAST:
            tell(options.out, {"part": part.name, "what": "the part itself", "error": f"{LEFT_OUT}no time was left"})
            continue
        print(f"{part.name} ... ({left:.0f} s left)", file=sys.stderr, flush=True)
        run_part(part, options, left if part.seconds is None else min(left, slower * part.seconds))
        write_table(options.out)
    write_table(options.out)
    print((options.out / "table.md").read_text(), end="")


if __name__ == "__main__":
    main()
