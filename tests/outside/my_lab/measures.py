"""How bright videos are."""

from typing import ClassVar

from zoetrope.metrics.clips import Material
from zoetrope.metrics.measures import Better, Measure, OpenedExtractor, Result


class MeanBrightness(Measure):
    """The mean of all values of the videos, in percent."""

    title: ClassVar[str] = "Mean brightness"
    better: ClassVar[Better] = "higher"

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        return self.averaged(material, None, [50 * float(video.mean() + 1) for video in material.made], unit="%")
