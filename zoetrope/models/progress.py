"""Progress reports of a cascade that samples."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from zoetrope.cascade.colour import ColourShift
from zoetrope.shapes import VideoShape
from zoetrope.video import Video


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One finished denoising step.

    Attributes:
        stage: its name; step: from 1 to steps.
        shape: the grid of x_hat.
        x_hat: the estimate so far, (B, C, F, H, W), in [-1, 1] where the stage has a threshold; on the last step, the
            stage's video.
        colours: on the last step of a stage with an input video, how it changed each sample's colours.
        place: position of the first of these among all videos of `Cascade.generate`; 0 in `Cascade.stream`.
    """

    stage: str
    step: int
    steps: int
    shape: VideoShape
    x_hat: Tensor = field(repr=False)
    colours: Sequence[ColourShift] = ()
    place: int = 0

    @property
    def done(self) -> bool:
        """Whether the stage is finished."""
        return self.step == self.steps

    def videos(self) -> list[Video]:
        """The estimate as videos, one for each sample."""
        return [Video.from_tensor(x, self.shape.fps) for x in self.x_hat]
