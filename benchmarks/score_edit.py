"""Whether an edit of a toybox clip shows what the prompt says, and still moves as the clip does.

    python benchmarks/score_edit.py --model mini_image --out runs/score_edit

Each clip shows one flat object. Half of the prompts tell another colour, a recolour, half another shape, a reshape;
everything else is told in the same words. The analytic recogniser judges the edits:

- new: the attribute that the prompt changes is the prompt's
- kept: what the prompt does not change is the clip's: of shape and colour the other one, and the motion
- path: how far the object is from where it is in the clip, the mean over frames, a share of the picture's width
- within 5 %: the edits of which that is at most 0.05; those that lose the object in more than a quarter of the frames
  are not

Rows: "tuned", as `zoetrope edit` does it; "not tuned", the same inversion and sampling by the network as it begins,
which was not tuned to the clip; "source", the clip itself; "true", the clip as toybox draws what the prompt tells, the
most that can be measured so; "another's clip", the path of "tuned" against that of another clip, which is chance.
Intervals hold 95 %, each clip a cluster of its own.

Writes scores.json, table.md and sheet.png: in each row frames of a clip, of its edit, and of the edit without tuning.
Edits are kept one by one, so that the same command goes on after an interruption. A clip takes about a minute.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from _kept import Frames, digest, kept, settings_of
from _moving import cascade_of, mean_told
from _options import positive
from _scores import lines, reached, share_told, weights_of, write_whole

from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.data.clip import OneClip, digest_of, frames_of
from zoetrope.data.toybox.captions import caption, image_caption
from zoetrope.data.toybox.prompts import SEED
from zoetrope.data.toybox.render import render
from zoetrope.data.toybox.scene import Script, _is_visible, held_out_pairs, scene, script
from zoetrope.data.toybox.vocabulary import COLOURS, FLAT_SHAPES
from zoetrope.metrics.intervals import Mean, Proportion
from zoetrope.metrics.recogniser import follow, recognise
from zoetrope.models.editing import edited
from zoetrope.models.opening import OpenModel, open_model
from zoetrope.models.weights import read_weights, write_weights
from zoetrope.recipes.tune_a_video import tuning
from zoetrope.shapes import VideoShape
from zoetrope.training.loop import Run
from zoetrope.training.spec import Recipe
from zoetrope.training.trained import averaged_weights
from zoetrope.video import Video, save_image

KINDS = {"recolour": "colour", "reshape": "shape"}
NEW, WIDTH, FOUND = 0.8, 0.05, 0.75  # the aims, and the share of frames in which the object has to be found
FRAMES = 16  # of a clip, for a model of single pictures
TUNED, UNTUNED, SOURCE, TRUE, OTHER = "tuned", "not tuned", "source", "true", "another's clip"
NEAR = "within 5 %"
COLUMNS = 5  # frames of each clip on the sheet


class Edit(NamedTuple):
    """A clip, and what its edit is to show.

    Attributes:
        kind: of KINDS; source, told: the scripts of the clip and of the prompt; seed: of both scenes.
        caption, prompt: the texts of the two.
    """

    kind: str
    source: Script
    told: Script
    seed: int
    caption: str
    prompt: str

    @property
    def name(self) -> str:
        """Letters that name it in files."""
        return digest([self.source.to_json(), self.told.to_json(), self.seed, self.caption, self.prompt])

    def drawn(self, shape: VideoShape, told: bool) -> Video:
        """One of the two as toybox draws it."""
        frames = render(scene(self.told if told else self.source, self.seed), shape)
        return Video((frames * 255).round().astype(np.uint8), shape.fps)


def edits(number: int, motion: bool, skip: int = 0) -> list[Edit]:
    """So many edits after the first `skip`, every second one a reshape; `motion`: whether texts tell of it."""
    return list(islice(_edits(caption if motion else image_caption), skip, skip + number))


def _edits(text_of: Any) -> Iterator[Edit]:
    singles = (one for one in (script(seed) for seed in count(SEED)) if _single(one))
    made = 0
    for place, source in enumerate(singles):
        rng = np.random.default_rng(np.random.SeedSequence([SEED, place]))
        kind = list(KINDS)[made % 2]
        values = COLOURS if kind == "recolour" else FLAT_SHAPES
        thing = source.things[0].with_(**{KINDS[kind]: str(rng.choice(list(values)))})
        told = source.with_(things=(thing,))
        if told == source or held_out_pairs(told) or not _is_visible(told):
            continue
        made += 1
        yield Edit(kind, source, told, int(rng.integers(2**63)), text_of(source), text_of(told))


def _single(one: Script) -> bool:
    return not one.relation and one.style == "flat" and one.things[0].shape in FLAT_SHAPES


class Judged(NamedTuple):
    """An edit: whether the new attribute is right, whether each of the others is kept, and where the object goes.

    Attributes:
        path: the mean distance from the clip's path, a share of the width; None: it is found in too few frames.
    """

    new: bool
    kept: dict[str, bool]
    path: float | None


def judged(video: Video, one: Edit, source: Video) -> Judged:
    """What a video shows of an edit of the clip `source`."""
    seen = recognise(video.frames, video.fps)
    changed = KINDS[one.kind]
    truth = {"colour": one.told.things[0].colour, "shape": one.told.things[0].shape, "motion": one.told.motion}
    hits = {name: getattr(seen, name) == value for name, value in truth.items()}
    return Judged(hits.pop(changed), hits, distance(video, source))


def distance(video: Video, source: Video) -> float | None:
    """How far the objects of two videos are apart in the frames that show both, the mean, a share of the width.

    None where more than a quarter of the frames in which the source shows it do not show the video's.
    """
    own, other = (
        {round(t * one.fps): (x, y) for x, y, _, t in zip(*follow(one.frames, one.fps)[0], strict=True)}
        for one in (video, source)
    )
    both = sorted(own.keys() & other.keys())
    if not both or len(both) < FOUND * len(other):
        return None
    height, width = video.frames.shape[1:3]
    return float(np.mean([np.hypot(*np.subtract(own[n], other[n])) for n in both])) * height / width


def prepared(model: OpenModel, clip: Path, one: Edit, options: argparse.Namespace) -> Recipe:
    """The recipe that tunes the first stage to a clip."""
    first = model.spec.stages[0]
    data = OneClip(path=str(clip), text=one.caption, digest=digest_of(str(clip))).located()
    recipe = tuning(model.spec, data, frames=frames_by(model), fps=first.shape.fps)
    steps = options.tuning_steps
    length = {"phases.0.examples": steps, "cool_down": steps // 2, "checkpoint_every": steps}
    return recipe.overridden({f"training.{first.name}.{name}": value for name, value in length.items()})


def frames_by(model: OpenModel) -> int:
    """The frames of a clip that the model edits."""
    frames = model.spec.stages[0].shape.frames
    return frames if frames > 1 else FRAMES


def tuned_weights(model: OpenModel, recipe: Recipe, folder: Path) -> Path:
    """The weights of the network that is tuned in a run in `folder`, which goes on where it was interrupted."""
    stage = recipe.cascade.stages[0]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    run = Run(recipe, stage.name, folder, device, model.file(model.spec.stages[0]))
    for _ in run.train() if run.state.examples < run.spec.examples else ():
        pass
    return averaged_weights(folder, stage)


def untuned_weights(model: OpenModel, recipe: Recipe, folder: Path) -> Path:
    """The weights that the tuning begins with."""
    torch.manual_seed(0)
    network = recipe.cascade.stages[0].network.build()
    network.follow(read_weights(network, model.file(model.spec.stages[0]), missing="fresh"))
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(network, folder / "model.safetensors", torch.float32)
    return folder / "model.safetensors"


def made(model: OpenModel, one: Edit, row: str, options: argparse.Namespace) -> tuple[Video, Video]:
    """An edit, and its clip; what was made before is read."""
    last = model.spec.stages[-1].shape.with_(frames=frames_by(model))
    clip = options.out / "clips" / f"{one.name}-{last.frames}x{last.height}x{last.width}.mp4"
    if not clip.exists():
        clip.parent.mkdir(parents=True, exist_ok=True)
        one.drawn(last, told=False).save(clip)
    recipe = prepared(model, clip, one, options)
    spec = tuned(recipe.cascade, Tuning(steps=options.steps, guidance=options.guidance))
    first = spec.stages[0]
    asked = [one.name, row, options.until, spec.to_json(), recipe.train_spec(first.name).to_json()]
    asked += settings_of(model, model.spec.stages)

    def make() -> Frames:
        work = options.out / "runs" / digest(asked)
        weights = (tuned_weights if row == TUNED else untuned_weights)(model, recipe, work)
        own = {**model.weights, first.name: weights}
        cascade = cascade_of(model._replace(spec=spec, weights=own, teacher_weights={}))
        video = frames_of(str(clip), first.shape).to_tensor()[None]
        *_, last = edited(cascade, video, one.prompt, caption=one.caption, until=options.until)
        return Video.from_tensor(last.x_hat[0].float().cpu(), last.shape.fps).frames

    frames = kept(options.out / "edits", asked, make)
    fps, (height, width) = len(frames) / first.shape.seconds, frames.shape[1:3]
    shape = VideoShape(frames=len(frames), height=height, width=width, fps=fps)
    return Video(frames, fps), one.drawn(shape, told=False)


def summary(found: Sequence[Judged], every: Sequence[Edit]) -> dict[str, Any]:
    """Shares and the mean path with their intervals, of all and of each kind."""
    clips = list(range(len(found)))
    told: dict[str, Any] = {"edits": len(found)}
    told["new"] = dict(Proportion.of([one.new for one in found], clips).to_json())
    for kind in KINDS:
        own = [n for n in clips if every[n].kind == kind]
        if own:
            told[kind] = dict(Proportion.of([found[n].new for n in own], own).to_json())
    kept = [(hit, number) for number, one in enumerate(found) for hit in one.kept.values()]
    told["kept"] = dict(Proportion.of([hit for hit, _ in kept], [number for _, number in kept]).to_json())
    return {**told, **paths([one.path for one in found])}


def paths(distances: Sequence[float | None]) -> dict[str, Any]:
    """How far paths are from the clips', and the share of those that are near."""
    clips = list(range(len(distances)))
    near = Proportion.of([one is not None and one <= WIDTH for one in distances], clips)
    there = [(one, number) for number, one in enumerate(distances) if one is not None]
    mean = Mean.of([one for one, _ in there], [number for _, number in there]).to_json() if there else None
    return {"path": mean, NEAR: dict(near.to_json())}


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """A line for each row, and whether the aims are reached."""
    shares = ("new", *KINDS, "kept")
    cells = [
        (name, *(share_told(told.get(one)) for one in shares), mean_told(told["path"], 3), share_told(told[NEAR]))
        for name, told in rows.items()
    ]
    heads = ("", *shares, "path, of the width", NEAR)
    own = rows[TUNED]
    mean, low = own["path"], "not decided"
    if mean is not None and mean["half"] is not None:
        low = reached({"low": WIDTH - mean["half"], "high": WIDTH + mean["half"]}, mean["value"])
    aims = [f"new {100 * NEW:.0f} % reached: {reached(own['new'], NEW)}", f"path {100 * WIDTH:.0f} % reached: {low}"]
    return "\n\n".join([lines(heads, cells), *aims])


def scored(model: OpenModel, options: argparse.Namespace) -> tuple[dict[str, Any], list[list[Video]]]:
    """The scores of every row, and the videos of the sheet: of each clip itself, its edit, and that without tuning."""
    told = model.spec.stages[0].shape.frames > 1
    every = edits(options.number, told, options.skip)
    found: dict[str, list[Judged]] = {name: [] for name in (TUNED, UNTUNED, SOURCE, TRUE)}
    shown, sources, results = list[list[Video]](), list[Video](), list[Video]()
    for number, one in enumerate(every):
        video, source = made(model, one, TUNED, options)
        plain, _ = made(model, one, UNTUNED, options)
        height, width = source.frames.shape[1:3]
        true = one.drawn(VideoShape(frames=len(source.frames), height=height, width=width, fps=source.fps), told=True)
        for name, own in zip(found, (video, plain, source, true), strict=True):
            found[name].append(judged(own, one, source))
        shown.append([source, video, plain])
        sources.append(source)
        results.append(video)
        last = found[TUNED][-1]
        path = "lost" if last.path is None else f"{last.path:.3f}"
        print(f"{number + 1}/{len(every)} {one.kind} {one.prompt!r}: new {last.new}, path {path}", flush=True)
    rows = {name: summary(several, every) for name, several in found.items()}
    if len(every) > 1:
        rows[OTHER] = paths([distance(a, b) for a, b in zip(results, [*sources[1:], sources[0]], strict=True)])
    return rows, shown


def sheet(shown: Sequence[Sequence[Video]]) -> Frames:
    """In each row some frames of each video, with white between them."""
    rows = []
    for videos in shown:
        places = [np.linspace(0, len(one.frames) - 1, COLUMNS).round().astype(int) for one in videos]
        pictures = [one.frames[n] for one, several in zip(videos, places, strict=True) for n in several]
        framed = [np.pad(picture, ((2, 2), (2, 2), (0, 0)), constant_values=255) for picture in pictures]
        rows.append(np.concatenate(framed, axis=1))
    return np.concatenate(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Edit, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", nargs="+", default=["mini_image"], help="a model, of pictures or of videos")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--number", type=positive, default=16, help="clips, every second one reshaped")
    parser.add_argument("--skip", type=int, default=0, help="leave out so many: others, to choose settings with")
    parser.add_argument("--tuning-steps", type=positive, default=500)
    parser.add_argument("--steps", type=positive, help="of sampling and of inversion")
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--until", help="last stage to run")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    model = open_model(options.model)
    rows, shown = scored(model, options)
    print(table(rows), flush=True)
    about = {"model": model.spec.name, "weights": {s.name: weights_of(model, s) for s in model.spec.stages}}
    about |= {
        "skip": options.skip,
        "tuning_steps": options.tuning_steps,
        "steps": options.steps,
        "guidance": options.guidance,
    }
    write_whole(options.out / "scores.json", json.dumps({**about, "rows": rows}, indent=1) + "\n")
    write_whole(options.out / "table.md", table(rows) + "\n")
    save_image(options.out / "sheet.png", sheet(shown))


if __name__ == "__main__":
    main()
