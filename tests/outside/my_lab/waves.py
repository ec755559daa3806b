"""Waves of several channels, in units, that travel on a torus."""

import math

import torch

from zoetrope.channels import Channel, to_model
from zoetrope.data import Dataset, Example, Source
from zoetrope.scales.deviation import Deviation
from zoetrope.shapes import VideoShape


def wave_channels(count: int) -> tuple[Channel, ...]:
    """Channels "a0", "a1", ... in kelvin, each with a mean and a deviation of its own."""
    return tuple(Channel(name=f"a{k}", unit="K", scale=Deviation(mean=270 + k, deviation=5 + k)) for k in range(count))


class Waves(Source):
    """Waves in `count` channels."""

    count: int = 4

    def open(self) -> "WaveVideos":
        return WaveVideos(wave_channels(self.count))


class WaveVideos(Dataset):
    """See `Waves`."""

    def __init__(self, channels: tuple[Channel, ...]):
        self._channels = channels

    def channels(self) -> tuple[Channel, ...]:
        return self._channels

    def captions(self) -> list[str]:
        return []

    def example(self, index: int, shape: VideoShape) -> Example:
        draw = torch.Generator().manual_seed(index)
        speed, phase = torch.rand(2, len(self._channels), generator=draw, dtype=torch.float64)[..., None, None, None]
        frame, row, column = torch.meshgrid(*(torch.arange(size) / size for size in shape.sizes), indexing="ij")
        wave = torch.sin(2 * math.pi * (row + column + speed * frame + phase))
        mean, deviation = (
            torch.tensor([getattr(channel.scale, name) for channel in self._channels])[:, None, None, None]
            for name in ("mean", "deviation")
        )
        video = to_model(mean + deviation * wave, self._channels).float()
        return Example(video, "", f"wave {index}")
