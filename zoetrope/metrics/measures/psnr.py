"""Peak signal-to-noise ratio against the truth, of stages that were given reduced real videos."""

from statistics import fmean
from typing import ClassVar

from zoetrope.metrics.clips import Material
from zoetrope.metrics.measures import Better, Measure, Network, Result, expect_pairs
from zoetrope.metrics.psnr import decibels, squared_error


class PSNR(Measure):
    """Decibels of the mean squared error over all videos; at most 200, which says that there is none."""

    title: ClassVar[str] = "PSNR"
    better: ClassVar[Better] = "higher"
    needs = frozenset({"pairs"})

    def measure(self, material: Material, network: Network | None) -> Result:
        """See `Measure`."""
        real = expect_pairs(material.made, material.real)
        pairs = zip(material.made, real, strict=True)
        errors = [squared_error(made[None], truth[None])[0] for made, truth in pairs]
        by_frame = [decibels(sum(frame) / len(errors)).clamp(max=200) for frame in zip(*errors, strict=True)]
        squared = fmean(float(error.mean()) for error in errors)
        value = min(200.0, float(decibels(errors[0].new_tensor(squared))))
        details = {"squared_error": squared, "by_frame": [float(frame) for frame in by_frame]}
        return self.result(material, None, value, unit="dB", details=details)
