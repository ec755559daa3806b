"""How well `zoetrope data curate` finds planted faults: cuts, static clips and text over the picture.

    python benchmarks/score_curation.py --out runs/score_curation
    python benchmarks/score_curation.py --clips my_clips --out runs/score_curation_real

Without `--clips` the clips are of toybox, with the seed `--seed`: the thresholds of `zoetrope.curation` were
chosen on seed 1, so scores are of another. With it they are made of a folder of captioned clips, which have to be free
of cuts and text themselves. Of four clips in turn one is as it was, one is joined from two or three, one is a still,
and one has text over it.

A cut is found if one is told within one frame of it. Cuts are counted one by one; static clips and text by file, where
a file with cuts is static if one of its parts is. A clip in which nothing moves is static without a planted fault: no
frame of it differs from its first by more than 4 of 255 levels in 99.9 % of the pixels.

Intervals hold 95 % and are clustered by file. Prints the table; writes it as table.md and everything as scores.json.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from _options import positive

from zoetrope.curation import Curation, JudgedScene, curate
from zoetrope.data.folder import Folder, scan
from zoetrope.data.toybox import Toybox
from zoetrope.files import write_text
from zoetrope.metrics.intervals import Proportion
from zoetrope.shapes import VideoShape
from zoetrope.video import Video, read

TUNED = 1  # the seed of toybox on which the thresholds were chosen
FAULTS = ("none", "cut", "static", "text")
PLANTED = "planted.json"
HEIGHT, WIDTH, RATE = 96, 160, 10.0
SHAPE = VideoShape(frames=24, height=HEIGHT, width=WIDTH, fps=8)
STILL = 4.0  # levels of 255: what noise of cameras and codecs changes
WORDS = ("SAMPLE", "Breaking News", "www.example.com", "SUBSCRIBE", "Episode 12", "LIVE", "Preview only", "Chapter Two")
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX)
INKS = ((255, 255, 255), (255, 255, 0), (0, 0, 0), (255, 40, 40))


class Planted(NamedTuple):
    """A clip with frames (F, H, W, 3) uint8, the fault planted in it, and at which frames it has cuts."""

    frames: np.ndarray
    fps: float
    fault: str
    cuts: tuple[int, ...] = ()

    @property
    def static(self) -> bool:
        """Whether nothing moves in it, or in one of its parts: no frame differs from the first by more than noise."""
        edges = (0, *self.cuts, len(self.frames))
        parts = (self.frames[a:b].astype(np.int16) for a, b in pairwise(edges))
        return any(
            max(float(np.percentile(np.abs(frame - part[0]).max(-1), 99.9)) for frame in part) <= STILL
            for part in parts
        )


class Clips(NamedTuple):
    """Sound clips to plant faults in: how many there are, and the frames of one by its number; and their rate."""

    number: int
    fps: float
    toybox: Any = None
    paths: Sequence[Path] = ()

    def frames(self, number: int) -> np.ndarray:
        """Frames (F, H, W, 3) uint8 of a clip."""
        if self.toybox is not None:
            return Video.from_tensor(self.toybox.example(number, SHAPE).video, self.fps).frames
        return read(self.paths[number], fps=self.fps, size=(HEIGHT, WIDTH)).frames


def clips_of(folder: str | None, seed: int) -> Clips:
    """The clips of toybox, or of a folder."""
    if folder is None:
        return Clips(1_000_000, SHAPE.fps, Toybox(seed=seed).open())
    found = scan(Folder(path=folder)).kept
    paths = dict.fromkeys(Path(folder) / clip.name for clip in found if not clip.info.still)
    return Clips(len(paths), RATE, paths=tuple(paths))


def planted(clips: Clips, count: int, seed: int) -> Iterator[Planted]:
    """`count` clips, each with the next fault in turn."""
    rng = np.random.default_rng((seed, 25))
    for number in range(count):
        fault = FAULTS[number % len(FAULTS)]
        frames = clips.frames(int(rng.integers(clips.number)))
        if fault == "cut":
            yield joined([frames, *(clips.frames(int(rng.integers(clips.number))) for _ in range(2))], clips, rng)
        elif fault == "static":
            yield Planted(np.repeat(frames[:1], len(frames), 0), clips.fps, fault)
        elif fault == "text":
            yield Planted(written(frames, rng), clips.fps, fault)
        else:
            yield Planted(frames, clips.fps, fault)


def joined(parts: list[np.ndarray], clips: Clips, rng: np.random.Generator) -> Planted:
    """Two or three clips one after the other, each of 0.6 s or longer."""
    parts = parts[: int(rng.integers(2, 4))]
    least = int(np.ceil(0.6 * clips.fps))
    kept = [part[: int(rng.integers(least, len(part) + 1))] if len(part) > least else part for part in parts]
    cuts = np.cumsum([len(part) for part in kept])[:-1]
    return Planted(np.concatenate(kept), clips.fps, "cut", tuple(int(cut) for cut in cuts))


def written(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The frames with words over them, a tenth to a fifth of the picture high, where they fit."""
    words, font = str(rng.choice(WORDS)), int(rng.choice(FONTS))
    ink = INKS[int(rng.integers(len(INKS)))]
    scale = float(rng.uniform(0.1, 0.2)) * HEIGHT / cv2.getTextSize(words, font, 1.0, 1)[0][1]
    scale *= min(1.0, 0.95 * WIDTH / cv2.getTextSize(words, font, scale, 1)[0][0])
    (width, height), below = cv2.getTextSize(words, font, scale, 1)
    at = int(rng.integers(0, WIDTH - width + 1)), int(rng.integers(height + 1, HEIGHT - below))
    edge = tuple(255 - value for value in ink)
    made = []
    for frame in frames:
        drawn = cv2.putText(frame.copy(), words, at, font, scale, edge, 3, cv2.LINE_AA)
        made.append(cv2.putText(drawn, words, at, font, scale, ink, 1, cv2.LINE_AA))
    return np.stack(made)


def judgements(made: Sequence[Planted], found: dict[str, list[JudgedScene]], spec: Curation) -> list[dict[str, Any]]:
    """For each file, its truth beside what curation tells of it."""
    measures = {measure.kind(): measure for measure in spec.measures}

    def told(scenes: list[JudgedScene], *kinds: str) -> bool:
        return any(
            measures[kind].fault(scene.measures[kind]) is not None
            for scene in scenes
            for kind in kinds
            if kind in scene.measures
        )

    return [
        {"file": name, "fault": clip.fault, "cuts": clip.cuts, "static": clip.static, "text": clip.fault == "text"}
        | {"told_cuts": [round(scene.start * clip.fps) for scene in scenes[1:]]}
        | {"told_static": told(scenes, "motion", "frozen"), "told_text": told(scenes, "text")}
        | {"measures": [scene.measures for scene in scenes]}
        for (name, scenes), clip in zip(found.items(), made, strict=True)
    ]


def scores(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Proportion]]:
    """Precision and recall of cuts, static clips and text.

    Where nothing was told there is no precision, and where nothing was planted no recall.
    """
    hits: dict[str, dict[str, list[tuple[bool, str]]]] = {}
    for row in rows:
        own, told = row["cuts"], row["told_cuts"]
        pairs = hits.setdefault("cuts", {"precision": [], "recall": []})
        pairs["precision"] += [(any(abs(a - b) <= 1 for b in own), row["file"]) for a in told]
        pairs["recall"] += [(any(abs(a - b) <= 1 for b in told), row["file"]) for a in own]
        for fault in ("static", "text"):
            pairs = hits.setdefault(fault, {"precision": [], "recall": []})
            pairs["precision"] += [(row[fault], row["file"])] if row[f"told_{fault}"] else []
            pairs["recall"] += [(row[f"told_{fault}"], row["file"])] if row[fault] else []
    return {
        fault: {
            name: Proportion.of([hit for hit, _ in some], [file for _, file in some])
            for name, some in both.items()
            if some
        }
        for fault, both in hits.items()
    }


def table(found: dict[str, dict[str, Proportion]]) -> str:
    """The scores in Markdown."""
    lines = ["| fault | planted | told | precision | recall |", "|---|---|---|---|---|"]
    for fault, both in found.items():
        told, planted = both.get("precision"), both.get("recall")
        counts = (0 if one is None else one.samples for one in (planted, told))
        shares = ("-" if p is None else f"{p.value:.3f} ({p.low:.3f} to {p.high:.3f})" for p in (told, planted))
        lines.append(f"| {' | '.join([fault, *map(str, counts), *shares])} |")
    return "\n".join(lines) + "\n"


def begin(out: Path, planted: dict[str, Any]) -> None:
    """Remember what is planted in a folder. Raises ValueError for one that has other clips."""
    path = out / PLANTED
    there = json.loads(path.read_text()) if path.exists() else None
    if there != planted and out.exists() and any(out.iterdir()):
        raise ValueError(f"{out}: expected a new folder, or one with the clips of {planted}, got those of {there}")
    out.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(planted) + "\n")


def main() -> None:
    """Plant, curate, compare. Raises ValueError for a folder that has other clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", metavar="DIR", help="a folder of captioned clips without cuts and text; else toybox")
    parser.add_argument("--count", type=positive, default=400, help="how many clips")
    parser.add_argument("--seed", type=int, default=2, help=f"of the clips; the thresholds were chosen on {TUNED}")
    parser.add_argument("--spec", default="{}", help="fields of zoetrope.curation.Curation, as JSON")
    parser.add_argument("--workers", type=int, default=1, help="how many processes")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    asked = parser.parse_args()
    spec = Curation.from_json(asked.spec).with_(near=-1)
    source = asked.out / "clips"
    begin(asked.out, {"clips": asked.clips or "toybox", "count": asked.count, "seed": asked.seed})
    made = list(planted(clips_of(asked.clips, asked.seed), asked.count, asked.seed))
    source.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[JudgedScene]] = {f"{number:05d}.mp4": [] for number in range(len(made))}
    for name, clip in zip(found, made, strict=True):
        if not (source / name).exists():
            Video(clip.frames, clip.fps).save(source / name)
            (source / name).with_suffix(".txt").write_text(clip.fault)
    for scene in curate(source, asked.out / "curated", spec, asked.workers):
        found[scene.name].append(scene)
    rows = judgements(made, found, spec)
    told = scores(rows)
    text = table(told)
    settings = {"clips": asked.clips or "toybox", "count": asked.count, "seed": asked.seed, "spec": spec.to_json()}
    content = {"settings": settings, "scores": {k: {n: p.to_json() for n, p in v.items()} for k, v in told.items()}}
    write_text(asked.out / "scores.json", json.dumps(content | {"files": rows}) + "\n")
    write_text(asked.out / "table.md", text)
    print(text, end="")


if __name__ == "__main__":
    main()
