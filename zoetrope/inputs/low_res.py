"""The previous stage's video, the input of super-resolution [Ho et al. 2022, arXiv:2210.02303, Sec. 2.2 and 2.5]."""

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.augmentation import augment, augmentation_logsnr, blur, blur_sigma
from zoetrope.diffusion.level import LogSNR
from zoetrope.inputs import Examples, Extent, Input, WindowNoise
from zoetrope.inputs._told import ToldName, frames_beside
from zoetrope.inputs.text import Text
from zoetrope.shapes import VideoShape, Window
from zoetrope.video.resample import degrade_masked, degrade_present, upsample

MAP, LEVEL = "low_res", "low_res_logsnr"


class LowRes(Input):
    """A video of fewer frames or pixels, resized to the stage's grid and noised, and the level of that noise.

    Attributes:
        shape: of the video, as the stage that it reads makes it.
        of: the name of that stage; None: the previous one.
        fill: how frames are added: by repeating each of them, or by blank ones between.
        logsnr: noise level of the augmentation in sampling; None adds no noise. The paper: an SNR "such as 3 or 5".
        augment: the largest time, on the cosine schedule, of the random noise level in training [arXiv:2210.02303,
            Sec. 2.5]: 1 is up to pure noise, 0.5 up to as much noise as video. At 0 the stage sees only clean videos,
            also in sampling (`logsnr` None).
        blur: the share of training examples whose videos are blurred a little before they are resized, as generated
            ones are less sharp than true ones; 0.5 in Cascaded Diffusion Models [arXiv:2106.15282, Sec. 4]. Sampling
            never blurs.
        told: the name, in the data, of videos that lie beside the examples at the resolution of `shape`, such as a
            coarse simulation of the same days; None: training reduces the examples themselves.
    """

    of_pixels: ClassVar[bool] = True

    shape: VideoShape
    of: str | None = None
    fill: Literal["repeat", "blank"] = "repeat"
    logsnr: LogSNR | None = None
    augment: Annotated[float, Field(ge=0, le=1)] = 1.0
    blur: Annotated[float, Field(ge=0, le=1)] = 0.0
    told: ToldName | None = None

    @model_validator(mode="after")
    def _as_in_training(self) -> Self:
        if self.logsnr is None:
            return self
        if self.augment == 0:
            raise ValueError(f"logsnr: expected null, for training adds no noise (augment 0), got {self.logsnr:g}")
        if self.logsnr < self.noisiest:
            raise ValueError(
                f"logsnr: expected {self.noisiest:.2f} or more, the most noise that training adds (augment "
                f"{self.augment:g}), got {self.logsnr:g}"
            )
        return self

    @property
    def source(self) -> VideoShape:
        """The grid of the other stage's video."""
        return self.shape

    @property
    def tells(self) -> dict[str, str]:
        """See `Input`."""
        return {} if self.told is None else {self.told: "video"}

    @property
    def stage(self) -> str | None:
        """The name of the stage that it reads."""
        return self.of

    def check(self, shape: VideoShape) -> None:
        """Raise ValueError unless every axis of `shape` is a multiple of the video's, and both last as long."""
        for axis in ("frames", "height", "width"):
            small, large = getattr(self.shape, axis), getattr(shape, axis)
            if large % small:
                raise ValueError(f"{axis} {large} is no multiple of its source's {small}")
        if not math.isclose(shape.seconds, self.shape.seconds, rel_tol=1e-6):
            raise ValueError(f"{shape} lasts other seconds than its source {self.shape}")

    def on(self, shape: VideoShape, source: VideoShape | None) -> Self:
        """The input with a video of shape `source`."""
        return self if source is None else type(self)(**{**dict(self), "shape": source})

    @property
    def noisiest(self) -> float:
        """The logsnr of the most noise that training adds."""
        return float(augmentation_logsnr(torch.tensor(self.augment, device="cpu")))

    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        """Each video downsampled as the previous stage would have made it, some blurred, noised to a random level."""
        own = VideoShape(**dict(zip(("frames", "height", "width"), examples.x.shape[2:], strict=True)), fps=shape.fps)
        small = VideoShape(
            frames=own.frames * self.shape.frames // shape.frames,
            height=own.height * self.shape.height // shape.height,
            width=own.width * self.shape.width // shape.width,
            fps=self.shape.fps,
        )
        if self.told is None:
            reduced = degrade_masked(examples.x, examples.present, small)
        else:
            reduced = torch.stack([self.beside(samples, small, own.frames) for samples in examples.samples])
        low_res = upsample(self._blurred(reduced, examples), own, self.fill)
        if self.augment == 0:
            return low_res_given(low_res, augmentation_logsnr(torch.zeros(len(low_res))).float())
        logsnr = augmentation_logsnr(self.augment * examples.uniform())
        return low_res_given(augment(low_res, examples.normal(), logsnr), logsnr.float())

    def beside(self, samples: Sequence[Any], small: VideoShape, frames: int) -> Tensor:
        """The video (C, f, h, w) of shape `small` that the data have beside `frames` frames of one example.

        One of a multiple of its height and width is reduced; where it has no values it is 0. Raises ValueError that
        names the example for any other, and if there is none.
        """
        assert self.told is not None
        name, value = samples[0].name, frames_beside(self.told, samples, frames, 1)
        wanted = f"{self.told}: expected a video of {small.height}x{small.width} pixels or a multiple of both"
        if value is None:
            raise ValueError(f"{name}: {wanted}, got none")
        height, width = value.shape[2:]
        if height % small.height or width % small.width or height * small.width != width * small.height:
            raise ValueError(f"{name}: {wanted}, got {height}x{width}")
        return degrade_present(value[None], small)[0].nan_to_num(0.0)

    def _blurred(self, video: Tensor, examples: Examples) -> Tensor:
        """The video (B, C, f, h, w) with some of its examples blurred, each by its own random choice."""
        if self.blur == 0:
            return video
        chosen = examples.uniform() < self.blur
        sigma = torch.where(chosen, blur_sigma(examples.uniform()), 0.0)
        return blur(video, sigma)

    def in_window(self, shape: VideoShape, video: Tensor | None, noise: WindowNoise, window: Window) -> Conditioning:
        """The window of the video on the stage's grid, noised to the level of sampling."""
        if video is None:
            return Conditioning()
        low_res = upsample(video.float(), shape, self.fill, window)
        none = low_res.new_zeros(len(low_res))
        if self.logsnr is None:
            # The cleanest level in training; the network has never seen a cleaner one.
            return low_res_given(low_res, augmentation_logsnr(none).float())
        level = none + self.logsnr
        return low_res_given(augment(low_res, noise("augment", window), level), level)

    def blank(self, extent: Extent) -> Conditioning:
        """A video on the stage's grid, and its level."""
        return low_res_given(torch.zeros(extent.videos, extent.channels, *extent.grid), torch.zeros(extent.videos))


def paired(inputs: Iterable[Input]) -> LowRes | None:
    """The one of these inputs whose videos lie beside the data; None: there is none."""
    return next((each for each in inputs if isinstance(each, LowRes) and each.told is not None), None)


def low_res_given(low_res: Tensor, logsnr: Tensor) -> Conditioning:
    """Conditioning by a video (B, C, F, H, W) on the stage's grid, noised to the level logsnr (B,), and that level."""
    return Conditioning(maps={MAP: low_res}, numbers={LEVEL: logsnr})


def usual_inputs(source: VideoShape | None, **fields: Any) -> tuple[Input, ...]:
    """Text, and for a `source` the previous stage's video of that shape; `fields` are those of `LowRes`."""
    return (Text(),) if source is None else (Text(), LowRes(shape=source, **fields))
