"""Which recordings a source of arrays names, and what it says of those that are not as it says."""

import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
import xarray
from arrays import CLIP, channels, dataset, source, waves

from zoetrope.data import Source
from zoetrope.data.arrays import Arrays
from zoetrope.data.arrays.axes import Axes
from zoetrope.data.arrays.inventory import are_arrays, inventory

VALUES = waves(12)
U = VALUES[:, 0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings of different lengths, of u and v."""
    dataset({"u": U, "v": VALUES[:, 1]}).to_netcdf(tmp_path / "a.nc")
    dataset({"u": U[:5], "v": VALUES[:5, 1]}).to_netcdf(tmp_path / "b.nc")
    return tmp_path


def index(folder: Path, name: str, *rows: dict[str, Any]) -> Path:
    """An index of these lines."""
    path = folder / name
    if name.endswith(".json"):
        path.write_text(json.dumps(rows))
    elif name.endswith(".jsonl"):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        sign, columns = "\t" if name.endswith(".tsv") else ",", list(dict.fromkeys(key for row in rows for key in row))
        lines = [columns, *([str(row.get(column, "")) for column in columns] for row in rows)]
        path.write_text("".join(sign.join(line) + "\n" for line in lines))
    return path


ROWS = (
    {"file": "a.nc", "start": 0, "stop": 6, "split": "train", "ef": 0.55, "view": "apical", "text": "a heart"},
    {"file": "a.nc", "start": 6, "split": "test", "view": "long"},
    {"file": "b.nc", "start": "2000-01-01T01:00", "stop": "2000-01-01 04:00", "split": "train", "ef": 0.4},
)


@pytest.mark.parametrize("name", ["index.csv", "index.tsv", "index.json", "index.jsonl"])
def test_an_index_names_parts_of_files_and_what_is_known_of_them(folder: Path, name: str) -> None:
    path = index(folder, name, *ROWS)
    opened = source(path, told={"ef": "number", "view": "label"}).open()
    spans = [(one.start, one.frames, one.text, dict(one.told)) for one in opened.survey.recordings]
    assert spans == [
        (0, 6, "a heart", {"ef": 0.55, "view": "apical"}),
        (6, 6, "", {"view": "long"}),
        (1, 3, "", {"ef": 0.4}),
    ]
    assert opened.captions() == ["a heart"]
    told = {
        opened.example(number, CLIP).name: opened.example(number, CLIP).told for number in range(opened.count(CLIP))
    }
    assert told[f"{folder / 'b.nc'} from frame 1"] == {"ef": 0.4}
    assert opened.contents() != source(path, told={"ef": "number"}).open().contents()
    train = source(path, split="train").open()
    assert [one.start for one in train.survey.recordings] == [0, 1] and not train.survey.recordings[0].told
    assert train.count(CLIP) == 4 + 1


def test_an_index_may_name_the_entry_of_another_axis(tmp_path: Path) -> None:
    np.save(tmp_path / "many.npy", VALUES.reshape(3, 4, 2, 4, 6))
    path = index(tmp_path, "index.csv", {"file": "many.npy", "n": 2}, {"file": "many.npy", "n": 0, "stop": 3})
    opened = source(path, axes="n,t,c,y,x").open()
    assert [(dict(one.entry), one.frames) for one in opened.survey.recordings] == [({"n": 2}, 4), ({"n": 0}, 3)]
    clips = [opened.example(number, CLIP) for number in range(3)]
    assert sorted(clip.name for clip in clips) == [
        f"{tmp_path / 'many.npy'} n={n} from frame {start}" for n, start in ((0, 0), (2, 0), (2, 1))
    ]


def test_folders_patterns_and_files_of_other_kinds(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep/c.nc").write_bytes((folder / "b.nc").read_bytes())
    (folder / "notes.txt").write_text("x")
    (folder / ".hidden.nc").write_text("x")
    (folder / "broken.nc").write_text("no netCDF")
    (folder / "deep/up").symlink_to(folder)
    opened = source(folder).open()
    assert [path.name for path, _ in opened.survey.files] == ["a.nc", "b.nc", "c.nc"]
    assert [Path(item.name).name for item in opened.survey.dropped] == ["broken.nc"]
    assert opened.unused()[0].notes == ("1 file of kinds that are not read: .txt (1)",)
    matched = source(Path(f"{folder}/[ab].nc")).open()
    assert [path.name for path, _ in matched.survey.files] == ["a.nc", "b.nc"]
    assert are_arrays(folder / "deep") and not are_arrays(folder / "missing") and are_arrays(Path("x/*.npy"))
    (folder / "film.mp4").write_bytes(b"")
    assert not are_arrays(folder)
    assert any(
        line.startswith("u: 12x4x6 (time, lat, lon), float32, m s-1") for line in inventory(folder / "a.nc")[0].lines
    )


def test_gaps_in_time_are_refused_or_cut(tmp_path: Path) -> None:
    times = np.array([0, 1, 2, 3, 6, 7, 8, 9, 10, 14, 15, 16.0])
    dataset({"u": U}, time=times).to_netcdf(tmp_path / "gaps.nc")
    made = source(tmp_path / "gaps.nc", "u", rate=None)
    words = r"gaps\.nc: time: expected equal steps, of 3600 s, got 2000-01-01 03:00:00 and then 2000-01-01 06:00:00"
    with pytest.raises(ValueError, match=words):
        made.open()
    cut = made.with_(gaps="cut").open()
    assert [(one.start, one.frames) for one in cut.survey.recordings] == [(0, 4), (4, 5), (9, 3)]
    assert cut.count(CLIP.with_(fps=1 / 3600)) == 2 + 3 + 1
    assert len(made.with_(rate=1.0).open().survey.recordings) == 1


def test_short_recordings(tmp_path: Path) -> None:
    for frames in (2, 5, 8):
        np.save(tmp_path / f"{frames}.npy", U[:frames])
    clip = CLIP.with_(frames=8)
    opened = source(tmp_path, "u").open()
    assert opened.count(clip) == 1
    ragged = source(tmp_path, "u", short="mask").open()
    assert ragged.count(clip) == 2
    number = next(number for number in range(2) if "5.npy" in ragged.example(number, clip).name)
    short = ragged.example(number, clip)
    assert short.present is not None
    assert short.present.flatten(2).all(2)[0].tolist() == [True] * 5 + [False] * 3
    assert not short.video[~short.present].any()
    some = ragged.frames(number, clip, [4, 6])
    assert some.present is not None and some.present[0, :, 0, 0].tolist() == [True, False]


def test_axes() -> None:
    assert Axes.parsed("time,lat,lon").names == Axes.parsed("tyx").names == ("t", "y", "x")
    assert Axes.parsed("n,t,c,y,x").apart == ("n",) and Axes.parsed("member, time, y, x").apart == ("member",)
    for text, words in (
        ("t,y", "no axis 'x'"),
        ("ttyx", "an axis twice"),
        ("t;y,x", "expected names"),
        ("", "expected"),
    ):
        with pytest.raises(ValueError, match=words):
            Axes.parsed(text)


def save(name: str, values: np.ndarray) -> Callable[[Path], None]:
    return lambda at: np.save(at / name, values, allow_pickle=True)


def netcdf(name: str, made: xarray.Dataset) -> Callable[[Path], None]:
    return lambda at: made.to_netcdf(at / name)


def two_units(at: Path) -> None:
    dataset({"u": U}).to_netcdf(at / "a.nc")
    other = dataset({"u": U})
    other["u"].attrs["units"] = "km h-1"
    other.to_netcdf(at / "b.nc")


def steps_differ(at: Path) -> None:
    dataset({"u": U}).to_netcdf(at / "a.nc")
    dataset({"u": U}, time=np.arange(12.0) * 3).to_netcdf(at / "b.nc")


def shapes_differ(at: Path) -> None:
    np.savez(at / "a.npz", u=U, v=VALUES[:6, 1])


def texts(at: Path) -> None:
    with h5py.File(at / "a.h5", "w") as file:
        file["u"] = np.array([[[b"text"]]])


def indexed(*rows: dict[str, Any]) -> Callable[[Path], None]:
    def make(at: Path) -> None:
        np.save(at / "a.npy", U)
        index(at, "index.csv", *rows)

    return make


GAP = U.copy()
GAP[3, 1, 2] = np.nan
ENDLESS = U.copy()
ENDLESS[2, 1, 2] = np.inf
UNSORTED = dataset({"u": U}, time=np.array([0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11.0]))
MONTHS = dataset({"u": U}, unit="months since 2000-01-01")
LUNAR = dataset({"u": U}, calendar="lunar")
LARGE = np.full((12, 4, 6), 2**60, np.int64)
BAD: dict[str, tuple[Callable[[Path], None], str, dict[str, Any], str]] = {
    "nan without a mask": (
        save("a.npy", GAP),
        "a.npy",
        {},
        r"a\.npy: u: expected values everywhere, got 1 missing value in frame 3; missing=",
    ),
    "infinity": (
        save("a.npy", ENDLESS),
        "a.npy",
        {"missing": "mask"},
        r"a\.npy: u: expected finite values, got infinity",
    ),
    "missing variable": (
        netcdf("a.nc", dataset({"uu": U})),
        "a.nc",
        {},
        r"a\.nc: unknown variable 'u'",
    ),
    "other shape": (
        shapes_differ,
        "a.npz",
        {"names": ("u", "v")},
        r"a\.npz: v: expected the shape of 'u', t 12.*got t 6",
    ),
    "axes that do not fit": (
        save("a.npy", U),
        "a.npy",
        {"axes": "n,t,y,x"},
        r"a\.npy: expected 4 axes, 'n,t,y,x', got the shape \(12, 4, 6\)",
    ),
    "axes in another order": (
        netcdf("a.nc", dataset({"u": U})),
        "a.nc",
        {"axes": "y,t,x"},
        r"a\.nc: u: expected axes in the order of the file, \(time, lat, lon\)",
    ),
    "channels without an axis": (
        save("a.npy", U),
        "a.npy",
        {"names": ("u", "v")},
        r"a\.npy: expected as many variables as it has channels, got 2",
    ),
    "unsorted time": (
        netcdf("a.nc", UNSORTED),
        "a.nc",
        {"rate": None},
        r"a\.nc: time of 'u': expected times that increase, frame 4 is at 2000-01-01 05:00",
    ),
    "months": (
        netcdf("a.nc", MONTHS),
        "a.nc",
        {"rate": None},
        r"a\.nc: time: expected time in .*days since a date, got 'months since",
    ),
    "calendar": (
        netcdf("a.nc", LUNAR),
        "a.nc",
        {"rate": None},
        r"a\.nc: time of 'u': unknown calendar 'lunar'",
    ),
    "no date of the calendar": (
        netcdf("a.nc", dataset({"u": U})),
        "a.nc",
        {"start": "2001-02-30"},
        r"a\.nc: start: .*day",
    ),
    "a date without times": (
        save("a.npy", U),
        "a.npy",
        {"start": "2001-02-03"},
        r"a\.npy: start: expected a frame, for the file has no times",
    ),
    "beyond the end": (
        save("a.npy", U),
        "a.npy",
        {"stop": 13},
        r"a\.npy: stop: expected at most 12",
    ),
    "integers that overflow": (
        save("a.npy", LARGE),
        "a.npy",
        {},
        r"a\.npy: expected whole numbers up to 2\^53, got 1152921504606846976",
    ),
    "numbers too large": (
        save("a.npy", np.full((12, 4, 6), 1e300)),
        "a.npy",
        {},
        r"a\.npy from frame \d: expected values of which the scales",
    ),
    "text": (
        texts,
        "a.h5",
        {},
        r"a\.h5: u: expected numbers, got",
    ),
    "complex": (
        save("a.npy", U + 1j),
        "a.npy",
        {},
        r"a\.npy: expected numbers, got complex64",
    ),
    "objects": (
        save("a.npy", np.array([{}])),
        "a.npy",
        {},
        r"a\.npy: cannot be read as \.npy",
    ),
    "damaged": (
        lambda at: (at / "a.h5").write_bytes(b"\x89HDF nothing"),
        "a.h5",
        {},
        r"a\.h5: cannot be read as \.h5",
    ),
    "units that differ": (
        two_units,
        ".",
        {},
        r"b\.nc: u: expected the unit of .*a\.nc, 'm s-1', got 'km h-1'",
    ),
    "steps that differ": (
        steps_differ,
        ".",
        {"rate": None},
        r"b\.nc: time: expected steps of 3600 s, as in .*a\.nc, got 10800 s",
    ),
    "no file": (
        save("data.npy", U),
        "dta.npy",
        {},
        r"dta\.npy: there is no such file or folder; is 'data\.npy' meant",
    ),
    "nothing in it": (
        lambda at: None,
        ".",
        {},
        "expected files of arrays in it, got none",
    ),
    "no match": (
        lambda at: None,
        "*.nc",
        {},
        "expected a pattern of files of arrays, got one that none matches",
    ),
    "index of missing files": (
        indexed({"file": "b.npy"}, {"file": "c.npy"}),
        "index.csv",
        {},
        r"index\.csv:2: expected a file, got 'b\.npy', which is not there; is 'a\.npy' meant\? \(and 1 "
        r"more",
    ),
    "index without files": (
        indexed({"name": "a.npy"}),
        "index.csv",
        {},
        r"index\.csv: expected a column 'file', got 'name'",
    ),
    "no such split": (
        indexed({"file": "a.npy", "split": "train"}),
        "index.csv",
        {"split": "trian"},
        r"unknown split 'trian'; did you mean 'train'",
    ),
    "no such column": (
        indexed({"file": "a.npy", "ef": 1}),
        "index.csv",
        {"told": {"fe": "number"}},
        r"index\.csv: told: unknown column 'fe'; did you mean 'ef'",
    ),
    "a column twice": (
        lambda at: (save("a.npy", U)(at), (at / "index.csv").write_text("file,ef,ef\na.npy,1,2\n")),
        "index.csv",
        {"told": {"ef": "number"}},
        r"index\.csv: expected every column once, got 'ef' twice",
    ),
    "no number": (
        indexed({"file": "a.npy", "ef": "high"}),
        "index.csv",
        {"told": {"ef": "number"}},
        r"index\.csv:2: ef: expected a number, got 'high'",
    ),
    "no entry": (
        indexed({"file": "a.npy", "start": -1}),
        "index.csv",
        {},
        r"index\.csv:2: start: expected a whole number of at least 0, got -1",
    ),
    "split without an index": (
        save("a.npy", U),
        "a.npy",
        {"split": "train"},
        "split: expected an index file",
    ),
    "nothing from start to stop": (
        save("a.npy", U),
        "a.npy",
        {"start": 5, "stop": 5},
        r"no usable recording\n.*has no frame from start",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_names_file_and_variable(tmp_path: Path, case: str) -> None:
    make, name, fields, words = BAD[case]
    make(tmp_path)
    names = fields.get("names", ("u",))
    made = source(tmp_path / name, *names, **{key: value for key, value in fields.items() if key != "names"})
    with pytest.raises(ValueError, match=words) as caught:
        opened = made.open()
        for number in range(opened.count(CLIP)):
            opened.example(number, CLIP)
    assert str(tmp_path) in str(caught.value) or case == "split without an index"


def test_values_that_stand_for_none(tmp_path: Path) -> None:
    values = U.copy()
    values[1, 2, 3] = -999
    np.save(tmp_path / "a.npy", values)
    made = source(tmp_path / "a.npy", "u", fill=(-999,), missing="mask")
    clips = [made.open().example(number, CLIP) for number in range(10)]
    absent = [clip.name for clip in clips if clip.present is not None]
    assert sorted(absent) == [f"{tmp_path / 'a.npy'} from frame {start}" for start in (0, 1)]
    with pytest.raises(ValueError, match="expected values everywhere"):
        [made.with_(missing="refuse").open().example(number, CLIP) for number in range(10)]


@pytest.mark.parametrize("kind", ["nc", "h5", "nii"])
def test_a_stored_value_that_stands_for_none_is_that_before_it_is_unpacked(tmp_path: Path, kind: str) -> None:
    stored = np.arange(6 * 4 * 6, dtype=np.int16).reshape(6, 4, 6)
    stored[1, 2, 3] = -999
    packing, path, axes = {"scale_factor": 0.1, "add_offset": 5.0}, tmp_path / f"a.{kind}", "t,y,x"
    if kind == "nc":
        xarray.Dataset({"u": (("t", "y", "x"), stored, packing)}).to_netcdf(path)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["u"] = stored
            file["u"].attrs.update(packing)
    else:
        picture, axes = nibabel.Nifti1Image(stored.transpose(2, 1, 0), np.eye(4)), "x,y,t"
        picture.header.set_slope_inter(0.1, 5.0)
        nibabel.save(picture, path)
    made = source(path, "u", fill=(-999,), missing="mask", axes=axes).open()
    clips = [made.example(number, CLIP) for number in range(4)]
    absent = [clip.present for clip in clips if clip.present is not None]
    assert absent and all(int((~one).sum()) == 1 for one in absent)
    assert all(float(made.channels()[0].scale.to_units(one.video).min()) > 0 for one in clips)


def test_fields_that_make_no_sense() -> None:
    for fields, words in (
        ({"variables": {}}, "variables"),
        (
            {"variables": channels("u") | {"a/u": channels("u")["u"]}},
            "expected channels of different names, got 'u' twice",
        ),
        ({"axes": "t,z"}, "axes"),
        ({"every": 2}, "did you mean 'stride'"),
        ({"missing": "ignore"}, "missing"),
    ):
        with pytest.raises(ValueError, match=words):
            Source.from_json({"type": "arrays", "path": "x.npy", "variables": {"u": {"scale": "deviation"}}} | fields)
    with pytest.raises(ValueError, match="only http"):
        Arrays(path="s3://bucket/x.zarr", variables=channels("u")).open()
    named = Arrays.from_json({"path": "x.h5", "variables": {"a/u": {"scale": {"type": "range", "lo": 0, "hi": 1}}}})
    assert named.channels[0].name == "u"


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("a.h5", "h5py", "hdf5"),
        ("a.nc", "xarray", "netcdf"),
        ("a.zarr", "zarr", "zarr"),
        ("a.tif", "tifffile", "tiff"),
        ("a.nii", "nibabel", "nifti"),
    ],
)
def test_packages_that_are_not_installed_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str, extra: str
) -> None:
    (tmp_path / name).mkdir() if name == "a.zarr" else (tmp_path / name).write_bytes(b"x")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"expected the package {package} to be installed .*'zoetrope\[{extra}\]'"):
        source(tmp_path / name).open()


def test_files_named_from_here_and_from_the_root(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index may name some files by where they lie, whose names are told apart and make one digest."""
    np.savez(tmp_path / "one.npz", u=waves()[:, 0], v=waves()[:, 1])
    np.savez(tmp_path / "other.npz", u=waves()[:, 0], v=waves()[:, 1])
    monkeypatch.chdir(tmp_path)
    digests = set()
    for name, other in (("near.csv", "other.npz"), ("far.csv", f"{tmp_path}/other.npz")):
        Path(name).write_text(f"file\none.npz\n{other}\n")
        digests |= {source(place / name).open().contents() for place in (Path(), tmp_path)}
    assert len(digests) == 1


def test_an_index_of_one_endless_line_is_refused_in_little_memory(tmp_path: Path) -> None:
    for name in ("i.csv", "i.tsv", "i.jsonl"):
        with (tmp_path / name).open("w") as file:
            file.write({"i.csv": "file,text\n", "i.tsv": "file\ttext\n"}.get(name, ""))
            for _ in range(64):
                file.write("x" * 2**20)
        tracemalloc.start()
        with pytest.raises(ValueError, match=rf"{name}:\d+: "):
            source(tmp_path / name).open()
        assert tracemalloc.get_traced_memory()[1] < 2**26
        tracemalloc.stop()


@pytest.mark.parametrize("place", ["²", "9" * 5000])
def test_what_is_no_number_of_a_frame_is_named(tmp_path: Path, place: str) -> None:
    np.savez(tmp_path / "one.npz", u=waves()[:, 0], v=waves()[:, 1])
    (tmp_path / "i.csv").write_text(f"file,start\none.npz,{place}\n")
    with pytest.raises(ValueError, match=r"i\.csv:2: start: expected a frame, for the file has no times, got") as error:
        source(tmp_path / "i.csv").open()
    assert len(str(error.value)) < 400
