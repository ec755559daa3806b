"""Sampling in several sizes, and in the lengths that a model was trained on."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zoetrope.commands._options import size_named
from zoetrope.commands._sampling import SamplingOptions, opened
from zoetrope.commands._talk import Talk

Prepare = Callable[[Talk, SamplingOptions, str | None], Callable[[], None]]
"""(talk, options, output) -> what makes the videos; it raises ValueError for what is impossible before that."""


class Silent(Talk):
    """Says nothing: what it would say is said when the videos are made."""

    def say(self, message: str) -> None:
        """Nothing."""

    def warn(self, message: str) -> None:
        """Nothing."""


class Gathering(Talk):
    """Keeps the results of parts, to print them together."""

    def __init__(self, *_: bool) -> None:
        self.values, self.texts = list[dict[str, Any]](), list[str]()

    def result(self, value: Any, text: str) -> None:
        """Keep a result."""
        self.values.append(value)
        self.texts.append(text)


def in_sizes(
    talk: Talk, sizes: Sequence[str] | None, models: Sequence[str] | None, asked: SamplingOptions, out: str | None,
    prepare: Prepare,
) -> None:  # fmt: skip
    """Make what `prepare` prepares for each size, and print one result; outputs are named after their size too.

    Raises ValueError, before anything is made, for a size that is none or that the model cannot make.
    """
    every = list(dict.fromkeys(f"{height}x{width}" for height, width in map(size_named, sizes or ())))
    if len(every) < 2:
        prepare(talk, asked._replace(size=every[0] if every else None), out)()
        return
    for size in every:
        opened(models, asked._replace(size=size))
    outs = {size: None if out is None else _named(out, size) for size in every}
    for size in every:
        prepare(Silent(talk.json, talk.quiet), asked._replace(size=size), outs[size])
    gathering = Gathering(talk.json, talk.quiet)
    for size in every:
        try:
            prepare(gathering, asked._replace(size=size), outs[size])()
        except KeyboardInterrupt as stop:
            there = [file["path"] for value in gathering.values for file in value["files"]]
            before = f"; of other sizes {', '.join(there)} are finished" if there else ""
            raise KeyboardInterrupt(f"{size}: {stop}{before}") from None
    files = [file for value in gathering.values for file in value["files"]]
    parts = [{"size": size, **value} for size, value in zip(every, gathering.values, strict=True)]
    talk.result({"files": files, "sizes": parts}, "\n".join(text for text in gathering.texts if text))


def _named(out: str, size: str) -> str:
    """The name of the output, or outputs, of a size."""
    from zoetrope.commands._outputs import is_folder

    if is_folder(out):
        os.makedirs(out, exist_ok=True)
        return os.path.join(out, size, "")
    path = Path(out)
    before, sign, after = path.name.partition("%")
    if sign:
        return str(path.with_name(f"{before}{size}-{sign}{after}"))
    return str(path.with_name(f"{path.stem}-{size}{path.suffix}"))


def in_one_go(
    talk: Talk, models: Sequence[str] | None, asked: SamplingOptions, seconds: float
) -> SamplingOptions | None:
    """The options for a video of so many seconds from a model that was trained on several lengths, as one clip.

    The number of frames is the nearest that its network can make. None for a longer video than those, which takes
    several clips, and for models of one length.
    """
    from zoetrope.cascade.grid import FAR

    if asked.frames is not None or seconds <= 0:
        return None
    stage = opened(models, asked).spec.videos[0]
    fps, longest = stage.shape.fps, max((grid.frames for grid in stage.grids), default=0)
    wanted = seconds * fps
    if wanted > longest * FAR:
        return None
    for frames in sorted(range(1, round(longest * FAR) + 1), key=lambda count: abs(count - wanted)):
        try:
            stage.network.check(*stage.sampling.seen(stage.shape.with_(frames=frames)).sizes)
        except ValueError:
            continue
        if frames != wanted:
            talk.say(f"--seconds {seconds:g}: {frames} frames, {frames / fps:.2f} s")
        return asked._replace(frames=frames)
    return None
