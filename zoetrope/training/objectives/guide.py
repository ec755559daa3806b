"""Learn to answer as a guided teacher, in one call instead of two [Meng et al. 2023, arXiv:2210.03142, Sec. 3.1]."""

import torch

from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import stacked
from zoetrope.diffusion.distillation import guided_answer, thresholded_answer
from zoetrope.diffusion.process import diffuse
from zoetrope.guidance.text import with_and_without_text
from zoetrope.inputs.guidance_weight import weight_of
from zoetrope.training.objectives import Ask, Lesson, Objective, Question, Teacher


class Guide(Objective):
    """The answer at any time is the teacher's with guidance of the weight in the example's conditioning.

    A stage that is sampled with a static threshold learns it with that: guidance leads far beyond it in noise, and how
    far would be most of the error.
    """

    teacher: Teacher

    def __call__(self, stage: StageSpec, lesson: Lesson, ask: Ask | None) -> Question:
        assert ask is not None
        level = lesson.level(stage.schedule)
        z = diffuse(lesson.x, lesson.eps, level)
        logsnr = level.logsnr.to(z.dtype)
        both = ask(torch.cat([z, z]), torch.cat([logsnr, logsnr]), stacked(with_and_without_text(lesson.given, None)))
        conditional, unconditional = both.chunk(2)
        answer = guided_answer(conditional, unconditional, weight_of(lesson.given))
        if stage.sampling.threshold == "static":
            answer = thresholded_answer(stage.prediction, answer, z, level)
        return Question(z, level, answer)
