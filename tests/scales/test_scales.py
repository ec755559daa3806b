"""Scales against their formulas, forwards and back; channels side by side."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoetrope.channels import RGB, Channel, are_bounded, are_rgb, place_of, to_model, to_units
from zoetrope.scales import Scale
from zoetrope.scales.deviation import Deviation
from zoetrope.scales.log import Log
from zoetrope.scales.range import Range

EXAMPLES = {
    "range": Range(lo=-2, hi=30),
    "deviation": Deviation(mean=101_325, deviation=900),
    "log": Log(floor=0.1, hi=128),
}
every_scale = pytest.mark.parametrize("scale", EXAMPLES.values(), ids=EXAMPLES)


def test_every_file_has_an_example() -> None:
    assert sorted(EXAMPLES) == Scale.names()
    assert {scale.kind(): scale for scale in EXAMPLES.values()} == EXAMPLES


@every_scale
@settings(deadline=None, max_examples=50)
@given(x=st.floats(-1, 1))
def test_there_and_back(scale: Scale, x: float) -> None:
    there = scale.to_units(torch.tensor([x], dtype=torch.float64))
    assert float(scale.to_model(there)) == pytest.approx(x, abs=1e-9)


@every_scale
@settings(deadline=None, max_examples=50)
@given(low=st.floats(0, 128), high=st.floats(0, 128))
def test_larger_values_are_larger(scale: Scale, low: float, high: float) -> None:
    low, high = sorted((low, high))
    x = scale.to_model(torch.tensor([low, high], dtype=torch.float64))
    assert x[0] <= x[1] and (x[0] < x[1] or high - low < 1e-9 * (1 + high))


@every_scale
def test_any_shape_and_dtype(scale: Scale) -> None:
    values = torch.arange(24, dtype=torch.int32).reshape(1, 2, 3, 4)
    x = scale.to_model(values)
    assert (x.dtype, x.shape) == (torch.float32, (1, 2, 3, 4))
    assert scale.to_model(values.double()).dtype == torch.float64
    torch.testing.assert_close(scale.to_units(x.double()), values.double(), rtol=0, atol=1e-2)
    assert scale.to_model(torch.tensor([math.nan])).isnan().all()
    assert Scale.from_json(scale.to_json()) == scale


def test_formulas() -> None:
    ends = torch.tensor([-2.0, 14.0, 30.0])
    assert EXAMPLES["range"].to_model(ends).tolist() == [-1, 0, 1]
    assert EXAMPLES["deviation"].to_model(torch.tensor([101_325.0, 102_225.0, 99_525.0])).tolist() == [0, 1, -2]
    rain = EXAMPLES["log"].to_model(torch.tensor([0.0, 1.0, 128.0], dtype=torch.float64)).tolist()
    assert rain == pytest.approx([-1, 2 * math.log(11) / math.log(1281) - 1, 1], abs=1e-12)
    assert [EXAMPLES[name].bounded for name in ("range", "deviation", "log")] == [True, False, True]


def test_bytes_of_pictures_come_back() -> None:
    values = torch.arange(256, dtype=torch.uint8).expand(3, 1, 1, 256)
    x = to_model(values, RGB)
    torch.testing.assert_close(x, values.float() / 127.5 - 1, rtol=0, atol=1e-7)
    assert torch.equal(to_units(x, RGB).round().byte(), values)
    assert are_rgb(RGB) and are_bounded(RGB) and not are_rgb(RGB[:1])


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"lo: expected a number below hi = 3, got 3"):
        Range(lo=3, hi=3)
    with pytest.raises(ValueError, match=r"deviation: expected a number above 0, got 0; a channel that is constant"):
        Deviation(mean=4, deviation=0)
    with pytest.raises(ValueError, match=r"floor: expected a number above 0, got -1"):
        Log(floor=-1, hi=3)
    with pytest.raises(ValueError, match=r"floor: expected a number below hi = 0\.1, got 0\.1"):
        Log(floor=0.1, hi=0.1)
    with pytest.raises(ValueError, match="floor"):
        Scale.from_json({"type": "log", "hi": 3})
    with pytest.raises(ValueError, match=r"hi: expected at least -1e.30 and at most"):
        Range(lo=0, hi=1e35)
    with pytest.raises(ValueError, match="unknown scale 'rnage'; did you mean 'range'"):
        Channel.from_json({"name": "u", "scale": {"type": "rnage"}})
    with pytest.raises(ValueError, match="name"):
        Channel(name="a b", scale=Range(lo=0, hi=1))
    with pytest.raises(ValueError, match="unit"):
        Channel(name="a", unit="m\ns", scale=Range(lo=0, hi=1))


WIND = (
    Channel(name="u", unit="m s-1", scale=Deviation(deviation=5)),
    Channel(name="rain", unit="mm h-1", scale=Log(floor=0.1, hi=100)),
)


def test_channels_side_by_side() -> None:
    values = torch.rand(2, 2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 50
    x = to_model(values, WIND, axis=1)
    for place, channel in enumerate(WIND):
        assert torch.equal(x[:, place], channel.scale.to_model(values[:, place]))
    torch.testing.assert_close(to_units(x, WIND, axis=1), values, rtol=1e-12, atol=1e-12)
    assert not are_bounded(WIND) and [str(each) for each in WIND] == ["u [m s-1]", "rain [mm h-1]"]
    assert place_of(WIND, "rain") == 1
    with pytest.raises(ValueError, match="unknown channel 'rian'; did you mean 'rain'"):
        place_of(WIND, "rian")
    with pytest.raises(ValueError, match=r"expected 2 channels, u \[m s-1\], rain \[mm h-1\], got 3"):
        to_model(torch.zeros(3, 1), WIND)
    with pytest.raises(ValueError, match=r"channel 'rain': expected values of at least 0 on a log.* got -0\.5"):
        to_model(torch.tensor([1.0, -0.5]), WIND)
    assert Channel.from_json(WIND[1].to_json()) == WIND[1]
