"""Learn to reconstruct videos from few numbers, against a critic [Rombach et al. 2022, arXiv:2112.10752, App. G]."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.networks.patch_critic import PatchCriticConfig
from zoetrope.training.objectives import STUDENT, Lesson, Objective, Players, PlayerSpec
from zoetrope.training.parallel import LastLayerCall

CRITIC = "critic"
MOST = 1e4  # of the critic's weight, as in the paper's code


class Reconstruct(Objective):
    """The mean absolute error, the divergence of latents from a normal distribution, and what a critic finds.

    The critic learns the hinge loss. Its part in the error is weighed so that at the decoder's last layer its gradient
    is as large as that of the absolute error [Esser et al. 2021, arXiv:2012.09841, Eq. 7]; several processes, and parts
    of a batch, each weigh their own. Where that layer is frozen, it is not weighed.

    Attributes:
        divergence: weight of the divergence per number of a video. The paper: 1e-6.
        critic: the critic's network; None: there is none.
        strength: of the critic, relative to the absolute error.
        warm_up: examples before the critic begins to learn and to count.
    """

    denoises: ClassVar[bool] = False

    divergence: Annotated[float, Field(ge=0)] = 1e-6
    critic: PatchCriticConfig | None = PatchCriticConfig()
    strength: Annotated[float, Field(ge=0, le=100)] = 0.5
    warm_up: NonNegativeInt = 50_000

    def players(self, stage: StageSpec) -> dict[str, PlayerSpec]:
        """See `Objective`."""
        if self.critic is None:
            return {}
        return {CRITIC: PlayerSpec(network=self.critic, optimizer="adamw", betas=(0.5, 0.9))}

    def __call__(self, stage: StageSpec, lesson: Lesson, players: Players) -> Tensor:
        """The error of each example, (B,)."""
        student = players[STUDENT]
        output = student(torch.cat([lesson.x, lesson.eps], dim=1), lesson.u.float(), lesson.given).float()
        made, nats = output[:, :3], output[:, 3:]
        far = (made - lesson.x).abs().flatten(1).mean(1)
        errors = far + self.divergence * nats.flatten(1).mean(1) / 3
        if self.critic is None or lesson.position < self.warm_up:
            return errors
        found = -players[CRITIC](made, lesson.u.float(), lesson.given).float().flatten(1).mean(1)
        return errors + self.strength * _weight(student, far.mean(), found.mean()) * found

    def errors_of(self, player: str, stage: StageSpec, lesson: Lesson, players: Players) -> Tensor:
        """The hinge loss of the critic on each example, (B,); 0 before it begins."""
        critic, u = players[player], lesson.u.float()
        if lesson.position < self.warm_up:
            return 0 * critic(lesson.x, u, lesson.given).float().flatten(1).mean(1)
        made = players[STUDENT](torch.cat([lesson.x, lesson.eps], dim=1), u, lesson.given)[:, :3].float()
        true, false = (critic(x, u, lesson.given).float().flatten(1) for x in (lesson.x, made))
        return ((1 - true).relu().mean(1) + (1 + false).relu().mean(1)) / 2


def _weight(student: object, far: Tensor, found: Tensor) -> Tensor:
    """The critic's weight: the norm of the error's gradient at the last layer over that of the critic's finding."""
    if not isinstance(student, LastLayerCall) or not student.last.requires_grad:
        return far.new_ones(())
    ours, theirs = (torch.autograd.grad(each, student.last, retain_graph=True)[0].norm() for each in (far, found))
    return (ours / (theirs + 1e-4)).clamp(0, MOST).detach()
