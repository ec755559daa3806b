"""Curation: which parts of which videos are worth training on, after Stable Video Diffusion (2311.15127, section 3).

`cuts` finds the scenes of a video, each of `measures` judges a scene, `captioners` describe it, and `scenes` does all
that for a file. `duplicates` finds scenes that repeat others, `clips` writes what is kept, `page` shows it, and `work`
does it for a folder. It needs the packages of the extra `curate`.
"""

from zoetrope.curation.scenes import JudgedScene
from zoetrope.curation.spec import Curation, asked_for
from zoetrope.curation.work import curate

__all__ = ["Curation", "JudgedScene", "asked_for", "curate"]
