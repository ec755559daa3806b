"""FVD, the Fréchet video distance [Unterthiner et al. 2018, arXiv:1812.01717]."""

from typing import ClassVar

from zoetrope.metrics.measures.frechet import Frechet


class FVD(Frechet):
    """The Fréchet distance on I3D's features of whole clips; with any other network it is not called so."""

    title: ClassVar[str] = "FVD"
    extractors: ClassVar[tuple[str, ...]] = ("i3d",)
