"""Known frames of other channels than red, green and blue: values in units, from memory or from files."""

import logging
import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.cascade.start import Fit
from zoetrope.channels import Channel, are_rgb, difference, listed, to_model
from zoetrope.fields import Fields, read_values
from zoetrope.video import SAME_RATE, Video
from zoetrope.wording import counted

log = logging.getLogger(__name__)

ROUNDING = 1e-6


def field_frames(
    where: str,
    value: object,
    numbers: Sequence[int],
    stage: StageSpec,
    fit: Fit,
    *,
    still: bool = False,
    channels: Sequence[Channel],
) -> np.ndarray:
    """The frames (n, H, W, C) float32, as networks see them, of the stage's size; if `still`, one may stand for all.

    `value` is a `Fields`, an array (C, n, H, W) or (C, H, W) in units, or a file of values in units.
    Raises ValueError for others, for values that are missing, and for frames of another number or size.
    """
    values = _values(where, value, channels, stage, len(numbers))
    if values.shape[1] == 1 and still:
        values = values.repeat(len(numbers), 1)
    if values.shape[1] != len(numbers):
        raise ValueError(f"{where}: expected {counted(len(numbers), 'frame')}, got {values.shape[1]}")
    wanted = (stage.shape.height, stage.shape.width)
    if values.shape[2:] != wanted:
        size, got = ("x".join(map(str, one)) for one in (wanted, values.shape[2:]))
        raise ValueError(f"{where}: expected a size of {size}, as {stage.name} makes, got {got}")
    if not np.isfinite(values).all():
        raise ValueError(f"{where}: expected finite values, got NaN or infinity; a mask says what is not known")
    try:
        x = to_model(torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)), channels)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    for channel, one in zip(channels, x, strict=True):
        far = one.abs() > 1 + ROUNDING
        if channel.scale.bounded and bool(far.any()):
            count, ends = counted(int(far.sum()), "value"), channel.scale.to_units(torch.tensor([-1.0, 1.0])).tolist()
            told = "%s: %s: %s beyond the ends of its scale, %g and %g, will come out as these"
            log.warning(told, where, channel.name, count, *ends)
    return x.permute(1, 2, 3, 0).contiguous().numpy()


def known_tensor(pictures: np.ndarray, fps: float) -> Tensor:
    """Known frames as networks see them, (1, C, n, H, W): pictures (n, H, W, 3) uint8, or what `field_frames` gives."""
    if pictures.dtype == np.uint8:
        return Video(pictures, fps).to_tensor()[None]
    return torch.from_numpy(pictures).permute(3, 0, 1, 2).contiguous()[None]


def expect_own(what: str, video: Video, channels: Sequence[Channel]) -> None:
    """Raise ValueError unless a video is of these channels."""
    if are_rgb(channels) and not isinstance(video, Fields):
        return
    if not isinstance(video, Fields):
        raise ValueError(f"{what}: expected Fields, values in units, for the channels are {listed(channels)}")
    if (wrong := difference(channels, video.channels)) is not None:
        raise ValueError(f"{what}: {wrong}")


def _values(where: str, value: object, channels: Sequence[Channel], stage: StageSpec, count: int) -> np.ndarray:
    """The values (C, n, H, W) in units."""
    if isinstance(value, str | os.PathLike):
        return read_values(value, channels)
    if isinstance(value, Video):
        expect_own(where, value, channels)
        if count > 1 and abs(value.fps - stage.shape.fps) > SAME_RATE * stage.shape.fps:
            raise ValueError(
                f"{where}: expected {stage.shape.fps:g} frames a second, as {stage.name} makes, got {value.fps:g}"
            )
        assert isinstance(value, Fields)
        return value.values
    values = np.asarray(value)
    values = values[:, None] if values.ndim == 3 else values
    if values.ndim != 4 or len(values) != len(channels) or 0 in values.shape or values.dtype.kind not in "fiu":
        wanted = f"({len(channels)}, n, H, W) in units, {listed(channels)}, Fields, or a file of values"
        raise ValueError(f"{where}: expected an array {wanted}, got {values.shape} {values.dtype}")
    return values
