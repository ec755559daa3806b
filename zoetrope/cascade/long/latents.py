"""The first stage's long video where it makes latents: these block by block, and then the video that they decode to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from zoetrope.cascade.long.blocks import FinishedBlock, Rollout
from zoetrope.cascade.long.frames import Frames
from zoetrope.cascade.long.journal import Journal
from zoetrope.codecs import AT_ONCE, CodecNetwork, encoded
from zoetrope.networks import Network


@dataclass(frozen=True, kw_only=True)
class LatentRollout:
    """A stage of latents whose network makes a video longer than it sees.

    Attributes:
        latents: what makes them.
        video: where the decoded frames go; those that are known are there already, and stay.
        codec: loads the codec of the latents.
    """

    latents: Rollout
    video: Frames
    codec: Callable[[], CodecNetwork]

    @property
    def _name(self) -> str:
        return f"{self.latents.stage.name} decoded"  # in the journal; no stage's name has a space

    def check(self) -> int:
        """The number of blocks, of which decoding is the last. Raises ValueError as `Rollout.check` does."""
        return self.latents.check() + 1

    def run(self, load: Callable[[], Network], journal: Journal) -> Iterator[FinishedBlock]:
        """Make the blocks of latents that the journal does not have yet, and decode all; see `Rollout.run`."""
        total = self.check()
        for block in self.latents.run(load, journal):
            yield FinishedBlock(block.number, total)
        if not journal.done(self._name):
            self._decode()
            journal.finish(self._name, 1)
            yield FinishedBlock(total, total)

    def _decode(self) -> None:
        """Write the frames that are not known; the codec decodes all as one video, a few at a time."""
        network, device = self.codec().to(self.latents.draw.device), self.latents.draw.device
        shape, known, number = self.video.shape, len(self.latents.known), 0
        most = max(1, AT_ONCE // (shape.height * shape.width))

        def parts() -> Iterator[Tensor]:
            for first in range(0, shape.frames, most):
                some = range(first, min(first + most, shape.frames))
                yield self.latents.frames.read(some)[None].to(device) / network.scale

        with torch.no_grad():
            for part in network.stream(parts()):
                frames = part[0].clamp(-1, 1).cpu()
                new = [own for own in range(number, number + frames.shape[1]) if own >= known]
                self.video.write(new, frames[:, frames.shape[1] - len(new) :])
                number += frames.shape[1]


def latents_of(network: CodecNetwork, frame: Tensor) -> Tensor:
    """The latents (C, 1, h, w) of a frame (3, H, W), on the CPU."""
    return encoded(network, frame[None, :, None].to(network.scale.device))[0].cpu()
