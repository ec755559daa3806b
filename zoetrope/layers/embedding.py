"""Embeddings of scalars, positions and texts."""

import math

import torch
from torch import Tensor, nn

from zoetrope.layers.dot_product import attention
from zoetrope.layers.zero import zero


def sinusoid(values: Tensor, width: int, slowest: float = 10_000.0) -> Tensor:
    """Cosines and sines (..., width) of values (...) at `width / 2` frequencies from 1 to 1 / slowest."""
    steps = torch.arange(width // 2, device=values.device, dtype=torch.float32) / (width // 2)
    angles = values.float()[..., None] * torch.exp(-math.log(slowest) * steps)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class LogSNREmbedding(nn.Module):
    """logsnr (...) -> (..., D), by way of the angle u = arctan(exp(-logsnr / 2)) / (pi / 2) in [0, 1].

    The embedding "inv_cos" of Salimans & Ho's published code: even steps of u are even steps of diffusion time.
    """

    def __init__(self, width: int, features: int = 128):
        super().__init__()
        self.features = features
        self.layers = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, logsnr: Tensor) -> Tensor:
        u = torch.atan(torch.exp(-0.5 * logsnr.float().clamp(-30, 30))) * (2 / math.pi)
        return self.layers(sinusoid(1000 * u, self.features).to(next(self.layers.parameters()).dtype))


class GuidanceEmbedding(nn.Module):
    """Guidance weight w (...) -> (..., D), by way of ln(1 + w): 0 to 1 is as far as 7 to 15. Starts at zero."""

    def __init__(self, width: int, features: int = 64):
        super().__init__()
        self.features = features
        self.layers = nn.Sequential(nn.Linear(features, width), nn.SiLU(), zero(nn.Linear(width, width)))

    def forward(self, weight: Tensor) -> Tensor:
        waves = sinusoid(10 * torch.log1p(weight.float()), self.features, slowest=100.0)
        return self.layers(waves.to(next(self.layers.parameters()).dtype))


class FramePosition(nn.Module):
    """Position of each frame in its clip, (...) from -1 (first) to 1 (last) -> (..., D).

    Relative to the clip's length, so that it means the same for other frame counts. The output starts at zero.
    """

    def __init__(self, width: int, features: int = 64):
        super().__init__()
        self.features = features
        self.layers = nn.Sequential(nn.Linear(features, width), nn.SiLU(), zero(nn.Linear(width, width)))

    def forward(self, places: Tensor) -> Tensor:
        return self.layers(sinusoid(10 * places, self.features, slowest=100.0).to(next(self.layers.parameters()).dtype))


class PixelPosition(nn.Module):
    """Position of each pixel in its frame, from -1 to 1 down and across: (H, W) -> (H, W, D). Starts at zero."""

    def __init__(self, width: int, features: int = 32):
        super().__init__()
        self.features = features
        self.layers = nn.Sequential(nn.Linear(2 * features, width), nn.SiLU(), zero(nn.Linear(width, width)))

    def forward(self, height: int, width: int, device: torch.device) -> Tensor:
        """The embeddings (H, W, D) of a grid."""
        down, across = (
            sinusoid(4 * torch.linspace(-1, 1, size, device=device), self.features, slowest=20.0)
            for size in (height, width)
        )
        both = torch.cat([down[:, None].expand(-1, width, -1), across[None].expand(height, -1, -1)], dim=-1)
        return self.layers(both.to(next(self.parameters()).dtype))


class TextPool(nn.Module):
    """Attention-pooled sentence vector: tokens (N, L, D), mask (N, L) -> (N, D) [arXiv:2205.11487, Sec. 2.4].

    There is a single head where D is no multiple of `heads`.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads = heads if width % heads == 0 else 1
        self.query = nn.Parameter(nn.init.normal_(torch.empty(heads, 1, width // heads), std=0.02))
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        key, value = self.key_value(tokens).unflatten(-1, (2, self.heads, -1)).transpose(1, 3).unbind(2)
        query = self.query.to(key.dtype).expand(len(tokens), -1, -1, -1)
        pooled = attention(query, key, value, mask[:, None, None])
        return self.out(pooled.flatten(1))
