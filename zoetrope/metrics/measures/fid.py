"""FID of frames, the Fréchet inception distance [Heusel et al. 2017, arXiv:1706.08500]."""

from typing import ClassVar

from zoetrope.metrics.measures.frechet import Frechet


class FID(Frechet):
    """The Fréchet distance on Inception's features of all frames; with any other network it has another name."""

    title: ClassVar[str] = "FID of frames"
    extractors: ClassVar[tuple[str, ...]] = ("inception",)
