"""What the level of conditioning augmentation does to every super-resolution stage: quality at several levels.

    python benchmarks/augmentation.py --out runs/augmentation --features mobilenet_v2_1.0_backbone.safetensors

The same held-out toybox clips are given to a stage degraded from the truth, and as the stage before it made them (see
_super_resolution.py); the level is the signal-to-noise ratio of the video that the stage is given, "none" adds no
noise. The paper samples at a fixed ratio, "such as 3 or 5" [Ho et al. 2022, arXiv:2210.02303, Sec. 2.5].

Prints a table and writes levels.json and, with matplotlib (the extra `eval`), augmentation.png: a row for each stage, a
column for each measure, the stage's own default marked, the best plain upsampling dashed. Scores of a clip are kept
and not measured again.
"""

import argparse
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from _kept import kept_value, write_json
from _super_resolution import (
    GIVEN,
    Cascades,
    Clip,
    Given,
    clip_counts,
    describe,
    feature_network,
    fidelity,
    measured,
)
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.inputs.low_res import LowRes
from zoetrope.metrics.features import FeatureNetwork
from zoetrope.metrics.super_resolution import Fidelity, StageFidelity, plain

LEVELS = ("1", "3", "5", "10", "30", "none")
MEASURES = {"psnr": "PSNR, dB", "ssim": "SSIM", "features": "distance of features"}
LABELS = {"truth": "of the true video", "generated": "of a generated video"}
COLOURS = {"truth": "#1b6ca8", "generated": "#c8553d"}


class Curve(NamedTuple):
    """One stage with one kind of input: the fidelity at each level, and that of each plain way."""

    stage: StageSpec
    given: Given
    clips: int
    levels: dict[str, StageFidelity]
    plain: dict[str, StageFidelity]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, measure, write, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", nargs="+", default=["mini"], help="models and runs, put together as `generate` does")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stages", nargs="+", help="the default is all with super-resolution")
    parser.add_argument("--clips", nargs="+", default=["8"], metavar="N|STAGE=N")
    parser.add_argument("--levels", nargs="+", type=_ratio, default=LEVELS, metavar="SNR", help='ratios, or "none"')
    parser.add_argument("--features", type=Path, metavar="FILE", help="weights of MobileNetV2")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    levels = {name: None if name == "none" else math.log(float(name)) for name in options.levels}
    cascades, network = Cascades(options.model, options.seed), feature_network(options.features)
    stages = cascades.stages(options.stages)
    counts = clip_counts(options.clips, cascades.stages(None), usual=8)
    options.out.mkdir(parents=True, exist_ok=True)
    scores: dict[tuple[str, Given], list[dict[str, Any]]] = {(s.name, g): [] for s in stages for g in GIVEN}
    for number in range(max(counts[stage.name] for stage in stages)):
        for stage in stages:
            for given in GIVEN if number < counts[stage.name] else ():
                scores[stage.name, given].append(_score(cascades, stage, number, given, levels, network, options.out))
    curves = [_curve(stage, given, levels, scores[stage.name, given]) for stage in stages for given in GIVEN]
    table = "\n".join(_lines(curves))
    print(table)
    (options.out / "table.md").write_text(table + "\n")
    about = describe(cascades.model, network, options.seed)
    write_json(options.out / "levels.json", {**about, "curves": [_told(curve) for curve in curves]})
    _draw(curves, options.out / "augmentation.png", network)


def _ratio(text: str) -> str:
    """A level as it is named: a ratio in three digits, or "none"."""
    try:
        ratio = 1.0 if text == "none" else float(text)
    except ValueError:
        ratio = 0.0
    if not 0 < ratio < math.inf:
        raise argparse.ArgumentTypeError(f'expected a signal-to-noise ratio above 0, or "none", got {text!r}')
    return text if text == "none" else f"{ratio:.3g}"


def _score(
    cascades: Cascades,
    stage: StageSpec,
    number: int,
    given: Given,
    levels: dict[str, float | None],
    network: FeatureNetwork | None,
    out: Path,
) -> dict[str, Any]:
    """The scores of one clip at every level, measured unless they are kept already."""
    features = network.sha256 if network else None
    told = cascades.key(number, stage, cascades.before(stage), given=given, features=features, levels=levels)

    def make() -> dict[str, Any]:
        clip = cascades.clip(number, stage)
        low = cascades.given(stage, clip, given)
        methods = [(name, partial(upsampled, low)) for name, upsampled in plain(stage).items()]
        methods += [(f"SNR {name}", partial(_at, cascades, stage, low, clip, level)) for name, level in levels.items()]
        value = measured(stage, clip, methods, network)
        print(f"{stage.name}, {given} input, clip {number}: {clip.text}", flush=True)
        return value

    return kept_value(out / f"{stage.name}-{given}-{told}-{number:03}.json", make)


def _at(cascades: Cascades, stage: StageSpec, low: Tensor, clip: Clip, level: float | None) -> Tensor:
    return cascades.run(stage, low, clip, {"inputs.low_res.logsnr": level})


def _curve(stage: StageSpec, given: Given, levels: dict[str, float | None], scores: list[dict[str, Any]]) -> Curve:
    made = {name: fidelity(scores, f"SNR {name}") for name in levels}
    return Curve(stage, given, len(scores), made, {name: fidelity(scores, name) for name in plain(stage)})


def _part(fidelity: StageFidelity) -> Fidelity:
    """What is drawn: of a temporal stage the frames that it was not given."""
    return fidelity.new or fidelity.every


def _default(stage: StageSpec) -> str:
    """The name of the stage's own level."""
    low_res = stage.input("low_res")
    logsnr = low_res.logsnr if isinstance(low_res, LowRes) else None
    return "none" if logsnr is None else f"{math.exp(logsnr):.3g}"


def _lines(curves: Sequence[Curve]) -> list[str]:
    lines = ["| stage | input | level | clips | PSNR | SSIM | features | flicker |", "|" + " --- |" * 8]
    for curve in curves:
        named = [(f"SNR {name}", value) for name, value in curve.levels.items()]
        for name, value in [*named, *curve.plain.items()]:
            part = _part(value)
            mark = " (default)" if name == f"SNR {_default(curve.stage)}" else ""
            features = "-" if part.features is None else f"{part.features:.4f}"
            flicker = "-" if value.flicker is None else f"{value.flicker:.2%}"
            cells = [curve.stage.name, curve.given, name + mark, str(curve.clips), f"{part.psnr:.2f}"]
            lines.append(f"| {' | '.join(cells)} | {part.ssim:.4f} | {features} | {flicker} |")
    return lines


def _told(curve: Curve) -> dict[str, Any]:
    return {
        "stage": curve.stage.name,
        "input": curve.given,
        "clips": curve.clips,
        "default": _default(curve.stage),
        "levels": {name: value.to_json() for name, value in curve.levels.items()},
        "plain": {name: value.to_json() for name, value in curve.plain.items()},
    }


def _draw(curves: Sequence[Curve], path: Path, network: FeatureNetwork | None) -> None:
    """A row for each stage, a column for each measure."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("matplotlib is not installed (pip install matplotlib): no plot")
        return
    measures = [name for name in MEASURES if network is not None or name != "features"]
    stages = list(dict.fromkeys(curve.stage.name for curve in curves))
    figure = Figure(figsize=(4.2 * len(measures), 2.8 * len(stages)), layout="constrained")
    axes = figure.subplots(len(stages), len(measures), squeeze=False)
    for curve in curves:
        for column, measure in enumerate(measures):
            axis, names = axes[stages.index(curve.stage.name)][column], list(curve.levels)
            values = [getattr(_part(value), measure) for value in curve.levels.values()]
            axis.plot(names, values, "o-", color=COLOURS[curve.given], label=LABELS[curve.given])
            best = min if measure == "features" else max
            beaten = best(getattr(_part(value), measure) for value in curve.plain.values())
            axis.axhline(beaten, linestyle="--", linewidth=1, color=COLOURS[curve.given])
            if _default(curve.stage) in names:
                axis.axvline(names.index(_default(curve.stage)), color="0.85", linewidth=6, zorder=0)
            what = "new frames" if curve.stage.kind == "tsr" else "all frames"
            axis.set(title=f"{curve.stage.name}, {what}", xlabel="signal-to-noise ratio of the input")
            axis.set_ylabel(MEASURES[measure])
    axes[0][0].legend(fontsize="small")
    partial_file = path.with_name(f".{path.name}")
    figure.savefig(partial_file, dpi=110)
    partial_file.replace(path)


if __name__ == "__main__":
    main()
