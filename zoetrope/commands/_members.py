"""`--members`: an ensemble of one request, in one file of values with an axis of members."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from zoetrope.commands._outputs import Done, Kept, Outputs, exists, write_video
from zoetrope.fields import Ensemble, Fields, holds_values, read_values

PARTS = ".members"
"""The end of the name of the folder in which finished members lie until all are."""


def outputs_of(
    out: str | None,
    prompts: Sequence[str],
    frames: int,
    kept: Kept,
    *,
    fps: float,
    members: bool,
    done: Done | None = None,
) -> Outputs:
    """The outputs of `generate`; with `members` those of an ensemble, in one file where that holds values."""
    values = kept.look is not None if out is None else holds_values(out)
    if members and values:
        return MemberOutputs(out, prompts, frames, done, kept)
    return Outputs(out, prompts, frames, done, kept, fps=fps)


class MemberOutputs(Outputs):
    """The file of an ensemble, and the files of its members until all are finished.

    Attributes:
        whole: the path of the file of all; there: whether it is there already.
        folder: where those of members lie, beside it.
    """

    def __init__(
        self, out: str | None, prompts: Sequence[str], frames: int, done: Done | None, kept: Kept | None
    ) -> None:
        """See `Outputs`; `done` is asked about the whole file with the number -1."""
        own = None if done is None else lambda path, _: done(path, -1)
        whole = Outputs(out, prompts[:1], frames, own, kept, fps=None)  # files of values have any rate
        self.kept, self.whole, self.there = whole.kept, whole.paths[0], whole.finished[0]
        self.folder = Path(os.fspath(self.whole) + PARTS)
        self.paths = [str(self.folder / f"{number:03d}.npz") for number in range(1, len(prompts) + 1)]
        self.finished = [
            self.there or (done is not None and Path(path).is_file() and done(path, number))
            for number, path in enumerate(self.paths)
        ]
        if done is None and self.folder.exists():
            raise ValueError(f"{self.folder}: already holds members; --resume goes on, or remove it")
        for path, finished in zip(self.paths, self.finished, strict=True):
            if exists(path) and not finished:
                raise ValueError(f"{path}: expected a member with these settings, or nothing; remove {self.folder}")

    def save(self, number: int, made: Tensor, fps: float, tags: Mapping[str, str]) -> str:
        """Write one member (C, F, H, W), as networks see it, with its tags, and return its path."""
        self.folder.mkdir(exist_ok=True)
        write_video(made, fps, self.paths[number], tags, self.kept)
        return self.paths[number]

    def gathered(self, files: Sequence[dict[str, Any]], fps: float, tags: Mapping[str, str]) -> dict[str, Any]:
        """Write the file of all members, remove theirs, and return its summary."""
        whole = {"path": self.whole, "prompt": files[0]["prompt"], "fps": fps}
        if self.there:
            return {**whole, "members": len(files), "skipped": True}
        channels = self.kept.channels
        every = tuple(Fields(read_values(path, channels), channels, fps) for path in self.paths)
        Ensemble(every).save(self.whole, tags=tags)
        shutil.rmtree(self.folder)
        members = [{name: value for name, value in one.items() if name not in ("path", "prompt")} for one in files]
        return {**whole, "members": members}
