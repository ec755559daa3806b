"""Noise as a function of what it is for.

A video's noise depends on the seed, its own number, the stage, the step and the frame, and on nothing else: not on the
batch it is sampled in, not on tiling, not on how many processes share the work.
"""

import hashlib

import torch
from torch import Tensor

from zoetrope.shapes import VideoShape


def seeded(*parts: int | str) -> int:
    """A 63-bit seed that depends on every part."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big") >> 1


def video_noise(seed: int, sample: int, purpose: str, shape: VideoShape, channels: int = 3) -> Tensor:
    """Standard normal noise (C, F, H, W) on the CPU, drawn frame by frame."""
    noise = torch.empty(channels, shape.frames, shape.height, shape.width)
    for frame in range(shape.frames):
        generator = torch.Generator().manual_seed(seeded(seed, sample, purpose, frame))
        noise[:, frame] = torch.randn(channels, shape.height, shape.width, generator=generator)
    return noise
