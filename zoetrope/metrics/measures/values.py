"""How far the values of videos are from those of real ones, channel by channel, whatever their places."""

from statistics import fmean
from typing import ClassVar

import torch
from torch import Tensor

from zoetrope.metrics.clips import Clips, Material
from zoetrope.metrics.measures import Better, Measure, OpenedExtractor, Result

QUANTILES = 512


class DistanceOfValues(Measure):
    """The 1-Wasserstein distance between the values of the videos and of the real ones, on the scales of the channels.

    It is the mean over the channels: 0 where both have the same distribution of values, wherever these are. On a scale
    of deviations 1 is one of these, on others half of the range. Each video counts with 512 quantiles of its values in
    the frames that were not given. Details tell each channel's distance, and means and deviations in its unit.
    """

    title: ClassVar[str] = "Distance of values"
    better: ClassVar[Better] = "lower"
    takes = "any"
    only_new = True
    needs = frozenset({"real"})

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """See `Measure`."""
        assert material.real is not None
        made, real = (quantiles(material.new(clips)) for clips in (material.made, material.real))
        distances, details = (made - real).abs().mean(1).tolist(), dict[str, object]()
        for number, channel in enumerate(material.made.channels):
            ours, theirs = (channel.scale.to_units(one[number]) for one in (made, real))
            details[channel.name] = {
                "distance": distances[number], "unit": channel.unit,
                "mean": float(ours.mean()), "real_mean": float(theirs.mean()),
                "std": float(ours.std(correction=0)), "real_std": float(theirs.std(correction=0)),
            }  # fmt: skip
        return self.result(material, None, fmean(distances), details={"values": details})


def quantiles(clips: Clips) -> Tensor:
    """Quantiles (C, 512) of the values of all clips, as networks see them, float64, in the middles of equal shares."""
    every = list[Tensor]()
    for video in clips:
        values = video.double().flatten(1).sort(1).values
        places = ((torch.arange(QUANTILES, dtype=torch.float64) + 0.5) / QUANTILES * values.shape[1]).long()
        every.append(values[:, places])
    return torch.cat(every, 1).sort(1).values.unflatten(1, (QUANTILES, len(every))).mean(2)
