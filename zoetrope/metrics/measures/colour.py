"""Colour drift: whether videos are brighter, more tinted or paler than real ones, and whether they become so."""

from statistics import fmean
from typing import ClassVar

from torch import Tensor

from zoetrope.cascade.colour import Tone
from zoetrope.metrics.clips import Material
from zoetrope.metrics.measures import Better, Measure, OpenedExtractor, Result


class ColourDrift(Measure):
    """How far the mean colour moves from the first quarter of a video to its last, in percent of the range.

    The largest of the channels, the mean over the videos, of each the frames that were not given. Details tell the mean
    and deviation of each channel of all videos, and by how much they differ from those of the real ones.
    """

    title: ClassVar[str] = "Colour drift"
    better: ClassVar[Better] = "nearer 0"
    takes = "bounded"
    only_new = True
    compares = True

    def expect(self, material: Material) -> None:
        """See `Measure`; a single frame cannot drift."""
        super().expect(material)
        if len(material.foretold) < 2:
            told = " that were not given" if material.known else ""
            raise ValueError(f"{self.name}: expected videos of at least two frames{told}, got one")

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """See `Measure`."""
        made = material.new(material.made)
        tone = Tone.joined([Tone.of(video) for video in made])
        details: dict[str, list[float] | list[str]] = {"mean": list(tone.mean), "std": list(tone.std)}
        details["named"] = [channel.name for channel in made.channels]
        reference = None
        if material.real is not None:
            clips = material.new(material.real)
            real = Tone.joined([Tone.of(video) for video in clips])
            reference = fmean(drift(video) for video in clips)
            details |= {"real_mean": list(real.mean), "real_std": list(real.std)}
            details["mean_shift"] = [a - b for a, b in zip(tone.mean, real.mean, strict=True)]
            details["std_shift"] = [a - b for a, b in zip(tone.std, real.std, strict=True)]
        values = [drift(video) for video in made]
        return self.averaged(material, None, values, unit="%", reference=reference, details=details)


def drift(video: Tensor) -> float:
    """How far a channel's mean in (C, F, H, W) moves from the first to the last quarter of the frames, in percent."""
    means = video.double().mean((2, 3))  # (C, F)
    part = max(1, means.shape[1] // 4)
    return float((means[:, -part:].mean(1) - means[:, :part].mean(1)).abs().max() * 50)
