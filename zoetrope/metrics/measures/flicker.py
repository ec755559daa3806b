"""Flicker against the truth, of stages that were given reduced real videos."""

from typing import ClassVar

from zoetrope.metrics.clips import Material
from zoetrope.metrics.flicker import flicker_of_changes
from zoetrope.metrics.measures import Better, Measure, OpenedExtractor, Result, expect_pairs


class Flicker(Measure):
    """The mean over all videos, in percent of the range, see `zoetrope.metrics.flicker`.

    Where frames were given, changes from one of these to the next do not count.
    """

    title: ClassVar[str] = "Flicker"
    better: ClassVar[Better] = "lower"
    takes = "bounded"
    only_new = True
    needs = frozenset({"pairs"})

    def expect(self, material: Material) -> None:
        """See `Measure`; there have to be changes."""
        super().expect(material)
        if material.made.frames(material.stride) < 2:
            raise ValueError(f"{self.name}: expected videos of at least two frames, got one")

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """See `Measure`."""
        real = expect_pairs(material.made, material.real, material.members).strided(material.stride)
        pairs, new = zip(material.made.strided(material.stride), real, strict=True), material.changes(material.made)
        values = [100 * float(flicker_of_changes(made[None], truth[None])[0, new].mean()) for made, truth in pairs]
        return self.averaged(material, None, values, unit="%")
