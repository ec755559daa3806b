"""Objectives, one per file: what a network learns, from data or from a teacher.

An objective names the networks that take part beside the student, which is the one to sample with, and defines the
error of each learning network on given examples.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, NamedTuple, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.config import Config, Kind
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.loss import LossWeight, frame_errors, output_weight, squared_error
from zoetrope.networks import ClipBatch, NetworkConfig
from zoetrope.schedules import Schedule
from zoetrope.training.optimizers import OptimizerName
from zoetrope.training.parallel import Call, PackingCall
from zoetrope.training.times import Times
from zoetrope.training.times.uniform import Uniform

STUDENT, AVERAGE, TEACHER = "student", "average", "teacher"

Players = Mapping[str, Call]
"""The networks of a training by name: (z, logsnr, conditioning) -> output.

"student" and "average", the student's own moving average, are always there. The gradient of an error reaches only the
weights of the player that learns from it. Another learning player, such as a critic, passes gradients on to z, but not
to its own weights; so does one that does not learn if it `passes`. Give the others, and the average, a z without a
graph.
"""


class Lesson(NamedTuple):
    """Examples on the device.

    Attributes:
        x, eps: clean videos and noise like them, (B, C, F, H, W).
        u: (B,), or (B, F) where each frame has its own, in [0, 1), which `times` maps to diffusion times.
        given: conditioning.
        weight: which error is minimised.
        counted: frames that have a loss, (B, F) bool; None: all.
        known: frames that are given clean, (B, F) bool; None: none are.
        present: values that have a loss, like x, bool; None: all. x is 0 elsewhere.
        position: examples of the training before this batch.
    """

    x: Tensor
    eps: Tensor
    u: Tensor
    given: Conditioning
    times: Times = Uniform()
    weight: LossWeight = "eps"
    counted: Tensor | None = None
    known: Tensor | None = None
    present: Tensor | None = None
    position: int = 0

    def level(self, schedule: Schedule) -> NoiseLevel:
        """The noise level of each example, or, with known frames, of each frame."""
        return self.clean_where_known(schedule(self.times(self.u, schedule)))

    def clean_where_known(self, level: NoiseLevel) -> NoiseLevel:
        """A level with that of clean data for known frames, (B, F); without known frames, the level itself."""
        if self.known is None:
            return level
        clean = NoiseLevel.clean(*self.known.shape, device=self.known.device)
        return NoiseLevel.where(self.known, clean, level.expand(self.known.shape[1]))


class Question(NamedTuple):
    """A training pair: the input z (B, C, F, H, W) at a level (B,) or (B, F), and the target of the output, like z."""

    z: Tensor
    level: NoiseLevel
    answer: Tensor

    def output(self, player: Call, lesson: Lesson) -> Tensor:
        """The network's output for it."""
        return player(self.z, self.level.logsnr, lesson.given)

    def errors(self, stage: StageSpec, lesson: Lesson, output: Tensor) -> Tensor:
        """The squared error of an output, weighted as the lesson says: (B, F) at levels (B, F), 0 where none counts.

        At levels (B,) it is (B,), over the frames that count and the values that are present.
        """
        weight = output_weight(lesson.weight, stage.prediction, self.level).float()
        if self.level.per_frame:
            return frame_errors(output, self.answer, weight, lesson.counted, lesson.present)
        return squared_error(output, self.answer, weight, lesson.counted, lesson.present)


class Teacher(Config):
    """A network to learn from: its architecture and the file of its weights.

    The student starts from the weights that both have in common.

    Attributes:
        network: its architecture.
        weights: a safetensors file, relative to the run's folder.
    """

    network: NetworkConfig
    weights: str


class PlayerSpec(Config):
    """A network that takes part in a training beside the student.

    Attributes:
        network: its architecture.
        weights: its initial weights, a safetensors file relative to the run's folder; None: fresh weights.
        learns: whether it is trained too; if not, it stays as in its file.
        rate: its learning rate, as a multiple of the student's.
        every: it learns from every n-th batch.
        optimizer: None: the student's.
        betas: of its optimizer; None: the student's.
        half_life: of each moving average of its weights, in examples.
        passes: whether it passes gradients on to z although it does not learn: a judge of what the student makes.
        remedy: what a user can do where the file of its weights is not there.
    """

    network: NetworkConfig
    weights: str | None = None
    learns: bool = True
    rate: PositiveFloat = 1.0
    every: PositiveInt = 1
    optimizer: OptimizerName | None = None
    betas: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] | None = None
    half_life: tuple[PositiveInt, ...] = ()
    passes: bool = False
    remedy: str = ""

    @model_validator(mode="after")
    def _has_weights(self) -> Self:
        if not self.learns and self.weights is None:
            raise ValueError("weights: expected a file, got none; a network that does not learn cannot do without")
        return self


class Objective(Kind, ABC):
    """What a network learns; its parameters are its fields.

    Attributes:
        denoises: whether it is for networks that denoise.
        teacher: the network to learn from; None: learn from data alone.
    """

    folder: ClassVar[str] = "zoetrope.training.objectives"
    denoises: ClassVar[bool] = True

    teacher: Teacher | None = None

    def players(self, stage: StageSpec) -> dict[str, PlayerSpec]:
        """The networks beside the student, by name; those that learn take turns in this order."""
        if self.teacher is None:
            return {}
        return {TEACHER: PlayerSpec(network=self.teacher.network, weights=self.teacher.weights, learns=False)}

    @property
    def weighs_last(self) -> bool:
        """Whether it weighs errors by their gradients at the student's last layer, which must then be whole."""
        return False

    def located(self) -> Self:
        """The objective with absolute paths to what users name, so that a training can resume from any folder."""
        return self

    def remark(self, stage: StageSpec) -> str | None:
        """What a user should know before a new training, and can do about it; None: nothing."""
        return None

    @abstractmethod
    def __call__(self, stage: StageSpec, lesson: Lesson, players: Players) -> Tensor:
        """The error of the student on each example, (B,), or on each frame, (B, F), with a graph.

        Errors of frames are averaged over those that the lesson counts. Call the student only once, with everything
        stacked into one batch: a sharded network requires that.
        """

    def packed(self, stage: StageSpec, lessons: Sequence[Lesson], players: Players) -> list[Tensor]:
        """The error of the student on each example, or frame, of several lessons, whose videos differ in size.

        By default one lesson after another, which only a single process can do. To call the student once, use
        `errors_together`.
        """
        return [self(stage, lesson, players) for lesson in lessons]

    def errors_of(self, player: str, stage: StageSpec, lesson: Lesson, players: Players) -> Tensor:
        """The error (B,) of another learning player on each example; objectives with such players define it."""
        raise NotImplementedError(f"{self.kind()}: does not say what the error of {player!r} is")


def errors_together(
    stage: StageSpec, lessons: Sequence[Lesson], questions: Sequence[Question], student: Call
) -> list[Tensor]:
    """The errors of a student on the questions of several lessons, in one call where it packs."""
    if isinstance(student, PackingCall):
        pairs = zip(questions, lessons, strict=True)
        outputs = student.pack([ClipBatch(each.z, each.level.logsnr, lesson.given) for each, lesson in pairs])
    else:
        outputs = [each.output(student, lesson) for each, lesson in zip(questions, lessons, strict=True)]
    every = zip(questions, lessons, outputs, strict=True)
    return [each.errors(stage, lesson, output) for each, lesson, output in every]


def packed_errors_of(
    objective: Objective, player: str, stage: StageSpec, lessons: Sequence[Lesson], players: Players
) -> list[Tensor]:
    """The error of any learning player on each example of several lessons, with a graph."""
    if len(lessons) > 1 and player == STUDENT:
        return objective.packed(stage, lessons, players)
    return [errors_of(objective, player, stage, lesson, players) for lesson in lessons]


def errors_of(objective: Objective, player: str, stage: StageSpec, lesson: Lesson, players: Players) -> Tensor:
    """The error (B,) of any learning player on each example, with a graph."""
    if player == STUDENT:
        return objective(stage, lesson, players)
    return objective.errors_of(player, stage, lesson, players)
