"""Resizing pictures for a network."""

from typing import Literal

from torch import Tensor
from torch.nn.functional import interpolate

PictureFit = Literal["crop", "squash"]


def to_size(pictures: Tensor, size: tuple[int, int], fit: PictureFit = "squash", mode: str = "bicubic") -> Tensor:
    """Pictures (N, C, H, W) at height and width `size`, antialiased where they shrink, kept in [-1, 1].

    "squash" gives up their proportions; "crop" keeps them, covers the size, and cuts out the middle.
    """
    height, width = size
    if fit == "crop":
        factor = max(height / pictures.shape[2], width / pictures.shape[3])
        whole = (max(height, round(pictures.shape[2] * factor)), max(width, round(pictures.shape[3] * factor)))
    else:
        whole = size
    if tuple(pictures.shape[2:]) != whole:
        pictures = interpolate(pictures, whole, mode=mode, align_corners=False, antialias=True).clamp(-1, 1)
    top, left = (whole[0] - height) // 2, (whole[1] - width) // 2
    return pictures[:, :, top : top + height, left : left + width]
