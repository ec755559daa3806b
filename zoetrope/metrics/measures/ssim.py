"""Structural similarity to the truth, of stages that were given reduced real videos."""

from typing import ClassVar

import torch

from zoetrope.metrics.clips import Material
from zoetrope.metrics.measures import Better, Measure, OpenedExtractor, Result, expect_pairs
from zoetrope.metrics.ssim import WINDOW, ssim


class SSIM(Measure):
    """The mean over all frames of all videos that were not given, see `zoetrope.metrics.ssim`."""

    title: ClassVar[str] = "SSIM"
    better: ClassVar[Better] = "higher"
    takes = "bounded"
    only_new = True
    needs = frozenset({"pairs"})

    def expect(self, material: Material) -> None:
        """See `Measure`; frames have to hold its window."""
        super().expect(material)
        shape = material.made.shape
        if min(shape.height, shape.width) < WINDOW:
            raise ValueError(f"{self.name}: expected frames of at least {WINDOW}x{WINDOW} pixels, got {shape}")

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """See `Measure`."""
        real = expect_pairs(material.made, material.real, material.members)
        pairs = zip(material.made, real, strict=True)
        new = material.foretold
        values = torch.cat([ssim(made[None, :, new], truth[None, :, new]) for made, truth in pairs])  # (N, F)
        by_frame = values.mean(0).tolist()
        return self.averaged(material, None, values.mean(1).tolist(), details={"by_frame": by_frame})
