"""What codecs lose of clips that they never saw: detail of each frame, and steadiness from frame to frame.

    python benchmarks/score_codec.py --codec runs/codec runs/video_codec --out runs/score_codec

Held-out clips of toybox, every second of which combines what training never combines, are encoded and decoded:

- PSNR: of all frames of a clip, in dB, up to 100;
- flicker: the mean error of the changes from frame to frame, in 1/1000 of the range. It is what an error that differs
  from frame to frame looks like.

Beside the codecs stands a plain baseline, "reduced": frames that are reduced as much by area, and enlarged again
bicubically. Each is compared with the first codec on the same clips: the difference of PSNR with Student's interval
over clips, and the ratio of flicker with its interval. "A third less" counts as reached if all of it is at most 2/3.

Prints the table, and writes table.md, scores.json and codecs.png: clips, above what each codec makes of them.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _kept import write_json
from _moving import mean_told, ratio
from _options import positive
from _scores import lines, mean_reached, write_whole
from torch import Tensor
from torch.nn import functional as F

from zoetrope.codecs import CodecNetwork, decoded, encoded, identity, load_codec
from zoetrope.data.toybox.held_out import held_out
from zoetrope.metrics.intervals import Mean
from zoetrope.models.codecs import find_codec
from zoetrope.shapes import VideoShape
from zoetrope.video import Video, contact_sheet, save_image

SHAPE = VideoShape(frames=8, height=24, width=40, fps=3)  # as the recipe's clips are
CEILING = 100.0  # dB
GOOD, LESS = 33.0, 2 / 3  # the aims: of PSNR, and of flicker relative to the first codec's
REDUCED = "reduced"
SHOWN = 4


class Lost(NamedTuple):
    """What is lost of a clip: PSNR in dB, and flicker in 1/1000 of the range."""

    psnr: float
    flicker: float


def lost(made: Tensor, clip: Tensor) -> Lost:
    """The difference of two clips (1, C, F, H, W) in [-1, 1]."""
    made = made.clamp(-1, 1)
    error = float((made - clip).square().mean()) / 4
    psnr = CEILING if error == 0 else min(CEILING, -10 * math.log10(error))
    return Lost(psnr, 500 * float((made.diff(dim=2) - clip.diff(dim=2)).abs().mean()))


def reduced(clip: Tensor, factor: int) -> Tensor:
    """The clip through a grid that is `factor` times as small."""
    frames = clip[0].transpose(0, 1)
    small = F.interpolate(frames, scale_factor=1 / factor, mode="area")
    return F.interpolate(small, size=frames.shape[-2:], mode="bicubic").transpose(0, 1)[None]


@torch.no_grad()
def through(network: CodecNetwork, clip: Tensor) -> Tensor:
    """What a codec makes of a clip."""
    return decoded(network, encoded(network, clip))


def mean(values: Sequence[float]) -> dict[str, Any]:
    """The mean over clips with its interval."""
    return dict(Mean.of(values).to_json())


def summary(every: dict[str, list[Lost]]) -> dict[str, Any]:
    """Means of each codec, and differences from the first."""
    first, told = next(iter(every.values())), dict[str, Any]()
    for name, own in every.items():
        told[name] = {"psnr": mean([one.psnr for one in own]), "flicker": mean([one.flicker for one in own])}
        if own is not first:
            pairs = list(zip(own, first, strict=True))
            told[name]["psnr, more"] = mean([one.psnr - other.psnr for one, other in pairs])
            flickers = ([one.flicker for one in each] for each in (own, first))
            told[name]["flicker, times"] = ratio(*flickers, range(len(own)))
    return told


def table(told: dict[str, Any]) -> str:
    """The means as Markdown."""
    rows = []
    for name, one in told.items():
        more, times = one.get("psnr, more"), one.get("flicker, times")
        cells = (_told(one["psnr"], 2), mean_reached(one["psnr"], GOOD), _told(more, 2), _told(one["flicker"], 3))
        rows.append((name, *cells, *(("", "") if times is None else (mean_told(times), _a_third_less(times)))))
    heads = ("codec", "PSNR, dB", f"{GOOD:g} dB reached", "more than the first", "flicker, 1/1000")
    return lines((*heads, "times the first's", "a third less"), rows)


def _a_third_less(times: dict[str, Any]) -> str:
    """Whether a ratio is at most 2/3, by its interval."""
    if times["low"] is None:
        return "not decided"
    return "yes" if times["high"] <= LESS else "no" if times["low"] > LESS else "not decided"


def _told(one: dict[str, Any] | None, digits: int) -> str:
    if one is None:
        return ""
    half = "" if one["half"] is None else f" ± {one['half']:.{digits}f}"
    return f"{one['value']:.{digits}f}{half}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Encode, decode, compare, write. Raises ValueError for two codecs of one name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--codec", nargs="+", required=True, help="runs that trained codecs, or models that have one")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=positive, default=256)
    parser.add_argument("--frames", type=positive, default=SHAPE.frames)
    options = parser.parse_args(arguments)
    if len(set(options.codec)) < len(options.codec) or REDUCED in options.codec:
        raise ValueError(f"--codec: expected different ones, none of them {REDUCED!r}, got {' '.join(options.codec)}")
    codecs = {name: load_codec(find_codec(name)).eval() for name in options.codec}
    shape = SHAPE.with_(frames=options.frames)
    for network in codecs.values():
        network.codec.check(shape.height, shape.width)
    clips = [held_out(number, shape).video[None] for number in range(options.clips)]
    every = {name: [lost(through(network, clip), clip) for clip in clips] for name, network in codecs.items()}
    factor = next(iter(codecs.values())).codec.factor
    every[REDUCED] = [lost(reduced(clip, factor), clip) for clip in clips]
    told = summary(every)
    options.out.mkdir(parents=True, exist_ok=True)
    of = {name: identity(network) for name, network in codecs.items()}
    write_json(options.out / "scores.json", {"clips": options.clips, "shape": str(shape), "of": of, "scores": told})
    write_whole(options.out / "table.md", table(told) + "\n")
    made = [one for clip in clips[:SHOWN] for one in (clip, *(through(network, clip) for network in codecs.values()))]
    sheet = contact_sheet([Video.from_tensor(one[0].clamp(-1, 1), shape.fps) for one in made], 1)
    save_image(options.out / "codecs.png", sheet)
    print(table(told))


if __name__ == "__main__":
    main()
