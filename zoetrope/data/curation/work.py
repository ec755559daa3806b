"""The curation of a folder: every file is judged in a process of its own, and noted in a journal that resumes."""

import json
import multiprocessing
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoetrope.data.curation.cuts import cuts
from zoetrope.data.curation.duplicates import hashed, original
from zoetrope.data.curation.measures import missing, opencv
from zoetrope.data.curation.spec import Curation
from zoetrope.data.folder import Folder, scan
from zoetrope.files import write_text
from zoetrope.video import open_writer, probe, stream

_RATE = 2.0  # pictures a second that are judged
_MOST = 32  # pictures of a scene that are judged; longer scenes are judged by their beginning
JOURNAL = "journal.jsonl"


class JudgedScene(NamedTuple):
    """A scene: its file and caption, its first second and its length, its measures, and why it is left out, if so."""

    name: str
    text: str
    start: float
    seconds: float
    whole: bool
    measures: dict[str, float]
    hashes: list[int]
    reason: str | None


def curate(
    folder: Path, out: Path, spec: Curation, workers: int = 1, progress: Callable[[int, int], None] = lambda a, b: None
) -> list[JudgedScene]:
    """Judge every captioned video of a folder, and write `out`: clips/, metadata.jsonl (a data folder), table.jsonl.

    A killed run goes on where it was. Raises ValueError for a folder without captioned videos, a package that is
    missing, and an `out` that is not of this curation.
    """
    _expect_packages()
    report = scan(Folder(path=str(folder)))
    texts: dict[str, str] = {}
    for clip in report.kept:
        if not clip.info.still:
            texts.setdefault(clip.name, clip.text)
    if not texts:
        first = "".join(f"\n  {item.name}: {item.reason}" for item in report.dropped[:5])
        raise ValueError(f"{folder}: no usable captioned video{first}")
    done = _resumed(out, {"folder": str(folder.absolute()), "spec": spec.to_json()})
    rest = [name for name in texts if name not in done]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs = {pool.submit(judged, folder, name, texts[name], spec): name for name in rest}
        with (out / JOURNAL).open("a", encoding="utf-8") as journal:
            for job in as_completed(jobs):
                done[jobs[job]] = job.result()
                journal.write(json.dumps([jobs[job], job.result()]) + "\n")
                journal.flush()
                progress(len(done), len(texts))
    scenes = _against_each_other([scene for name in texts for scene in done[name]], spec)
    scenes += [JudgedScene(item.name, "", 0.0, 0.0, True, {}, [], item.reason) for item in report.dropped]
    _write(folder, out, scenes)
    return scenes


def judged(folder: Path, name: str, text: str, spec: Curation) -> list[JudgedScene]:
    """The scenes of a file; a file that cannot be read is one scene with the reason."""
    path = folder / name
    try:
        fps = probe(path).fps
        found, count = cuts(path, fps, spec)
        edges = [0, *found, count]
        return [_scene(path, name, text, (a, b), count, fps, spec) for a, b in pairwise(edges)]
    except (ValueError, OSError) as error:
        return [JudgedScene(name, text, 0.0, 0.0, True, {}, [], str(error).removeprefix(f"{path}: "))]


def _scene(
    path: Path, name: str, text: str, span: tuple[int, int], count: int, fps: float, spec: Curation
) -> JudgedScene:
    start, seconds = span[0] / fps, (span[1] - span[0]) / fps
    whole = span == (0, count)
    if seconds < spec.shortest:
        short = f"short: {seconds:.2f} s, expected at least {spec.shortest:g}"
        return JudgedScene(name, text, start, seconds, whole, {}, [], short)
    rate = min(_RATE, fps)
    frames = min(_MOST, max(1, int((seconds - 0.5 / fps) * rate) + 1))
    pictures = np.stack(list(stream(path, fps=rate, start=start, frames=frames)))
    measures = {measure.kind(): measure.of(pictures) for measure in spec.measures}
    faults = [measure.fault(measures[measure.kind()]) for measure in spec.measures]
    reason = next((fault for fault in faults if fault), None)
    return JudgedScene(name, text, start, seconds, whole, measures, hashed(pictures), reason)


def _against_each_other(scenes: list[JudgedScene], spec: Curation) -> list[JudgedScene]:
    """The scenes with what only a comparison tells: duplicates, and the worst percentage by motion."""
    result: list[JudgedScene] = []
    kept: list[JudgedScene] = []
    for scene in scenes:
        if scene.reason is None:
            twin = original(scene.hashes, [other.hashes for other in kept], spec.near)
            if twin is None:
                kept.append(scene)
            else:
                scene = scene._replace(reason=f"duplicate of {kept[twin].name} at {kept[twin].start:.2f} s")
        result.append(scene)
    moving = sorted(scene.measures["motion"] for scene in kept if "motion" in scene.measures)
    limit = moving[int(len(moving) * spec.worst / 100)] if moving and spec.worst else None
    return [
        scene._replace(reason=f"among the {spec.worst:g} % with the least motion")
        if scene.reason is None and limit is not None and scene.measures["motion"] < limit
        else scene
        for scene in result
    ]


def _resumed(out: Path, settings: dict[str, Any]) -> dict[str, list[JudgedScene]]:
    """What the journal in `out` knows; a new one is begun. Raises ValueError for another curation's folder."""
    journal = out / JOURNAL
    if not journal.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ValueError(f"{out}: exists; expected a new folder, or one of this curation, to resume")
        out.mkdir(parents=True, exist_ok=True)
        write_text(journal, json.dumps(settings) + "\n")
        return {}
    lines = journal.read_text("utf-8").split("\n")
    if json.loads(lines[0]) != settings:
        raise ValueError(f"{out}: holds the curation of another folder or with another spec; expected a new folder")
    if lines[-1]:  # a line cut short by a kill
        write_text(journal, "\n".join([*lines[:-1], ""]))
    known = [json.loads(line) for line in lines[1:-1]]
    return {name: [JudgedScene(*scene) for scene in scenes] for name, scenes in known}


def _write(folder: Path, out: Path, scenes: list[JudgedScene]) -> None:
    """The clips, and what is said of them. A whole file is copied as it is, a part encoded anew, exact to a picture."""
    (out / "clips").mkdir(exist_ok=True)
    lines, rows = [], []
    for number, scene in enumerate(scenes):
        file = how = None
        if scene.reason is None:
            suffix = Path(scene.name).suffix if scene.whole else ".mp4"
            how = "copied" if scene.whole else "encoded"
            file = f"clips/{number:06d}{suffix}"
            if scene.whole:
                shutil.copyfile(folder / scene.name, out / file)
            else:
                _encode(folder / scene.name, out / file, scene)
            lines.append(json.dumps({"file_name": file, "text": scene.text, "split": "curated"}))
        row = {key: value for key, value in scene._asdict().items() if key != "hashes"}
        rows.append(json.dumps(row | {"clip": file, "how": how}))
    write_text(out / "metadata.jsonl", "".join(f"{line}\n" for line in lines))
    write_text(out / "table.jsonl", "".join(f"{row}\n" for row in rows))


def _encode(path: Path, target: Path, scene: JudgedScene) -> None:
    info = probe(path)
    frames = round(scene.seconds * info.fps)
    height, width = info.height - info.height % 2, info.width - info.width % 2
    with open_writer(target, info.fps, height, width) as writer:
        for picture in stream(path, start=scene.start, frames=frames, size=(height, width)):
            writer.write(picture)


def _expect_packages() -> None:
    opencv()
    for module in ("scenedetect", "rapidocr"):
        try:
            __import__(module)
        except ImportError as error:
            raise ValueError(missing(module, error)) from None
