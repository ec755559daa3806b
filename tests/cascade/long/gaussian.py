"""Gaussian videos whose exact denoiser is a network, and what a scheme makes of them in exact arithmetic.

Channels hold the answers to a unit of noise in each frame, so that the covariance of what is made is read off.
"""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from zoetrope.cascade.long.blocks import Rollout
from zoetrope.cascade.long.frames import Frames
from zoetrope.cascade.long.journal import Journal
from zoetrope.cascade.sample import Draw
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.known.learnt import Learnt
from zoetrope.networks import Network, NetworkConfig
from zoetrope.samplers import Sampler
from zoetrope.samplers.ddim import DDIM
from zoetrope.schemes import LongVideo, SamplingScheme
from zoetrope.shapes import VideoShape, Window

FPS, RHO, SHARED = 8, 0.9, 0.5


def covariance(law: str, numbers: Tensor) -> Tensor:
    """Of frames with these numbers (F,): an autoregression, or a part that all frames share and an own one."""
    if law == "ar1":
        return RHO ** (numbers[:, None] - numbers[None]).abs()
    return SHARED + (1 - SHARED) * (numbers[:, None] == numbers[None]).double()


class GaussianConfig(NetworkConfig):
    """The exact denoiser of frames of N(0, K), K by their times, at levels (B, F); it predicts v."""

    text_width: int | None = None
    law: Literal["ar1", "shared"] = "ar1"

    def build(self) -> "Gaussian":
        return Gaussian(self.law)

    def check(self, frames: int, height: int, width: int) -> None:
        return


class Gaussian(Network):
    """See `GaussianConfig`."""

    def __init__(self, law: str) -> None:
        super().__init__()
        self.law = law

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        assert conditioning.times is not None
        k = covariance(self.law, (conditioning.times[0] * FPS).round())
        level = NoiseLevel.variance_preserving(logsnr).expand(z.shape[2])
        a, s = level.alpha[0], level.sigma[0]
        gain = k * a @ torch.linalg.inv(a[:, None] * k * a + torch.diag(s**2))
        rows = z.double().flatten(1, 2).view(-1, z.shape[2])
        return ((a * rows - rows @ gain.T) / s).view(z.shape)  # v, for alpha^2 + sigma^2 = 1


def rollout(
    folder: Path, law: Literal["ar1", "shared"], scheme: SamplingScheme, total: int, *, most: int = 8, steps: int = 32,
    sampler: Sampler | None = None,
) -> Rollout:  # fmt: skip
    """A roll-out of such a video, one channel for a unit of noise in each frame."""
    sampling = SamplingSpec(sampler=sampler or DDIM(), steps=steps, threshold=None, known=Learnt())
    shape = VideoShape(frames=most, height=1, width=1, fps=FPS)
    network = GaussianConfig(channels=total, law=law)
    stage = StageSpec(name="line", shape=shape, inputs=(), network=network, sampling=sampling)

    def noise(purpose: str, window: Window) -> Tensor:
        """A unit in the own channel of each frame at the start; deterministic samplers draw no other."""
        assert purpose == "start"
        drawn = torch.zeros(1, total, len(window.frames), 1, 1)
        for place, frame in enumerate(window.frames):
            drawn[0, frame, place] = 1
        return drawn

    frames = Frames(path=folder / "line.raw", shape=shape.with_(frames=total), channels=total)
    draw = Draw(seed=0, samples=[0], noise=noise)
    return Rollout(stage=stage, given=lambda _: Conditioning(), draw=draw, scheme=scheme, frames=frames)


def made_covariance(own: Rollout) -> Tensor:
    """The covariance (T, T) of the frames that a roll-out makes."""
    journal = Journal.begin(own.frames.path.parent, {}, resume=True)
    for _ in own.run(own.stage.network.build, journal):
        pass
    answers = own.frames.read(range(own.frames.shape.frames))[:, :, 0, 0].double()  # (source, frame)
    return answers.T @ answers


def exact_covariance(law: str, scheme: SamplingScheme, video: LongVideo) -> Tensor:
    """That of exact conditional draws, block after block; for schemes whose blocks make frames in one go."""
    found = torch.zeros(video.total, video.total, dtype=torch.float64)
    done: list[int] = []
    for block in scheme.blocks(video):
        new, seen = torch.tensor(block.latent), torch.tensor(block.observed, dtype=torch.long)
        k = covariance(law, torch.tensor([*block.latent, *block.observed], dtype=torch.float64))
        count = len(new)
        gain = torch.linalg.solve(k[count:, count:], k[count:, :count]).T
        rest = k[:count, :count] - gain @ k[count:, :count]
        past = torch.tensor(done, dtype=torch.long)
        across = gain @ found[seen][:, past]
        found[new[:, None], past] = across
        found[past[:, None], new] = across.T
        found[new[:, None], new] = rest + gain @ found[seen][:, seen] @ gain.T
        done += block.latent
    return found


def error(found: Tensor, expected: Tensor) -> float:
    """Relative, in the Frobenius norm."""
    return float((found - expected).norm() / expected.norm())
