"""A job's video in other formats, made when they are asked for and kept beside it."""

import asyncio
import zipfile
from pathlib import Path

from zoetrope.files import whole
from zoetrope.serving.uploads import Refusal

FORMATS = {
    "mp4": "video/mp4", "webm": "video/webm", "gif": "image/gif", "png": "image/png", "zip": "application/zip",
}  # fmt: skip
"""Formats, with their types. `png` is a sheet of frames of a video, or the picture; `zip` holds all frames as PNGs."""
ROW, MOST, WIDEST = 8, 32, 320
"""Frames in a row of a sheet, and at most in all of it; pixels of each in height and width, at most."""


class Downloads:
    """Converts one file at a time."""

    def __init__(self) -> None:
        self.one = asyncio.Semaphore(1)

    async def of(self, path: Path, wanted: str) -> Path:
        """The file in this format. Raises Refusal where there is none, and for a picture as a video."""
        if path.suffix == f".{wanted}":
            target = path
        elif path.suffix == ".png" and wanted in ("mp4", "webm"):
            raise Refusal(404, f"video: expected png, gif or zip of a picture, got {wanted}")
        else:
            target = path.with_name(f"{path.stem}.{wanted}")
        if target.is_file():  # it waits for nobody's conversion
            return target
        async with self.one:
            if not target.is_file():
                if target == path or not path.is_file():
                    raise Refusal(404, "video: its file is no longer there")
                await asyncio.to_thread(convert, path, target)
        return target


def convert(path: Path, target: Path) -> None:
    """Write a video in another format, with its tags. Raises ValueError for what cannot be read."""
    from zoetrope.video import open_writer, probe, read_tags, stream

    tags, info = read_tags(path), probe(path)
    if target.suffix == ".png":
        _sheet(path, target, info.frames)
    elif target.suffix == ".zip":
        _zip(path, target)
    else:
        fps = min(info.fps, 50.0) if target.suffix == ".gif" else info.fps
        with open_writer(target, fps, info.height, info.width, tags=tags) as writer:
            for frame in stream(path, fps=fps if fps != info.fps else None):
                writer.write(frame)


def _sheet(path: Path, target: Path, frames: int) -> None:
    """Frames from the first to the last, in rows, each of at most `WIDEST` pixels."""
    import numpy as np

    from zoetrope.video import Video, contact_sheet, open_writer, read_tags, stream

    chosen = set(np.linspace(0, frames - 1, min(frames, MOST)).round().astype(int).tolist())
    kept = list[np.ndarray]()
    for number, frame in enumerate(stream(path)):
        step = -(-max(frame.shape[:2]) // WIDEST)
        if number in chosen:
            kept.append(np.ascontiguousarray(frame[::step, ::step]))
    rows = [np.stack(kept[first : first + ROW]) for first in range(0, len(kept), ROW)]
    rows[-1] = np.concatenate([rows[-1], np.repeat(rows[-1][-1:], len(rows[0]) - len(rows[-1]), axis=0)])
    image = contact_sheet([Video(row, 1.0) for row in rows], picks=len(rows[0]))
    with open_writer(target, 1.0, *image.shape[:2], tags=read_tags(path)) as writer:
        writer.write(image)


def _zip(path: Path, target: Path) -> None:
    """All frames as frame_0000.png, frame_0001.png, ..., and their tags."""
    import tempfile

    from zoetrope.video import open_writer, probe, read_tags, stream

    info = probe(path)
    with tempfile.TemporaryDirectory(prefix="zoetrope-", dir=target.parent) as folder:
        with open_writer(f"{folder}/", info.fps, info.height, info.width, tags=read_tags(path)) as writer:
            for frame in stream(path):
                writer.write(frame)
        with whole(target) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as packed:
            for file in sorted(Path(folder).iterdir()):
                packed.write(file, file.name)
