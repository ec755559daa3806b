"""Samples in units, with the exact denoiser: their distribution is known in closed form, channel by channel."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.channels import Channel
from zoetrope.conditioning import Conditioning
from zoetrope.fields import Fields
from zoetrope.models.cascade import Cascade
from zoetrope.models.known_fields import field_frames
from zoetrope.networks import Network
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers.heun import Heun
from zoetrope.scales.deviation import Deviation
from zoetrope.scales.log import Log
from zoetrope.scales.range import Range
from zoetrope.shapes import VideoShape

CHANNELS = (
    Channel(name="t", unit="K", scale=Deviation(mean=280, deviation=8)),
    Channel(name="rain", unit="mm h-1", scale=Log(floor=0.1, hi=100)),
    Channel(name="cover", scale=Range(lo=0, hi=1)),
)
MEAN, STD = torch.tensor([0.25, -0.4, 0.5]), torch.tensor([0.5, 0.2, 0.4])  # of x, as networks see it
SHAPE = VideoShape(frames=4, height=32, width=32, fps=2)
COUNT = math.prod(SHAPE.sizes)


class Exact(Network):
    """x_hat = E[x | z] of independent x ~ N(mean, std^2)."""

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        alpha, variance = logsnr.sigmoid().sqrt(), (-logsnr).sigmoid()
        alpha, variance = (one.reshape(-1, 1, 1, 1, 1) for one in (alpha, variance))
        mean, std = (one.reshape(1, -1, 1, 1, 1) for one in (MEAN, STD))
        gain = std**2 * alpha / (alpha**2 * std**2 + variance)
        return mean + gain * (z - alpha * mean)


@pytest.fixture(scope="module")
def made() -> Fields:
    network = VideoUNetConfig(channels=3, text_width=None, embedding=8, head=8, levels=(Level(width=8),))
    sampling = SamplingSpec(sampler=Heun(), steps=32, threshold=None)
    stage = StageSpec(name="base", shape=SHAPE, inputs=(), network=network, sampling=sampling, prediction="x")
    spec = CascadeSpec(name="exact", channels=CHANNELS, stages=(stage,))
    found = Cascade(spec, lambda stage: Exact()).generate(seed=1)
    assert isinstance(found, Fields)
    return found


def test_free_channels_have_their_mean_and_deviation(made: Fields) -> None:
    values = made["t"].astype(np.float64)
    assert values.mean() == pytest.approx(280 + 8 * 0.25, abs=4 * 8 * 0.5 / COUNT**0.5)
    assert values.std() == pytest.approx(8 * 0.5, rel=0.05)


def test_amounts_on_a_logarithm_have_their_quantiles(made: Fields) -> None:
    values = torch.from_numpy(made["rain"]).double()
    for share, z in ((0.5, 0.0), (0.8413, 1.0), (0.1587, -1.0)):
        x = -0.4 + 0.2 * z
        wanted = 0.1 * math.expm1((x + 1) / 2 * math.log1p(1000))
        assert float(values.quantile(share)) == pytest.approx(wanted, rel=0.1)
    assert float(values.min()) >= 0


def test_bounded_channels_end_where_their_scale_does(made: Fields) -> None:
    """P(x > 1) = P(N > 1.25) = 10.56 % of the values are at the end."""
    values = made["cover"]
    assert values.min() >= 0 and values.max() == 1
    assert float((values == 1).mean()) == pytest.approx(0.1056, abs=0.02)


def test_known_values_beyond_the_ends_of_a_scale_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """They come out as its ends."""
    channels = (Channel(name="rain", unit="mm", scale=Range(lo=0, hi=50)),)
    network = VideoUNetConfig(channels=1, text_width=None, levels=(Level(width=8),))
    shape = VideoShape(frames=4, height=2, width=3, fps=1)
    stage = StageSpec(name="base", shape=shape, inputs=(), network=network)
    values = np.linspace(0, 50, 6, dtype=np.float32).reshape(1, 1, 2, 3)
    field_frames("known 0", values, [0], stage, "exact", channels=channels)
    assert not caplog.records
    field_frames("known 0", values + 20, [0], stage, "exact", channels=channels)
    assert caplog.messages == ["known 0: rain: 2 values beyond the ends of its scale, 0 and 50, will come out as these"]
