"""What the benchmark of curation counts: cuts one by one, static clips and text by file."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2", reason="the packages of the extra `curate` are not here")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("score_curation")


def row(file: str, cuts: list[int], told_cuts: list[int], **more: bool) -> dict[str, Any]:
    flags = {"static": False, "told_static": False, "text": False, "told_text": False}
    return {"file": file, "cuts": cuts, "told_cuts": told_cuts, **flags, **more}


def test_precision_and_recall(benchmark: ModuleType) -> None:
    rows = [
        row("a", [10, 20], [11]),
        row("b", [], [7], static=True, told_static=True),
        row("c", [5], [5, 8], told_static=True, text=True),
        row("d", [], [], text=True, told_text=True),
    ]
    found = benchmark.scores(rows)
    assert {fault: (both["precision"].value, both["recall"].value) for fault, both in found.items()} == {
        "cuts": (0.5, pytest.approx(2 / 3)),
        "static": (0.5, 1.0),
        "text": (1.0, 0.5),
    }
    assert "| text | 2 | 1 | 1.000 (" in benchmark.table(found)


def test_faults_of_which_none_is_found_have_a_recall_of_nothing(benchmark: ModuleType) -> None:
    rows = [row("a", [10], [], text=True), row("b", [20], [], text=True), row("c", [], [], told_static=True)]
    found = benchmark.scores(rows)
    assert {fault: set(both) for fault, both in found.items()} == {
        "cuts": {"recall"},
        "static": {"precision"},
        "text": {"recall"},
    }
    assert found["cuts"]["recall"].value == found["text"]["recall"].value == found["static"]["precision"].value == 0
    table = benchmark.table(found)
    assert "| cuts | 2 | 0 | - | 0.000 (0.000 to " in table and "| static | 0 | 1 | 0.000 (0.000 to " in table
    assert "| text | 0 | 0 | - | - |" in benchmark.table(benchmark.scores(rows[2:]))


def test_faults_are_what_they_are_called(benchmark: ModuleType) -> None:
    clips = benchmark.clips_of(None, 3)
    made = list(benchmark.planted(clips, 8, 3))
    again = list(benchmark.planted(clips, 8, 3))
    assert [clip.fault for clip in made] == [*benchmark.FAULTS] * 2
    for clip, same in zip(made, again, strict=True):
        np.testing.assert_array_equal(clip.frames, same.frames)
        assert bool(clip.cuts) == (clip.fault == "cut") and all(0 < cut < len(clip.frames) for cut in clip.cuts)
        assert clip.static or clip.fault != "static"
        for cut in clip.cuts:
            assert (clip.frames[cut] != clip.frames[cut - 1]).any()
    bare = benchmark.Planted(np.zeros((8, 96, 160, 3), np.uint8), 8, "none")
    assert bare.static
    written = benchmark.written(bare.frames, np.random.default_rng(0))
    assert (written[0] == written[-1]).all() and 0 < (written[0] > 0).any(-1).mean() < 0.5


def test_a_folder_with_other_clips_is_refused(benchmark: ModuleType, tmp_path: Path) -> None:
    """Its clips would be judged by the truth of these."""
    own = {"clips": "toybox", "count": 8, "seed": 2}
    for _ in range(2):
        benchmark.begin(tmp_path / "out", own)
    (tmp_path / "out/clips").mkdir()
    benchmark.begin(tmp_path / "out", own)
    for other in ({**own, "seed": 3}, {**own, "count": 4}):
        with pytest.raises(ValueError, match="expected a new folder, or one with the clips of"):
            benchmark.begin(tmp_path / "out", other)
    (tmp_path / "old/clips").mkdir(parents=True)  # nobody knows of which
    with pytest.raises(ValueError, match="expected a new folder"):
        benchmark.begin(tmp_path / "old", own)
