"""What data tell of their examples by name: numbers, labels."""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import AfterValidator, Field

from zoetrope.conditioning import Conditioning
from zoetrope.inputs import Examples, Extent

RESERVED = {"guidance", "low_res", "low_res_logsnr", "picture", "region", "region_mask", "text"}
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
