"""How well a model makes videos from known frames of toybox clips that it never saw.

    python benchmarks/score_known.py --model mini --out runs/known
    python benchmarks/score_known.py --model mini --long 32 --out runs/known-long

For each of 64 familiar prompts and 64 that combine what training never combines there is one true clip. Given its
first frame and the caption, a video is right in what the analytic recogniser sees as the prompt says. Given the first
and the last frame, the middle of the video is compared with that of the clip: where the object is, and how near the
pictures are, beside a cross-fade of the two frames; with --features also by MobileNetV2's features. Where several
courses lead from the first frame to the last, as in an orbit, another one than the clip's counts as wrong. Where the
thing stands still a cross-fade is the clip: PSNR counts up to 50 dB, and is told without such clips too.

With --long videos of a minute are made from words of toybox's long world alone, by --scheme, and their last five
seconds judged: the colour, which half of the things change once before, and the shape.

Shares have 95 % intervals clustered by prompt. Prints a table, and writes scores.json and contact sheets. Videos are
kept: started again after it was stopped, it goes on.
"""

import argparse
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from _kept import kept, settings_of
from _options import positive
from _scores import write_whole
from torch import Tensor

from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import StageSpec
from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.conditioning import Conditioning
from zoetrope.data.toybox.course import draw as drawn
from zoetrope.data.toybox.long import LongPrompt, long_prompts
from zoetrope.data.toybox.prompts import Prompt, combinations, familiar
from zoetrope.data.toybox.render import render
from zoetrope.data.toybox.scene import ASPECT, scene
from zoetrope.data.toybox.vocabulary import FLAT_SHAPES
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.inputs.text import text_given
from zoetrope.known import Known
from zoetrope.layers.fused import fused
from zoetrope.metrics.features import FeatureNetwork, feature_distance
from zoetrope.metrics.features.mobilenet_v2 import MobileNetV2
from zoetrope.metrics.intervals import Mean, Proportion
from zoetrope.metrics.recogniser import recognise
from zoetrope.models.cascade import Cascade
from zoetrope.models.opening import OpenModel, open_model
from zoetrope.networks import Network
from zoetrope.video import Video, contact_sheet, save_image

SCENES = 9_000_000  # the true clips are numbered from here
BATCH = 16
CEILING = 50.0  # decibels beyond which pictures are the same to anyone
SETS: dict[str, Callable[[int], list[Prompt]]] = {"familiar": familiar, "combinations": combinations}


class Made(NamedTuple):
    """A prompt, its true clip, and the videos (F, H, W, 3) uint8 that were made of its known frames."""

    prompt: Prompt
    clip: np.ndarray
    videos: list[np.ndarray]


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="mini", help="a model, or several names with commas between")
    parser.add_argument("--teacher", action="store_true", help="the original instead of a distilled base")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--number", type=positive, default=64, help="prompts of each set")
    parser.add_argument("--noises", type=positive, default=2, help="videos of each prompt")
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--steps", type=positive)
    parser.add_argument("--features", type=Path, metavar="FILE", help="weights of MobileNetV2, for a feature distance")
    parser.add_argument("--long", type=positive, metavar="N", help="long videos of N prompts, and nothing else")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long they last")
    parser.add_argument("--scheme", type=json_or_text, default="hierarchy", help="a name, or JSON with its fields")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    model = open_model(options.model.split(","))
    model = model.originals() if options.teacher else model
    spec = tuned(model.spec, Tuning(steps=options.steps, guidance=options.guidance))
    stage = spec.stages[0]
    told: dict[str, Any] = {}
    if options.long:
        made = filmed(model._replace(spec=spec), options)
        told = {"long": judged_ends(made, stage.shape.fps)}
        print(json.dumps({"long": shown(told["long"])}), flush=True)
        sheet = [eight(video) for row in made[:6] for video in (row.clip, row.videos[0])]
        write_whole(options.out / "scores.json", json.dumps(told, indent=1) + "\n")
        save_image(options.out / "long.png", contact_sheet(sheet, 1))
        return
    assert spec.text is not None
    extractor = None if options.features is None else MobileNetV2(weights=str(options.features)).open()
    sampler = Sampler(model._replace(spec=spec), fused(model.network(stage).eval()), options.out / "videos")
    texts = EmbeddingCache(spec.text, None)
    for name, prompts_of in SETS.items():
        prompts = prompts_of(options.number)
        clips = [clip_of(stage, prompt, number) for number, prompt in enumerate(prompts)]
        given = text_given(*texts.encode([prompt.text for prompt in prompts]))
        last = stage.shape.frames - 1
        for task, frames in (("image", [0]), ("ends", [0, last])):
            videos = sampler(prompts, given, clips, frames, options.noises)
            made = [Made(*row) for row in zip(prompts, clips, videos, strict=True)]
            told[f"{name}, {task}"] = judged(made, stage) if task == "image" else between(made, stage, extractor)
            print(json.dumps({f"{name}, {task}": shown(told[f"{name}, {task}"])}), flush=True)
            sheet = [Video(video, stage.shape.fps) for row in made[:6] for video in (row.clip, row.videos[0])]
            save_image(options.out / f"{name}-{task}.png", contact_sheet(sheet, 1))
    write_whole(options.out / "scores.json", json.dumps(told, indent=1) + "\n")


def eight(video: np.ndarray) -> Video:
    """Eight frames of a video (F, H, W, 3), or all of a shorter one, for a sheet."""
    return Video(video[:: max(1, len(video) // 8)][:8], 1)


def json_or_text(value: str) -> Any:
    """A scheme by name, or as JSON."""
    return json.loads(value) if value.startswith("{") else value


class Long(NamedTuple):
    """A long prompt, its true clip, and the videos (F, H, W, 3) uint8 that were made of its words."""

    prompt: LongPrompt
    clip: np.ndarray
    videos: list[np.ndarray]


def filmed(model: OpenModel, options: argparse.Namespace) -> list[Long]:
    """Long videos of flat things, half of which turn into another colour; those that were made before are read."""
    cascade = Cascade.of(model, dtype=torch.bfloat16)
    number, seconds, scheme = options.long, options.seconds, options.scheme
    stage, made = cascade.spec.stages[0], list[Long]()
    settings = [*settings_of(model, (stage,)), str(cascade.dtype)]
    shape = stage.shape.with_(frames=round(seconds * stage.shape.fps))
    found = [one for one in long_prompts(3 * number + 24, seconds) if one.story.thing.shape in FLAT_SHAPES]
    turning, staying = ([one for one in found if bool(one.story.becomes) == turns] for turns in (True, False))
    for sample, prompt in enumerate([*turning[: (number + 1) // 2], *staying[: number // 2]]):
        wanted = {"seconds": seconds, "prompt": prompt.text, "scheme": scheme, "sample": sample, "until": stage.name}
        videos = list[np.ndarray]()
        for noise in range(options.noises):
            make = partial(_extended, cascade, noise, wanted)
            videos.append(kept(options.out / "videos", [*settings, noise, wanted], make))
        made.append(Long(prompt, (drawn(prompt.course, shape) * 255).round().astype(np.uint8), videos))
    return made


def _extended(cascade: Cascade, seed: int, wanted: dict[str, Any]) -> np.ndarray:
    return np.stack(list(cascade.extend(None, seed=seed, **wanted)))


def judged_ends(made: list[Long], fps: float) -> dict[str, Any]:
    """The share of videos whose last five seconds show the right colour and shape, of true clips too, and by class."""
    hits: dict[str, list[tuple[bool, int]]] = defaultdict(list)
    last = round(5 * fps)
    for number, row in enumerate(made):
        story = row.prompt.story
        kind = "turns" if story.becomes else "keeps its colour"
        for what, videos in (("video", row.videos), ("clip", [row.clip])):
            for video in videos:
                seen = recognise(video[-last:], fps)
                right = (seen.colour == story.colours[-1], seen.shape == story.thing.shape)
                for aspect, hit in zip(("colour", "shape", "both"), (*right, all(right)), strict=True):
                    hits[f"{what}, {aspect}"].append((hit, number))
                    if what == "video":
                        hits[f"{aspect}, {kind}"].append((hit, number))
                        hits[f"{aspect}, {story.motion}"].append((hit, number))
    return {name: share(values) for name, values in sorted(hits.items())}


def clip_of(stage: StageSpec, prompt: Prompt, number: int) -> np.ndarray:
    """The true clip of a prompt, (F, H, W, 3) uint8."""
    frames = render(scene(prompt.script, SCENES + number), stage.shape)
    return (frames * 255).round().astype(np.uint8)


class Sampler(NamedTuple):
    """A model's first stage and its network; the videos that it made are kept in a folder, batch by batch."""

    model: OpenModel
    network: Network
    folder: Path

    def __call__(
        self,
        prompts: Sequence[Prompt],
        given: Conditioning,
        clips: Sequence[np.ndarray],
        frames: list[int],
        noises: int,
    ) -> list[list[np.ndarray]]:
        """For each clip and its prompt, `noises` videos that have these frames of it."""
        stage = self.model.spec.stages[0]
        settings = settings_of(self.model, (stage,))
        made: list[list[np.ndarray]] = [[] for _ in clips]
        for noise in range(noises):
            for rows in torch.arange(len(clips)).split(BATCH):
                part = rows.tolist()
                x = torch.stack([tensor_of(clips[row]) for row in part])
                make = partial(self._batch, given.select(rows), x, frames, noise, part)
                seen = [[prompts[row].text, hashlib.sha256(clips[row].tobytes()).hexdigest()] for row in part]
                videos = kept(self.folder, [*settings, noise, part, frames, seen], make)
                for row, video in zip(part, videos, strict=True):
                    made[row].append(video)
        return made

    def _batch(self, given: Conditioning, x: Tensor, frames: list[int], noise: int, part: list[int]) -> np.ndarray:
        """Videos (B, F, H, W, 3) that have these frames of clips x (B, 3, F, H, W); `part` are their numbers."""
        stage = self.model.spec.stages[0]
        known = torch.zeros(stage.shape.frames, dtype=torch.bool)
        known[frames] = True
        draw = Draw(seed=noise, samples=part, known=Known(known, x))
        with torch.inference_mode():
            videos = stage_video(stage, self.network, given, None, draw)
        return np.stack([Video.from_tensor(video, stage.shape.fps).frames for video in videos])


def tensor_of(clip: np.ndarray) -> Tensor:
    """(F, H, W, 3) uint8 as (3, F, H, W) in [-1, 1]."""
    return torch.from_numpy(clip).permute(3, 0, 1, 2).float() / 127.5 - 1


def judged(made: list[Made], stage: StageSpec) -> dict[str, Any]:
    """The share of videos that show what the prompt says, of each aspect and class; true clips for comparison."""
    hits: dict[str, list[tuple[bool, int]]] = defaultdict(list)
    for number, row in enumerate(made):
        script = row.prompt.script
        truth = {"colour": script.things[0].colour, "shape": script.things[0].shape, "motion": script.motion}
        for kind, videos in (("video", row.videos), ("clip", [row.clip])):
            for video in videos:
                seen = recognise(video, stage.shape.fps)
                for aspect, value in truth.items():
                    right = getattr(seen, aspect) == value
                    hits[f"{kind}, {aspect}"].append((right, number))
                    if kind == "video" and aspect == "motion":
                        hits[f"motion {value}"].append((right, number))
    return {name: share(values) for name, values in sorted(hits.items())}


def between(made: list[Made], stage: StageSpec, extractor: FeatureNetwork | None) -> dict[str, Any]:
    """The middle frame's error of place as a share of the width, and PSNR; of the model and of a cross-fade.

    With an extractor also the mean distance of frames from the clip's in its features, from 0 to 1. "model -
    cross-fade" is the difference, prompt by prompt; "moving": without clips whose thing stands still.
    """
    values: dict[str, list[tuple[float, int]]] = defaultdict(list)
    frames = stage.shape.frames
    middle, inner = frames // 2, slice(1, frames - 1)
    weights = np.linspace(0, 1, frames)[:, None, None, None]
    for number, row in enumerate(made):
        ends = row.clip[0] * (1 - weights) + row.clip[-1] * weights
        faded = ends.round().astype(np.uint8)
        motion = row.prompt.script.motion
        fade = _apart(faded, row.clip, inner, extractor)
        for what, value in fade.items():
            values[f"cross-fade, {what}"].append((value, number))
        for video in row.videos:
            for what, value in _apart(video, row.clip, inner, extractor).items():
                values[f"model, {what}"].append((value, number))
                values[f"model - cross-fade, {what}"].append((value - fade[what], number))
                if motion != "still":
                    values[f"model - cross-fade, {what}, moving"].append((value - fade[what], number))
        for kind, videos in (("model", row.videos), ("cross-fade", [faded])):
            for video in videos:
                error = displaced(video, row.clip, middle, stage.shape.fps)
                values[f"{kind}, place"].append((error, number))
                if kind == "model":
                    values[f"place, {motion}"].append((error, number))
    return {name: mean(numbers) for name, numbers in sorted(values.items())}


def _apart(video: np.ndarray, clip: np.ndarray, inner: slice, extractor: FeatureNetwork | None) -> dict[str, float]:
    """The PSNR of a video's inner frames against the clip's, and the distance of their features."""
    found = {"PSNR": min(decibels(video[inner], clip[inner]), CEILING)}
    if extractor is not None:
        found["features"] = feature_distance(extractor, *(tensor_of(one[inner])[None] for one in (video, clip))).value
    return found


def displaced(video: np.ndarray, clip: np.ndarray, frame: int, fps: float) -> float:
    """How far the object is from where it is in the clip, as a share of the width; half of it if none is seen."""
    there, here = (recognise(one[frame : frame + 1], fps) for one in (clip, video))
    if not here.seen:
        return 0.5
    return math.hypot(here.x - there.x, here.y - there.y) / ASPECT


def decibels(video: np.ndarray, clip: np.ndarray) -> float:
    """PSNR of the frames together."""
    error = np.square(video.astype(np.float64) - clip).mean()
    return 10 * math.log10(255**2 / max(error, 1e-3))


def share(values: list[tuple[bool, int]]) -> dict[str, Any]:
    """A share with its interval."""
    return dict(Proportion.of([right for right, _ in values], [prompt for _, prompt in values]).to_json())


def mean(values: list[tuple[float, int]]) -> dict[str, Any]:
    """A mean with its interval."""
    return dict(Mean.of([value for value, _ in values], [prompt for _, prompt in values]).to_json())


def shown(told: dict[str, Any]) -> dict[str, str]:
    """Each value and its interval in a few characters."""
    cells = {}
    for name, value in told.items():
        own = {"share": value["right"] / value["samples"]} if "right" in value else {}
        cells[name] = " ".join(f"{k}={v:.3g}" for k, v in (own | value).items() if isinstance(v, float))
    return cells


if __name__ == "__main__":
    main()
