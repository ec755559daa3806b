"""Whether Fréchet distances tell damaged videos from real ones: halves of one set beside damaged copies.

    python benchmarks/frechet_sanity.py --features FILE

FILE holds MobileNetV2's weights. Toybox clips that training never saw are split in two, by lot, a hundred times: every
second one combines what training never shows together, so that even and odd ones differ in kind. One half is the
reference; the other is compared with it as it is and damaged: with noise, standing still, with its frames in another
order, and played backwards. Prints the table; with the usual clips it is written to docs/results/frechet.md, of other
ones to --out alone.
"""

import argparse
import time
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from _options import least
from torch import Tensor

from zoetrope.data.toybox.held_out import held_out
from zoetrope.files import write_text
from zoetrope.metrics.clips import Clips, Material, Seen
from zoetrope.metrics.features import FeatureNetwork
from zoetrope.metrics.features.mobilenet_v2 import MobileNetV2
from zoetrope.metrics.frechet import Gaussian, frechet_distance
from zoetrope.metrics.measures.frechet import Frechet
from zoetrope.metrics.measures.frechet_changes import FrechetChanges
from zoetrope.shapes import VideoShape

LOTS = 100
OUT = Path(__file__).parents[1] / "docs/results/frechet.md"
SEED = 0


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--features", type=Path, required=True, help="MobileNetV2's weights")
    parser.add_argument("--clips", type=least(4), default=32, help="half of them on each side")
    parser.add_argument("--frames", type=least(3), default=6, help="of each clip")
    parser.add_argument("--fps", type=float, default=6.0, help="of each clip; at few, neighbours are far apart anyway")
    parser.add_argument("--out", type=Path, help="file of the page; docs/results/frechet.md, of other clips none")
    options = parser.parse_args()
    usual = all(getattr(options, name) == parser.get_default(name) for name in ("clips", "frames", "fps"))
    out = options.out or (OUT if usual else None)
    shape = VideoShape(frames=options.frames, height=24, width=40, fps=options.fps)
    network = MobileNetV2(weights=str(options.features)).open()
    start = time.perf_counter()
    videos = torch.stack([held_out(number, shape).video for number in range(options.clips)])
    rows = list(_rows(network, videos, shape))
    print("\n".join(rows))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, _text(rows, network, shape, options.clips))
    print(f"{out or 'no page'}: {time.perf_counter() - start:.0f} s")


def damaged(videos: Tensor) -> dict[str, Tensor]:
    """The same videos (N, 3, F, H, W), as they are and in four ways worse."""
    random = torch.Generator().manual_seed(SEED)
    order = torch.randperm(videos.shape[2], generator=random)
    return {
        "as they are": videos,
        "noise of 5 % of the range": (videos + 0.1 * torch.randn(videos.shape, generator=random)).clamp(-1, 1),
        "standing still": videos[:, :, :1].expand_as(videos),
        "frames in another order": videos[:, :, order],
        "backwards": videos.flip(2),
    }


def lots(count: int) -> list[Tensor]:
    """Which of so many clips are the reference, (count,) bool, half of them, in each of LOTS draws."""
    random = torch.Generator().manual_seed(SEED)
    return [torch.randperm(count, generator=random) < count // 2 for _ in range(LOTS)]


def distances(real: Tensor, made: Tensor, draws: list[Tensor]) -> list[float]:
    """The distance, in each draw, of features (N, S, D) of the clips that are not the reference to those that are."""
    return [
        frechet_distance(Gaussian.of(made[~first].flatten(0, 1)), Gaussian.of(real[first].flatten(0, 1)))
        for first in draws
    ]


def _rows(network: FeatureNetwork, videos: Tensor, shape: VideoShape) -> list[str]:
    """A row of the table for each way."""
    cells: dict[str, list[str]] = {name: [] for name in damaged(videos)}
    seen, draws = Seen(), lots(len(videos))
    sets = {name: Clips(shape, len(made), made.__getitem__) for name, made in damaged(videos).items()}
    for measure in (Frechet(), FrechetChanges()):
        with torch.no_grad():
            found = {name: measure.features(Material(one, seen=seen), one, network) for name, one in sets.items()}
        real = next(iter(found.values()))
        usual = distances(real, real, draws)
        for name, features in found.items():
            own = distances(real, features, draws)
            low, middle, high = np.quantile(np.divide(own, usual), (0.05, 0.5, 0.95))
            cells[name] += [f"{fmean(own):.2f}", f"{middle:.2f} ({low:.2f} to {high:.2f})"]
    return [f"| {name} | {' | '.join(row)} |" for name, row in cells.items()]


def _text(rows: list[str], network: FeatureNetwork, shape: VideoShape, count: int) -> str:
    """The page."""
    return "\n".join(
        [
            "# Fréchet distances of damaged videos",
            "",
            f"{count - count // 2} toybox clips, {shape}, against {count // 2} others of the same world. Features of",
            f"{network.name} (sha256 {network.sha256[:16]}): {network.layer}.",
            "",
            "| the other half | frechet[mobilenet_v2] | times the first row | frechet_changes[mobilenet_v2] | "
            "times the first row |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "The first row is what a perfect model would get: the distance between two halves of one set, drawn by",
            f"lot. Only the small number of clips sets them apart. Distances are means over {LOTS} such draws; beside",
            "them is how many times farther the damaged half is than the same half as it is, the median of the",
            "draws and where nine tenths of them lie.",
            "",
            "An image network sees single frames. It detects noise but not order: shuffled or reversed frames",
            "give exactly the number of the first row, and frozen ones nearly so. Changes of its features from frame",
            "to frame, projected on 32 directions, also detect frozen frames and a shuffled order. They do not detect",
            "a reversed one: changes of the opposite sign have the same covariance and nearly the same mean. Only a",
            "network of clips, such as I3D or VideoMAE, can.",
            "",
            "All draws are of one set of clips: their scatter is no interval for others.",
            "",
            "Made by `python benchmarks/frechet_sanity.py --features FILE`.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
