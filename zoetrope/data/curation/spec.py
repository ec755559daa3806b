"""What is asked of the clips of a folder."""

from pydantic import Field

from zoetrope.config import Config
from zoetrope.data.curation.measures import SceneMeasure
from zoetrope.data.curation.measures.black import Black
from zoetrope.data.curation.measures.frozen import FrozenShare
from zoetrope.data.curation.measures.motion import Motion
from zoetrope.data.curation.measures.sharpness import Sharpness
from zoetrope.data.curation.measures.text import TextCover


class Curation(Config):
    """Thresholds; `zoetrope data curate --spec` takes them as JSON.

    Attributes:
        measures: what judges a scene.
        strides: cuts are looked for among every, every second, every fourth picture, so that slow ones are found too.
        contrast: how often its neighbours' change the change at a cut is.
        change: the least change at a cut, in PySceneDetect's content value, 0 to 255.
        shortest: scenes of fewer seconds are left out.
        near: scenes whose perceptual hashes differ in at most this many of 64 bits are duplicates; -1 keeps them.
        worst: the percentage with the least motion that is left out beyond the thresholds.
    """

    measures: tuple[SceneMeasure, ...] = (Black(), FrozenShare(), Motion(), Sharpness(), TextCover())
    strides: tuple[int, ...] = Field((1, 2, 4), min_length=1)
    contrast: float = Field(3.0, gt=0)
    change: float = Field(6.0, ge=0)
    shortest: float = Field(0.5, ge=0)
    near: int = Field(2, ge=-1, le=64)
    worst: float = Field(0.0, ge=0, lt=100)
