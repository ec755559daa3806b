"""The factorised space-time U-Net of Imagen Video [Ho et al. 2022, arXiv:2210.02303, Sec. 2.3 and 2.6].

One network for base, temporal and spatial super-resolution: what differs is the configuration, level by level.
Each block mixes space (convolutions, then attention among pixels), text, and time (attention or convolution), in this
order. As in the Efficient U-Net [Saharia et al. 2022, arXiv:2205.11487, App. B.1] resolution falls before a level's
blocks and rises after them, and skips are scaled by 1 / sqrt(2).
"""

import math
from collections.abc import Sequence
from itertools import accumulate
from operator import mul
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from zoetrope.diffusion.prediction import Prediction
from zoetrope.layers.attention import Looks
from zoetrope.networks import NetworkConfig, Reach, SizedInputs, Width, expect_multiples
from zoetrope.networks._unet_block import Level, Relative
from zoetrope.shapes import FramesPerSecond

if TYPE_CHECKING:
    from zoetrope.networks._unet import VideoUNet

__all__ = ["Level", "VideoUNetConfig"]

LARGEST = 2**35  # sum of blocks x width^2, some 40 parameters each: 250 times the paper's largest network


class VideoUNetConfig(NetworkConfig):
    """A space-time U-Net, from its finest level to its coarsest.

    Attributes:
        low_res: whether low_res is concatenated to z, with its noise level embedded.
        first_frame: whether the picture that a video begins with is concatenated to each frame of z, with its noise
            level embedded, see `zoetrope.inputs.first_frame`. Weights that have learnt without begin as they were.
        region: whether what is known of the video is concatenated to z, with its mask, see `zoetrope.inputs.region`.
        aligned: maps on the videos' grid that are concatenated to z, with their channels, see `zoetrope.inputs.map`.
        patch: each patch x patch block of pixels becomes channels at the input: cheaper full resolution.
        embedding: width of the conditioning vector; head: channels of an attention head.
        positions: whether frames and pixels get absolute positions in clip and frame, beside the relative positions of
            attention, the only ones in the paper. Not for stages that train on crops.
        fps: for frames with `times`, the frames per second that relative positions count in; None: the median distance
            between consecutive frames of a clip is 1.
        relative: what temporal attention knows of the distance between two frames: a bias from a "table", or beside it
            vectors from a "network", see `zoetrope.layers.positions.RelativePositions`. At initialisation both are the
            same, and weights trained with a table can continue with a network.
        anchored: whether the output starts from that of a video equal to low_res, and each pixel learns how far to stay
            there. What low_res already shows, such as flat areas and input frames, is right from the first step of
            training. For networks that predict v.
        checkpointing: recompute blocks in the backward pass instead of keeping their activations.
        levels: resolutions, the finest first; each has half the height and width of the one before it.
    """

    first_frame: bool = False
    region: bool = False
    aligned: SizedInputs = ()
    patch: Annotated[int, Field(ge=1, le=256)] = 1
    embedding: Width = 256
    head: Width = 32
    positions: bool = False
    fps: FramesPerSecond | None = None
    relative: Relative = "table"
    anchored: bool = False
    checkpointing: bool = False
    levels: Annotated[tuple[Level, ...], Field(min_length=1, max_length=12)] = (
        Level(width=32, temporal=("convolution",)),
        Level(width=64, spatial_attention=True, text_attention=True, temporal=("attention",)),
    )

    def build(self) -> "VideoUNet":
        """The network with fresh weights."""
        from zoetrope.networks._unet import VideoUNet

        return VideoUNet(self)

    @property
    def reads(self) -> set[str]:
        """See `NetworkConfig`."""
        own = {"first_frame": self.first_frame, "region": self.region}
        return super().reads | {name for name, does in own.items() if does}

    @property
    def concatenated(self) -> dict[str, int]:
        """The maps that are concatenated to z, in order, with their channels."""
        videos = {"low_res": self.low_res, "first_frame": self.first_frame}
        own = {name: self.channels for name, has in videos.items() if has}
        region = {"region": self.channels, "region_mask": 1} if self.region else {}
        return own | region | {one.name: one.size + 1 for one in self.aligned}

    @property
    def sizes(self) -> dict[str, int]:
        """See `NetworkConfig`."""
        return super().sizes | {one.name: one.size for one in self.aligned}

    @property
    def predicts(self) -> Prediction | None:
        """v if anchored, otherwise any."""
        return "v" if self.anchored else None

    @property
    def needs_even_frames(self) -> bool:
        """Whether neighbours in a row are mixed whatever their times: by convolutions or strides in time."""
        mixed = any(set(x.temporal) - {"attention"} or x.looks == "first_and_previous" for x in self.levels)
        return mixed or self.strides[-1] > 1

    @property
    def takes_packs(self) -> bool:
        """Where no level has a stride in time."""
        return self.strides[-1] == 1

    def framewise(self) -> "VideoUNetConfig":
        """The network without all that mixes frames, which begins at zero, or at keeping and repeating frames.

        So Make-A-Video and Lumiere begin as an image network [Singer et al. 2022, arXiv:2209.14792, Sec. 3.2; Bar-Tal
        et al. 2024, arXiv:2401.12945, Sec. 3.1].
        """
        still = {"temporal": (), "join": "add", "looks": "own", "every": 1}
        return self.with_(levels=tuple(level.with_(**still) for level in self.levels))

    def looking(self, looks: Looks) -> "VideoUNetConfig":
        """See `NetworkConfig.looking`. Raises ValueError for a network without spatial attention."""
        if not any(level.spatial_attention for level in self.levels):
            raise ValueError("network.levels: expected spatial_attention in some level, which can look at other frames")
        return self.with_(
            levels=tuple(level.with_(looks=looks) if level.spatial_attention else level for level in self.levels)
        )

    @property
    def strides(self) -> tuple[int, ...]:
        """The temporal stride of each level relative to the video."""
        return tuple(accumulate((level.every for level in self.levels), mul))

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        """A few bytes of JSON must not ask for a network that no machine could hold."""
        size = sum(level.blocks * level.width**2 for level in self.levels)
        if size > LARGEST:
            raise ValueError(f"levels: expected a sum of blocks x width^2 of at most {LARGEST:,}, got {size:,}")
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.first_frame and (self.region or self.aligned):
            raise ValueError("first_frame: expected false with region, whose task first_frame is the same, or aligned")
        if self.anchored and not self.low_res:
            raise ValueError("anchored: expected false without low_res, which is the anchor")
        for index, level in enumerate(self.levels):
            if level.attends and level.width % self.head:
                raise ValueError(f"levels.{index}.width: expected a multiple of head = {self.head}, got {level.width}")
            if level.text_attention and self.text_width is None:
                raise ValueError(f"levels.{index}.text_attention: expected false where text_width is null: no text")
        return self

    def check(self, frames: int, height: int, width: int) -> None:
        """Raise ValueError unless sizes are multiples of the coarsest level's pixel and stride."""
        pixel, stride = self.patch * 2 ** (len(self.levels) - 1), self.strides[-1]
        expect_multiples(("frames", frames, stride), ("height", height, pixel), ("width", width, pixel))

    def reach(self) -> Reach:
        """The receptive field: bounded along an axis with convolutions only and without absolute positions."""
        sizes = [self.patch * 2**index for index in range(len(self.levels))]
        pixels: int | None = self.patch + self._reached(self.patch, sizes, [2 * x.convolution for x in self.levels])
        taps = [("convolution" in x.temporal) + 2 * ("pseudo_3d" in x.temporal) for x in self.levels]
        frames: int | None = self._reached(0, self.strides, taps)
        if self.positions or any(level.mixes_all_frames for level in self.levels):
            frames = None
        if self.positions or any(level.spatial_attention for level in self.levels):
            pixels = None
        streams = frames is not None and self.strides[-1] == 1 and max(taps) < 2
        return Reach(frames, pixels, sizes[-1], streams, self.strides[-1])

    def _reached(self, far: int, cells: Sequence[int], steps: Sequence[int]) -> int:
        """The receptive field along an axis, traced back from the output, which sees `far`, to the input.

        A level's cell covers `cells` of the video's, and each of its blocks sees `steps` cells to either side.
        """
        before = 0
        for index in [*range(len(cells)), *range(len(cells) - 2, -1, -1)]:
            if index > before or (index == 0 and cells[0] > 1):  # the whole coarse cell is seen
                far = math.ceil(far / cells[index]) * cells[index]
            far += cells[index] * steps[index] * self.levels[index].blocks
            before = index
        return far
