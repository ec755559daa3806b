"""The distance of values, against distances of distributions in closed form."""

import pytest
import torch
from torch import Tensor

from zoetrope.channels import Channel
from zoetrope.metrics.clips import Clips, Material
from zoetrope.metrics.measures.psnr import PSNR
from zoetrope.metrics.measures.values import DistanceOfValues
from zoetrope.scales.deviation import Deviation
from zoetrope.scales.range import Range
from zoetrope.shapes import VideoShape

SHAPE = VideoShape(frames=2, height=32, width=32, fps=1)
FREE = (
    Channel(name="t", unit="K", scale=Deviation(mean=270, deviation=4)),
    Channel(name="u", unit="m s-1", scale=Deviation(deviation=2)),
)
BOUNDED = tuple(channel.with_(scale=Range(lo=0, hi=1)) for channel in FREE)


def material(made: Tensor, real: Tensor, channels: tuple[Channel, ...] = FREE, *, paired: bool = False) -> Material:
    """Videos (N, 2, F, H, W)."""
    ours, theirs = (Clips(SHAPE, len(videos), videos.__getitem__, channels=channels) for videos in (made, real))
    return Material(ours, theirs, paired=paired)


def test_it_is_the_distance_of_normal_distributions() -> None:
    """W1 of N(m, s^2) and N(m + d, s^2) is d; of N(0, 1) and N(0, s^2) it is |s - 1| sqrt(2 / pi)."""
    x = torch.randn(16, 2, *SHAPE.sizes, generator=torch.Generator().manual_seed(0))
    real = x.flip(0)
    made = torch.stack([x[:, 0] + 0.5, 1.5 * x[:, 1]], 1)
    result = DistanceOfValues().measure(material(made, real), None)
    details = result.details["values"]
    assert details["t"]["distance"] == pytest.approx(0.5, abs=1e-6)
    assert details["u"]["distance"] == pytest.approx(0.5 * (2 / torch.pi) ** 0.5, rel=0.02)
    assert result.value == pytest.approx((details["t"]["distance"] + details["u"]["distance"]) / 2)
    assert details["t"]["mean"] - details["t"]["real_mean"] == pytest.approx(2, abs=1e-3)  # kelvin
    assert details["u"]["std"] / details["u"]["real_std"] == pytest.approx(1.5, rel=1e-3)
    assert DistanceOfValues().measure(material(x, real), None).value == pytest.approx(0, abs=1e-6)


def test_measures_of_pictures_take_bounded_channels_alone() -> None:
    x = torch.zeros(2, 2, *SHAPE.sizes)
    with pytest.raises(ValueError, match=r"psnr: expected videos whose channels all have bounds, got t \[K\], u"):
        PSNR().expect(material(x, x + 0.1, paired=True))
    PSNR().expect(made := material(x, x + 0.1, BOUNDED, paired=True))
    assert PSNR().measure(made, None).value == pytest.approx(10 * torch.log10(torch.tensor(4 / 0.01)).item(), rel=1e-5)
