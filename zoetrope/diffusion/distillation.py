"""Training targets of a distilled student, as pure functions of its teacher's outputs.

First a student learns the output of the guided teacher, for any guidance weight, in one call instead of two [Meng et
al. 2023, arXiv:2210.03142, Sec. 3.1]; then to cover in one step of DDIM what the previous student, or the teacher,
covers in two [Salimans & Ho 2022, arXiv:2202.00512, Alg. 2; Ho et al. 2022, arXiv:2210.02303, Sec. 2.7].
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.prediction import TABLE, Prediction, eps_from_x, output_from_x, x_from
from zoetrope.diffusion.process import diffuse
from zoetrope.diffusion.tensors import aligned, expand_like


def expect_distillable(where: str, kind: Prediction) -> None:
    """Raise ValueError for a prediction that is unstable with few steps [Salimans & Ho 2022, Sec. 4]."""
    if kind == "eps":
        raise ValueError(
            f"{where}: expected a network that predicts v, x or flow, got one that predicts eps. At t = 1, where "
            "few-step sampling does most of its work, x_hat = (z - sigma eps) / alpha divides by an alpha of almost 0, "
            "so that an error of eps is blown up without bound; train the stage with prediction v"
        )


def guided_answer(conditional: Tensor, unconditional: Tensor, weight: Tensor) -> Tensor:
    """(1 + w) f(z, c) - w f(z) of a network's two outputs (B, ...), with a weight w (B,) for each example.

    The same for x, v and eps: at fixed z they are affine in one another, and the coefficients sum to 1.
    """
    return torch.lerp(unconditional, conditional, expand_like(1 + weight, conditional))


def thresholded_answer(kind: Prediction, answer: Tensor, z: Tensor, level: NoiseLevel) -> Tensor:
    """An output whose x_hat is clipped to [-1, 1], like z (B, ...); unchanged where x_hat already lies there.

    A student need not learn what a sampler with a static threshold clips: in high noise, most of a guided output.
    """
    x_hat = x_from(kind, answer, z, level)
    excess = x_hat - x_hat.clamp(-1, 1)
    _, of_x = TABLE[kind].answer(level)
    return answer - (expand_like(of_x, z) * excess if isinstance(of_x, Tensor) else excess)


class Jump(NamedTuple):
    """The levels of one student step: its start, the teacher's intermediate stop, and the common end."""

    start: NoiseLevel
    middle: NoiseLevel
    end: NoiseLevel


class TimeGrid(NamedTuple):
    """The times at which a student learns that goes from noise to data in `jumps` steps of DDIM.

    The teacher's steps are half as long, at times i / (2 jumps). A student for DDIM starts at every other of these
    times. One for the stochastic sampler, which takes steps of double length from every level of its grid, starts at
    all of them (`each`); its last step is a single step of the teacher.
    """

    jumps: int
    each: bool

    def place(self, u: Tensor) -> Tensor:
        """The index i (B,) of the time at which a step starts, for u (B,) in [0, 1); all are equally likely."""
        count = 2 * self.jumps if self.each else self.jumps
        number = (u.double() * count).long().clamp(max=count - 1) + 1
        return number if self.each else 2 * number

    def jump(self, schedule: Callable[[Tensor], NoiseLevel], place: Tensor) -> Jump:
        """The levels of the steps that start at these indices (B,); none goes beyond t = 0."""
        start, middle, end = (schedule((place - k).clamp(min=0).double() / (2 * self.jumps)) for k in range(3))
        return Jump(start, middle, end)


def halving_answer(kind: Prediction, teacher: Denoise, z: Tensor, jump: Jump, place: Tensor) -> Tensor:
    """The student's target (B, ...) at z (B, ...): with it one step ends where the teacher's two do.

    For steps that end at t = 0 it is the teacher's last x_hat, because that is what a sampler returns.
    Raises ValueError for a student that predicts eps.
    """
    expect_distillable("prediction", kind)
    first = teacher(z, jump.start)
    z_middle = diffuse(first, eps_from_x(first, z, jump.start), jump.middle)
    second = teacher(z_middle, jump.middle)
    z_end = diffuse(second, eps_from_x(second, z_middle, jump.middle), jump.end)
    last = torch.where(_each(place == 1, z), first, second)
    at_the_end = output_from_x(kind, last, z, jump.start)
    return torch.where(_each(place <= 2, z), at_the_end, jump_answer(kind, z, z_end, jump.start, jump.end))


def jump_answer(kind: Prediction, z_t: Tensor, z_s: Tensor, level_t: NoiseLevel, level_s: NoiseLevel) -> Tensor:
    """The output (B, ...) with which one step of DDIM goes from z_t to z_s, s < t.

    With D = phi_t - phi_s, the angle between the two levels, x = (sigma_t z_s - sigma_s z_t) / sin D and
    eps = (alpha_s z_t - alpha_t z_s) / sin D, so that v = (cos D z_t - z_s) / sin D, all for any alpha and sigma.
    Nothing cancels in x and v, as it would in the form of Salimans & Ho's Alg. 2,
    x = (z_s - (sigma_s / sigma_t) z_t) / (alpha_s - (sigma_s / sigma_t) alpha_t).
    """
    sine = level_t.sigma * level_s.alpha - level_t.alpha * level_s.sigma
    of_x, of_eps = TABLE[kind].target(level_t)
    of_z_t = (of_eps * level_s.alpha - of_x * level_s.sigma) / sine
    of_z_s = (of_x * level_t.sigma - of_eps * level_t.alpha) / sine
    return expand_like(of_z_t, z_t) * z_t + expand_like(of_z_s, z_t) * z_s


def _each(chosen: Tensor, like: Tensor) -> Tensor:
    """A mask of examples or frames as a view that broadcasts over `like`."""
    return aligned(chosen.to(like.device), like)
