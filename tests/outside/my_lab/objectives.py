"""An objective whose error grows like the square where it is small, and no faster than itself where it is large."""

from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.training.objectives import STUDENT, Lesson, Objective, Players
from zoetrope.training.objectives.denoise import Denoising


class Huber(Objective):
    """sqrt(error + c^2) - c of the usual error [pseudo-Huber, Song & Dhariwal 2023, arXiv:2310.14189, Sec. 3.3]."""

    c: float = 0.1

    def __call__(self, stage: StageSpec, lesson: Lesson, players: Players) -> Tensor:
        question = Denoising().question(stage, lesson)
        errors = question.errors(stage, lesson, question.output(players[STUDENT], lesson))
        return (errors + self.c**2).sqrt() - self.c
