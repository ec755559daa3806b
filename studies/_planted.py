"""Clips of toybox, half of them with planted faults, and what curation makes of them."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np

from zoetrope.curation import Curation, curate
from zoetrope.curation.measures import SceneMeasure
from zoetrope.curation.spec import MEASURES
from zoetrope.data.toybox.prompts import Prompt, familiar
from zoetrope.data.toybox.render import render
from zoetrope.data.toybox.scene import scene
from zoetrope.data.toybox.vocabulary import COLOURS, FLAT_SHAPES
from zoetrope.metrics.recogniser import recognise_picture
from zoetrope.shapes import VideoShape
from zoetrope.video import Video

SHAPE = VideoShape(frames=24, height=96, width=160, fps=8)
FAULTS = ("cuts", "static", "text", "caption")
PARTS = 3  # of a clip with cuts
STILL = "still"  # the motion of things that stay in place: nothing moves in their sound clips either
SEED = 25
WORDS = ("SAMPLE", "Breaking News", "www.example.com", "SUBSCRIBE", "Episode 12", "LIVE", "Preview only")
TRUTH, WHOLE, CURATED, RANDOM = "truth.json", "whole", "curated", "random"


class Planted(NamedTuple):
    """A clip: frames (F, H, W, 3) uint8, a caption, and the fault that was planted; "" for none."""

    frames: np.ndarray
    caption: str
    fault: str


class Agreement(SceneMeasure):
    """The share of colour and shape that the recogniser sees in the middle picture and the caption says.

    It stands in for the score of picture and text by CLIP, whose weights are not at hand.
    """

    reads_captions: ClassVar[bool] = True

    def of(self, pictures: np.ndarray, texts: Sequence[str]) -> float:
        """See `SceneMeasure`; 1 where nothing is seen."""
        seen = recognise_picture(pictures[len(pictures) // 2])
        told = f" {' '.join(texts)} "
        pairs = ((COLOURS[seen.colour].words, seen.colour) if seen.colour else None,
                 (FLAT_SHAPES[seen.shape], seen.shape) if seen.shape in FLAT_SHAPES else None)  # fmt: skip
        right = [any(f" {phrase} " in told for phrase in pair[0].train) for pair in pairs if pair is not None]
        return float(np.mean(right)) if right else 1.0

    def fault(self, value: float) -> str | None:
        """See `SceneMeasure`."""
        return None if value == 1 else "caption: says another colour or shape than is seen"


SPEC = Curation(measures=(*MEASURES, Agreement()), shortest=2.0, near=-1)
"""Parts of clips with cuts are too short to learn from; two clips of toybox may look alike."""


def moving(number: int) -> list[Prompt]:
    """Prompts of one flat thing that moves, as training tells them."""
    return [prompt for prompt in familiar(2 * number + 16) if prompt.script.motion != STILL][:number]


def planted(count: int) -> Iterator[Planted]:
    """`count` clips: one of two is sound, and every other one has the next fault in turn."""
    rng, prompts = np.random.default_rng(SEED), moving(count)
    for number, prompt in enumerate(prompts):
        frames, caption = filmed(prompt, number), prompt.text
        fault = FAULTS[number // 2 % len(FAULTS)] if number % 2 else ""
        others = [prompts[int(place)] for place in rng.integers(len(prompts), size=PARTS)]
        if fault == "cuts":
            length = SHAPE.frames // PARTS
            more = [filmed(other, number)[:length] for other in others[1:]]
            frames = np.concatenate([frames[:length], *more])
        elif fault == "static":
            frames = np.repeat(frames[:1], SHAPE.frames, 0)
        elif fault == "text":
            frames = written(frames, rng)
        elif fault == "caption":
            caption = next(other.text for other in (*others, *prompts) if differs(prompt, other))
        yield Planted(frames, caption, fault)


def differs(one: Prompt, other: Prompt) -> bool:
    """Whether two prompts tell another colour or shape."""
    first, second = one.script.things[0], other.script.things[0]
    return (first.colour, first.shape) != (second.colour, second.shape)


def filmed(prompt: Prompt, seed: int) -> np.ndarray:
    """A clip of what a prompt tells, (F, H, W, 3) uint8."""
    return (255 * render(scene(prompt.script, seed), SHAPE)).round().astype(np.uint8)


def written(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The frames with words over them, white on black edges, where they fit."""
    words, font = str(rng.choice(WORDS)), cv2.FONT_HERSHEY_SIMPLEX
    scale = float(rng.uniform(0.1, 0.2)) * SHAPE.height / cv2.getTextSize(words, font, 1.0, 1)[0][1]
    scale *= min(1.0, 0.95 * SHAPE.width / cv2.getTextSize(words, font, scale, 1)[0][0])
    (width, height), below = cv2.getTextSize(words, font, scale, 1)
    at = int(rng.integers(0, SHAPE.width - width + 1)), int(rng.integers(height + 1, SHAPE.height - below))
    made = []
    for frame in frames:
        edge = cv2.putText(frame.copy(), words, at, font, scale, (0, 0, 0), 3, cv2.LINE_AA)
        made.append(cv2.putText(edge, words, at, font, scale, (255, 255, 255), 1, cv2.LINE_AA))
    return np.stack(made)


def prepare(folder: Path, count: int, workers: int = 1) -> None:
    """Three data folders, whole, curated and random: all clips, those that curation keeps, and as many at random.

    What is there already is kept, so that an interrupted preparation goes on. Raises ValueError for another number of
    clips than are there.
    """
    whole = folder / WHOLE
    if (folder / TRUTH).exists() and (there := len(json.loads((folder / TRUTH).read_text()))) != count:
        raise ValueError(f"{folder}: expected {count} clips, or no such folder, got {there} clips")
    if not (folder / TRUTH).exists():
        whole.mkdir(parents=True, exist_ok=True)
        truth = dict[str, str]()
        for number, clip in enumerate(planted(count)):
            file = whole / f"{number:05d}.mp4"
            if not file.with_suffix(".txt").exists():
                Video(clip.frames, SHAPE.fps).save(file)
                file.with_suffix(".txt").write_text(clip.caption)
            truth[file.name] = clip.fault
        (folder / TRUTH).write_text(json.dumps(truth))
    if not (folder / RANDOM).exists():
        kept = sum(each.reason is None for each in curate(whole, folder / CURATED, SPEC, workers))
        _some(whole, folder / RANDOM, kept)


def _some(whole: Path, out: Path, count: int) -> None:
    """A folder of so many clips at random, whole or not at all."""
    files = sorted(whole.glob("*.mp4"))
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for place in sorted(np.random.default_rng(SEED).permutation(len(files))[:count].tolist()):
        for file in (files[place], files[place].with_suffix(".txt")):
            shutil.copyfile(file, partial / file.name)
    os.replace(partial, out)


def shares(folder: Path) -> dict[str, Any]:
    """Of each fault, and of sound clips (""), how many there are and how many curation and chance kept."""
    truth: dict[str, str] = json.loads((folder / TRUTH).read_text())
    rows = [json.loads(line) for line in (folder / CURATED / "table.jsonl").read_text().splitlines()]
    kept = {row["name"] for row in rows if row["reason"] is None}
    drawn = {file.name for file in (folder / RANDOM).glob("*.mp4")}
    found = dict[str, Any]()
    for fault in ("", *FAULTS):
        names = {name for name, own in truth.items() if own == fault}
        found[fault] = {"planted": len(names), "curated": len(names & kept), "random": len(names & drawn)}
    return found
