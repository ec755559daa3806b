"""Toybox: a procedural world of moving coloured objects, exact at any resolution and frame rate.

The shipped models learn from it: every clip is a pure function of a number, rendered from signed distances, with a
caption in one of many wordings. Some combinations and words are held out of training, for tests.
"""

from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from pydantic import NonNegativeInt, PositiveInt, field_validator, model_validator

from zoetrope.config import unknown
from zoetrope.data import Dataset, Example, Source, expect_frames
from zoetrope.data.toybox.digest import code_digest
from zoetrope.data.toybox.scene import LONGEST, SECONDS
from zoetrope.data.toybox.story import MOTIONS as LONG_MOTIONS
from zoetrope.data.toybox.vocabulary import MOTIONS
from zoetrope.shapes import VideoShape, Window


class Toybox(Source):
    """The world of a seed.

    Attributes:
        scripts: how many different scripts it has; each with endless sizes, places and speeds.
        seed: of the world: which scripts it has, and how each of them looks.
        motions: use only scripts with these motions, such as ("orbit", "bounce"); () is all. In a `Mixture` with the
            whole world, motions that are hard to learn occur more often.
        pictures: single pictures only, like a folder of images. In a `Mixture` with a world of few scripts, pictures
            show some things that no clip shows.
        long: clips that last longer than 16/3 s, for minutes if need be, and no others. In a `Mixture` with the usual
            world, long clips come from this one alone, and short ones and pictures from the other.
        framing: "height": lengths are in frame heights, so that frames narrower than 5/3 of their height show only the
            middle of the world. "whole": frames of any shape show all of it, see `zoetrope.data.toybox.framing`; those
            of 5/3 are the same.
        tilted: flat shapes and letters stand at any angle, and captions say "tilted" or the like. In a `Mixture` with
            the usual world, which shows them upright unless they spin, a network learns how they look turned. What
            training holds out, such as hearts that spin, stays held out.
    """

    scripts: PositiveInt = 40_000
    seed: NonNegativeInt = 0
    motions: tuple[str, ...] = ()
    pictures: bool = False
    long: bool = False
    framing: Literal["height", "whole"] = "height"
    tilted: bool = False

    @field_validator("motions")
    @classmethod
    def _known(cls, motions: tuple[str, ...]) -> tuple[str, ...]:
        for motion in motions:
            if motion not in MOTIONS and motion not in LONG_MOTIONS:
                raise ValueError(unknown("motion", motion, [*MOTIONS, *LONG_MOTIONS]))
        return motions

    @model_validator(mode="after")
    def _agreed(self) -> Self:
        if self.long and self.pictures:
            raise ValueError("expected pictures or long clips, got both: the long world has no pictures")
        if self.long and self.tilted:
            raise ValueError("tilted: expected false for long clips, got true: in the long world things stand upright")
        if self.long and self.framing == "whole":
            raise ValueError("framing: expected 'height' for long clips, got 'whole'")
        for motion in self.motions:
            if motion not in (LONG_MOTIONS if self.long else MOTIONS):
                kinds = ("long", LONG_MOTIONS) if self.long else ("short", MOTIONS)
                raise ValueError(f"no {kinds[0]} clip shows {motion!r}; expected motions among {', '.join(kinds[1])}")
        return self

    def open(self) -> Dataset:
        """The clips of this world. Raises ValueError if none of its scripts has one of the motions asked for."""
        from zoetrope.data.toybox.long import LongClips, numbered_story
        from zoetrope.data.toybox.world import numbered_script

        numbered = numbered_story if self.long else numbered_script
        moves = (numbered(number, self.seed).motion for number in range(self.scripts))
        if self.motions and not any(motion in self.motions for motion in moves):
            raise ValueError(f"toybox: none of its {self.scripts} scripts is {' or '.join(self.motions)}; take more")
        return LongClips(self) if self.long else ToyboxClips(self)


class ToyboxClips(Dataset):
    """Endless clips, each a pure function of its index."""

    def __init__(self, source: Toybox):
        self.source = source

    def gives(self, shape: VideoShape) -> bool:
        """See `Dataset`: pictures, and clips of up to 16/3 s."""
        return shape.frames == 1 or (not self.source.pictures and shape.seconds <= LONGEST)

    def example(self, index: int, shape: VideoShape) -> Example:
        """Clip number `index`; one frame is a picture from a random moment of it."""
        return self._drawn(index, shape)

    def part(self, index: int, shape: VideoShape, window: Window) -> Example:
        """A window of clip number `index`; nothing else is drawn."""
        return self._drawn(index, shape, window)

    def frames(self, index: int, shape: VideoShape, numbers: Sequence[int]) -> Example:
        """These frames of clip number `index`; nothing else is drawn."""
        expect_frames(numbers, shape)
        return self._drawn(index, shape, frames=numbers)

    def _drawn(
        self, index: int, shape: VideoShape, window: Window | None = None, frames: Sequence[int] | None = None
    ) -> Example:
        if not self.gives(shape) and self.source.pictures:
            raise ValueError(f"toybox: with pictures it has single pictures alone, not clips of {shape.frames} frames")
        if not self.gives(shape):
            raise ValueError(
                f"toybox: its clips last up to {SECONDS:.2f} s, not {shape.seconds:.2f} s as {shape} does; "
                "Toybox(long=True) has longer ones"
            )
        from zoetrope.data.toybox.world import example, told

        world = self.source
        which: dict[str, Any] = {
            "scripts": world.scripts, "seed": world.seed, "motions": frozenset(world.motions)
        }  # fmt: skip
        drawn, text = example(
            index, shape, window, frames, **which, whole=world.framing == "whole", tilted=world.tilted
        )
        video = torch.from_numpy(drawn).permute(3, 0, 1, 2).float() * 2 - 1
        return Example(video, text, f"clip {index} of toybox", told=told(index, shape, **which))

    def tells(self) -> dict[str, str]:
        """See `Dataset`: of pictures neither motion nor speed."""
        return {
            **dict.fromkeys(("shape", "colour", "background", "motion"), "label"),
            **dict.fromkeys(("size", "speed"), "number"),
        }

    def captions(self) -> list[str]:
        """The captions of every script, of its clips and of its pictures."""
        from zoetrope.data.toybox.world import script_captions

        return script_captions(self.source.scripts, self.source.seed, self.source.tilted)

    def listing(self) -> str:
        """See `Dataset`: telling all scripts takes seconds. The words are those of this version of the code."""
        tilted = " tilted" if self.source.tilted else ""
        return f"toybox {self.source.scripts} {self.source.seed}{tilted} {code_digest()}"
