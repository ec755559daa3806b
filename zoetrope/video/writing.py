"""Writing videos: picture by picture, to mp4, webm, gif or png.

A file appears whole or not at all, and so does each picture of a sequence.
"""

import math
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np

from zoetrope.video.encoding import Output, Sink, encoder, pictures
from zoetrope.video.ending import unwinding
from zoetrope.video.naming import is_address, sequence_files, sequence_pattern
from zoetrope.video.opening import PathLike
from zoetrope.video.tags import as_json, beside, check_tags

SUFFIXES = (".gif", ".mp4", ".png", ".webm")

Seal = Callable[[Path, Path, Mapping[str, str]], None]
"""Changes a finished file in its place, given its coming name and its tags, as `zoetrope.models.signing` does."""


def check_output(path: str | os.PathLike[str], frames: int | None = None, fps: float | None = None) -> None:
    """Raise ValueError, with one line that says why, if such a video cannot be written to `path`.

    It has so many frames and frames a second, as far as these are known.

    The name says how it is written. `.mp4` is H.264 (an odd height or width grows by one, repeating the edge), `.webm`
    is VP9, `.gif` has a palette for each picture and at most 50 pictures a second. An existing folder or a name that
    ends in "/" is filled with frame_0000.png, frame_0001.png, ...; a `.png` name with a pattern such as %04d is such a
    sequence too, and without one a single picture. An existing file is replaced; pictures of a sequence never are.
    """
    target = Path(path)
    if is_address(path):
        raise ValueError(f"{path}: is an address; expected a name on this machine")
    if sequence := sequence_pattern(path):
        folder = sequence.parent if sequence.parent.is_dir() else sequence.parent.parent
        if sequence_files(sequence):
            raise ValueError(f"{path}: already holds pictures of this name ({sequence_files(sequence)[0].name})")
    else:
        folder = target.parent
        if not target.suffix:
            raise ValueError(f"{path}: expected a name ending in {', '.join(SUFFIXES)}, or a folder ending in '/'")
        if target.suffix.lower() not in SUFFIXES:
            raise ValueError(f"{path}: expected a name ending in {', '.join(SUFFIXES)}, got {target.suffix!r}")
        if target.suffix.lower() == ".png" and frames is not None and frames > 1:
            better = f"{target.stem}_%04d.png"
            raise ValueError(f"{path}: one .png holds one picture, not {frames}; name a folder or {better}")
    if fps is not None:
        _check_rate(path, ".png" if sequence else target.suffix.lower(), fps)
    if not folder.is_dir():
        raise ValueError(f"{path}: the folder {str(folder)!r} does not exist")
    probe = folder / _temporary_name(target.name)
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise ValueError(f"{path}: cannot write in the folder {str(folder)!r} ({error.strerror})") from None


class Writer:
    """Accepts the pictures of a video as they become ready; made by `open_writer`.

    `frames` is how many it has taken. `notes` says, once the file is written, what of the sound could not be kept.
    """

    def __init__(self, sink: Sink, height: int, width: int, notes: list[str]) -> None:
        self._sink = sink
        self._size = (height, width)
        self.frames = 0
        self.notes = notes

    def write(self, frames: np.ndarray) -> None:
        """Append pictures (F, H, W, 3) or one picture (H, W, 3), uint8. Raises ValueError for another shape or type."""
        pictures = frames[None] if frames.ndim == 3 else frames
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[1:] != (*self._size, 3):
            wanted = ("F", *self._size, 3)
            raise ValueError(f"Writer.write: expected {wanted} uint8, got {frames.shape} {frames.dtype}")
        for picture in pictures:
            self._sink(np.ascontiguousarray(picture))
            self.frames += 1


@contextmanager
def open_writer(
    path: str | os.PathLike[str],
    fps: float,
    height: int,
    width: int,
    *,
    tags: Mapping[str, str] | None = None,
    sound_of: PathLike | None = None,
    seal: Seal | None = None,
) -> Iterator[Writer]:
    """A `Writer` to `path`; the file appears when the block ends, and after any error in it there is no file.

    The pictures of a sequence appear one after the other then, each of them whole. SIGTERM and SIGHUP, if the program
    does not handle them, end the block as errors do (`zoetrope.video.ending`).

    `tags` are stored with the video, as `zoetrope.video.tags` tells. The sound of the file `sound_of` goes along in mp4
    and webm, cut where the pictures end: time 0 is that file's first picture. `seal` is called last, with each file.

    Raises ValueError for what `check_output` refuses, an impossible rate, size or tag, and a block that wrote nothing;
    OSError where the disk is full.
    """
    import av

    check_output(path)
    check_tags(tags or {})
    pattern = sequence_pattern(path)
    suffix = ".png" if pattern else Path(path).suffix.lower()
    _check_grid(path, suffix, fps, height, width)
    target = pattern or Path(path)
    folder = target.parent if target.parent.is_dir() else target.parent.parent
    part = folder / _temporary_name(Path(path).name)
    opened = pictures if suffix == ".png" else encoder
    inside = {} if pattern else tags or {}
    output = Output(suffix, exact_rate(fps), height, width, inside, sound_of, [])
    with unwinding():
        try:
            with opened(part, output) as sink:
                writer = Writer(sink, height, width, output.notes)
                yield writer
                if not writer.frames:
                    raise ValueError(f"{path}: no pictures were written")
                if suffix == ".png" and pattern is None and writer.frames > 1:
                    raise ValueError(f"{path}: one .png holds one picture, not {writer.frames}; name a folder")
            if seal is not None:
                for file, name in _files(part, target, pattern is not None):
                    seal(file, name, tags or {})
            _publish(part, target, pattern is not None, tags or {})
        except av.FFmpegError as error:
            raise OSError(error.errno, f"cannot write the video ({error.strerror})", os.fspath(path)) from error
        finally:
            if part.is_dir():
                shutil.rmtree(part)
            else:
                part.unlink(missing_ok=True)


def save_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write one picture (H, W, 3) uint8 as a PNG. Raises ValueError for a name that cannot be written."""
    if Path(path).suffix.lower() != ".png" or sequence_pattern(path):
        raise ValueError(f"{path}: expected the name of one .png file")
    with open_writer(path, 1.0, *image.shape[:2]) as writer:
        writer.write(image)


def exact_rate(fps: float) -> Fraction:
    """The frame rate as the fraction that files store, such as 24000/1001."""
    return Fraction(fps).limit_denominator(10_000)


def _temporary_name(name: str) -> str:
    """A new hidden name that tells whose it is; file systems count its length, at most 255, in bytes."""
    beginning = name.encode("utf-8", "ignore")[:100].decode("utf-8", "ignore")
    return f".{beginning}.{secrets.token_hex(6)}.part"


def _check_grid(path: str | os.PathLike[str], suffix: str, fps: float, height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise ValueError(f"{path}: expected a height and width of at least 1, got {height} x {width}")
    _check_rate(path, suffix, fps)


def _check_rate(path: str | os.PathLike[str], suffix: str, fps: float) -> None:
    lowest, highest = (0.002, 50) if suffix == ".gif" else (0.001, 1000)  # a GIF shows a picture for 655 s at most
    if not (math.isfinite(fps) and lowest <= fps <= highest):
        raise ValueError(f"{path}: expected from {lowest:g} to {highest} pictures a second for {suffix}, got {fps:g}")


def _files(part: Path, target: Path, sequence: bool) -> list[tuple[Path, Path]]:
    """What is written, and the names that the files get."""
    if not part.is_dir():
        return [(part, target)]
    if not sequence:
        return [(part / "0", target)]
    return [(part / str(number), target.parent / (target.name % number)) for number in range(len(os.listdir(part)))]


def _publish(part: Path, target: Path, sequence: bool, tags: Mapping[str, str]) -> None:
    """Give what is written its name, and a sequence the file of its tags.

    One file takes its place in one step, and so does each picture of a sequence; the sequence as a whole does not. If
    its renaming is cut off, the pictures up to there, all whole, stay in the folder.
    """
    if sequence:
        target.parent.mkdir(exist_ok=True)
    for file, name in _files(part, target, sequence):
        file.replace(name)
    if sequence and tags:
        (part / "tags").write_bytes(as_json(tags))
        (part / "tags").replace(beside(target))
