"""A model of latents beside a model of pixels: what they show of their prompts, and how fast they train and sample.

    python benchmarks/score_latents.py --latents runs/video --pixels mini --out runs/score_latents

Both make clips of the same prompts with their first stage, of which a distilled one is replaced by its original.
"captions": the shares of videos in which the analytic recogniser sees what the prompt tells, of prompts as in training
and of ones that combine what training never combines, with intervals clustered by prompt, and the difference, prompt by
prompt, with Student's interval, widened by two prompts that differ as in `studies/README.md`. "Within 5 points" counts
as reached if the model of latents is not lower by more, in all of the interval. Beside them stand the codec's true
clips: what the recogniser makes of clips that were encoded and decoded, the most that any model of its latents can
reach.

"speed": a step of training of a batch of clips, a batch of videos sampled as each model does, decoding included, and
clips encoded; each in turns, the median of the repeats with the smallest and the largest.

Prints the tables, writes table.md, scores.json and sheets of pictures. Videos are kept: started again after it was
stopped, it goes on.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _judging import summary, verdicts
from _kept import write_json
from _machine import described, place
from _making import key, videos_of
from _moving import TRUE, Clips, cascade_of, true_clips
from _options import positive
from _scores import lines, share_told, weights_of, write_whole
from _work import learning

from zoetrope.codecs import CodecNetwork, decoded, encoded
from zoetrope.data.toybox.prompts import SETS, Prompt
from zoetrope.metrics.intervals import Mean
from zoetrope.models.cascade import Cascade
from zoetrope.models.opening import OpenModel, open_model
from zoetrope.video import Video, contact_sheet, save_image

NAMES = ("familiar", "combinations")
ASPECTS = ("colour", "shape", "motion", "all")
LATENTS, PIXELS, CODED = "latents", "pixels", "true clips, encoded and decoded"
WITHIN = 0.05
BATCH = 8


class Side(NamedTuple):
    """One of the models, as it is opened, its cascade, and its first stage's name."""

    model: OpenModel
    cascade: Cascade
    stage: str


def side(names: Sequence[str]) -> Side:
    """A model by its folders or shipped names, with the original of a distilled base."""
    model = open_model(names)
    model = model.originals() if model.spec.stages[0].distilled else model
    return Side(model, cascade_of(model), model.spec.stages[0].name)


def sides(latents: Sequence[str], pixels: Sequence[str]) -> dict[str, Side]:
    """Both models. Raises ValueError unless the first one's stage has latents, and the other one's the same pixels."""
    both = {LATENTS: side(latents), PIXELS: side(pixels)}
    one, other = (each.model.spec.stages[0] for each in both.values())
    if both[LATENTS].model.codec is None:
        raise ValueError(f"--latents {' '.join(latents)}: expected a model of latents, got one of pixels")
    if one.codec.pixels(one.shape) != other.codec.pixels(other.shape):
        sizes = (str(each.codec.pixels(each.shape)) for each in (one, other))
        raise ValueError("--pixels: expected videos of the same grid, got {} of latents, {} of pixels".format(*sizes))
    return both


def captions(
    both: dict[str, Side], prompts: Sequence[Prompt], name: str, options: argparse.Namespace
) -> dict[str, Any]:
    """What is seen in both models' videos, in true clips, and in those through the codec; and the differences."""
    clips = {kind: filmed(one, prompts, f"{kind}-{name}", options) for kind, one in both.items()}
    own = both[LATENTS].model.spec.stages[0]
    clips[TRUE] = true_clips([one.script for one in prompts], options.noises, own.codec.pixels(own.shape))
    network = codec_of(both[LATENTS].model)
    clips[CODED] = [[recoded(network, video) for video in several] for several in clips[TRUE]]
    found = {kind: verdicts(name, prompts, videos) for kind, videos in clips.items()}
    rows = {kind: [[one.hits for one in each if one.prompt == n] for n in range(len(prompts))]
            for kind, each in found.items() if kind in both}  # fmt: skip
    save_image(
        options.out / f"{name}.png",
        contact_sheet([clips[kind][n][0] for n in range(min(6, len(prompts))) for kind in (LATENTS, PIXELS)], 1),
    )
    return {
        "shares": {kind: summary(each) for kind, each in found.items()},
        "differences": {aspect: difference(rows[LATENTS], rows[PIXELS], aspect) for aspect in ASPECTS},
    }


def filmed(one: Side, prompts: Sequence[Prompt], name: str, options: argparse.Namespace) -> Clips:
    """Videos of the prompts by a model's first stage."""
    asked = argparse.Namespace(**{**vars(options), "until": one.stage})
    names = {one.stage: f"{name}-{key(one.model, one.cascade, one.stage)}"}
    return videos_of(one.cascade, [prompt.text for prompt in prompts], asked, names)[one.stage]


def codec_of(model: OpenModel) -> CodecNetwork:
    """The codec of a model of latents."""
    assert model.codec is not None
    return model.codec().eval()


def recoded(network: CodecNetwork, video: Video) -> Video:
    """The video, encoded and decoded."""
    return Video.from_tensor(decoded(network, encoded(network, video.to_tensor()[None]))[0], video.fps)


def difference(one: list[list[dict[str, bool]]], other: list[list[dict[str, bool]]], aspect: str) -> dict[str, Any]:
    """How much more often an aspect is right in one model's videos: prompts of videos."""

    def share(several: list[dict[str, bool]]) -> float:
        return statistics.fmean(float(all(hits.values()) if aspect == "all" else hits[aspect]) for hits in several)

    values = [share(a) - share(b) for a, b in zip(one, other, strict=True)]
    return {"value": statistics.fmean(values), "half": Mean.of([*values, 1.0, -1.0]).half}


def verdict(told: dict[str, Any]) -> str:
    """Whether the model of latents is at most 5 points lower."""
    low, high = told["value"] - told["half"], told["value"] + told["half"]
    return "yes" if low >= -WITHIN else "no" if high < -WITHIN else "not decided"


def speeds(both: dict[str, Side], repeats: int) -> dict[str, list[float]]:
    """Seconds of each kind of work, in turns."""
    here = place(None, None)
    work: dict[str, Callable[[], Any]] = {}
    for kind, one in both.items():
        stage = one.model.spec.stages[0]
        work[f"training, {kind}"] = learning(stage, here, BATCH)
        work[f"sampling, {kind}"] = lambda one=one: one.cascade.generate(  # type: ignore[misc]
            ["a red star moving down"] * BATCH, seed=0, until=one.stage
        )
    own = both[LATENTS].model.spec.stages[0]
    network, grid = codec_of(both[LATENTS].model), own.codec.pixels(own.shape)
    clips = torch.zeros(BATCH, 3, *grid.sizes)
    work["encoding"] = lambda: encoded(network, clips)
    for run in work.values():
        run()
    found: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeats):
        for name, run in work.items():
            found[name].append(here.seconds(run))
    return found


def table(told: dict[str, Any]) -> str:
    """All tables as Markdown."""
    parts = []
    for name in (name for name in NAMES if name in told):
        shares, apart = told[name]["shares"], told[name]["differences"]
        rows = [(kind, *(share_told(one["aspects"].get(aspect)) for aspect in ASPECTS)) for kind, one in shares.items()]
        rows.append(("latents - pixels, points", *(points(apart[aspect]) for aspect in ASPECTS)))
        rows.append(("lower by at most 5", *(verdict(apart[aspect]) for aspect in ASPECTS)))
        parts.append(lines((name, *ASPECTS), rows))
    if "seconds" in told:
        rows = []
        for work, each in told["seconds"].items():
            each = [1000 * one / BATCH for one in each]
            rows.append((work, f"{statistics.median(each):.1f}", f"{min(each):.1f} to {max(each):.1f}"))
        parts.append(lines((f"a clip of a batch of {BATCH}", "ms", "smallest to largest"), rows))
    return "\n\n".join(parts)


def points(one: dict[str, Any]) -> str:
    """ "-3.1 ± 2.0"."""
    return f"{100 * one['value']:+.1f} ± {100 * one['half']:.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, judge, measure, write. Raises ValueError as `sides` does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--latents", nargs="+", required=True, help="folders of runs or of a model")
    parser.add_argument("--pixels", nargs="+", default=["mini"], help="a shipped model, or folders")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", nargs="*", choices=("captions", "speed"), default=["captions", "speed"])
    parser.add_argument("--prompts", type=positive, default=128, help="of each set")
    parser.add_argument("--noises", type=positive, default=2, help="videos of each prompt")
    parser.add_argument("--repeats", type=positive, default=7, help="of each kind of work whose speed is measured")
    options = parser.parse_args(arguments)
    both, told = sides(options.latents, options.pixels), dict[str, Any]()
    options.out.mkdir(parents=True, exist_ok=True)
    if "captions" in options.parts:
        told |= {name: captions(both, SETS[name](options.prompts), name, options) for name in NAMES}
    if "speed" in options.parts:
        told |= {"seconds": speeds(both, options.repeats), "on": described(place(None, None))}
    of = {kind: weights_of(one.model, one.model.spec.stages[0]) for kind, one in both.items()}
    name = "scores.json" if len(options.parts) > 1 else f"{'-'.join(options.parts)}.json"
    write_json(options.out / name, {"of": of, "scores": told})
    write_whole(options.out / "table.md", table(told) + "\n")
    print(table(told))


if __name__ == "__main__":
    main()
