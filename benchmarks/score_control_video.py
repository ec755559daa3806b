"""Whether videos of a controlled model of pictures follow their control, and how much they flicker.

    python benchmarks/score_control_video.py --model runs/control/base mini_image --out runs/score_control_video

Each sample takes the edges of a true clip of one flat object, and a prompt that tells the same shape in another colour,
before another background. Silhouettes overlap as in score_control.py (IoU, of all frames together), and colours are the
prompt's or not. Flicker is the mean distance of a frame from the mean of its two neighbours, a share of the range, over
that of the same scene as toybox draws it: 1 is as steady as a true clip, whose edges move too.
Its interval is that of the ratio of both means, over pairs.

Rows: "smoothed", routine `hierarchical` as it is, with the interleaved-frame smoother; "not smoothed", without that;
"frame by frame", each frame as a picture of its own, of the same noise; "without control", which says what overlaps by
chance; "true", the control's own scene in the prompt's colours. Intervals hold 95 %; "smoother" is the difference in
flicker of the first two rows, pair by pair.

Writes scores.json, table.md and sheet.png: in each row frames of the control's clip and of each row but the last.
Videos are kept one by one, so that the same command goes on after an interruption.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _kept import kept, settings_of
from _moving import above, cascade_of, mean_told, ratio
from _options import positive
from _scores import lines, mean_reached, share_told, weights_of, write_whole
from score_control import AIM, Frames, Recoloured, controlled_stage, overlap, samples, silhouette

from zoetrope.cascade.grid import on_grid
from zoetrope.cascade.spec import CascadeSpec
from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.data.toybox.captions import image_caption
from zoetrope.data.toybox.scene import SECONDS
from zoetrope.metrics.intervals import Mean, Proportion
from zoetrope.metrics.recogniser import recognise
from zoetrope.metrics.steadiness import flicker_alone, together
from zoetrope.models.cascade import Cascade
from zoetrope.models.opening import OpenModel, open_model
from zoetrope.routines import Routine
from zoetrope.routines.hierarchical import Hierarchical
from zoetrope.routines.straight import Straight
from zoetrope.video import Video, save_image

SMOOTHED, PLAIN, ALONE, FREE, TRUE = "smoothed", "not smoothed", "frame by frame", "without control", "true"
SHOWN, COLUMNS = 8, 4  # samples on the sheet, and frames of each video


def told(number: int) -> list[Recoloured]:
    """So many samples: clips from their beginning, told as pictures are."""
    return [one._replace(start=0.0, text=image_caption(one.told)) for one in samples(number, 1)]


def way_of(spec: CascadeSpec, routine: Routine, options: argparse.Namespace) -> CascadeSpec:
    """The cascade with a routine, on the grid of the clips; all frames begin with the same noise."""
    first = spec.videos[0]
    if not isinstance(routine, Hierarchical):
        own = first.with_(network=first.network.looking("own"))
        spec = spec.with_(stages=tuple(own if stage.name == first.name else stage for stage in spec.stages))
    shared = [(f"stages.{stage.name}.sampling.shared_noise", True) for stage in spec.videos]
    spec = tuned(spec, Tuning(routine=routine, steps=options.steps, fields=shared))
    return on_grid(spec, frames=options.frames, fps=options.frames / SECONDS)


def ways_of(options: argparse.Namespace) -> dict[str, tuple[Routine, float]]:
    """The routine and the strength of the control, row by row."""
    smooth = Hierarchical.from_json({"type": "hierarchical", **json.loads(options.fields)})
    return {
        SMOOTHED: (smooth, 1.0),
        PLAIN: (smooth.with_(smoothed_at=()), 1.0),
        ALONE: (Straight(), 1.0),
        FREE: (smooth, 0.0),
    }


def made(model: OpenModel, cascade: Cascade, one: Recoloured, number: int, scale: float, folder: Path) -> Frames:
    """The video of a sample; one that was made before is read."""
    asked = [one.source.to_json(), one.told.to_json(), one.seed, one.text, number, scale]

    def make() -> Frames:
        own = controlled_stage(cascade).shape
        source = Video(one.drawn(own, told=False), own.fps)
        return cascade.generate(one.text, control_from=source, control_scale=scale, seed=number).frames

    return kept(folder, [settings_of(model, cascade.spec.stages), *asked], make)


def unsteady(frames: Frames) -> float:
    """The flicker of a video, a share of the range."""
    return float(flicker_alone(together([frames]))[0])


def judged(each: Sequence[Recoloured], videos: Sequence[Frames], controls: Sequence[Any]) -> dict[str, Any]:
    """The overlap with these silhouettes, the flicker, and the share of right colours."""
    overlaps = [overlap(silhouette(video), mask) for video, mask in zip(videos, controls, strict=True)]
    fps = len(videos[0]) / SECONDS
    hits = [recognise(video, fps).colour == one.told.things[0].colour for video, one in zip(videos, each, strict=True)]
    return {
        "samples": len(videos),
        "iou": dict(Mean.of(overlaps).to_json()),
        "colour": dict(Proportion.of(hits).to_json()),
        "flicker": dict(Mean.of([unsteady(video) for video in videos]).to_json()),
    }


def add_ratios(rows: Mapping[str, dict[str, Any]], videos: Mapping[str, Sequence[Frames]]) -> None:
    """Tell in each row how much its videos flicker in relation to the true ones of the same samples."""
    flickers = {name: [unsteady(video) for video in several] for name, several in videos.items()}
    for name, row in rows.items():
        row["flicker ratio"] = ratio(flickers[name], flickers[TRUE], range(len(flickers[TRUE])))


def scored(model: OpenModel, options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, list[Frames]]]:
    """The scores of every row, and its videos."""
    each, videos = told(options.samples), dict[str, list[Frames]]()
    for name, (routine, scale) in ways_of(options).items():
        if options.rows and name not in options.rows:
            continue
        own = model._replace(spec=way_of(model.spec, routine, options))
        cascade = cascade_of(own)
        videos[name] = []
        for number, one in enumerate(each):
            videos[name].append(made(own, cascade, one, number, scale, options.out / "videos"))
            print(f"{name}: {number + 1}/{len(each)}", flush=True)
        last = cascade.spec.videos[-1].shape
    controls = [silhouette(one.drawn(last, told=False)) for one in each]
    videos[TRUE] = [one.drawn(last, told=True) for one in each]
    rows = {name: judged(each, several, controls) for name, several in videos.items()}
    add_ratios(rows, videos)
    if {SMOOTHED, PLAIN} <= videos.keys():
        apart = [unsteady(a) - unsteady(b) for a, b in zip(videos[SMOOTHED], videos[PLAIN], strict=True)]
        rows[SMOOTHED]["smoother"] = dict(Mean.of(apart).to_json())
    return rows, videos


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The scores in Markdown, and whether the aims are reached."""
    cells = [
        (name, mean_told(row["iou"], 3), share_told(row["colour"]), mean_told(row["flicker ratio"], 3))
        for name, row in rows.items()
    ]
    text = lines(("", "IoU", "colour", "flicker, of a true clip's"), cells)
    if SMOOTHED in rows:
        text += f"\n\nIoU {AIM:g} reached: {mean_reached(rows[SMOOTHED]['iou'], AIM)}"
        if (apart := rows[SMOOTHED].get("smoother")) is not None:
            text += f"\n\nflicker lower with the smoother: {above(apart, -1)}, by {mean_told(apart, 3)} of the range"
    return text


def sheet(videos: Mapping[str, Sequence[Frames]], sources: Sequence[Frames]) -> Frames:
    """In each row some frames of a control's clip, and of each way of making its video, with white between them."""
    rows = []
    for number, source in enumerate(sources[:SHOWN]):
        several = [source, *(found[number] for name, found in videos.items() if name != TRUE)]
        pictures = [one[k] for one in several for k in np.linspace(0, len(one) - 1, COLUMNS).round().astype(int)]
        rows.append(np.concatenate([np.pad(p, ((2, 2), (2, 2), (0, 0)), constant_values=255) for p in pictures], 1))
    return np.concatenate(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True, nargs="+", help="models and runs, one of which edges control")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", "--number", dest="samples", type=positive, default=32)
    parser.add_argument("--frames", type=positive, default=15)
    parser.add_argument("--steps", type=positive, help="denoising steps of every stage, for a quick look")
    parser.add_argument("--fields", default='{"most": 8}', help="fields of hierarchical, as JSON")
    parser.add_argument("--rows", nargs="*", choices=(SMOOTHED, PLAIN, ALONE, FREE), help="only these rows")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    model = open_model(options.model)
    rows, videos = scored(model, options)
    print(table(rows), flush=True)
    about = {"model": model.spec.name, "weights": {s.name: weights_of(model, s) for s in model.spec.stages}}
    about |= {"frames": options.frames, "fields": json.loads(options.fields)}
    write_whole(options.out / "scores.json", json.dumps({**about, "rows": rows}, indent=1) + "\n")
    write_whole(options.out / "table.md", table(rows) + "\n")
    shape = model.spec.videos[-1].shape.with_(frames=options.frames, fps=options.frames / SECONDS)
    sources = [one.drawn(shape, told=False) for one in told(options.samples)[:SHOWN]]
    save_image(options.out / "sheet.png", sheet(videos, sources))


if __name__ == "__main__":
    main()
