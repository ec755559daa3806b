"""Toybox's long world: an endless numbered list of captioned clips that last for minutes.

What a frame shows may have been settled a minute before it: the colour that the thing has turned into, where the stars
of the last night were, which way it was going.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count, islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from zoetrope.data import Dataset, Example, expect_frames
from zoetrope.data.toybox.course import Course, course, draw
from zoetrope.data.toybox.digest import code_digest
from zoetrope.data.toybox.scene import LONGEST, SECONDS
from zoetrope.data.toybox.story import Story, story, tell
from zoetrope.shapes import VideoShape, Window

if TYPE_CHECKING:
    from zoetrope.data.toybox import Toybox

SEED = 6_000_000  # the stories of the test prompts are numbered from here


class LongPrompt(NamedTuple):
    """A prompt for a long video, the story that it tells, and one true clip of it."""

    text: str
    story: Story
    course: Course


class LongClips(Dataset):
    """Endless long clips, each a pure function of its index and of the seconds that it lasts."""

    def __init__(self, source: "Toybox"):
        self.source = source

    def gives(self, shape: VideoShape) -> bool:
        """See `Dataset`: clips that are longer than those of the other world."""
        return shape.frames > 1 and shape.seconds > LONGEST

    def example(self, index: int, shape: VideoShape) -> Example:
        """Clip number `index`."""
        return self._drawn(index, shape)

    def part(self, index: int, shape: VideoShape, window: Window) -> Example:
        """A window of clip number `index`; nothing else is drawn."""
        return self._drawn(index, shape, window)

    def frames(self, index: int, shape: VideoShape, numbers: Sequence[int]) -> Example:
        """These frames of clip number `index`; nothing else is drawn."""
        expect_frames(numbers, shape)
        return self._drawn(index, shape, frames=numbers)

    def course(self, index: int, shape: VideoShape) -> Course:
        """What is true in clip number `index` at every second.

        Raises ValueError for a shape that `gives` refuses.
        """
        if not self.gives(shape):
            raise ValueError(
                f"toybox: expected clips of more than {SECONDS:.2f} s from its long world, got {shape}, "
                f"{shape.seconds:.2f} s"
            )
        world = self.source
        rng = np.random.default_rng(np.random.SeedSequence([world.seed, index, 3]))
        told = numbered_story(int(rng.integers(world.scripts)), world.seed)
        while world.motions and told.motion not in world.motions:
            told = numbered_story(int(rng.integers(world.scripts)), world.seed)
        return course(told, int(rng.integers(2**63)), shape.seconds)

    def captions(self) -> list[str]:
        """The captions of every story."""
        return list(_captions(self.source.scripts, self.source.seed))

    def listing(self) -> str:
        """See `Dataset`."""
        return f"toybox of long clips {self.source.scripts} {self.source.seed} {code_digest()}"

    def _drawn(
        self, index: int, shape: VideoShape, window: Window | None = None, frames: Sequence[int] | None = None
    ) -> Example:
        acted = self.course(index, shape)
        video = torch.from_numpy(draw(acted, shape, window, frames)).permute(3, 0, 1, 2).float() * 2 - 1
        return Example(video, tell(acted.story), f"long clip {index} of toybox")


def long_prompts(
    number: int, seconds: float = 60.0, *, held_out: bool = False, event: bool | None = None, seed: int = 0
) -> list[LongPrompt]:
    """Prompts for videos of so many seconds, each with a clip that shows what is told.

    No long clip is told in one of these sentences in training, whatever its seed and number of scripts. Where nothing
    in a sentence is of long clips only, such as a change of colour, a short clip may be: 5 of the first 1000 are
    captions of `Toybox()`, and 9 without changes of colour.

    Args:
        number: how many.
        seconds: how long the true clips last.
        held_out: every story combines values that training never shows together; otherwise none does.
        event: whether the thing turns into another colour; None is every second one, from the first.
        seed: of the stories; others have other prompts.
    """

    def every() -> Iterator[LongPrompt]:
        for place in count():
            drawn = int(np.random.SeedSequence([SEED, seed, place]).generate_state(1, np.uint64)[0])
            turns = place % 2 == 0 if event is None else event
            told = story(drawn, held_out=held_out, event=turns, reserved=True)
            yield LongPrompt(tell(told), told, course(told, drawn, seconds))

    return list(islice(every(), number))


@lru_cache(maxsize=65536)
def numbered_story(number: int, seed: int = 0) -> Story:
    """The story with this number in the long world of this seed."""
    return story(int(np.random.SeedSequence([seed, 4, number]).generate_state(1, np.uint64)[0]))


@lru_cache(maxsize=1)
def _captions(scripts: int, seed: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tell(numbered_story(number, seed)) for number in range(scripts)))
