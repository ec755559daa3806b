"""Learn which text belongs to which picture [Radford et al. 2021, arXiv:2103.00020, Fig. 3], for a picture encoder."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from zoetrope.cascade.spec import StageSpec
from zoetrope.training.objectives import STUDENT, Lesson, Objective, Players


class Contrastive(Objective):
    """The mean cross-entropy of finding the text of a picture, and the picture of a text, among those of the batch.

    For the network `towers`, and batches as large as memory allows: with `accumulate`, and in each of several
    processes, examples are compared only with those of their part.
    """

    denoises: ClassVar[bool] = False

    def __call__(self, stage: StageSpec, lesson: Lesson, players: Players) -> Tensor:
        """The error of each example, (B,)."""
        if stage.network.denoises:
            where = f"training.{stage.name}.objective"
            raise ValueError(f"{where}: contrastive: expected the network 'towers', got {stage.network.kind()!r}")
        logits = players[STUDENT](lesson.x, lesson.u.float(), lesson.given).float()
        pairs = torch.arange(len(logits), device=logits.device)
        return (cross_entropy(logits, pairs, reduction="none") + cross_entropy(logits.T, pairs, reduction="none")) / 2
