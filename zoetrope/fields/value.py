"""Values of named channels in units, and the way to and from what networks see."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from zoetrope.channels import Channel, are_rgb, clipped, listed, place_of, to_model, to_units
from zoetrope.fields.colours import coloured, expect_map
from zoetrope.fields.writing import holds_values, write
from zoetrope.video import Video, expect_finite
from zoetrope.video.writing import Seal

FAR = 3.0  # deviations to either side of the mean that a picture of an unbounded channel shows


@dataclass(frozen=True)
class Look:
    """How a channel becomes pictures.

    Attributes:
        channel: its name; None: the first one.
        colours: the name of a colour map; see `zoetrope.fields.colours`.
        limits: the values in units that get the first and the last colour, evenly between; None: the ends of a bounded
            scale, and 3 deviations around the mean of others, evenly on the scale.

    Raises ValueError, with the nearest name, for an unknown colour map, and for limits that do not rise.
    """

    channel: str | None = None
    colours: str = "viridis"
    limits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        expect_map(self.colours)
        if self.limits is not None:
            low, high = self.limits
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"range: expected two numbers that rise, got {low:g} and {high:g}")

    def to_json(self) -> dict[str, object]:
        """The look as plain values."""
        return {"channel": self.channel, "colours": self.colours, "range": self.limits and list(self.limits)}

    def pictures(self, values: np.ndarray, channel: Channel) -> np.ndarray:
        """The pictures (..., 3) uint8 of values of a channel in units, of any shape.

        Raises ValueError that names the channel for values that its scale does not take.
        """
        if self.limits is not None:
            low, high = self.limits
            return coloured((values - low) / (high - low), self.colours)
        far = 1.0 if channel.scale.bounded else FAR
        x = to_model(torch.from_numpy(np.ascontiguousarray(values))[None], [channel])[0].numpy()
        return coloured((x + far) / (2 * far), self.colours)


class Fields(Video):
    """Values of named channels, in their units, on a grid of frames, rows and columns.

    It is a video as well: its `frames` are pictures of the first channel; `pictured` makes those of others.

        rain = made["rain"]          # (F, H, W) float32, in made.channels[0].unit
        made.save("rain.nc")         # or .npz, .zarr; .mp4 and others hold pictures
        made.pictured(Look("rain", "turbo", (0, 50))).save("rain.mp4")

    Attributes:
        values: (C, F, H, W) float32, in units.
        channels: names, units and scales, C of them.
    """

    values: np.ndarray
    channels: tuple[Channel, ...]

    def __init__(self, values: np.ndarray, channels: Sequence[Channel], fps: float) -> None:
        """Raises ValueError for another shape or number of channels, and for a rate that is not positive."""
        if values.ndim != 4 or 0 in values.shape or len(values) != len(channels):
            wanted = f"({len(channels)}, F, H, W), the channels {listed(channels)}"
            raise ValueError(f"Fields.values: expected {wanted}, got {values.shape}")
        object.__setattr__(self, "values", np.ascontiguousarray(values, dtype=np.float32))
        object.__setattr__(self, "channels", tuple(channels))
        super().__init__(Look().pictures(self.values[0], channels[0]), fps)

    def __repr__(self) -> str:
        frames, height, width = self.values.shape[1:]
        return f"Fields({listed(self.channels)}; {frames} frames of {height}x{width} at {self.fps:g} fps)"

    def __getitem__(self, name: str) -> np.ndarray:
        """The values (F, H, W) of the channel of that name, a view. Raises ValueError for an unknown name."""
        found: np.ndarray = self.values[place_of(self.channels, name)]
        return found

    @property
    def times(self) -> np.ndarray:
        """When each frame is seen, in seconds from the first, (F,) float64."""
        return np.arange(len(self.frames)) / self.fps

    @classmethod
    def of_model(cls, x: Tensor, channels: Sequence[Channel], fps: float) -> Self:
        """The values of x (C, F, H, W), as networks see it. Bounded channels are clipped to [-1, 1], others are not.

        Raises ValueError for another number of channels, and for NaN or infinity.
        """
        x = x.detach().to("cpu", torch.float32)
        expect_finite(x)
        if len(x) == len(channels):
            x = clipped(x, channels)
        return cls(to_units(x, channels).numpy(), channels, fps)

    def to_tensor(self) -> Tensor:
        """The values as networks see them, (C, F, H, W) float32."""
        return to_model(torch.from_numpy(self.values), self.channels)

    def pictured(self, look: Look) -> Video:
        """Pictures of one channel. Raises ValueError, with the nearest name, for an unknown one."""
        place = 0 if look.channel is None else place_of(self.channels, look.channel)
        return Video(look.pictures(self.values[place], self.channels[place]), self.fps)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        tags: Mapping[str, str] | None = None,
        sound_of: str | os.PathLike[str] | None = None,
        seal: Seal | None = None,
    ) -> None:
        """Write the values to a .npz, .zarr or .nc file; to files of other names, pictures of the first channel.

        Raises ValueError for an impossible name, where the library of a format is missing, and for a `seal` of values.
        """
        if holds_values(path) and seal is not None:
            raise ValueError(f"{path}: expected no seal, for files of values have none")
        if holds_values(path):
            write(path, dict(zip(self.channels, self.values, strict=True)), self.fps, tags or {})
        else:
            super().save(path, tags=tags, sound_of=sound_of, seal=seal)


def video_of(x: Tensor, channels: Sequence[Channel], fps: float) -> Video:
    """x (C, F, H, W), as networks see it, as a video: of red, green and blue a film, of others `Fields`."""
    return Video.from_tensor(x, fps) if are_rgb(channels) else Fields.of_model(x, channels, fps)


def views(x: Tensor, channels: Sequence[Channel], fps: float) -> list[Video]:
    """x (C, F, H, W), as networks see it, as pictures: one film in colour, or one of each other channel."""
    if are_rgb(channels):
        return [Video.from_tensor(x, fps)]
    fields = Fields.of_model(x, channels, fps)
    return [fields.pictured(Look(channel.name)) for channel in channels]


def content_of(video: Video) -> bytes:
    """What identifies a video: its pictures, or of `Fields` its values, of which pictures show a channel roughly."""
    return video.values.tobytes() if isinstance(video, Fields) else video.frames.tobytes()
