"""The denoiser of a whole video from a network of a window: MultiDiffusion [Bar-Tal et al. 2023, arXiv:2302.08113].

Every evaluation sees windows that overlap, one after the other, and takes the mean of their x_hat at each place, so
that they agree from step to step [Bar-Tal et al. 2024, arXiv:2401.12945, Sec. 3.3]. Of all videos the mean is the
nearest to the windows by least squares. It does not matter whether x_hat, the network's output or the next z is
averaged: at one z and level they are affine in each other. Noise is that of the whole video; guidance comes before the
mean, thresholds and known frames after it.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.shapes import Window


def overlapping(local: Callable[[Window], Denoise], windows: Sequence[Window], sizes: tuple[int, int, int]) -> Denoise:
    """The denoiser of videos of frames x height x width: at each place the mean over the windows that cover it.

    `local(window)` is the denoiser of a window, which gets its part of z. One window at a time is in memory. Where all
    windows at a place agree, the mean is exactly what they say.

    Raises ValueError, with the first of them, if the windows leave a place out.
    """
    _expect_cover(windows, sizes)
    if len(windows) == 1:
        return local(windows[0])
    narrow = [all(len(window[axis]) == size for window in windows) for axis, size in enumerate(sizes)]

    def flat(window: Window) -> Window:
        """The window with one place on each axis that no window divides, where all places are alike."""
        return Window(*(range(1) if one else own for one, own in zip(narrow, window, strict=True)))

    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        x_hat = torch.zeros_like(z)
        done = z.new_zeros([1 if one else size for one, size in zip(narrow, sizes, strict=True)])
        for window in windows:
            count = flat(window).of(done).add_(1)
            made = local(window)(window.of(z), level.frames(window.frames))
            window.of(x_hat).lerp_(made, 1 / count)  # of the n-th window at a place the mean takes 1/n
            del made
        return x_hat

    return run


def _expect_cover(windows: Sequence[Window], sizes: tuple[int, int, int]) -> None:
    """Raise ValueError unless every place of a video lies in one of its windows, and these within the video."""
    for window in windows:
        if any(own.start < 0 or own.stop > size or not own for own, size in zip(window, sizes, strict=True)):
            raise ValueError(f"windows: expected them within {_told(sizes)}, got {_placed(window)}")
    edges = [
        np.unique([0, size, *(end for window in windows for end in (window[axis].start, window[axis].stop))])
        for axis, size in enumerate(sizes)
    ]
    covered = np.zeros([len(ends) - 1 for ends in edges], bool)
    for window in windows:
        ends = zip(edges, window, strict=True)
        covered[tuple(slice(*np.searchsorted(own, (axis.start, axis.stop))) for own, axis in ends)] = True
    for place in np.argwhere(~covered)[:1]:
        frame, row, column = (own[number] for own, number in zip(edges, place, strict=True))
        at = f"frame {frame}, row {row}, column {column}"
        raise ValueError(f"windows: expected them to cover {_told(sizes)}, got none at {at}")


def _told(sizes: tuple[int, int, int]) -> str:
    frames, height, width = sizes
    return f"{frames} frames of {height}x{width}"


def _placed(window: Window) -> str:
    return ", ".join(
        f"{name} {own.start} to {own.stop - 1}" for name, own in zip(("frames", "rows", "columns"), window, strict=True)
    )
