"""One stretch after the other, given frames unlike each other [Harvey et al. 2022, arXiv:2205.11495, Sec. 4]."""

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor

from zoetrope.schemes import FrameBlock, LongVideo, SamplingScheme, nearest_done, next_missing


class Adaptive(SamplingScheme):
    """Observe the latest frame and, one after the other, the one most unlike those that are observed already.

    How unlike frames are is the distance of their features, `LongVideo.features`; the paper takes those of LPIPS. A
    place that comes into view again is thus observed as it was, however long ago that is.
    """

    free: ClassVar[bool] = True

    def blocks(self, video: LongVideo) -> Iterator[FrameBlock]:
        """See `SamplingScheme.blocks`. Raises ValueError without features."""
        if not video.given:
            yield FrameBlock((), tuple(range(min(video.most, video.total))))
        done = set(video.given or range(min(video.most, video.total)))
        if len(done) < video.total and video.features is None:
            raise ValueError(f"{self.kind()}: expected features of frames, whose distances choose, got none")
        known: dict[int, Tensor] = {}
        while len(done) < video.total:
            step = self.made(video)
            room = video.most - step
            latent = next_missing(done, video.total, step, room)
            between = [frame for frame in range(latent[0], latent[-1]) if frame in done]
            first = [*between, *nearest_done(done.difference(between), latent, 1)][:room]
            assert video.features is not None
            for frame in sorted(done.difference(known)):
                known[frame] = video.features(frame).flatten().float()
            yield FrameBlock(tuple(farthest(known, first, room)), latent)
            done.update(latent)


def farthest(features: dict[int, Tensor], first: list[int], count: int) -> list[int]:
    """Farthest-point sampling: `first`, then always the frame farthest from those chosen, up to `count`.

    Of equally far frames the latest is chosen.
    """
    frames = sorted(features, reverse=True)
    points = torch.stack([features[frame] for frame in frames])
    chosen = list(first)
    distance = torch.full((len(frames),), torch.inf)
    for frame in chosen:
        distance = distance.minimum((points - features[frame]).square().sum(1))
    for place in map(frames.index, chosen):
        distance[place] = -1
    while len(chosen) < min(count, len(frames)):
        place = int(distance.argmax())
        chosen.append(frames[place])
        distance = distance.minimum((points - points[place]).square().sum(1))
        distance[place] = -1
    return chosen


def small_pixels(frame: Tensor) -> Tensor:
    """Features of a frame (C, H, W) that need no network: its mean colours on a grid of 8 x 8."""
    return torch.nn.functional.adaptive_avg_pool2d(frame[None].float(), 8).flatten()
