"""Progress reports of a cascade that samples."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from zoetrope.cascade.colour import ColourShift
from zoetrope.channels import RGB, Channel
from zoetrope.fields import video_of
from zoetrope.shapes import VideoShape
from zoetrope.video import Video

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One finished denoising step.

    Attributes:
        stage: its name; step: from 1 to steps.
        shape: the grid of the videos.
        x_hat: the estimate so far, (B, C, F, H, W), in [-1, 1] where the stage has a threshold; on the last step, the
            stage's video. Of a stage of latents it is the latents before the last step.
        decode: latents -> videos, where x_hat is latents; None: it is videos.
        colours: on the last step of a stage with an input video, how it changed each sample's colours.
        channels: of x_hat.
        latents: of a stage's video, where it made latents, on its last step.
        place: position of the first of these among all videos of `Cascade.generate`; 0 in `Cascade.stream`.
    """

    stage: str
    step: int
    steps: int
    shape: VideoShape
    x_hat: Tensor = field(repr=False)
    colours: Sequence[ColourShift] = ()
    channels: tuple[Channel, ...] = field(default=RGB, repr=False)
    place: int = 0
    decode: Callable[[Tensor], Tensor] | None = field(default=None, repr=False)
    latents: Tensor | None = field(default=None, repr=False)

    @property
    def done(self) -> bool:
        """Whether the stage is finished."""
        return self.step == self.steps

    def videos(self) -> list[Video]:
        """The estimate as videos, one for each sample; `zoetrope.fields.Fields` of other channels than RGB."""
        videos = self.x_hat if self.decode is None else self.decode(self.x_hat)
        return [video_of(x, self.channels, self.shape.fps) for x in videos]


def colour_shifts(stage: str, given: Tensor | None, made: Tensor, drifted: set[str]) -> list[ColourShift]:
    """How a stage changed the colours of each video that it was given; logged, as a warning once if they drift.

    `drifted` are the stages that were warned about, to which it is added.
    """
    if given is None:
        return []
    colours = [ColourShift.between(*pair) for pair in zip(given, made, strict=True)]
    for colour in colours:
        if colour.drifts and stage not in drifted:
            drifted.add(stage)
            log.warning("%s: its colours drift from those it was given by %s of the range", stage, colour)
        else:
            log.debug("%s: colours against those it was given: %s", stage, colour)
    return colours
