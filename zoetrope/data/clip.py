"""A single clip with a caption, always its beginning: for networks that are tuned to one clip."""

import hashlib
import os
from pathlib import Path
from typing import Self

from zoetrope.data import Contents, Dataset, Example, Source
from zoetrope.shapes import VideoShape
from zoetrope.video import Video, probe, rate_to_read, read
from zoetrope.video.naming import sequence_files, sequence_pattern


class OneClip(Source):
    """The first frames of a video on any grid, resized to cover it and cropped in the middle.

    Attributes:
        path: a video, or a folder or name_%04d.png of pictures.
        text: its caption.
        digest: 16 letters that identify its file, see `digest_of`; "": whatever is there. With them a training does not
            go on with another clip.
    """

    path: str
    text: str
    digest: str = ""

    def open(self) -> "ClipDataset":
        """The clip. Raises ValueError if there is none, or another one than `digest` says."""
        if self.digest and digest_of(self.path) != self.digest:
            raise ValueError(f"{self.path}: expected the clip that it was, got another one")
        return ClipDataset(self)

    def located(self) -> Self:
        """See `Source`."""
        return self.with_(path=str(Path(os.path.expanduser(self.path)).absolute()))


class ClipDataset(Dataset):
    """The opened clip: every example is the same."""

    def __init__(self, source: OneClip) -> None:
        self.source = source
        self._seen: dict[VideoShape, Video] = {}

    def example(self, index: int, shape: VideoShape) -> Example:
        """The clip; ValueError if it is shorter than the grid."""
        if shape not in self._seen:
            self._seen = {shape: frames_of(self.source.path, shape)}  # of one grid at a time
        return Example(self._seen[shape].to_tensor(), self.source.text, self.source.path)

    def contents(self) -> Contents:
        """See `Dataset`."""
        told = f"{digest_of(self.source.path)} {self.source.text}"
        return Contents(1, hashlib.blake2b(told.encode(), digest_size=8).hexdigest())

    def captions(self) -> list[str]:
        """Its caption, if it has one."""
        return [self.source.text] if self.source.text else []


def frames_of(path: str, shape: VideoShape) -> Video:
    """The first frames of a video at this size and rate. Raises ValueError if it has fewer."""
    rate = rate_to_read(probe(path), shape.fps, shape.frames)
    found = read(path, fps=rate, frames=shape.frames, size=(shape.height, shape.width))
    if len(found.frames) < shape.frames:
        raise ValueError(
            f"{path}: expected {shape.frames} frames at {shape.fps:g} fps, got {len(found.frames)}: the clip ends"
        )
    return Video(found.frames, shape.fps)


def digest_of(path: str) -> str:
    """16 letters that identify a video file, or the files of a picture sequence. Raises ValueError if there is none."""
    pattern = sequence_pattern(path)
    files = [Path(path)] if pattern is None else sequence_files(pattern)
    if not files or not files[0].is_file():
        raise ValueError(f"{path}: no such video")
    found = hashlib.blake2b(digest_size=8)
    for file in files:
        with file.open("rb") as content:
            found.update(hashlib.file_digest(content, "blake2b").digest())
    return found.hexdigest()
