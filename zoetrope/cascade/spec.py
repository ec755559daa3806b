"""A cascade is a tuple of stage specs. Base, TSR and SSR are not classes: they are shapes."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from zoetrope.cascade.between import expect_between, expect_shared, source_grid
from zoetrope.cascade.fitting import expect_channels, expect_guided_over, expect_one_weight
from zoetrope.cascade.graph import expect_graph
from zoetrope.cascade.latents import expect_latents, expect_one_codec
from zoetrope.cascade.migration import cascade_of_today, guidance_of, stage_of_today
from zoetrope.cascade.noise import Scheme
from zoetrope.cascade.windows import Windows
from zoetrope.channels import RGB, Channels
from zoetrope.codecs import Codec
from zoetrope.codecs.pixels import PixelCodec
from zoetrope.conditioning import Weight
from zoetrope.config import Config, parse_json, unknown
from zoetrope.diffusion.prediction import Prediction
from zoetrope.guidance import Guidance
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs import Input
from zoetrope.inputs.guidance_weight import GuidanceWeight
from zoetrope.inputs.text import TEXT, Text
from zoetrope.known import Method
from zoetrope.networks import NetworkConfig
from zoetrope.routines import Routine
from zoetrope.routines.straight import Straight
from zoetrope.samplers import Sampler
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules import Schedule, with_type
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape, Window
from zoetrope.text import TextEncoder

MOST_STEPS = 100_000
Steps = Annotated[int, Field(ge=1, le=MOST_STEPS)]
MOST_PIXELS = 2**36  # of a stage's video, over all frames; 500 times the paper's largest


class SamplingSpec(Config):
    """How a stage is sampled.

    Attributes:
        sampler: the solver that steps from noise to data.
        steps: denoising steps.
        guidance: how it is guided; a number w means text guidance of that weight, x_c + w (x_c - x_u); 0 is none.
        threshold: "static" clips x_hat to [-1, 1]; a number in (0, 1] is the percentile of dynamic thresholding; None
            where a channel of the videos has no bounds.
        routine: how the sampler is run from start to end.
        keep_frames: whether a temporal stage returns its input frames unchanged and makes only the frames between;
            the paper's stages generate all of them anew.
        known: how it is made to agree with known frames, if some are given; None: it was not made for them.
        shared_noise: whether all frames of a video get the same noise. A stage that enlarges each frame on its own then
            invents the same details in all of them [Singer et al. 2022, arXiv:2209.14792, Sec. 3.2].
        windows: what its network sees at once, at every step; None: whole videos.
    """

    sampler: Sampler = DDIM()
    steps: Steps = 32
    guidance: Guidance = TextGuidance()
    threshold: Literal["static"] | Annotated[float, Field(gt=0, le=1)] | None = "static"
    routine: Routine = Straight()
    keep_frames: bool = False
    known: Method | None = None
    shared_noise: bool = False
    windows: Windows | None = None

    @field_validator("guidance", mode="before")
    @classmethod
    def _of_number(cls, value: Any) -> Any:
        return guidance_of(value)

    def weights(self) -> list[float]:
        """The guidance weight of each step."""
        return self.guidance.weights(self.steps)

    @property
    def length(self) -> int:
        """How many steps the stage's routine yields."""
        return self.routine.length(self.steps)

    def seen(self, shape: VideoShape) -> VideoShape:
        """The grid of what the network sees at once of a video: a window, a part of the routine's, or the whole."""
        if self.windows is None:
            return shape.with_(frames=self.routine.seen(shape.frames))
        return self.windows.seen(shape)

    @model_validator(mode="after")
    def _fits_the_routine(self) -> Self:
        if self.routine.in_parts and (self.windows is not None or self.keep_frames):
            field = "keep_frames: expected false" if self.windows is None else "windows: expected null"
            raise ValueError(f"{field} with routine {self.routine.kind()!r}, which decides itself what is seen at once")
        return self

    @property
    def guided(self) -> bool:
        """Whether any step is guided."""
        return self.guidance.active(self.steps)


class Distilled(Config):
    """What a network was distilled for, and so how it may be sampled.

    Attributes:
        steps: number of DDIM steps, each covering 1 / steps of diffusion time; None: any number, with any sampler.
        stochastic: whether it also learnt the levels halfway between. The stochastic sampler then takes twice as many.
        weights: the lowest and highest guidance weight. (0, 0): the network takes no weight and is not guided.
    """

    steps: Steps | None
    stochastic: bool = False
    weights: tuple[Weight, Weight] = (0.0, 0.0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.weights[0] > self.weights[1]:
            raise ValueError(f"weights: expected the lowest and the highest, got {self.weights}")
        return self

    @property
    def ways(self) -> dict[str, int]:
        """The steps that each sampler takes which it was distilled for; {}: any take any."""
        steps = self.steps
        return {} if steps is None else {"ddim": steps} | ({"stochastic": 2 * steps} if self.stochastic else {})

    def check(self, where: str, sampling: SamplingSpec) -> None:
        """Raise ValueError, with the legal values, for sampling that it was not distilled for."""
        expect_one_weight(where, high := self.weights[1], sampling.guidance)
        if wrong := [weight for weight in sampling.weights() if not self.weights[0] <= weight <= high]:
            legal = f"a weight from {self.weights[0]:g} to {high:g}" if high else "0"
            raise ValueError(f"{where}: guidance: expected {legal}, which it was distilled for, got {wrong[0]:g}")
        if self.ways and self.ways.get(name := sampling.sampler.kind()) != sampling.steps:
            legal = " or ".join(f"{count} steps of {sampler}" for sampler, count in self.ways.items())
            raise ValueError(f"{where}: expected {legal}, which it was distilled for, got {sampling.steps} of {name}")


class StageSpec(Config):
    """One diffusion model of a cascade.

    Attributes:
        name: as in options and folders: a lower-case letter, then lower-case letters, digits, "_" and "-".
        shape: of z: of the stage's videos, or of their latents.
        inputs: what conditions its network beside z.
        network: the architecture.
        codec: between z and the videos: by default they are the same. Its weights lie beside the networks'.
        sampling: how it is sampled by default.
        schedule: the noise level at each time, in training and in sampling.
        prediction: what the network's output means: the clean video x, the noise eps, v = alpha eps - sigma x,
            or flow = eps - x.
        distilled: what its network was distilled for; None: it was not distilled.
        grids: the grids that its network was trained on, if there were others than `shape`; (): that one alone.
        fills: the grid of the previous stage's video whose frames are every n-th of its own: it makes those between,
            and is given these as known frames; None: it does not.
        weights_of: the stage whose network it runs too, say at another frame rate; None: it has a network of its own.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=64)]
    shape: VideoShape
    inputs: Annotated[tuple[Input, ...], Field(max_length=64)] = (Text(),)
    network: NetworkConfig
    codec: Codec = PixelCodec()
    sampling: SamplingSpec = SamplingSpec()
    schedule: Annotated[Schedule, BeforeValidator(with_type)] = Cosine()
    prediction: Prediction = "v"
    distilled: Distilled | None = None
    grids: Annotated[tuple[VideoShape, ...], Field(max_length=64)] = ()
    fills: VideoShape | None = None
    weights_of: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_today(cls, value: Any) -> Any:
        return stage_of_today(value)

    @property
    def made(self) -> VideoShape:
        """The grid of the videos that it makes, in pixels."""
        return self.codec.pixels(self.shape)

    @property
    def channels(self) -> int:
        """Channels of the videos that it makes."""
        return 3 if self.codec.encodes else self.network.channels

    @property
    def source(self) -> VideoShape | None:
        """The grid of the video that the stage enlarges; None: it starts from noise and its other inputs alone."""
        return next((each.source for each in self.inputs if each.source is not None), self.fills)

    @property
    def seen(self) -> VideoShape:
        """The grid of what its network sees at once in sampling: a window, or the whole video."""
        return self.sampling.seen(self.shape)

    @property
    def windows(self) -> list[Window]:
        """What its network sees of a video, window by window."""
        return [Window.whole(self.shape)] if self.sampling.windows is None else self.sampling.windows.of(self.shape)

    @property
    def makes_vectors(self) -> bool:
        """Whether it makes vectors, such as embeddings of pictures, for other stages: a prior."""
        return self.network.vectors

    @property
    def all_inputs(self) -> tuple[Input, ...]:
        """All inputs of its network: the stage's, and the guidance weight where it was distilled to take one."""
        if not self.network.guided:
            return self.inputs
        low, high = (0.0, 0.0) if self.distilled is None else self.distilled.weights
        return (*self.inputs, GuidanceWeight(low=low, high=high))

    def input(self, name: str) -> Input | None:
        """The input of that name; None if the stage has none."""
        return next((each for each in self.inputs if each.name == name), None)

    def with_input(self, new: Input) -> Self:
        """The stage with this input instead of its own of the same name, if it has one."""
        return self.with_(inputs=tuple(new if own.name == new.name else own for own in self.inputs))

    def on(self, shape: VideoShape, source: VideoShape | None = None) -> Self:
        """The stage on another grid, with a source video of shape `source`."""
        fills = None if self.fills is None else source or self.fills
        return self.with_(shape=shape, inputs=tuple(each.on(shape, source) for each in self.inputs), fills=fills)

    def check_sampling(self) -> None:
        """Raise ValueError, with the legal values, if the stage is sampled in a way that it was not distilled for."""
        if self.distilled is not None:
            self.distilled.check(f"stage {self.name!r}", self.sampling)

    @property
    def kind(self) -> Literal["prior", "base", "tsr", "ssr"]:
        """The task: prior, which makes vectors; or, by its shapes, base, temporal or spatial super-resolution."""
        if self.makes_vectors:
            return "prior"
        if self.source is None:
            return "base"
        return "tsr" if self.shape.frames > self.source.frames else "ssr"

    @property
    def _adds_frames_alone(self) -> bool:
        size = (self.made.height, self.made.width)
        return self.kind == "tsr" and self.source is not None and size == (self.source.height, self.source.width)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (pixels := math.prod(self.made.sizes)) > MOST_PIXELS:
            raise ValueError(f"stage {self.name!r}: expected at most {MOST_PIXELS:,} pixels, got {pixels:,}")
        self.network.check(*self.seen.sizes)
        self._expect_inputs()
        self._expect_windows()
        expect_latents(self)
        expect_between(self)
        if self.makes_vectors and self.sampling.threshold is not None:
            got = self.sampling.threshold
            raise ValueError(
                f"stage {self.name!r}: sampling.threshold: expected null, vectors have no range, got {got}"
            )
        if self.sampling.keep_frames and not self._adds_frames_alone:
            raise ValueError(f"stage {self.name!r}: sampling.keep_frames is for stages that only add frames between")
        if self.network.predicts not in (None, self.prediction):
            expected = f"prediction {self.network.predicts!r}, which its network is made for"
            raise ValueError(f"stage {self.name!r}: expected {expected}, got {self.prediction!r}")
        if self.network.predicts == "v" and not self.schedule.preserves_variance:
            legal = "expected a schedule that preserves variance, such as cosine, for an anchored network"
            raise ValueError(f"stage {self.name!r}: schedule: {legal}, got {self.schedule.kind()!r}")
        if self.network.guided != (self.distilled is not None and self.distilled.weights[1] > 0):
            raise ValueError(f"stage {self.name!r}: guided = true belongs to a network distilled for guidance")
        return self

    def _expect_windows(self) -> None:
        """Raise ValueError for windows that do not fit the stage."""
        if self.sampling.windows is None:
            return
        try:
            self.sampling.windows.check(self.shape, source_grid(self))
        except ValueError as error:
            raise ValueError(f"stage {self.name!r}: sampling.{error}") from None

    def _expect_inputs(self) -> None:
        """Raise ValueError unless the inputs are those that the network reads, each once, and fit the stage's shape."""
        names = [each.name for each in self.inputs]
        if len(set(names)) < len(names):
            raise ValueError(f"stage {self.name!r}: expected every input once, got {names}")
        if (given := set(names)) != (read := self.network.reads):
            wanted = f"expected the inputs that its network reads, {sorted(read)}"
            raise ValueError(f"stage {self.name!r}: {wanted}, got {sorted(given)}")
        expect_guided_over(self)
        for each in self.inputs:
            if each.vector is not None and each.vector != (got := self.network.picture_width):
                where = f"stage {self.name!r}: network.picture_width"
                raise ValueError(f"{where}: expected {each.vector}, the width of its input {each.name!r}, got {got}")
            if each.size is not None and each.size != (got := self.network.sizes.get(each.name)):
                wanted = f"{each.name}: expected the size {each.size}, that of its input"
                raise ValueError(f"stage {self.name!r}: network: {wanted}, got {got or 'one without a size'}")
            try:
                each.check(self.shape)
            except ValueError as error:
                raise ValueError(f"stage {self.name!r}: {error}") from None


class CascadeSpec(Config):
    """Stages that feed each other, and the frozen text encoder that they share.

    The stages are a graph: each reads the one that its inputs name, by default the previous one that makes videos.

    Attributes:
        name: of the model, for people.
        channels: what the numbers of the videos are: names, units and scales, in order.
        text: the frozen encoder of prompts; None: no stage reads text.
        stages: in the order in which they run.
        default_until: the last stage that runs by default; None: the last of all.
        teachers: the originals of distilled stages, by the same names, which can run instead of them.
        trained_on: the training data, in a few words for people.
        noise: how noise is drawn from a seed. Models written before there was a choice used "mersenne".
    """

    name: Annotated[str, Field(max_length=200)]
    channels: Channels = RGB
    text: TextEncoder | None = None
    stages: Annotated[tuple[StageSpec, ...], Field(min_length=1, max_length=64)]
    default_until: str | None = None
    teachers: Annotated[tuple[StageSpec, ...], Field(max_length=64)] = ()
    trained_on: Annotated[str, Field(max_length=200)] | None = None
    noise: Scheme = "philox"

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """See `Config.from_json`; what older versions wrote keeps their scheme of noise."""
        return super().from_json(cascade_of_today(parse_json(value) if isinstance(value, str) else value))

    @model_validator(mode="after")
    def _chained(self) -> Self:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"stages: names must differ, got {names}")
        for stage in self.stages:
            expect_channels(stage, self.channels)
            self._expect_text(stage)
        expect_one_codec(self.stages)
        expect_shared(self.stages)
        expect_graph(self.stages)
        for teacher in self.teachers:
            stage = self.stage(teacher.name)
            if stage.distilled is None or teacher.distilled is not None:
                raise ValueError(f"teachers: expected the originals of distilled stages, got {teacher.name!r}")
            if (stage.shape, stage.source) != (teacher.shape, teacher.source):
                raise ValueError(f"teachers: {teacher.name!r} makes another shape than the stage that it taught")
        return self

    def _expect_text(self, stage: StageSpec) -> None:
        """Raise ValueError if a stage reads text of another width than the encoder's."""
        if TEXT not in stage.network.reads:
            return
        if self.text is None:
            raise ValueError(f"text: expected an encoder, for stage {stage.name!r} is told a text, got none")
        if stage.network.text_width != self.text.width:
            asked = f"width {stage.network.text_width}, which stage {stage.name!r} reads (its network.text_width)"
            got = f"{self.text.kind()} of width {self.text.width}"
            raise ValueError(f"text: expected an encoder of {asked}, got {got}")

    def originals(self) -> "CascadeSpec":
        """The cascade with teachers instead of the stages that were distilled from them.

        Raises ValueError if the teacher of a distilled stage is unknown, or if no stage is distilled.
        """
        distilled = [stage.name for stage in self.stages if stage.distilled is not None]
        if lost := [name for name in distilled if name not in {teacher.name for teacher in self.teachers}]:
            raise ValueError(f"{self.name}: stage {lost[0]!r} is distilled, and its teacher is not there")
        if not distilled:
            raise ValueError(f"{self.name}: no stage is distilled, so that there is no teacher to run in its place")
        teachers = {teacher.name: teacher for teacher in self.teachers}
        stages = tuple(teachers.get(stage.name, stage) for stage in self.stages)
        return self.with_(stages=stages, teachers=())

    @property
    def codec(self) -> Codec | None:
        """The codec of the stages that make latents; None: none does."""
        return next((stage.codec for stage in self.stages if stage.codec.encodes), None)

    @property
    def videos(self) -> tuple[StageSpec, ...]:
        """The stages that make videos, in order; the others make vectors for them."""
        return tuple(stage for stage in self.stages if not stage.makes_vectors)

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
