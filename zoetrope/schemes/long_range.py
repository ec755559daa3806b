"""One stretch after the other, given recent frames and old ones [Harvey et al. 2022, arXiv:2205.11495, Sec. 4]."""

from collections.abc import Iterator

from zoetrope.schemes import FrameBlock, LongVideo, SamplingScheme, nearest_done, next_missing


class LongRange(SamplingScheme):
    """Half of the observed frames are the nearest ones, the others the last of the given ones.

    Without given frames those of the first block take their part. What lasts for the whole video is thus not lost,
    however long the video is.
    """

    def blocks(self, video: LongVideo) -> Iterator[FrameBlock]:
        """See `SamplingScheme.blocks`."""
        old = video.given or tuple(range(min(video.most, video.total)))
        if not video.given:
            yield FrameBlock((), old)
        done = set(old)
        while len(done) < video.total:
            step = self.made(video, context=2)
            room = video.most - step
            latent = next_missing(done, video.total, step, room // 2)
            observed = set(nearest_done(done, latent, room // 2))
            for frame in reversed(old):
                if len(observed) == room:
                    break
                observed.add(frame)
            yield FrameBlock(tuple(sorted(observed)), latent)
            done.update(latent)
