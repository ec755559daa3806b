"""Learn the absolute error in place of the square: the answer is then a median and no mean."""

from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.diffusion.prediction import target
from zoetrope.diffusion.process import diffuse
from zoetrope.training.objectives import STUDENT, Lesson, Objective, Players


class Absolute(Objective):
    """The mean of |output - answer| to the power `power`, each video's own."""

    power: float = 1.0

    def __call__(self, stage: StageSpec, lesson: Lesson, players: Players) -> Tensor:
        level = lesson.level(stage.schedule)
        z = diffuse(lesson.x, lesson.eps, level)
        output = players[STUDENT](z, level.logsnr, lesson.given)
        answer = target(stage.prediction, lesson.x, lesson.eps, level)
        return (output - answer).abs().pow(self.power).mean((1, 2, 3, 4))
