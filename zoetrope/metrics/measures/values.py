"""How far the values of videos are from those of real ones, channel by channel, whatever their places."""

from statistics import fmean
from typing import ClassVar

import torch
from torch import Tensor

from zoetrope.metrics.clips import Clips, Material
from zoetrope.metrics.measures import Better, Measure, OpenedExtractor, Result

QUANTILES = 512


class DistanceOfValues(Measure):
    """The 1-Wasserstein distance between the values of the videos and of the real ones, in deviations of the latter.

    It is the mean over the channels: 0 where both have the same distribution of values, wherever these are. Each video
    counts with 512 quantiles of its values. Details tell each channel's distance, means and deviations in its unit.
    """

    title: ClassVar[str] = "Distance of values"
    better: ClassVar[Better] = "lower"
    takes = "any"
    needs = frozenset({"real"})

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """See `Measure`."""
        assert material.real is not None
        made, real = _values(material.made), _values(material.real)
        distances, details = list[float](), dict[str, object]()
        for number, channel in enumerate(material.made.channels):
            ours, theirs = made[number], real[number]
            spread = float(theirs.std(correction=0))
            if spread == 0:
                raise ValueError(f"{self.name}: expected real videos that vary, got a constant {channel.name!r}")
            distances.append(float((ours - theirs).abs().mean()) / spread)
            details[channel.name] = {
                "distance": distances[-1], "unit": channel.unit,
                "mean": float(ours.mean()), "real_mean": float(theirs.mean()),
                "std": float(ours.std(correction=0)), "real_std": spread,
            }  # fmt: skip
        return self.result(material, None, fmean(distances), details=details)


def _values(clips: Clips) -> Tensor:
    """Quantiles (C, QUANTILES) of the values of all clips, in units, float64."""
    middles = (torch.arange(QUANTILES, dtype=torch.float64) + 0.5) / QUANTILES
    every = list[Tensor]()
    for video in clips:
        flat = video.double().flatten(1).sort(1).values  # (C, n)
        places = middles * flat.shape[1] - 0.5
        low = places.floor().clamp(0, flat.shape[1] - 1).long()
        share = (places - low).clamp(0, 1)
        every.append(torch.lerp(flat[:, low], flat[:, (low + 1).clamp(max=flat.shape[1] - 1)], share))
    pooled = torch.cat(every, 1).sort(1).values.unflatten(1, (QUANTILES, len(every))).mean(2)
    scales = [channel.scale for channel in clips.channels]
    return torch.stack([scale.to_units(one) for scale, one in zip(scales, pooled, strict=True)])
