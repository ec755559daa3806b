"""Toybox: a procedural world of coloured things that move, exact at any resolution and frame rate.

It is what the shipped models learn from: every clip is a pure function of a number, rendered from signed distances,
with a caption in one of many wordings. Some combinations and words are held out of training, to be tested.
"""

import torch
from pydantic import NonNegativeInt, PositiveInt

from zoetrope.data import Dataset, Example, Source
from zoetrope.shapes import VideoShape, Window


class Toybox(Source):
    """The world of a seed.

    Attributes:
        scripts: how many different things happen in it; each in endless sizes, places and speeds.
    """

    scripts: PositiveInt = 40_000
    seed: NonNegativeInt = 0

    def open(self) -> "ToyboxClips":
        """The clips of this world."""
        return ToyboxClips(self)


class ToyboxClips(Dataset):
    """Endless clips, each a pure function of its index."""

    def __init__(self, source: Toybox):
        self.source = source

    def example(self, index: int, shape: VideoShape) -> Example:
        """Clip number `index`; one frame is a picture from a random moment of it."""
        return self.part(index, shape, Window.whole(shape))

    def part(self, index: int, shape: VideoShape, window: Window) -> Example:
        """A window of clip number `index`; nothing else is drawn."""
        from zoetrope.data.toybox.world import example

        frames, text = example(index, shape, window, scripts=self.source.scripts, seed=self.source.seed)
        video = torch.from_numpy(frames).permute(3, 0, 1, 2).float() * 2 - 1
        return Example(video, text, f"clip {index} of toybox")

    def captions(self) -> list[str]:
        """The captions of every script, of its clips and of its pictures."""
        from zoetrope.data.toybox.world import script_captions

        return script_captions(self.source.scripts, self.source.seed)
