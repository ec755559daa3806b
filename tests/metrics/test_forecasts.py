"""Measures of forecasts and ensembles as a report takes them: numbers by lead time, plain ways, gaps, intervals."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from zoetrope.channels import Channel, to_model
from zoetrope.fields import Fields
from zoetrope.metrics.choice import choose
from zoetrope.metrics.clips import Clips, Material
from zoetrope.metrics.crps import crps
from zoetrope.metrics.csi import csi
from zoetrope.metrics.evaluation import measured
from zoetrope.metrics.forecasts import Cases
from zoetrope.metrics.intervals import Mean, jackknife
from zoetrope.metrics.lead_time import mae, rmse
from zoetrope.metrics.measures import Result, Unavailable
from zoetrope.metrics.measures.csi import CriticalSuccess, _lowest
from zoetrope.metrics.rank_histogram import rank_histogram
from zoetrope.metrics.spectrum import spectral_ratio
from zoetrope.metrics.spread_skill import spread_skill
from zoetrope.scales import Scale
from zoetrope.scales.deviation import Deviation
from zoetrope.scales.log import Log
from zoetrope.scales.range import Range
from zoetrope.shapes import VideoShape

CHANNELS = (
    Channel(name="t", unit="K", scale=Deviation(mean=280, deviation=4)),
    Channel(name="u", unit="m s-1", scale=Deviation(deviation=2)),
)
SHAPE = VideoShape(frames=5, height=6, width=8, fps=1)
CASES, MEMBERS, KNOWN = 6, 4, (0, 1)
NEW = [2, 3, 4]
DRAW = torch.Generator().manual_seed(1)
NAMES = ["crps", "mae", "rmse", "spread_skill", "rank_histogram", "spectrum"]


def units(*shape: int) -> Tensor:
    """Values of both channels in units, (..., C, F, H, W), which drift and scatter."""
    noise = torch.randn(*shape, len(CHANNELS), *SHAPE.sizes, generator=DRAW, dtype=torch.float64)
    return torch.tensor([280.0, 3.0]).view(-1, 1, 1, 1) + torch.tensor([2.0, 0.5]).view(-1, 1, 1, 1) * noise


TRUTH, MADE = units(CASES), units(CASES, MEMBERS)


def clips(values: Tensor, present: Tensor | None = None, channels: tuple[Channel, ...] = CHANNELS) -> Clips:
    x = to_model(values, channels, axis=1)
    mask = (lambda number: None if present[number].all() else present[number]) if present is not None else None
    return Clips(SHAPE, len(x), x.__getitem__, channels=channels, **({} if mask is None else {"present": mask}))


def material(truth: Tensor = TRUTH, made: Tensor = MADE, present: Tensor | None = None, **told: Any) -> Material:
    fields = {"paired": True, "members": made.shape[1], "known": KNOWN} | told
    return Material(clips(made.flatten(0, 1)), clips(truth, present), **fields)


def taken(names: list[str], own: Material) -> dict[str, Result]:
    found = measured(choose(names, {}), own)
    assert all(isinstance(one, Result) for one in found), found
    return {one.name: one for one in found if isinstance(one, Result)}


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    return taken(NAMES, material())


def test_every_channel_and_frame_has_the_number_of_the_functions(results: dict[str, Result]) -> None:
    members, truth = MADE.transpose(0, 1)[:, :, :, NEW], TRUTH[:, :, NEW]
    both = spread_skill(members, truth)
    wanted = {
        "crps": crps(members, truth),
        "mae": mae(members.mean(0), truth),
        "rmse": rmse(members.mean(0), truth),
        "spread_skill": both.ratio,
    }
    for name, numbers in wanted.items():
        rows = results[name].details["channels"]
        found = torch.tensor([rows[channel.name]["by_frame"] for channel in CHANNELS])
        assert torch.allclose(found, numbers.float(), rtol=1e-4), name
        assert results[name].details["frames"] == NEW and results[name].samples == CASES
    row = results["spread_skill"].details["channels"]["t"]
    assert row["spread"] == pytest.approx(both.spread[0].tolist(), rel=1e-4)
    assert row["skill"] == pytest.approx(both.skill[0].tolist(), rel=1e-4)
    assert results["crps"].details["channels"]["u"]["unit"] == "m s-1"


def test_the_number_of_several_channels_is_in_deviations_of_each(results: dict[str, Result]) -> None:
    deviation = TRUTH[:, :, NEW].transpose(0, 1).flatten(1).std(1, correction=0)
    errors = crps(MADE.transpose(0, 1)[:, :, :, NEW], TRUTH[:, :, NEW]).mean(1)
    assert results["crps"].value == pytest.approx(float((errors / deviation).mean()), rel=1e-4)
    assert results["crps"].unit == "deviations" and results["spread_skill"].unit == ""
    one = Material(
        clips(MADE.flatten(0, 1)[:, :1], channels=CHANNELS[:1]), clips(TRUTH[:, :1], channels=CHANNELS[:1]),
        paired=True, members=MEMBERS, known=KNOWN,
    )  # fmt: skip
    alone = taken(["crps"], one)["crps"]
    assert (alone.unit, alone.value) == ("K", pytest.approx(float(errors[0]), rel=1e-4))
    per_case = [
        float(crps(MADE.transpose(0, 1)[:, k : k + 1, :1, NEW], TRUTH[k : k + 1, :1, NEW]).mean()) for k in range(CASES)
    ]
    assert alone.error == pytest.approx(Mean.of(per_case).half, rel=1e-3)


@pytest.mark.parametrize("value", [0.1, 280.4, -173.3, 101325.3])
@pytest.mark.parametrize("masked", [False, True])
def test_a_channel_that_does_not_vary_is_told_whatever_its_value(value: float, masked: bool) -> None:
    """Whatever rounding makes of sums of squares."""
    truth = TRUTH.clone()
    truth[:, 1] = value
    present = torch.rand(truth.shape, generator=torch.Generator().manual_seed(3)) > 0.5 if masked else None
    if present is not None:
        present[0, 1] = False
        truth = torch.where(present, truth, 0)
    [told] = measured(choose(["mae"], {}), material(truth, present=present))
    assert "channel u: expected true values that differ, got a constant" in getattr(told, "reason", ""), told


def test_persistence_holds_the_last_known_frame_and_climatology_is_the_other_clips(results: dict[str, Result]) -> None:
    held = TRUTH[:, :, [1, 1, 1]]
    wanted = mae(held, TRUTH[:, :, NEW])
    for name in ("crps", "mae"):
        for place, channel in enumerate(CHANNELS):
            row = results[name].details["channels"][channel.name]["plain"]["persistence"]
            assert row["by_frame"] == pytest.approx(wanted[place].tolist(), rel=1e-4), name
    others = torch.stack([TRUTH[[(k + step) % CASES for k in range(CASES)]] for step in range(1, CASES)])
    wanted = crps(others[:, :, :, NEW], TRUTH[:, :, NEW])
    row = results["crps"].details["channels"]["u"]["plain"]["climatology"]
    assert row["by_frame"] == pytest.approx(wanted[1].tolist(), rel=1e-4)
    assert set(results["crps"].plain) == {"persistence", "climatology"} and not results["spread_skill"].plain
    last = taken(["mae"], material(known=(0, 4)))["mae"]
    held = mae(TRUTH[:, :, [0, 0, 0]], TRUTH[:, :, 1:4])
    row = last.details["channels"]["t"]["plain"]["persistence"]
    assert last.details["frames"] == [1, 2, 3] and row["by_frame"] == pytest.approx(held[0].tolist(), rel=1e-4)


def test_maps_are_means_at_each_place() -> None:
    own = material()
    taken(["rmse", "crps"], own)
    error = (MADE.mean(1) - TRUTH)[:, :, NEW].square().mean(0).sqrt()
    assert torch.allclose(own.seen.places["rmse"]["u"].double(), error[1], rtol=1e-4)
    assert own.seen.places["crps"]["t"].shape == (3, 6, 8)


def test_values_that_are_missing_change_nothing() -> None:
    present = torch.rand(TRUTH.shape, generator=DRAW) < 0.7
    present[2] = True
    wild = torch.where(present, TRUTH, -9e3)
    one, other = (taken(NAMES[:5], material(truth, present=present)) for truth in (TRUTH, wild))
    assert one == other
    members, truth = MADE.transpose(0, 1)[:, :, :, NEW], TRUTH[:, :, NEW]
    wanted = crps(members, truth, present=present[:, :, NEW])
    assert one["crps"].details["channels"]["t"]["by_frame"] == pytest.approx(wanted[0].tolist(), rel=1e-4)
    (refused,) = measured(choose(["spectrum"], {}), material(present=present))
    assert isinstance(refused, Unavailable) and "without missing values" in refused.reason


def test_ranks_of_a_perfect_ensemble_are_nearly_flat_and_of_a_narrow_one_are_not(results: dict[str, Result]) -> None:
    shares = results["rank_histogram"].details["ranks"]
    counts = rank_histogram(MADE.transpose(0, 1)[:, :, :, NEW], TRUTH[:, :, NEW]).double()
    assert shares["t"] == pytest.approx((counts[0] / counts[0].sum()).tolist(), abs=2e-3)
    assert results["rank_histogram"].value < 5
    narrow = material(made=280 + 0.1 * (MADE - 280))
    assert taken(["rank_histogram"], narrow)["rank_histogram"].value > 40
    assert taken(["spread_skill"], narrow)["spread_skill"].value < 0.2


def test_events_are_counted_over_the_members() -> None:
    measure = CriticalSuccess(thresholds=(281.0, 283.0), pool=2, channel="t")
    (result,) = measured([measure], material())
    assert isinstance(result, Result)
    repeated = TRUTH[:, None].expand(-1, MEMBERS, -1, -1, -1, -1).flatten(0, 1)
    pairs = (values[:, :1, NEW] for values in (MADE.flatten(0, 1), repeated))
    wanted = csi(*pairs, (281.0, 283.0), pool=2)
    rows = result.details["thresholds"]
    for place, name in enumerate(("281", "283")):
        assert rows["made"][name]["by_frame"] == pytest.approx(wanted[place, 0].tolist())
    assert result.value == pytest.approx(np.mean([rows["made"][name]["value"] for name in ("281", "283")]))
    assert 0 < result.plain["persistence"] < 1 and result.details["channel"] == "t [K]"
    for asked, reason in (
        (CriticalSuccess(), "no threshold was named"),
        (CriticalSuccess(thresholds=(400.0,)), "expected events of at least 400"),
        (CriticalSuccess(thresholds=(1.0,), channel="tt"), "unknown channel 'tt'; known: t, u"),
        (CriticalSuccess(thresholds=(1.0,), pool=9), "blocks of at most 6 pixels"),
    ):
        (refused,) = measured([asked], material())
        assert isinstance(refused, Unavailable) and reason in refused.reason


def test_spectra_are_compared_in_decibels() -> None:
    half = material(made=(TRUTH / 2)[:, None], known=())
    result = taken(["spectrum"], half)["spectrum"]
    assert result.value == pytest.approx(20 * math.log10(2), rel=1e-5)
    row = result.details["spectra"]["t"]
    assert row["decibels"] == pytest.approx([-20 * math.log10(2)] * len(row["power"]), rel=1e-5)
    ratio = spectral_ratio(MADE[:, 0], TRUTH)[:, NEW, 1:]
    found = taken(["spectrum"], material(made=MADE[:, :1]))["spectrum"]
    assert found.value == pytest.approx(float((10 * ratio.log10()).abs().mean()), rel=1e-4)


def test_other_measures_leave_given_frames_out() -> None:
    channels = tuple(Channel(name=name, scale=CHANNELS[0].scale) for name in "ab")
    made, truth = (torch.randn(3, 2, *SHAPE.sizes, generator=DRAW) for _ in range(2))
    made[:, :, :2] = truth[:, :, :2]
    bounded = [channel.with_(scale={"type": "range", "lo": 0, "hi": 1}) for channel in channels]
    pairs = [Clips(SHAPE, 3, x.__getitem__, channels=tuple(bounded)) for x in (made, truth)]
    own = Material(*pairs, paired=True, known=KNOWN)
    wanted = [10 * math.log10(4 / float((made - truth)[:, :, k].square().mean())) for k in NEW]
    assert taken(["psnr"], own)["psnr"].details["by_frame"] == pytest.approx(wanted, rel=1e-5)


def test_what_cannot_be_measured_says_why() -> None:
    alone = material(made=MADE[:, :1])
    found = measured(choose(["crps", "mae"], {}), alone)
    assert isinstance(found[0], Unavailable) and "--members N" in found[0].reason
    assert isinstance(found[1], Result)
    free = Material(clips(MADE[:, 0]), clips(TRUTH))
    (refused,) = measured(choose(["rmse"], {}), free)
    assert isinstance(refused, Unavailable) and "--known FRAMES" in refused.reason
    still = material(torch.full_like(TRUTH, 280.0))
    (refused,) = measured(choose(["rmse"], {}), still)
    assert isinstance(refused, Unavailable) and "channel t: expected true values that differ" in refused.reason


def test_clips_of_videos_in_memory() -> None:
    videos = [Fields(values.numpy(), CHANNELS, 1) for values in TRUTH.float()]
    own = Clips.of(videos)
    assert own.shape == SHAPE and len(own) == CASES and own.channels == CHANNELS
    assert torch.allclose(own.read(2), to_model(TRUTH[2], CHANNELS).float(), atol=1e-4)
    with pytest.raises(ValueError, match="videos: expected all of one shape"):
        Clips.of([videos[0], Fields(videos[1].values[:, :3], CHANNELS, 1)])
    with pytest.raises(ValueError, match="videos: expected at least one"):
        Clips.of([])


def test_missing_values_of_videos_in_memory_count_in_nothing() -> None:
    gap = torch.zeros(TRUTH.shape, dtype=torch.bool)
    gap[0, :, 3, 1, 2] = True
    lacking, made = ([Fields(one.numpy(), CHANNELS, 1) for one in x.float()] for x in (TRUTH, MADE.flatten(0, 1)))
    lacking[0].values[gap[0].numpy()] = np.nan
    own = Material(Clips.of(made), Clips.of(lacking), paired=True, members=MEMBERS, known=KNOWN)
    found, wanted = taken(NAMES[:5], own), taken(NAMES[:5], material(present=~gap))
    for name in NAMES[:5]:
        assert found[name].value == pytest.approx(wanted[name].value, rel=1e-3), name
    (refused,) = measured(choose(["spectrum"], {}), own)
    assert isinstance(refused, Unavailable) and "real clips without missing values" in refused.reason
    wrong = Material(Clips.of(lacking), Clips.of(lacking), paired=True, known=KNOWN)
    (refused,) = measured(choose(["mae"], {}), wrong)
    assert isinstance(refused, Unavailable) and "generated videos without missing values" in refused.reason


def test_a_climatology_does_not_know_the_truth() -> None:
    """Where clips come again, as they do when more are asked for than there are."""
    twice = [TRUTH[:3], MADE[:3]]
    once = taken(["mae"], material(*twice))["mae"].plain["climatology"]
    again = taken(["mae"], material(*(torch.cat([one, one]) for one in twice)))["mae"].plain["climatology"]
    assert again == pytest.approx(once, rel=1e-6)
    still = taken(["mae"], material(TRUTH[:1].expand(3, -1, -1, -1, -1), MADE[:3]))["mae"]
    assert set(still.plain) == {"persistence"}


@pytest.mark.parametrize("scale", [Log(floor=0.1, hi=100), Deviation(mean=8, deviation=3), Range(lo=0, hi=70)])
def test_a_value_of_the_threshold_is_an_event(scale: Scale) -> None:
    """Gauges and radars count in steps, and videos are kept in float32 on a scale."""
    channels = (Channel(name="rain", unit="mm", scale=scale),)
    steps = torch.arange(1, 31, dtype=torch.float64)
    truth = steps.view(1, 1, 5, 6, 1).expand(-1, -1, -1, -1, 8)
    made, real = (clips(values, channels=channels) for values in (truth.repeat(2, 1, 1, 1, 1), truth))
    own = Material(made, real, paired=True, members=2)
    for threshold in steps.tolist():
        (found,) = measured([CriticalSuccess(thresholds=(threshold,))], own)
        assert isinstance(found, Result) and found.value == 1
        measure = CriticalSuccess(thresholds=(threshold,))
        counts = measure._events(next(iter(Cases(own)))[""], 0, [_lowest(channels[0], threshold)]).sum(-1)
        assert int(counts[0]) == 2 * 8 * (31 - threshold)
    assert _lowest(channels[0], -1.0) <= -1.0


def test_events_of_several_channels_have_names_of_their_own() -> None:
    measures = [CriticalSuccess(thresholds=(1.0,), channel=name) for name in ("t", "u")]
    assert [one.name for one in measured(measures, material())] == ["csi[t]", "csi[u]"]


def test_a_jackknife_of_a_mean_is_its_usual_interval() -> None:
    values = [1.0, 4.0, 2.0, 7.0]
    without = [(sum(values) - one) / 3 for one in values]
    assert jackknife(without) == pytest.approx(Mean.of(values).half)
    assert jackknife([1.0]) is None and jackknife([1.0, math.nan]) is None
