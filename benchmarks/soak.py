"""Kill a training at random instants, many times, and see whether it ends with the same bits as one that never was.

    python benchmarks/soak.py --kills 200 --mode one --mode replicated --mode sharded --json soak.json

A small stage is trained on the toybox. Each kill is a SIGKILL of every process of the training, after a random time,
or, one time in three, while a checkpoint is being written; then the training is begun again with nothing changed. When
it has reached its end, weights, averages, the optimizer's memory and all lines of losses are compared with those of a
training that was let be, and the next begins, until there were enough kills. Two processes train in the modes
"replicated" and "sharded", with the environment that torchrun gives them.

The processes are forked from one that has imported everything and done nothing: a start costs no import.
"""

import argparse
import json
import logging
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _options import positive

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.data.toybox import Toybox
from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.processes.ranks import Ranks
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words
from zoetrope.training.loop import Run
from zoetrope.training.parallel import Parallel
from zoetrope.training.pieces import Stored
from zoetrope.training.spec import Phase, Recipe, TrainSpec
from zoetrope.training.state import read_metrics

MODES = {"one": (1, "replicated"), "replicated": (2, "replicated"), "sharded": (2, "sharded")}
BATCH, EVERY, STEPS = 5, 20, 24  # odd: two processes have uneven shares
PATIENCE = 600.0  # seconds that no life may take


class Kill(NamedTuple):
    """What a kill found: the training had reached so many examples, and the newest checkpoint has `kept`."""

    reached: int
    kept: int
    writing: bool


def recipe(parallel: str) -> Recipe:
    """A stage of a few thousand weights: single images first, then clips and packs of images."""
    levels = (Level(width=8, temporal="convolution"), Level(width=16, text_attention=True, temporal="attention"))
    network = VideoUNetConfig(text_width=8, embedding=16, head=8, levels=levels)
    stage = StageSpec(name="base", shape=VideoShape(frames=2, height=4, width=8, fps=3), network=network)
    half = BATCH * STEPS // 2
    spec = TrainSpec(
        data=Toybox(scripts=3),
        phases=(Phase(examples=half, batch=BATCH, frames=1), Phase(examples=half, batch=BATCH, images=0.3)),
        optimizer="muon",
        balance=True,
        accumulate=2,
        half_life=50,
        warm_up=20,
        weight="v",
        precision="fp32",
        checkpoint_every=EVERY,
        sample_every=0,
        log_every=BATCH,
        parallel=Parallel.from_json({"type": parallel}),
    )
    cascade = CascadeSpec(name="soak", text=Words(width=8), stages=(stage,))
    return Recipe(name="soak", cascade=cascade, training={"base": spec})


def train(made: Recipe, folder: Path, cache: Path) -> None:
    """What each process does: begin or go on, to the end."""
    device = torch.device("cpu")
    ranks = Ranks.join(device)
    for _ in Run(made, "base", folder, device, ranks=ranks).train(cache):
        pass
    ranks.leave()


def begin(made: Recipe, folder: Path, cache: Path, world: int) -> list[int]:
    """Fork the processes of a training; their numbers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(world):
        child = os.fork()
        if child:
            children.append(child)
            continue
        if world > 1:
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
            os.environ |= {name: str(value) for name, value in place.items()} | {"MASTER_ADDR": "127.0.0.1"}
        with (folder.parent / f"{folder.name}.log").open("a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        status = 1
        try:
            train(made, folder, cache)
            status = 0
        except BaseException:
            logging.exception("a training that was not killed failed")
        finally:
            sys.stderr.flush()
            os._exit(status)
    return children


def ended(children: list[int]) -> bool:
    """Whether all have ended by themselves. Raises SystemExit if one has failed."""
    for child in list(children):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            children.remove(child)
            if status:
                for other in children:
                    os.kill(other, signal.SIGKILL)
                raise SystemExit(f"a process that was not killed ended with status {status}; see the log")
    return not children


def kill(children: list[int]) -> None:
    """SIGKILL, and wait until they are gone."""
    for child in children:
        os.kill(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)
    children.clear()


def writing(folder: Path, since: int) -> bool:
    """Whether a checkpoint is being written that was begun after a time in ns; kills before have left others."""
    halves = (folder / "checkpoints").glob(".*.partial")
    return any(half.stat(follow_symlinks=False).st_ctime_ns > since for half in halves if half.exists())


def found(folder: Path, since: int) -> Kill:
    """What a kill has left of a life that began at a time in ns."""
    metrics = folder / "metrics.jsonl"
    lines = read_metrics(metrics) if metrics.exists() else []
    kept = find_checkpoints(folder / "checkpoints")
    return Kill(lines[-1]["examples"] if lines else 0, int(kept[-1].name) if kept else 0, writing(folder, since))


def live(made: Recipe, folder: Path, cache: Path, world: int, delay: float, aim: bool) -> Kill | None:
    """One life of a training: killed after `delay` seconds, and if `aim` as soon as it writes a checkpoint after them.

    None if it reaches its end before.
    """
    start, since, children = time.monotonic(), time.time_ns(), begin(made, folder, cache, world)
    while not ended(children):
        now = time.monotonic() - start
        if now > PATIENCE:
            kill(children)
            raise SystemExit(f"no end after {PATIENCE:.0f} s: it hangs")
        if now > delay and (not aim or writing(folder, since)):
            kill(children)
            return found(folder, since)
        time.sleep(0.0005 if aim else 0.002)
    return None


def contents(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a run's newest checkpoint, whole."""
    newest = find_checkpoints(folder / "checkpoints")[-1]
    parts = {part: Stored(newest, part) for part in ("model", "average", "optimizer", "errors")}
    tensors = {f"{part}.{name}": stored.read(name) for part, stored in parts.items() for name in stored.names()}
    return {**tensors, "examples": torch.tensor(int(newest.name))}


def differences(whole: Path, broken: Path) -> list[str]:
    """What is not the same in two runs, bit for bit."""
    left, right = contents(whole), contents(broken)
    names = [name for name in left.keys() | right.keys() if name not in left or name not in right]
    names += [name for name in left.keys() & right.keys() if not torch.equal(left[name], right[name])]
    told = [
        [(line["examples"], line["loss"], line["grad_norm"]) for line in read_metrics(run / "metrics.jsonl")]
        for run in (whole, broken)
    ]
    return sorted(names) + (["metrics.jsonl"] if told[0] != told[1] else [])


def soak(mode: str, kills: int, home: Path, cache: Path, chance: random.Random) -> dict[str, Any]:
    """Train and kill until there were enough kills. Raises SystemExit for whatever is not as it should be."""
    world, parallel = MODES[mode]
    made, whole = recipe(parallel), home / mode / "whole"
    whole.parent.mkdir(parents=True)
    live(made, whole, cache, world, PATIENCE, False)  # encodes the texts, and is what all others are compared with
    lines = read_metrics(whole / "metrics.jsonl")
    seconds = lines[-1]["seconds"] - lines[0]["seconds"]
    start = time.monotonic()
    shutil.rmtree(whole)
    live(made, whole, cache, world, PATIENCE, False)
    idle = time.monotonic() - start - seconds
    seen: list[Kill] = []
    trainings = 0
    while len(seen) < kills:
        folder = home / mode / f"killed-{trainings}"
        while len(seen) < kills:
            fate = live(made, folder, cache, world, chance.uniform(0, idle + seconds / 2), chance.random() < 1 / 3)
            if fate is None:
                break
            seen.append(fate)
            lost = fate.reached - fate.kept
            if lost > EVERY:
                raise SystemExit(f"{mode}: lost {lost} examples of {fate.reached}, more than {EVERY}")
        live(made, folder, cache, world, PATIENCE, False)
        trainings += 1
        if different := differences(whole, folder):
            raise SystemExit(f"{mode}: {folder}: not the same: {', '.join(different[:5])}, ...")
        shutil.rmtree(folder)
    lost = sorted(fate.reached - fate.kept for fate in seen)
    return {
        "mode": mode,
        "processes": world,
        "kills": len(seen),
        "trainings": trainings,
        "while_writing": sum(fate.writing for fate in seen),
        "before_first_step": sum(fate.reached == 0 for fate in seen),
        "interval": EVERY,
        "median_lost": lost[len(lost) // 2],
        "most_lost": lost[-1],
        "bitwise": True,
        "hands": 0,
    }


def main() -> None:
    """Soak each mode and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=positive, default=200, help="of each mode")
    parser.add_argument("--mode", action="append", choices=[*MODES], help="may be given several times; all of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        for mode in options.mode or MODES:
            start = time.monotonic()
            result = soak(mode, options.kills, home, home / "cache", random.Random(options.seed))
            results.append({**result, "seconds": round(time.monotonic() - start, 1)})
            print("  ".join(f"{key} {value}" for key, value in results[-1].items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
