"""Clips of arrays as pictures for people: a strip for each channel, in false colours."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoetrope.channels import Channel, to_units
from zoetrope.data import Example
from zoetrope.data.arrays.dataset import ArraysDataset
from zoetrope.fields.colours import coloured
from zoetrope.shapes import VideoShape
from zoetrope.video import Video, contact_sheet

_LOW, _HIGH = 0.005, 0.995  # quantiles at the ends of the colours


class ArraySheet(NamedTuple):
    """A sheet of clips: a picture (H, W, 3) uint8, the clips' names, and the values at the ends of the colours."""

    picture: np.ndarray
    names: list[str]
    ends: list[tuple[float, float]]


def array_sheet(dataset: ArraysDataset, shape: VideoShape, count: int) -> ArraySheet:
    """The first clips, one in a row, with a strip for every channel; the same colours for all clips of a channel."""
    examples = [dataset.example(index, shape) for index in range(count)]
    channels = dataset.channels()
    values = [to_units(example.video.double(), channels) for example in examples]
    ends = [_ends(number, values, examples) for number in range(len(channels))]
    videos = []
    for example, one in zip(examples, values, strict=True):
        for number, end in enumerate(ends):
            present = None if example.present is None else example.present[number]
            videos.append(Video(false_colours(one[number], end, present), shape.fps))
    return ArraySheet(contact_sheet(videos, len(channels)), [_told(example) for example in examples], ends)


def false_colours(values: Tensor, ends: tuple[float, float], present: Tensor | None = None) -> np.ndarray:
    """Pictures (F, H, W, 3) uint8 of values (F, H, W) in false colours between two ends; grey where none is present."""
    low, high = ends
    share = (values - low) / (high - low if high > low else 1.0)
    return coloured((share if present is None else torch.where(present, share, torch.nan)).numpy())


def colour_ends(channels: Sequence[Channel], ends: Sequence[tuple[float, float]]) -> list[str]:
    """The ends of the colours in words, a line for each channel."""
    return [f"{channel}: {low:.4g} (dark) to {high:.4g}" for channel, (low, high) in zip(channels, ends, strict=True)]


def _ends(number: int, values: Sequence[Tensor], examples: Sequence[Example]) -> tuple[float, float]:
    there = [
        one[number].flatten() if example.present is None else one[number][example.present[number]]
        for one, example in zip(values, examples, strict=True)
    ]
    every = torch.cat(there).numpy()
    if not every.size:
        return 0.0, 1.0
    low, high = np.quantile(every, (_LOW, _HIGH))
    return float(low), float(high)


def _told(example: Example) -> str:
    told = ", ".join(f"{name} {value}" for name, value in example.told.items())
    return "; ".join(part for part in (example.name, example.text, told) if part)
