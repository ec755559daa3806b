<<<<<<< HEAD
"""An objective whose error grows like the square where it is small, and no faster than itself where it is large."""
=======
"""Learn the absolute error in place of the square: the answer is then a median and no mean."""
>>>>>>> main

from torch import Tensor

from zoetrope.cascade.spec import StageSpec
<<<<<<< HEAD
from zoetrope.training.objectives import STUDENT, Lesson, Objective, Players
from zoetrope.training.objectives.denoise import Denoising


class Huber(Objective):
    """sqrt(error + c^2) - c of the usual error [pseudo-Huber, Song & Dhariwal 2023, arXiv:2310.14189, Sec. 3.3]."""

    c: float = 0.1

    def __call__(self, stage: StageSpec, lesson: Lesson, players: Players) -> Tensor:
        question = Denoising().question(stage, lesson)
        errors = question.errors(stage, lesson, question.output(players[STUDENT], lesson))
        return (errors + self.c**2).sqrt() - self.c
=======
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
>>>>>>> main
