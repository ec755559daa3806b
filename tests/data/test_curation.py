"""Curation finds what was planted: cuts, static clips, text, broken files; and it resumes."""

from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from zoetrope.data.curation import Curation, curate
from zoetrope.data.folder import Folder, scan
from zoetrope.data.toybox import Toybox
from zoetrope.shapes import VideoShape
from zoetrope.video import Video

cv2 = pytest.importorskip("cv2", reason="the packages of the extra `curate` are not here")
pytest.importorskip("scenedetect", reason="the packages of the extra `curate` are not here")
pytest.importorskip("rapidocr", reason="the packages of the extra `curate` are not here")
SHAPE = VideoShape(frames=16, height=96, width=160, fps=8)
CLASSES = ("good", "cut", "static", "text")


def planted(folder: Path, count: int) -> dict[str, str]:
    """Toybox clips with a fault each in turn, and which."""
    toys = Toybox().open()
    folder.mkdir()
    truth = {}
    for number in range(count):
        example = toys.example(number, SHAPE)
        frames, kind = pixels(example.video), CLASSES[number % 4]
        if kind == "cut":
            frames = np.concatenate([frames[:8], pixels(toys.example(1000 + number, SHAPE).video)[8:]])
        elif kind == "static":
            frames = np.repeat(frames[:1], len(frames), 0)
        elif kind == "text":
            frames = np.stack([cv2.putText(f.copy(), "SAMPLE", (20, 60), 0, 1, (255, 255, 255), 2) for f in frames])
        name = f"{number:03d}.mp4"
        Video(frames, 8).save(folder / name)
        (folder / name).with_suffix(".txt").write_text(example.text)
        # a clip of toybox whose objects stay in place is static without a fault
        truth[name] = "static" if kind == "good" and (frames == frames[0]).all() else kind
    return truth


def pixels(video: Tensor) -> np.ndarray:
    """Frames (F, H, W, 3) uint8."""
    return Video.from_tensor(video, 8).frames


def test_planted_faults_are_found_and_a_killed_run_resumes(tmp_path: Path) -> None:
    truth = planted(tmp_path / "in", 12)
    (tmp_path / "in/broken.mp4").write_bytes(b"no video")
    (tmp_path / "in/broken.txt").write_text("nothing")
    scenes = curate(tmp_path / "in", tmp_path / "out", Curation(), workers=2)
    table = {name: [scene for scene in scenes if scene.name == name] for name in truth}
    cut = {name for name, found in table.items() if len(found) > 1}
    static = {name for name, found in table.items() if len(found) == 1 and found[0].measures["motion"] < 0.05}
    text = {name for name, found in table.items() if any("text covers" in (s.reason or "") for s in found)}
    assert {"cut": cut, "static": static, "text": text} == {
        kind: {name for name, planted_kind in truth.items() if planted_kind == kind} for kind in CLASSES[1:]
    }
    assert all(abs(table[name][1].start - 1) < 1e-6 for name in cut)
    assert [scene.name for scene in scenes if scene.name not in truth] == ["broken.mp4"]
    kept = [scene for scene in scenes if scene.reason is None]
    assert len(scan(Folder(path=str(tmp_path / "out"), split="curated")).kept) == len(kept) > 0
    table_text = (tmp_path / "out/table.jsonl").read_text()
    journal = tmp_path / "out/journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-2]) + lines[-2][:40])
    curate(tmp_path / "in", tmp_path / "out", Curation())
    assert (tmp_path / "out/table.jsonl").read_text() == table_text


def test_another_folder_or_spec_is_not_mixed_in(tmp_path: Path) -> None:
    planted(tmp_path / "in", 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("")
    with pytest.raises(ValueError, match="expected a new folder"):
        curate(tmp_path / "in", tmp_path / "out", Curation())
    curate(tmp_path / "in", tmp_path / "new", Curation())
    with pytest.raises(ValueError, match="with another spec"):
        curate(tmp_path / "in", tmp_path / "new", Curation(near=3))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no usable captioned video"):
        curate(tmp_path / "empty", tmp_path / "other", Curation())
