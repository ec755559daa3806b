"""What it takes to train the stages of a cascade, as data."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from zoetrope.cascade.migration import path_of_today, recipe_of_today, recipe_path_of_today
from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.config import Config, overridden, parse_json, unknown
from zoetrope.data import Source
from zoetrope.diffusion.loss import LossWeight
from zoetrope.guidance.text import Weight
from zoetrope.models.weights import Missing
from zoetrope.shapes import VideoShape
from zoetrope.training.adapters import Lora
from zoetrope.training.objectives import Objective
from zoetrope.training.objectives.denoise import Denoising
from zoetrope.training.optimizers import OptimizerName
from zoetrope.training.parallel import Parallel
from zoetrope.training.parallel.replicated import Replicated
from zoetrope.training.rates import Rate
from zoetrope.training.rates.constant import Constant
from zoetrope.training.times import Times
from zoetrope.training.times.uniform import Uniform
from zoetrope.training.trackers import Tracker

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
        seed: of everything random in training: fresh weights, order, times, noise, dropped texts.
        objective: what is learnt; distillation sets it.
        weight: which error is minimised; the paper minimises that of eps.
        times: how often each diffusion time is learnt from; not that of halving, which has the times of its steps.
        balance: divide each error by its running mean at that noise level, so that the levels where little can be known
            do not drown the others [after Karras et al. 2024, arXiv:2312.02696, Sec. 2.2, which learns that mean].
        crop: side lengths (height, width) of the output crop that a fully convolutional stage is trained on.
        span: how many neighbouring frames of a clip such a stage is trained on at a time; None is all.
        optimizer: "adamw"; "muon", which takes some time of its own at each step, whatever the batch, so that it suits
            batches of a thousand pixels of the coarsest level or more; or "adamw8bit", which takes a quarter of the
            memory for what it remembers, and needs the package bitsandbytes.
        betas: decay of AdamW's averages of the gradient and of its square, at each step.
        weight_decay: share of each weight that a step takes away, times the learning rate, as in AdamW.
        rate: how the learning rate goes between warm-up and cool-down.
        warm_up: examples at the start of the training over which the learning rate rises to its peak.
        cool_down: examples at its end over which the learning rate falls to a hundredth of the peak.
        half_life: examples after which the moving average of the weights has forgotten half. Of several, each has an
            average of its own, and the first one's is sampled with unless another is named.
        freeze: patterns over the names of parameters that are not to learn, such as "*attention*".
        learn: patterns over those that are, such as "*temporal*", where all others are not to; () is all.
        init_missing: what becomes of tensors that the weights which a run starts from (`--init`) do not have: "refuse"
            those weights, or begin "fresh", as where a network of images becomes one of videos.
        lora: train low-rank adapters, and merge them into the weights that a checkpoint holds.
        accumulate: parts that each batch is cut into, to save memory.
        clip: largest norm of the gradient.
        precision: "auto" trains in bfloat16 where the device gains from it.
        parallel: how several processes train together; "sharded" divides the weights among them.
        compile: compile the network's blocks before the first step, for each shape of batch anew.
        keep: how many of the newest checkpoints are kept.
        keep_every: examples between checkpoints that are kept for good (0: none).
        patience: batches in a row whose loss or gradient may be other than finite before the training ends.
        checkpoint_every: the most examples that a kill may cost, in whole steps, two at least; see `checkpoint_step`.
        sample_every: examples between sample sheets (0: none).
        log_every: examples between lines of metrics.
        trackers: services that are told what is logged.
        workers: processes that decode videos and look up texts while the network learns; 0 is a thread of its own.
    """

    data: Source
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    seed: NonNegativeInt = 0
    objective: Objective = Denoising()
    weight: LossWeight = "eps"
    times: Times = Uniform()
    balance: bool = False
    crop: tuple[PositiveInt, PositiveInt] | None = None
    span: PositiveInt | None = None
    optimizer: OptimizerName = "adamw"
    betas: tuple[Fraction, Fraction] = (0.9, 0.99)
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    rate: Rate = Constant()
    warm_up: NonNegativeInt = 1000
    cool_down: NonNegativeInt = 0
    half_life: PositiveInt | Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = 10_000
    freeze: tuple[str, ...] = ()
    learn: tuple[str, ...] = ()
    init_missing: Missing = "refuse"
    lora: Lora | None = None
    accumulate: PositiveInt = 1
    clip: PositiveFloat = 1.0
    patience: PositiveInt = 10
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    parallel: Parallel = Replicated()
    compile: bool = False
    checkpoint_every: PositiveInt = 5000
    sample_every: NonNegativeInt = 10_000
    log_every: PositiveInt = 200
    keep: PositiveInt = 2
    keep_every: NonNegativeInt = 0
    trackers: tuple[Tracker, ...] = ()
    workers: NonNegativeInt = 0

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        for field in ("freeze", "learn"):
            if self.lora is not None and getattr(self, field):
                raise ValueError(f"{field}: with lora all but the adapters is frozen already; leave it out")
        if len(set(self.half_lives)) < len(self.half_lives):
            raise ValueError(f"half_life: expected different numbers, got {self.half_lives}")
        return self

    @property
    def half_lives(self) -> tuple[int, ...]:
        """The half-life of each average, in examples; the first is that of the one to sample with."""
        return (self.half_life,) if isinstance(self.half_life, int) else self.half_life

    @property
    def examples(self) -> int:
        """How many examples the whole curriculum lasts."""
        return sum(phase.examples for phase in self.phases)

    @property
    def checkpoint_step(self) -> int:
        """Examples from the beginning of one checkpoint to that of the next: half of `checkpoint_every`.

        A checkpoint is written while the training goes on, and until it is whole the one before counts.
        """
        return max(1, self.checkpoint_every // 2)

    def phase_at(self, examples: int) -> tuple[Phase, int]:
        """The phase that the next example belongs to, and how many examples it has left."""
        end = 0
        for phase in self.phases:
            end += phase.examples
            if examples < end:
                return phase, end - examples
        return self.phases[-1], 0

    def steps_at(self, examples: int) -> int:
        """How many batches the curriculum has before this position."""
        steps = 0
        for phase in self.phases:
            within = min(examples, phase.examples)
            steps, examples = steps + -(-within // phase.batch), examples - within
        return steps

    def learning_rate(self, examples: int) -> float:
        """The learning rate after so many examples: the phase's peak times `rate`, warmed up and cooled down."""
        rate = self.phase_at(examples)[0].peak * self.rate.share(examples, self.examples)
        if self.warm_up:
            rate *= min(1.0, (examples + 1) / self.warm_up)
        if self.cool_down:
            rate *= max(0.01, min(1.0, (self.examples - examples) / self.cool_down))
        return rate

    @property
    def reached(self) -> float:
        """The share of its peak that the learning rate comes to between warming up and cooling down."""
        end = self.examples
        turns = (min(self.warm_up, end), end // 2, max(0, end - self.cool_down))
        rise = (min(1.0, turn / self.warm_up) if self.warm_up else 1.0 for turn in turns)
        fall = (min(1.0, (end - turn) / self.cool_down) if self.cool_down else 1.0 for turn in turns)
        return max(up * down for up, down in zip(rise, fall, strict=True))


class DistilSpec(Config):
    """How a trained stage is distilled to few steps: one round for guidance, then halvings, each a training of its own.

    A round has the data, the crop, the seed and all else that is not said here from the stage's `TrainSpec`.

    Attributes:
        start: steps of the teacher with DDIM, which the first halving makes half as many of. Guidance of a distilled
            teacher is learnt already, and its steps are the start.
        steps: where halving ends: start, or half of it, divided by a power of two.
        sampler: whose steps those are. Networks for the stochastic sampler also serve DDIM, in half as many.
        weights: the lowest and highest guidance weight that the student takes, drawn evenly in training; None: from 0
            to the highest that the stage is sampled with. At (0, 0) there is no guidance to learn, and no such round.
        guidance: the round that learns guidance. halving: each of the others. last: the last two, which are harder.
        weight: which error is minimised, either one that does not vanish in noise [Salimans & Ho 2022,
            arXiv:2202.00512, Sec. 4].
        warm_up: examples over which each round's learning rate rises; from there on it falls to a hundredth.
        half_life: of the moving average of the weights, in examples.
    """

    start: PositiveInt = 128
    steps: PositiveInt = 8
    sampler: Literal["ddim", "stochastic"] = "ddim"
    weights: tuple[Weight, Weight] | None = None
    guidance: Phase = Phase(examples=400_000, peak=1e-4)
    halving: Phase = Phase(examples=400_000, peak=1e-4)
    last: Phase = Phase(examples=800_000, peak=1e-4)
    weight: Literal["snr_trunc", "v"] = "snr_trunc"
    warm_up: NonNegativeInt = 0
    half_life: PositiveInt = 1000


class Recipe(Config):
    """A whole system as data: the cascade, and how each of its stages is trained and distilled.

    Attributes:
        name: of the system, for people.
        cascade: what the stages are.
        training: how stages are trained, by their names. A stage without an entry cannot be trained.
        distillation: how stages are distilled, by their names. A stage without an entry takes the defaults.
    """

    name: str
    cascade: CascadeSpec
    training: dict[str, TrainSpec]
    distillation: dict[str, DistilSpec] = Field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """As for any config; what older versions wrote means what it meant."""
        return super().from_json(recipe_of_today(parse_json(value) if isinstance(value, str) else value))

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for name in self.distillation:
            self.cascade.stage(name)
        for name, spec in self.training.items():
            _check_training(self.cascade.stage(name), spec)
        return self

    def train_spec(self, stage: str) -> TrainSpec:
        """How that stage is trained. Raises ValueError, with the nearest name, if there is no such stage."""
        self.cascade.stage(stage)
        if stage not in self.training:
            raise ValueError(f"{self.name}: says nothing of how stage {stage!r} is trained")
        return self.training[stage]

    def distil_spec(self, stage: str) -> DistilSpec:
        """How that stage is distilled: as the recipe says, or in the usual way."""
        return self.distillation.get(self.cascade.stage(stage).name, DistilSpec())

    def override(self, path: str, value: object) -> "Recipe":
        """A copy with one field changed: "base.network.patch", "base.training.clip", "base.distillation.steps" ...

        Any full path is good as well.

        Raises ValueError that names the path, with a nearest name for a misspelt part.
        """
        return self.overridden({path: value})

    def overridden(self, changes: Mapping[str, object]) -> "Recipe":
        """A copy with fields changed as by `override`, in this order, and validated once they all are."""
        made, known = {}, dict(self.distillation)
        for path, value in changes.items():
            full = self._full(path)
            section, _, rest = full.partition(".")
            name = rest.partition(".")[0]
            if section == "distillation" and "." in rest:
                known.setdefault(name, self.distil_spec(name))
            made[full] = value
        return overridden(self.with_(distillation=known), made)

    def _full(self, path: str) -> str:
        """The full path of a field that may begin with the name of a stage."""
        head, _, rest = path.partition(".")
        if head in type(self).model_fields:
            return recipe_path_of_today(path)
        self.cascade.stage(head)
        rest = path_of_today(rest)
        section, _, inner = rest.partition(".")
        if section in ("training", "distillation"):
            return f"{section}.{head}.{inner}" if inner else f"{section}.{head}"
        if section not in StageSpec.model_fields:
            own = [*StageSpec.model_fields, "training", "distillation"]
            raise ValueError(f"{head}: " + unknown("field", section, own))
        return f"cascade.stages.{head}.{rest}"


def _check_training(stage: StageSpec, spec: TrainSpec) -> None:
    """Raise ValueError where a stage can't be trained as its spec says."""
    where = f"training.{stage.name}"
    if stage.source is not None:
        if any(phase.frames for phase in spec.phases):
            raise ValueError(f"{where}.phases: a stage with a source is trained on whole clips; leave frames out")
        if stage.kind == "tsr" and any(phase.images for phase in spec.phases):
            raise ValueError(f"{where}.phases: independent images have no frames between them; set images to 0")
    if spec.crop is None and spec.span is None:
        return
    if stage.source is None:
        raise ValueError(f"{where}.{'crop' if spec.crop else 'span'}: only a stage with a source is trained on parts")
    height, width = spec.crop or (stage.shape.height, stage.shape.width)
    parts = (("span", "frames", spec.span or stage.shape.frames), ("crop", "height", height), ("crop", "width", width))
    for field, axis, size in parts:
        whole, source = getattr(stage.shape, axis), getattr(stage.source, axis)
        if size > whole or size % (whole // source):
            raise ValueError(f"{where}.{field}: {axis} {size} is no multiple of {whole // source} up to {whole}")
    try:
        stage.network.check(spec.span or stage.shape.frames, height, width)
    except ValueError as error:
        raise ValueError(f"{where}.crop: {error}") from None


def clip_shape(stage: StageSpec, phase: Phase) -> VideoShape:
    """The shape of the clips of a phase: fewer frames are spread over the same seconds."""
    frames = phase.frames or stage.shape.frames
    fps = stage.shape.fps * frames / stage.shape.frames
    return VideoShape(frames=frames, height=stage.shape.height, width=stage.shape.width, fps=fps)
