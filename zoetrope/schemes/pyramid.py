"""A window that rolls over the video, its nearer frames cleaner [Chen et al. 2024, arXiv:2407.01392].

For networks that were trained with a noise level of its own for each frame (diffusion forcing).
"""

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from zoetrope.schemes import FrameBlock, LongVideo, SamplingScheme, nearest_done


class Pyramid(SamplingScheme):
    """Every frame starts some sampling steps after the one before it; a block is the steps between two starts.

    After each block the nearest frame is finished and leaves the window, and a frame of pure noise enters it. The rest
    of the network's frames observe those that are done.

    Attributes:
        step: frames in the window that are not finished, at most; None: half of those that the network sees. With
            `delay` it must be left out.
        delay: sampling steps between the starts of two frames; None: so many that `step` frames are in the window.
    """

    delay: Annotated[int, Field(ge=1, le=2**20)] | None = None

    def blocks(self, video: LongVideo) -> Iterator[FrameBlock]:
        """See `SamplingScheme.blocks`."""
        missing, done = video.missing, set(video.given)
        if not missing:
            return
        delay = self.delayed(video)
        width = -(-video.steps // delay)
        for number in range(len(missing) + width - 1):
            window = range(max(0, number - width + 1), min(number + 1, len(missing)))
            latent = tuple(missing[own] for own in window)
            starts = [(number - own) * delay for own in window]
            block = FrameBlock(
                tuple(nearest_done(done, latent, video.most - width)),
                latent,
                tuple(tuple(min(start + step, video.steps) for start in starts) for step in range(delay + 1)),
            )
            yield block
            done.update(block.finished(video.steps))

    def delayed(self, video: LongVideo) -> int:
        """The delay in sampling steps.

        Raises ValueError, with the least one that is legal, if the frames in the window leave none to observe.
        """
        if self.delay is None:
            return -(-video.steps // self.made(video))
        if self.step is not None:
            raise ValueError(f"{self.kind()}: expected either step or delay, got both")
        least = -(-video.steps // max(1, video.most - 1))
        if self.delay < least or video.most < 2:
            width = -(-video.steps // self.delay)
            raise ValueError(
                f"{self.kind()}: delay: expected at least {least}; with {self.delay} there are {width} frames of "
                f"{video.steps} steps in the window beside observed ones, and the network sees {video.most}"
            )
        return self.delay


def places(frames: int, steps: int, delay: int, known: Sequence[int] = ()) -> list[list[int]]:
    """Where each frame of a whole video is before each step and after the last, [step, frame].

    Known frames are at `steps` all the time; each other one starts `delay` steps after the one before it: 0 is ordinary
    sampling, `steps` is one frame after the other.
    """
    free = [frame for frame in range(frames) if frame not in set(known)]
    late = {frame: place * delay for place, frame in enumerate(free)}
    last = steps + delay * max(0, len(free) - 1)
    return [
        [min(max(row - late[frame], 0), steps) if frame in late else steps for frame in range(frames)]
        for row in range(last + 1)
    ]
