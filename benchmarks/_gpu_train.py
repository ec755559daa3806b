"""Mini's base, trained for the time that is left, with toybox drawn by worker processes.

How many examples fit into the time is measured first, so that the learning rate falls to its end. Brought back are the
weights, in bfloat16, and the lines of metrics.
"""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from _gpu_bench import Bench
from _gpu_cases import narrow

from zoetrope.data.mixture import Mixture, Part
from zoetrope.data.toybox import Toybox
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.models.weights import read_weights, write_weights
from zoetrope.recipes import load_recipe
from zoetrope.text.minilm import MiniLM
from zoetrope.text.words import Words
from zoetrope.training.loop import Metrics, Run
from zoetrope.training.spec import Phase, Recipe

BATCH, PROBED, BACK = 64, 100, 12.0  # clips; batches that speed is measured on; seconds kept for writing and the end
SCRIPTS = 10_000  # of toybox, of the recipe's 40,000: their captions must all be encoded first
WEIGHTS, CURVE = "base.safetensors", "metrics.jsonl"
LARGEST = 16 * 2**20  # bytes of a file


def run(bench: Bench) -> None:
    """Measure the speed, then train. What an earlier run has measured is not measured again."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        if "texts" in bench.found() and "training" not in bench.found():
            encoded(bench, home)  # for this folder has none of them
        bench.case("texts", lambda: encoded(bench, home))
        few = (3 if bench.rehearse else PROBED) * batch_of(bench)
        bench.case("speed", lambda: trained(bench, home / "probe", home, few))
        if (speed := bench.found().get("speed")) is not None:
            examples = speed["examples_per_second"] * max(5.0, bench.left() - BACK)
            if bench.rehearse:
                examples = 2 * batch_of(bench)
            bench.case("training", lambda: trained(bench, home / "run", home, int(examples), keep=True))


def batch_of(bench: Bench) -> int:
    """Clips of a batch."""
    return 2 if bench.rehearse else BATCH


def recipe(bench: Bench, examples: int) -> Recipe:
    """Mini's recipe with one phase of the base, of whole clips and some images, and as many workers as asked for."""
    made = load_recipe("mini")
    batch = batch_of(bench)
    examples = max(1, examples // batch) * batch
    spec = made.train_spec("base").with_(
        phases=(Phase(examples=examples, batch=batch, images=0.1, frames=2 if bench.rehearse else None, peak=1.2e-3),),
        warm_up=examples // 20,
        cool_down=examples // 2,
        half_life=max(1, examples // 50),
        checkpoint_every=max(2 * batch, examples),
        sample_every=0,
        log_every=batch if bench.rehearse else 10 * batch,
        workers=0 if bench.rehearse else bench.options.workers,
        data=Mixture(parts=tuple(Part(source=Toybox(scripts=SCRIPTS, long=long)) for long in (False, True))),
    )
    minilm = None if bench.options is None else bench.options.minilm
    text = Words() if bench.rehearse else MiniLM(path=None if minilm is None else str(minilm))
    first, *others = made.cascade.stages
    cascade = made.cascade.with_(text=text, stages=(narrow(first) if bench.rehearse else first, *others))
    if bench.rehearse:
        spec = spec.with_(data=Toybox(scripts=3), known=None, balance=False)
    return made.with_(cascade=cascade, training={**made.training, "base": spec})


def encoded(bench: Bench, home: Path) -> dict[str, Any]:
    """Encode all captions on the GPU, which a training would do on the CPU."""
    made = recipe(bench, 1)
    assert made.cascade.text is not None
    cache = EmbeddingCache(made.cascade.text, home / "texts", torch.device(bench.device))
    return {"texts": cache.prepare(made.train_spec("base").data.open().captions())}


def trained(bench: Bench, folder: Path, home: Path, examples: int, keep: bool = False) -> dict[str, Any]:
    """Train in a folder until the examples, or the time, are over; `keep`: bring weights and curve back."""
    init = None if bench.options is None else bench.options.init
    begin = time.monotonic()
    training = Run(recipe(bench, examples), "base", folder, torch.device(bench.device), init=init)
    lines = list[Metrics]()
    for metrics in training.train(home / "texts"):
        lines.append(metrics)
        if bench.left() < BACK and training.stop():
            continue
    settled = lines[len(lines) // 2 :]
    found: dict[str, Any] = {
        "examples": lines[-1].examples,
        "examples_per_second": sum(line.examples_per_second for line in settled) / len(settled),
        "data_wait": sum(line.data_wait for line in settled) / len(settled),
        "first loss": lines[0].loss,
        "loss": lines[-1].loss,
        "peak bytes": lines[-1].peak_memory,
        "seconds": time.monotonic() - begin,
    }
    if keep:
        found |= brought(training, folder, bench.out)
    return found


def brought(training: Run, folder: Path, out: Path) -> dict[str, Any]:
    """Put the averaged weights and the lines of metrics into the results' folder; their sizes."""
    newest = find_checkpoints(folder / "checkpoints")[-1]
    network = training.stage.network.bare()
    read_weights(network, newest / "average.safetensors")
    write_weights(network, out / WEIGHTS, torch.bfloat16)
    shutil.copyfile(folder / CURVE, out / CURVE)
    sizes = {name: (out / name).stat().st_size for name in (WEIGHTS, CURVE)}
    if max(sizes.values()) > LARGEST:
        raise RuntimeError(f"expected files of at most {LARGEST} bytes, got {sizes}")
    shutil.rmtree(folder)
    return {f"{name}, bytes": size for name, size in sizes.items()}
