"""Known frames of a cascade's videos: pictures and clips by the numbers of their frames, for every stage."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from zoetrope.cascade.sample import without_known
from zoetrope.cascade.spec import StageSpec
from zoetrope.cascade.start import UNTOLD_RATE, Fit
from zoetrope.channels import RGB, Channel, are_rgb
from zoetrope.inputs.region import REGION
from zoetrope.known import Known, Method
from zoetrope.known.replacement import Replacement
from zoetrope.models.known_fields import expect_own, field_frames, known_tensor
from zoetrope.models.known_places import named, numbers_of
from zoetrope.shapes import VideoShape
from zoetrope.video import SAME_RATE, Video, probe, rate_to_read, read
from zoetrope.video.decoding import cover, cut
from zoetrope.video.naming import sequence_pattern
from zoetrope.video.resample import resize

PRICE = "it takes more than twice the time of a step, and the memory of a training step"
WHITE = 128  # of a mask, from here on
FOLLOWING = Replacement(redraw=False)
"""For stages that see the known frames in the video that they enlarge."""


@dataclass(frozen=True, eq=False, kw_only=True)
class GivenFrames:
    """What is known of the videos that a chain of stages makes, the same for all of them.

    Attributes:
        shape: of the last stage's videos.
        places: the numbers of the known frames of these, in order.
        pictures: the frames, (n, H, W, 3) uint8; of other channels (n, H, W, C) float32, as networks see them.
        low_res: the first stage's videos at a lower resolution, if that is known.
        mask: which pixels of the known frames are known, (n, H, W) bool; None: all.
        method: how the first stage is made to agree with it; None: as it has learnt it.
        each: the frames of every video of its own, (B, C, n, H, W) as networks see them, instead of `pictures`.
    """

    shape: VideoShape
    places: tuple[int, ...]
    pictures: np.ndarray
    low_res: Video | None = None
    mask: np.ndarray | None = None
    method: Method | None = None
    each: Tensor | None = None

    def stages(self, stages: Sequence[StageSpec], teachers: Sequence[StageSpec] = ()) -> list[StageSpec]:
        """The stages, each with a method for what is known; `teachers` are named where these have learnt it.

        Raises ValueError if the first one has none, with an offer and its price.
        """
        first, *others = stages
        own = first.sampling.known if self.method is None else self.method
        follows = first.source is not None or first.input(REGION) is not None
        if self.places and follows and (own is None or self.method is None):
            own = self._following(own)
        if own is None or (self.low_res is not None and not own.in_space):
            raise ValueError(self._offer(first, teachers))
        if self.mask is not None and not own.in_part:
            raise ValueError(
                f"stage {first.name!r}: mask: expected none, for it has learnt to be given whole frames alone; "
                f"--known-method reconstruction (known_method) takes parts; {PRICE}"
            )
        if self.mask is not None and (filling := next((each.name for each in stages if each.fills), None)):
            raise ValueError(f"stage {filling!r}: mask: expected none, for it makes frames between whole ones")
        return [
            _with_method(first, own),
            *(_with_method(each, self._following(each.sampling.known)) for each in others),
        ]

    def _following(self, own: Method | None) -> Method:
        """The method of a stage that sees what is known in its inputs: its own, if that can do it."""
        return FOLLOWING if own is None or (self.mask is not None and not own.in_part) else own

    def of(self, stage: StageSpec, count: int, *, first: bool = False) -> Known | None:
        """What is known of `count` videos of a stage, in pixels, at its size and frame rate; None: nothing.

        A stage with k times fewer frames takes for its frame j the known frame j k, or else the next known one before
        (j + 1) k. A smaller stage knows the pixels all of whose parts, and those around them, are known.
        """
        shape = stage.made
        low_res = None
        if first and self.low_res is not None:
            low_res = self.low_res.to_tensor().expand(count, -1, -1, -1, -1)
        if not self.places and low_res is None:
            return None
        step = self.shape.frames // shape.frames
        chosen: dict[int, int] = {}
        for place, number in enumerate(self.places):
            chosen.setdefault(number // step, place)
        known = torch.tensor([frame in chosen for frame in range(shape.frames)])
        places = list(chosen.values())
        values = self._values(places, shape).expand(count, -1, -1, -1, -1)
        mask = None if self.mask is None else mask_at(torch.from_numpy(self.mask[places]), shape)
        return Known(known, values, low_res, mask)

    def _values(self, places: list[int], shape: VideoShape) -> Tensor:
        if not places:
            return torch.empty(1, self.pictures.shape[-1], 0, shape.height, shape.width)
        frames = known_tensor(self.pictures[places], shape.fps) if self.each is None else self.each[:, :, places]
        return resize(frames, shape.height, shape.width)

    def _offer(self, stage: StageSpec, teachers: Sequence[StageSpec]) -> str:
        """The message that a stage has no method, and how to give it one."""
        offer = f"--known-method reconstruction (known_method) makes it agree with them; {PRICE}"
        if self.low_res is not None:
            return f"stage {stage.name!r}: expected no low_res, for it has not learnt to be given one; {offer}"
        if any(each.name == stage.name and each.sampling.known is not None for each in teachers):
            offer = f"its teacher has (--teacher); {offer}"
        return f"stage {stage.name!r}: expected no known frames, for it has not learnt to be given any; {offer}"


def known_of(known: GivenFrames | None, stages: Sequence[StageSpec], teachers: Sequence[StageSpec]) -> list[StageSpec]:
    """The stages, those that make videos with a method for what is known, see `GivenFrames.stages`, if anything is."""
    if known is None:
        return [without_known(stage) for stage in stages]
    vectors = [stage for stage in stages if stage.makes_vectors]
    return [*vectors, *known.stages([stage for stage in stages if not stage.makes_vectors], teachers)]


def known_frames(
    stages: Sequence[StageSpec],
    known: Mapping[Any, Any] | None,
    *,
    low_res: Video | None = None,
    mask: Any = None,
    method: str | None = None,
    weight: float | None = None,
    fit: Fit = "exact",
    channels: Sequence[Channel] = RGB,
) -> GivenFrames | None:
    """What is known of the videos that `stages` make, None if nothing is.

    `known` maps each `zoetrope.models.known_places.Place` to a picture or a clip: a `Video`, an array (H, W, 3) or
    (n, H, W, 3) uint8, anything that NumPy reads as such, such as an image of Pillow, or a file; of other `channels`
    than RGB, what `zoetrope.models.known_fields.field_frames` takes. `method` is the name of a `zoetrope.known.Method`
    for the first stage, `weight` its weight.

    `mask` is white where known frames are made anew, and black where they are known: one picture for all frames of the
    video, or as many as it has, in any of these forms or as an array (H, W) or (F, H, W) of bool or uint8. With a mask,
    one known picture may stand for many frames.

    "exact" requires the size of the last stage's videos, and their frame rate of a clip. "crop" resizes pictures until
    they cover the size and cuts out their middle, and of a file of a higher frame rate it drops frames.

    Raises ValueError that names the place for pictures that do not fit, a number out of range, a frame that is given
    twice, and if no frame is left to make.
    """
    chosen = _method(method, weight)
    if known is None and mask is not None:
        raise ValueError("mask: expected known frames that it is about; give some (known, --known)")
    if known is None and low_res is None:
        if chosen is not None:
            raise ValueError("known_method: expected known frames that it is about; give some (known, --known)")
        return None
    shape = stages[-1].made
    if known is not None and not known:
        raise ValueError("known: expected at least one frame, got none")
    frames_at = _pictures if are_rgb(channels) else partial(field_frames, channels=channels)
    found = _found(known or {}, partial(frames_at, stage=stages[-1], fit=fit, still=mask is not None), shape.frames)
    numbers = sorted(found)
    holes = None if mask is None else _holes(mask, numbers, stages[-1], fit)
    if len(found) == shape.frames and (holes is None or not holes.any()):
        raise ValueError(f"known: expected a frame that is not known, for the model to make, got all {shape.frames}")
    if low_res is not None:
        expect_own("low_res", low_res, channels)
        _expect_low_res(low_res, next(stage for stage in stages if not stage.makes_vectors))
    nothing = np.empty((0, shape.height, shape.width, len(channels)), np.uint8 if are_rgb(channels) else np.float32)
    given = np.stack([found[number] for number in numbers]) if found else nothing
    return GivenFrames(
        shape=shape,
        places=tuple(numbers),
        pictures=given if holes is None else _without(given, holes),
        low_res=low_res,
        mask=None if holes is None else ~holes,
        method=chosen,
    )


def _found(known: Mapping[Any, Any], frames_at: Callable[..., np.ndarray], frames: int) -> dict[int, np.ndarray]:
    """The known frames of a video of so many by number. Raises ValueError for one that is given twice."""
    found: dict[int, np.ndarray] = {}
    for place, value in known.items():
        numbers, where = numbers_of(place, frames), f"known {named(place)}"
        for number, picture in zip(numbers, frames_at(where, value, numbers), strict=True):
            if number in found:
                raise ValueError(f"{where}: frame {number} is given twice")
            found[number] = picture
    return found


def _with_method(stage: StageSpec, method: Method) -> StageSpec:
    return stage if stage.sampling.known == method else stage.with_(sampling=stage.sampling.with_(known=method))


def _method(name: str | None, weight: float | None) -> Method | None:
    """The method of that name. Raises ValueError for an unknown one, and for a weight that it has not."""
    if name is None:
        if weight is not None:
            raise ValueError("known_weight: expected with a known_method that has one, such as reconstruction")
        return None
    try:
        kind = Method.named(name)
    except ValueError as error:
        raise ValueError(f"known_method: {error}") from None
    if weight is None:
        return kind()
    if "weight" not in kind.model_fields:
        raise ValueError(f"known_weight: expected with a known_method that has one, such as reconstruction, got {name}")
    try:
        return Method.from_json({"type": kind.kind(), "weight": weight})
    except ValueError as error:
        raise ValueError(f"known_weight: {error}") from None


def _pictures(
    where: str, value: object, numbers: Sequence[int], stage: StageSpec, fit: Fit, *, still: bool = False
) -> np.ndarray:
    """The pictures (n, H, W, 3) for these frames, of the stage's size; if `still`, a single one may stand for all."""
    if isinstance(value, str | os.PathLike):
        count = 1 if still and probe(value).still else len(numbers)
        made = _read(f"{where}={os.fspath(value)}", value, count, stage, fit)
        return made if count == len(numbers) else made.repeat(len(numbers), 0)
    if isinstance(value, Video):
        if len(numbers) > 1:
            _expect_rate(where, value.fps, stage)
        frames = value.frames
    else:
        frames = np.asarray(value)
        frames = frames[None] if frames.ndim == 3 else frames
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
            raise ValueError(
                f"{where}: expected a picture (H, W, 3) uint8, several, a Video or a file, got {_kind(value)}"
            )
    if still and len(frames) == 1:
        frames = frames.repeat(len(numbers), 0)
    if len(frames) != len(numbers):
        raise ValueError(f"{where}: expected {_counted(len(numbers))}, got {len(frames)}")
    size = (stage.made.height, stage.made.width)
    if frames.shape[1:3] == size:
        return frames
    _expect_fit(where, frames.shape[1:3], stage, fit)
    video = resize(Video(frames, 1).to_tensor()[None], *cover(frames.shape[1:3], size))
    return cut(Video.from_tensor(video[0], 1).frames, size, (0.5, 0.5))


def _read(where: str, path: Any, count: int, stage: StageSpec, fit: Fit) -> np.ndarray:
    """The first pictures of a file."""
    info, shape = probe(path), stage.made
    size = (shape.height, shape.width)
    if (info.height, info.width) != size:
        _expect_fit(where, (info.height, info.width), stage, fit)
    if info.still:
        if count > 1:
            raise ValueError(f"{where}: expected {_counted(count)}, got one picture")
    elif count == 1 and info.frames > 1:
        raise ValueError(
            f"{where}: expected a picture, got {info.frames} frames; say which frames they are, such as 0:8"
        )
    elif count > 1 and not (sequence_pattern(path) and info.fps == UNTOLD_RATE):
        _expect_rate(where, info.fps, stage, drops=fit == "crop")
    rate = None if info.still else rate_to_read(info, shape.fps, count)
    made = read(path, fps=rate, frames=count, size=None if (info.height, info.width) == size else size)
    if len(made.frames) < count:
        raise ValueError(f"{where}: expected {_counted(count)}, got {len(made.frames)}")
    return made.frames


def _holes(mask: object, numbers: Sequence[int], stage: StageSpec, fit: Fit) -> np.ndarray:
    """Where known frames, of these numbers, are to be made, (n, H, W) bool. Raises ValueError for an unfit mask."""
    frames = stage.shape.frames
    if not isinstance(mask, str | os.PathLike | Video):
        value = np.asarray(mask)
        if value.dtype == bool:
            value = value.astype(np.uint8) * 255
        if value.dtype == np.uint8 and value.ndim in (2, 3) and not (value.ndim == 3 and value.shape[-1] == 3):
            mask = np.stack([value.reshape(-1, *value.shape[-2:])] * 3, -1)
    pictures = _pictures("mask", mask, range(frames), stage, fit, still=True)
    holes: np.ndarray = pictures.mean(-1) >= WHITE
    if not holes.any():
        raise ValueError("mask: expected some white, where the model makes the video, got none; all is known")
    if holes[numbers].all():
        raise ValueError(
            "mask: expected some black in the known frames, where the video is known, got none; leave them out instead"
        )
    return holes[numbers]


def _without(pictures: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """The pictures (n, H, W, C) without what is in holes (n, H, W): the mean colour of what is known in their place."""
    cleared, levels = pictures.copy(), pictures.dtype == np.uint8
    for picture, hole in zip(cleared, holes, strict=True):
        if hole.any():
            mean = (128 if levels else 0) if hole.all() else picture[~hole].mean(0)
            picture[hole] = np.round(mean) if levels else mean
    return cleared


def mask_at(known: Tensor, shape: VideoShape) -> Tensor:
    """Which pixels are known, (n, H, W) bool, at a stage's size: pictures and codecs mix neighbours, so holes grow."""
    if known.shape[1:] == (shape.height, shape.width):
        return known
    holes = functional.adaptive_max_pool2d((~known).float(), (shape.height, shape.width))
    return functional.max_pool2d(holes, 3, stride=1, padding=1) == 0


def _expect_rate(where: str, fps: float, stage: StageSpec, *, drops: bool = False) -> None:
    wanted = stage.shape.fps
    if abs(fps - wanted) <= SAME_RATE * wanted or (drops and fps > wanted):
        return
    mend = "; the fit 'crop' (--fit crop) drops frames of a file" if fps > wanted else ""
    raise ValueError(f"{where}: expected {wanted:g} frames a second, as {stage.name} makes, got {fps:g}{mend}")


def _expect_fit(where: str, size: tuple[int, ...], stage: StageSpec, fit: Fit) -> None:
    if fit == "crop":
        return
    (height, width), wanted = size, (stage.made.height, stage.made.width)
    large = "x".join(map(str, cover((height, width), wanted)))
    raise ValueError(
        f"{where}: expected a size of {wanted[0]}x{wanted[1]}, as {stage.name} makes, got {height}x{width}; the fit "
        f"'crop' (--fit crop) resizes it to {large} and cuts out the middle"
    )


def _expect_low_res(low_res: Video, stage: StageSpec) -> None:
    """Raise ValueError unless the first stage's videos can be reduced to this one."""
    if stage.codec.encodes:
        raise ValueError(f"low_res: expected none, for {stage.name!r} makes latents, which cannot be reduced to pixels")
    frames, height, width = low_res.frames.shape[:3]
    for axis, small, large in zip(
        ("frames", "height", "width"), (frames, height, width), stage.shape.sizes, strict=True
    ):
        if large % small:
            raise ValueError(
                f"low_res: {axis}: expected a divisor of {large}, for {stage.name} makes {stage.shape}, got {small}"
            )
    wanted = stage.shape.fps * frames / stage.shape.frames
    if abs(low_res.fps - wanted) > SAME_RATE * wanted:
        raise ValueError(
            f"low_res: expected {wanted:g} frames a second, for {stage.name} makes {stage.shape}, got {low_res.fps:g}"
        )


def _counted(count: int) -> str:
    return "one picture" if count == 1 else f"{count} frames"


def _kind(value: object) -> str:
    if isinstance(value, np.ndarray | Tensor):
        return f"{tuple(value.shape)} {value.dtype}"
    return type(value).__name__
