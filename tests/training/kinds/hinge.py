"""Denoising against a critic of frames, which learns to tell x_hat from x by the hinge loss."""

import torch
from pydantic import PositiveInt
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import stacked
from zoetrope.diffusion.prediction import x_from
from zoetrope.networks import NetworkConfig
from zoetrope.training.objectives import STUDENT, Lesson, Objective, Players, PlayerSpec
from zoetrope.training.objectives.denoise import Denoising


class Hinge(Objective):
    """`strength` is the critic's part in the student's error; it learns from every `turn`-th batch."""

    critic: NetworkConfig
    strength: float = 0.5
    turn: PositiveInt = 1

    def players(self, stage: StageSpec) -> dict[str, PlayerSpec]:
        critic = PlayerSpec(
            network=self.critic, rate=2.0, every=self.turn, optimizer="adamw", betas=(0.0, 0.99), half_life=(20,)
        )
        return {**super().players(stage), "critic": critic}

    def __call__(self, stage: StageSpec, lesson: Lesson, players: Players) -> Tensor:
        question = Denoising().question(stage, lesson)
        output = question.output(players[STUDENT], lesson)
        x_hat = x_from(stage.prediction, output.float(), question.z, question.level)
        scores = players["critic"](x_hat, question.level.logsnr, lesson.given)
        return question.errors(stage, lesson, output) - self.strength * scores.flatten(1).mean(1)

    def errors_of(self, player: str, stage: StageSpec, lesson: Lesson, players: Players) -> Tensor:
        assert player == "critic"
        question = Denoising().question(stage, lesson)
        output = question.output(players[STUDENT], lesson)
        assert not output.requires_grad
        x_hat = x_from(stage.prediction, output.float(), question.z, question.level)
        given, logsnr = stacked([lesson.given, lesson.given]), question.level.repeated(2).logsnr
        real, made = players["critic"](torch.cat([lesson.x, x_hat]), logsnr, given).flatten(1).chunk(2)
        return (1 - real).relu().mean(1) + (1 + made).relu().mean(1)
