"""Noise as a function of what it is for.

A video's noise depends on the seed, its own number, the stage, the step and the frame, and on nothing else: not on the
batch it is sampled in, not on tiling, not on how many processes share the work.
"""

import hashlib
import operator
from typing import SupportsIndex

import torch
from torch import Tensor

from zoetrope.shapes import VideoShape


def seeded(*parts: SupportsIndex | str) -> int:
    """A 63-bit seed that depends on every part; whole numbers of any type, NumPy's say, count as what they are."""
    plain = tuple(part if isinstance(part, str) else operator.index(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(repr(plain).encode(), digest_size=8).digest(), "big") >> 1


def video_noise(seed: int, sample: int, purpose: str, shape: VideoShape, channels: int) -> Tensor:
    """Standard normal noise (C, F, H, W) on the CPU, drawn frame by frame."""
    noise = torch.empty(channels, shape.frames, shape.height, shape.width)
    for frame in range(shape.frames):
        generator = torch.Generator().manual_seed(seeded(seed, sample, purpose, frame))
        noise[:, frame] = torch.randn(channels, shape.height, shape.width, generator=generator)
    return noise
