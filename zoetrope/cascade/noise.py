"""Noise as a function of what it is for.

A video's noise depends on the seed, its own number, the stage, the step and the frame, and on nothing else: not on the
batch it is sampled in, not on tiling, not on how many processes share the work.
"""

import hashlib
import operator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import SupportsIndex

import torch
from torch import Tensor

from zoetrope.shapes import VideoShape, Window

WORTH_THREADS = 2**22  # values


def seeded(*parts: SupportsIndex | str) -> int:
    """A 63-bit seed that depends on every part; whole numbers of any type, NumPy's say, count as what they are."""
    plain = tuple(part if isinstance(part, str) else operator.index(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(repr(plain).encode(), digest_size=8).digest(), "big") >> 1


def video_noise(seed: int, sample: int, purpose: str, shape: VideoShape, channels: int) -> Tensor:
    """Standard normal noise (C, F, H, W) on the CPU, drawn frame by frame."""
    return window_noise(seed, [sample], purpose, shape, channels, Window.whole(shape))[0]


def window_noise(
    seed: int, samples: Sequence[SupportsIndex], purpose: str, shape: VideoShape, channels: int, window: Window
) -> Tensor:
    """A window (B, C, F, H, W) of the noise of these samples' videos; each frame is drawn whole and cut."""
    noise = torch.empty(len(samples), channels, *map(len, window))
    rows, columns = (slice(axis.start, axis.stop) for axis in window[1:])

    places = [(place, index) for place in range(len(samples)) for index in range(len(window.frames))]

    def draw(share: Sequence[tuple[int, int]]) -> None:
        drawn = torch.empty(channels, shape.height, shape.width)
        for place, index in share:
            generator = torch.Generator().manual_seed(seeded(seed, samples[place], purpose, window.frames[index]))
            torch.randn(drawn.shape, generator=generator, out=drawn)
            noise[place, :, index] = drawn[:, rows, columns]

    # A generator fills its tensor in one thread. What only counts (meta, fake tensors) is seen by this thread alone.
    real = type(noise) is Tensor and not noise.is_meta
    threads = torch.get_num_threads() if real and noise.numel() >= WORTH_THREADS else 1
    if threads == 1:
        draw(places)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(draw, [places[thread::threads] for thread in range(threads)]))
    return noise
