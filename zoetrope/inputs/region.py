"""Known regions: masked video and mask beside z, <J, C, M> [Bar-Tal et al. 2024, arXiv:2401.12945, Sec. 4]."""

from typing import Annotated, Any, ClassVar, Literal, get_args

import torch
from pydantic import Field
from torch import Tensor

from zoetrope.conditioning import Conditioning
from zoetrope.inputs import Examples, Extent, Input
from zoetrope.known import Known
from zoetrope.shapes import VideoShape

REGION, MASK = "region", "region_mask"
RegionTask = Literal["first_frame", "inpainting", "outpainting", "cinemagraph"]
"""What is known of a training example. "first_frame": that frame, image to video. "inpainting": all but a box, which
may move. "outpainting": a box, which may move, alone. "cinemagraph": the first frame, and of the others all but a box.
"""
LEAST, MOST = 0.2, 0.8  # of a box's sides, as shares of the picture's


class Region(Input):
    """A video whose unknown pixels are 0, in as many channels, and in one more the mask, 1 where it is known.

    In sampling, what is known of the stage's videos is told; the same pixels are also put into x_hat, exactly.

    Attributes:
        tasks: what is known of training examples, all equally likely.
        dropout: share of training examples of which nothing is known.
    """

    of_pixels: ClassVar[bool] = True

    tasks: Annotated[tuple[RegionTask, ...], Field(min_length=1, max_length=64)] = get_args(RegionTask)
    dropout: Annotated[float, Field(ge=0, le=1)] = 0.1

    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        """A random mask for each video."""
        frames, height, width = examples.x.shape[2:]
        dropped = examples.uniform() < self.dropout
        masks = [
            torch.zeros(frames, height, width, dtype=torch.bool)
            if drop
            else known_mask(self._task(draw), (frames, height, width), draw)
            for drop, draw in zip(dropped.tolist(), examples.draws, strict=True)
        ]
        return region_given(examples.x, torch.stack(masks))

    def _task(self, draw: torch.Generator) -> RegionTask:
        return self.tasks[int(torch.randint(len(self.tasks), (), generator=draw))]

    def of_request(self, value: Any, count: int) -> Conditioning:
        """What is known of the videos, a `zoetrope.known.Known`. Raises ValueError for anything else."""
        if not isinstance(value, Known):
            raise ValueError(f"{self.name}: expected known frames (--known, --mask), got {type(value).__name__}")
        height, width = value.video.shape[3:]
        mask = torch.zeros(len(value.frames), height, width, dtype=torch.bool)
        mask[value.places] = True if value.mask is None else value.mask.cpu()
        video = value.video.new_zeros(count, value.video.shape[1], *mask.shape)
        return region_given(value.put_into(video), mask.to(video.device).expand(count, -1, -1, -1))

    def unknown(self, extent: Extent) -> Conditioning:
        """Nothing is known."""
        return self.blank(extent)

    def blank(self, extent: Extent) -> Conditioning:
        """Videos of which nothing is known."""
        grid = (extent.videos, *extent.grid)
        return region_given(torch.zeros(grid[0], extent.channels, *grid[1:]), torch.zeros(grid, dtype=torch.bool))


def region_given(video: Tensor, mask: Tensor) -> Conditioning:
    """Conditioning by the pixels of a video (B, C, F, H, W) where mask (B, F, H, W) is True."""
    known = mask[:, None].to(video.dtype)
    return Conditioning(maps={REGION: torch.where(mask[:, None], video, 0), MASK: known})


def known_mask(task: RegionTask, sizes: tuple[int, int, int], draw: torch.Generator) -> Tensor:
    """A random mask (F, H, W) bool of a task, True where the video is known."""
    if task == "first_frame":
        mask = torch.zeros(sizes, dtype=torch.bool)
    else:
        box = _box(sizes, draw, moves=task != "cinemagraph")
        mask = box if task == "outpainting" else ~box
    if task in ("first_frame", "cinemagraph") and sizes[0] > 1:  # of a picture something is left to make
        mask[0] = True
    return mask


def _box(sizes: tuple[int, int, int], draw: torch.Generator, *, moves: bool) -> Tensor:
    """A random box (F, H, W) bool, which may move on a straight line; half of those that may do."""
    frames, *picture = sizes
    moving = moves and bool(torch.rand((), generator=draw) < 0.5)
    inside = list[Tensor]()
    for size in picture:
        share, first, last = torch.rand(3, generator=draw).tolist()
        length = max(1, min(size - 1, round(size * (LEAST + (MOST - LEAST) * share))))
        path = torch.linspace(first, last if moving else first, frames)
        starts = (path * (size - length)).round().long()
        places = torch.arange(size)
        inside.append((places >= starts[:, None]) & (places < starts[:, None] + length))
    return inside[0][:, :, None] & inside[1][:, None, :]
