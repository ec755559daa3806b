"""Ensembles in memory and in files, along an axis of members."""

from pathlib import Path

import numpy as np
import pytest
import xarray

from zoetrope.channels import Channel
from zoetrope.fields import Ensemble, Fields, read_maps, read_values, tags_in
from zoetrope.scales.deviation import Deviation
from zoetrope.scales.range import Range
from zoetrope.video import Video, read

CHANNELS = (
    Channel(name="rain", unit="mm h-1", scale=Range(lo=0, hi=9)),
    Channel(name="wind", scale=Deviation(deviation=2.0)),
)


def ensemble(count: int = 3) -> Ensemble:
    values = np.random.default_rng(0).random((count, 2, 4, 5, 6)).astype(np.float32)
    return Ensemble(tuple(Fields(one, CHANNELS, 2.0) for one in values))


@pytest.mark.parametrize("kind", ["npz", "nc", "zarr"])
def test_all_members_are_in_one_file(tmp_path: Path, kind: str) -> None:
    own, path = ensemble(), tmp_path / f"all.{kind}"
    assert own.save(path, tags={"seed": "1"}) == [str(path)] and tags_in(str(path))["seed"] == "1"
    assert len(own) == 3 and own["rain"].shape == (3, 4, 5, 6) and own[1] is list(own)[1] and len(own[:2]) == 2
    for name in ("rain", "wind"):
        np.testing.assert_array_equal(read_maps(path, name), own[name])
    if kind != "npz":
        open_ = xarray.open_zarr if kind == "zarr" else xarray.open_dataset
        with open_(path) as file:
            assert file["rain"].dims == ("member", "time", "y", "x") and file["member"].values.tolist() == [0, 1, 2]
            assert file["time"].values.tolist() == [0, 0.5, 1, 1.5] or file["time"].size == 4
    with pytest.raises(ValueError, match="rain: expected one video, got an ensemble of 3 members"):
        read_values(path, CHANNELS)
    alone = tmp_path / f"one.{kind}"
    Ensemble(own[:1]).save(alone)
    np.testing.assert_array_equal(read_values(alone, CHANNELS)[0], own["rain"][0])


def test_of_pictures_each_member_has_a_file(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (2, 3, 8, 8, 3), dtype=np.uint8)
    own = Ensemble(tuple(Video(one, 4.0) for one in frames))
    paths = own.save(tmp_path / "clip.gif")
    assert [Path(path).name for path in paths] == ["clip-001.gif", "clip-002.gif"]
    assert len(read(paths[1]).frames) == 3
    own.save(tmp_path / "clip.npz")
    with np.load(tmp_path / "clip.npz") as file:
        np.testing.assert_array_equal(file["green"], frames[..., 1])


def test_members_are_alike() -> None:
    with pytest.raises(ValueError, match="expected at least one member"):
        Ensemble(())
    with pytest.raises(ValueError, match="expected members alike"):
        Ensemble((ensemble()[0], Fields(np.zeros((2, 3, 5, 6)), CHANNELS, 2.0)))
    with pytest.raises(ValueError, match="rain"):
        ensemble()["rainn"]
    channel = CHANNELS[0]
    values = np.zeros((1, 2, 5, 6))
    for other, wrong in (
        (channel.with_(unit="m s-1"), "channel 'rain': expected the unit 'mm h-1', got 'm s-1', of another member"),
        (channel.with_(scale=Range(lo=0, hi=1)), "channel 'rain': expected the scale"),
    ):
        with pytest.raises(ValueError, match=wrong):
            Ensemble((Fields(values, [channel], 2.0), Fields(values, [other], 2.0)))
