"""The curation of a folder: every file is judged in a process of its own, and noted in a journal that resumes."""

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any

from zoetrope.curation.captioners import expect_captioner
from zoetrope.curation.clips import Written, write_clips
from zoetrope.curation.duplicates import SeenScenes
from zoetrope.curation.measures import imported, opencv
from zoetrope.curation.page import page
from zoetrope.curation.scenes import JudgedScene, judged, unread
from zoetrope.curation.spec import Curation
from zoetrope.data.folder import FileMark, Folder, marks_of, scan
from zoetrope.files import alone, write_text

JOURNAL = "journal.jsonl"
SPLIT = "curated"  # of clips whose file has none
FileMarks = Mapping[str, Sequence[FileMark]]
"""What the metadata of the folder say of each file, by its name."""


def curate(
    folder: Path,
    out: Path,
    spec: Curation,
    workers: int = 1,
    progress: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> list[JudgedScene]:
    """Judge every video of a folder and write `out`: clips/, metadata.jsonl (a data folder), table.jsonl, index.html.

    Videos without a caption are left out unless a captioner describes them. A clip is in the split of its caption, and
    of duplicates those that are not for training stay. `progress` is told what is done, how many, and of how many. A
    killed run goes on where it was; files that changed meanwhile are judged again.

    Raises ValueError for a folder without usable videos, a package or weights that are missing, and an `out` that is
    not of this curation, lies in the folder, or is filled by another process.
    """
    if out.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{out}: expected a folder outside of {folder}, whose videos its clips would join")
    _expect_usable(spec)
    texts, rest = _contents(folder, spec)
    marks = marks_of(folder)
    states: dict[str, list[int | str]] = {name: [*_state(folder / name), *texts[name]] for name in texts}
    settings = {"folder": str(folder.absolute()), "spec": spec.to_json()}
    with _alone(out), _pool(workers, out) as pool:
        done = _resumed(out, settings, states)
        jobs = {pool.submit(judged, folder, name, texts[name], spec): name for name in texts if name not in done}
        with (out / JOURNAL).open("a", encoding="utf-8") as journal:
            for job in as_completed(jobs):
                name = jobs[job]
                done[name] = job.result()
                journal.write(json.dumps([name, states[name], done[name]]) + "\n")
                journal.flush()
                progress("files", len(done), len(texts))
        scenes = _against_each_other([scene for name in texts for scene in done[name]], spec, marks) + rest
        kept = {number: scene for number, scene in enumerate(scenes) if scene.reason is None}
        count = iter(range(1, len(kept) + 1))
        cut_from = {number: _state(folder / scene.name) for number, scene in kept.items()}
        clips, failed = write_clips(
            folder, out, kept, cut_from, pool, lambda: progress("clips", next(count), len(kept))
        )
        for number, why in failed.items():
            scenes[number] = scenes[number]._replace(reason=f"not written: {why}")
        _write(folder, out, scenes, clips, marks)
    return scenes


def _expect_usable(spec: Curation) -> None:
    """Raise ValueError for a package or weights that are missing."""
    opencv()
    imported("scenedetect")
    for measure in spec.measures:
        measure.expect_usable()
    for captioner in spec.captioners:
        expect_captioner(captioner)


def _contents(folder: Path, spec: Curation) -> tuple[dict[str, list[str]], list[JudgedScene]]:
    """The captions of each video that is judged, by its name, and what is left out unseen. ValueError if none is left.

    With captioners, what lacks a caption is judged too.
    """
    report = scan(Folder(path=str(folder)))
    texts, stills = dict[str, list[str]](), dict[str, list[str]]()
    for clip in report.kept:
        (stills if clip.info.still else texts).setdefault(clip.name, []).append(clip.text)
    if spec.captioners:
        for clip in scan(Folder(path=str(folder), captions=False)).kept:
            (stills if clip.info.still else texts).setdefault(clip.name, [])
    known = texts.keys() | stills.keys()
    rest = [unread(_shown(item.name), [], _shown(item.reason)) for item in report.dropped if item.name not in known]
    rest += [unread(_shown(name), own, "image: only videos are curated") for name, own in stills.items()]
    for name in [name for name in texts if _shown(name) != name]:
        rest.append(unread(_shown(name), texts.pop(name), "its name is no UTF-8"))
    if not texts:
        first = "".join(f"\n  {scene.name}: {scene.reason}" for scene in rest[:5])
        raise ValueError(f"{folder}: no usable captioned video; captioners would describe those without{first}")
    return texts, rest


def _shown(name: str) -> str:
    """A file's name as it can be written to a text file."""
    return name.encode("utf-8", "backslashreplace").decode()


def _state(path: Path) -> list[int]:
    """What changes with a file: its size and the time of its last change; empty for none."""
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """No other process writes to `out` meanwhile. Raises ValueError if one does, or if `out` is no folder."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: exists; expected a new folder, or one of this curation, to resume")
    with alone(out, f"{out}: another process curates into it; wait for it, or choose another"):
        yield


@contextmanager
def _pool(workers: int, out: Path) -> Iterator[ProcessPoolExecutor]:
    """Processes to work in. On an error what has not begun is given up. Raises ValueError where one of them dies."""
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_end_with_the_first)
    try:
        yield pool
    except BrokenProcessPool:
        raise ValueError(
            f"{out}: a process ended in the middle of its work (is there memory for {workers} of them?); "
            "the same command goes on"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_the_first() -> None:
    """In a process of the pool: Ctrl-C is the first process's to answer, and where that one is gone, go too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    first = multiprocessing.parent_process()
    assert first is not None

    def watch() -> None:
        first.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _against_each_other(scenes: list[JudgedScene], spec: Curation, marks: FileMarks) -> list[JudgedScene]:
    """The scenes with what only a comparison tells: duplicates, and the worst percentages.

    Of duplicates the first one stays, but one that is held out before those to train on.
    """
    result = list(scenes)
    kept, seen = list[JudgedScene](), SeenScenes(spec.near)
    for number in sorted(range(len(scenes)), key=lambda number: not _is_held_out(scenes[number].name, marks)):
        scene = scenes[number]
        if scene.reason is None:
            twin = seen.original(scene.hashes)
            if twin is None:
                kept.append(scene)
                seen.add(scene.hashes)
            else:
                result[number] = scene._replace(reason=f"duplicate: of {kept[twin].name} at {kept[twin].start:.2f} s")
    good = [number for number, scene in enumerate(result) if scene.reason is None]
    for measure in spec.measures:
        name, share = measure.kind(), spec.worst.get(measure.kind(), 0.0)
        values = [(result[number].measures[name], number) for number in good]
        ranked = sorted(values, key=itemgetter(0), reverse=not measure.higher_is_better)  # the worst first
        for _, number in ranked[: int(len(good) * share / 100)]:
            if result[number].reason is None:
                result[number] = result[number]._replace(reason=f"worst: among the {share:g} % by {name}")
    return result


def _is_held_out(name: str, marks: FileMarks) -> bool:
    """Whether a file is in some split that is not there to train on."""
    splits = {mark.split for mark in marks.get(name, ())} - {None, SPLIT}
    return any(not split.casefold().startswith("train") for split in splits if split is not None)


def _resumed(out: Path, settings: dict[str, Any], states: dict[str, list[int | str]]) -> dict[str, list[JudgedScene]]:
    """What the journal in `out` knows of unchanged files; a new one is begun. ValueError for another's folder."""
    journal = out / JOURNAL
    if not journal.is_file():
        if any(out.iterdir()):
            raise ValueError(f"{out}: exists; expected a new folder, or one of this curation, to resume")
        write_text(journal, json.dumps(settings) + "\n")
        return {}
    lines = journal.read_text("utf-8", errors="replace").split("\n")
    try:
        same, *known = [json.loads(lines[0]) == settings, *map(json.loads, lines[1:-1])]
        found = {
            name: [JudgedScene(*scene) for scene in scenes]
            for name, state, scenes in known
            if states.get(name) == state
        }
    except (ValueError, TypeError) as error:
        raise ValueError(f"{journal}: is not as a curation writes it ({error}); choose a new folder") from None
    if not same:
        raise ValueError(f"{out}: holds the curation of another folder or with another spec; expected a new folder")
    if lines[-1]:  # a line cut short by a kill
        write_text(journal, "\n".join([*lines[:-1], ""]))
    return found


def _write(folder: Path, out: Path, scenes: list[JudgedScene], clips: dict[int, Written], marks: FileMarks) -> None:
    """What is said of the clips: to train on, to compute with, and to look at."""
    lines, rows = [], []
    for number, scene in enumerate(scenes):
        name, how = clips.get(number, (None, None))
        file = None if name is None else f"clips/{name}"
        lines += [
            json.dumps({"file_name": file, "text": text, "split": split}, ensure_ascii=False) + "\n"
            for text, split in (_captions(scene, marks) if file else [])
        ]
        row = {key: value for key, value in scene._asdict().items() if key not in ("hashes", "strip")}
        rows.append(json.dumps(row | {"clip": file, "how": how}, ensure_ascii=False) + "\n")
    write_text(out / "metadata.jsonl", "".join(lines))
    write_text(out / "table.jsonl", "".join(rows))
    write_text(out / "index.html", page(str(folder), scenes, clips))


def _captions(scene: JudgedScene, marks: FileMarks) -> Iterator[tuple[str, str]]:
    """The captions of a scene with their splits; one that the metadata do not have is in every split of its file."""
    own = marks.get(scene.name, ())
    for text in dict.fromkeys(scene.texts):
        said = [mark.split for mark in own if mark.text == text]
        for split in said or dict.fromkeys(mark.split for mark in own) or (None,):
            yield text, split or SPLIT
