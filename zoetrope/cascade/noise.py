"""Noise as a pure function of its purpose.

A video's noise depends on the seed, the sample number, the stage, the step and the frame, and on nothing else: not on
the batch, the tiling or the number of processes.
"""

import hashlib
import operator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, SupportsIndex

import numpy as np
import torch
from torch import Tensor

from zoetrope.diffusion.tensors import has_data
from zoetrope.shapes import VideoShape, Window

Scheme = Literal["philox", "mersenne"]
"""How noise is drawn. "philox": NumPy's normals from a Philox generator, whose 128-bit key is a hash of everything the
noise depends on. No two frames get equal noise, and every platform draws the same, except for the last bit of one value
in thousands. "mersenne": PyTorch's generator, the only scheme of older models. It uses 32 bits of its seed, so among
some hundred thousand frames two are likely to get equal noise.
"""

WORTH_THREADS = 2**22  # values


def seeded(*parts: SupportsIndex | str) -> int:
    """A seed for `torch.Generator` that depends on every part, from 0 to 2^63 - 1.

    Integers of any type, such as NumPy's, give the same seed. The CPU generator uses the last 32 bits only: among
    77,000 seeds two are as likely as not to draw the same numbers.
    """
    return _hashed(8, parts) >> 1


def _hashed(size: int, parts: Sequence[SupportsIndex | str]) -> int:
    """A number of `size` bytes that depends on every part."""
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
    """A window (B, C, F, H, W) of the noise of these samples' videos; each frame is drawn whole, then cropped."""
    noise = torch.empty(len(samples), channels, *map(len, window), dtype=torch.float32)
    if not has_data(noise):  # a dry run needs only the shape
        return torch.randn(noise.shape, dtype=torch.float32)
    rows, columns = (slice(axis.start, axis.stop) for axis in window[1:])
    places = [(place, index) for place in range(len(samples)) for index in range(len(window.frames))]

    def draw(share: Sequence[tuple[int, int]]) -> None:
        drawn = torch.empty(channels, shape.height, shape.width, dtype=torch.float32)
        for place, index in share:
            _fill(drawn, scheme, (seed, samples[place], purpose, window.frames[index]))
            noise[place, :, index] = drawn[:, rows, columns]

    # A generator fills its tensor in a single thread, so several of them run side by side.
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
