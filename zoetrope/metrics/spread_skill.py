"""Spread and skill of ensembles: whether members differ as much as their mean is wrong."""

from typing import NamedTuple

from torch import Tensor

from zoetrope.metrics.crps import expect_ensemble
from zoetrope.metrics.lead_time import mean_of


class SpreadSkill(NamedTuple):
    """Of each channel and frame, (C, F), in units.

    Attributes:
        spread: the root of the mean variance of the members.
        skill: the root of the mean squared error of their mean.
        ratio: sqrt((M + 1) / M) spread / skill, which is 1 where the truth could be any member
            [Fortin et al. 2014, J. Hydrometeorol. 15]; below 1 members are too much alike.
    """

    spread: Tensor
    skill: Tensor
    ratio: Tensor


def spread_skill(members: Tensor, truth: Tensor, present: Tensor | None = None) -> SpreadSkill:
    """Spread, skill and their ratio, of members (M, B, C, F, H, W) and the truth (B, C, F, H, W).

    `present` says where there are values, like the truth, bool; None: everywhere. Raises ValueError for shapes that do
    not fit, and for fewer than two members.
    """
    count = expect_ensemble(members, truth)
    values = members.double()
    spread = mean_of(values.var(0), present).sqrt()
    skill = mean_of((values.mean(0) - truth.double()).square(), present).sqrt()
    return SpreadSkill(spread, skill, ((count + 1) / count) ** 0.5 * spread / skill)
