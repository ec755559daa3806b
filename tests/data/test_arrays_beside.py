"""Arrays beside recordings: actions and maps in the files of the videos, or in files that an index names."""

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import xarray
from arrays import SCALE, channels

from zoetrope.data.arrays import Arrays
from zoetrope.data.arrays.beside import BesideArray
from zoetrope.shapes import VideoShape, Window

ACTION = BesideArray(kind="action", array="actions")
LAND = BesideArray(kind="map", array="land")
SHAPE = VideoShape(frames=3, height=4, width=8, fps=1)


def file(folder: Path, kind: str, frames: int = 6) -> Path:
    """A recording whose values and actions are the numbers of their frames, and a coarse map."""
    u = np.broadcast_to(np.arange(float(frames))[:, None, None], (frames, 8, 16)).copy()
    actions, land = np.stack([np.arange(frames), -np.arange(frames)], -1), np.array([[0.0, 1.0], [2.0, 3.0]])
    path = folder / f"one.{kind}"
    if kind == "npz":
        np.savez(path, u=u, actions=actions, land=land)
    elif kind == "nc":
        arrays = {"u": (("time", "y", "x"), u), "actions": (("time", "k"), actions), "land": (("j", "i"), land)}
        xarray.Dataset(arrays).to_netcdf(path)
    else:
        with h5py.File(path, "w") as opened:
            opened["u"], opened["actions"], opened["land"] = u, actions, land
    return path


def source(path: Path, **fields: object) -> Arrays:
    return Arrays(path=str(path), variables=channels("u"), rate=1.0, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["npz", "h5", "nc"])
def test_actions_and_maps_of_a_file_are_those_of_the_frames(tmp_path: Path, kind: str) -> None:
    made = source(file(tmp_path, kind), beside={"action": ACTION, "land": LAND})
    assert Arrays.from_json(made.to_json()) == made
    opened = made.open()
    assert opened.tells() == {"action": "action", "land": "map"}
    for index in range(4):
        one = opened.example(index, SHAPE)
        torch.testing.assert_close(SCALE.to_units(one.video[0, :, 0, 0]), one.beside["action"][:, 0])
        assert one.beside["action"].shape == (3, 2)
        assert torch.equal(one.beside["action"][:, 1], -one.beside["action"][:, 0])
        assert one.beside["land"].shape == (1, *SHAPE.sizes)
        assert one.beside["land"][0, 0, [0, 0, -1, -1], [0, -1, 0, -1]].tolist() == [0, 1, 2, 3]
        window = Window(range(1, 3), range(2), range(4, 8))
        part = opened.part(index, SHAPE, window)
        assert torch.equal(part.beside["action"], one.beside["action"][1:])
        assert torch.equal(part.beside["land"], window.of(one.beside["land"]))
        some = opened.frames(index, SHAPE, [2, 0])
        assert torch.equal(some.beside["action"], one.beside["action"][[2, 0]])


def test_every_second_frame_and_frames_after_the_end(tmp_path: Path) -> None:
    path = file(tmp_path, "npz")
    opened = source(path, beside={"action": ACTION}, step=2).open()
    assert opened.example(0, SHAPE).beside["action"][:, 0].diff().tolist() == [2, 2]
    longer = SHAPE.with_(frames=8)
    short = source(path, beside={"action": ACTION, "land": LAND}, short="mask").open().example(0, longer)
    assert short.beside["action"].isnan().all(1).tolist() == [False] * 6 + [True] * 2
    assert short.beside["land"].isfinite().all()


@pytest.mark.parametrize("left", [1, 2])
def test_a_map_of_each_frame_ends_with_its_recording(tmp_path: Path, left: int) -> None:
    """However few of its frames are left."""
    frames = np.arange(float(left))[:, None, None] * np.ones((left, 8, 16))
    np.savez(tmp_path / "one.npz", u=frames, depth=frames)
    depth, shape = BesideArray(kind="map", array="depth", axes="t,y,x"), SHAPE.with_(frames=2 * left)
    made = source(tmp_path / "one.npz", beside={"depth": depth}, short="mask").open().example(0, shape)
    assert made.beside["depth"].shape == (1, *shape.sizes)
    assert made.beside["depth"].isnan().flatten(2).all(2).tolist() == [[False] * left + [True] * left]


def test_a_part_of_full_resolution_has_the_same_part_of_its_map(tmp_path: Path) -> None:
    place = np.arange(8 * 16.0).reshape(8, 16)
    np.savez(tmp_path / "one.npz", u=np.stack([place] * 3), land=place)
    opened = source(tmp_path / "one.npz", beside={"land": LAND}, fit="crop").open()
    for index in range(3):
        one = opened.example(index, SHAPE)
        torch.testing.assert_close(SCALE.to_units(one.video), one.beside["land"])


def test_an_index_names_the_files_of_actions_and_of_maps(tmp_path: Path) -> None:
    with (tmp_path / "index.csv").open("w", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(["file", "keys", "mask"])
        for number in range(2):
            np.save(tmp_path / f"{number}.npy", np.full((3, 4, 8), float(number)))
            np.save(tmp_path / f"{number}-keys.npy", np.full((3, 2), float(number)))
            np.save(tmp_path / f"{number}-mask.npy", np.full((3, 4, 8), float(number)))
            rows.writerow([f"{number}.npy", f"{number}-keys.npy", f"{number}-mask.npy" if number else ""])
    beside = {
        "action": BesideArray(kind="action", column="keys"),
        "land": BesideArray(kind="map", column="mask", axes="t,y,x"),
    }
    made = source(tmp_path / "index.csv", beside=beside).open()
    found = sorted((made.example(index, SHAPE) for index in range(2)), key=lambda one: one.name)
    assert [float(one.beside["action"][0, 0]) for one in found] == [0, 1]
    assert "land" not in found[0].beside and found[1].beside["land"].eq(1).all()
    with pytest.raises(ValueError, match="unknown column 'key'; did you mean 'keys'"):
        source(tmp_path / "index.csv", beside={"action": BesideArray(kind="action", column="key")}).open()
    (tmp_path / "0-keys.npy").unlink()
    with pytest.raises(ValueError, match=r"index.csv:2: beside 'action': .*0-keys.npy: there is no such file"):
        made.source.open()


def test_recordings_apart_have_their_own(tmp_path: Path) -> None:
    u = np.broadcast_to(np.arange(2.0)[:, None, None, None], (2, 3, 4, 8)).copy()
    np.savez(tmp_path / "two.npz", u=u, actions=np.broadcast_to(np.arange(2.0)[:, None, None], (2, 3, 2)).copy())
    beside = {"action": ACTION.with_(axes="n,t,c")}
    opened = source(tmp_path / "two.npz", axes="n,t,y,x", beside=beside).open()
    for index in range(2):
        one = opened.example(index, SHAPE)
        assert one.beside["action"].unique().tolist() == [float("n=1" in one.name)]


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (BesideArray(kind="action", array="action"), "unknown array 'action'; did you mean 'actions'"),
        (BesideArray(kind="action", array="land"), r"land: expected 6 frames, as the videos have, got 2"),
        (BesideArray(kind="map", array="actions", axes="t,y,x"), r"expected the axes 't,y,x', got the shape \(6, 2\)"),
        (BesideArray(kind="action", array="actions", axes="t,m"), "expected axes of the videos.* got 'm'"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, array: BesideArray, told: str) -> None:
    path = file(tmp_path, "npz")
    with pytest.raises(ValueError, match=told):
        source(path, beside={"x": array}).open()
    with pytest.raises(ValueError, match="beside: expected an index file as the path"):
        source(path, beside={"x": array.with_(column="keys")}).open()
    with pytest.raises(ValueError, match="expected those of vectors in time"):
        BesideArray(kind="action", axes="y,x")


def test_stored_values_that_stand_for_none(tmp_path: Path) -> None:
    """Those of the source hold for videos beside; actions and maps, of other quantities, have their own."""
    u = np.arange(6.0)[:, None, None].repeat(8, 1).repeat(16, 2)
    coarse, land = u[:, ::2, ::2].copy(), np.array([[0.0, -9.0], [-9.0, 3.0]])
    u[2, 0, 0] = coarse[2, 0, 0] = -9.0
    np.savez(tmp_path / "one.npz", u=u, coarse=coarse, land=land, actions=np.array([[0.0, -9.0]] * 6))
    beside = {
        "land": LAND,
        "sea": LAND.with_(fill=(0.0,)),
        "action": ACTION,
        "keys": ACTION.with_(fill=(-9.0,)),
        "coarse": BesideArray(kind="video", array="coarse"),
    }
    whole, path = SHAPE.with_(frames=6, height=8, width=16), tmp_path / "one.npz"
    found = source(path, beside=beside, fill=(-9.0,), missing="mask").open().example(0, whole)
    assert found.present is not None and not bool(found.present[0, 2, 0, 0]) and int((~found.present).sum()) == 1
    missing = found.beside["coarse"].isnan()
    assert bool(missing[0, 2, 0, 0]) and int(missing.sum()) == 1
    assert float(found.beside["land"].min()) == -9 and found.beside["sea"].isnan().any()
    assert found.beside["action"][:, 1].tolist() == [-9.0] * 6 and found.beside["keys"][:, 1].isnan().all()
    own = {"coarse": beside["coarse"].with_(fill=())}
    assert (
        source(path, beside=own, fill=(-9.0,), missing="mask")
        .open()
        .example(0, whole)
        .beside["coarse"]
        .isfinite()
        .all()
    )
    np.savez(path, u=u[3:], coarse=coarse[:3])
    with pytest.raises(ValueError, match=r"beside 'coarse': expected values everywhere, got 1 missing value"):
        source(path, beside={"coarse": beside["coarse"]}, fill=(-9.0,)).open().example(0, whole.with_(frames=3))
