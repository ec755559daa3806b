"""A cascade is a tuple of stage specs. Base, TSR and SSR are not classes: they are shapes."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from zoetrope.cascade.noise import Scheme
from zoetrope.config import Config, parse_json, unknown
from zoetrope.diffusion.denoise import oscillating
from zoetrope.diffusion.prediction import Prediction
from zoetrope.diffusion.schedule import Cosine, LogSNR
from zoetrope.networks import NetworkConfig
from zoetrope.samplers import Sampler
from zoetrope.samplers.ddim import DDIM
from zoetrope.shapes import VideoShape
from zoetrope.text import TextEncoder

MOST_WEIGHT, MOST_STEPS = 10_000, 100_000
Weight = Annotated[float, Field(ge=0, le=MOST_WEIGHT)]
Steps = Annotated[int, Field(ge=1, le=MOST_STEPS)]
MOST_PIXELS = 2**36  # of a stage's video, over all frames; 500 times those of the paper's largest


class Oscillating(Config):
    """Guidance that is `high` for the first `constant` steps and then low and high in turn.

    [Ho et al. 2022, arXiv:2210.02303, Sec. 2.7]; the number of constant steps is not published.

    Attributes:
        high: weight of the first steps, and of every second one after them.
        low: weight of the steps between.
        constant: how many steps, from the first on, have the high weight.
    """

    high: Weight = 15.0
    low: Weight = 1.0
    constant: Annotated[int, Field(ge=0, le=100_000)] = 10


class SamplingSpec(Config):
    """How a stage is sampled.

    Attributes:
        sampler: the way from noise to data.
        steps: denoising steps.
        guidance: weight w of classifier-free guidance, x_c + w (x_c - x_u); 0 is none.
        threshold: "static" clips x_hat to [-1, 1]; a number in (0, 1] is the percentile of dynamic thresholding.
        low_res_logsnr: noise level of the conditioning video; None adds no noise. The paper: an SNR "such as 3 or 5".
        keep_frames: whether a temporal stage gives the frames that it was given back as they are, and makes new ones
            alone; the paper's stages make all of them anew.
    """

    sampler: Sampler = DDIM()
    steps: Steps = 32
    guidance: Weight | Oscillating = 0.0
    threshold: Literal["static"] | Annotated[float, Field(gt=0, le=1)] | None = "static"
    low_res_logsnr: LogSNR | None = None
    keep_frames: bool = False

    def weights(self) -> list[float]:
        """The guidance weight of each step."""
        if isinstance(self.guidance, Oscillating):
            return oscillating(self.steps, self.guidance.high, self.guidance.low, self.guidance.constant)
        return [self.guidance] * self.steps


class Distilled(Config):
    """What a distilled network was distilled for, and so what it may be asked.

    Attributes:
        steps: of DDIM, each of which covers 1 / steps of diffusion time; None: any number of steps of any sampler.
        stochastic: whether it learnt the levels between those as well. The stochastic sampler then takes twice as many.
        weights: the lowest and the highest guidance weight. (0, 0): its network is not told any and is not guided.
    """

    steps: Steps | None
    stochastic: bool = False
    weights: tuple[Weight, Weight] = (0.0, 0.0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.weights[0] > self.weights[1]:
            raise ValueError(f"weights: expected the lowest and the highest, got {self.weights}")
        return self

    def check(self, where: str, sampling: SamplingSpec) -> None:
        """Raise ValueError, with what is legal, for sampling that it was not distilled for."""
        low, high = self.weights
        if wrong := [weight for weight in sampling.weights() if not low <= weight <= high]:
            legal = f"a weight from {low:g} to {high:g}" if high else "0"
            raise ValueError(f"{where}: guidance: expected {legal}, which it was distilled for, got {wrong[0]:g}")
        if self.steps is None:
            return
        legal_steps = {"ddim": self.steps} | ({"stochastic": 2 * self.steps} if self.stochastic else {})
        name = sampling.sampler.kind()
        if legal_steps.get(name) != sampling.steps:
            known = " or ".join(f"{count} steps of {sampler}" for sampler, count in legal_steps.items())
            raise ValueError(f"{where}: expected {known}, which it was distilled for, got {sampling.steps} of {name}")


class StageSpec(Config):
    """One diffusion model of a cascade.

    Attributes:
        name: of the stage, as options and folders call it: a small letter, then small letters, digits, "_" and "-".
        shape: what the stage makes.
        source: what it makes it from; None generates from noise and text alone.
        network: the architecture.
        sampling: how it is sampled unless options say otherwise.
        schedule: how much noise there is at which time, in training and in sampling.
        prediction: what the network's output means: the clean video x, the noise eps, or v = alpha eps - sigma x.
        fill: how a temporal stage brings `source` to more frames: each repeated, or blank ones between.
        distilled: what its network was distilled for; None: it was not.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=64)]
    shape: VideoShape
    source: VideoShape | None = None
    network: NetworkConfig
    sampling: SamplingSpec = SamplingSpec()
    schedule: Cosine = Cosine()
    prediction: Prediction = "v"
    fill: Literal["repeat", "blank"] = "repeat"
    distilled: Distilled | None = None

    def check_sampling(self) -> None:
        """Raise ValueError, with what is legal, if the stage is sampled in a way that it was not distilled for."""
        if self.distilled is not None:
            self.distilled.check(f"stage {self.name!r}", self.sampling)

    @property
    def kind(self) -> Literal["base", "tsr", "ssr"]:
        """What the two shapes make of the stage: base, temporal or spatial super-resolution."""
        if self.source is None:
            return "base"
        return "tsr" if self.shape.frames > self.source.frames else "ssr"

    @property
    def _adds_frames_alone(self) -> bool:
        size = (self.shape.height, self.shape.width)
        return self.kind == "tsr" and self.source is not None and size == (self.source.height, self.source.width)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (pixels := math.prod(self.shape.sizes)) > MOST_PIXELS:
            raise ValueError(f"stage {self.name!r}: expected at most {MOST_PIXELS:,} pixels, got {pixels:,}")
        self.network.check(self.shape.frames, self.shape.height, self.shape.width)
        if self.network.low_res != (self.source is not None):
            raise ValueError(f"stage {self.name!r}: a network has low_res = true exactly where the stage has a source")
        if self.sampling.keep_frames and not self._adds_frames_alone:
            raise ValueError(f"stage {self.name!r}: sampling.keep_frames is for stages that only add frames between")
        if self.network.predicts not in (None, self.prediction):
            expected = f"prediction {self.network.predicts!r}, which its network is made for"
            raise ValueError(f"stage {self.name!r}: expected {expected}, got {self.prediction!r}")
        if self.network.guided != (self.distilled is not None and self.distilled.weights[1] > 0):
            raise ValueError(f"stage {self.name!r}: guided = true belongs to a network distilled for guidance")
        if self.source is not None:
            for axis in ("frames", "height", "width"):
                small, large = getattr(self.source, axis), getattr(self.shape, axis)
                if large % small:
                    raise ValueError(f"stage {self.name!r}: {axis} {large} is no multiple of its source's {small}")
            if not math.isclose(self.shape.seconds, self.source.seconds, rel_tol=1e-6):
                raise ValueError(f"stage {self.name!r}: {self.shape} lasts other seconds than its source {self.source}")
        return self


def with_noise(cascade: Any) -> Any:
    """The JSON of a cascade with a "noise", which those of before there was a choice do not have."""
    return {"noise": "mersenne", **cascade} if isinstance(cascade, dict) else cascade


class CascadeSpec(Config):
    """Stages that feed each other, and the frozen encoder of the text that they all read.

    Attributes:
        name: of the model, for people.
        text: the frozen encoder of prompts.
        stages: in the order in which they run.
        default_until: the last stage that runs unless another is named; None is the last one.
        teachers: the originals of distilled stages, of the same names, which can run in their places.
        trained_on: what the weights have seen, in a few words for people.
        noise: the generator that makes noise of a seed. Models written before there was a choice used "mersenne".
    """

    name: Annotated[str, Field(max_length=200)]
    text: TextEncoder
    stages: Annotated[tuple[StageSpec, ...], Field(min_length=1, max_length=64)]
    default_until: str | None = None
    teachers: Annotated[tuple[StageSpec, ...], Field(max_length=64)] = ()
    trained_on: Annotated[str, Field(max_length=200)] | None = None
    noise: Scheme = "philox"

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """As for any config; what older versions wrote keeps the noise of their time."""
        return super().from_json(with_noise(parse_json(value) if isinstance(value, str) else value))

    @model_validator(mode="after")
    def _chained(self) -> Self:
        previous: StageSpec | None = None
        for stage in self.stages:
            if stage.network.channels != 3:
                where = f"stages.{stage.name}.network.channels"
                raise ValueError(f"{where}: expected 3, for videos are RGB pictures, got {stage.network.channels}")
            if stage.network.text_width != self.text.width:
                asked = f"width {stage.network.text_width}, which stage {stage.name!r} reads (its network.text_width)"
                got = f"{self.text.kind()} of width {self.text.width}"
                raise ValueError(f"text: expected an encoder of {asked}, got {got}")
            if stage.source != (previous.shape if previous else None):
                made = f"{previous.name!r} makes {previous.shape}" if previous else "it is the first stage"
                raise ValueError(f"stage {stage.name!r} expects {stage.source or 'nothing'}, but {made}")
            previous = stage
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"stages: names must differ, got {names}")
        for teacher in self.teachers:
            stage = self.stage(teacher.name)
            if stage.distilled is None or teacher.distilled is not None:
                raise ValueError(f"teachers: expected the originals of distilled stages, got {teacher.name!r}")
            if (stage.shape, stage.source) != (teacher.shape, teacher.source):
                raise ValueError(f"teachers: {teacher.name!r} makes another shape than the stage that it taught")
        return self

    def originals(self) -> "CascadeSpec":
        """The cascade with teachers in the places of the stages that were distilled from them.

        Raises ValueError if the teacher of a distilled stage is not known, or if no stage is distilled.
        """
        distilled = [stage.name for stage in self.stages if stage.distilled is not None]
        if lost := [name for name in distilled if name not in {teacher.name for teacher in self.teachers}]:
            raise ValueError(f"{self.name}: stage {lost[0]!r} is distilled, and its teacher is not there")
        if not distilled:
            raise ValueError(f"{self.name}: no stage is distilled, so that there is no teacher to run in its place")
        teachers = {teacher.name: teacher for teacher in self.teachers}
        stages = tuple(teachers.get(stage.name, stage) for stage in self.stages)
        return self.model_copy(update={"stages": stages, "teachers": ()})

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
