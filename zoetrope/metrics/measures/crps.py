"""The continuous ranked probability score of ensembles, by how far ahead they look."""

from typing import ClassVar

from zoetrope.metrics.clips import Material
from zoetrope.metrics.crps import crps_of_pixels
from zoetrope.metrics.forecasts import Cases, mean_of_sums
from zoetrope.metrics.measures import Better, Measure, OpenedExtractor, Result
from zoetrope.metrics.measures._forecasts import errors_told


class RankedProbabilityScore(Measure):
    """The fair score of the ensembles, in units, in the frames not given; see `zoetrope.metrics.crps.crps`.

    Of several channels it is the mean in deviations of their true values. Details tell each channel and frame, and what
    persistence, whose score is its absolute error, and climatology reach.
    """

    title: ClassVar[str] = "CRPS"
    better: ClassVar[Better] = "lower"
    takes = "any"
    masks = True
    only_new = True
    needs = frozenset({"pairs", "members"})

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """See `Measure`."""
        told = errors_told(
            self,
            Cases(material),
            lambda case: crps_of_pixels(case.members, case.truth, fair=len(case.members) > 1),
            mean_of_sums,
        )
        return self.result(material, None, **told)
