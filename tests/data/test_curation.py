"""Curation finds what was planted: cuts, static clips, text, broken files; it says why, and it resumes."""

import base64
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zoetrope.curation import Curation, JudgedScene, curate, scenes
from zoetrope.curation.clips import ENCODED, FILE, PACKETS, _noted
from zoetrope.curation.duplicates import SeenScenes
from zoetrope.curation.measures import SceneMeasure
from zoetrope.curation.spec import asked_for
from zoetrope.curation.work import _captions, _contents, _resumed
from zoetrope.data.folder import FileMark, Folder, marks_of, scan
from zoetrope.data.toybox import Toybox
from zoetrope.files import locked
from zoetrope.shapes import VideoShape
from zoetrope.video import Video, probe, read

pytestmark = pytest.mark.first

cv2 = pytest.importorskip("cv2", reason="the packages of the extra `curate` are not here")
pytest.importorskip("scenedetect", reason="the packages of the extra `curate` are not here")
pytest.importorskip("rapidocr", reason="the packages of the extra `curate` are not here")
SHAPE = VideoShape(frames=16, height=96, width=160, fps=8)
CLASSES = ("good", "cut", "static", "text")
# Without reading text, which takes most of the time.
QUICK = Curation(measures=tuple(measure for measure in Curation().measures if measure.kind() != "text"))


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


def table(out: Path) -> list[dict[str, object]]:
    """The rows of a table."""
    return [json.loads(line) for line in (out / "table.jsonl").read_text("utf-8").splitlines()]


def test_planted_faults_are_found_and_told(tmp_path: Path) -> None:
    truth = planted(tmp_path / "in", 12)
    (tmp_path / "in/broken.mp4").write_bytes(b"no video")
    (tmp_path / "in/broken.txt").write_text("nothing")
    told = list[tuple[str, int, int]]()
    scenes = curate(tmp_path / "in", tmp_path / "out", Curation(), 2, lambda *news: told.append(news))
    found = {name: [scene for scene in scenes if scene.name == name] for name in truth}
    cut = {name for name, some in found.items() if len(some) > 1}
    static = {name for name, some in found.items() if len(some) == 1 and "static: " in (some[0].reason or "")}
    text = {name for name, some in found.items() if any("text: covers" in (s.reason or "") for s in some)}
    assert {"cut": cut, "static": static, "text": text} == {
        kind: {name for name, planted_kind in truth.items() if planted_kind == kind} for kind in CLASSES[1:]
    }
    assert all(abs(found[name][1].start - 1) < 1e-6 for name in cut)
    assert [scene.name for scene in scenes if scene.name not in truth] == ["broken.mp4"]
    kept = [scene for scene in scenes if scene.reason is None]
    assert len(scan(Folder(path=str(tmp_path / "out"), split="curated")).kept) == len(kept) > 0
    assert ("files", len(truth), len(truth)) in told and told[-1] == ("clips", len(kept), len(kept))
    rows = table(tmp_path / "out")
    assert [row["reason"] for row in rows] == [scene.reason for scene in scenes]
    assert {None, FILE, PACKETS} <= {row["how"] for row in rows} <= {None, FILE, PACKETS, ENCODED}
    for row in rows:  # every clip shows what its scene shows
        if row["clip"] is not None and row["how"] != ENCODED:
            whole = read(tmp_path / "in" / str(row["name"])).frames
            first, count = round(float(str(row["start"])) * 8), round(float(str(row["seconds"])) * 8)
            made = read(tmp_path / "out" / str(row["clip"])).frames
            np.testing.assert_array_equal(made, whole[first : first + count])


def test_cuts_away_from_key_frames_are_encoded_anew(tmp_path: Path, make_video: object) -> None:
    toys = Toybox().open()
    frames = np.concatenate([pixels(toys.example(number, SHAPE).video)[:12] for number in (1, 1001)])
    (tmp_path / "in").mkdir()
    assert callable(make_video)
    make_video("in/a.mp4", frames, fps=8, options={"g": "99", "sc_threshold": "0", "crf": "5", "bf": "0"})
    (tmp_path / "in/a.txt").write_text("two things")
    curate(tmp_path / "in", tmp_path / "out", QUICK.with_(measures=()))
    first, second = table(tmp_path / "out")
    assert (first["how"], second["how"]) == (PACKETS, ENCODED) and second["start"] == 1.5
    made = read(tmp_path / "out" / str(second["clip"])).frames.astype(int)
    assert np.abs(made - frames[12:].astype(int)).mean() < 3


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    planted(tmp_path / "in", 4)
    curate(tmp_path / "in", tmp_path / "out", QUICK)
    names = ("table.jsonl", "metadata.jsonl", "index.html")
    before = [(tmp_path / "out" / name).read_bytes() for name in names]
    for name in ("journal.jsonl", "clips.jsonl"):
        lines = (tmp_path / "out" / name).read_text().splitlines(keepends=True)
        (tmp_path / "out" / name).write_text("".join(lines[:-2]) + lines[-2][:40])
    lost = sorted((tmp_path / "out/clips").iterdir())[0]
    lost.unlink()
    (tmp_path / "out/clips/.left.partial").write_text("")
    told = list[tuple[str, int, int]]()
    curate(tmp_path / "in", tmp_path / "out", QUICK, progress=lambda *news: told.append(news))
    assert [(tmp_path / "out" / name).read_bytes() for name in names] == before and lost.is_file()
    assert [news[0] for news in told].count("files") == 2
    assert not (tmp_path / "out/clips/.left.partial").exists()
    # a file that is another one now is judged again
    Video(np.zeros((16, 96, 160, 3), np.uint8), 8).save(tmp_path / "in/000.mp4")
    first = curate(tmp_path / "in", tmp_path / "out", QUICK)[0]
    assert first.reason is not None and first.reason.startswith("black: 100%")


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the children of a process are read from /proc")
def test_a_run_killed_outright_leaves_no_process_and_goes_on(tmp_path: Path) -> None:
    planted(tmp_path / "in", 8)
    words = ["data", "curate", "in", "-o", "out", "--spec", json.dumps({"measures": ["motion"]})]
    run = [sys.executable, "-m", "zoetrope", *words]
    at = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}}
    started = subprocess.Popen(run, **at, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # type: ignore[call-overload]
    journal, end = tmp_path / "out/journal.jsonl", time.monotonic() + 300
    while not (journal.is_file() and journal.read_text().count("\n") > 1):
        assert time.monotonic() < end and started.poll() is None
        time.sleep(0.02)
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
    started.kill()
    started.wait()
    while children and any(Path(f"/proc/{child}/stat").exists() for child in children):
        assert time.monotonic() < end
        time.sleep(0.1)
    done = subprocess.run(run, **at, capture_output=True, text=True)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    assert {row["name"] for row in table(tmp_path / "out")} == {f"{number:03d}.mp4" for number in range(8)}


def test_another_folder_or_spec_is_not_mixed_in(tmp_path: Path) -> None:
    planted(tmp_path / "in", 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("")
    with pytest.raises(ValueError, match="expected a new folder"):
        curate(tmp_path / "in", tmp_path / "out", QUICK)
    curate(tmp_path / "in", tmp_path / "new", QUICK)
    with pytest.raises(ValueError, match="with another spec"):
        curate(tmp_path / "in", tmp_path / "new", QUICK.with_(near=3))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no usable captioned video"):
        curate(tmp_path / "empty", tmp_path / "other", QUICK)


def test_two_processes_do_not_mix_in_a_folder(tmp_path: Path) -> None:
    planted(tmp_path / "films", 1)
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out"), pytest.raises(ValueError, match="out: another process curates into it"):
        curate(tmp_path / "films", tmp_path / "out", QUICK)
    assert not list((tmp_path / "out").iterdir())
    assert len(curate(tmp_path / "films", tmp_path / "out", QUICK)) == 1


def test_duplicates_and_the_worst_are_left_out(tmp_path: Path) -> None:
    planted(tmp_path / "in", 1)
    for number in range(5):
        frames = np.zeros((16, 96, 160, 3), np.uint8) + 40
        for k in range(16):  # a square that moves by more or fewer pixels in each picture
            left = 10 + k * (number + 1)
            frames[k, 20 + 8 * number : 50 + 8 * number, left : left + 30] = (200, 40 * number, 90)
        Video(frames, 8).save(tmp_path / f"in/moving{number}.mp4")
        (tmp_path / f"in/moving{number}.txt").write_text("a square moves")
    (tmp_path / "in/again.mp4").write_bytes((tmp_path / "in/moving4.mp4").read_bytes())
    (tmp_path / "in/again.txt").write_text("a square moves")
    scenes = {s.name: s for s in curate(tmp_path / "in", tmp_path / "out", QUICK.with_(worst={"motion": 34}))}
    assert (scenes["moving4.mp4"].reason or "").startswith("duplicate: of again.mp4 at 0.00 s")
    kept = [scene for scene in scenes.values() if scene.reason is None]
    worst = [scene for scene in scenes.values() if (scene.reason or "").startswith("worst: among the 34 % by motion")]
    assert len(worst) == 2
    assert max(s.measures["motion"] for s in worst) < min(s.measures["motion"] for s in kept)


@given(st.integers(-1, 64), st.data())
@settings(max_examples=60, deadline=None)
def test_duplicates_are_those_of_a_look_at_each(near: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    first = [int(value) for value in rng.integers(0, 2**63, 3)]
    seen, before = SeenScenes(near), list[list[int]]()
    for _ in range(12):
        flips = [rng.choice(64, size=rng.integers(0, 2 * max(near, 0) + 2) % 65, replace=False) for _ in first]
        now = [value ^ sum(1 << int(bit) for bit in bits) for value, bits in zip(first, flips, strict=True)]
        alike = [
            n for n, old in enumerate(before) if max((a ^ b).bit_count() for a, b in zip(now, old, strict=True)) <= near
        ]
        assert seen.original(now) == (alike[0] if alike else None)
        seen.add(now)
        before.append(now)


def marked(folder: Path, lines: list[dict[str, object]]) -> None:
    """Write metadata."""
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_splits_stay_and_pictures_are_listed(tmp_path: Path) -> None:
    planted(tmp_path / "in", 4)
    (tmp_path / "in/000.txt").unlink()
    (tmp_path / "in/002.txt").unlink()
    Video(pixels(Toybox().open().example(5, SHAPE).video)[:1], 1).save(tmp_path / "in/c.png")
    lines: list[dict[str, object]] = [
        {"file_name": "000.mp4", "text": "for training", "split": "train"},
        {"file_name": "001.mp4", "text": "held out", "split": "test"},
        {"file_name": "001.mp4", "text": "in other words", "split": "val"},
        {"file_name": "002.mp4", "text": "neither"},
        {"file_name": "c.png", "text": "a picture", "split": "train"},
    ]
    marked(tmp_path / "in", lines)
    texts, rest = _contents(tmp_path / "in", QUICK)
    assert list(texts) == ["000.mp4", "001.mp4", "002.mp4", "003.mp4"]
    assert [(item.name, item.texts, item.reason) for item in rest] == [
        ("c.png", ["a picture"], "image: only videos are curated")
    ]
    scenes = curate(tmp_path / "in", tmp_path / "out", QUICK.with_(measures=(), near=-1))
    assert [scene.name for scene in scenes if scene.reason is not None] == ["c.png"]
    found = {
        split: {clip.text for clip in scan(Folder(path=str(tmp_path / "out"), split=split)).kept}
        for split in ("train", "test", "val", "curated")
    }
    beside = (tmp_path / "in/003.txt").read_text()
    assert found == {
        "train": {"for training"}, "test": {"held out"}, "val": {"in other words"}, "curated": {"neither", beside}
    }  # fmt: skip


def test_of_duplicates_the_one_that_is_held_out_stays(tmp_path: Path) -> None:
    planted(tmp_path / "in", 1)
    for name in ("copy", "other", "zz"):
        (tmp_path / f"in/{name}.mp4").write_bytes((tmp_path / "in/000.mp4").read_bytes())
    splits = {"000": "train", "copy": "curated", "other": "test", "zz": "val"}
    marked(tmp_path / "in", [{"file_name": f"{name}.mp4", "text": name, "split": splits[name]} for name in splits])
    scenes = curate(tmp_path / "in", tmp_path / "out", QUICK.with_(measures=()))
    assert {scene.name: scene.reason for scene in scenes} == {
        name: None if name == "other.mp4" else "duplicate: of other.mp4 at 0.00 s"
        for name in ("000.mp4", "copy.mp4", "other.mp4", "zz.mp4")
    }
    (line,) = (tmp_path / "out/metadata.jsonl").read_text().splitlines()
    assert json.loads(line)["split"] == "test"


def test_what_a_captioner_wrote_is_in_the_splits_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.mp4", "b.mp4", "sub/c.mp4"):
        (tmp_path / name).write_bytes(b"")
    lines: list[dict[str, object]] = [
        {"file_name": "a.mp4", "split": "test"},  # no caption yet
        {"file_name": "B.MP4", "text": "a  b", "split": "train"},
        {"file_name": "b.mp4", "text": "b", "split": 3},
        {"file_name": "none.mp4", "text": "x", "split": "test"},
        {"file_name": "sub/c.mp4", "text": "c", "split": "test"},
    ]
    marked(tmp_path, lines)
    marked(tmp_path / "sub", [{"file_name": "c.mp4", "text": "c", "split": "train"}])
    marks = marks_of(tmp_path)
    assert marks == {
        "a.mp4": [FileMark(None, "test")],
        "b.mp4": [FileMark("a b", "train"), FileMark("b", "3")],
        "sub/c.mp4": [FileMark("c", "test")],
    }
    told = [list(_captions(scenes.unread(name, ["made", "b"], ""), marks)) for name in ("a.mp4", "b.mp4", "d.mp4")]
    assert told == [
        [("made", "test"), ("b", "test")],
        [("made", "train"), ("made", "3"), ("b", "3")],
        [("made", "curated"), ("b", "curated")],
    ]


def test_scenes_of_less_than_half_a_second_are_judged_by_two_pictures(tmp_path: Path) -> None:
    toy = Toybox().open().example(3, VideoShape(frames=12, height=64, width=64, fps=24))
    Video(pixels(toy.video), 24).save(tmp_path / "in.mp4")
    info = probe(tmp_path / "in.mp4")
    for frames in (2, 3, 6, 12):
        found = scenes._pictures(tmp_path / "in.mp4", info, 0.0, frames / 24)
        every = read(tmp_path / "in.mp4").frames
        assert len(found) == 2
        assert (found == every[[0, frames - 1]]).all()


@pytest.mark.parametrize(("height", "width"), [(34, 2), (2, 34)])
def test_a_video_that_is_a_mere_line_is_told(tmp_path: Path, height: int, width: int) -> None:
    """Readers of text and writers of pictures fail of these, in ways of their own."""
    frames = np.random.default_rng(0).integers(0, 256, (16, height, width, 3), dtype=np.uint8)
    Video(frames, 8).save(tmp_path / "a.mp4")
    [scene] = scenes.judged(tmp_path, "a.mp4", ["a"], QUICK)
    assert scene.reason == f"narrow: {height}x{width}, expected sides of at most 1 to 16" and scene.measures == {}
    Video(frames[:, : min(height, 32), : min(width, 32)], 8).save(tmp_path / "b.mp4")
    [scene] = scenes.judged(tmp_path, "b.mp4", ["a"], QUICK)
    assert "narrow" not in (scene.reason or "") and scene.measures


def test_equal_scenes_are_not_all_the_worst(tmp_path: Path) -> None:
    planted(tmp_path / "in", 1)
    toys = Toybox().open()
    for number in (1, 2, 5):
        Video(pixels(toys.example(number, SHAPE).video), 8).save(tmp_path / f"in/more{number}.mp4")
        (tmp_path / f"in/more{number}.txt").write_text("more")
    scenes = curate(tmp_path / "in", tmp_path / "out", QUICK.with_(worst={"black": 25}))
    assert {scene.measures["black"] for scene in scenes} == {0.0}  # of which no quarter is worse
    assert sum((scene.reason or "").startswith("worst: among the 25 % by black") for scene in scenes) == 1


def test_what_changed_since_is_judged_and_cut_anew(tmp_path: Path) -> None:
    planted(tmp_path / "in", 1)
    folder, out = tmp_path / "in", tmp_path / "out"
    curate(folder, out, QUICK)
    (folder / "000.txt").write_text("another caption")
    assert [scene.texts for scene in curate(folder, out, QUICK)] == [["another caption"]]
    mine = out / "clips/mine.txt"
    mine.write_text("kept")
    frames = pixels(Toybox().open().example(7, SHAPE).video)  # another film of the same length
    Video(frames, 8).save(folder / "000.mp4")
    curate(folder, out, QUICK)
    assert (out / "clips/000000.mp4").read_bytes() == (folder / "000.mp4").read_bytes() and mine.is_file()


def test_a_clip_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    planted(tmp_path / "in", 3)
    curate(tmp_path / "in", tmp_path / "out", QUICK)
    first = next((tmp_path / "out/clips").glob("000000*"))
    first.unlink()
    first.mkdir()  # where its clip belongs
    scenes = curate(tmp_path / "in", tmp_path / "out", QUICK)
    assert (scenes[0].reason or "").startswith("not written: ") and (tmp_path / "out/index.html").is_file()


def test_a_folder_inside(tmp_path: Path) -> None:
    planted(tmp_path / "in", 1)
    with pytest.raises(ValueError, match=r"expected a folder outside of .*in, whose videos its clips would join"):
        curate(tmp_path / "in", tmp_path / "in/out", QUICK)


def test_measures_of_a_clip_may_be_named_in_the_spec() -> None:
    asked = asked_for('{"worst": {"aesthetics": 25}}', [], "keep", "openai/clip-vit-base-patch32")
    assert [measure.kind() for measure in asked.measures][-2:] == ["alignment", "aesthetics"]
    told = '{"measures": [{"type": "motion"}, {"type": "aesthetics", "model": "other"}]}'
    asked = asked_for(told, [], "keep", "openai/clip-vit-base-patch32")
    assert [(one.kind(), getattr(one, "model", "")) for one in asked.measures][1:] == [
        ("aesthetics", "other"),
        ("alignment", "openai/clip-vit-base-patch32"),
    ]


def test_the_page_is_whole_and_escaped(tmp_path: Path) -> None:
    planted(tmp_path / "in", 2)
    (tmp_path / "in/001.txt").write_text("<script>alert('x')</script> & more")
    (tmp_path / "in/a&b<i>.mp4").write_bytes(b"no video")
    (tmp_path / "in/a&b<i>.txt").write_text("broken")
    scenes = curate(tmp_path / "in", tmp_path / "out", QUICK)
    page = (tmp_path / "out/index.html").read_text("utf-8")
    assert "<script" not in page and "&lt;script&gt;" in page and "a&amp;b&lt;i&gt;.mp4" in page
    assert re.findall(r"(?:src|href)=\"(?!data:image/jpeg;base64,)", page) == []
    strips = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)\"", page)
    assert len(strips) == sum(bool(scene.strip) for scene in scenes) >= 3
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(strips[0]), np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (72, 3 * 120, 3)
    for scene in scenes:
        assert scene.reason is None or scene.reason.split("(")[0].split("'")[0] in page


@pytest.mark.parametrize("module", ["rapidocr", "onnxruntime", "scenedetect"])
def test_a_missing_package_names_the_extra(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(tmp_path / "in", 1)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=rf"data curate expects {module} .*pip install 'zoetrope\[curate\]'"):
        curate(tmp_path / "in", tmp_path / "out", Curation())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"worst": {"motoin": 3}}, "unknown measure 'motoin'.*motion"),
        ({"worst": {"motion": 100}}, "a percentage of motion from 0 to below 100, got 100"),
        ({"captions": "add"}, "captions: expected a captioner for 'add', got none"),
        ({"strides": [0]}, "strides: expected 1 or more, got 0"),
        ({"measures": ["motion", "motion"]}, "expected each once, got motion twice"),
    ],
)
def test_a_wrong_spec_is_told(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Curation.from_json(fields)


def test_a_spec_survives_json() -> None:
    spec = Curation(worst={"motion": 10.0}, strides=(1, 3))
    assert Curation.from_json(json.dumps(spec.to_json())) == spec


@pytest.mark.parametrize("name", [name for name in SceneMeasure.names() if name not in ("aesthetics", "alignment")])
def test_measures_take_one_picture_and_flat_ones(name: str) -> None:
    measure = SceneMeasure.named(name)()
    for count in (1, 3):
        value = measure.of(np.full((count, 48, 64, 3), 127, np.uint8), [])
        assert np.isfinite(value) and (name not in ("motion", "frozen") or measure.fault(value) is not None)


@pytest.mark.parametrize("line", ["{", '["a.mp4", [1], [["too", "few"]]]', '["a.mp4"]'])
def test_a_journal_that_is_not_one_is_named(tmp_path: Path, line: str) -> None:
    """As of an older version, or after a full disk."""
    settings, states = {"folder": "x", "spec": {}}, {"a.mp4": [1]}
    for begin in (json.dumps(settings), "{"):
        (tmp_path / "journal.jsonl").write_text(f"{begin}\n{line}\n")
        with pytest.raises(ValueError, match=r"journal\.jsonl: is not as a curation writes it .*; choose a new folder"):
            _resumed(tmp_path, settings, states)  # type: ignore[arg-type]
    (tmp_path / "clips.jsonl").write_text(f"{line}\n")
    with pytest.raises(
        ValueError, match=r"clips\.jsonl: is not as a curation writes it .*; remove it, and clips are m"
    ):
        _noted(tmp_path)


def test_scenes_are_what_the_journal_says() -> None:
    scene = JudgedScene("a.mp4", ["x"], 0.5, 1.0, False, {"motion": 1.0}, [2**63 + 1], "", None)
    assert JudgedScene(*json.loads(json.dumps(scene))) == scene
