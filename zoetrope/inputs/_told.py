"""What data tell of their examples by name: numbers, labels, and what belongs to their frames."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from zoetrope.conditioning import Conditioning
from zoetrope.inputs import Examples, Extent
from zoetrope.scales import Scale

RESERVED = {
    "first_frame",
    "first_frame_logsnr",
    "guidance",
    "low_res",
    "low_res_logsnr",
    "picture",
    "region",
    "region_mask",
    "text",
}
"""Names that other parts of the conditioning have."""


def _free(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"expected another name, for {name!r} is that of another input")
    return name


ToldName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=64), AfterValidator(_free)]
"""The name of what is told: letters, digits, "_" and "-"."""


def told_numbers(name: str, examples: Examples, dropout: float, number: Callable[[object, str], float]) -> Conditioning:
    """A number for each video, or where any is a pack of images, for each frame; NaN where it is unknown or dropped.

    `number` makes it of what the data tell, and of the sample's name for errors.
    """
    frames = examples.x.shape[2]
    rows = list[list[float]]()
    for samples in examples.samples:
        own = [number(one.told[name], one.name) if name in one.told else torch.nan for one in samples]
        if examples.packed is None:
            rows.append(own[:1])
        else:
            rows.append(own * frames if len(own) == 1 else own)
    values = torch.tensor(rows, dtype=torch.float32)
    given = Conditioning(numbers={name: values[:, 0] if examples.packed is None else values})
    return given.without(name, examples.uniform() < dropout)


def blank_numbers(name: str, extent: Extent) -> Conditioning:
    """A zero for each video, or for each frame of packs."""
    sizes = (extent.videos, extent.grid[0]) if extent.packed else (extent.videos,)
    return Conditioning(numbers={name: torch.zeros(sizes)})


def on_scale(name: str, values: Tensor, scale: Scale | None) -> Tensor:
    """Values as networks see them. Raises ValueError that names the input for those that its scale does not take."""
    try:
        return values if scale is None else scale.to_model(values)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def frames_beside(name: str, samples: Sequence[Any], frames: int, axis: int) -> Tensor | None:
    """What lies beside the frames of one video, along `axis`: of a clip, of pictures, or of a clip and then pictures.

    None: nothing. Raises ValueError that names the sample for another number of frames.
    """
    parts = list[Tensor | None]()
    for place, one in enumerate(samples):
        value = one.beside.get(name)
        if value is not None and len(samples) > 1:  # a clip is there once for each of its frames
            value = value.narrow(axis, place if one is samples[0] and value.shape[axis] > 1 else 0, 1)
        parts.append(value)
    known = next((part for part in parts if part is not None), None)
    if known is None:
        return None
    whole = torch.cat([torch.full_like(known, torch.nan) if part is None else part for part in parts], axis)
    if whole.shape[axis] != frames:
        raise ValueError(f"{samples[0].name}: {name}: expected {frames} frames, got {whole.shape[axis]}")
    return whole
