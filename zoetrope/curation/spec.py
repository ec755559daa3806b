"""What is asked of the clips of a folder."""

from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from zoetrope.config import Config, parse_json, unknown
from zoetrope.curation.captioners import Captioner
from zoetrope.curation.measures import SceneMeasure
from zoetrope.curation.measures.black import Black
from zoetrope.curation.measures.frozen import FrozenShare
from zoetrope.curation.measures.motion import Motion
from zoetrope.curation.measures.sharpness import Sharpness
from zoetrope.curation.measures.text import TextCover

MEASURES = (Black(), FrozenShare(), Motion(), Sharpness(), TextCover())


class Curation(Config):
    """Thresholds; `zoetrope data curate --spec` takes them as JSON.

    Attributes:
        measures: what judges a scene.
        strides: cuts are looked for among every, every second, every fourth picture, so that slow ones are found too.
        contrast: how often its neighbours' change the change at a cut is.
        change: the least change at a cut, in PySceneDetect's content value, 0 to 255.
        shortest: scenes of fewer seconds are left out.
        near: scenes whose perceptual hashes differ in at most this many of 64 bits are duplicates; -1 keeps them.
        worst: by a measure's name, the percentage that is left out beyond the thresholds, those it finds worst.
        captioners: what describes scenes; their captions are merged into one.
        captions: "keep" describes only what has no caption, "add" gives every scene one more, "replace" another.
    """

    measures: tuple[SceneMeasure, ...] = MEASURES
    strides: tuple[int, ...] = Field((1, 2, 4), min_length=1)
    contrast: float = Field(3.0, gt=0)
    change: float = Field(6.0, ge=0)
    shortest: float = Field(0.5, ge=0)
    near: int = Field(2, ge=-1, le=64)
    worst: dict[str, float] = Field(default_factory=dict)
    captioners: tuple[Captioner, ...] = ()
    captions: Literal["keep", "add", "replace"] = "keep"

    @model_validator(mode="after")
    def _agreed(self) -> Self:
        names = [measure.kind() for measure in self.measures]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"measures: expected each once, got {name} twice")
        for name, share in self.worst.items():
            if name not in names:
                raise ValueError(f"worst: {unknown('measure', name, names)}")
            if not 0 <= share < 100:
                raise ValueError(f"worst: expected a percentage of {name} from 0 to below 100, got {share:g}")
        if any(stride < 1 for stride in self.strides):
            raise ValueError(f"strides: expected 1 or more, got {min(self.strides)}")
        if self.captions != "keep" and not self.captioners:
            raise ValueError(f"captions: expected a captioner for {self.captions!r}, got none")
        return self


def asked_for(spec: str, captioners: Sequence[str], captions: str, clip: str | None) -> Curation:
    """The curation of a command line: JSON, models that describe, what becomes of captions, and a CLIP.

    With a CLIP, alignment and aesthetics are measured besides. Raises ValueError that names what is wrong.
    """
    given: Any = parse_json(spec)
    if not isinstance(given, dict):
        raise ValueError('--spec: expected a JSON object of fields, such as {"shortest": 2}')
    if captioners:
        given = given | {"captioners": [{"model": model} for model in captioners]}
    if captions != "keep":
        given = given | {"captions": captions}
    if clip is not None:
        there = given.get("measures", [measure.to_json() for measure in MEASURES])
        names = [one.get("type") for one in there if isinstance(one, dict)] if isinstance(there, list) else []
        more = [{"type": name, "model": clip} for name in ("alignment", "aesthetics") if name not in names]
        given = given | {"measures": [*there, *more] if isinstance(there, list) else there}
    return Curation.from_json(given)
