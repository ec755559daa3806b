"""Learn to reconstruct videos from few numbers, against a critic [Rombach et al. 2022, arXiv:2112.10752, App. G]."""

import os
from pathlib import Path
from typing import Annotated, ClassVar, Self

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.config import Config
from zoetrope.networks.mobilenet_v2 import MobileNetV2Config
from zoetrope.networks.patch_critic import PatchCriticConfig
from zoetrope.training.objectives import STUDENT, Lesson, Objective, Players, PlayerSpec
from zoetrope.training.parallel import LastLayerCall

CRITIC, PERCEPTUAL = "critic", "perceptual"
MOST = 1e4  # of the critic's weight, as in the paper's code
REMEDY = (
    "name the safetensors file of MobileNetV2's weights by --set {0}.training.objective.perceptual.weights=FILE, or "
    "learn without by --set {0}.training.objective.perceptual=null"
)


class Perceptual(Config):
    """A distance of pictures by the features of MobileNetV2, see `zoetrope.networks._mobilenet_v2`.

    Attributes:
        weights: the safetensors file with its weights, which are not shipped; the same as for the measure of features.
        strength: of the distance, in [0, 4], relative to the absolute error of pixels in [-1, 1].
    """

    weights: Annotated[str, Field(min_length=1, max_length=4096)]
    strength: PositiveFloat = 0.5


class Reconstruct(Objective):
    """The mean absolute error, a perceptual distance, the divergence of latents from a normal distribution, and what a
    critic finds.

    The critic learns the hinge loss. Its part in the error is weighed so that at the decoder's last layer its gradient
    is as large as that of error and distance together [Esser et al. 2021, arXiv:2012.09841, Eq. 7]; several processes,
    and parts of a batch, each weigh their own. Where that layer is frozen, it is not weighed.

    Attributes:
        divergence: weight of the divergence per number of a video. The paper: 1e-6.
        critic: the critic's network; None: there is none.
        strength: of the critic, relative to the absolute error.
        perceptual: the perceptual distance; None: there is none.
        warm_up: examples before the critic begins to learn and to count.
    """

    denoises: ClassVar[bool] = False

    divergence: Annotated[float, Field(ge=0)] = 1e-6
    critic: PatchCriticConfig | None = PatchCriticConfig()
    strength: Annotated[float, Field(ge=0, le=100)] = 0.5
    warm_up: NonNegativeInt = 50_000
    perceptual: Perceptual | None = None

    def players(self, stage: StageSpec) -> dict[str, PlayerSpec]:
        """See `Objective`."""
        players = dict[str, PlayerSpec]()
        if self.critic is not None:
            players[CRITIC] = PlayerSpec(network=self.critic, optimizer="adamw", betas=(0.5, 0.9))
        if self.perceptual is not None:
            judge, remedy = MobileNetV2Config(), REMEDY.format(stage.name)
            judge.check(*stage.shape.sizes)
            players[PERCEPTUAL] = PlayerSpec(
                network=judge, weights=self.perceptual.weights, learns=False, passes=True, remedy=remedy
            )
        return players

    @property
    def weighs_last(self) -> bool:
        """See `Objective`: where there is a critic."""
        return self.critic is not None

    def located(self) -> Self:
        """See `Objective`."""
        if self.perceptual is None:
            return self
        path = Path(os.path.expanduser(self.perceptual.weights)).absolute()
        return self.with_(perceptual=self.perceptual.with_(weights=str(path)))

    def remark(self, stage: StageSpec) -> str | None:
        """See `Objective`."""
        if self.perceptual is not None:
            return None
        return (
            "learns without a perceptual distance, for no weights of MobileNetV2 are named; "
            f"""--set '{stage.name}.training.objective.perceptual={{"weights": "FILE"}}' names them"""
        )

    def __call__(self, stage: StageSpec, lesson: Lesson, players: Players) -> Tensor:
        """The error of each example, (B,)."""
        student = players[STUDENT]
        output = student(torch.cat([lesson.x, lesson.eps], dim=1), lesson.u.float(), lesson.given).float()
        made, nats = output[:, :3], output[:, 3:]
        far = (made - lesson.x).abs().flatten(1).mean(1)
        if self.perceptual is not None:
            judge, u = players[PERCEPTUAL], lesson.u.float()
            seen, wanted = judge(made, u, lesson.given), judge(lesson.x, u, lesson.given)
            apart = (seen - wanted).float().square().sum(1).flatten(1).mean(1)
            far = far + self.perceptual.strength * apart
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
