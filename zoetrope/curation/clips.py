"""Clips: the files of what is kept, copied where that is exact, and encoded anew where it is not."""

import json
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from zoetrope.curation.scenes import JudgedScene
from zoetrope.files import whole
from zoetrope.video import open_writer, probe, stream
from zoetrope.video.copying import copied_suffix, copy_stretch

CLIPS = "clips.jsonl"
FILE, PACKETS, ENCODED = "file copied", "packets copied", "encoded anew"
OWN = re.compile(r"\d{6}\..+|\..+")  # names of clips, and of those that were being written
Written = tuple[str, str]  # the name of a clip in the folder of clips, and how it was made


def write_clips(
    folder: Path,
    out: Path,
    scenes: dict[int, JudgedScene],
    states: dict[int, list[int]],
    pool: ProcessPoolExecutor,
    progress: Callable[[], None],
) -> tuple[dict[int, Written], dict[int, str]]:
    """The clips of numbered scenes in `out`/clips, written in the processes of `pool`; those there already stay.

    `states` tell when the file of a scene was changed: of a changed one a clip is made anew. Also returns why a clip
    could not be written, as where its file was removed.
    """
    place = out / "clips"
    place.mkdir(exist_ok=True)
    keys: dict[int, list[object]] = {
        number: [scene.name, scene.start, scene.seconds, *states[number]] for number, scene in scenes.items()
    }
    made = {
        number: (name, how)
        for number, (key, name, how) in _noted(out).items()
        if number in scenes and key == keys[number] and (place / name).is_file()
    }
    kept = {name for name, _ in made.values()}
    for path in place.iterdir():
        if OWN.fullmatch(path.name) and path.is_file() and path.name not in kept:
            path.unlink()
    failed: dict[int, str] = {}
    with (out / CLIPS).open("a", encoding="utf-8") as notes:

        def note(number: int, key: list[object], name: str, how: str) -> None:
            notes.write(json.dumps([number, key, name, how]) + "\n")
            notes.flush()

        for number in scenes.keys() - made.keys():  # what an earlier note says of it holds no longer
            note(number, [], "", "")
        jobs = {
            pool.submit(write_clip, folder, scene, place / f"{number:06d}"): number
            for number, scene in scenes.items()
            if number not in made
        }
        for job in as_completed(jobs):
            number = jobs[job]
            try:
                made[number] = job.result()
            except (OSError, ValueError) as error:
                failed[number] = str(error)
            else:
                note(number, keys[number], *made[number])
            progress()
    return made, failed


def write_clip(folder: Path, scene: JudgedScene, stem: Path) -> Written:
    """Write the clip of a scene; `stem` is its path without an ending.

    The whole of a file is copied as it is. A part is copied packet by packet if it begins with a key frame and ends
    where the codec lets it, and otherwise encoded anew, exact to a picture. Parts have no sound.
    """
    path = folder / scene.name
    if scene.whole:
        target = stem.with_name(stem.name + path.suffix.lower())
        with whole(target) as partial:
            shutil.copyfile(path, partial)
        return target.name, FILE
    info = probe(path)
    target = stem.with_name(stem.name + copied_suffix(info))
    part = stem.with_name(f".{target.name}.copy{target.suffix}")
    if copy_stretch(path, info, scene.start, scene.seconds, part):
        part.replace(target)
        return target.name, PACKETS
    target = stem.with_name(stem.name + ".mp4")
    with open_writer(target, info.fps, info.height, info.width) as writer:
        for picture in stream(path, start=scene.start, frames=round(scene.seconds * info.fps)):
            writer.write(picture)
    return target.name, ENCODED


def _noted(out: Path) -> dict[int, tuple[list[object], str, str]]:
    """What the latest note of an earlier run says of each clip; a line cut short by a kill says nothing."""
    path = out / CLIPS
    if not path.is_file():
        return {}
    text = path.read_text("utf-8", errors="replace")
    if text and not text.endswith("\n"):
        path.write_text(text[: text.rfind("\n") + 1], "utf-8")
    try:
        lines = [json.loads(line) for line in text.split("\n")[:-1]]
        return {number: (key, name, how) for number, key, name, how in lines}
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path}: is not as a curation writes it ({error}); remove it, and clips are made anew"
        ) from None
