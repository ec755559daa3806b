"""Learn to do in one step what the teacher does in two [Salimans & Ho 2022, arXiv:2202.00512, Alg. 2]."""

from collections.abc import Sequence

from pydantic import PositiveInt
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.diffusion.distillation import Jump, TimeGrid, halving_answer
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.prediction import x_from
from zoetrope.diffusion.process import diffuse
from zoetrope.training.objectives import (
    STUDENT,
    TEACHER,
    Lesson,
    Objective,
    Players,
    Question,
    Teacher,
    errors_together,
)
from zoetrope.training.parallel import Call


class Halve(Objective):
    """The target makes one step of DDIM end where two steps of the teacher end; neither is thresholded.

    Attributes:
        steps: number of the student's DDIM steps from noise to data; the teacher takes twice as many.
        stochastic: whether it also learns the levels halfway between, where the stochastic sampler starts steps too.
    """

    teacher: Teacher
    steps: PositiveInt
    stochastic: bool = False

    def __call__(self, stage: StageSpec, lesson: Lesson, players: Players) -> Tensor:
        question = self.question(stage, lesson, players[TEACHER])
        return question.errors(stage, lesson, question.output(players[STUDENT], lesson))

    def packed(self, stage: StageSpec, lessons: Sequence[Lesson], players: Players) -> list[Tensor]:
        """See `Objective`."""
        questions = [self.question(stage, lesson, players[TEACHER]) for lesson in lessons]
        return errors_together(stage, lessons, questions, players[STUDENT])

    def question(self, stage: StageSpec, lesson: Lesson, teacher: Call) -> Question:
        """z and its target."""
        grid = TimeGrid(self.steps, self.stochastic)
        place = grid.place(lesson.u)
        jump = Jump(*map(lesson.clean_where_known, grid.jump(stage.schedule, place)))
        z = diffuse(lesson.x, lesson.eps, jump.start)

        def x_hat(z: Tensor, level: NoiseLevel) -> Tensor:
            return x_from(stage.prediction, teacher(z, level.logsnr, lesson.given), z, level)

        return Question(z, jump.start, halving_answer(stage.prediction, x_hat, z, jump, place))
