"""Toybox: a procedural world of coloured things that move, exact at any resolution and frame rate.

It is what the shipped models learn from: every clip is a pure function of a number, rendered from signed distances,
with a caption in one of many wordings. Some combinations and words are held out of training, to be tested.
"""

import hashlib
from pathlib import Path

import torch
from pydantic import NonNegativeInt, PositiveInt, field_validator

from zoetrope import __version__
from zoetrope.config import unknown
from zoetrope.data import Dataset, Example, Source
from zoetrope.data.toybox.vocabulary import MOTIONS
from zoetrope.shapes import VideoShape, Window


class Toybox(Source):
    """The world of a seed.

    Attributes:
        scripts: how many different things happen in it; each in endless sizes, places and speeds.
        seed: of the world: which things happen, and how each of them looks.
        motions: only what moves so, such as ("orbit", "bounce"); all if there are none. In a `Mixture` with the whole
            world, what is hard to learn is seen more often.
        pictures: only single pictures, as a folder of images has them. In a `Mixture` with a world of few scripts, some
            things are seen in pictures that no clip shows.
    """

    scripts: PositiveInt = 40_000
    seed: NonNegativeInt = 0
    motions: tuple[str, ...] = ()
    pictures: bool = False

    @field_validator("motions")
    @classmethod
    def _known(cls, motions: tuple[str, ...]) -> tuple[str, ...]:
        for motion in motions:
            if motion not in MOTIONS:
                raise ValueError(unknown("motion", motion, list(MOTIONS)))
        return motions

    def open(self) -> "ToyboxClips":
        """The clips of this world. Raises ValueError if none of its scripts has one of the motions asked for."""
        from zoetrope.data.toybox.world import numbered_script

        moves = (numbered_script(number, self.seed).motion for number in range(self.scripts))
        if self.motions and not any(motion in self.motions for motion in moves):
            raise ValueError(f"toybox: none of its {self.scripts} scripts is {' or '.join(self.motions)}; take more")
        return ToyboxClips(self)


class ToyboxClips(Dataset):
    """Endless clips, each a pure function of its index."""

    def __init__(self, source: Toybox):
        self.source = source

    def gives(self, shape: VideoShape) -> bool:
        """See `Dataset`."""
        return shape.frames == 1 or not self.source.pictures

    def example(self, index: int, shape: VideoShape) -> Example:
        """Clip number `index`; one frame is a picture from a random moment of it."""
        return self.part(index, shape, Window.whole(shape))

    def part(self, index: int, shape: VideoShape, window: Window) -> Example:
        """A window of clip number `index`; nothing else is drawn."""
        if not self.gives(shape):
            raise ValueError(f"toybox: with pictures it has single pictures alone, not clips of {shape.frames} frames")
        from zoetrope.data.toybox.world import example

        world = self.source
        frames, text = example(
            index, shape, window, scripts=world.scripts, seed=world.seed, motions=frozenset(world.motions)
        )
        video = torch.from_numpy(frames).permute(3, 0, 1, 2).float() * 2 - 1
        return Example(video, text, f"clip {index} of toybox")

    def captions(self) -> list[str]:
        """The captions of every script, of its clips and of its pictures."""
        from zoetrope.data.toybox.world import script_captions

        return script_captions(self.source.scripts, self.source.seed)

    def listing(self) -> str:
        """See `Dataset`: telling all scripts takes seconds. The words are those of this version of the code."""
        code = hashlib.sha256(__version__.encode())
        for path in sorted(Path(__file__).parent.glob("*.py")):
            code.update(path.read_bytes())
        return f"toybox {self.source.scripts} {self.source.seed} {code.hexdigest()[:16]}"
