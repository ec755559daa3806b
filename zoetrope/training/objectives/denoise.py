"""Learn to denoise data [Ho et al. 2022, arXiv:2210.02303, Sec. 2.1 and 2.4]."""

from collections.abc import Sequence

from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.diffusion.prediction import target
from zoetrope.diffusion.process import diffuse
from zoetrope.training.objectives import STUDENT, Lesson, Objective, Players, Question, errors_together


class Denoising(Objective):
    """z = alpha x + sigma eps at a random time; the target is the stage's prediction."""

    def __call__(self, stage: StageSpec, lesson: Lesson, players: Players) -> Tensor:
        question = self.question(stage, lesson)
        return question.errors(stage, lesson, question.output(players[STUDENT], lesson))

    def packed(self, stage: StageSpec, lessons: Sequence[Lesson], players: Players) -> list[Tensor]:
        """See `Objective`."""
        questions = [self.question(stage, lesson) for lesson in lessons]
        return errors_together(stage, lessons, questions, players[STUDENT])

    def question(self, stage: StageSpec, lesson: Lesson) -> Question:
        """z and its target."""
        level = lesson.level(stage.schedule)
        z = diffuse(lesson.x, lesson.eps, level)
        return Question(z, level, target(stage.prediction, lesson.x, lesson.eps, level))
