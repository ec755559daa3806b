"""Whether Fréchet distances tell damaged videos from real ones: halves of one set beside damaged copies.

    python benchmarks/frechet_sanity.py --features FILE

FILE holds MobileNetV2's weights. Toybox clips that training never saw are split in two, even and odd. The even ones
are the reference; the odd ones are compared with it as they are and damaged: with noise, standing still, with their
frames in another order, and played backwards. Prints the table; with the usual clips it is written to
docs/results/frechet.md, of other ones to --out alone.
"""

import argparse
import time
from pathlib import Path

import torch
from _options import least
from torch import Tensor

from zoetrope.data.toybox.held_out import held_out
from zoetrope.files import write_text
from zoetrope.metrics.clips import Clips, Material, Seen
from zoetrope.metrics.features import FeatureNetwork
from zoetrope.metrics.features.mobilenet_v2 import MobileNetV2
from zoetrope.metrics.measures.frechet import Frechet
from zoetrope.metrics.measures.frechet_changes import FrechetChanges
from zoetrope.shapes import VideoShape

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


def _rows(network: FeatureNetwork, videos: Tensor, shape: VideoShape) -> list[str]:
    """A row of the table for each set."""
    seen, truth = Seen(), Clips(shape, len(videos[::2]), lambda number: videos[::2][number])
    rows = []
    for name, made in damaged(videos[1::2]).items():
        clips = Clips(shape, len(made), made.__getitem__)
        material = Material(clips, truth, seen=seen, seed=SEED)
        with torch.no_grad():
            still, moving = (measure.measure(material, network).value for measure in (Frechet(), FrechetChanges()))
        rows.append(f"| {name} | {still:.2f} | {moving:.2f} |")
    return rows


def _text(rows: list[str], network: FeatureNetwork, shape: VideoShape, count: int) -> str:
    """The page."""
    return "\n".join(
        [
            "# Fréchet distances of damaged videos",
            "",
            f"{count // 2} toybox clips, {shape}, against {count - count // 2} others of the same world. Features of",
            f"{network.name} (sha256 {network.sha256[:16]}): {network.layer}.",
            "",
            "| odd clips | frechet[mobilenet_v2] | frechet_changes[mobilenet_v2] |",
            "|---|---|---|",
            *rows,
            "",
            "The first row is what a perfect model would get: the distance between two halves of one set. It is",
            "entirely bias from the small number of clips.",
            "",
            "An image network sees single frames. It detects noise but not order: shuffled or reversed frames",
            "give exactly the number of the first row. Changes of its features from frame to frame, projected on",
            "32 directions, also detect frozen frames. With these clips they do not detect a shuffled order, or a",
            "reversed one: changes of the opposite sign have the same covariance and nearly the same mean. Only a",
            "network of clips, such as I3D or VideoMAE, can detect order.",
            "",
            "There is one split of one set of clips, so there are no intervals.",
            "",
            "Made by `python benchmarks/frechet_sanity.py --features FILE`.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
