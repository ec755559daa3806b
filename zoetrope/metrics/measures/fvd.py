"""FVD, the Fréchet video distance [Unterthiner et al. 2018, arXiv:1812.01717]."""

from typing import ClassVar

from pydantic import PositiveInt

from zoetrope.metrics.measures.frechet import Frechet


class FVD(Frechet):
    """The Fréchet distance on I3D's features of clips; with any other network it has another name.

    Numbers depend on the length of clips. Most published ones use 16 frames of each, the default of `window`.
    """

    title: ClassVar[str] = "FVD"
    extractors: ClassVar[tuple[str, ...]] = ("i3d",)
    window: PositiveInt | None = 16
