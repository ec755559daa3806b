"""Whether videos are decoded as fast as the base stage of mini learns from them.

Toybox clips are written as mp4 files, packed into shards, and trained on as a user's own would be: decoded anew each
time (no clip is kept in memory unless --cache-mb says so), with text features looked up. For each number of workers
the loader is measured alone, then in a training, with the share of time in which that waited for data.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from _options import positive

sys.path.insert(0, str(Path(__file__).parents[1]))

from zoetrope.data import pack
from zoetrope.data.folder import Folder, scan
from zoetrope.data.shards import Shards
from zoetrope.data.toybox import Toybox
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.recipes.mini import recipe
from zoetrope.shapes import VideoShape
from zoetrope.training.batch import Batches
from zoetrope.training.loading import Loader
from zoetrope.training.loop import Run
from zoetrope.training.spec import Recipe
from zoetrope.video import Video


def write_shards(folder: Path, options: argparse.Namespace) -> Path:
    """The shards, of a quarter of the clips each."""
    frames = round(options.seconds * options.fps)
    shape = VideoShape(frames=frames, height=options.height, width=options.width, fps=options.fps)
    world = Toybox(seed=1).open()
    clips, shards = folder / "clips", folder / "shards"
    clips.mkdir()
    for number in range(options.clips):
        example = world.example(number, shape)
        Video.from_tensor(example.video, shape.fps).save(clips / f"{number:06d}.mp4")
        (clips / f"{number:06d}.txt").write_text(example.text)
    pack(clips, scan(Folder(path=str(clips))).kept, shards, count=max(1, options.clips // 4))
    return shards


def prepared(shards: Path, workers: int, options: argparse.Namespace) -> Recipe:
    """Mini, its base trained on the shards in the manner of its last phase."""
    chosen = recipe()
    phase = chosen.train_spec("base").phases[-1]
    spec = chosen.train_spec("base").with_(
        data=Shards(path=str(shards), cache_mb=options.cache_mb),
        phases=(phase.with_(examples=phase.batch * (options.steps + 1)),),
        workers=workers,
        log_every=1,
        sample_every=0,
        checkpoint_every=10**9,
    )
    return chosen.with_(training={"base": spec})


def alone(chosen: Recipe, cache: Path) -> float:
    """Examples a second of the loader with nobody learning, after the first batch."""
    spec = chosen.train_spec("base")
    dataset = spec.data.open()
    texts = EmbeddingCache(chosen.cascade.text, cache)
    texts.prepare(dataset.captions())
    batches = Batches(stage=chosen.cascade.stage("base"), spec=spec, dataset=dataset, texts=texts)
    loader = Loader(batches, 0, spec.examples, workers=spec.workers)
    coming = iter(loader)
    next(coming)
    start, count = time.perf_counter(), 0
    for batch in coming:
        count += batch.size
    took = time.perf_counter() - start
    loader.close()
    return count / took


def trained(chosen: Recipe, cache: Path, folder: Path) -> tuple[float, float]:
    """Examples a second of training, after its first step, and the share of the time in which it waited for data."""
    run = Run(chosen, "base", folder, torch.device("cpu"))
    batch = chosen.train_spec("base").phases[-1].batch
    reports = list(run.train(cache))[1:]
    seconds = [batch / report.examples_per_second for report in reports]
    waited = sum(took * report.data_wait for took, report in zip(seconds, reports, strict=True))
    return batch * len(seconds) / sum(seconds), waited / sum(seconds)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """What each number of workers gives, and what the network takes."""
    torch.set_num_threads(options.threads)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = write_shards(folder, options)
        for workers in options.workers:
            chosen = prepared(shards, workers, options)
            made = alone(chosen, folder / "cache")
            learned, waited = trained(chosen, folder / "cache", folder / f"run{workers}")
            rows.append({"workers": workers, "loaded": made, "trained": learned, "data_wait": waited})
    taken = statistics.median(row["trained"] / (1 - row["data_wait"]) for row in rows)
    return {"rows": rows, "network": taken}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=positive, default=64)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each clip")
    parser.add_argument("--height", type=positive, default=96)
    parser.add_argument("--width", type=positive, default=160)
    parser.add_argument("--fps", type=float, default=24.0)
    parser.add_argument("--steps", type=positive, default=16, help="of training, and batches of the loader, measured")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=positive, default=2, help="of training")
    parser.add_argument("--cache-mb", type=int, default=0, help="memory for decoded clips")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    results = measure(options)
    print(f"the network takes {results['network']:.2f} examples/s")
    for row in results["rows"]:
        print(
            f"{row['workers']} workers: {row['loaded']:.2f} examples/s loaded alone, "
            f"{row['trained']:.2f} in training, {100 * row['data_wait']:.1f} % of the time waiting for data"
        )
    if options.json:
        options.json.write_text(json.dumps(vars(options) | results, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
