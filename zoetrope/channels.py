"""What the numbers of a video are: named channels with units, each on a scale of its own."""

from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from zoetrope.config import Config, unknown
from zoetrope.scales import Scale
from zoetrope.scales.range import Range

MOST = 64  # channels of a network


class Channel(Config):
    """One quantity of a video.

    Attributes:
        name: of the quantity, as in files: letters, digits and "_.+-".
        unit: of its values, as in the CF conventions, such as "mm h-1"; "" for a pure number.
        scale: how values in that unit become the numbers that networks see.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$", max_length=64)]
    unit: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$", max_length=64)] = ""
    scale: Scale

    def __str__(self) -> str:
        return f"{self.name} [{self.unit}]" if self.unit else self.name


def _named_apart(channels: tuple[Channel, ...]) -> tuple[Channel, ...]:
    names = [channel.name for channel in channels]
    if twice := [name for number, name in enumerate(names) if name in names[:number]]:
        raise ValueError(f"expected every channel once, got {twice[0]!r} twice")
    return channels


Channels = Annotated[tuple[Channel, ...], Field(min_length=1, max_length=MOST), AfterValidator(_named_apart)]

RGB: tuple[Channel, ...] = tuple(Channel(name=name, scale=Range(lo=0, hi=255)) for name in ("red", "green", "blue"))
"""Pictures and films: three channels of 8 bits, [-1, 1] for networks."""


def are_rgb(channels: Sequence[Channel]) -> bool:
    """Whether videos of these channels are pictures in colour, which video files hold."""
    return tuple(channels) == RGB


def are_bounded(channels: Sequence[Channel]) -> bool:
    """Whether all channels are, so that x_hat may be clipped to [-1, 1]."""
    return all(channel.scale.bounded for channel in channels)


def clipped(x: Tensor, channels: Sequence[Channel], axis: int = 0) -> Tensor:
    """x, as networks see it, whose `axis` has these channels, clipped to [-1, 1] where a channel is bounded."""
    if are_bounded(channels):
        return x.clamp(-1, 1)
    pairs = zip(x.unbind(axis), channels, strict=True)
    return torch.stack([one.clamp(-1, 1) if channel.scale.bounded else one for one, channel in pairs], axis)


def place_of(channels: Sequence[Channel], name: str) -> int:
    """The place of the channel of that name. Raises ValueError, with the nearest name, if there is none."""
    names = [channel.name for channel in channels]
    if name not in names:
        raise ValueError(unknown("channel", name, names))
    return names.index(name)


def listed(channels: Sequence[Channel]) -> str:
    """The channels in words: "u [m s-1], p [Pa]"."""
    return ", ".join(map(str, channels))


def to_model(values: Tensor, channels: Sequence[Channel], axis: int = 0) -> Tensor:
    """The numbers that networks see, of values in units whose `axis` has these channels; see `Scale.to_model`.

    Raises ValueError for another number of channels, and, with the channel's name, what scales raise.
    """
    return _mapped(values, channels, axis, lambda channel, one: channel.scale.to_model(one))


def to_units(x: Tensor, channels: Sequence[Channel], axis: int = 0) -> Tensor:
    """Values in units, of numbers as networks see them whose `axis` has these channels: the inverse of `to_model`.

    Raises ValueError for another number of channels.
    """
    return _mapped(x, channels, axis, lambda channel, one: channel.scale.to_units(one))


def difference(wanted: Sequence[Channel], got: Sequence[Channel]) -> str | None:
    """What is wrong with channels that should be others, as the end of a message; None if they are those."""
    if [channel.name for channel in wanted] != [channel.name for channel in got]:
        return f"expected the channels {listed(wanted)}, got {listed(got)}"
    for one, other in zip(wanted, got, strict=True):
        if one.unit != other.unit:
            return f"channel {one.name!r}: expected the unit {one.unit!r}, got {other.unit!r}"
        if one != other:
            return f"channel {one.name!r}: expected the scale {one.scale.to_json()}, got {other.scale.to_json()}"
    return None


def _mapped(
    values: Tensor, channels: Sequence[Channel], axis: int, change: Callable[[Channel, Tensor], Tensor]
) -> Tensor:
    if values.shape[axis] != len(channels):
        raise ValueError(f"expected {len(channels)} channels, {listed(channels)}, got {values.shape[axis]}")
    made = list[Tensor]()
    for channel, one in zip(channels, values.unbind(axis), strict=True):
        try:
            made.append(change(channel, one))
        except ValueError as error:
            raise ValueError(f"channel {channel.name!r}: {error}") from None
    return torch.stack(made, axis)
