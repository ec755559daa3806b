"""Whether videos have the structure of a clip and the content of a picture, and what t_s and w_t change in them.

    python benchmarks/score_gen1.py --model runs/gen1 --out runs/score_gen1

Each sample has the structure of a true clip of one flat object, and as content a true picture of the same shape in
another colour, before another background. Silhouettes overlap as in score_control.py (IoU, of all frames together); a
colour or a background is right if the recogniser names the picture's. Flicker is the mean distance of a frame from the
mean of its two neighbours, over that of the same scene as toybox draws it, with the interval of a ratio of means.

Rows: "picture", structure as it is (t_s = 0) and no guidance of time (w_t = 1); "t_s = 2", "t_s = 4" and "t_s = 7", the
same with blurred structure; "w_t = 0.5" and "w_t = 1.5", the first with guidance of time; "text", content that the
prior imagines from a text, if the model has one; "no structure", which says what overlaps by chance; "source", the clip
itself; "true", its scene with the picture's content, the most that can be measured so. Intervals hold 95 %.

Below the table: whether the overlap reaches the aim with content changed, falls with each t_s, and whether flicker
falls with each w_t, pair by pair.

Writes scores.json, table.md and sheet.png: in each row the clip, the picture, and what is made of both at the ends of
t_s and of w_t. Videos are kept one by one, so that the same command goes on after an interruption.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _kept import Frames, kept, settings_of
from _moving import above, cascade_of, mean_told
from _options import positive
from _scores import lines, mean_reached, share_told, weights_of, write_whole
from score_control import AIM, Recoloured, overlap, silhouette
from score_control_video import TRUE, add_ratios, told, unsteady

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.data.toybox.render import render
from zoetrope.data.toybox.scene import SECONDS, scene
from zoetrope.inputs.structure import Structure
from zoetrope.metrics.intervals import Mean, Proportion
from zoetrope.metrics.recogniser import recognise
from zoetrope.models.cascade import Cascade
from zoetrope.models.opening import OpenModel, open_model
from zoetrope.video import Video, save_image
from zoetrope.video.resample import resize

BLURS, TIMES = (0, 2, 4, 7), (0.5, 1.0, 1.5)
PICTURE, TEXT, FREE, SOURCE = "picture", "text", "no structure", "source"
SHOWN, COLUMNS = 8, 3  # samples on the sheet, and frames of each video
OTHER_SCENE = 1  # added to the seed of the clip's scene: the picture lies elsewhere


class Way(NamedTuple):
    """How a row is made: t_s, w_t, whether structure is told, and whether content is told by a picture."""

    blur: int = 0
    temporal: float = 1.0
    structure: bool = True
    picture: bool = True


def ways() -> dict[str, Way]:
    """All rows that are made."""
    blurred = {PICTURE if blur == 0 else f"t_s = {blur}": Way(blur=blur) for blur in BLURS}
    guided = {f"w_t = {weight:g}": Way(temporal=weight) for weight in TIMES if weight != 1}
    return {**blurred, **guided, TEXT: Way(picture=False), FREE: Way(structure=False)}


def structured(spec: CascadeSpec) -> StageSpec:
    """The stage that is told structure. Raises ValueError if there is none."""
    for stage in spec.videos:
        if isinstance(stage.input("structure"), Structure):
            return stage
    raise ValueError(f"{spec.name}: expected a model that is told structure, got none; see docs/gen1.md")


def way_of(spec: CascadeSpec, way: Way, options: argparse.Namespace) -> CascadeSpec:
    """The cascade that is sampled in this way."""
    name = structured(spec).name
    fields: list[tuple[str, Any]] = [
        (f"stages.{name}.inputs.structure.blur", way.blur),
        (f"stages.{name}.sampling.guidance.temporal", way.temporal),
    ]
    return tuned(spec, Tuning(steps=options.steps, fields=fields))


def picture_of(one: Recoloured, stage: StageSpec) -> Frames:
    """A true picture (1, H, W, 3) with the content that is asked for, of another scene than the clip's."""
    shape = stage.shape.with_(frames=1, height=2 * stage.shape.height, width=2 * stage.shape.width)
    drawn = render(scene(one.told, one.seed + OTHER_SCENE), shape, SECONDS / 2)
    return np.asarray((drawn * 255).round(), np.uint8)


def made(
    model: OpenModel, cascade: Cascade, one: Recoloured, number: int, way: Way, options: argparse.Namespace
) -> Frames:
    """The video of a sample; one that was made before is read."""
    stage = structured(cascade.spec)
    asked = [one.source.to_json(), one.told.to_json(), one.seed, one.text, number, options.until, [*way]]

    def make() -> Frames:
        told_by: dict[str, Any] = {"picture": Video(picture_of(one, stage), 1)} if way.picture else {}
        if way.structure:
            told_by["control_from"] = Video(one.drawn(stage.shape, told=False), stage.shape.fps)
        return cascade.generate(one.text, seed=number, until=options.until, **told_by).frames

    return kept(options.out / "videos", [settings_of(model, cascade.spec.until(options.until)), *asked], make)


def judged(each: Sequence[Recoloured], videos: Sequence[Frames], controls: Sequence[Any]) -> dict[str, Any]:
    """The overlap with these silhouettes, the flicker, and the share of right colours and backgrounds."""
    seen = [recognise(video, len(video) / SECONDS) for video in videos]
    overlaps = [overlap(silhouette(video), mask) for video, mask in zip(videos, controls, strict=True)]
    colours = [found.colour == one.told.things[0].colour for found, one in zip(seen, each, strict=True)]
    behind = [found.background == one.told.background for found, one in zip(seen, each, strict=True)]
    return {
        "samples": len(videos),
        "iou": dict(Mean.of(overlaps).to_json()),
        "colour": dict(Proportion.of(colours).to_json()),
        "background": dict(Proportion.of(behind).to_json()),
        "flicker": dict(Mean.of([unsteady(video) for video in videos]).to_json()),
    }


def scored(model: OpenModel, options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, list[Frames]]]:
    """The scores of every row, and its videos. Raises ValueError for content from a text without a prior."""
    each, videos = told(options.samples), dict[str, list[Frames]]()
    prior = any(stage.makes_vectors for stage in model.spec.stages)
    if TEXT in (options.rows or ()) and not prior:
        raise ValueError(f"--rows: expected a model with a prior for {TEXT!r}, got none in {model.spec.name}")
    for name, way in ways().items():
        if (options.rows and name not in options.rows) or (name == TEXT and not prior):
            continue
        own = model._replace(spec=way_of(model.spec, way, options))
        cascade, videos[name] = cascade_of(own), []
        for number, one in enumerate(each):
            videos[name].append(made(own, cascade, one, number, way, options))
            print(f"{name}: {number + 1}/{len(each)}", flush=True)
    last = model.spec.until(options.until)[-1].shape
    controls = [silhouette(one.drawn(last, told=False)) for one in each]
    for name, new in ((SOURCE, False), (TRUE, True)):
        videos[name] = [one.drawn(last, told=new) for one in each]
    rows = {name: judged(each, several, controls) for name, several in videos.items()}
    add_ratios(rows, videos)
    return rows, videos


def falls(videos: Mapping[str, Sequence[Frames]], each: Sequence[Recoloured], last: Any) -> dict[str, Any]:
    """The paired differences of overlaps from each t_s to the next, and of flicker from each w_t to the next."""
    controls = [silhouette(one.drawn(last, told=False)) for one in each]
    ious = {name: [overlap(silhouette(v), c) for v, c in zip(videos[name], controls, strict=True)] for name in videos}
    flickers = {name: [unsteady(video) for video in several] for name, several in videos.items()}
    blurred = [PICTURE if blur == 0 else f"t_s = {blur}" for blur in BLURS]
    guided = [PICTURE if weight == 1 else f"w_t = {weight:g}" for weight in TIMES]
    found = dict[str, Any]()
    for what, values, names in (("IoU", ious, blurred), ("flicker", flickers, guided)):
        there = [name for name in names if name in values]
        for one, other in pairwise(there):
            apart = [b - a for a, b in zip(values[one], values[other], strict=True)]
            found[f"{what}, from {one} to {other}"] = dict(Mean.of(apart).to_json())
    return found


def table(rows: Mapping[str, Mapping[str, Any]], changes: Mapping[str, Mapping[str, Any]]) -> str:
    """The scores in Markdown, and whether the aims are reached."""
    cells = [
        (
            name,
            mean_told(row["iou"], 3),
            share_told(row["colour"]),
            share_told(row["background"]),
            mean_told(row["flicker ratio"], 3),
        )
        for name, row in rows.items()
    ]
    parts = [lines(("", "IoU", "colour", "background", "flicker, of a true clip's"), cells)]
    if PICTURE in rows:
        aim = mean_reached(rows[PICTURE]["iou"], AIM)
        colour = share_told(rows[PICTURE]["colour"])
        parts.append(f"IoU {AIM:g} reached with content changed: {aim}; the colour is the picture's in {colour}")
    if changes:
        parts.append(
            lines(("", "change", "falls"), [(name, mean_told(one, 3), above(one, -1)) for name, one in changes.items()])
        )
    return "\n\n".join(parts)


def sheet(videos: Mapping[str, Sequence[Frames]], each: Sequence[Recoloured], last: Any, stage: StageSpec) -> Frames:
    """In each row frames of a clip, its picture, and frames of some of the rows, with white between them."""
    names = [
        name
        for name in (PICTURE, f"t_s = {BLURS[-1]}", f"w_t = {TIMES[0]:g}", f"w_t = {TIMES[-1]:g}")
        if name in videos
    ]
    rows = []
    for number, one in enumerate(each[:SHOWN]):
        source = one.drawn(last, told=False)
        picture = Video(picture_of(one, stage), 1).to_tensor()[None]
        content = Video.from_tensor(resize(picture, last.height, last.width)[0], 1).frames
        several = [source, *(videos[name][number] for name in names)]
        pictures = [video[k] for video in several for k in np.linspace(0, len(video) - 1, COLUMNS).round().astype(int)]
        pictures.insert(COLUMNS, content[0])
        rows.append(np.concatenate([np.pad(p, ((2, 2), (2, 2), (0, 0)), constant_values=255) for p in pictures], 1))
    return np.concatenate(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True, nargs="+", help="models and runs, one of which is told structure")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", "--number", dest="samples", type=positive, default=32)
    parser.add_argument("--steps", type=positive, help="denoising steps of every stage, for a quick look")
    parser.add_argument("--until", help="last stage to run")
    parser.add_argument("--rows", nargs="*", choices=list(ways()), help="only these rows")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    model = open_model(options.model)
    rows, videos = scored(model, options)
    each, last = told(options.samples), model.spec.until(options.until)[-1].shape
    changes = falls(videos, each, last)
    print(table(rows, changes), flush=True)
    about = {"model": model.spec.name, "weights": {s.name: weights_of(model, s) for s in model.spec.stages}}
    write_whole(options.out / "scores.json", json.dumps({**about, "rows": rows, "changes": changes}, indent=1) + "\n")
    write_whole(options.out / "table.md", table(rows, changes) + "\n")
    save_image(options.out / "sheet.png", sheet(videos, each, last, structured(model.spec)))


if __name__ == "__main__":
    main()
