"""A training on the GPU that is killed and resumed, against one that is not: weights, averages and losses, bit by bit.

What is compared is only worth something where two undisturbed trainings are equal; that is tried first. Where they are
not, kernels add in no fixed order, and everything is repeated with PyTorch's deterministic algorithms.
"""

import logging
import os
import signal
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import soak
import torch
import torch._dynamo  # which the first optimizer imports, for seconds: here once for all forked processes
from _gpu_bench import Bench
from soak import BATCH, contents, differences

from zoetrope.training.loop import Run

KILLED = 2 / 3  # of the steps are done when it is killed


def run(bench: Bench) -> None:
    """In the type that training chooses there, then in float32."""
    if bench.rehearse:
        soak.STEPS = 9
    for precision, fixed in [("auto", False)] if bench.rehearse else product(("auto", "fp32"), (False, True)):
        what = f"precision {precision}" + (", deterministic algorithms" if fixed else "")
        bench.case(what, lambda p=precision, f=fixed: compared(bench.device, p, f))


def compared(device: str, precision: str, fixed: bool) -> dict[str, Any]:
    """Whether two trainings are equal, and whether one that was killed is equal to the first."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        whole, again, killed = (home / each for each in ("whole", "again", "killed"))
        for folder in (whole, again):
            expect(life(folder, device, precision, fixed), 0, folder)
        expect(life(killed, device, precision, fixed, kill=True), -signal.SIGKILL, killed)
        kept = max(int(path.name) for path in (killed / "checkpoints").glob("[0-9]*"))
        if not 0 < kept < BATCH * soak.STEPS:
            raise RuntimeError(f"expected a checkpoint before the end, got one at {kept} of {BATCH * soak.STEPS}")
        expect(life(killed, device, precision, fixed), 0, killed)
        twice, resumed = differences(whole, again), differences(whole, killed)
        return {
            "undisturbed equal": not twice,
            "resumed equal": not resumed,
            "different": ", ".join(resumed[:3]),
            "largest difference": largest(whole, killed),
            "resumed from": kept,
        }


def largest(whole: Path, other: Path) -> float:
    """The largest difference between tensors of two runs."""
    left, right = contents(whole), contents(other)
    return max(float((left[name].double() - right[name].double()).abs().max()) for name in left)


def expect(status: int, wanted: int, folder: Path) -> None:
    """Raise RuntimeError, with the end of the log, if a life ended in another way than it should have."""
    if status != wanted:
        log = folder.with_suffix(".log").read_text().strip().splitlines()
        raise RuntimeError(f"a training ended with {status} and not {wanted}: {' / '.join(log[-3:])}")


def life(folder: Path, device: str, precision: str, fixed: bool, kill: bool = False) -> int:
    """Train in a forked process, to the end or until it kills itself; what it ended with, negative for a signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with folder.with_suffix(".log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    status = 1
    try:
        train(folder, device, precision, fixed, kill)
        status = 0
    except BaseException:
        logging.exception("the training failed")
    finally:
        sys.stderr.flush()
        os._exit(status)


def train(folder: Path, device: str, precision: str, fixed: bool, kill: bool) -> None:
    """Begin or go on; `kill`: die without warning on the way."""
    if fixed:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False
    made = soak.recipe("replicated").overridden({"training.base.precision": precision})
    for metrics in Run(made, "base", folder, torch.device(device)).train(folder.parent / "cache"):
        if kill and metrics.examples >= KILLED * BATCH * soak.STEPS:
            os.kill(os.getpid(), signal.SIGKILL)
