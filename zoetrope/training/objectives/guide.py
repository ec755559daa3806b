"""Learn the guided teacher's output in one call instead of two [Meng et al. 2023, arXiv:2210.03142, Sec. 3.1]."""

from collections.abc import Sequence

import torch
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import stacked
from zoetrope.diffusion.distillation import guided_answer, thresholded_answer
from zoetrope.diffusion.process import diffuse
from zoetrope.inputs.guidance_weight import weight_of
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


class Guide(Objective):
    """The target at any time is the teacher's output, guided with the weight in the example's conditioning.

    The guidance of the stage says what the other output is not told. If the stage samples with a static threshold, the
    target is thresholded too: in high noise guidance overshoots it widely, and the overshoot would dominate the error.
    """

    teacher: Teacher

    def __call__(self, stage: StageSpec, lesson: Lesson, players: Players) -> Tensor:
        question = self.question(stage, lesson, players[TEACHER])
        return question.errors(stage, lesson, question.output(players[STUDENT], lesson))

    def packed(self, stage: StageSpec, lessons: Sequence[Lesson], players: Players) -> list[Tensor]:
        """See `Objective`."""
        questions = [self.question(stage, lesson, players[TEACHER]) for lesson in lessons]
        return errors_together(stage, lessons, questions, players[STUDENT])

    def question(self, stage: StageSpec, lesson: Lesson, teacher: Call) -> Question:
        """z and its target."""
        level = lesson.level(stage.schedule)
        z = diffuse(lesson.x, lesson.eps, level)
        given = stage.sampling.guidance.variants(lesson.given, None)
        if len(given) > 2:
            got = stage.sampling.guidance.kind()
            raise ValueError(f"stage {stage.name!r}: expected guidance away from one other output, got {got!r}")
        outputs = teacher(torch.cat([z] * len(given)), level.repeated(len(given)).logsnr, stacked(given))
        conditional, *other = outputs.chunk(len(given))
        answer = guided_answer(conditional, other[0], weight_of(lesson.given)) if other else conditional
        if stage.sampling.threshold == "static":
            answer = thresholded_answer(stage.prediction, answer, z, level)
        return Question(z, level, answer)
