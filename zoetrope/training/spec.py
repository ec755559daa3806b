"""What it takes to train the stages of a cascade, as data."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.config import Config, override, unknown
from zoetrope.data import Source
from zoetrope.diffusion.loss import LossWeight
from zoetrope.shapes import VideoShape

Fraction = Annotated[float, Field(ge=0, le=1)]


class Phase(Config):
    """A stretch of training on clips of one length.

    Attributes:
        examples: how many the phase lasts; a pack of images counts as one.
        batch: examples of each optimizer step.
        frames: of a clip, spread over the stage's whole duration; None is the stage's own count, 1 is single images.
        images: share of examples that are packs of independent images instead of clips [arXiv:2210.02303, Sec. 2.6].
        peak: learning rate of this phase.
    """

    examples: PositiveInt
    batch: PositiveInt = 8
    frames: PositiveInt | None = None
    images: Fraction = 0.0
    peak: PositiveFloat = 5e-4


class TrainSpec(Config):
    """How one stage is trained.

    Attributes:
        data: where examples come from.
        phases: the curriculum, in order.
        weight: which error is minimised; the paper minimises that of eps.
        balance: divide each error by its running mean at that noise level, so that the levels where little can be known
            do not drown the others [after Karras et al. 2024, arXiv:2312.02696, Sec. 2.2, which learns that mean].
        text_dropout: share of examples that never see their text, for classifier-free guidance.
        crop: side lengths (height, width) of the output crop that a fully convolutional stage is trained on.
        warm_up, cool_down: examples over which the learning rate rises to, and at the end falls from, its peak.
        half_life: examples after which the moving average of the weights has forgotten half.
        accumulate: parts that each batch is cut into, to save memory.
        clip: largest norm of the gradient.
        precision: "auto" trains in bfloat16 where the device gains from it.
        every: examples between checkpoints; samples: between sample sheets (0: none); log: between lines of metrics.
    """

    data: Source
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    seed: NonNegativeInt = 0
    weight: LossWeight = "eps"
    balance: bool = False
    text_dropout: Fraction = 0.1
    crop: tuple[PositiveInt, PositiveInt] | None = None
    betas: tuple[Fraction, Fraction] = (0.9, 0.99)
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warm_up: NonNegativeInt = 1000
    cool_down: NonNegativeInt = 0
    half_life: PositiveInt = 10_000
    accumulate: PositiveInt = 1
    clip: PositiveFloat = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    checkpoint_every: PositiveInt = 5000
    sample_every: NonNegativeInt = 10_000
    log_every: PositiveInt = 200
    keep: PositiveInt = 2

    @property
    def examples(self) -> int:
        """How many examples the whole curriculum lasts."""
        return sum(phase.examples for phase in self.phases)

    def phase_at(self, examples: int) -> tuple[Phase, int]:
        """The phase that the next example belongs to, and how many examples it has left."""
        end = 0
        for phase in self.phases:
            end += phase.examples
            if examples < end:
                return phase, end - examples
        return self.phases[-1], 0

    def learning_rate(self, examples: int) -> float:
        """The learning rate after so many examples: the phase's peak, warmed up and cooled down linearly."""
        rate = self.phase_at(examples)[0].peak
        if self.warm_up:
            rate *= min(1.0, (examples + 1) / self.warm_up)
        if self.cool_down:
            rate *= max(0.01, min(1.0, (self.examples - examples) / self.cool_down))
        return rate


class Recipe(Config):
    """A whole system as data: the cascade, and how each of its stages is trained."""

    name: str
    cascade: CascadeSpec
    training: dict[str, TrainSpec]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for name, spec in self.training.items():
            _check_training(self.cascade.stage(name), spec)
        return self

    def train_spec(self, stage: str) -> TrainSpec:
        """How that stage is trained. Raises ValueError, with the nearest name, if there is no such stage."""
        self.cascade.stage(stage)
        if stage not in self.training:
            raise ValueError(f"{self.name}: says nothing of how stage {stage!r} is trained")
        return self.training[stage]

    def override(self, path: str, value: object) -> "Recipe":
        """A copy with one field changed: "base.network.patch", "base.training.clip" or any full path.

        Raises ValueError that names the path, with a nearest name for a misspelt part.
        """
        head, _, rest = path.partition(".")
        fields = type(self).model_fields
        if head in fields:
            return override(self, path, value)
        self.cascade.stage(head)
        section, _, inner = rest.partition(".")
        if section == "training":
            return override(self, f"training.{head}.{inner}", value)
        if section not in StageSpec.model_fields:
            raise ValueError(f"{head}: " + unknown("field", section, [*StageSpec.model_fields, "training"]))
        return override(self, f"cascade.stages.{head}.{rest}", value)


def _check_training(stage: StageSpec, spec: TrainSpec) -> None:
    """Raise ValueError where a stage can't be trained as its spec says."""
    where = f"training.{stage.name}"
    if stage.source is not None:
        if any(phase.frames for phase in spec.phases):
            raise ValueError(f"{where}.phases: a stage with a source is trained on whole clips; leave frames out")
        if stage.kind == "tsr" and any(phase.images for phase in spec.phases):
            raise ValueError(f"{where}.phases: independent images have no frames between them; set images to 0")
    if spec.crop is None:
        return
    if stage.source is None:
        raise ValueError(f"{where}.crop: only a stage with a source is trained on crops")
    for axis, side in zip(("height", "width"), spec.crop, strict=True):
        whole, source = getattr(stage.shape, axis), getattr(stage.source, axis)
        if side > whole or side % (whole // source):
            raise ValueError(f"{where}.crop: {axis} {side} is no multiple of {whole // source} up to {whole}")
    try:
        stage.network.check(stage.shape.frames, *spec.crop)
    except ValueError as error:
        raise ValueError(f"{where}.crop: {error}") from None


def clip_shape(stage: StageSpec, phase: Phase) -> VideoShape:
    """The shape of the clips of a phase: fewer frames are spread over the same seconds."""
    frames = phase.frames or stage.shape.frames
    fps = stage.shape.fps * frames / stage.shape.frames
    return VideoShape(frames=frames, height=stage.shape.height, width=stage.shape.width, fps=fps)
