"""Clips of another source, seen by a camera that moves: for adapters that learn one motion of the camera.

Stable Video Diffusion learns pans and zooms as adapters (LoRA) from clips that have them [Blattmann et al. 2023,
arXiv:2311.15127, Sec. 4.4]. Here any clips are given them: drawn larger, and seen through a window that moves.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from zoetrope.channels import Channel
from zoetrope.data import Dataset, Example, expect_frames
from zoetrope.data._over import OverDataset, OverSource
from zoetrope.shapes import VideoShape

Move = Literal["left", "right", "up", "down", "in", "out"]
"""Where the camera goes: "right" lets what is shown go left, "in" lets it grow."""
PANS: dict[str, tuple[int, int]] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


class Camera(OverSource):
    """The clips of a source of videos in pixels, evenly panned or zoomed from the first frame to the last.

    Captions stay: an adapter makes the camera move whatever the prompt.

    Attributes:
        source: of the clips, which it must be able to give larger.
        move: where the camera goes.
        amount: how far, as a share of the frame's width or height; a zoom grows the picture by this share.
    """

    move: Move = "right"
    amount: Annotated[float, Field(gt=0, le=1)] = 0.5

    def open(self) -> Dataset:
        """Open the source. Raises ValueError if it has nothing usable."""
        return CameraDataset(self, self.source.open())


class CameraDataset(OverDataset):
    """The examples of another data set, through a window that moves; pictures are those of the middle."""

    def __init__(self, camera: Camera, videos: Dataset):
        super().__init__(videos)
        self.camera = camera

    def channels(self) -> tuple[Channel, ...]:
        """See `Dataset`."""
        return self.videos.channels()

    def example(self, index: int, shape: VideoShape) -> Example:
        """Example `index`, drawn larger and seen through the window."""
        return self._seen(self.videos.example(index, self.below(shape)), shape, list(range(shape.frames)))

    def frames(self, index: int, shape: VideoShape, numbers: Sequence[int]) -> Example:
        """See `Dataset`."""
        expect_frames(numbers, shape)
        return self._seen(self.videos.frames(index, self.below(shape), numbers), shape, list(numbers))

    def below(self, shape: VideoShape) -> VideoShape:
        """See `OverDataset`: the grid that the window moves in."""
        height, width = (round(size * (1 + self.camera.amount)) for size in (shape.height, shape.width))
        return shape.with_(height=height, width=width)

    def _seen(self, whole: Example, shape: VideoShape, numbers: Sequence[int]) -> Example:
        """What the window shows in these frames of a clip."""

        larger = whole.video.shape[2:]
        scale = (shape.height / larger[0], shape.width / larger[1])

        def through(video: Tensor) -> Tensor:
            size = [round(side * share) for side, share in zip(video.shape[2:], scale, strict=True)]
            views = torch.stack([self._view(scale, frame, shape.frames) for frame in numbers])
            grid = affine_grid(views, [len(views), len(video), *size], False)
            shown = grid_sample(
                video.transpose(0, 1).float(), grid, mode="bilinear", padding_mode="border", align_corners=False
            )
            return shown.transpose(0, 1)

        beside = {name: through(value) if value.ndim == 4 else value for name, value in whole.beside.items()}
        seen = whole._replace(video=through(whole.video), beside=beside)
        if whole.present is None:
            return seen
        share = through(whole.present.float())  # of what a pixel is a mean of, where missing values are 0
        present = share > 0.5
        return seen._replace(video=torch.where(present, seen.video / share.clamp(min=0.5), 0), present=present)

    def _view(self, scale: tuple[float, float], frame: int, frames: int) -> Tensor:
        """The window in one of so many frames as an affine map (2, 3) from [-1, 1] to the larger frame, likewise.

        `scale` is the height and the width of the window, as shares of the larger frame's.
        """
        done = frame / (frames - 1) if frames > 1 else 0.5
        height, width = scale
        move = self.camera.move
        if move in PANS:
            x, y = ((2 * done - 1) * side for side in PANS[move])
            return torch.tensor([[width, 0.0, x * (1 - width)], [0.0, height, y * (1 - height)]])
        near = done if move == "in" else 1 - done
        grown = (1 + self.camera.amount) ** -near * (1 + self.camera.amount)
        return torch.tensor([[width * grown, 0.0, 0.0], [0.0, height * grown, 0.0]])
