"""ControlVideo: frames of a network of single pictures that see each other [Zhang et al. 2023, arXiv:2305.13077].

At every step key frames are denoised together, and then what lies between two of them, clip by clip, together with
both. So all frames agree with the keys, and only a few are in memory at once. At some steps every other frame is
replaced by one that is interpolated between its neighbours, which takes flicker away.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.tensors import expand_like
from zoetrope.interpolators import Interpolator
from zoetrope.interpolators.linear import LinearInterpolation
from zoetrope.layers.attention import Looks
from zoetrope.routines import Ready, Routine
from zoetrope.samplers import Step

_Time = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=3, le=10_000)]


class FrameCall(NamedTuple):
    """Frames that the network sees together, by number, and from which place on what it makes of them is kept."""

    frames: tuple[int, ...]
    kept: int


class Hierarchical(Routine):
    """All frames of a short video together; of a longer one key frames, then the clips between them.

    The frames of a call all look at each other, where the stage's network says so, see
    `zoetrope.networks.NetworkConfig.looking`.

    Attributes:
        window: frames from one key frame to the next, both included; None: the root of the number of frames.
        most: frames that the network sees at once. A video of so many is denoised whole. More key frames than that have
            key frames of their own, which the paper's do not.
        smoothed_at: the times, from 1, noise, to 0, of the steps in which frames are interpolated: in the first of them
            every second frame, in the next one the others, and so on, but for the first and the last frame. The paper's
            are two consecutive steps of 50; () is never. In the last step nothing is interpolated.
        interpolator: makes a frame from its neighbours. The paper's is a network, RIFE.

    Raises ValueError for a window longer than `most`.
    """

    looks: ClassVar[Looks | None] = "all"
    in_parts: ClassVar[bool] = True

    window: _Count | None = None
    most: _Count = 16
    smoothed_at: Annotated[tuple[_Time, ...], Field(max_length=1000)] = (0.4, 0.38)
    interpolator: Interpolator = LinearInterpolation()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.window is not None and self.window > self.most:
            raise ValueError(f"window: expected at most the {self.most} frames of a call (most), got {self.window}")
        return self

    def seen(self, frames: int) -> int:
        """The frames of the largest call."""
        return max(len(call.frames) for call in frame_calls(range(frames), self.window, self.most))

    def __call__(self, ready: Ready) -> Iterator[Step]:
        """The sampler's steps, some with smoothed frames."""
        z = ready.start()
        denoise = ready.threshold(self._denoiser(ready, z.shape[2]))
        done = 0
        for turn, last in enumerate(self._smoothed_steps(len(ready.levels) - 1)):
            running = ready.steps(denoise, z, done)
            for _ in range(done, last):
                yield next(running)
            step = next(running)
            del running
            x_hat = smoothed(step.x_hat, 1 + turn % 2, self.interpolator)
            alpha = expand_like(ready.levels[last + 1].alpha, z)
            z = step.z + alpha * (x_hat - step.x_hat)  # eps_hat stays
            del step
            yield Step(z, x_hat)
            del x_hat
            done = last + 1
        yield from ready.steps(denoise, z, done)

    def _smoothed_steps(self, steps: int) -> list[int]:
        """The numbers, from 0, of the steps in which frames are interpolated."""
        return sorted({step for time in self.smoothed_at if (step := round((1 - time) * steps)) < steps - 1})

    def _denoiser(self, ready: Ready, total: int) -> Denoise:
        """The denoiser of whole videos from those of the calls."""
        calls = [(call, ready.part(call.frames)) for call in frame_calls(range(total), self.window, self.most)]

        def run(z: Tensor, level: NoiseLevel) -> Tensor:
            x_hat = torch.empty_like(z)
            for call, denoise in calls:
                frames = list(call.frames)
                made = denoise(z[:, :, frames], level)
                x_hat[:, :, frames[call.kept :]] = made[:, :, call.kept :]
                del made
            return x_hat

        return run


def key_frames(total: int, window: int) -> list[int]:
    """The numbers of the key frames of a video: every (window - 1)-th, and the last.

    15 frames with a window of 3 have 0, 2, 4, ..., 14.
    """
    return sorted({*range(0, total, window - 1), total - 1})


def frame_calls(frames: Sequence[int], window: int | None, most: int) -> list[FrameCall]:
    """The calls that denoise these frames, at most `most` in each: keys before the clips between them."""
    if len(frames) <= most:
        return [FrameCall(tuple(frames), 0)]
    size = min(most, max(3, math.isqrt(len(frames)) if window is None else window))
    places = key_frames(len(frames), size)
    calls = frame_calls([frames[place] for place in places], window, most)
    for one, other in pairwise(places):
        if between := frames[one + 1 : other]:
            calls.append(FrameCall((frames[one], frames[other], *between), 2))
    return calls


def smoothed(video: Tensor, first: int, interpolator: Interpolator) -> Tensor:
    """A video (B, C, F, H, W) with every second frame from `first` on interpolated between its neighbours.

    The last frame, which has no neighbour after it, stays. `first` is 1 or more.
    """
    frames = video.shape[2]
    if first >= frames - 1:
        return video
    made = video.clone()
    before, after = video[:, :, first - 1 : frames - 2 : 2], video[:, :, first + 1 : frames : 2]
    made[:, :, first : frames - 1 : 2] = interpolator(before, after).to(video)
    return made
