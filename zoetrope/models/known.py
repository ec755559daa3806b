"""Known frames of a cascade's videos: pictures and clips by the numbers of their frames, for every stage."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.cascade.start import SAME_RATE, UNTOLD_RATE, Fit
from zoetrope.known import Known, Method
from zoetrope.known.replacement import Replacement
from zoetrope.shapes import VideoShape
from zoetrope.video import Video, probe, read
from zoetrope.video.decoding import cover, cut
from zoetrope.video.naming import sequence_pattern
from zoetrope.video.resample import resize

Place = int | range | str
"""Which frames: a number, -1 the last; a range of numbers; or text, such as "0", "-1", "0:8" or "-8:"."""

PRICE = "it takes more than twice the time of a step, and the memory of a training step"
FOLLOWING = Replacement(redraw=False)
"""For stages that see the known frames in the video that they enlarge."""


@dataclass(frozen=True, eq=False, kw_only=True)
class GivenFrames:
    """What is known of the videos that a chain of stages makes, the same for all of them.

    Attributes:
        shape: of the last stage's videos.
        places: the numbers of the known frames of these, in order.
        pictures: the frames, (n, H, W, 3) uint8.
        low_res: the first stage's videos at a lower resolution, if that is known.
        method: how the first stage is made to agree with it; None: as it has learnt it.
    """

    shape: VideoShape
    places: tuple[int, ...]
    pictures: np.ndarray
    low_res: Video | None = None
    method: Method | None = None

    def stages(self, stages: Sequence[StageSpec], teachers: Sequence[StageSpec] = ()) -> list[StageSpec]:
        """The stages, each with a method for what is known; `teachers` are named where these have learnt it.

        Raises ValueError if the first one has none, with an offer and its price.
        """
        first, *others = stages
        own = first.sampling.known if self.method is None else self.method
        if own is None and self.places and first.source is not None:
            own = FOLLOWING
        if own is None or (self.low_res is not None and not own.in_space):
            raise ValueError(self._offer(first, teachers))
        return [_with_method(first, own), *(_with_method(each, each.sampling.known or FOLLOWING) for each in others)]

    def of(self, stage: StageSpec, count: int, *, first: bool = False) -> Known | None:
        """What is known of `count` videos of a stage, at its size and frame rate; None: nothing.

        A stage with k times fewer frames takes for its frame j the known frame j k, or else the next known one before
        (j + 1) k.
        """
        shape = stage.shape
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
        return Known(known, self._values(list(chosen.values()), shape).expand(count, -1, -1, -1, -1), low_res)

    def _values(self, places: list[int], shape: VideoShape) -> Tensor:
        if not places:
            return torch.empty(1, 3, 0, shape.height, shape.width)
        video = Video(self.pictures[places], shape.fps).to_tensor()[None]
        return resize(video, shape.height, shape.width)

    def _offer(self, stage: StageSpec, teachers: Sequence[StageSpec]) -> str:
        """The message that a stage has no method, and how to give it one."""
        offer = f"--known-method reconstruction (known_method) makes it agree with them; {PRICE}"
        if self.low_res is not None:
            return f"stage {stage.name!r}: expected no low_res, for it has not learnt to be given one; {offer}"
        if any(each.name == stage.name and each.sampling.known is not None for each in teachers):
            offer = f"its teacher has (--teacher); {offer}"
        return f"stage {stage.name!r}: expected no known frames, for it has not learnt to be given any; {offer}"


def known_frames(
    stages: Sequence[StageSpec],
    known: Mapping[Any, Any] | None,
    *,
    low_res: Video | None = None,
    method: str | None = None,
    weight: float | None = None,
    fit: Fit = "exact",
) -> GivenFrames | None:
    """What is known of the videos that `stages` make, None if nothing is.

    `known` maps each `Place` to a picture or a clip: a `Video`, an array (H, W, 3) or (n, H, W, 3) uint8, anything that
    NumPy reads as such, such as an image of Pillow, or a file. `method` is the name of a `zoetrope.known.Method` for
    the first stage, `weight` its weight.

    "exact" requires the size of the last stage's videos, and their frame rate of a clip. "crop" resizes pictures until
    they cover the size and cuts out their middle, and of a file of a higher frame rate it drops frames.

    Raises ValueError that names the place for pictures that do not fit, a number out of range, a frame that is given
    twice, and if no frame is left to make.
    """
    chosen = _method(method, weight)
    if known is None and low_res is None:
        if chosen is not None:
            raise ValueError("known_method: expected known frames that it is about; give some (known, --known)")
        return None
    shape = stages[-1].shape
    found: dict[int, np.ndarray] = {}
    if known is not None and not known:
        raise ValueError("known: expected at least one frame, got none")
    for place, value in (known or {}).items():
        numbers = numbers_of(place, shape.frames)
        pictures = _pictures(f"known {_named(place)}", value, numbers, stages[-1], fit)
        for number, picture in zip(numbers, pictures, strict=True):
            if number in found:
                raise ValueError(f"known {_named(place)}: frame {number} is given twice")
            found[number] = picture
    if len(found) == shape.frames:
        raise ValueError(f"known: expected a frame that is not known, for the model to make, got all {shape.frames}")
    if low_res is not None:
        _expect_low_res(low_res, stages[0])
    numbers = sorted(found)
    given = np.stack([found[number] for number in numbers]) if found else np.empty((0, shape.height, shape.width, 3))
    return GivenFrames(
        shape=shape, places=tuple(numbers), pictures=given.astype(np.uint8), low_res=low_res, method=chosen
    )


def numbers_of(place: Place, frames: int) -> list[int]:
    """The numbers, from 0, of the frames at a place in a video; negative ones count from its end.

    Raises ValueError for a place that is none, and for one out of range.
    """
    where = f"known {_named(place)}"
    if isinstance(place, str):
        match = re.fullmatch(r"\s*(?:(-?\d{1,9})|(-?\d{1,9})?:(-?\d{1,9})?)\s*", place)
        if match is None:
            raise ValueError(f"{where}: expected the number of a frame, or of frames such as 0:8 or -8:, got {place!r}")
        if match[1] is None:
            first, last = _within(where, match[2] or "0", frames), frames
            if match[3] is not None:
                last = frames if int(match[3]) == frames else _within(where, match[3], frames)
            if last <= first:
                raise ValueError(f"{where}: expected a last frame after the first, got {place!r}")
            return list(range(first, last))
        place = int(match[1])
    if isinstance(place, range):
        numbers = [_within(where, number, frames) for number in place]
        if not numbers:
            raise ValueError(f"{where}: expected at least one frame, got none")
        return numbers
    if isinstance(place, bool) or not isinstance(place, int | np.integer):
        raise ValueError(f"{where}: expected the number of a frame, a range, or text such as '0:8', got {place!r}")
    return [_within(where, int(place), frames)]


def _within(where: str, number: int | str, frames: int) -> int:
    number = int(number)
    if not -frames <= number < frames:
        raise ValueError(
            f"{where}: expected a frame from 0 to {frames - 1}, or from the end, -{frames} to -1, got {number}"
        )
    return number % frames


def _named(place: object) -> str:
    return f"{place.start}:{place.stop}" if isinstance(place, range) and place.step == 1 else str(place)


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


def _pictures(where: str, value: object, numbers: Sequence[int], stage: StageSpec, fit: Fit) -> np.ndarray:
    """The pictures (n, H, W, 3) for these frames, of the stage's size."""
    if isinstance(value, str | os.PathLike):
        return _read(f"{where}={os.fspath(value)}", value, len(numbers), stage, fit)
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
    if len(frames) != len(numbers):
        raise ValueError(f"{where}: expected {_counted(len(numbers))}, got {len(frames)}")
    size = (stage.shape.height, stage.shape.width)
    if frames.shape[1:3] == size:
        return frames
    _expect_fit(where, frames.shape[1:3], stage, fit)
    video = resize(Video(frames, 1).to_tensor()[None], *cover(frames.shape[1:3], size))
    return cut(Video.from_tensor(video[0], 1).frames, size, (0.5, 0.5))


def _read(where: str, path: Any, count: int, stage: StageSpec, fit: Fit) -> np.ndarray:
    """The first pictures of a file."""
    info, shape = probe(path), stage.shape
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
    rate = None if info.still else shape.fps
    made = read(path, fps=rate, frames=count, size=None if (info.height, info.width) == size else size)
    if len(made.frames) < count:
        raise ValueError(f"{where}: expected {_counted(count)}, got {len(made.frames)}")
    return made.frames


def _expect_rate(where: str, fps: float, stage: StageSpec, *, drops: bool = False) -> None:
    wanted = stage.shape.fps
    if abs(fps - wanted) <= SAME_RATE * wanted or (drops and fps > wanted):
        return
    mend = "; the fit 'crop' (--fit crop) drops frames of a file" if fps > wanted else ""
    raise ValueError(f"{where}: expected {wanted:g} frames a second, as {stage.name} makes, got {fps:g}{mend}")


def _expect_fit(where: str, size: tuple[int, ...], stage: StageSpec, fit: Fit) -> None:
    if fit == "crop":
        return
    (height, width), wanted = size, (stage.shape.height, stage.shape.width)
    large = "x".join(map(str, cover((height, width), wanted)))
    raise ValueError(
        f"{where}: expected a size of {wanted[0]}x{wanted[1]}, as {stage.name} makes, got {height}x{width}; the fit "
        f"'crop' (--fit crop) resizes it to {large} and cuts out the middle"
    )


def _expect_low_res(low_res: Video, stage: StageSpec) -> None:
    """Raise ValueError unless the first stage's videos can be reduced to this one."""
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
