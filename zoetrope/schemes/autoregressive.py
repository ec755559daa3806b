"""One stretch after the other, each given the frames right before it [Harvey et al. 2022, arXiv:2205.11495, Sec. 4]."""

from collections.abc import Iterator

from zoetrope.schemes import FrameBlock, LongVideo, SamplingScheme, nearest_done, next_missing


class Autoregressive(SamplingScheme):
    """Observe the nearest frames that are done and make the next ones.

    What a video shows is remembered only as far back as one call sees.
    """

    def blocks(self, video: LongVideo) -> Iterator[FrameBlock]:
        """See `SamplingScheme.blocks`."""
        if not video.given:
            yield FrameBlock((), tuple(range(min(video.most, video.total))))
        done = set(video.given or range(min(video.most, video.total)))
        while len(done) < video.total:
            step = self.made(video)
            room = video.most - step
            latent = next_missing(done, video.total, step, room)
            yield FrameBlock(tuple(nearest_done(done, latent, room)), latent)
            done.update(latent)
