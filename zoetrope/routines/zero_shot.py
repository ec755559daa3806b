"""Text2Video-Zero: a moving video from a network of single pictures [Khachatryan et al. 2023, arXiv:2303.13439].

The first frame is an ordinary picture. Early on its way from noise its z is moved, further for each frame, so that all
have the same scene. Frames then get noise of their own back, and all are denoised together. Their attention looks at
the first frame: the network of the stage says so, see `zoetrope.networks.NetworkConfig.looking`.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from zoetrope.diffusion.process import renoise
from zoetrope.layers.attention import Looks
from zoetrope.routines import Ready, Routine
from zoetrope.routines._foreground import foreground
from zoetrope.samplers import Step

_Pixels = Annotated[float, Field(ge=-10_000, le=10_000)]
_Time = Annotated[float, Field(ge=0, le=1)]


class ZeroShot(Routine):
    """Frames that share a scene, which moves evenly, and differ in what comes after it [arXiv:2303.13439, Sec. 3.3.1].

    z moves whole, with its background; pixels that come in from outside are mirrored. Times count from 1, noise, to 0,
    and mean the nearest step. Frames move in whole pixels: fractions add up from frame to frame and are then rounded.

    Attributes:
        motion: pixels of z, down and to the right, from one frame to the next. The paper's 12 pixels of 512 are 1.5 of
            Stable Diffusion's z.
        moved_at: the time T' at which z is moved. The later, the more of the picture is moved as it is.
        noised_to: the time T, at which the frames are denoised together; those after the first get the noise between
            T' and T. With T = T' they get none.
        smoothing: the share of the first frame, moved, in the background of the others, 0 for none. The paper takes
            0.6. Everything is then denoised a second time, once it is known what the background is.
        margin: pixels by which the foreground is larger than what is found of it.

    Raises ValueError where noised_to is less than moved_at.
    """

    looks: ClassVar[Looks | None] = "first"
    in_parts: ClassVar[bool] = True

    motion: tuple[_Pixels, _Pixels] = (1.5, 1.5)
    moved_at: _Time = 0.9
    noised_to: _Time = 0.96
    smoothing: _Time = 0.0
    margin: Annotated[int, Field(ge=0, le=1000)] = 1

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.noised_to < self.moved_at:
            raise ValueError(
                f"noised_to: expected moved_at = {self.moved_at:g} or more, for noise is added, got {self.noised_to:g}"
            )
        return self

    def length(self, steps: int) -> int:
        """The steps of the first frame until it is moved, and once or twice those of all frames."""
        noised, moved = self._places(steps)
        return moved + (steps - noised) * (2 if self.smoothing else 1)

    def __call__(self, ready: Ready) -> Iterator[Step]:
        """The steps of the first frame, shown as all of them, then those of all."""
        noised, moved = self._places(len(ready.levels) - 1)
        start = ready.start()
        total = start.shape[2]
        kept = {0: start[:, :, :1].clone()}
        del start
        denoise = ready.threshold(ready.part([0]))
        running = ready.sampler(denoise, kept[0].clone(), ready.levels, noise=lambda n: _first(ready, f"step {n}"))
        for number in range(1, moved + 1):
            step = next(running)
            if number in (noised, moved):
                kept[number] = step.z.clone()
            yield Step(step.z.expand(-1, -1, total, -1, -1), step.x_hat.expand(-1, -1, total, -1, -1))
            del step
        del running
        z = panned(kept[moved], self.motion, total)
        if noised < moved:
            z = renoise(z, ready.noise("motion"), ready.levels[moved], ready.levels[noised])
            z[:, :, :1] = kept[noised]
        if not self.smoothing:
            yield from ready.steps(ready.denoise, z, noised)
            return
        for step in ready.steps(ready.denoise, z.clone(), noised):
            yield step
        yield from ready.steps(ready.denoise, self._smoothed(z, kept[noised], step.x_hat), noised)

    def _places(self, steps: int) -> tuple[int, int]:
        """How many steps lie before noised_to, of which at least one comes after it, and before moved_at."""
        noised, moved = (round((1 - time) * steps) for time in (self.noised_to, self.moved_at))
        return min(noised, steps - 1), moved

    def _smoothed(self, z: Tensor, first: Tensor, x_hat: Tensor) -> Tensor:
        """z (B, C, F, H, W) with some of the first frame's, (B, C, 1, H, W), moved, in the background [Sec. 3.3.3].

        The background is what is foreground neither in x_hat nor in its first frame, moved.
        """
        before = foreground(x_hat, self.margin)
        before = before | panned(before[:, :, :1], self.motion, x_hat.shape[2])
        behind = panned(first, self.motion, z.shape[2])
        return torch.where(before, z, z.lerp(behind, self.smoothing))


def panned(frame: Tensor, motion: tuple[float, float], frames: int) -> Tensor:
    """A picture (B, C, 1, H, W) as a video (B, C, F, H, W), whose k-th frame from 0 is k times further down and right.

    The nearest pixel is taken, and the picture is mirrored at its edges, as `torch.nn.functional.grid_sample` does with
    "nearest" and "reflection".
    """
    height, width = frame.shape[3:]
    moved = []
    for number in range(frames):
        rows = _sources(height, number * motion[0], frame.device)
        columns = _sources(width, number * motion[1], frame.device)
        moved.append(frame.index_select(3, rows).index_select(4, columns))
    return torch.cat(moved, dim=2)


def _sources(size: int, shift: float, device: torch.device) -> Tensor:
    """The places, in a mirrored axis, of what is then moved by `shift` to 0, 1, ...; halves are rounded down."""
    places = torch.ceil(torch.arange(size, dtype=torch.float64, device=device) - shift - 0.5).long() % (2 * size)
    return torch.minimum(places, 2 * size - 1 - places)


def _first(ready: Ready, purpose: str) -> Tensor:
    """The first frame of a step's noise."""
    return ready.noise(purpose)[:, :, :1]
