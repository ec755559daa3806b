"""Tar shards: what webdataset writes is read and the other way round, each sample once a pass, damage named."""

import http.server
import io
import json
import os
import pickle
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.video.stream import VideoStream
from conftest import number_of, numbered

from zoetrope.data import Source, _fetch, _room, _tar, pack, packable
from zoetrope.data._listing import MEDIA
from zoetrope.data._paths import is_shards
from zoetrope.data._web import Web
from zoetrope.data.folder import Folder
from zoetrope.data.shards import Shards, scan, shard_paths
from zoetrope.shapes import VideoShape
from zoetrope.video import Video, save_image

CLIP = VideoShape(frames=4, height=12, width=16, fps=6)
STILL = VideoShape(frames=1, height=12, width=16, fps=6)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A video of 24 pictures, and an image."""
    folder = tmp_path_factory.mktemp("media")
    Video(numbered(24, 24, 40), 24).save(folder / "long.mp4")
    save_image(folder / "still.png", numbered(8, 24, 40)[7])
    return {"mp4": (folder / "long.mp4").read_bytes(), "png": (folder / "still.png").read_bytes()}


Entries = Sequence[tuple[str, bytes]]


def write_tar(path: Path, entries: Entries) -> Path:
    """A tar of these files, by stdlib alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in entries:
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    return path


def samples(media: dict[str, bytes], names: Sequence[str], kind: str = "mp4") -> list[tuple[str, bytes]]:
    return [e for name in names for e in ((f"{name}.{kind}", media[kind]), (f"{name}.txt", f"clip {name}".encode()))]


@pytest.fixture
def folder(tmp_path: Path, media: dict[str, bytes]) -> Path:
    """Five shards, of 3, 4, 1, 2 and 5 videos; sample k of shard s is called "s-k"."""
    for shard, count in enumerate((3, 4, 1, 2, 5)):
        write_tar(tmp_path / f"set/train-{shard:03d}.tar", samples(media, [f"{shard}-{k}" for k in range(count)]))
    return tmp_path / "set"


def texts(source: Shards, indices: range, shape: VideoShape = CLIP) -> list[str]:
    dataset = source.open()
    return [dataset.example(index, shape).text for index in indices]


def test_every_sample_once_in_each_pass_and_a_window_at_a_time(folder: Path) -> None:
    source = Shards(path=str(folder), window=2, seed=3)
    found = texts(source, range(30))
    every = sorted(f"clip {s}-{k}" for s, count in enumerate((3, 4, 1, 2, 5)) for k in range(count))
    assert source.open().captions() == every
    for one in (found[:15], found[15:]):
        assert sorted(one) == every
        order = list(dict.fromkeys(text[5] for text in one))
        for start in (0, 2, 4):  # no shard is left before its window ends, and none is met again
            window = set(order[start : start + 2])
            places = [place for place, text in enumerate(one) if text[5] in window]
            assert places == list(range(places[0], places[-1] + 1))
    assert found[:15] != found[15:] and texts(source.with_(seed=4), range(15)) != found[:15]


def test_samples_of_one_name_are_not_mixed_up(tmp_path: Path, media: dict[str, bytes]) -> None:
    """Joined tars have them; small files stay decoded in memory."""
    Video(numbered(24, 24, 40)[::-1], 24).save(tmp_path / "back.mp4")
    entries = [*samples(media, ["a", "b"]), ("a.mp4", (tmp_path / "back.mp4").read_bytes()), ("a.txt", b"backwards")]
    source = Shards(path=str(write_tar(tmp_path / "x.tar", entries)))
    dataset = source.open()
    found = {example.text: example for example in (dataset.example(number, CLIP) for number in range(3))}
    steps = {text: np.diff(number_of(Video.from_tensor(one.video, 1).frames)).tolist() for text, one in found.items()}
    assert steps == {"clip a": [4, 4, 4], "clip b": [4, 4, 4], "backwards": [-4, -4, -4]}


def test_an_example_is_a_function_of_its_position(folder: Path) -> None:
    first, second = (Shards(path=str(folder)).open() for _ in range(2))
    second = pickle.loads(pickle.dumps(second))
    forward = [first.example(k, CLIP) for k in range(16)]
    backward = [second.example(k, CLIP) for k in reversed(range(16))][::-1]
    for one, other in zip(forward, backward, strict=True):
        assert torch.equal(one.video, other.video) and one[1:] == other[1:]
    name = forward[0].name
    assert name == f"train-00{forward[0].text[5]}.tar/{forward[0].text[5:]}"
    pictures = number_of(Video.from_tensor(forward[0].video, 1).frames)
    assert np.diff(pictures).tolist() == [4, 4, 4]


def test_images_and_videos_lie_side_by_side(tmp_path: Path, media: dict[str, bytes]) -> None:
    entries = [*samples(media, ["a"]), *samples(media, ["b"], "png"), ("c.mp4", media["mp4"])]
    entries += [("c.json", json.dumps({"text": "from\n json", "id": 3}).encode())]
    write_tar(tmp_path / "x.tar", entries)
    source = Shards(path=str(tmp_path / "x.tar"))
    assert set(texts(source, range(6))) == {"clip a", "from json"}
    assert set(texts(source, range(6), STILL)) == {"clip a", "clip b", "from json"}
    assert Source.from_json(source.to_json()) == source


def test_webdataset_reads_what_is_packed_here(tmp_path: Path, media: dict[str, bytes]) -> None:
    webdataset = pytest.importorskip("webdataset")
    (tmp_path / "set").mkdir()
    for name, kind in (("a", "mp4"), ("b.c", "png"), ("d", "mp4")):
        (tmp_path / f"set/{name}.{kind}").write_bytes(media[kind])
        (tmp_path / f"set/{name}.txt").write_text(f"caption of {name}\n")
    report = Folder(path=str(tmp_path / "set")).open().report
    made = pack(tmp_path / "set", report.kept, tmp_path / "out", count=2)
    assert [path.name for path in made] == ["zoetrope-000000.tar", "zoetrope-000001.tar"]
    read = list(webdataset.WebDataset([str(path) for path in made], shardshuffle=False))
    assert sorted(sample["txt"].decode() for sample in read) == ["caption of a", "caption of b.c", "caption of d"]
    for sample in read:
        kind = "png" if sample["txt"].endswith(b"b.c") else "mp4"
        assert sample[kind] == media[kind]
    assert [sample["__key__"] for sample in read] == ["000000", "000001", "000002"]


def test_what_webdataset_writes_is_read_here(tmp_path: Path, media: dict[str, bytes]) -> None:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.ShardWriter(str(tmp_path / "w-%03d.tar"), maxcount=2, verbose=0) as writer:
        for number in range(3):
            writer.write({"__key__": f"deep/er/{number:04d}", "mp4": media["mp4"], "txt": f"number {number}"})
        writer.write({"__key__": "one.two", "seg.png": media["png"], "json": {"text": "a still"}})
    pattern = str(tmp_path / "w-{000..001}.tar")
    report = scan(Shards(path=pattern))
    assert report.dropped == ()
    keys = {sample["__key__"] for sample in webdataset.WebDataset(pattern, shardshuffle=False)}
    assert {clip.name.partition("/")[2] for clip in report.kept} == keys
    assert sorted(clip.text for clip in report.kept) == ["a still", "number 0", "number 1", "number 2"]


def test_the_same_folder_gives_the_same_shards(tmp_path: Path, media: dict[str, bytes]) -> None:
    (tmp_path / "set").mkdir()
    for number in range(5):
        (tmp_path / f"set/{number}.png").write_bytes(media["png"])
        (tmp_path / f"set/{number}.txt").write_text(f"{number}")
    kept = Folder(path=str(tmp_path / "set")).open().report.kept
    limit = 2 * (1024 + 512 + -(-len(media["png"]) // 512) * 512)
    first = pack(tmp_path / "set", kept, tmp_path / "one", size=limit)
    os.utime(tmp_path / "set/0.png", (1, 1))
    again = pack(tmp_path / "set", kept, tmp_path / "two", size=limit)
    assert len(first) == 3 and [p.read_bytes() for p in first] == [p.read_bytes() for p in again]
    assert len(pack(tmp_path / "set", kept, tmp_path / "three", size=1)) == 5
    with pytest.raises(ValueError, match="one: expected a new or an empty folder"):
        pack(tmp_path / "set", kept, tmp_path / "one", size=limit)
    assert not list(tmp_path.glob(".*"))


CONTAINERS = {  # by ending: format, codec, pixels
    ".3g2": ("3g2", "mpeg4", "yuv420p"), ".3gp": ("3gp", "mpeg4", "yuv420p"), ".apng": ("apng", "apng", "rgb24"),
    ".asf": ("asf", "mpeg4", "yuv420p"), ".divx": ("avi", "mpeg4", "yuv420p"), ".f4v": ("mp4", "libx264", "yuv420p"),
    ".flv": ("flv", "libx264", "yuv420p"), ".m2t": ("mpegts", "mpeg2video", "yuv420p"),
    ".m2ts": ("mpegts", "libx264", "yuv420p"), ".m2v": ("mpeg2video", "mpeg2video", "yuv420p"),
    ".mpe": ("mpeg", "mpeg1video", "yuv420p"), ".mts": ("mpegts", "libx264", "yuv420p"),
    ".mxf": ("mxf", "mpeg2video", "yuv420p"), ".qt": ("mov", "mpeg4", "yuv420p"),
    ".vob": ("vob", "mpeg2video", "yuv420p"), ".y4m": ("yuv4mpegpipe", "wrapped_avframe", "yuv420p"),
    ".jfif": ("image2", "mjpeg", "yuvj420p"), ".jpe": ("image2", "mjpeg", "yuvj420p"),
    ".jp2": ("image2", "jpeg2000", "rgb24"), ".ppm": ("image2", "ppm", "rgb24"),
}  # fmt: skip


def encoded(path: Path, ending: str) -> Path:
    """A file of this ending, a video of 24 pictures or an image of the eighth."""
    form, codec, pixels = CONTAINERS[ending]
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=25, width=80, height=48)
        assert isinstance(stream, VideoStream)
        stream.pix_fmt, stream.bit_rate = pixels, 2_000_000
        for picture in numbered(24, 48, 80) if form != "image2" else numbered(8, 48, 80)[7:]:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_many_endings_are_listed_packed_and_read(tmp_path: Path, media: dict[str, bytes]) -> None:
    assert set(CONTAINERS) < MEDIA
    (tmp_path / "set").mkdir()
    (tmp_path / "set/plain.mp4").write_bytes(media["mp4"])
    names = ["plain.mp4", *(encoded(tmp_path / f"set/a{ending}", ending).name for ending in CONTAINERS)]
    for name in names:
        (tmp_path / f"set/{name}.txt").write_text(name)
    kept = Folder(path=str(tmp_path / "set")).open().report.kept
    assert sorted(clip.text for clip in kept) == sorted(names)
    pack(tmp_path / "set", kept, tmp_path / "out")
    source = Shards(path=str(tmp_path / "out"))
    report = scan(source)
    assert report.dropped == () and sorted(clip.text for clip in report.kept) == sorted(names)
    shape, opened = VideoShape(frames=1, height=48, width=80, fps=25), source.open()
    images = {f"a{ending}" for ending, (form, *_) in CONTAINERS.items() if form == "image2"}
    for index in range(len(names)):
        example = opened.example(index, shape)
        found = number_of(Video.from_tensor(example.video, 25).frames)
        assert not example.skipped and (found == [7] if example.text in images else 0 <= found[0] < 24), example.text


def test_what_shards_could_not_give_again_is_not_packed(tmp_path: Path, media: dict[str, bytes]) -> None:
    (tmp_path / "set").mkdir()
    for name in ("a.mp4", "b.film", "c"):
        (tmp_path / "set" / name).write_bytes(media["mp4"])
    lines = [json.dumps({"file_name": name, "text": name}) for name in ("a.mp4", "b.film", "c")]
    (tmp_path / "set/metadata.jsonl").write_text("\n".join(lines))
    kept = Folder(path=str(tmp_path / "set")).open().report.kept
    clips, left = packable(kept)
    assert [clip.name for clip in clips] == ["a.mp4"] and [item.name for item in left] == ["b.film", "c"]
    with pytest.raises(ValueError, match=r"set/b\.film: has the ending \.film; expected one that shards know"):
        pack(tmp_path / "set", kept, tmp_path / "out")
    with pytest.raises(ValueError, match=r"set/c: has no ending; expected"):
        pack(tmp_path / "set", kept[2:], tmp_path / "out")
    mute = Folder(path=str(tmp_path / "set"), captions=False).open().report.kept
    with pytest.raises(ValueError, match=r"set/a\.mp4: expected a sample that is read again, got one that.* is empty"):
        pack(tmp_path / "set", mute, tmp_path / "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))


def test_names_of_shards(tmp_path: Path) -> None:
    for name in ("b-1.tar", "a-1.tar", "a-2.tar", "c.txt"):
        (tmp_path / name).touch()
    assert [Path(p).name for p in shard_paths(str(tmp_path))] == ["a-1.tar", "a-2.tar", "b-1.tar"]
    assert [Path(p).name for p in shard_paths(str(tmp_path / "{b,a}-*.tar"))] == ["b-1.tar", "a-1.tar", "a-2.tar"]
    assert shard_paths("https://h/{x,y}/t-{08..10}.tar?k=1") == [
        f"https://h/{folder}/t-{number}.tar?k=1" for folder in "xy" for number in ("08", "09", "10")
    ]
    with pytest.raises(ValueError, match=r"https://h/set: expected the address of a \.tar"):
        shard_paths("https://h/set")
    with pytest.raises(ValueError, match=r"nothing-\*\.tar: expected tar shards, there are none"):
        shard_paths(str(tmp_path / "nothing-*.tar"))


def test_an_index_is_made_once_and_anew_when_the_shard_changes(
    folder: Path, media: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    probe = _tar._made_index
    monkeypatch.setattr(_tar, "_made_index", lambda shard, state: made.append(shard) or probe(shard, state))
    assert len(texts(Shards(path=str(folder)), range(1))) == len(texts(Shards(path=str(folder)), range(1)))
    assert len(made) == 5 and len(list(folder.glob("*.tar.index.json"))) == 5
    write_tar(folder / "train-002.tar", samples(media, ["new"]))
    (folder / "train-003.tar.index.json").write_text("{")
    assert "clip new" in Shards(path=str(folder)).open().captions()
    assert made[5:] == [folder / "train-002.tar", folder / "train-003.tar"]


def test_an_index_that_cannot_lie_beside_its_shard(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "train-000.tar.index.json").mkdir()  # as good as a folder that is not ours to write in
    source = Shards(path=str(folder), cache=str(tmp_path / "cache"))
    assert len(source.open().captions()) == 15
    assert len(list((tmp_path / "cache/indices").rglob("train-000.tar.index.json"))) == 1
    monkeypatch.delattr(_tar, "_made_index")  # it is found there
    assert len(source.open().captions()) == 15


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        (lambda size: size // 2, r"train-001.tar: is cut off at byte \d+, in the middle of '1-\d\.mp4'"),
        (lambda size: 0, "train-001.tar: is empty"),
        (lambda size: 512 * 3, r"train-001.tar: is cut off at byte 1536, in the middle of '1-0.mp4'"),
    ],
)
def test_a_shard_that_is_cut_off(folder: Path, cut: Callable[[int], int], said: str) -> None:
    shard = folder / "train-001.tar"
    content = shard.read_bytes()
    shard.write_bytes(content[: cut(len(content))])
    with pytest.raises(ValueError, match=said):
        Shards(path=str(folder)).open()
    left = Shards(path=str(folder), damaged="skip").open()
    names = {sample.name for sample in left.shards[1].samples}
    assert names == ({"1-0", "1-1"} if cut(100) == 50 else set())  # whole samples before the cut stay
    assert len(left.captions()) == 11 + len(names)
    assert any(drop.name == "train-001.tar" for drop in scan(Shards(path=str(folder))).dropped)


def test_a_shard_that_ends_between_two_samples_or_is_overwritten(folder: Path) -> None:
    shard = folder / "train-000.tar"
    content = shard.read_bytes()
    with tarfile.open(shard) as tar:
        start = tar.getmember("0-1.mp4").offset
    shard.write_bytes(content[:start])
    with pytest.raises(ValueError, match=f"train-000.tar: is cut off at byte {start}: the mark of its end is missing"):
        Shards(path=str(folder)).open()
    shard.write_bytes(content[:start] + b"x" * 600 + content[start + 600 :])
    with pytest.raises(ValueError, match=f"train-000.tar: is damaged at byte {start}: expected a header there"):
        Shards(path=str(folder)).open()
    shard.write_bytes(b"no tar at all" * 100)
    with pytest.raises(ValueError, match=r"train-000.tar: expected an uncompressed tar file, got none"):
        Shards(path=str(folder)).open()


def test_a_shard_that_is_missing(folder: Path) -> None:
    pattern = str(folder / "train-{000..005}.tar")
    with pytest.raises(ValueError, match=r"train-005\.tar: expected a tar shard, it cannot be read \(No such file"):
        Shards(path=pattern).open()
    assert len(Shards(path=pattern, damaged="skip").open().captions()) == 15


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("b.json", b'{"text": ["a", "b"]}', "'b.json' has a list for 'text'; expected a string"),
        ("b.json", b'{"text": 3}', "'b.json' has the number 3 for 'text'; expected a string, the words that a label"),
        ("b.json", b'{"text": null}', "'b.json' has null for 'text'; expected a string"),
        ("b.json", b'{"caption": "x"}', "'b.json' has no 'text', only 'caption'; is 'caption' meant? Then rename it"),
        ("b.json", b"[]", "'b.json' is not a JSON object, but a list"),
        ("b.json", b"{", "'b.json' is not JSON (Expecting"),
        ("b.json", b"[" * 100_000 + b"]" * 100_000, "'b.json' is not JSON that can be read (nested too deeply)"),
        ("b.json", b'{"text": "a", "n": ' + b"9" * 9999 + b"}", "'b.json' is not JSON that can be read (a number with"),
        ("b.json", b'{"text": "half \\ud83d"}', "'b.json' holds half of a surrogate pair (\\ud83d)"),
        ("b.txt", b"\xff\xfe\x00", "'b.txt' is not UTF-8 text"),
        ("b.txt", b"f\x00o\x00g\x00", "'b.txt' holds the control character U+0000 (is it UTF-16?)"),
        ("b.txt", b"x" * 2_000_000, "'b.txt' is longer than 1 MB"),
    ],
)
def test_a_caption_that_is_no_text(
    tmp_path: Path, media: dict[str, bytes], name: str, content: bytes, said: str
) -> None:
    shard = write_tar(tmp_path / "x.tar", [*samples(media, ["a"]), ("b.mp4", media["mp4"]), (name, content)])
    with pytest.raises(ValueError) as caught:
        Shards(path=str(shard)).open()
    assert f"x.tar/b: {said}" in str(caught.value)
    assert Shards(path=str(shard), damaged="skip").open().captions() == ["clip a"]


def test_what_gives_no_clip_is_dropped_with_its_reason(tmp_path: Path, media: dict[str, bytes]) -> None:
    entries = [*samples(media, ["a"]), ("broken.mp4", b"not a video"), ("broken.txt", b"x"), ("mute.mp4", media["mp4"])]
    entries += [("blank.mp4", media["mp4"]), ("blank.txt", b" \n"), ("lone.txt", b"y"), ("README", b"z")]
    entries += [("both.mp4", media["mp4"]), ("both.png", media["png"]), ("both.txt", b"w")]
    source = Shards(path=str(write_tar(tmp_path / "x.tar", entries)))
    report = scan(source)
    assert [clip.name for clip in report.kept] == ["x.tar/a"]
    reasons = {drop.name: drop.reason for drop in report.dropped}
    assert reasons.pop("x.tar/broken").startswith("not a media file")
    assert reasons == {
        "x.tar/mute": "has no caption", "x.tar/blank": "its caption is empty",
        "x.tar/lone": "holds no video or image, only txt",
        "x.tar/both": "holds mp4 and png; expected one video or image",
    }  # fmt: skip
    (told,) = source.open().unused()
    assert told.lines()[0] == f"{source.path}: 5 dropped:" and "  x.tar/mute: has no caption" in told.lines()
    assert sorted(told.dropped) == list(report.dropped)
    empty = write_tar(tmp_path / "empty.tar", [("lone.txt", b"y")])
    with pytest.raises(ValueError, match=r"no usable clip\n  empty\.tar/lone: holds no video or image"):
        Shards(path=str(empty)).open()


def test_a_video_that_breaks_later_is_replaced_by_the_next(folder: Path) -> None:
    source = Shards(path=str(folder), window=5)
    whole = source.open()
    before = [whole.example(k, CLIP) for k in range(15)]
    victim = whole.shards[4].samples[2]
    shard = folder / "train-004.tar"
    state = shard.stat()
    with shard.open("r+b") as file:  # rot that neither the size nor the time of the file tells
        file.seek(victim.offset)
        file.write(b"\0" * victim.size)
    os.utime(shard, ns=(state.st_atime_ns, state.st_mtime_ns))
    for dataset in (source.open(), source.open()):
        after = [dataset.example(k, CLIP) for k in reversed(range(15))][::-1]
        place = next(k for k in range(15) if before[k].name == "train-004.tar/4-2")
        assert [skipped.name for skipped in after[place].skipped] == ["train-004.tar/4-2"]
        assert after[place].skipped[0].reason.startswith("not a media file, or cut off")
        assert after[place].name == whole.example(place + 1, CLIP).name
        assert [e.name for k, e in enumerate(after) if k != place] == [
            e.name for k, e in enumerate(before) if k != place
        ]
        assert Counter(item.name for example in after for item in example.skipped) == {"train-004.tar/4-2": 1}


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; `faults` are consumed, one a request of a path: how many bytes to send, or an HTTP error."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[int]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.statuses: list[int] = []
        self.moved: dict[str, str] = {}
        self.ranges = True
        self.tags = True
        self.lengths = True
        self.drip = 0.0
        super().__init__(("127.0.0.1", 0), Answer)

    def handle_error(self, *_: Any) -> None:
        """Say nothing of those who hang up."""

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Answer(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        name = self.path.strip("/")
        part = self.headers.get("Range")
        self.server.asked.append((name, part))
        if name in self.server.moved:
            self.send_response(302)
            self.send_header("Location", self.server.moved[name])
            self.end_headers()
            return
        faults = self.server.faults.get(name, [])
        fault = faults.pop(0) if faults else None
        content = self.server.files.get(name)
        if content is None or (fault is not None and fault >= 400 and fault < 600):
            self.send_error(404 if content is None else fault or 500)
            return
        start, tag = 0, f'"{hash(content)}"'
        if self.headers.get("If-None-Match") == tag:
            self.server.statuses.append(304)
            self.send_response(304)
            self.end_headers()
            return
        self.server.statuses.append(200)
        if part and self.server.ranges and (not self.server.tags or self.headers.get("If-Range") == tag):
            start = int(part.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if self.server.lengths:
            self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", tag)
        self.end_headers()
        part_sent = content[start : len(content) if fault is None else start + fault]
        if self.server.drip:
            for k in range(0, min(100, len(part_sent))):
                self.wfile.write(part_sent[k : k + 1])
                time.sleep(self.server.drip)
            return
        self.wfile.write(part_sent)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(_fetch, "PAUSE", 0.001)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def kept_in(folder: Path, most: int | None = None) -> Web:
    return Web(folder, most)


def publish(web: Server, folder: Path) -> None:
    web.files = {path.name: path.read_bytes() for path in folder.iterdir()}


def test_shards_on_the_web_are_those_on_the_disk(folder: Path, web: Server, tmp_path: Path) -> None:
    here = Shards(path=str(folder), window=2).open()
    publish(web, folder)
    there = Shards(path=web.url("train-{000..004}.tar"), window=2, cache=str(tmp_path / "cache"))
    dataset = there.open()
    assert {name for name, _ in web.asked} == {f"train-00{k}.tar.index.json" for k in range(5)}  # nothing more yet
    for k in range(15):
        one, other = here.example(k, CLIP), dataset.example(k, CLIP)
        assert torch.equal(one.video, other.video) and one[1:] == other[1:]
    asked = [name for name, _ in web.asked if name.endswith(".tar")]
    assert sorted(asked) == [f"train-00{k}.tar" for k in range(5)]  # each once
    web.files = {}
    assert there.open().example(3, CLIP).text == here.example(3, CLIP).text  # without the web


def test_shards_on_the_web_without_an_index(folder: Path, web: Server, tmp_path: Path) -> None:
    publish(web, folder)
    there = Shards(path=web.url("train-{000..004}.tar"), cache=str(tmp_path / "cache"))
    assert texts(there, range(15)) == texts(Shards(path=str(folder)), range(15))
    assert [name for name, _ in web.asked].count("train-003.tar") == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on_or_begins_anew(
    folder: Path, web: Server, tmp_path: Path, ranges: bool
) -> None:
    content = (folder / "train-001.tar").read_bytes()
    web.files, web.ranges = {"x.tar": content}, ranges
    web.faults["x.tar"] = [2000, 503, 3000] if ranges else [2000, 503]
    assert kept_in(tmp_path).shard(web.url("x.tar")).read_bytes() == content
    parts = [part for _, part in web.asked]
    assert parts == ([None, "bytes=2000-", "bytes=2000-", "bytes=5000-"] if ranges else [None] + ["bytes=2000-"] * 2)
    left = {path.name for path in _fetch.cached(web.url("x.tar"), tmp_path).parent.iterdir()}
    assert left - {"x.tar.lock"} == {"x.tar", "x.tar.mark"}


def test_what_changed_meanwhile_is_not_mixed(folder: Path, web: Server, tmp_path: Path) -> None:
    old, new = ((folder / f"train-00{k}.tar").read_bytes() for k in (1, 4))
    web.files, web.faults["x.tar"] = {"x.tar": old}, [2000] * _fetch.ATTEMPTS
    with pytest.raises(ValueError, match=r"x\.tar: could not be downloaded in 5 attempts; the last one: expected"):
        kept_in(tmp_path).shard(web.url("x.tar"))
    assert not _fetch.cached(web.url("x.tar"), tmp_path).exists()
    web.files["x.tar"] = new
    assert kept_in(tmp_path).shard(web.url("x.tar")).read_bytes() == new


def test_a_shard_that_is_not_on_the_web(folder: Path, web: Server, tmp_path: Path) -> None:
    publish(web, folder)
    cache = str(tmp_path / "cache")
    with pytest.raises(ValueError, match=r"train-005\.tar: .*there is no such file \(HTTP 404\)"):
        Shards(path=web.url("train-{000..005}.tar"), cache=cache).open()
    skipping = Shards(path=web.url("train-{000..005}.tar"), cache=cache, damaged="skip")
    assert len(skipping.open().captions()) == 15
    publish(web, folder)
    web.files["train-000.tar.index.json"], web.faults["train-000.tar.index.json"] = b"", [403]
    again = Shards(path=web.url("train-000.tar"), cache=str(tmp_path / "another"))
    assert len(again.open().captions()) == 3  # some servers forbid what they do not have
    web.files["forbidden.tar"], web.faults["forbidden.tar"] = b"x", [403]
    with pytest.raises(ValueError, match=r"forbidden\.tar: HTTP 403"):
        kept_in(tmp_path).shard(web.url("forbidden.tar"))


def test_a_shard_of_another_size_than_its_index(folder: Path, web: Server, tmp_path: Path) -> None:
    Shards(path=str(folder)).open()
    publish(web, folder)
    web.files["train-002.tar"] = web.files["train-002.tar"][:-1024]
    there = Shards(path=web.url("train-{000..004}.tar"), cache=str(tmp_path / "cache")).open()
    with pytest.raises(ValueError, match=r"train-002\.tar: expected \d+ bytes, as its index says, got \d+"):
        [there.example(k, CLIP) for k in range(15)]


def test_what_the_server_changed_is_fetched_anew_and_nothing_else(
    tmp_path: Path, media: dict[str, bytes], web: Server
) -> None:
    there = Shards(path=web.url("{a,b}.tar"), cache=str(tmp_path / "cache"))
    for name in "ab":
        write_tar(tmp_path / f"{name}.tar", samples(media, [f"old {name}"]))
        web.files[f"{name}.tar"] = (tmp_path / f"{name}.tar").read_bytes()
    assert there.open().captions() == ["clip old a", "clip old b"]
    web.asked.clear(), web.statuses.clear()
    assert there.open().captions() == ["clip old a", "clip old b"]
    assert web.statuses == [304, 304]
    web.files["a.tar"] = write_tar(tmp_path / "a.tar", samples(media, ["new a"])).read_bytes()  # of the same size
    dataset = there.open()
    assert dataset.captions() == ["clip new a", "clip old b"]
    assert {dataset.example(k, CLIP).text for k in range(2)} == {"clip new a", "clip old b"}


def test_an_index_that_the_server_changed(folder: Path, web: Server, tmp_path: Path, media: dict[str, bytes]) -> None:
    there = Shards(path=web.url("train-002.tar"), cache=str(tmp_path / "cache"))
    Shards(path=str(folder)).open()
    publish(web, folder)
    assert there.open().example(0, CLIP).text == "clip 2-0"
    write_tar(folder / "train-002.tar", samples(media, ["2-9"]))
    Shards(path=str(folder)).open()
    publish(web, folder)
    assert there.open().example(0, CLIP).text == "clip 2-9"


def test_a_server_that_is_gone_or_does_not_answer_is_told(
    folder: Path, web: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(web, folder)
    there = Shards(path=web.url("train-{000..004}.tar"), cache=str(tmp_path / "cache"))
    assert len(there.open().captions()) == 15
    web.files = {}
    assert len(there.open().captions()) == 15
    assert "train-003.tar: HTTP 404 Not Found; what was downloaded before is used" in caplog.text
    web.server_close()
    web.shutdown()
    caplog.clear()
    data = there.open()
    assert len({data.example(k, CLIP).text for k in range(15)}) == 15
    said = [
        record.getMessage() for record in caplog.records if "what was downloaded before is used" in record.getMessage()
    ]
    assert len(said) == 1


def test_a_cache_that_takes_no_downloads_is_no_damage(
    folder: Path, web: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the shards nor the net are at fault: nothing is skipped, and nothing is asked for again."""
    resource = pytest.importorskip("resource")
    publish(web, folder)
    (tmp_path / "file").write_text("in the way")
    caches = {"Not a directory": tmp_path / "file" / "cache", "File too large": tmp_path / "full"}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for why, cache in caches.items():
        there = Shards(path=web.url("train-{000..004}.tar"), cache=str(cache), damaged="skip")
        web.asked.clear()
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))  # of an index more arrives
        try:
            with pytest.raises(OSError, match=rf"kept there \({why}\); ZOETROPE_CACHE, or `cache` of the data"):
                there.open()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert max(Counter(name for name, _ in web.asked).values(), default=0) <= 2  # the rest is asked for once


def test_what_a_portal_answers_is_not_kept(folder: Path, web: Server, tmp_path: Path) -> None:
    page = b"<html>\x1b[31mplease log in</html>"
    names = [f"train-000.tar{end}" for end in ("", ".index.json")]
    web.files = dict.fromkeys(names, page)
    there = Shards(path=web.url("train-000.tar"), cache=str(tmp_path / "cache"))
    said = r"train-000\.tar: expected an uncompressed tar file, .* begins '<html>\.\[31mplease log in</html>', which"
    with pytest.raises(ValueError, match=said):
        there.open()
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.suffix != ".lock"] == []
    web.files["train-000.tar"] = (folder / "train-000.tar").read_bytes()
    assert len(there.open().captions()) == 3


def test_a_shard_that_is_damaged_on_the_web_tells_where_it_lies(folder: Path, web: Server, tmp_path: Path) -> None:
    web.files = {"x.tar": (folder / "train-000.tar").read_bytes()[:3000]}
    with pytest.raises(ValueError, match=rf"is cut off at byte 3000.* \(downloaded to {tmp_path}/cache/\w+/x\.tar\)"):
        Shards(path=web.url("x.tar"), cache=str(tmp_path / "cache")).open()


def test_a_part_of_another_file_is_not_spliced_on(folder: Path, web: Server, tmp_path: Path) -> None:
    old, new = ((folder / f"train-00{k}.tar").read_bytes() for k in (1, 4))
    web.files, web.tags, web.faults["x.tar"] = {"x.tar": old}, False, [2000] * _fetch.ATTEMPTS
    with pytest.raises(ValueError, match="could not be downloaded"):
        kept_in(tmp_path).shard(web.url("x.tar"))
    web.files["x.tar"] = new  # of which this server sends the rest although it was asked for that of another
    assert kept_in(tmp_path).shard(web.url("x.tar")).read_bytes() == new


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/x.tar", "file:///etc/passwd", "data:,x"])
def test_redirects_lead_to_the_web_alone(web: Server, tmp_path: Path, address: str) -> None:
    web.files, web.moved["x.tar"] = {"x.tar": b""}, address
    with pytest.raises(ValueError, match=r"x\.tar: HTTP 302 "):
        kept_in(tmp_path).shard(web.url("x.tar"))
    assert not list(tmp_path.rglob("x.tar"))


def test_a_redirect_on_the_web_is_followed(folder: Path, web: Server, tmp_path: Path) -> None:
    web.files = {"y.tar": (folder / "train-000.tar").read_bytes()}
    web.moved["x.tar"] = web.url("y.tar")
    assert kept_in(tmp_path).shard(web.url("x.tar")).read_bytes() == web.files["y.tar"]


def test_a_server_that_hardly_sends_is_given_up(
    folder: Path, web: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fetch, "_MINUTE", 0.2)
    web.files, web.drip = {"x.tar": (folder / "train-000.tar").read_bytes()}, 0.1
    with pytest.raises(ValueError, match="the server sends less than 1024 bytes a second"):
        kept_in(tmp_path).shard(web.url("x.tar"))


def test_shards_used_longest_ago_make_room(folder: Path, web: Server, tmp_path: Path) -> None:
    publish(web, folder)
    sizes = {name: len(content) for name, content in web.files.items()}
    most = sizes["train-000.tar"] + sizes["train-001.tar"] + sizes["train-002.tar"] + 100
    kept = kept_in(tmp_path, most)
    first, second, third = (kept.shard(web.url(f"train-00{k}.tar")) for k in range(3))
    for age, path in enumerate((first, second, third)):
        os.utime(path.with_name(path.name + ".mark"), (age + 1, age + 1))
    assert kept.shard(web.url("train-000.tar")) == first  # used again: the second is the oldest now
    fourth = kept.shard(web.url("train-003.tar"))
    assert [path.exists() for path in (first, second, third, fourth)] == [True, False, True, True]
    with pytest.raises(ValueError, match=r"cache_gb: expected at least .*, the size of a shard, got 1e-06"):
        kept_in(tmp_path / "small", 1000).shard(web.url("train-000.tar"))
    there = Shards(path=web.url("train-{000..004}.tar"), cache=str(tmp_path / "less"), cache_gb=most / 1e9, window=1)
    dataset = there.open()
    given = [dataset.example(k, CLIP) for k in range(15)]
    assert [example.skipped for example in given if example.skipped] == []
    assert len({example.text for example in given}) == 15
    assert sum(path.stat().st_size for path in (tmp_path / "less").rglob("*.tar")) <= most


def test_room_is_made_of_downloads_alone(folder: Path, web: Server, tmp_path: Path) -> None:
    """The cache may be a folder in which a user keeps shards too."""
    publish(web, folder)
    place = tmp_path / "mine"
    own = [place / "own.tar", place / "sets/own.tar", place / "sets/deep/own.tar.partial"]
    for path in own:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 100_000)
    kept = kept_in(place, max(len(content) for content in web.files.values()))
    first, second = (kept.shard(web.url(f"train-00{k}.tar")) for k in range(2))
    assert not first.exists() and second.exists() and all(path.exists() for path in own)


def test_downloads_that_end_while_room_is_made(tmp_path: Path) -> None:
    """Files that another thread renames are looked at and gone: no reason to give up a download."""
    done = threading.Event()
    folder = _fetch.cached("https://host/x.tar", tmp_path).parent
    folder.mkdir()

    def others() -> None:
        while not done.is_set():
            for number in range(20):
                (folder / f"{number}.tar.partial").write_bytes(b"x")
                (folder / f"{number}.tar.partial").rename(folder / f"{number}.tar")

    thread = threading.Thread(target=others)
    thread.start()
    try:
        for _ in range(300):
            _room.make_room(1, tmp_path, None, tmp_path / "own.tar.partial")
    finally:
        done.set()
        thread.join()


def test_a_download_without_a_length_is_bounded_too(folder: Path, web: Server, tmp_path: Path) -> None:
    web.files, web.lengths = {"x.tar": (folder / "train-001.tar").read_bytes()}, False
    size, cache = len(web.files["x.tar"]), tmp_path / "cache"
    with pytest.raises(ValueError, match=r"cache_gb: expected at least"):
        kept_in(cache, size - 1).shard(web.url("x.tar"))
    assert not [path for path in cache.rglob("*") if path.suffix in (".partial", ".tar")]
    assert kept_in(cache, size).shard(web.url("x.tar")).stat().st_size == size
    _room.make_room(1, cache, None, cache / "y")
    with pytest.raises(ValueError, match=rf"{cache}: {2**60} bytes are to come, the disk has room for \d+"):
        _room.make_room(2**60, cache, None, cache / "y")
    assert len(list(cache.rglob("*.tar"))) == 1  # nothing goes where it would not be enough


def test_patterns_are_bounded() -> None:
    for pattern in (
        "https://h/{0..999999999}.tar",
        "x-{0..999}-{0..999}.tar",
        "{a,b}{0..999999999999999999}.tar",
    ):
        with pytest.raises(ValueError, match="expected a pattern of at most 100000 shards, got one of"):
            shard_paths(pattern)
    with pytest.raises(ValueError, match="expected tar shards, there are none"):
        shard_paths("https://h/{5..2}.tar")


@pytest.mark.parametrize("path", ["s3://bucket/t-{000..001}.tar", "gs://b/t.tar", "file:///t.tar", "pipe:curl h/t.tar"])
def test_addresses_that_are_not_of_the_web(path: str) -> None:
    kind = path.partition(":")[0]
    for act in (Shards(path=path, damaged="skip").open, Shards(path=path).located):
        with pytest.raises(ValueError, match=f"only http:// and https:// addresses are read, got {kind}:; "):
            act()


def test_members_that_lie_apart(tmp_path: Path, media: dict[str, bytes]) -> None:
    entries = [
        ("a.mp4", media["mp4"]),
        ("b.mp4", media["mp4"]),
        ("a.txt", b"a"),
        ("b.txt", b"b"),
        *samples(media, ["c"]),
    ]
    report = scan(Shards(path=str(write_tar(tmp_path / "x.tar", entries))))
    assert [clip.name for clip in report.kept] == ["x.tar/c"]
    said = "its members (mp4, txt) lie apart; those of a sample have to follow one another, sorted by name"
    assert {drop.name: drop.reason for drop in report.dropped} == {"x.tar/a": said, "x.tar/b": said}


def test_captions_of_other_kinds_are_named(tmp_path: Path, media: dict[str, bytes]) -> None:
    entries = [("a.mp4", media["mp4"]), ("a.cls", b"3"), ("b.npy", b"x"), ("b.txt", b"b"), *samples(media, ["c"])]
    report = scan(Shards(path=str(write_tar(tmp_path / "x.tar", entries))))
    assert {drop.name: drop.reason for drop in report.dropped} == {
        "x.tar/a": "has no caption in txt or json, only cls",
        "x.tar/b": "holds no video or image, only npy and txt",
    }


@pytest.mark.parametrize(
    "lie",
    [
        lambda index: index["samples"][0].__setitem__(2, 10**15),
        lambda index: index["samples"][0].__setitem__(2, -1),
        lambda index: index["samples"][0].__setitem__(3, 10**15),
        lambda index: index["samples"][0].__setitem__(1, "half \ud83d"),
        lambda index: index["samples"][0].__setitem__(1, "two\nlines"),
        lambda index: index.__setitem__("format", 1),
    ],
)
def test_an_index_that_cannot_be_true_is_made_anew(folder: Path, lie: Callable[[Any], None]) -> None:
    Shards(path=str(folder)).open()
    path = folder / "train-000.tar.index.json"
    index = json.loads(path.read_text())
    lie(index)
    path.write_text(json.dumps(index))
    assert len(Shards(path=str(folder)).open().captions()) == 15
    path.write_text("[" * 1_000_000)
    assert len(Shards(path=str(folder)).open().captions()) == 15


def test_what_lies_beside_shards_and_what_is_too_small_is_told(folder: Path, media: dict[str, bytes]) -> None:
    (folder / "beside.mp4").write_bytes(media["mp4"])
    write_tar(folder / "train-000.tar", [*samples(media, ["0-0"]), *samples(media, ["0-1"], "png")])
    (told,) = Shards(path=str(folder)).open().unused()
    assert told.dropped == () and told.notes == ("1 video and image file beside the shards: not read",)
    with pytest.raises(ValueError, match=r"no usable clip\n  train-000\.tar/0-0 \(and 13 more\): too small: 24x40"):
        Shards(path=str(folder), min_height=25).open()


def test_hidden_files_are_no_shards(folder: Path, tmp_path: Path, media: dict[str, bytes]) -> None:
    """Such as those that macOS puts beside each file that it copies."""
    for path in (folder, tmp_path):
        (path / "._train-000.tar").write_bytes(b"no tar")
    assert len(Shards(path=str(folder)).open().captions()) == 15
    assert is_shards(str(folder)) and not is_shards(str(tmp_path))


def test_no_place_for_an_index_is_no_reason_to_stop(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    for k in range(5):
        (folder / f"train-00{k}.tar.index.json").mkdir()
    assert len(Shards(path=str(folder), cache=str(tmp_path / "cache")).open().captions()) == 15
