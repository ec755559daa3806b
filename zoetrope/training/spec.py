"""Training of the stages of a cascade, as data."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from zoetrope.cascade.between import source_grid
from zoetrope.cascade.migration import path_of_today, recipe_of_today, recipe_path_of_today
from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.conditioning import Weight
from zoetrope.config import Config, overridden, parse_json, unknown
from zoetrope.data import Source
from zoetrope.diffusion.loss import LossWeight
from zoetrope.models.weights import IfMissing
from zoetrope.shapes import FramesPerSecond, VideoShape
from zoetrope.training.adapters import Lora
from zoetrope.training.grids import Grid, batches_before, check_grids, with_grids
from zoetrope.training.known import KnownFrames, expect_even
from zoetrope.training.latents import check_latents
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
from zoetrope.training.vectors import check_vectors

Fraction = Annotated[float, Field(ge=0, le=1)]


class Phase(Config):
    """A stretch of training on clips of one length.

    Attributes:
        examples: length of the phase; a pack of images counts as one.
        batch: examples per optimizer step.
        frames: of a clip, spread over the stage's whole duration; None is the stage's own count, 1 is single images.
        images: share of examples that are packs of independent images instead of clips [arXiv:2210.02303, Sec. 2.6].
        appended: independent images appended to the frames of each clip [Ho et al. 2022, arXiv:2204.03458, Sec. 3.2].
        rates: frames per second that the stage's clips are taken at, each for an equal share of them; (): the stage's
            alone. With high rates first and low ones later, small motions are learnt before large ones [Singer et al.
            2022, arXiv:2209.14792], by a network that is told the rate.
        peak: learning rate of this phase.
    """

    examples: PositiveInt
    batch: PositiveInt = 8
    frames: PositiveInt | None = None
    images: Fraction = 0.0
    appended: NonNegativeInt = 0
    rates: Annotated[tuple[FramesPerSecond, ...], Field(max_length=64)] = ()
    peak: PositiveFloat = 5e-4


class TrainSpec(Config):
    """How one stage is trained.

    Attributes:
        data: where examples come from.
        phases: the curriculum, in order.
        seed: of everything random in training: fresh weights, order, times, noise, dropped texts.
        objective: what is learnt; distillation sets it.
        weight: which error is minimised; the paper minimises that of eps.
        times: the distribution of diffusion times; unused by halving, which has the times of its steps.
        known: which frames of an example are known; None: none are, and all have one noise level.
        balance: divide each error by its running mean at that noise level, so that levels with large unavoidable errors
            do not dominate [after Karras et al. 2024, arXiv:2312.02696, Sec. 2.2, which learns that mean].
        grids: the grids of the clips, for a network of several sizes and lengths; (): the stage's own.
        grid_batches: "bucketed": every batch has clips of one grid; "packed": every batch has clips of all grids, each
            for its share, which a network that packs takes in one sequence [Dehghani et al. 2023, arXiv:2307.06304].
        same_pixels: whether a bucketed batch of another grid has about as many pixels as a phase's `batch` clips of the
            first grid, and so as many more or fewer clips. Shares are of examples all the same.
        crop: height and width of the output crops that a fully convolutional stage trains on.
        span: number of consecutive frames of a clip that such a stage trains on at a time; None is all.
        optimizer: "adamw"; "muon", whose time per step has a part that does not depend on the batch, so that it suits
            batches of at least a thousand pixels of the coarsest level; or "adamw8bit", whose states take a quarter of
            the memory, and which needs the package bitsandbytes.
        betas: decay per step of AdamW's averages of the gradient and of its square.
        weight_decay: share of each weight that a step removes, times the learning rate, as in AdamW.
        rate: the course of the learning rate between warm-up and cool-down.
        warm_up: examples at the start of the training over which the learning rate rises to its peak.
        cool_down: examples at its end over which the learning rate falls to a hundredth of the peak.
        half_life: examples after which the moving average of the weights has forgotten half. Several half-lives give
            several averages; sampling uses the first by default.
        freeze: patterns over the names of parameters that do not learn, such as "*attention*".
        learn: patterns over the names of the only parameters that learn, such as "*temporal*"; () is all.
        init_missing: how to treat tensors that the initial weights (`--init`) lack: "refuse" such weights, or
            initialise them "fresh", as when an image network becomes a video network.
        begins_as: the stage whose initial weights (`--init`) are taken where there are none of the stage's own name.
        lora: train low-rank adapters, and merge them into the weights of checkpoints.
        accumulate: number of parts that each batch is split into, to save memory.
        clip: largest norm of the gradient.
        precision: "auto" trains in bfloat16 where that is faster on the device.
        parallel: how several processes train together; "sharded" distributes the weights over them.
        compile: compile the network's blocks before the first step, for each shape of batch anew.
        keep: how many of the newest checkpoints are kept.
        keep_every: examples between checkpoints that are kept permanently (0: none).
        patience: how many consecutive batches may have a non-finite loss or gradient before the training ends.
        checkpoint_every: the most examples that a kill may lose, rounded to steps, at least two; see `checkpoint_step`.
        sample_every: examples between sample sheets (0: none).
        log_every: examples between lines of metrics.
        trackers: services that receive metrics and sample sheets.
        workers: processes that decode videos and look up texts while the network learns; 0: a thread instead.
    """

    data: Source
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    seed: NonNegativeInt = 0
    objective: Objective = Denoising()
    weight: LossWeight = "eps"
    times: Times = Uniform()
    known: KnownFrames | None = None
    balance: bool = False
    grids: Annotated[tuple[Grid, ...], Field(max_length=64)] = ()
    grid_batches: Literal["bucketed", "packed"] = "bucketed"
    same_pixels: bool = False
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
    init_missing: IfMissing = "refuse"
    begins_as: str | None = None
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
        """The half-life of each average, in examples; the first average is the one to sample with."""
        return (self.half_life,) if isinstance(self.half_life, int) else self.half_life

    @property
    def examples(self) -> int:
        """How many examples the whole curriculum lasts."""
        return sum(phase.examples for phase in self.phases)

    @property
    def checkpoint_step(self) -> int:
        """Examples between the starts of consecutive checkpoints: half of `checkpoint_every`.

        A checkpoint is written while training continues; until it is complete, the previous one counts.
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
        """The number of batches before this position."""
        steps = 0
        for number, phase in enumerate(self.phases):
            within = min(examples, phase.examples)
            steps, examples = steps + batches_before(self, number, within), examples - within
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
        """The largest share of its peak that the learning rate reaches between warm-up and cool-down."""
        end = self.examples
        turns = (min(self.warm_up, end), end // 2, max(0, end - self.cool_down))
        rise = (min(1.0, turn / self.warm_up) if self.warm_up else 1.0 for turn in turns)
        fall = (min(1.0, (end - turn) / self.cool_down) if self.cool_down else 1.0 for turn in turns)
        return max(up * down for up, down in zip(rise, fall, strict=True))


class DistilSpec(Config):
    """How a trained stage is distilled to few steps: a round for guidance, then halvings, each a separate training.

    Everything that is not set here, such as data, crop and seed, comes from the stage's `TrainSpec`.

    Attributes:
        start: DDIM steps of the teacher, which the first halving halves. A distilled teacher has already learnt
            guidance, and its own steps are the start.
        steps: steps of the final student: start, or half of it, divided by a power of two.
        sampler: the sampler of these steps. Networks for the stochastic sampler also work with DDIM, in half as many.
        weights: the lowest and highest guidance weight of the student, uniformly distributed in training; None: from 0
            to the highest that the stage is sampled with. With (0, 0) there is no round for guidance.
        guidance: the round that learns guidance. halving: each of the others. last: the last two, which are harder.
        weight: which error is minimised; neither choice vanishes in high noise [Salimans & Ho 2022, arXiv:2202.00512,
            Sec. 4].
        warm_up: examples over which each round's learning rate rises; after that it falls to a hundredth.
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
        """See `Config.from_json`; also reads what older versions wrote."""
        return super().from_json(recipe_of_today(parse_json(value) if isinstance(value, str) else value))

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for name in self.distillation:
            self.cascade.stage(name)
        for name, spec in self.training.items():
            _check_training(self.cascade.stage(name), spec)
        check_vectors(self.cascade, self.training)
        check_latents(self.cascade, self.training)
        # What models are told that they were trained on is what the training says.
        object.__setattr__(self, "cascade", with_grids(self.cascade, self.training))
        return self

    def train_spec(self, stage: str) -> TrainSpec:
        """How that stage is trained. Raises ValueError, with the nearest name, if there is no such stage."""
        self.cascade.stage(stage)
        if stage not in self.training:
            raise ValueError(f"{self.name}: says nothing of how stage {stage!r} is trained")
        return self.training[stage]

    def distil_spec(self, stage: str) -> DistilSpec:
        """How that stage is distilled: as the recipe says, or by default."""
        return self.distillation.get(self.cascade.stage(stage).name, DistilSpec())

    def override(self, path: str, value: object) -> "Recipe":
        """A copy with one field changed: "base.network.patch", "base.training.clip", "base.distillation.steps" ...

        Full paths work as well.

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
    for number, phase in enumerate(spec.phases):
        if phase.frames is not None:
            try:
                stage.network.check(phase.frames, stage.shape.height, stage.shape.width)
            except ValueError as error:
                raise ValueError(f"{where}.phases.{number}.{error}") from None
    if not stage.network.takes_packs and any(phase.images or phase.appended for phase in spec.phases):
        every = stage.network.reach().every
        raise ValueError(
            f"{where}.phases: packs of independent images cannot cross a stride of {every} frames, which mixes them; "
            "set images and appended to 0, or train on single pictures before the network has the stride"
        )
    if spec.objective.weighs_last and spec.parallel.kind() == "sharded":
        raise ValueError(f"{where}.parallel: expected 'replicated' for an objective with a critic, got 'sharded'")
    if stage.weights_of is not None:
        raise ValueError(f"{where}: expected none, for its network is that of {stage.weights_of!r}")
    if stage.fills is not None and spec.known is None:
        raise ValueError(f"{where}.known: expected 'every', for it makes frames between known ones, got null")
    if spec.known is not None:
        try:
            spec.known.check(stage.shape.frames, stage.source is not None)
        except ValueError as error:
            raise ValueError(f"{where}.known: {error}") from None
    try:
        if spec.known is not None and stage.network.needs_even_frames:
            expect_even(spec.known, stage.shape.frames, [phase.frames for phase in spec.phases])
        check_grids(stage, spec)
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from None
    if stage.source is not None and any(phase.appended for phase in spec.phases):
        raise ValueError(f"{where}.phases: a stage with a source has no images to append; set appended to 0")
    if spec.crop is None and spec.span is None:
        return
    if stage.source is None:
        raise ValueError(f"{where}.{'crop' if spec.crop else 'span'}: only a stage with a source is trained on parts")
    height, width = spec.crop or (stage.shape.height, stage.shape.width)
    parts = (("span", "frames", spec.span or stage.shape.frames), ("crop", "height", height), ("crop", "width", width))
    for field, axis, size in parts:
        whole, source = getattr(stage.shape, axis), getattr(source_grid(stage), axis)
        if size > whole or size % (whole // source):
            raise ValueError(f"{where}.{field}: {axis} {size} is no multiple of {whole // source} up to {whole}")
    try:
        stage.network.check(spec.span or stage.shape.frames, height, width)
    except ValueError as error:
        raise ValueError(f"{where}.crop: {error}") from None


def clip_shape(stage: StageSpec, phase: Phase) -> VideoShape:
    """The shape of the clips of a phase on the stage's own grid: fewer frames are spread over the same seconds."""
    frames = phase.frames or stage.shape.frames
    fps = stage.shape.fps * frames / stage.shape.frames
    return VideoShape(frames=frames, height=stage.shape.height, width=stage.shape.width, fps=fps)
