"""Frames far apart first, then those between them [Harvey et al. 2022, arXiv:2205.11495, Sec. 4]."""

from collections.abc import Iterator
from typing import Literal

from zoetrope.schemes import FrameBlock, LongVideo, SamplingScheme, spread


class Hierarchy(SamplingScheme):
    """The first level spreads frames evenly up to the end of the video, each other level makes some between.

    A block observes the frames between its own, the nearest after them, at most half of the rest, and the nearest
    before. The levels' distances form a geometric sequence, down to 1.

    Attributes:
        levels: how many.
    """

    levels: Literal[2, 3] = 2

    def blocks(self, video: LongVideo) -> Iterator[FrameBlock]:
        """See `SamplingScheme.blocks`."""
        if not video.given:
            first = _evenly(video.total, video.most)
            yield FrameBlock((), first)
            video = LongVideo(total=video.total, most=video.most, given=first)
        done = set(video.given)
        if len(done) < video.total:
            self.made(video, context=2)
        tail = range(video.given[-1] + 1, video.total)
        if tail:
            block = self._ahead(video, tail)
            yield block
            done.update(block.latent)
        for level in range(2, self.levels + 1):
            apart = self._apart(video, level)
            place = min(set(range(video.total)) - done, default=video.total) - 1 + apart
            while any(frame not in done for frame in range(place, video.total)):
                block = self._between(video, done, place, apart)
                yield block
                done.update(block.latent)
                place = block.latent[-1] + apart

    def _apart(self, video: LongVideo, level: int) -> int:
        """The distance between the frames of a level."""
        widest = (video.total - len(video.given)) / max(1, self.made(video, context=2) - 1)
        return max(1, int(widest ** ((self.levels - level) / (self.levels - 1))))

    def _ahead(self, video: LongVideo, tail: range) -> FrameBlock:
        """The first level: frames up to the end of the video, given known ones from all over what is given."""
        step = self.made(video, context=2)
        observed = [video.given[place] for place in spread(len(video.given), video.most - step)]
        return FrameBlock(tuple(observed), tuple(tail[place] for place in spread(len(tail), step)))

    def _between(self, video: LongVideo, done: set[int], place: int, apart: int) -> FrameBlock:
        """A block from frame number `place` on; it makes fewer frames where too many lie between them."""
        for step in range(self.made(video, context=2), 0, -1):
            latent = _missing_from(place, apart, step, done, video.total)
            room = video.most - step
            inside = [frame for frame in range(latent[0], latent[-1]) if frame in done]
            if room - len(inside) >= 2 or step == 1:
                break
        after = [frame for frame in range(latent[-1] + 1, video.total) if frame in done]
        observed = inside + after[: (room - len(inside)) // 2]
        before = [frame for frame in range(latent[0] - 1, -1, -1) if frame in done]
        return FrameBlock(tuple(observed + before[: room - len(observed)]), tuple(latent))


def _evenly(total: int, most: int) -> tuple[int, ...]:
    """The frames of the first block if none are given."""
    if total <= most or most == 1:
        return tuple(range(min(total, most)))
    return tuple(i * (total - 1) // (most - 1) for i in range(most))


def _missing_from(place: int, apart: int, step: int, done: set[int], total: int) -> list[int]:
    """At most `step` missing frames from number `place` on, at least `apart` from each other."""
    found: list[int] = []
    while len(found) < step and place < total:
        if place in done:
            place += 1
        else:
            found.append(place)
            place += apart
    return found
