"""Whether a stage is worth running on a video: reduce it, enlarge it again, and compare with plain upsampling."""

import math
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.cascade.upscaling import chain
from zoetrope.metrics.psnr import decibels, squared_error_of_frames
from zoetrope.metrics.super_resolution import plain
from zoetrope.shapes import VideoShape
from zoetrope.video import Video
from zoetrope.video.resample import degrade


class AgainstPlain(NamedTuple):
    """A stage's PSNR, in dB, and that of the best plain way, with its name."""

    stage: str
    psnr: float
    plain: float
    way: str

    @property
    def gain(self) -> float:
        """By how many dB the stage is nearer to the truth."""
        return self.psnr - self.plain

    def to_json(self) -> dict[str, str | float | None]:
        """The fields; None where a video is exact, and its PSNR infinite."""
        values = {"psnr": self.psnr, "plain": self.plain}
        scores = {name: round(value, 2) if math.isfinite(value) else None for name, value in values.items()}
        return {"stage": self.stage, **scores, "way": self.way}


def against_plain(stage: StageSpec, clip: Video, made: Callable[[StageSpec, Tensor], Tensor]) -> AgainstPlain:
    """Reduce a clip by what the stage enlarges, enlarge it by the stage and by plain ways, and compare with the clip.

    `made` runs a stage on a video (1, C, f, h, w). Raises ValueError where the clip cannot be reduced so far, or the
    stage's network cannot process what is left.
    """
    own = VideoShape(frames=len(clip.frames), height=clip.frames.shape[1], width=clip.frames.shape[2], fps=clip.fps)
    [small] = chain([stage], _reduced(stage, own))
    assert small.source is not None
    truth = clip.to_tensor()[None]
    given = degrade(truth, small.source)

    def psnr(video: Tensor) -> float:
        return float(decibels(squared_error_of_frames(video.cpu().clamp(-1, 1), truth).mean()))

    best, way = max((psnr(enlarge(given)), name) for name, enlarge in plain(small).items())
    return AgainstPlain(stage.name, psnr(made(small, given)), best, way)


def _reduced(stage: StageSpec, own: VideoShape) -> VideoShape:
    """What a stage would have made a video of this shape from."""
    assert stage.source is not None
    sizes = {}
    for axis in ("frames", "height", "width"):
        factor = getattr(stage.made, axis) // getattr(stage.source, axis)
        sizes[axis], rest = divmod(getattr(own, axis), factor)
        if rest:
            raise ValueError(f"{axis}: expected a multiple of {factor}, by which {stage.name!r} enlarges, got {own}")
    return VideoShape(**sizes, fps=own.fps * sizes["frames"] / own.frames)
