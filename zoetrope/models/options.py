"""The options of `Cascade.generate` beside prompts, and their checks."""

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal, SupportsIndex, TypedDict, cast, get_type_hints

from pydantic import ConfigDict, Field, InstanceOf, NonNegativeInt, PositiveFloat, PositiveInt, create_model

from zoetrope.cascade.graph import expect_videos
from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.cascade.start import stages_after, start_from
from zoetrope.cascade.windows import Windows
from zoetrope.config import Config
from zoetrope.models.control import control_clips
from zoetrope.models.known import GivenFrames, known_frames
from zoetrope.models.progress import Progress
from zoetrope.routines import Routine
from zoetrope.video import Video


class Options(TypedDict, total=False):
    """Which videos to make, and how. Options that are left out, or None, take the model's own value.

    Attributes:
        negative: text that guidance leads away from.
        steps: denoising steps of every stage.
        guidance: weight w of classifier-free guidance in the first stage and in others that are guided; 0 is none.
        sampler: the name of every stage's sampler, such as "ddim" or "heun".
        seed: equal seeds give equal videos; default 0.
        size: (height, width) of the first stage's videos, in pixels; frames: their number; fps: frames per second. The
            stages after it multiply these by their usual factors.
        windows: frames, or (frames, overlap), that the first stage's network sees at once of a longer video, and the
            other stages' in proportion, but for those of stages of frames between: windows agree at every step
            [Bar-Tal et al. 2023, arXiv:2302.08113]. Or a `zoetrope.cascade.windows.Windows`, which divides pictures
            too.
        routine: what the first stage of videos does from start to end: a name, such as "zero_shot", which makes a video
            of a model of pictures, or a `zoetrope.routines.Routine` with its fields.
        until: the last stage to run.
        video: a video to start from, of the shape of a stage's output: only the stages after it run. after: that stage.
        picture: a picture that models with such an input show, instead of one that their prior imagines, or that
            videos begin with, see `zoetrope.inputs.first_frame`: a `Video` of one frame, an array (H, W, 3) uint8, or a
            file.
        control: what controls the videos, such as a clip of edges, white on black, for a model that has learnt that: a
            picture for all frames or a clip, of the size of a controlled stage's videos or a multiple of it; or
            {"edges": clip, "luma": clip} for a model with several. control_from: clips that controls are computed from.
            control_scale: how strongly they act, 1 as in training, or one for each. `fit` is about them too. See
            `zoetrope.models.control.control_clips`.
        known: pictures and clips that frames of the videos are, which come back exactly: {0: picture, -1: picture,
            "0:8": clip}. Numbers count the frames of the video that comes out, negative ones from its end. A picture is
            a `Video`, an array (H, W, 3) uint8 or a file, see `zoetrope.models.known.known_frames`.
        mask: which parts of known frames are known: black or False ones; white or True ones are made. A picture for all
            frames, or one for each, see `zoetrope.models.known.known_frames`.
        low_res: a video of fewer frames or pixels that the first stage's must agree with; by reconstruction only.
        known_method: how a first stage that has not learnt known frames agrees with them: "reconstruction", through the
            gradient of its network, or "replacement", which hardly does. known_weight: the weight of reconstruction.
        fit: "exact" refuses known pictures of another size than the last stage's; "crop" resizes and crops them.
        memory: the largest peak of the process, in bytes.
        given: values for other inputs of the stages, by name; a list of numbers or labels, actions (B, F, K) or
            embeddings of pictures (B, D) are one for each video.
        batch: how many videos are made together; default 1. It changes them by rounding at most.
        progress: called after each denoising step of each stage.
    """

    negative: str | None
    steps: PositiveInt | None
    guidance: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    sampler: str | None
    seed: NonNegativeInt
    size: tuple[PositiveInt, PositiveInt] | None
    frames: PositiveInt | None
    fps: PositiveFloat | None
    windows: PositiveInt | tuple[PositiveInt, NonNegativeInt] | InstanceOf[Windows] | None
    routine: str | dict[str, Any] | InstanceOf[Routine] | None
    until: str | None
    video: InstanceOf[Video] | None
    after: str | None
    picture: Any
    control: Any
    control_from: Any
    control_scale: Any
    known: dict[Any, Any] | None
    mask: Any
    low_res: InstanceOf[Video] | None
    known_method: str | None
    known_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    fit: Literal["exact", "crop"]
    memory: PositiveInt | None
    given: dict[str, Any]
    batch: PositiveInt
    progress: Callable[[Progress], object] | None


class _Values(Config):
    """`Options` as a frozen config; its fields are generated from them."""

    model_config = ConfigDict(arbitrary_types_allowed=True)


MOST_VIDEOS = 100_000  # of each prompt, in one call
_DEFAULTS: dict[str, Any] = {"seed": 0, "batch": 1, "given": {}, "fit": "exact"}
_FIELDS: dict[str, Any] = {
    name: (kind, _DEFAULTS.get(name)) for name, kind in get_type_hints(Options, include_extras=True).items()
}
_Number = Annotated[int, Field(gt=0, le=MOST_VIDEOS)] | None
_CHECKED: Any = create_model("generate", __base__=_Values, count=(_Number, None), members=(_Number, None), **_FIELDS)


def checked(options: Options, count: int | None, members: int | None = None) -> Any:
    """The options, and how many videos or members, as validated attributes.

    Raises ValueError that names the parameter and what is legal, or the nearest name for an unknown one; also for both
    numbers.
    """
    if count is not None and members is not None:
        raise ValueError(
            f"members: expected without count, which is the number of videos of each prompt, got {members}"
        )
    return _CHECKED(count=count, members=members, **options)


def known_and_asked(spec: CascadeSpec, asked: Any) -> tuple[GivenFrames | None, Any]:
    """What is known of the videos that are asked for, and the options with their controls among the values."""
    start = None if asked.video is None else start_from(spec, asked.video, after=asked.after, until=asked.until)
    stages = stages_after(spec, None if start is None else start.stage, asked.until, asked.given)
    expect_videos(stages)
    ways = {"method": asked.known_method, "weight": asked.known_weight, "fit": asked.fit}
    ways |= {"low_res": asked.low_res, "mask": asked.mask, "channels": spec.channels}
    known = known_frames(stages, asked.known, **ways)
    return known, with_control(asked, stages)


def with_picture(asked: Any) -> Any:
    """The options with the picture among the values for inputs. Raises ValueError if it is given twice."""
    if asked.picture is None:
        return asked
    if "picture" in asked.given:
        raise ValueError("picture: expected once, got it in given too")
    return asked.with_(given={**asked.given, "picture": asked.picture}, picture=None)


def with_control(asked: Any, stages: Sequence[StageSpec]) -> Any:
    """The options with what controls the videos of these stages among the values for inputs.

    Raises ValueError as `zoetrope.models.control.control_clips` does, and if one is given twice.
    """
    told = {"source": asked.control_from, "scale": asked.control_scale, "fit": asked.fit}
    clips = control_clips(stages, asked.control, **told)
    if twice := sorted(clips.keys() & asked.given.keys()):
        raise ValueError(f"control: expected {twice[0]!r} once, got it in given too")
    return asked.with_(given={**asked.given, **clips}) if clips else asked


def integer(name: str, value: object, least: int = 0) -> int:
    """An integer of any type as an int. Raises ValueError that names it for another value, or for one below `least`."""
    try:
        number = operator.index(cast(SupportsIndex, value))
    except TypeError:
        raise ValueError(f"{name}: expected a whole number, got {value!r}") from None
    if number < least:
        raise ValueError(f"{name}: expected a whole number of {least} or more, got {number}")
    return number


def listed(prompts: object, members: int | None = None) -> list[str | None]:
    """One prompt, None for no text, or several, as a list.

    Raises ValueError for anything else, for blank ones, and for several where an ensemble is of one.
    """
    alone = prompts is None or isinstance(prompts, str)
    if not alone and (not isinstance(prompts, Iterable) or isinstance(prompts, bytes)):
        raise ValueError(f"prompts: expected a text, None, or a list of them, got {type(prompts).__name__}")
    found: list[Any] = [prompts] if alone else list(cast(Iterable[Any], prompts))
    if not found:
        raise ValueError("prompts: expected at least one, got none")
    if members is not None and not alone:
        raise ValueError(f"members: expected one prompt, whose ensemble they are, got a list of {len(found)}")
    for place, text in enumerate(found):
        where = "prompt" if alone else f"prompts[{place}]"
        if text is not None and not isinstance(text, str):
            raise ValueError(f"{where}: expected a text or None, got {type(text).__name__}")
        if text is not None and not text.strip():
            raise ValueError(f"{where}: expected some text, got {'only blanks' if text else 'an empty string'}")
    return found
