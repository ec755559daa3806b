"""A noise level per frame through the code that samples stages: known frames stay, the others follow their law.

The network is the exact denoiser of an autoregressive video. Samplers are affine where the denoiser is; channels hold
the answers to no noise, to each unit of the start, and to each unit of a step's noise: mean and covariance are exact.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from samplers.test_levels_per_frame import FRAMES, TABLE, Known, ar1, law, unknown
from torch import Tensor

from zoetrope.cascade.sample import Draw, ready, sample_stage
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.networks import Network, NetworkConfig
from zoetrope.routines import Ready, Routine
from zoetrope.samplers import Sampler, Step
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.ddim import DDIM
from zoetrope.shapes import VideoShape, Window

LINE = VideoShape(frames=FRAMES, height=1, width=1, fps=8)


class ExactConfig(NetworkConfig):
    """The exact denoiser of frames of N(0, K), K that of an autoregressive video, at levels (B, F); it predicts v."""

    text_width: int | None = None

    def build(self) -> "Exact":
        return Exact()

    def check(self, frames: int, height: int, width: int) -> None:
        return


class Exact(Network):
    """See `ExactConfig`."""

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        level = NoiseLevel.variance_preserving(logsnr)
        a, s = level.alpha[0], level.sigma[0]
        noisy = a[:, None] * ar1() * a + torch.diag(s**2)
        gain = ar1() * a @ torch.linalg.inv(noisy)
        rows = z.double().flatten(1, 2).view(-1, FRAMES)
        x = rows @ gain.T
        return ((a * rows - x) / s).view(z.shape)  # v, for alpha^2 + sigma^2 = 1


class KnownFrames(Routine):
    """Some frames are known, and each other one starts `delay` steps after the one before."""

    frames: dict[int, float]
    delay: int = 0

    @property
    def free(self) -> list[int]:
        return unknown(self.frames)

    def length(self, steps: int) -> int:
        return steps + self.delay * (len(self.free) - 1)

    def __call__(self, ready: Ready) -> Iterator[Step]:
        steps, late = len(ready.levels) - 1, torch.zeros(FRAMES, dtype=torch.int64)
        late[self.free] = self.delay * torch.arange(len(self.free))
        given = torch.tensor([frame in self.frames for frame in range(FRAMES)])
        ladder = [torch.stack(values) for values in zip(*((a[0], s[0], n[0]) for a, s, n in ready.levels), strict=True)]
        levels = []
        for step in range(self.length(steps) + 1):
            own = NoiseLevel(*(values[(step - late).clamp(0, steps)][None] for values in ladder))
            levels.append(NoiseLevel.where(given, NoiseLevel.clean(1, FRAMES), own))
        z = ready.noise("start")
        for frame, value in self.frames.items():
            z[:, :, frame] = value
        return ready.sampler(ready.denoise, z, levels, noise=lambda step: ready.noise(f"step {step}"))


def stage(sampler: Sampler, routine: Routine, steps: int, channels: int = 3) -> StageSpec:
    sampling = SamplingSpec(sampler=sampler, routine=routine, steps=steps, threshold=None)
    network = ExactConfig(channels=channels)
    return StageSpec(name="line", shape=LINE, inputs=(), network=network, sampling=sampling)


def moments(sampler: Sampler, known: Known, steps: int, delay: int) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the unknown frames of what a stage makes."""
    routine = KnownFrames(frames=known, delay=delay)
    free, length = routine.free, routine.length(steps)
    sources = length if isinstance(sampler, Ancestral) else 1
    channels = 1 + len(free) * sources

    def noise(purpose: str, window: Window) -> Tensor:
        """A unit of noise in an own channel for each frame, at the start and at each step."""
        own = torch.zeros(1, channels, FRAMES, 1, 1, dtype=torch.float64)
        source = 0 if purpose == "start" else 1 + int(purpose.removeprefix("step "))
        for place, frame in enumerate(free):
            own[0, 1 + len(free) * source + place, frame] = 1
        return own

    spec = stage(sampler, routine, steps, min(64, channels))
    prepared = ready(spec, spec.network.build(), Conditioning(), None, Draw(seed=0, samples=[0]))
    exact = replace(prepared, noise=lambda purpose: noise(purpose, Window.whole(LINE)))
    for step in routine(exact):
        made = step.x_hat[0, :, :, 0, 0]
    answers = made[1:, free] - made[0, free]
    return made[0, free], answers.T @ answers


@pytest.mark.parametrize(("known", "sampler", "delay", "rmse", "errors"), TABLE)
def test_a_stage_reaches_the_law_given_the_known_frames(
    known: Known, sampler: Sampler, delay: int, rmse: float, errors: tuple[float, ...]
) -> None:
    mean, covariance = law(known)
    for steps, expected in zip((16, 64), errors, strict=False):
        got_mean, got = moments(sampler, known, steps, delay)
        assert float((got - covariance).norm() / covariance.norm()) == pytest.approx(expected, abs=6e-5), steps
        assert float((got_mean - mean).square().mean().sqrt()) == pytest.approx(rmse, rel=0.17), steps


@pytest.mark.parametrize("sampler", [DDIM(), Ancestral(gamma=1)])
@pytest.mark.parametrize("delay", [0, 4])
def test_known_frames_come_back_as_they_are(sampler: Sampler, delay: int) -> None:
    routine: Any = KnownFrames(frames={0: 0.8, 5: -0.3}, delay=delay)
    spec = stage(sampler, routine, 8)
    made = list(sample_stage(spec, spec.network.build(), Conditioning(), None, Draw(seed=0, samples=[0])))
    assert len(made) == routine.length(8) == 8 + 5 * delay
    for x_hat in made:
        assert (x_hat[:, :, 0] == torch.tensor(0.8)).all() and (x_hat[:, :, 5] == torch.tensor(-0.3)).all()
