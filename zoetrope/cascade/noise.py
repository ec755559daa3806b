"""Noise as a function of what it is for.

A video's noise depends on the seed, its own number, the stage, the step and the frame, and on nothing else: not on the
batch it is sampled in, not on tiling, not on how many processes share the work.
"""

import hashlib
import operator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, SupportsIndex

import numpy as np
import torch
from torch import Tensor

from zoetrope.shapes import VideoShape, Window, has_data

Scheme = Literal["philox", "mersenne"]
"""How noise is drawn. "philox": NumPy's normals of a Philox generator, whose key of 128 bits is a hash of all that the
noise depends on: two frames of equal noise are out of the question, and it is the same on every platform but for the
last bit of one value in thousands. "mersenne": PyTorch's generator, which takes 32 bits of its seed into account, so
that two of some hundred thousand frames are likely to be equal; what models were sampled with before there was another.
"""

WORTH_THREADS = 2**22  # values


def seeded(*parts: SupportsIndex | str) -> int:
    """A seed for `torch.Generator` that depends on every part, from 0 to 2^63 - 1.

    Whole numbers of any type, NumPy's say, count as what they are. The generator of a CPU looks at the last 32 bits
    alone: among 77,000 seeds two are as likely as not to draw the same.
    """
    return _hashed(8, parts) >> 1


def _hashed(size: int, parts: Sequence[SupportsIndex | str]) -> int:
    """A number of so many bytes that depends on every part."""
    plain = tuple(part if isinstance(part, str) else operator.index(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(repr(plain).encode(), digest_size=size).digest(), "big")


def video_noise(
    seed: int, sample: int, purpose: str, shape: VideoShape, channels: int, scheme: Scheme = "philox"
) -> Tensor:
    """Standard normal noise (C, F, H, W) on the CPU, drawn frame by frame."""
    return window_noise(seed, [sample], purpose, shape, channels, Window.whole(shape), scheme)[0]


def window_noise(
    seed: int,
    samples: Sequence[SupportsIndex],
    purpose: str,
    shape: VideoShape,
    channels: int,
    window: Window,
    scheme: Scheme = "philox",
) -> Tensor:
    """A window (B, C, F, H, W) of the noise of these samples' videos; each frame is drawn whole and cut."""
    noise = torch.empty(len(samples), channels, *map(len, window))
    if not has_data(noise):  # only what it costs is asked for
        return torch.randn(noise.shape)
    rows, columns = (slice(axis.start, axis.stop) for axis in window[1:])
    places = [(place, index) for place in range(len(samples)) for index in range(len(window.frames))]

    def draw(share: Sequence[tuple[int, int]]) -> None:
        drawn = torch.empty(channels, shape.height, shape.width)
        for place, index in share:
            _fill(drawn, scheme, (seed, samples[place], purpose, window.frames[index]))
            noise[place, :, index] = drawn[:, rows, columns]

    # A generator fills its tensor in one thread.
    threads = torch.get_num_threads() if noise.numel() >= WORTH_THREADS else 1
    if threads == 1:
        draw(places)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(draw, [places[thread::threads] for thread in range(threads)]))
    return noise


def _fill(drawn: Tensor, scheme: Scheme, parts: Sequence[SupportsIndex | str]) -> None:
    """Fill a tensor with the noise that depends on these parts."""
    if scheme == "mersenne":
        torch.randn(drawn.shape, generator=torch.Generator().manual_seed(seeded(*parts)), out=drawn)
        return
    generator = np.random.Generator(np.random.Philox(key=_hashed(16, parts)))
    generator.standard_normal(dtype=np.float32, out=drawn.numpy())
