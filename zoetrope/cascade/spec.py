"""A cascade is a tuple of stage specs. Base, TSR and SSR are not classes: they are shapes."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from zoetrope.config import Config, unknown
from zoetrope.diffusion.denoise import oscillating
from zoetrope.diffusion.prediction import Prediction
from zoetrope.diffusion.schedule import Cosine
from zoetrope.networks import NetworkConfig
from zoetrope.samplers import Sampler
from zoetrope.samplers.ddim import DDIM
from zoetrope.shapes import VideoShape
from zoetrope.text import TextEncoder

Weight = Annotated[float, Field(ge=0)]


class Oscillating(Config):
    """Guidance that is `high` for the first `constant` steps and then low and high in turn.

    [Ho et al. 2022, arXiv:2210.02303, Sec. 2.7]; the number of constant steps is not published.
    """

    high: Weight = 15.0
    low: Weight = 1.0
    constant: Annotated[int, Field(ge=0)] = 10


class SamplingSpec(Config):
    """How a stage is sampled.

    Attributes:
        steps: denoising steps.
        guidance: weight w of classifier-free guidance, x_c + w (x_c - x_u); 0 is none.
        threshold: "static" clips x_hat to [-1, 1]; a number in (0, 1] is the percentile of dynamic thresholding.
        low_res_logsnr: noise level of the conditioning video; None adds no noise. The paper: an SNR "such as 3 or 5".
    """

    sampler: Sampler = DDIM()
    steps: PositiveInt = 32
    guidance: Weight | Oscillating = 0.0
    threshold: Literal["static"] | Annotated[float, Field(gt=0, le=1)] | None = "static"
    low_res_logsnr: float | None = None

    def weights(self) -> list[float]:
        """The guidance weight of each step."""
        if isinstance(self.guidance, Oscillating):
            return oscillating(self.steps, self.guidance.high, self.guidance.low, self.guidance.constant)
        return [self.guidance] * self.steps


class StageSpec(Config):
    """One diffusion model of a cascade.

    Attributes:
        shape: what the stage makes.
        source: what it makes it from; None generates from noise and text alone.
        fill: how a temporal stage brings `source` to more frames: each repeated, or blank ones between.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
    shape: VideoShape
    source: VideoShape | None = None
    network: NetworkConfig
    sampling: SamplingSpec = SamplingSpec()
    schedule: Cosine = Cosine()
    prediction: Prediction = "v"
    fill: Literal["repeat", "blank"] = "repeat"

    @property
    def kind(self) -> Literal["base", "tsr", "ssr"]:
        """What the two shapes make of the stage: base, temporal or spatial super-resolution."""
        if self.source is None:
            return "base"
        return "tsr" if self.shape.frames > self.source.frames else "ssr"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.network.check(self.shape.frames, self.shape.height, self.shape.width)
        if self.network.low_res != (self.source is not None):
            raise ValueError(f"stage {self.name!r}: a network has low_res = true exactly where the stage has a source")
        if self.source is not None:
            for axis in ("frames", "height", "width"):
                small, large = getattr(self.source, axis), getattr(self.shape, axis)
                if large % small:
                    raise ValueError(f"stage {self.name!r}: {axis} {large} is no multiple of its source's {small}")
            if not math.isclose(self.shape.seconds, self.source.seconds, rel_tol=1e-6):
                raise ValueError(f"stage {self.name!r}: {self.shape} lasts other seconds than its source {self.source}")
        return self


class CascadeSpec(Config):
    """Stages that feed each other, and the frozen encoder of the text that they all read."""

    name: str
    text: TextEncoder
    stages: Annotated[tuple[StageSpec, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _chained(self) -> Self:
        previous: StageSpec | None = None
        for stage in self.stages:
            if stage.network.text_width != self.text.width:
                got = f"expected text of width {stage.network.text_width}, but the text encoder gives {self.text.width}"
                raise ValueError(f"stage {stage.name!r}: {got}")
            if stage.source != (previous.shape if previous else None):
                made = f"{previous.name!r} makes {previous.shape}" if previous else "it is the first stage"
                raise ValueError(f"stage {stage.name!r} expects {stage.source or 'nothing'}, but {made}")
            previous = stage
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"stages: names must differ, got {names}")
        return self

    def stage(self, name: str) -> StageSpec:
        """The stage of that name. Raises ValueError, with the nearest name, if there is none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise ValueError(f"{self.name}: " + unknown("stage", name, [stage.name for stage in self.stages]))

    def until(self, name: str | None) -> tuple[StageSpec, ...]:
        """The stages up to and including that one; all of them for None."""
        if name is None:
            return self.stages
        return self.stages[: self.stages.index(self.stage(name)) + 1]
