"""What a client asks for: a validated value, and the words of the command that makes it.

No field is a path: files are named by the sha256 of what the client sent, models by the names that the server offers.
Every value stands behind its option with an equals sign, or behind `--`, so that none is taken for an option.
What of it a model takes is for `zoetrope.serving.checking`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from zoetrope.config import Config
from zoetrope.serving.values import GivenValue

FILE_ID = re.compile(r"[0-9a-f]{64}")
MOST_SEED = 2**53 - 1  # the largest whole number that every reader of JSON keeps

FileId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$")]
Said = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
_At = Annotated[str, StringConstraints(pattern=r"^-?\d{1,4}(:-?\d{1,4})?$")]
Side = Annotated[int, Field(ge=1, le=4096)]
Unit = Annotated[float, Field(ge=-1e30, le=1e30)]
Strength = Annotated[float, Field(ge=0, le=10)]
ChannelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}$")]
UPSCALED_WITHOUT = (
    "negative", "guidance", "size", "frames", "fps", "known", "mask", "control", "control_from", "control_scale",
    "given", "map", "picture", "channel", "colours", "range",
)  # fmt: skip
"""The fields of a video that is made, and not of one that is upscaled."""


class JobRequest(Config):
    """One video to make.

    Attributes:
        kind: "generate" a video of a prompt, or "upscale" one that the client sent.
        model: a name that the server offers.
        prompt: what the video shows; None for a model without text, and for upscaling without a caption.
        until: the last stage to run; None, the model's default.
        steps, guidance, sampler, size (height, width), frames, fps: as the options of `zoetrope generate`; None: the
            model's own.
        known: files that frames are, by place: "0", "-1", "0:8". mask: a file that says which parts of them are made.
        control, control_from: files that control the video, or from which controls are computed, by the input's name.
        control_scale: how strongly these controls act, by the input's name.
        given: values of inputs by name: a number, a label, or rows of numbers, one a frame.
        map: files .npy of maps, by the input's name. picture: the file of a picture to show, or to begin with.
        channel, colours, range: how a video of other channels than red, green and blue is shown.
        video: the file to upscale. add_frames: whether stages that add frames run too.
        teacher: run the originals of distilled stages. fit: how files of another size are taken.
        group: a word that joins jobs which belong together, such as a grid of seeds.
    """

    kind: Literal["generate", "upscale"] = "generate"
    model: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    prompt: Said | None = None
    negative: Said | None = None
    seed: Annotated[int, Field(ge=0, le=MOST_SEED)] = 0
    until: Word | None = None
    steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    guidance: Annotated[float, Field(ge=0, le=100)] | None = None
    sampler: Word | None = None
    size: tuple[Side, Side] | None = None
    frames: Annotated[int, Field(ge=1, le=1024)] | None = None
    fps: Annotated[float, Field(gt=0, le=240)] | None = None
    known: Annotated[dict[_At, FileId], Field(max_length=8, default_factory=dict)]
    control: Annotated[dict[Word, FileId], Field(max_length=4, default_factory=dict)]
    control_from: Annotated[dict[Word, FileId], Field(max_length=4, default_factory=dict)]
    control_scale: Annotated[dict[Word, Strength], Field(max_length=8, default_factory=dict)]
    given: Annotated[dict[Word, GivenValue], Field(max_length=32, default_factory=dict)]
    map: Annotated[dict[Word, FileId], Field(max_length=8, default_factory=dict)]
    picture: FileId | None = None
    mask: FileId | None = None
    channel: ChannelName | None = None
    colours: Word | None = None
    range: tuple[Unit, Unit] | None = None
    video: FileId | None = None
    add_frames: bool = False
    teacher: bool = False
    fit: Literal["exact", "crop", "own"] = "crop"
    group: Word | None = None

    @field_validator("prompt", "negative")
    @classmethod
    def _is_text(cls, text: str | None) -> str | None:
        if text is not None and not text.strip():
            raise ValueError("expected some text, got only blanks")
        if text is not None and any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text):
            raise ValueError("expected text, got what is no letter")
        return text

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.video is not None) != (self.kind == "upscale"):
            raise ValueError("video: expected the file to upscale, with the kind 'upscale' and no other")
        if self.kind == "upscale":
            if given := next((name for name in UPSCALED_WITHOUT if getattr(self, name)), None):
                raise ValueError(f"{given}: expected without, for a video is upscaled")
        elif self.add_frames:
            raise ValueError("add_frames: expected with the kind 'upscale' alone")
        elif self.fit == "own":
            raise ValueError("fit: expected 'exact' or 'crop', got 'own', which is for upscaling")
        if self.mask is not None and not self.known:
            raise ValueError("mask: expected with known, the frames that it is about")
        if twice := next((name for name in self.control_from if name in self.control), None):
            raise ValueError(f"control_from: expected {twice} once, got it in control too")
        controls = {*self.control, *self.control_from}
        if lone := next((name for name in self.control_scale if name not in controls), None):
            raise ValueError(f"control_scale: {lone}: expected a file for it in control or control_from")
        if twice := next((name for name in self.map if name in self.given), None):
            raise ValueError(f"map: expected {twice} once, got it in given too")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range: expected two numbers that rise, got {self.range[0]:g} and {self.range[1]:g}")
        return self

    def files(self) -> Iterator[tuple[str, str]]:
        """The files that it names: a short name for each, and the file's id."""
        if self.video is not None:
            yield "video", self.video
        for place, file in self.known.items():
            yield f"known_{place.replace(':', '_')}", file
        for field in ("mask", "picture"):
            if (one := getattr(self, field)) is not None:
                yield field, one
        for name, file in self.map.items():
            yield f"map_{name}", file
        for field in ("control", "control_from"):
            for name, file in getattr(self, field).items():
                yield f"{field}_{name}", file

    def words(self, model: str, names: Mapping[str, str], out: str) -> list[str]:
        """The words of the command, of a `model` as the command finds it, with the file of each name in `files`."""
        options: dict[str, Any] = {
            "model": model, "seed": self.seed, "until": self.until, "steps": self.steps, "sampler": self.sampler,
            "out": out, "save-stages": "stages",
        }  # fmt: skip
        flags = ["--teacher"] if self.teacher else []
        if self.kind == "upscale":
            options |= {"fit": self.fit, "caption": self.prompt}
            flags += ["--no-compare", *(["--add-frames"] if self.add_frames else [])]
            return ["upscale", *_spelt(options), *flags, "--json", "--quiet", "--", names["video"]]
        size = None if self.size is None else f"{self.size[0]}x{self.size[1]}"
        known = [f"{place}={names['known_' + place.replace(':', '_')]}" for place in self.known]
        options |= {"guidance": self.guidance, "negative": self.negative, "size": size, "frames": self.frames}
        options |= {"fps": self.fps, "known": known, "fit": self.fit if known or self._controlled else None}
        for field in ("control", "control_from"):
            files = [f"{name}={names[f'{field}_{name}']}" for name in getattr(self, field)]
            options[field.replace("_", "-")] = files
        options["control-scale"] = [f"{name}={scale}" for name, scale in self.control_scale.items()]
        options["given"] = [f"{name}={_worded(value)}" for name, value in self.given.items()]
        options["map"] = [f"{name}={names[f'map_{name}']}" for name in self.map]
        options |= {"picture": names.get("picture"), "mask": names.get("mask")}
        options |= {"channel": self.channel, "colours": self.colours}
        if self.range is not None:  # an option of two words, which are numbers
            flags += [f"--range={self.range[0]}", str(self.range[1])]
        prompt = [] if self.prompt is None else ["--", self.prompt]
        return ["generate", *_spelt(options), *flags, "--json", "--quiet", *prompt]

    @property
    def _controlled(self) -> bool:
        return bool(self.control or self.control_from)


def _spelt(options: Mapping[str, Any]) -> list[str]:
    """Options with their values; a list is an option several times, None is none."""
    words = []
    for name, value in options.items():
        for one in value if isinstance(value, list) else [] if value is None else [value]:
            words.append(f"--{name}={one}")
    return words


def _worded(value: Any) -> str:
    """The value of an input as `--given` reads it: JSON, or a label as it is, where it would not be taken for JSON."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        json.loads(value)
    except ValueError:
        return value
    return json.dumps(value)
