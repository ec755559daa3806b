"""A ball on a torus that is moved by actions: p(t) = p(0) + delta (a(1) + ... + a(t)), with the exact denoiser.

Its position is read back from the phase of the first wave. Actions that are given say where it goes; without them every
step is as likely as any other.
"""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.channels import Channel
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.fields import Fields
from zoetrope.inputs.action import Action
from zoetrope.known.learnt import Learnt
from zoetrope.metrics.generation import Wanted, WorkShare, generate
from zoetrope.metrics.shelf import Shelf
from zoetrope.models.cascade import Cascade
from zoetrope.networks import Network, NetworkConfig, SizedInput
from zoetrope.samplers.heun import Heun
from zoetrope.scales.range import Range
from zoetrope.shapes import VideoShape

SIZE, FRAMES, DELTA = 9, 3, 2
STEPS = list(itertools.product((-1, 0, 1), repeat=2))
LIGHT = Channel(name="light", scale=Range(lo=0, hi=1))
SHAPE = VideoShape(frames=FRAMES, height=SIZE, width=SIZE, fps=1)


def ball(places: Tensor) -> Tensor:
    """Pictures (..., 9, 9) in 0 to 1 of balls at places (..., 2)."""
    away = (torch.arange(SIZE) - places[..., None] + SIZE / 2) % SIZE - SIZE / 2
    line = torch.exp(-away.double().square() / 3)
    return line[..., 0, :, None] * line[..., 1, None, :]


def place_of(pictures: Tensor) -> Tensor:
    """The places (..., 2) of balls, from the phases of the first waves down and across."""
    waves = torch.fft.fft2(pictures.double())
    phases = torch.stack([waves[..., 1, 0], waves[..., 0, 1]], -1).angle()
    return (-phases * SIZE / (2 * math.pi)) % SIZE


def paths() -> tuple[Tensor, Tensor]:
    """Every first place with every two steps: places (N, F, 2), and actions (N, F, 2), of which the first is 0."""
    actions = torch.tensor([[(0, 0), *steps] for steps in itertools.product(STEPS, repeat=FRAMES - 1)])
    first = torch.cartesian_prod(torch.arange(SIZE), torch.arange(SIZE))
    places = (first[:, None, None] + DELTA * actions.cumsum(1)) % SIZE
    return places.flatten(0, 1), actions.expand(len(first), -1, -1, -1).flatten(0, 1)


class BallConfig(NetworkConfig):
    """The exact denoiser E[x | z, actions], in x; `causal`: each frame from those up to it alone."""

    text_width: int | None = None
    channels: int = 1
    actions: tuple[SizedInput, ...] = (SizedInput(name="action", size=2),)
    causal: bool = False

    def build(self) -> "BallNetwork":
        return BallNetwork(self.causal)

    def check(self, frames: int, height: int, width: int) -> None:
        return


class BallNetwork(Network):
    """See `BallConfig`."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        places, self.steps = paths()
        self.every = LIGHT.scale.to_model(ball(places)).flatten(2)

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        level = NoiseLevel.variance_preserving(logsnr).expand(z.shape[2])
        if z.is_meta:
            return z
        a, s = level.alpha[0].double(), level.sigma[0].double().clamp(min=1e-3)
        told = conditioning.tokens["action"]
        across = torch.einsum("bfp,nfp->bfn", z[:, 0].double().flatten(2) * (a / s**2)[:, None], self.every)
        own = ((a / s) ** 2)[:, None] * self.every.square().sum(2).T
        wrong = (told.values[:, :, 0, None] - self.steps.transpose(0, 1)).abs().amax(-1) > 0.5  # (B, F, N)
        likely = across - own / 2 - 1e9 * (wrong & told.mask[..., 0, None])
        if self.causal:
            share = likely.cumsum(1).softmax(2)
            return torch.einsum("bfn,nfp->bfp", share, self.every).view(z.shape).to(z.dtype)
        share = likely.sum(1).softmax(1)
        return torch.einsum("bn,nfp->bfp", share, self.every).view(z.shape).to(z.dtype)


def cascade_of(causal: bool) -> Cascade:
    sampling = SamplingSpec(sampler=Heun(), steps=16, threshold=None, known=Learnt())
    network = BallConfig(causal=causal)
    stage = StageSpec(
        name="base", shape=SHAPE, inputs=(Action(entries=2),), network=network, sampling=sampling, prediction="x"
    )
    return Cascade(CascadeSpec(name="ball", channels=(LIGHT,), stages=(stage,)), lambda _: network.build())


def made_by(causal: bool, action: np.ndarray | None, count: int = 1) -> Tensor:
    """Videos (B, F, 9, 9) that begin with a ball at (2, 7)."""
    first = ball(torch.tensor([2, 7]))[None].numpy()
    given = {} if action is None else {"action": action}
    made = cascade_of(causal).generate(count=count, batch=count, known={0: first}, given=given, seed=3)
    return torch.stack([torch.from_numpy(one.values[0]) for one in made if isinstance(one, Fields)])


def apart(one: Tensor, other: Tensor) -> Tensor:
    """How far places (..., 2) are apart on the torus, in pixels."""
    away = (one - other + SIZE / 2) % SIZE - SIZE / 2
    return away.norm(dim=-1)


@pytest.mark.parametrize("causal", [False, True])
def test_actions_say_where_the_ball_goes(causal: bool) -> None:
    for steps in ([(0, 0), (1, 0), (0, -1)], [(0, 0), (-1, 1), (-1, 1)], [(0, 0), (0, 0), (1, 1)]):
        action = np.array(steps, dtype=np.float32)
        wanted = (torch.tensor([2, 7]) + DELTA * torch.from_numpy(action).cumsum(0)) % SIZE
        assert float(apart(place_of(made_by(causal, action))[0], wanted).max()) < 0.05


def test_a_changed_last_action_changes_no_earlier_frame() -> None:
    """Where frames see no later ones, exactly."""
    one, other = (made_by(True, np.array([(0, 0), (1, 0), last], np.float32))[0] for last in ((0, 1), (-1, -1)))
    assert torch.equal(one[:2], other[:2])
    assert float(apart(place_of(one[2]), place_of(other[2]))) > 2


def test_without_actions_every_step_is_as_likely_as_any_other() -> None:
    count = 135
    places = place_of(made_by(False, None, count))
    steps = torch.stack([apart(places[:, 1:], places[:, :-1] + DELTA * torch.tensor(one)) for one in STEPS], -1)
    nearest = steps.min(-1)
    assert float(nearest.values.max()) < 0.2
    for frame in range(FRAMES - 1):
        counts = torch.bincount(nearest.indices[:, frame], minlength=len(STEPS))
        expected = count / len(STEPS)
        assert float((counts - expected).square().sum() / expected) < chi2.ppf(1 - 1e-5, len(STEPS) - 1)


def test_evaluations_tell_each_case_its_own_actions(tmp_path: Path) -> None:
    """Ensembles of three cases of which the data tell actions, made together, and of a fourth without."""
    actions = torch.tensor([[(0, 0), (1, 0), (0, -1)], [(0, 0), (-1, 1), (1, 1)], [(0, 0), (0, 0), (1, -1)]])
    places = (torch.tensor([2, 7]) + DELTA * actions.cumsum(1)) % SIZE
    places = torch.cat([places, torch.tensor([[[2, 7]] * FRAMES])])
    real, made = (Shelf(tmp_path / name, SHAPE, (LIGHT,)) for name in ("real", "made"))
    for number, video in enumerate(LIGHT.scale.to_model(ball(places)).float()):
        told = {"action": actions[number].float()} if number < 3 else {}
        real.put(number, video[None], "", told=told)
    assert real.told(3) == {} and np.array_equal(real.told(1)["action"], actions[1])
    wanted = Wanted(prompts=[""] * 8, real=real.read, told=real.told, members=2, known=(0,))
    list(generate(cascade_of(causal=False), made, wanted, WorkShare()))
    found = place_of(torch.stack([LIGHT.scale.to_units(made.read(number))[0] for number in range(8)]))
    assert float(apart(found[:6], places[:3].repeat_interleave(2, 0)).max()) < 0.05
    assert float(apart(found[6:, 0], places[3:, 0]).max()) < 0.05
