"""Real clips on the shelf: what stands in the place of a damaged one is kept with it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from zoetrope.data import Example
from zoetrope.data._unused import Dropped
from zoetrope.inputs.action import Action
from zoetrope.metrics.generation import WorkShare, _known, keep_reference
from zoetrope.metrics.reference import Reference, open_reference
from zoetrope.metrics.shelf import Shelf
from zoetrope.shapes import VideoShape

SHAPE = VideoShape(frames=2, height=4, width=6, fps=2)
BAD = (Dropped("bad.mp4", "is damaged"), Dropped("worse.mp4", "is empty"))


def test_what_is_unknown_of_a_case_is_not_asked_for() -> None:
    """Frames after the end of a recording have no action; a vector that lacks an entry is unknown as a whole."""
    keys = np.array([[1.0, 0.0], [1.0, np.nan], [np.nan, np.nan]], np.float32)
    known = _known(keys)
    np.testing.assert_array_equal(known, [[1, 0], [np.nan] * 2, [np.nan] * 2])
    assert Action(entries=2).fitted(known, SHAPE.with_(frames=3)).isnan().all(1).tolist() == [False, True, True]
    assert _known(np.full((1, 3, 4, 6), np.nan)) is None and _known(keys[1:]) is None and _known(0.5) == 0.5
    land = np.array([[[[0.0, np.nan]]]])
    assert _known(land) is land


def test_clips_that_come_again_are_noted() -> None:
    reference = Reference("some", lambda number, shape: Example(torch.zeros(1), "", ""), different=lambda shape: 5)
    note = reference.note(64, SHAPE)
    assert note is not None and note.startswith("64 clips asked for, 5 there") and reference.note(5, SHAPE) is None


def test_a_source_in_a_file_is_told_with_what_it_says(tmp_path: Path) -> None:
    """A report of other clips is another report."""
    np.save(tmp_path / "a.npy", np.zeros((4, 4, 6)))
    said = {"type": "arrays", "path": str(tmp_path / "a.npy"), "rate": 1}
    said |= {"variables": {"u": {"scale": {"type": "range", "lo": 0, "hi": 1}}}}
    (tmp_path / "a.json").write_text(json.dumps(said))
    reference = open_reference(str(tmp_path / "a.json"))
    assert reference.source == said and open_reference(json.dumps(said)).source is None
    assert reference.different(SHAPE.with_(fps=1)) == 3


def test_what_a_clip_stands_in_for_is_kept(tmp_path: Path) -> None:
    def example(number: int, shape: VideoShape) -> Example:
        video = torch.full((3, shape.frames, shape.height, shape.width), number / 4)
        return Example(video, f"clip {number}", f"{number}.mp4", BAD if number == 1 else ())

    shelf = Shelf(tmp_path / "real", SHAPE)
    assert list(keep_reference(Reference("some", example), shelf, 3, WorkShare())) == [1, 2, 3]
    assert [shelf.skipped(number) for number in range(3)] == [(), ("bad.mp4", "worse.mp4"), ()]
    assert shelf.text(1) == "clip 1" and shelf.read(2).mean() == pytest.approx(0.5, abs=0.01)
    file = tmp_path / "real/00001.npz"
    content = file.read_bytes()
    packed = content.index(b"frames.npy") + 60  # in the middle of compressed values
    damages = (b"", b"no clip", content[:30], content[: len(content) // 2], content[:-30], content[:packed] + b"????")
    flipped = (content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :] for at in range(0, len(content), 3))
    for damaged in (*damages, *flipped):
        file.write_bytes(damaged)
        for read in (shelf.skipped, shelf.text, shelf.read):
            try:
                read(1)
            except ValueError as error:
                assert "not a clip of this report" in str(error) and str(file) in str(error)
            else:
                assert damaged not in damages
