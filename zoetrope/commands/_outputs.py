"""The output paths of `generate`, chosen and checked before anything is sampled."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from zoetrope.channels import RGB, Channel
from zoetrope.commands._provenance import expect_unread, sealing
from zoetrope.commands._signing import expect_signable
from zoetrope.fields import Fields, Look, check_file, holds_values
from zoetrope.files import cut_name
from zoetrope.video import check_output, save_tensor
from zoetrope.video.naming import sequence_files, sequence_pattern

LONGEST_STEM = 200
"""Bytes of a source's name in the name of what is made of it; file systems allow some 255 in all."""
Done = Callable[[str, int], bool]
"""Whether a file is the video of that number already."""


class Kept(NamedTuple):
    """What is written of videos: their channels, and how pictures show one of them; None: they are pictures."""

    channels: tuple[Channel, ...] = RGB
    look: Look | None = None


class Outputs:
    """The file, or folder of pictures, of each video.

    One video goes to `out` itself; several get numbers, name-001.mp4 or out/001/. Without `out` the names come from
    the prompts and never replace a file.

    Attributes:
        paths: where each video goes; finished: which of them are there already.
        kept: the channels of the videos, and how pictures show them.
    """

    def __init__(
        self,
        out: str | None,
        prompts: Sequence[str],
        frames: int,
        done: Done | None = None,
        kept: "Kept | None" = None,
        stems: Sequence[str] | None = None,
        *,
        fps: float | None,
    ) -> None:
        """With `done`, files that it reports as finished are kept, and no others of these names may exist.

        Videos have so many frames, and frames a second; None: only the writer knows. `stems` are the names without
        `out`, but for their endings; None: those that prompts make. Raises ValueError for a name that cannot be
        written.
        """
        self.kept = kept or Kept()
        self._own = [] if out is not None else list(stems or map(slug, prompts))
        suffix = ".npz" if self.kept.look is not None else ".mp4" if frames > 1 else ".png"
        self.paths: list[str] = []
        for number, stem in enumerate(stems or map(slug, prompts)):
            if out is None:
                self.paths.append(_free(stem, suffix, self.paths, number, done))
            else:
                self.paths.append(out if len(prompts) == 1 else numbered(out, number + 1))
        self.finished = [
            done is not None and _is_whole(path, frames) and done(path, n) for n, path in enumerate(self.paths)
        ]
        expect_unread(path for path, finished in zip(self.paths, self.finished, strict=True) if not finished)
        if sealing() is not None:
            expect_signable(self.paths, self.finished)
        if out is not None and not all(self.finished):
            check_file(out, frames, fps)
        for path, prompt, finished in zip(self.paths, prompts, self.finished, strict=True):
            if finished:
                continue
            if done is not None and exists(path):
                raise ValueError(
                    f"{path}: expected the video of {prompt!r} with these settings, or nothing, to go on from; "
                    "remove it or choose another --out"
                )
            if len(prompts) == 1 or not is_folder(out):
                check_file(path, frames, fps)
            elif Path(path).is_dir() and any(Path(path).iterdir()):
                raise ValueError(f"{path}: already holds files; --resume goes on, or choose another --out")

    def save(self, number: int, made: Tensor, fps: float, tags: Mapping[str, str]) -> str:
        """Write one video (C, F, H, W), as networks see it, with its tags, and return its path."""
        path = self.place(number)
        if is_folder(path):
            Path(path).parent.mkdir(exist_ok=True)
        write_video(made, fps, path, tags, self.kept)
        return path

    def place(self, number: int) -> str:
        """Where a video goes now: without `out` a name that still is free, should another process have taken it."""
        if self._own and Path(self.paths[number]).exists():
            self.paths[number] = _free(self._own[number], Path(self.paths[number]).suffix, self.paths, number, None)
        return self.paths[number]


class StageOutputs:
    """The folder for the videos of all stages."""

    def __init__(self, folder: str | None, kept: "Kept | None" = None) -> None:
        """Raises ValueError if the folder cannot be written."""
        self.kept = kept or Kept()
        self.folder = None if folder is None else Path(os.path.expanduser(folder))
        if self.folder is not None:
            if self.folder.exists() and not self.folder.is_dir():
                raise ValueError(f"--save-stages {folder}: expected a folder or a new name, got a file")
            check_output((self.folder if self.folder.is_dir() else self.folder.parent) / "stage.mp4")

    def expect_apart(self, paths: Sequence[str], stages: Iterable[tuple[str, int]]) -> None:
        """Raise ValueError if two of the videos at `paths`, and of their stages (name, frames), had the same name.

        Also if one of a stage had that of a file that is read.
        """
        if self.folder is None:
            return
        every = [self._named(path, stage, frames) for stage, frames in stages for path in paths]
        expect_unread(every)
        seen: set[str] = set()
        for path in [*paths, *every]:
            key = os.path.abspath(path).casefold()  # many file systems ignore case
            if key in seen:
                raise ValueError(
                    f"--save-stages {self.folder}: {path} would be written twice; choose another folder or --out"
                )
            seen.add(key)

    def save(self, path: str, stage: str, made: Tensor, fps: float, tags: Mapping[str, str]) -> str | None:
        """Write a stage's video (C, F, H, W), as networks see it, named after its final video at `path`."""
        file = self.path(path, stage, made.shape[1])
        if file is not None:
            write_video(made, fps, file, tags, self.kept)
        return file

    def path(self, path: str, stage: str, frames: int) -> str | None:
        """The path of a stage's video of `frames` frames; creates the folder."""
        if self.folder is None:
            return None
        self.folder.mkdir(exist_ok=True)
        return self._named(path, stage, frames)

    def _named(self, path: str, stage: str, frames: int) -> str:
        assert self.folder is not None
        target = Path(path)
        suffix = ".png" if frames == 1 else target.suffix if target.suffix in (".webm", ".gif") else ".mp4"
        suffix = target.suffix if holds_values(target) else suffix
        return str(self.folder / f"{target.stem.partition('%')[0].rstrip('_-')}-{stage}{suffix}")


def exists(path: str) -> bool:
    """Whether there is a file of that name, or a picture of that sequence."""
    pattern = sequence_pattern(path)
    return bool(sequence_files(pattern)) if pattern else Path(path).exists()


def _is_whole(path: str, frames: int) -> bool:
    """Whether a file exists, or all pictures of a sequence, whose renaming may have been interrupted."""
    pattern = sequence_pattern(path)
    return len(sequence_files(pattern)) == frames if pattern else Path(path).is_file() or holds_values(path)


def is_folder(path: str | None) -> bool:
    """Whether a name means a folder of pictures."""
    if path is None or holds_values(path):
        return False
    return path.endswith(("/", os.sep)) or Path(path).is_dir()


def numbered(out: str, number: int) -> str:
    """The name of one of several outputs."""
    if is_folder(out):
        return os.path.join(out, f"{number:03d}", "")
    path = Path(out)
    if "%" in path.stem:
        before, sign, after = path.name.partition("%")
        return str(path.with_name(f"{before}{number:03d}-{sign}{after}"))
    return str(path.with_name(f"{path.stem}-{number:03d}{path.suffix}"))


def slug(prompt: str) -> str:
    """A file name made from the prompt."""
    words = re.sub(r"[^\w]+", "-", prompt.lower()).strip("-_")
    return words[:60].rstrip("-_") or "video"


def stem_after(source: str, what: str) -> str:
    """The name of what is made of a source, without an ending: that of the source, and `what` is done to it.

    Pictures in a folder have its name. A name so long that file systems would refuse the new one is cut.
    """
    pattern, path = sequence_pattern(source), Path(os.path.abspath(source))
    if pattern is None:
        own = path.stem
    elif pattern == Path(source):
        own = path.name.partition("%")[0].rstrip("_-") or path.parent.name
    else:
        own = path.name
    return f"{cut_name(own, LONGEST_STEM)}-{what}"


def write_video(made: Tensor, fps: float, path: str, tags: Mapping[str, str], kept: Kept) -> None:
    """Write a video (C, F, H, W), as networks see it, with its tags."""
    with named(path):
        if holds_values(path):
            Fields.of_model(made, kept.channels, fps).save(path, tags=tags)
        elif kept.look is None:
            save_tensor(made, fps, path, tags=tags, seal=sealing())
        else:
            Fields.of_model(made, kept.channels, fps).pictured(kept.look).save(path, tags=tags, seal=sealing())


@contextmanager
def named(path: str) -> Iterator[None]:
    """Name the file in an error while writing it."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, path) from error  # a full disk does not say which file


def _free(stem: str, suffix: str, taken: Sequence[str], video: int, done: Done | None) -> str:
    """A name that no file has, except one that already is this video."""
    name, number = stem + suffix, 2
    while name in taken or (Path(name).exists() and not (done is not None and done(name, video))):
        name, number = f"{stem}-{number}{suffix}", number + 1
    return name
