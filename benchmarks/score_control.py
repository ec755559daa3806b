"""Whether what a controlled model of toybox makes has the outlines of its control and the colours of its prompt.

    python benchmarks/score_control.py --model runs/control/base runs/mini_image/ssr --out runs/score_control

Each sample takes the edges of a true picture or clip of one flat object, and a prompt that tells the same shape, and of
clips the same motion, in other colours, before another background. Silhouettes are what the recogniser takes for the
object, in the control's picture and in what the model makes, and their overlap is intersection over union (IoU), of all
frames of a clip together. A colour is right if the recogniser names that of the prompt, and so is a background where
the prompt tells it.

Rows: "controlled"; "half strength"; "without control", the same prompts and noise, which say what overlaps by chance;
"true", the control's own scene in the prompt's colours, the most that can be measured so. "another's control" is the
overlap of "controlled" with the silhouette of another sample's control.

Prints the table; writes it as table.md, the numbers as scores.json, and sheet.png: in each row the control, its picture
and what is made, with and without it. Intervals hold 95 %.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from _options import positive
from _scores import lines, mean_reached, share_told, weights_of, write_whole
from numpy.typing import NDArray

from zoetrope.cascade.spec import StageSpec
from zoetrope.data.toybox.captions import caption, image_caption
from zoetrope.data.toybox.prompts import SEED
from zoetrope.data.toybox.render import render
from zoetrope.data.toybox.scene import SECONDS, Script, held_out_pairs, scene, script
from zoetrope.data.toybox.vocabulary import BACKGROUNDS, FLAT_SHAPES
from zoetrope.inputs.edges import Edges, edges_of
from zoetrope.metrics.intervals import Mean, Proportion
from zoetrope.metrics.recogniser import foreground, recognise
from zoetrope.models.cascade import Cascade
from zoetrope.models.opening import open_model
from zoetrope.models.precision import compute_dtype
from zoetrope.shapes import VideoShape
from zoetrope.video import Video, save_image

Frames = NDArray[np.uint8]
AIM = 0.7  # of the overlap
SCALES = {"controlled": 1.0, "half strength": 0.5, "without control": 0.0}
TRUE, OTHER = "true", "another's control"
SHOWN = 12  # samples on the sheet
FPS = 3.0  # what is judged does not depend on it


class Recoloured(NamedTuple):
    """A scene to take edges from, and another in the same outlines, which the prompt tells.

    Attributes:
        source, told: their scripts; seed: of both scenes; start: in seconds.
        text: the prompt.
    """

    source: Script
    told: Script
    seed: int
    start: float
    text: str

    @property
    def tells_background(self) -> bool:
        """Whether the prompt does."""
        return any(phrase in self.text for phrase in BACKGROUNDS[self.told.background].words.train)

    def drawn(self, shape: VideoShape, told: bool) -> Frames:
        """One of the two as toybox draws it, (F, H, W, 3)."""
        video = render(scene(self.told if told else self.source, self.seed), shape, self.start)
        return np.asarray((video * 255).round(), np.uint8)


def samples(number: int, frames: int) -> list[Recoloured]:
    """So many scenes of one flat object; pictures are of any moment of a clip."""
    return list(islice(_samples(frames), number))


def _samples(frames: int) -> Iterator[Recoloured]:
    singles = (one for one in (script(seed) for seed in count(SEED)) if _single(one))
    for place, (source, other) in enumerate(zip(singles, singles, strict=False)):
        thing = source.things[0].with_(colour=other.things[0].colour)
        told = source.with_(things=(thing,), background=other.background, wording=other.wording)
        if thing.colour == source.things[0].colour or held_out_pairs(told):
            continue
        rng = np.random.default_rng(np.random.SeedSequence([SEED, place]))
        start = float(rng.uniform(0, SECONDS)) if frames == 1 else 0.0
        text = image_caption(told) if frames == 1 else caption(told)
        yield Recoloured(source, told, int(rng.integers(2**63)), start, text)


def _single(one: Script) -> bool:
    return not one.relation and one.style == "flat" and one.things[0].shape in FLAT_SHAPES


def silhouette(frames: Frames) -> NDArray[np.bool_]:
    """Where the object is, (F, h, w) on the recogniser's grid."""
    video = foreground.working(frames)
    found = foreground.foreground(video, foreground.backdrop(video))
    return np.asarray(foreground.largest_blob(found).core)


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union; 0 where nothing is in either."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 0.0


def made(cascade: Cascade, each: Sequence[Recoloured], scale: float) -> list[Frames]:
    """The model's videos of these samples, controlled by the edges of their sources."""
    found = []
    own = controlled_stage(cascade).shape
    for number, one in enumerate(each):
        source = Video(one.drawn(own, told=False), own.fps)
        video = cascade.generate(one.text, control_from=source, control_scale=scale, seed=number)
        found.append(video.frames)
    return found


def controlled_stage(cascade: Cascade) -> StageSpec:
    """The stage that edges control. Raises ValueError if there is none."""
    for stage in cascade.spec.stages:
        if stage.input("edges") is not None:
            return stage
    raise ValueError(f"{cascade.spec.name}: expected a model that edges control, got none; see docs/control.md")


def judged(
    each: Sequence[Recoloured], videos: Sequence[Frames], controls: Sequence[NDArray[np.bool_]]
) -> dict[str, Any]:
    """The overlap with these silhouettes, and the share of right colours and backgrounds."""
    seen = [recognise(video, FPS) for video in videos]
    overlaps = [overlap(silhouette(video), mask) for video, mask in zip(videos, controls, strict=True)]
    right = {
        "colour": [s.colour == one.told.things[0].colour for s, one in zip(seen, each, strict=True)],
        "background": [
            s.background == one.told.background for s, one in zip(seen, each, strict=True) if one.tells_background
        ],
    }
    shares = {what: Proportion.of(hits).to_json() for what, hits in right.items() if hits}
    return {"samples": len(videos), "iou": Mean.of(overlaps).to_json(), **shares}


def scored(cascade: Cascade, each: Sequence[Recoloured]) -> tuple[dict[str, Any], dict[str, list[Frames]]]:
    """The scores of every row, and its videos."""
    last = cascade.spec.stages[-1].shape
    controls = [silhouette(one.drawn(last, told=False)) for one in each]
    videos = {name: made(cascade, each, scale) for name, scale in SCALES.items()}
    rows = {name: judged(each, found, controls) for name, found in videos.items()}
    rows[TRUE] = judged(each, [one.drawn(last, told=True) for one in each], controls)
    if len(each) > 1:
        others = [*controls[1:], *controls[:1]]
        rows[OTHER] = {"samples": len(each), "iou": judged(each, videos["controlled"], others)["iou"]}
    return rows, videos


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The scores in Markdown, and whether the aim is reached."""
    heads = ("", "IoU", "colour", "background")
    cells = [
        (name, mean_told(row["iou"]), share_told(row.get("colour")), share_told(row.get("background")))
        for name, row in rows.items()
    ]
    return f"{lines(heads, cells)}\n\nIoU {AIM:g} reached: {mean_reached(rows['controlled']['iou'], AIM)}"


def mean_told(mean: Mapping[str, Any]) -> str:
    """ "0.81 ± 0.02"."""
    half = mean["half"]
    return f"{mean['value']:.3f}" + ("" if half is None else f" ± {half:.3f}")


def sheet(cascade: Cascade, each: Sequence[Recoloured], videos: Mapping[str, Sequence[Frames]]) -> Frames:
    """In each row the middle frames of edges, their source, and what is made with and without control."""
    last, own = cascade.spec.stages[-1].shape, controlled_stage(cascade)
    edges = own.input("edges")
    assert isinstance(edges, Edges)
    rows = []
    for number, one in enumerate(each[:SHOWN]):
        source = Video(one.drawn(own.shape, told=False), own.shape.fps).to_tensor()[None]
        drawn = (edges_of(source, edges.threshold)[0, 0].numpy() * 255).astype(np.uint8)[..., None].repeat(3, -1)
        grown = drawn.repeat(last.height // own.shape.height, 1).repeat(last.width // own.shape.width, 2)
        several = [grown, one.drawn(last, told=False), videos["controlled"][number], videos["without control"][number]]
        middle = [video[len(video) // 2] for video in several]
        rows.append(np.concatenate([np.pad(p, ((2, 2), (2, 2), (0, 0)), constant_values=255) for p in middle], 1))
    return np.concatenate(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True, nargs="+", help="models and runs, one of which edges control")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=positive, default=128)
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = open_model(options.model)
    cascade = Cascade.of(model, device=device, dtype=compute_dtype(device))
    each = samples(options.samples, controlled_stage(cascade).shape.frames)
    rows, videos = scored(cascade, each)
    options.out.mkdir(parents=True, exist_ok=True)
    print(table(rows), flush=True)
    told = {"model": model.spec.name, "weights": {stage.name: weights_of(model, stage) for stage in model.spec.stages}}
    write_whole(options.out / "scores.json", json.dumps({**told, "rows": rows}, indent=1) + "\n")
    write_whole(options.out / "table.md", table(rows) + "\n")
    save_image(options.out / "sheet.png", sheet(cascade, each, videos))


if __name__ == "__main__":
    main()
