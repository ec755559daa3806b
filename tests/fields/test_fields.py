"""Values in units in memory and in files, read back by the libraries of their formats; pictures through colour maps."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from zoetrope.channels import RGB, Channel
from zoetrope.fields import Fields, Look, check_file, read_maps, read_values, tags_in, video_of, views
from zoetrope.fields.colours import TABLES, coloured
from zoetrope.inputs._files import array_of
from zoetrope.scales.deviation import Deviation
from zoetrope.scales.log import Log
from zoetrope.scales.range import Range
from zoetrope.video import Video, read

CHANNELS = (
    Channel(name="rain", unit="mm h-1", scale=Log(floor=0.1, hi=100)),
    Channel(name="wind", unit="m s-1", scale=Deviation(mean=2, deviation=4)),
    Channel(name="cover", scale=Range(lo=0, hi=1)),
)


@pytest.fixture
def fields() -> Fields:
    x = torch.rand(3, 4, 6, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Fields.of_model(x, CHANNELS, 0.5)


def test_values_are_in_units_and_come_back() -> None:
    x = torch.tensor([-1.0, 0.0, 1.0, 1.5]).reshape(1, 1, 1, 4).expand(3, 2, 2, 4)
    made = video_of(x, CHANNELS, 2)
    assert isinstance(made, Fields)
    assert made["wind"][0, 0].tolist() == [-2, 2, 6, 8]  # not bounded, not clipped
    assert made["cover"][0, 0].tolist() == [0, 0.5, 1, 1]
    np.testing.assert_allclose(made["rain"][0, 0], [0, 0.1 * (1001**0.5 - 1), 100, 100], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(made.to_tensor()[1], x[1], rtol=0, atol=1e-6)
    assert made.times.tolist() == [0, 0.5] and made.frames.shape == (2, 2, 4, 3)
    assert repr(made) == "Fields(rain [mm h-1], wind [m s-1], cover; 2 frames of 2x4 at 2 fps)"
    assert type(video_of(x, RGB, 2)) is Video
    with pytest.raises(ValueError, match="unknown channel 'wnd'; did you mean 'wind'"):
        made["wnd"]
    with pytest.raises(ValueError, match=r"expected 3 channels, rain .* got 2"):
        Fields.of_model(x[:2], CHANNELS, 2)
    with pytest.raises(ValueError, match="finite"):
        Fields.of_model(x * float("nan"), CHANNELS, 2)


def test_npz(fields: Fields, tmp_path: Path) -> None:
    fields.save(tmp_path / "a.npz", tags={"title": "storm"})
    with np.load(tmp_path / "a.npz") as file:
        assert sorted(file.files) == ["about.json", "cover", "rain", "time", "wind"]
        assert all(np.array_equal(file[name], fields[name]) for name in ("cover", "rain", "wind"))
        assert file["time"].tolist() == [0, 2, 4, 6]
        about = json.loads(file["about.json"])
    assert about["channels"] == [channel.to_json() for channel in CHANNELS]
    assert tags_in(str(tmp_path / "a.npz")) == {"title": "storm"}


def test_a_damaged_npz_is_refused_by_name(fields: Fields, tmp_path: Path) -> None:
    """Whatever zipfile, zlib and NumPy raise; a byte of a name or of a length may also change nothing."""
    path = tmp_path / "a.npz"
    fields.save(path, tags={"title": "storm"})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    for look in (tags_in, lambda name: read_maps(name, "rain")):
        with pytest.raises(ValueError, match="expected a"):
            look(str(path))
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
        for look in (tags_in, lambda name: read_maps(name, "rain")):
            try:
                look(str(path))
            except ValueError as error:
                assert str(path) in str(error)
            except OSError as error:
                assert error.strerror == "Invalid argument"  # of a place before the beginning


@pytest.mark.parametrize("name", ["land.npy", "land.npz"])
def test_damaged_arrays_are_refused(name: str, tmp_path: Path) -> None:
    """Also where NumPy raises another error than ValueError."""
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"9" * 30 + b",), }"
    content = b"\x93NUMPY\x01\x00\x76\x00" + head.ljust(117) + b"\n"
    path = tmp_path / name
    path.write_bytes(content)
    if path.suffix == ".npz":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("land.npy", content)
        with pytest.raises(ValueError, match=r"land\.npz: expected an \.npz file of arrays"):
            read_maps(path, "land")
    with pytest.raises(ValueError, match=r"land=.*expected numbers"):
        array_of("land", str(path))


@pytest.mark.parametrize("name", ["a.nc", "a.zarr"])
def test_xarray_reads_it(name: str, fields: Fields, tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("netCDF4" if name == "a.nc" else "zarr")
    path = tmp_path / name
    fields.save(path, tags={"title": "storm"})
    with (xarray.open_dataset if name == "a.nc" else xarray.open_zarr)(path) as file:
        assert dict(file.sizes) == {"time": 4, "y": 6, "x": 8}
        assert file["time"].values.tolist() == [0, 2, 4, 6]
        for channel in CHANNELS:
            assert np.array_equal(file[channel.name].values, fields[channel.name])
            assert file[channel.name].attrs["units"] == (channel.unit or "1")
    assert tags_in(str(path)) == {"title": "storm"}
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_names_of_files(fields: Fields, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(ValueError, match="expected a new name, got a folder"):
        check_file(tmp_path / "a.zarr")
    with pytest.raises(ValueError, match="does not exist"):
        check_file(tmp_path / "none" / "a.npz")
    odd = Fields(fields.values[:1], [Channel(name="x", scale=Range(lo=0, hi=1))], 1)
    with pytest.raises(ValueError, match="other names than member, time, y and x, its axes, got 'x'"):
        odd.save(tmp_path / "b.npz")
    monkeypatch.setattr("zoetrope.fields.writing.util.find_spec", lambda name: None)
    for name, library, extra in (("a.nc", "netCDF4", "netcdf"), ("b.zarr", "zarr", "zarr")):
        with pytest.raises(ValueError, match=rf'need {library}: pip install "zoetrope\[{extra}\]"'):
            check_file(tmp_path / name)
    (tmp_path / "c.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match="expected a file of values"):
        tags_in(str(tmp_path / "c.npz"))
    with pytest.raises(FileNotFoundError):
        tags_in(str(tmp_path / "d.npz"))


def test_pictures_through_colours(fields: Fields, tmp_path: Path) -> None:
    look = Look("wind", "grey", (2, 10))
    pictures = fields.pictured(look).frames
    np.testing.assert_array_equal(pictures[..., 0], np.rint(255 * np.clip((fields["wind"] - 2) / 8, 0, 1)))
    fields.save(f"{tmp_path}/p/")
    np.testing.assert_array_equal(read(f"{tmp_path}/p/").frames, fields.frames)
    x = torch.zeros(3, 1, 2, 2)
    assert [view.frames[0, 0, 0].tolist() for view in views(x, CHANNELS, 1)] == [[33, 145, 140]] * 3
    with pytest.raises(ValueError, match="unknown colour map 'virdis'; did you mean 'viridis'"):
        Look(colours="virdis")
    with pytest.raises(ValueError, match="range: expected two numbers that rise, got 5 and 5"):
        Look(limits=(5, 5))


@pytest.mark.parametrize("name", TABLES)
def test_colours_are_those_of_matplotlib(name: str) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    values = np.linspace(0, 1, 256)
    known = matplotlib.colormaps["gray" if name == "grey" else name](values)[:, :3] * 255
    assert np.abs(coloured(values, name) - known).max() < 5
    ends = coloured(np.array([0.0, 1]), name).tolist()
    assert coloured(np.array([-1.0, 2.0, -np.inf, np.inf, np.nan]), name).tolist() == [*ends, *ends, [128] * 3]


def packed(path: Path, unit: str) -> None:
    """Write 8-bit numbers in which 7 is 1.5, with a gap, as xarray would: values are 0.5 n - 2."""
    xarray = pytest.importorskip("xarray")
    values = np.full((2, 3, 4), 1.5, np.float32)
    values[0, 0, 0] = np.nan
    array = xarray.DataArray(values, dims=("time", "y", "x"), attrs={"units": unit})
    coding = {"dtype": "int8", "scale_factor": 0.5, "add_offset": -2.0, "_FillValue": -99}
    made = xarray.Dataset({"wind": array, "word": ("y", ["a", "b", "c"])})
    if path.suffix == ".nc":
        made.to_netcdf(path, encoding={"wind": coding})
    else:
        made.to_zarr(path, encoding={"wind": coding}, zarr_format=int(path.stem))


@pytest.mark.parametrize("name", ["2.zarr", "3.zarr", "a.nc"])
@pytest.mark.filterwarnings("ignore")
def test_packed_values_are_unpacked(name: str, tmp_path: Path) -> None:
    pytest.importorskip("netCDF4" if name == "a.nc" else "zarr")
    packed(tmp_path / name, "m s-1")
    for found in (read_values(tmp_path / name, CHANNELS[1:2])[0], read_maps(tmp_path / name, "wind")):
        assert np.isnan(found[0, 0, 0]) and np.isnan(found).sum() == 1 and np.nanmin(found) == np.nanmax(found) == 1.5
    with pytest.raises(ValueError, match=rf"{name}: word: expected numbers, got "):
        read_maps(tmp_path / name, "word")


@pytest.mark.parametrize(
    ("array", "got"),
    [(np.array([[1 + 2j]]), "complex128"), (np.array([["a"]]), "<U1"), (np.ones((1, 1), "M8[D]"), "datetime64")],
)
def test_what_is_no_number_is_named(array: np.ndarray, got: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", wind=array)
    for read_it in (lambda path: read_values(path, CHANNELS[1:2]), lambda path: read_maps(path, "wind")):
        with pytest.raises(ValueError, match=rf"a\.npz: wind: expected numbers, got {got}"):
            read_it(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (b'{"tags": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested at most"),
        (b"\xff\xfe{", "expected JSON in UTF-8"),
        (b"{" + b" " * 2**25 + b"}", "expected JSON of at most"),
        (b"[1]", "expected a file of values that zoetrope wrote"),
    ],
)
def test_tags_that_anyone_may_have_written(text: bytes, wrong: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("about.json", text)
    with pytest.raises(ValueError, match=rf"a\.npz: .*{wrong}"):
        tags_in(str(tmp_path / "a.npz"))


def test_damaged_tags_are_refused(fields: Fields, tmp_path: Path) -> None:
    fields.save(tmp_path / "a.npz")
    content = bytearray((tmp_path / "a.npz").read_bytes())
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        start = file.getinfo("about.json").header_offset + 45
    content[start : start + 20] = bytes(byte ^ 0x5A for byte in content[start : start + 20])
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz: expected a file of values"):
        tags_in(str(tmp_path / "a.npz"))


def test_errors_of_scales_name_the_channel() -> None:
    with pytest.raises(
        ValueError, match="channel 'rain': expected values of at least 0 on a logarithmic scale, got -1"
    ):
        Fields(-np.ones((1, 2, 2, 2)), CHANNELS[:1], 1)
