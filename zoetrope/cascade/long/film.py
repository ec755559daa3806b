"""A long video through all stages of a cascade: the first in blocks, the others in windows, one after the other."""

import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from zoetrope.cascade.long.blocks import Rollout
from zoetrope.cascade.long.frames import Frames
from zoetrope.cascade.long.journal import Journal
from zoetrope.cascade.long.latents import LatentRollout, latents_of
from zoetrope.cascade.long.overlap import Enlarging
from zoetrope.cascade.sample import Draw
from zoetrope.cascade.spec import StageSpec
from zoetrope.cascade.upscaling import enlarged
from zoetrope.codecs import CodecNetwork
from zoetrope.conditioning import Conditioning
from zoetrope.networks import Network
from zoetrope.schemes import SamplingScheme
from zoetrope.shapes import MOST_FRAMES, VideoShape

GIVEN = "known frames"  # the journal's name for those from the start; no stage can have one with a space
NEAR = 0.02  # of a frame: seconds are written with a few decimals


class Made(NamedTuple):
    """One finished block of a stage, or window.

    Attributes:
        stage: its name.
        shape: of the stage's whole video.
        number: of the blocks that are finished.
        total: of all.
    """

    stage: str
    shape: VideoShape
    number: int
    total: int

    @property
    def done(self) -> bool:
        """Whether the stage's video is finished."""
        return self.number == self.total


@dataclass(frozen=True, kw_only=True)
class Film:
    """A video of minutes.

    Attributes:
        stages: those that run, on the grids of one call.
        frames: how many the first stage makes, given ones included.
        given: how many of them are known, from the first on.
        pictured: whether the videos are pictures, whose last stage is stored as video files do.
        scheme: the order in which the first stage makes frames.
        draw: of the one video.
        conditioning: the stage, at the rate of the frames that it makes -> what it is told, such as the text.
        folder: where the frames of all stages go, `STAGE.raw`, and latents, `STAGE.latents.raw`.
        codec: loads the codec of the first stage's latents; None: that makes none.
    """

    stages: Sequence[StageSpec]
    frames: int
    scheme: SamplingScheme
    draw: Draw
    conditioning: Callable[[StageSpec], Conditioning]
    folder: Path
    given: int = 0
    pictured: bool = True
    codec: Callable[[], CodecNetwork] | None = None

    def made(self) -> list[Frames]:
        """The frames of every stage; pictures of the last one are stored as video files store them.

        Those of a first stage that reads its own video are not.
        """
        shape = self.stages[0].made.with_(frames=self.frames)
        found = list[Frames]()
        for place, stage in enumerate(self.stages):
            shape = shape if place == 0 else enlarged(stage, shape)
            last = self.pictured and place == len(self.stages) - 1 and (place > 0 or self.codec is not None)
            path = self.folder / f"{stage.name}.raw"
            found.append(Frames(path=path, shape=shape, channels=stage.channels, coarse=last))
        return found

    def latents(self) -> Frames | None:
        """The latents of the first stage; None: it makes none."""
        if self.codec is None:
            return None
        first = self.stages[0]
        path, shape = self.folder / f"{first.name}.latents.raw", first.shape.with_(frames=self.frames)
        return Frames(path=path, shape=shape, channels=first.network.channels)

    def check(self) -> None:
        """Raise ValueError, before anything is sampled, if the video cannot be made: see `Rollout.check`."""
        first, *later = self._parts()
        first.check()
        for part in later:
            part.check()

    def expect_room(self) -> None:
        """Raise ValueError unless there is room for the frames that are still missing."""
        needed = 0
        latents = self.latents()
        for frames in (*self.made(), *([] if latents is None else [latents])):
            needed += max(0, frames.total_bytes - frames.stored_bytes())
        place = next(path for path in (self.folder, *self.folder.absolute().parents) if path.is_dir())
        free = shutil.disk_usage(place).free
        if needed > free:
            raise ValueError(
                f"{self.folder}: expected {math.ceil(needed / 1e6)} MB free on the disk for the frames of all stages, "
                f"got {free // 10**6} MB"
            )

    def give(self, frames: Iterable[Tensor], journal: Journal) -> None:
        """Store the known frames, each (C, H, W) in [-1, 1], unless the journal has them."""
        if journal.done(GIVEN) or not self.given:
            return
        first, latents, count = self.made()[0], self.latents(), 0
        codec = None if self.codec is None else self.codec().to(self.draw.device)
        for frame in frames:
            first.write([count], frame[:, None])
            if codec is not None and latents is not None:
                latents.write([count], latents_of(codec, frame))
            count += 1
        assert count == self.given
        journal.finish(GIVEN, 1)

    def run(self, load: Callable[[StageSpec], Network], journal: Journal) -> Iterator[Made]:
        """Make what the journal does not have yet, stage after stage; one Made after each block of each.

        `load` gives a stage's network, which is freed when the stage is finished. The video is the file of the last of
        `made()`. Raises ValueError for frames that are not finite, and OSError where the disk is full.
        """
        for stage, part, frames in zip(self.stages, self._parts(), self.made(), strict=True):
            for piece in part.run(partial(load, stage), journal):
                yield Made(stage.name, frames.shape, *piece)

    def _parts(self) -> "list[Rollout | LatentRollout | Enlarging]":
        """What makes the video of each stage."""
        made, latents = self.made(), self.latents()
        first = Rollout(
            stage=self.stages[0],
            given=self.conditioning,
            draw=self.draw,
            scheme=self.scheme,
            frames=made[0] if latents is None else latents,
            known=tuple(range(self.given)),
        )
        parts: list[Rollout | LatentRollout | Enlarging] = [first]
        if self.codec is not None:
            parts = [LatentRollout(latents=first, video=made[0], codec=self.codec)]
        for stage, source, own in zip(self.stages[1:], made, made[1:], strict=False):
            given = self.conditioning(stage)
            parts.append(Enlarging(stage=stage, given=given, draw=self.draw, source=source, made=own))
        return parts


def frames_in(seconds: float, fps: float, name: str = "seconds", *, times: int = 1) -> int:
    """How many frames last for so many seconds; later stages make so many `times` as many of them.

    Raises ValueError for a number that is not positive and finite, and, with the nearest legal ones, for one that is
    no whole number of frames, or of more than a video may have.
    """
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"{name}: expected a positive number, got {seconds:g}")
    count, most = seconds * fps, MOST_FRAMES // times
    if count > most + NEAR:
        near = f"{most / fps:.6f}".rstrip("0").rstrip(".")
        raise ValueError(f"{name}: expected at most {near}, for videos of up to {MOST_FRAMES} frames, got {seconds:g}")
    if abs(count - round(count)) > NEAR or round(count) < 1:
        low = math.floor(count)
        near = " or ".join(f"{own / fps:.6g}" for own in (low, low + 1) if own)
        raise ValueError(
            f"{name}: expected a whole number of frames at {fps:g} a second, such as {near}, got {seconds:g}"
        )
    return round(count)


def folder_of(out: str | os.PathLike[str]) -> Path:
    """The folder that holds a video's frames until its file is written."""
    path = Path(os.path.abspath(out))
    return path.with_name(f"{path.name}.unfinished")
