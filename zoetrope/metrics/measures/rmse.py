"""Root mean squared error of forecasts, by how far ahead they look."""

from typing import ClassVar

from zoetrope.metrics.clips import Material
from zoetrope.metrics.forecasts import Cases, root_of_sums
from zoetrope.metrics.measures import Better, Measure, OpenedExtractor, Result
from zoetrope.metrics.measures._forecasts import errors_told


class RootMeanSquaredError(Measure):
    """The root of the mean squared error, in units, of a forecast or of an ensemble's mean, in the frames not given.

    Of several channels it is the mean in deviations of their true values. Details tell each channel and frame, and what
    persistence and climatology reach.
    """

    title: ClassVar[str] = "Root mean squared error"
    better: ClassVar[Better] = "lower"
    takes = "any"
    masks = True
    only_new = True
    needs = frozenset({"pairs"})

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """See `Measure`."""
        told = errors_told(
            self, Cases(material), lambda case: (case.members.mean(0) - case.truth).square(), root_of_sums
        )
        return self.result(material, None, **told)
