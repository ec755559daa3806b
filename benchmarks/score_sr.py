"""Every super-resolution stage of a model against plain upsampling, on toybox clips that training never saw.

    python benchmarks/score_sr.py --model mini --out runs/score_sr --features mobilenet_v2_1.0_backbone.safetensors
    python benchmarks/score_sr.py --model mini --out runs/score_sr --first 100 --clips 16 tsr2=8 ssr2=8 tsr3=4 ssr3=1

A clip is made by the stage and by every plain way one after the other, of the true input and of a generated one (see
_super_resolution.py). Half of the clips combine values that training never shows together. Spatial stages are
compared with bilinear and bicubic enlarging, temporal ones with repeating and with linearly blending frames.

- PSNR: decibels of the mean squared error over all clips and frames. SSIM: mean over frames and clips.
- features: distance of MobileNetV2 features, from 0 for the same to 1 for nothing in common; only with --features.
- flicker: mean error of the differences of neighbouring frames, in per cent of the way from black to white.
- new: the same, over those frames alone that a temporal stage was not given. Of the others plain ways give back what
  they were given, which is the truth if that was the input.
- wins: clips in which the stage is nearer to the truth, in squared error of the new frames (of all of a spatial stage),
  than every plain way.

A second table compares clip by clip: in each measure the stage with the plain way that is best in it on average, and
the mean difference of the two with its paired interval of 95 %. The error there is the root mean square of a clip.
Temporal stages are compared on the new frames, but for flicker. --first N begins with clip N, such as one that no
setting was chosen on.

Prints the tables, and writes table.md, scores.json and for each stage a contact sheet of the first clip: truth, the
plain way that is nearest to it, the stage. Seconds are of all that a method does, reading weights too. Scores of
a clip are kept and not measured again, so an interrupted measurement goes on where it stopped.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _comparison import compared, comparison_table
from _kept import kept_value, write_json
from _super_resolution import (
    GIVEN,
    Cascades,
    Given,
    clip_counts,
    describe,
    feature_network,
    fidelity,
    measured,
)
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.metrics.features import FeatureNetwork
from zoetrope.metrics.super_resolution import StageFidelity, plain
from zoetrope.video import Video, contact_sheet, save_image

COLUMNS = ("stage", "input", "method", "clips", "PSNR", "SSIM", "features", "flicker", "PSNR new", "SSIM new",
           "features new", "seconds", "wins")  # fmt: skip


class Row(NamedTuple):
    """What was measured of one method: all that a line of the table tells."""

    stage: str
    given: Given
    method: str
    clips: int
    fidelity: StageFidelity
    seconds: float
    wins: int | None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, compare, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", nargs="+", default=["mini"], help="models and runs, put together as `generate` does")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stages", nargs="+", help="the default is all with super-resolution")
    parser.add_argument("--clips", nargs="+", default=["16"], metavar="N|STAGE=N")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the first clip's number")
    parser.add_argument("--inputs", nargs="+", choices=GIVEN, default=GIVEN)
    parser.add_argument("--features", type=Path, metavar="FILE", help="weights of MobileNetV2")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    cascades, network = Cascades(options.model, options.seed), feature_network(options.features)
    stages = cascades.stages(options.stages)
    counts = clip_counts(options.clips, cascades.stages(None), usual=16)
    options.out.mkdir(parents=True, exist_ok=True)
    scores: dict[tuple[str, Given], list[dict[str, Any]]] = {(s.name, g): [] for s in stages for g in options.inputs}
    # Clip by clip: what is there of an interrupted measurement is then about as much of every stage.
    for number in range(max(counts[stage.name] for stage in stages)):
        for stage in stages:
            for given in options.inputs if number < counts[stage.name] else ():
                made = _score(cascades, stage, options.first + number, given, network, options.out, drawn=not number)
                scores[stage.name, given].append(made)
    rows = [row for stage in stages for given in options.inputs for row in _rows(stage, given, scores)]
    pairs = {key: compared(key[0], measures) for key, measures in scores.items()}
    table = _table(rows) + "\n\n" + comparison_table(pairs)
    print(table)
    (options.out / "table.md").write_text(table + "\n")
    told = [{**row._asdict(), "fidelity": row.fidelity.to_json(), "psnr": _finite(row.fidelity)} for row in rows]
    every = [{"stage": stage, "input": given, "clips": values} for (stage, given), values in scores.items()]
    described = {**describe(cascades.model, network, options.seed), "first": options.first}
    beside = [{"stage": s, "input": g, **one._asdict()} for (s, g), several in pairs.items() for one in several]
    write_json(options.out / "scores.json", {**described, "rows": told, "compared": beside, "measured": every})


def _score(
    cascades: Cascades,
    stage: StageSpec,
    number: int,
    given: Given,
    network: FeatureNetwork | None,
    out: Path,
    *,
    drawn: bool,
) -> dict[str, Any]:
    """The scores of one clip, measured unless they are kept already; `drawn`: with a sheet of it."""
    before = cascades.before(stage)
    told = cascades.key(number, stage, before, given=given, features=network.sha256 if network else None)
    path = out / f"{stage.name}-{given}-{told}-{number:03}.json"

    def make() -> dict[str, Any]:
        clip = cascades.clip(number, stage)
        low = cascades.given(stage, clip, given)
        sheet = out / f"{stage.name}-{given}.png"
        shown: dict[str, Video] = {"truth": _video(clip.video, stage)} if drawn else {}
        methods: list[tuple[str, Callable[[], Tensor]]] = [
            (name, partial(upsampled, low)) for name, upsampled in plain(stage).items()
        ]
        methods.append((stage.name, partial(cascades.run, stage, low, clip)))
        if shown:
            methods = [(name, partial(_showing, method, shown, name, stage)) for name, method in methods]
        value = measured(stage, clip, methods, network)
        if shown:
            errors = {name: _error(told) for name, told in value["methods"].items() if name != stage.name}
            best = min(errors, key=lambda name: errors[name])
            save_image(sheet, contact_sheet([shown["truth"], shown[best], shown[stage.name]]))
        print(f"{stage.name}, {given} input, clip {number}: {clip.text}", flush=True)
        return value

    return kept_value(path, make)


def _showing(method: Callable[[], Tensor], shown: dict[str, Video], name: str, stage: StageSpec) -> Tensor:
    made = method()
    shown[name] = _video(made, stage)
    return made


def _video(x: Tensor, stage: StageSpec) -> Video:
    """Six frames of a video, from its first to its last: what a contact sheet shows."""
    picks = torch.linspace(0, x.shape[2] - 1, min(6, x.shape[2])).round().long()
    return Video.from_tensor(x[0][:, picks], stage.shape.fps)


def _rows(stage: StageSpec, given: Given, scores: dict[tuple[str, Given], list[dict[str, Any]]]) -> list[Row]:
    """The plain ways, then the stage."""
    measures = scores[stage.name, given]
    rows = []
    for method in measures[0]["methods"]:
        seconds = sum(score["methods"][method]["seconds"] for score in measures) / len(measures)
        wins = sum(_wins(score, stage.name) for score in measures) if method == stage.name else None
        rows.append(Row(stage.name, given, method, len(measures), fidelity(measures, method), seconds, wins))
    return rows


def _error(told: dict[str, Any]) -> float:
    """The squared error of the frames that a method had to make."""
    error: float = (told["new"] or told["every"])["squared"]
    return error


def _wins(score: dict[str, Any], stage: str) -> bool:
    errors = {name: _error(value) for name, value in score["methods"].items()}
    return errors.pop(stage) < min(errors.values())


def _finite(fidelity: StageFidelity) -> dict[str, float | None]:
    """Decibels for a JSON file, which knows no infinity."""
    parts = {"every": fidelity.every, "new": fidelity.new}
    return {name: part.psnr if part and math.isfinite(part.psnr) else None for name, part in parts.items()}


def _table(rows: Sequence[Row]) -> str:
    def number(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    lines = [" | ".join(COLUMNS), " | ".join("---" for _ in COLUMNS)]
    for row in rows:
        every, new = row.fidelity.every, row.fidelity.new
        cells = [row.stage, row.given, row.method, str(row.clips)]
        cells += [
            f"{every.psnr:.2f}",
            f"{every.ssim:.4f}",
            number(every.features, ".4f"),
            number(row.fidelity.flicker, ".2%"),
        ]
        cells += [f"{new.psnr:.2f}", f"{new.ssim:.4f}", number(new.features, ".4f")] if new else ["-"] * 3
        cells += [f"{row.seconds:.2f}", "-" if row.wins is None else f"{row.wins}/{row.clips}"]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


if __name__ == "__main__":
    main()
