"""Peak signal-to-noise ratio against the truth, of stages that were given reduced real videos."""

from statistics import fmean
from typing import ClassVar

import torch

from zoetrope.metrics.clips import Material
from zoetrope.metrics.measures import Better, Measure, OpenedExtractor, Result, expect_pairs
from zoetrope.metrics.psnr import decibels, squared_error_of_frames


class PSNR(Measure):
    """Decibels of the mean squared error over all videos, in frames that were not given.

    Where nothing differs from the truth there is no number.
    """

    title: ClassVar[str] = "PSNR"
    better: ClassVar[Better] = "higher"
    takes = "bounded"
    only_new = True
    needs = frozenset({"pairs"})

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """See `Measure`."""
        real = expect_pairs(material.made, material.real, material.members)
        pairs = zip(material.made, real, strict=True)
        new = material.foretold
        errors = [squared_error_of_frames(made[None, :, new], truth[None, :, new])[0] for made, truth in pairs]
        by_frame = [fmean(map(float, frame)) for frame in zip(*errors, strict=True)]
        squared = fmean(by_frame)
        if squared == 0:
            raise ValueError(
                f"{self.name}: expected videos that differ from the truth, got equal ones (infinite decibels)"
            )
        details = {"squared_error": squared, "by_frame": [_finite(frame) for frame in by_frame]}
        return self.result(material, None, float(decibels(torch.tensor(squared))), unit="dB", details=details)


def _finite(squared: float) -> float | None:
    """Decibels, None of a frame that is exact in all videos."""
    return float(decibels(torch.tensor(squared))) if squared > 0 else None
