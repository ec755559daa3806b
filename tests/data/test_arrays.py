"""Arrays on disk: the same clips from every format, each once a pass, read lazily, in any process."""

import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import nibabel
import numpy as np
import pytest
import torch
import zarr
from arrays import CLIP, HOURLY, SCALE, channels, dataset, every_format, source, waves
from hypothesis import given, settings
from hypothesis import strategies as st

from zoetrope.data import Source
from zoetrope.data.arrays import Arrays
from zoetrope.data.arrays.dataset import means, runs
from zoetrope.data.arrays.inventory import inventory
from zoetrope.data.arrays.order import Orders, shuffled
from zoetrope.data.arrays.reading import open_reader
from zoetrope.shapes import VideoShape, Window

VALUES = waves()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    return every_format(tmp_path_factory.mktemp("formats"), VALUES)


FORMATS = ("one.npy", "turned.npy", "plain.npz", "packed.npz", "one.h5", "two2.zarr", "two3.zarr", "one.nc")
FORMATS += ("one.tif", "packed.tif", "one.nii.gz")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_clips_bit_for_bit(files: dict[str, tuple[Path, str]], name: str) -> None:
    path, axes = files[name]
    made = source(path, axes=axes)
    assert Source.from_json(made.to_json()) == made
    opened = made.open()
    first, second = opened.example(2, CLIP), opened.example(2, CLIP)
    assert torch.equal(first.video, second.video) and first.name == second.name
    start = int(first.name.rpartition(" ")[2])
    expected = SCALE.to_model(torch.from_numpy(VALUES[start : start + 3].astype(np.float64))).float()
    assert torch.equal(first.video, expected.transpose(0, 1)) and first.video.dtype == torch.float32
    assert first.present is None and first.text == "" and not first.told
    assert opened.channels() == tuple(channels("u", "v").values())
    box = Window(range(1, 3), range(1, 3), range(2, 6))
    assert torch.equal(opened.part(2, CLIP, box).video, box.of(first.video))
    assert torch.equal(opened.frames(2, CLIP, [2, 0]).video, first.video[:, [2, 0]])


@pytest.mark.parametrize("name", FORMATS)
def test_any_box_of_any_format(files: dict[str, tuple[Path, str]], name: str) -> None:
    path, axes = files[name]
    reader = open_reader(path)
    array = next(iter(reader.fields)) if "" in reader.fields else "u"
    shape = reader.fields[array].shape
    whole = reader.read(array, tuple(slice(0, size, 1) for size in shape))
    assert whole.dtype == np.float64 and np.isfinite(whole).all() and len(np.unique(whole)) == whole.size
    draw = np.random.default_rng(0)
    for _ in range(12):
        starts = [int(draw.integers(size)) for size in shape]
        box = tuple(
            slice(start, int(draw.integers(start + 1, size + 1)), int(draw.integers(1, 3)))
            for start, size in zip(starts, shape, strict=True)
        )
        assert np.array_equal(reader.read(array, box), whole[box]), (name, axes, box)
    reader.close()


def test_a_pass_shows_every_clip_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", VALUES[: 3 + 2 * number])
    opened = source(tmp_path, axes="tcyx").open()
    assert opened.count(CLIP) == 1 + 3 + 5
    passes = [[opened.example(9 * turn + place, CLIP).name for place in range(9)] for turn in range(3)]
    assert all(len(set(one)) == 9 and set(one) == set(passes[0]) for one in passes)
    assert passes[0] != passes[1] != passes[2]
    assert Counter(name.partition(".npy")[0][-1] for name in passes[0]) == {"0": 1, "1": 3, "2": 5}
    again = source(tmp_path, axes="tcyx", seed=1).open()
    assert [again.example(place, CLIP).name for place in range(9)] != passes[0]
    strided = source(tmp_path, axes="tcyx", stride=2).open()
    starts = [int(strided.example(place, CLIP).name.rpartition(" ")[2]) for place in range(strided.count(CLIP))]
    assert sorted(starts) == [0, 0, 0, 2, 2, 4]
    with pytest.raises(ValueError, match="index: expected 0 or more"):
        opened.example(-1, CLIP)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 300), st.integers(0, 5))
def test_places_are_a_permutation(count: int, turn: int) -> None:
    orders = Orders(0)
    assert sorted(orders.place(turn, number, count) for number in range(count)) == list(range(count))
    assert sorted(shuffled((0, turn), number, count) for number in range(count)) == list(range(count))


def test_orders_are_spread_evenly() -> None:
    """Each part of few and of very many things is as often at each part of the places, within 4.5 deviations."""
    for count in (5, 10**7):
        orders, table = Orders(7), np.zeros((5, 5))
        for turn in range(400):
            for number in range(5):
                table[number, orders.place(turn, number * count // 5, count) * 5 // count] += 1
        assert np.abs(table - 80).max() < 4.5 * np.sqrt(80 * 0.8)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=12))
def test_runs_are_the_same_frames(frames: list[int]) -> None:
    assert [frame for run in runs(frames) for frame in range(run.start, run.stop, run.step)] == frames


def test_rate_step_and_grid(tmp_path: Path) -> None:
    values = np.arange(12.0)[:, None, None] + np.zeros((12, 8, 12))
    np.save(tmp_path / "long.npy", values)
    opened = source(tmp_path / "long.npy", "u", rate=6.0).open()
    assert opened.gives(CLIP.with_(fps=2)) and opened.count(CLIP.with_(fps=2)) == 12 - 6
    clip = opened.example(0, CLIP.with_(fps=2)).video[0, :, 0, 0] * SCALE.deviation
    assert clip.diff().tolist() == [3.0, 3.0]
    assert not opened.gives(CLIP.with_(fps=4)) and not opened.gives(CLIP.with_(frames=13, fps=6))
    with pytest.raises(ValueError, match=r"long\.npy: 3x4x6@4fps has not the rate .* expected a stage of 3 fps"):
        opened.example(0, CLIP.with_(fps=4))
    with pytest.raises(ValueError, match="no recording has 13 frames at 6 fps; the most that fit is 12"):
        opened.example(0, CLIP.with_(frames=13, fps=6))
    picture = opened.example(3, CLIP.with_(frames=1, fps=4)).video
    assert picture.shape == (1, 1, 4, 6) and opened.count(CLIP.with_(frames=1)) == 12
    free = source(tmp_path / "long.npy", "u", rate=None, step=4).open()
    assert free.example(0, CLIP).video[0, :, 0, 0].diff().tolist() == [2.0, 2.0]


def test_finer_grids_become_means_or_parts(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(4, 8, 12))
    np.save(tmp_path / "fine.npy", values)
    opened = source(tmp_path / "fine.npy", "u").open()
    whole = opened.example(1, CLIP)
    start = int(whole.name.rpartition(" ")[2])
    blocks = values[start : start + 3].reshape(3, 4, 2, 6, 2).mean((2, 4))
    assert torch.allclose(whole.video[0], SCALE.to_model(torch.from_numpy(blocks)).float(), atol=1e-6)
    box = Window(range(0, 2), range(1, 3), range(3, 5))
    assert torch.equal(opened.part(1, CLIP, box).video, box.of(whole.video))
    parts = source(tmp_path / "fine.npy", "u", fit="crop").open()
    seen = set()
    for index in range(24):
        part = parts.example(index, CLIP)
        start = int(part.name.rpartition(" ")[2])
        found = [
            (top, left)
            for top in range(5)
            for left in range(7)
            if np.allclose(
                SCALE.to_units(part.video[0]).numpy(), values[start : start + 3, top : top + 4, left : left + 6]
            )
        ]
        seen.update(found)
        assert len(found) == 1
    assert len(seen) > 8
    for shape, words in (
        (CLIP.with_(height=3), "has 8 pixels of height, expected a multiple of 3; a stage of 2 fits"),
        (CLIP.with_(height=9), "has 8 pixels of height, expected at least 9"),
        (CLIP.with_(height=8), "is 8x12, which 8x6 squeezes"),
    ):
        assert not opened.gives(shape)
        with pytest.raises(ValueError, match=words):
            opened.example(0, shape)


def test_means_leave_out_what_is_missing() -> None:
    values = np.array(
        [[1.0, np.nan, 5.0, 5.0], [3.0, np.nan, np.nan, np.nan], [np.nan, 7.0, 1.0, 2.0], [8.0, 9.0, 3.0, 4.0]]
    )
    assert np.array_equal(means(values, (2, 2)), [[2.0, 5.0], [8.0, 2.5]], equal_nan=True)
    assert np.isnan(means(np.full((2, 2), np.nan), (2, 2))).all()
    assert np.isnan(means(np.array([[1.0, np.nan], [np.nan, np.nan]]), (2, 2))).all()


def test_recordings_along_other_axes_and_entries_of_vectors(tmp_path: Path) -> None:
    """The layout of The Well: (trajectory, time, x, y[, D])."""
    draw = np.random.default_rng(1)
    density, velocity = draw.normal(size=(2, 5, 6, 4)), draw.normal(size=(2, 5, 6, 4, 2))
    with h5py.File(tmp_path / "well.hdf5", "w") as file:
        file["t0_fields/density"], file["t1_fields/velocity"] = density, velocity
        file["scalars/gamma"] = 1.4
    made = source(tmp_path / "well.hdf5", "t0_fields/density", axes="trajectory,time,x,y,c")
    made = made.with_(
        variables={
            **channels("t0_fields/density"),
            "t1_fields/velocity[1]": channels("v")["v"],
            "t1_fields/velocity[0]": channels("u")["u"],
        }
    )
    opened = made.open()
    assert len(opened.survey.recordings) == 2 and opened.count(CLIP) == 6
    for index in range(6):
        clip = opened.example(index, CLIP)
        number, start = int(clip.name.split("trajectory=")[1][0]), int(clip.name.rpartition(" ")[2])
        span = slice(start, start + 3)
        expected = [density[number, span], velocity[number, span, ..., 1], velocity[number, span, ..., 0]]
        units = SCALE.to_units(clip.video).numpy()
        assert np.allclose(units, np.stack(expected).transpose(0, 1, 3, 2), atol=1e-5)


def test_entries_of_an_array_without_a_name(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", VALUES)
    picked = Arrays(path=str(tmp_path / "one.npy"), variables={"[1]": channels("v")["v"]}, axes="tcyx").open()
    both = source(tmp_path / "one.npy", axes="tcyx").open()
    assert torch.equal(picked.example(1, CLIP).video[0], both.example(1, CLIP).video[1])


def test_times_of_files_say_the_rate(tmp_path: Path) -> None:
    u = VALUES[:, 0]
    hourly = VideoShape(frames=3, height=4, width=6, fps=1 / 3600)
    dataset({"u": u}).to_netcdf(tmp_path / "hours.nc")
    dataset({"u": u}, calendar="360_day", unit="days since 1850-02-30").to_netcdf(tmp_path / "days.nc")
    opened = source(tmp_path / "hours.nc", "u", rate=None).open()
    assert opened.survey.rate == pytest.approx(1 / 3600)
    assert opened.gives(hourly) and not opened.gives(CLIP)
    assert opened.gives(hourly.with_(fps=1 / 7200)) and opened.count(hourly.with_(fps=1 / 7200)) == 3
    model_years = source(tmp_path / "days.nc", "u", rate=None, start="1850-02-30", stop="1850-03-05").open()
    assert model_years.survey.rate == pytest.approx(1 / 86400)
    assert [(one.start, one.frames) for one in model_years.survey.recordings] == [(0, 5)]
    dataset({"u": u}).to_zarr(tmp_path / "hours.zarr", consolidated=False)
    assert source(tmp_path / "hours.zarr", "u", rate=None).open().survey.rate == pytest.approx(1 / 3600)
    assert HOURLY.startswith("hours")


def test_packed_values_and_missing_ones_are_decoded(tmp_path: Path) -> None:
    """As the CF conventions say: scale_factor, add_offset and _FillValue, in netCDF, zarr 2 and 3, and HDF5."""
    u = VALUES[:, 0].round(1)
    u[1, 2, 3] = np.nan
    packing = {"u": {"dtype": "int16", "scale_factor": 0.1, "add_offset": 5.0, "_FillValue": -999}}
    made = dataset({"u": u})
    made.to_netcdf(tmp_path / "a.nc", encoding=packing)
    made.to_netcdf(tmp_path / "b.h5", encoding=packing)
    for kind in (2, 3):
        made.to_zarr(tmp_path / f"c{kind}.zarr", encoding=packing, zarr_format=kind, consolidated=False)
    for name in ("a.nc", "b.h5", "c2.zarr", "c3.zarr"):
        reader = open_reader(tmp_path / name)
        read = reader.read("u", (slice(0, 7, 1), slice(0, 4, 1), slice(0, 6, 1)))
        assert np.allclose(read, u, atol=1e-6, equal_nan=True), name
        assert reader.fields["u"].unit == "m s-1" and reader.fields["u"].dims[0] == "time"
        reader.close()


def beside_rain(path: Path, attributes: dict[str, Any], other: np.ndarray) -> Path:
    """A file with the plain array "u", and the array "other" with these attributes."""
    u = VALUES[:, 0]
    if path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["u"] = u
            file["other"] = other
            file["other"].attrs.update(attributes)
    elif path.suffix == ".zarr":
        group = zarr.open_group(str(path), mode="w", zarr_format=3 if "3" in path.stem else 2)
        group.create_array("u", data=u)
        kind = "str" if "words" in path.stem else other.dtype
        made = group.create_array("other", shape=other.shape, dtype=kind, attributes=attributes)
        made[...] = other
    else:
        with netCDF4.Dataset(path, "w") as file:
            for name, size in zip("tyx", u.shape, strict=True):
                file.createDimension(name, size)
            file.createVariable("u", "f4", ("t", "y", "x"))[:] = u
            file.createVariable("other", other.dtype, ("t",)).setncatts(attributes)
    return path


WORDS, FLAGS = np.array(list("abcdefg"), "S1"), np.zeros(7, np.int8)


@pytest.mark.parametrize(
    ("name", "attributes", "other", "said"),
    [
        ("a.h5", {"_FillValue": b"N/A"}, WORDS, r"other: expected numbers, got \|S1"),
        ("a.h5", {"missing_value": "none"}, FLAGS, "other: its attribute missing_value: expected a number, got 'none'"),
        ("a.h5", {"scale_factor": [1.0, 2.0]}, FLAGS, "other: its attribute scale_factor: expected a finite number"),
        ("a2.zarr", {"_FillValue": "N/A"}, WORDS.astype("U3"), "other: expected numbers, got <U3"),
        ("a3.zarr", {"_FillValue": "AAAA"}, FLAGS.astype("i2"), "other: its attribute _FillValue: expected a number"),
        ("words3.zarr", {"_FillValue": "AAAA"}, WORDS.astype("U3"), r"other: expected numbers, got StringDType\(\)"),
        ("a.nc", {"add_offset": np.array([1.0, 2.0])}, FLAGS, "other: its attributes cannot be read"),
    ],
)
def test_unfit_attributes_are_of_no_concern_to_other_arrays(
    tmp_path: Path, name: str, attributes: dict[str, Any], other: np.ndarray, said: str
) -> None:
    path = beside_rain(tmp_path / name, attributes, other)
    reader = open_reader(path)
    assert set(reader.fields) == {"u", "other"}
    reader.close()
    np.save(tmp_path / "u.npy", VALUES[:, 0])
    found, wanted = (source(one, "u").open().example(0, CLIP).video for one in (path, tmp_path / "u.npy"))
    assert torch.equal(found, wanted)
    with pytest.raises(ValueError, match=said):
        source(path, "other").open()
    assert any(line.startswith("other: 7") for line in inventory(path)[0].lines)


def test_a_type_that_numpy_does_not_have(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["u"] = VALUES[:, 0]
        h5py.h5d.create(file.id, b"time", h5py.h5t.UNIX_D32LE.copy(), h5py.h5s.create_simple((7,)))
    assert source(tmp_path / "a.h5", "u").open().count(CLIP) == 5
    with pytest.raises(ValueError, match=r"a\.h5: time: cannot be read \(No NumPy equivalent"):
        source(tmp_path / "a.h5", "time", axes="tyx").open()


def test_a_unit_that_nifti_does_not_have(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VALUES.transpose(3, 2, 1, 0), np.eye(4))
    image.header["xyzt_units"] = 200
    nibabel.save(image, tmp_path / "a.nii")
    opened = source(tmp_path / "a.nii", axes="x,y,c,t", rate=2.0).open()
    assert opened.survey.rate == 2 and opened.survey.files[0][1].clock is None


def test_a_data_set_travels_to_other_processes(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", VALUES)
    opened = source(tmp_path / "one.npy", axes="tcyx").open()
    here = opened.example(4, CLIP)
    there = pickle.loads(pickle.dumps(opened))
    assert torch.equal(there.example(4, CLIP).video, here.video)
    assert there.contents() == opened.contents() and opened.contents().clips == 1
    (tmp_path / "moved").mkdir()
    (tmp_path / "one.npy").rename(tmp_path / "moved/one.npy")
    moved = source(tmp_path / "moved/one.npy", axes="tcyx").located()
    assert Path(moved.path).is_absolute() and moved.open().contents() == opened.contents()


def test_whole_numbers_beside_one_that_stands_for_none(tmp_path: Path) -> None:
    values = np.arange(12 * 24).reshape(12, 4, 6)
    values[0, 0, 0] = np.iinfo(np.int64).min
    np.save(tmp_path / "one.npy", values)
    reader = open_reader(tmp_path / "one.npy")
    box = (slice(0, 2, 1), slice(0, 4, 1), slice(0, 6, 1))
    with pytest.raises(ValueError, match="expected whole numbers up to"):
        reader.read("", box)
    read = reader.read("", box, (float(np.iinfo(np.int64).min),))
    assert np.isnan(read[0, 0, 0]) and np.array_equal(read.flatten()[1:], np.arange(1.0, 48))


READ = """
import json, sys
import torch
from zoetrope.data import Source
from zoetrope.shapes import VideoShape
from zoetrope.training.meters import peak_memory
source = Source.from_json(sys.argv[1])
shape = VideoShape(frames=8, height=64, width=64, fps=1)
opened = source.open()
opened.example(0, shape)
before = peak_memory(torch.device("cpu")) // 1024
names = {opened.example(index, shape).name for index in range(200)}
assert len(names) == 200
after = peak_memory(torch.device("cpu")) // 1024
print(json.dumps([opened.count(shape), before, after]))
"""


def test_twenty_gigabytes_are_read_in_little_memory(tmp_path: Path) -> None:
    """A sparse file of 20 GB; 200 clips of 8 frames of it, 26 MB, need less than 60 MB more than one clip."""
    frames = 20 * 10**9 // (64 * 64 * 4)
    with open(tmp_path / "long.npy", "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (frames, 64, 64)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + frames * 64 * 64 * 4)
    if (tmp_path / "long.npy").stat().st_blocks * 512 > 10**8:
        pytest.skip("this file system has no sparse files")
    said = str(source(tmp_path / "long.npy", "u").to_json()).replace("'", '"').replace("None", "null")
    done = subprocess.run([sys.executable, "-c", READ, said], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    count, before, after = np.array(done.stdout.strip("[]\n").split(","), dtype=float)
    assert count == frames - 7
    assert after - before < 60_000  # kilobytes


def test_frames_in_any_order_of_a_recording_that_ends_before_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", u=waves()[:, 0], v=waves()[:, 1], push=np.arange(14.0).reshape(7, 2))
    own = source(tmp_path / "a.npz", short="mask", beside={"push": {"kind": "action", "array": "push"}})
    shape = CLIP.with_(frames=9)
    whole = own.open().example(0, shape)
    for order in ([8, 0], [1, 0, 2], [3, 3, 8, 1], list(range(9))):
        found = own.open().frames(0, shape, order)
        assert torch.equal(found.video, whole.video[:, order])
        assert whole.present is not None
        there = torch.ones_like(found.video, dtype=torch.bool) if found.present is None else found.present
        assert torch.equal(there, whole.present[:, order])
        torch.testing.assert_close(found.beside["push"], whole.beside["push"][order], equal_nan=True)
