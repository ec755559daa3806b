"""How far the power spectra of videos are from those of real ones: blur and noise at each size of structures."""

from typing import ClassVar

import torch
from torch import Tensor

from zoetrope.metrics.clips import Clips, Material
from zoetrope.metrics.forecasts import finite, reader
from zoetrope.metrics.measures import Better, Measure, OpenedExtractor, Result
from zoetrope.metrics.spectrum import spectrum


class SpectralDistance(Measure):
    """The mean distance of the power of videos from that of real ones, in decibels, over wavenumbers, frames, channels.

    Frames that were given do not count, nor does wavenumber 0, the mean. Details have the power of both at each
    wavenumber, over all frames, and the distance in each frame; below 0 dB at high wavenumbers videos are blurred.
    """

    title: ClassVar[str] = "Distance of spectra"
    better: ClassVar[Better] = "lower"
    takes = "any"
    only_new = True
    needs = frozenset({"real"})

    def expect(self, material: Material) -> None:
        """See `Measure`; frames have to have waves."""
        super().expect(material)
        if max(material.made.shape.sizes[1:]) < 2:
            raise ValueError(f"{self.name}: expected frames of several pixels, got {material.made.shape}")

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """See `Measure`."""
        assert material.real is not None
        if material.made.shape.sizes != material.real.shape.sizes:
            raise ValueError(f"{self.name}: expected clips of one size, got {material.real.shape} of real clips")
        made, real = (_power(clips, material.foretold) for clips in (material.made, material.real))  # (C, F, K)
        if not bool((real > 0).all() and (made > 0).all()):
            raise ValueError(f"{self.name}: expected videos with power at every wavenumber")
        away = 10 * (made / real).log10()
        rows = {
            channel.name: {
                "unit": channel.unit,
                "distance": float(away[place].abs().mean()),
                "by_frame": away[place].abs().mean(-1).tolist(),
                "decibels": (10 * (made[place].sum(0) / real[place].sum(0)).log10()).tolist(),
                "power": [finite(one) for one in made[place].mean(0).tolist()],
                "real_power": [finite(one) for one in real[place].mean(0).tolist()],
            }
            for place, channel in enumerate(material.made.channels)
        }
        details = {"frames": material.foretold, "spectra": rows}
        return self.result(material, None, float(away.abs().mean()), unit="dB", details=details)


def _power(clips: Clips, frames: list[int]) -> Tensor:
    """The mean power (C, F, K) of clips from wavenumber 1 on, in squared units."""
    read, total = reader(clips), torch.zeros(1)
    for number in range(len(clips)):
        total = total + spectrum(read(number)[None, :, frames]).power[0]
    return total[..., 1:].double() / len(clips)
