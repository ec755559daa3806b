"""Real clips to compare generated videos with: captioned clips of a folder, or of toybox, on any grid."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from zoetrope.channels import RGB, Channel
from zoetrope.config import unknown
from zoetrope.config.errors import expect_path
from zoetrope.data import Dataset, Example, Source
from zoetrope.data.folder import Folder
from zoetrope.data.shards import is_shards
from zoetrope.data.toybox.captions import caption
from zoetrope.data.toybox.held_out import held_out, held_out_script
from zoetrope.data.toybox.render import render
from zoetrope.data.toybox.scene import Script, scene
from zoetrope.data.toybox.world import numbered_script
from zoetrope.files.plain import read_json
from zoetrope.shapes import VideoShape
from zoetrope.wording import counted

log = logging.getLogger(__name__)
TOYBOX_SPLITS = ("held_out", "training")


@dataclass(frozen=True)
class Reference:
    """Captioned real clips, numbered from 0 without end.

    Attributes:
        name: what they are, in words.
        example: (number, grid) -> clip and caption, the same at every call.
        script: number -> the clip's toybox script; None for other data.
        files: how many files they are cut from; None if each is a separate clip.
        unused: messages about unused data.
        channels: of the clips.
        tells: what is told of clips by name, see `zoetrope.data.Dataset.tells`.
        source: the JSON of the data source that a file describes, which may change; None for other data.
        contents: the digest of the clips, see `zoetrope.data.Contents`; None: they cannot change.
        different: grid -> how many different clips there are, after which they come again; None: that is not known.
    """

    name: str
    example: Callable[[int, VideoShape], Example]
    script: Callable[[int], Script] | None = None
    files: int | None = None
    unused: tuple[str, ...] = ()
    channels: tuple[Channel, ...] = RGB
    tells: Mapping[str, str] = field(default_factory=dict)
    source: Mapping[str, Any] | None = None
    contents: str | None = None
    different: Callable[[VideoShape], int | None] = lambda _: None

    def note(self, count: int, shape: VideoShape) -> str | None:
        """A note about the first `count` clips on a grid, if one is necessary."""
        if (there := self.different(shape)) is not None and count > there:
            return (
                f"{counted(count, 'clip')} asked for, {there} there, which come again: intervals that take them for "
                f"independent are too narrow; --count {there} shows each once"
            )
        if self.files is None or count <= self.files:
            return None
        return f"{count} clips are cut from {self.files} files: some show the same at other times and places"


def open_reference(
    data: str, split: str | None = None, short: Literal["hold", "slow", "drop"] | None = None
) -> Reference:
    """The clips that `data` names: "toybox", or a folder, of which metadata may mark a `split`.

    It may also be any `zoetrope.data.Source`, as JSON that begins with "{", such as a recipe's "data", or a .json file
    of that.

    `short` is what becomes of a folder's videos that are too short for a clip, see `zoetrope.data._clips.ClipSource`;
    None: the usual.
    Toybox has two splits: "held_out", the default, are clips that training never saw, every second of which combines
    what training never shows together; "training" are the things and captions of training.
    Raises ValueError if there is no such split, if nothing in the folder is usable, and for `short` of other data.
    """
    expect_path("data", data, "a folder or toybox")
    if data.endswith(".json") and Path(data).is_file():
        return replace(_described(described := read_json(Path(data)), split, short), source=described)
    if data.lstrip().startswith("{"):
        return _described(data, split, short)
    if data != "toybox" or Path(data).is_dir():
        if is_shards(data):
            raise ValueError(f"--data {data}: expected the folder of clips, got shards, which have no splits")
        clips = Folder(path=data, split=split, short=short or "hold").open()
        path = clips.source.place.resolve()
        name = f"{path.name}, {split}" if split else path.name
        unused = tuple(line for item in clips.unused() for line in item.lines())
        return Reference(
            name, _logging(clips), files=len(clips.report.kept), unused=unused, contents=clips.contents().digest
        )
    if short is not None:
        raise ValueError(f"--short {short}: expected a folder, whose videos may be short, got toybox")
    if split in (None, "held_out"):
        return Reference("toybox, held out of training", held_out, held_out_script)
    if split == "training":
        return Reference("toybox, as in training", _training, numbered_script)
    raise ValueError("--split: " + unknown("split of toybox", str(split), TOYBOX_SPLITS))


def _described(data: Any, split: str | None, short: str | None) -> Reference:
    """The clips of a source in JSON."""
    for option, value in (("--split", split), ("--short", short)):
        if value is not None:
            raise ValueError(f"{option} {value}: expected without, for --data describes the source; say it there")
    try:
        source = Source.from_json(data)
    except ValueError as error:
        raise ValueError(f"--data: {str(error).removeprefix('Source: ')}") from None
    clips = source.open()
    unused, contents = tuple(line for item in clips.unused() for line in item.lines()), clips.contents()
    return Reference(
        f"data of {source.kind()}", _logging(clips), contents=None if contents is None else contents.digest,
        unused=unused, channels=clips.channels(), tells=clips.tells(), different=clips.count,
    )  # fmt: skip


def _logging(clips: Dataset) -> Callable[[int, VideoShape], Example]:
    """The clips of a data set; those that can no longer be read are logged, once each."""
    logged = set[str]()

    def example(number: int, shape: VideoShape) -> Example:
        found = clips.example(number, shape)
        for line in found.replaced():
            if line not in logged:
                logged.add(line)
                log.warning("%s", line)
        return found

    return example


def _training(number: int, shape: VideoShape) -> Example:
    """A training script with new sizes, places and speeds, and its caption."""
    script = numbered_script(number)
    frames = render(scene(script, number), shape)
    video = torch.from_numpy(frames).permute(3, 0, 1, 2).float() * 2 - 1
    return Example(video, caption(script), f"clip {number} of toybox, as in training")
