"""The report's numbers, plots and page."""

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoetrope.cascade.spec import SamplingSpec
from zoetrope.cascade.windows import Windows
from zoetrope.channels import Channel
from zoetrope.metrics.clips import Clips, Material
from zoetrope.metrics.measures import Protocol, Result, Unavailable
from zoetrope.metrics.measures.values import DistanceOfValues
from zoetrope.metrics.report import ModelEntry, Report, StageEntry, write_report
from zoetrope.metrics.report.forecasts import write_maps
from zoetrope.metrics.report.page import _plots_of, page
from zoetrope.metrics.report.plain import brief, number
from zoetrope.metrics.report.plots import HEIGHT, WIDTH, bars, lines
from zoetrope.metrics.shelf import Shelf
from zoetrope.scales.deviation import Deviation
from zoetrope.shapes import VideoShape
from zoetrope.video import probe

PROTOCOL = Protocol(made=8, real=9, shape="4x8x8@2fps", frames=4, stride=2, seed=1, extractor="clip", sha256="ab" * 32)


def result(value: float, error: float | None = None, unit: str = "", **details: object) -> Result:
    return Result(
        name="clip_score", title="CLIP score", value=value, error=error, unit=unit, better="higher",
        protocol=PROTOCOL, details=details, notes=("a note <b>",),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "error", "unit", "text"),
    [
        (51.2679, 2.41, "%", "51.3 ± 2.4 %"), (0.5746281, None, "", "0.5746"), (123456.7, None, "", "123457"),
        (0.0, None, "dB", "0 dB"), (-3.14159, None, "", "-3.142"), (20.0, 39.2, "%", "20 ± 39 %"),
    ],
)  # fmt: skip
def test_numbers_have_the_places_that_mean_something(value: float, error: float | None, unit: str, text: str) -> None:
    assert number(result(value, error, unit)) == text


@pytest.mark.parametrize(
    ("value", "interval", "samples", "text"),
    [
        (50.0, (9.45, 90.55), 2, "50 % (9 to 91, 2 videos)"), (88.28, (82.3, 92.5), 512, "88.3 % (82.3 to 92.5)"),
        (0.0, (0.0, 4.75), 77, "0.0 % (0.0 to 4.8)"),
    ],
)  # fmt: skip
def test_shares_have_an_interval_that_stays_in_bounds(
    value: float, interval: tuple[float, float], samples: int, text: str
) -> None:
    told = result(value, unit="%").with_(interval=interval, samples=samples)
    assert number(told) == text


def test_a_frame_without_a_number_is_not_drawn() -> None:
    drawn = lines({"m": [1.0, None, 3.0]})
    assert drawn.count("<circle") == 2


def test_classes_are_plotted() -> None:
    shares = {"motion": {"spin": {"right": 0, "videos": 4}, "up": {"right": 3, "videos": 4}}}
    told = result(37.5, unit="%", motion=37.5, classes=shares).with_(reference=90.0)
    (_, _), (about, plot) = _plots_of({"mini": told})
    assert "spin 4, up 4" in about and "mini, up: 75%" in plot and "mini, spin: 0%" in plot


def test_colours_are_plotted_by_channel_whatever_their_number() -> None:
    told = {"mean": [0.5], "real_mean": [0.25], "mean_shift": [0.25], "named": ["rain"]}
    [(about, plot)] = _plots_of({"m": result(3.0, **told)})
    assert "mean of each channel" in about and ">rain</text>" in plot and "m, rain: 50" in plot


def test_real_clips_of_several_shapes_have_a_number_each() -> None:
    """What every model is compared with, once where it is the same."""
    numbers = [result(value).with_(reference=reference) for value, reference in ((1.0, 0.25), (2.0, 0.25), (3.0, 0.75))]
    shape = VideoShape(frames=4, height=8, width=8, fps=2)
    entries = tuple(
        ModelEntry(
            label=f"m{k}", name="m", shape=shape, stages=(), device="cpu", dtype="float32", key="k", results=(number,)
        )
        for k, number in enumerate(numbers)
    )
    settings = {"after": None, "count": 1, "reference": 2, "seed": 3}
    made = page(
        Report(version="1", settings=settings, reference="clips", prompts=("a",), entries=entries),
        {name: [] for name in ("real", "m0", "m1", "m2")},
    )
    assert re.findall(r"<div>(0\.\d+)</div>", made) == ["0.2500", "0.7500"]


def test_a_protocol_in_one_line() -> None:
    assert brief(PROTOCOL) == "clip ababababab · 4 frames (every 2nd) · 8 against 9 · seed 1"
    given = PROTOCOL.with_(known=(0, 1, 2))
    assert brief(given) == "clip ababababab · 4 frames (every 2nd) · 3 given · 8 against 9 · seed 1"
    shape = VideoShape(frames=4, height=8, width=8, fps=2)
    files = {"real": [], "m": []}
    assert "<dt>known</dt><dd>0, 1, 2</dd>" in page(one_entry(shape, result(1.0).with_(protocol=given)), files)
    assert "<dt>known</dt>" not in page(one_entry(shape, result(1.0)), files)


def test_protocols_of_earlier_versions_are_read() -> None:
    """They did not tell which frames were given."""
    told = result(1.0).to_json()
    assert told["protocol"].pop("known") == []
    assert Result.from_json(told) == result(1.0)


values = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=5)


@given(st.lists(values, min_size=1, max_size=3))
def test_what_is_drawn_lies_in_the_picture(series: list[list[float]]) -> None:
    names = {f"m<{k}>": row for k, row in enumerate(series)}
    groups = [f"g{k}" for k in range(2)]
    for drawn in (bars(groups, {name: row[:2] for name, row in names.items()}, "%"), lines(names)):
        figure = ElementTree.fromstring(f"<div>{drawn}</div>")
        for shape in figure.iter("rect"):
            x, y, width, height = (float(shape.attrib[name]) for name in ("x", "y", "width", "height"))
            assert x >= 0 and x + width <= WIDTH and y >= 0 and y + height <= HEIGHT
        for shape in figure.iter("circle"):
            assert 0 <= float(shape.attrib["cx"]) <= WIDTH and 0 <= float(shape.attrib["cy"]) <= HEIGHT


def test_what_has_no_value_has_no_bar() -> None:
    assert bars(["a", "b"], {"x": [1.0, None]}).count("<rect") == 1


def test_the_page_marks_the_better_model_and_escapes_what_is_told() -> None:
    shape = VideoShape(frames=4, height=8, width=8, fps=2)
    sampling = SamplingSpec(steps=3, windows=Windows(frames=4, overlap=2)).to_json()
    stage = StageEntry(name="base", shape=str(shape), sampling=sampling)
    missing = Unavailable(name="fvd", title="FVD", reason="no i3d", remedy="name <one>")
    entries = tuple(
        ModelEntry(
            label=label, name=f"runs/{label}", shape=shape, stages=(stage,), device="cpu", dtype="float32", key="k",
            results=(result(value, by_frame=[value, value + 1]), missing),
        )
        for label, value in (("one", 20.0), ("two", 25.0))
    )  # fmt: skip
    settings = {"after": None, "count": 8, "reference": 9, "seed": 1}
    report = Report(version="0", settings=settings, reference="clips", prompts=("a <red> ball",), entries=entries)
    assert Report.from_json(report.to_json()) == report
    html = page(report, {"real": ["r.mp4"], "one": ["1.mp4"], "two": ["2.png"]})
    assert re.findall(r'<td class="n best">([^<]+)<', html) == ["25.00"]
    assert "a &lt;red&gt; ball" in html and "a note &lt;b&gt;" in html and "name &lt;one&gt;" in html
    assert '<video src="1.mp4"' in html and '<img src="2.png"' in html and html.count("<svg") == 1
    assert "ab" * 32 in html and "sampler ddim" in html and "windows frames 4 overlap 2" in html


def one_entry(shape: VideoShape, *results: Result, name: str = "m") -> Report:
    entry = ModelEntry(
        label="m", name=name, shape=shape, stages=(), device="cpu", dtype="float32", key="k", results=results
    )
    settings = {"after": None, "count": 2, "reference": 2, "seed": 3}
    return Report(version="1", settings=settings, reference=name, notes=(name,), prompts=("a", "b"), entries=(entry,))


def shelf_of_two(folder: Path, shape: VideoShape) -> Shelf:
    shelf = Shelf(folder / "shelf", shape)
    for at in range(2):
        shelf.put(at, torch.zeros(3, *shape.sizes), "a")
    return shelf


@pytest.mark.parametrize("fps", [1 / 3600, 1e5])
@pytest.mark.parametrize("frames", [1, 4])
def test_videos_of_any_rate_are_shown(tmp_path: Path, fps: float, frames: int) -> None:
    """Hourly data, say, at a rate that files and players know."""
    shape = VideoShape(frames=frames, height=8, width=8, fps=fps)
    write_report(tmp_path, one_entry(shape, result(1.0)), {"m": shelf_of_two(tmp_path, shape)})
    assert "index.html" in {path.name for path in tmp_path.iterdir()}
    shown = sorted((tmp_path / "videos/m").iterdir())
    assert len(shown) == 2 and (frames == 1 or probe(shown[0]).fps == pytest.approx(min(max(fps, 1), 120)))


def test_names_that_are_no_utf_8_are_spelt_out(tmp_path: Path) -> None:
    name, shape = os.fsdecode(b"caf\xe9"), VideoShape(frames=1, height=8, width=8, fps=1)
    write_report(tmp_path, one_entry(shape, result(1.0), name=name), {"m": shelf_of_two(tmp_path, shape)})
    assert Report.from_json((tmp_path / "results.json").read_text("utf-8")).reference == name
    assert "caf\\udce9" in (tmp_path / "index.html").read_text("utf-8")


def test_channels_of_any_name(tmp_path: Path) -> None:
    """Even of those that plots look for, and numpy's function for files."""
    names = ("motion", "shape", "colour", "halves", "ranks", "channels", "thresholds", "by_frame", "mean_shift")
    channels = tuple(Channel(name=name, unit="", scale=Deviation(mean=0, deviation=1)) for name in names)
    shape = VideoShape(frames=2, height=4, width=4, fps=1)
    clips = Clips(shape, 2, torch.randn(2, len(names), *shape.sizes).__getitem__, channels=channels)
    told = DistanceOfValues().measure(Material(clips, clips), None)
    assert _plots_of({"m": told}) == [] and set(told.details["values"]) == set(names)
    write_maps(tmp_path, {"m": {"mae": {name: torch.rand(2, 4, 4) for name in ("file", "arr_0", *names)}}})
    with np.load(tmp_path / "maps/m/mae.npz") as file:
        assert set(file.files) == {"file", "arr_0", *names} and file["file"].shape == (2, 4, 4)
