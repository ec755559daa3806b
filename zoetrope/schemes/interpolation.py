"""Key frames first, then the frames between them [Singer et al. 2022, arXiv:2209.14792, Sec. 3.3]."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from zoetrope.schemes import FrameBlock, LongVideo, SamplingScheme

USUAL = 5  # Make-A-Video's


class Interpolation(SamplingScheme):
    """Make every n-th frame, then those between, each block given the key frames around it.

    The frames of every block are evenly spaced, as networks with temporal convolutions need them. A network that has
    learnt both frame rates, and every n-th frame known, does both. Of 16 frames, a skip of 5 makes 76.

    Attributes:
        skip: n; None: 5, or fewer for a network that does not see two key frames then. Where there are more key frames
            than the network sees, they follow each other, `step` at a time.
    """

    skip: Annotated[int, Field(ge=2, le=10_000)] | None = None

    def blocks(self, video: LongVideo) -> Iterator[FrameBlock]:
        """See `SamplingScheme.blocks`."""
        skip = self.skip or max(2, min(USUAL, video.most - 1))
        if video.most <= skip:
            raise ValueError(
                f"{self.kind()}: expected a network of more frames than the skip of {skip}, got one of {video.most}"
            )
        done = set(video.given)
        anchor = max(done, default=0)
        keys = range(anchor % skip, video.total, skip)
        if not done:
            yield FrameBlock((), tuple(keys[: video.most]))
            done.update(keys[: video.most])
        for frames, room in ((keys, None), (range(video.total), video.most - 1)):
            while missing := [place for place, frame in enumerate(frames) if frame not in done]:
                first, last = _run(frames, done, missing, video.most, room or self.made(video))
                block = frames[first:last]
                observed = tuple(frame for frame in block if frame in done)
                latent = tuple(frame for frame in block if frame not in done)
                yield FrameBlock(observed, latent)
                done.update(latent)


def _run(frames: Sequence[int], done: set[int], missing: Sequence[int], most: int, step: int) -> tuple[int, int]:
    """The places of a block in a row of frames: up to `step` missing ones, and those around them that are done.

    A frame that follows a done one comes first; frames before all done ones come last.
    """
    place = next((own for own in missing if own > 0 and frames[own - 1] in done), None)
    if place is None:
        last = min(len(frames), missing[-1] + 1 + most - step)
        return max(0, last - most, missing[-1] + 1 - step), last
    first = max(0, place - (most - step))
    last, made = place, 0
    while last < len(frames) and last < first + most and (frames[last] in done or made < step):
        made += frames[last] not in done
        last += 1
    ends = [own for own in range(place, last) if frames[own] in done]
    if ends and frames[last - 1] not in done:  # what lies beyond the last key is made with the next one
        return first, ends[-1] + 1
    return max(0, last - most), last
