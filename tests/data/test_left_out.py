"""What a folder does not use of what is in it: told with the real reason, and never more than what is wrong."""

import json
import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import Maker, make_pipe, numbered

from zoetrope.data import Unused, pack, preview
from zoetrope.data._files import files_of
from zoetrope.data._unused import Dropped
from zoetrope.data.folder import Folder, scan
from zoetrope.data.shards import Shards
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.embeddings.long import cut_short
from zoetrope.metrics.reference import open_reference
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words
from zoetrope.video import Video, save_image
from zoetrope.wording import counted, one_line

STILL = VideoShape(frames=1, height=12, width=16, fps=6)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 12 pictures."""
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    Video(numbered(12, 24, 40), 6).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path, clip: Path) -> Path:
    """Two videos without captions, a.mp4 and b.mp4."""
    path = tmp_path / "set"
    path.mkdir()
    for name in "ab":
        shutil.copy(clip, path / f"{name}.mp4")
    return path


def found(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The captions of the usable files, and the reasons of what is dropped."""
    report = scan(Folder(path=str(folder)))
    return {clip.name: clip.text for clip in report.kept}, {drop.name: drop.reason for drop in report.dropped}


QUOTES = "has 3 fields, the first line 2; a text with a comma has to stand in quotes"
BAD_LINES = [
    (
        b'{"file_name": "a.mp4", "text": "a cat \\ud83d"}',
        "its text for 'a.mp4' holds half of a surrogate pair (\\ud83d)",
    ),
    (b'{"file_name": "a.mp4", "text": "a\\u0000cat"}', "its text for 'a.mp4' holds the control character U+0000"),
    (b'{"file_name": "a.mp4", "text": "\\u001b[31mred"}', "its text for 'a.mp4' holds the control character U+001B"),
    (b'{"file_name": "a.mp4", "text": "caf\xe9"}', "is not UTF-8 text"),
    (b'{"file_name": "a.mp4", "text": null}', "has null for 'text'; expected a string"),
    (b'{"file_name": "a.mp4", "text": 3}', "has the number 3 for 'text'; expected a string, the words that a label"),
    (b'{"file_name": "a.mp4", "text": ["a"]}', "has a list for 'text'; expected a string"),
    (b'{"file_name": 7, "text": "a"}', "has the number 7 for 'file_name'; expected a string"),
    (b'{"video": "a.mp4", "text": "a"}', "has no 'file_name', only 'video', 'text'; is 'video' meant?"),
    (b"{}", "has no 'file_name', no fields at all"),
    (b"[" * 500 + b"]" * 500, "is not JSON that can be read (nested too deeply)"),
    (b"[" * 200_000 + b"]" * 200_000, "is not JSON that can be read (nested too deeply)"),
    (b'{"file_name": "a.mp4", "text": "a", "n": ' + b"1" * 9000 + b"}", "is not JSON that can be read (a number"),
    (b'{"file_name": "a.mp4", "text": "' + b"x" * 2_000_000 + b'"}', "is longer than 1 MB"),
]


@pytest.mark.parametrize(("line", "said"), BAD_LINES, ids=[line[:40].decode("latin-1") for line, _ in BAD_LINES])
def test_a_bad_line_of_jsonl_costs_itself_alone(folder: Path, line: bytes, said: str) -> None:
    (folder / "metadata.jsonl").write_bytes(line + b'\n{"file_name": "b.mp4", "text": "a\\u2028dog\\n"}\n')
    kept, dropped = found(folder)
    assert kept == {"b.mp4": "a dog"}
    assert dropped["metadata.jsonl:1"].startswith(said) and len(dropped["metadata.jsonl:1"]) < 200
    readable = line.startswith(b'{"file_name": "a.mp4"') and not said.startswith("is ")
    assert ("a.mp4" in dropped) != readable  # told once: with its line, or as a file without a caption


@pytest.mark.parametrize(
    ("lines", "where", "said"),
    [
        (
            b"a.mp4,a man walks, sits down",
            2,
            QUOTES,
        ),
        (b"a.mp4", 2, "has 1 of 2 fields"),
        (b"a.mp4,caf\xe9", 2, "is not UTF-8 text"),
        (b"a.mp4,a\x00cat", 2, "its text for 'a.mp4' holds the control character U+0000 (is it UTF-16?)"),
        (b'a.mp4,"one" two', 2, "is not CSV (',' expected after '\"')"),
        (b"a.mp4," + b"x" * 200_000, 2, "is not CSV (field larger than field limit (131072))"),
        (b"a.mp4,", 2, "has an empty text for 'a.mp4'"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_a_bad_line_of_a_table_costs_itself_alone(folder: Path, lines: bytes, where: int, said: str, form: str) -> None:
    table = b"file_name,text\n" + lines + b'\nb.mp4,"a dog, a cat"\n'
    if form == "tsv":
        table = table.replace(b",", b"\t")
        said = said.replace("','", "'\t'")
    (folder / f"metadata.{form}").write_bytes(table)
    kept, dropped = found(folder)
    assert kept == {"b.mp4": "a dog, a cat" if form == "csv" else "a dog a cat"}
    assert dropped[f"metadata.{form}:{where}"] == said


def test_a_quote_that_is_not_closed(folder: Path) -> None:
    (folder / "metadata.csv").write_text('file_name,text,split\nb.mp4,fine\na.mp4,"never closed\nb.mp4,swallowed\n')
    kept, dropped = found(folder)
    assert kept == {"b.mp4": "fine"}
    assert dropped["metadata.csv:3"] == "opens a quote that is not closed before line 4"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "metadata.csv",
            b"a.mp4,a dog\n",
            "columns 'file_name' and 'text', got no 'file_name', only 'a.mp4'",
        ),
        ("metadata.csv", b"file_name;text\na.mp4;x\n", "its columns are to be separated by commas, not semicolons"),
        ("metadata.tsv", b"file_name,text\na.mp4,x\n", "its columns are to be separated by tabs, not commas"),
        ("metadata.csv", b"", "got no 'file_name', no fields at all"),
        ("metadata.jsonl", "{}".encode("utf-16"), "expected UTF-8 text, got UTF-16; save it as UTF-8"),
        ("metadata.csv", "file_name,text".encode("utf-16"), "expected UTF-8 text, got UTF-16; save it as UTF-8"),
    ],
)
def test_metadata_that_cannot_be_read_at_all(folder: Path, name: str, content: bytes, said: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError) as caught:
        scan(Folder(path=str(folder)))
    assert said in str(caught.value) and str(caught.value).startswith(f"{folder / name}: ")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"caf\xe9", "its caption is not UTF-8 text"),
        ("a.txt", b"a\x00", "its caption holds the control character U+0000 (is it UTF-16?)"),
        ("a.txt", b"x" * 1_100_000, "its caption is longer than 1 MB"),
        ("a.txt", b"\xef\xbb\xbf \n", "its caption is empty"),
        ("a.json", b'{"text": null}', "its caption a.json has null for 'text'; expected a string"),
        ("a.json", b'{"text": "\\udc00"}', "its caption a.json holds half of a surrogate pair (\\udc00), which is no"),
        ("a.srt", b"1\n", "has no caption in .txt or .json, only a.srt"),
        ("readme", b"1\n", "has no caption"),
    ],
)
def test_a_caption_beside_that_is_none(folder: Path, name: str, content: bytes, said: str) -> None:
    (folder / "b.TXT").write_text("a dog\u2029 and\x85more")
    (folder / name).write_bytes(content)
    kept, dropped = found(folder)
    assert kept == {"b.mp4": "a dog and more"} and dropped["a.mp4"].startswith(said)


def test_captions_are_found_under_names_that_nearly_match(folder: Path) -> None:
    (folder / "a.mp4.txt").write_text("named after the whole file")
    (folder / "b.json").write_text('{"text": "a dog"}')
    assert found(folder) == ({"a.mp4": "named after the whole file", "b.mp4": "a dog"}, {})
    (folder / "b.txt").write_text("the text comes first")
    assert found(folder)[0]["b.mp4"] == "the text comes first"


@pytest.mark.parametrize(
    ("written", "file"),
    [
        ("clips\\a.mp4", "clips/a.mp4"),
        ("./clips//a.mp4", "clips/a.mp4"),
        ("clips/../clips/a.mp4", "clips/a.mp4"),
        (unicodedata.normalize("NFC", "café.mp4"), unicodedata.normalize("NFD", "café.mp4")),
        (unicodedata.normalize("NFD", "café.mp4"), unicodedata.normalize("NFC", "café.mp4")),
        ("Clip One.MP4", "clip one.mp4"),
        ("HERE/a.mp4", "a.mp4"),
    ],
)
def test_a_name_that_means_one_file_is_that_file(folder: Path, clip: Path, written: str, file: str) -> None:
    (folder / file).parent.mkdir(exist_ok=True)
    shutil.copy(clip, folder / file)
    written = written.replace("HERE", str(folder))
    (folder / "metadata.jsonl").write_text(json.dumps({"file_name": written, "text": "a dog"}))
    assert found(folder)[0] == {file: "a dog"}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("frames", "names 'frames', which is a folder of 2 files; expected one video or image"),
        ("other/a.mp4", "names 'other/a.mp4', which does not exist; is 'a.mp4' meant?"),
        ("a", "names 'a', which does not exist; is 'a.mp4' meant?"),
        ("x.mp4", "names 'x.mp4', which does not exist; it may be any of 'X.mp4', 'x.MP4'"),
        ("../a.mp4", "names '../a.mp4', which is outside the folder"),
        ("/etc/passwd", "names '/etc/passwd', which is outside the folder"),
        ("pipe.mp4", "names 'pipe.mp4', which is not a file"),
        ("nothing.mp4", "names 'nothing.mp4', which does not exist"),
        ("\ud83d.mp4", "names '\\ud83d.mp4', which does not exist"),
    ],
)
def test_a_name_that_means_no_file_or_several(folder: Path, clip: Path, written: str, said: str) -> None:
    (folder / "frames").mkdir()
    for name in ("X.mp4", "x.MP4", "frames/1.png", "frames/2.png"):
        shutil.copy(clip, folder / name)
    make_pipe(folder / "pipe.mp4")
    (folder / "metadata.jsonl").write_text(json.dumps({"file_name": written, "text": "a dog"}))
    assert found(folder)[1]["metadata.jsonl:1"] == said


def test_metadata_in_sub_folders(folder: Path, clip: Path) -> None:
    for at in ("train", "test"):
        (folder / at).mkdir()
        shutil.copy(clip, folder / at / "0.mp4")
        (folder / at / "metadata.csv").write_text(f"file_name,text\n0.mp4,zero of {at}\ngone.mp4,x\n")
    (folder / "metadata.jsonl").write_text('{"file_name": "test/0.mp4", "text": "said above"}')
    kept, dropped = found(folder)
    assert kept == {"test/0.mp4": "said above", "train/0.mp4": "zero of train"}
    assert dropped["train/metadata.csv:3"] == "names 'gone.mp4', which does not exist"


def test_linked_folders_are_read_once_and_circles_end(folder: Path, clip: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    shutil.copy(clip, store / "0.mp4")
    (store / "0.txt").write_text("from the store")
    (folder / "real").mkdir()
    shutil.copy(clip, folder / "real/1.mp4")
    (folder / "real/1.txt").write_text("a real one")
    (folder / "link").symlink_to(store)
    (folder / "again").symlink_to(folder / "real")
    (folder / "real/circle").symlink_to(folder)
    (store / "back").symlink_to(folder)
    (folder / "gone.mp4").symlink_to(tmp_path / "gone.mp4")
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    kept, dropped = found(folder)
    assert kept == {"link/0.mp4": "from the store", "real/1.mp4": "a real one"}
    assert {name for name, reason in dropped.items() if reason == "leads to a folder that is read already"} == {
        "again/", "real/circle/", "link/back/",
    }  # fmt: skip
    assert dropped["gone.mp4"].startswith("is a link that leads nowhere (No such file")
    assert dropped["loop.mp4"].startswith("is a link that leads nowhere (")


def test_many_links_to_each_other_take_no_time(tmp_path: Path) -> None:
    for name in range(12):
        (tmp_path / str(name)).mkdir()
    for one in range(12):
        for other in range(12):
            (tmp_path / str(one) / f"to{other}").symlink_to(tmp_path / str(other))
    files, dropped = files_of(tmp_path)
    assert files == {} and len(dropped) == 144


def test_pipes_and_devices_are_never_opened(folder: Path) -> None:
    for name in ("pipe.mp4", "a.txt", "metadata.jsonl"):
        make_pipe(folder / name)
    (folder / "null.png").symlink_to("/dev/zero")
    (folder / "b.txt").write_text("a dog")
    kept, dropped = found(folder)
    assert kept == {"b.mp4": "a dog"}
    for name in ("pipe.mp4", "a.txt", "metadata.jsonl", "null.png"):
        assert dropped[name] == "is not a file, but a pipe, a socket or a device"


def test_a_name_that_is_no_text_can_be_told(folder: Path, clip: Path) -> None:
    shutil.copy(clip, os.path.join(os.fsencode(folder), b"caf\xe9.mp4"))
    for name in "ab":
        (folder / f"{name}.txt").write_text("a dog")
    (told,) = Folder(path=str(folder)).open().unused()
    assert "caf\\udce9.mp4" in "\n".join(told.lines()) and "\n".join(told.lines()).encode()
    assert one_line("a\x1b[31m\u2028é") == "a\\x1b[31m\\u2028é"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            ["0.npy", "0.txt"],
            "  0.txt: is a caption of a .npy file, a kind that is not read; expected a video or image",
        ),
        (["0.npy", "1.npy"], "  2 files of kinds that are not read: .npy (2)"),
        (["cats/0.mp4", "dogs/1.mp4"], "metadata.jsonl; the names of folders, such as 'cats', are not read"),
        (["0.mp4"], "  nothing has a caption: expected 0.txt for 0.mp4, or metadata.jsonl"),
    ],
)
def test_folders_that_are_laid_out_otherwise(tmp_path: Path, clip: Path, files: list[str], said: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(clip, tmp_path / name)
    with pytest.raises(ValueError, match="no usable clip") as caught:
        Folder(path=str(tmp_path)).open()
    assert said in str(caught.value)


def test_equal_reasons_share_a_line() -> None:
    dropped = tuple(Dropped(f"{k}.mp4", "has no caption") for k in range(1000))
    other = tuple(Dropped(f"{k}.txt", f"reason {k}") for k in range(30))
    lines = Unused("d", (*dropped, *other), ("3 files: has sound",)).lines()
    assert lines[:3] == ["d: 1030 dropped:", "  0.mp4 (and 999 more): has no caption", "  0.txt: reason 0"]
    assert lines[-2:] == ["  and 11 other reasons", "d: 3 files: has sound"] and len(lines) == 23
    assert Unused("d").lines() == []
    assert [counted(n, "clip") for n in (0, 1, 2)] == ["0 clips", "1 clip", "2 clips"]


@pytest.mark.parametrize("damage", ["gone", "cut", "folder", "noise"])
@pytest.mark.parametrize("cache_mb", [0, 64])
def test_a_clip_that_can_no_longer_be_read_has_a_stand_in(folder: Path, damage: str, cache_mb: int) -> None:
    for name in "ab":
        (folder / f"{name}.txt").write_text(name)
    shutil.copy(folder / "a.mp4", folder / "c.mp4")
    (folder / "c.txt").write_text("c")
    source = Folder(path=str(folder), cache_mb=cache_mb)
    before = [source.open().example(k, STILL).text for k in range(9)]
    data = source.open()
    victim = folder / "b.mp4"
    harm: dict[str, Callable[[], object]] = {
        "gone": victim.unlink,
        "cut": lambda: victim.write_bytes(victim.read_bytes()[:500]),
        "folder": lambda: (victim.unlink(), victim.mkdir()),
        "noise": lambda: victim.write_bytes(np.random.default_rng(0).bytes(4000)),
    }
    harm[damage]()
    after = [data.example(k, STILL) for k in range(9)]
    for place, example in enumerate(after):
        if before[place] == "b":
            assert example.text != "b" and [item.name for item in example.skipped] == ["b.mp4"]
            assert example.skipped[0].reason and str(folder) not in example.skipped[0].reason
        else:
            assert example.text == before[place] and not example.skipped
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(ValueError, match=r"3 clips in a row cannot be read, from .\.mp4 on: there is no such file"):
        data.cutter._tracks.clear()
        data.example(0, STILL)


def test_a_picture_that_would_have_to_grow_too_much(folder: Path) -> None:
    save_image(folder / "thin.png", np.zeros((2, 4000, 3), np.uint8))
    (folder / "thin.txt").write_text("a line")
    (folder / "a.txt").write_text("a dog")
    big = VideoShape(frames=1, height=512, width=512, fps=6)
    reasons = {drop.name: drop.reason for drop in scan(Folder(path=str(folder)), big).dropped}
    assert reasons["thin.png"] == "too narrow: 2x4000 would have to grow to 512x1024000 to cover 512x512"
    data = Folder(path=str(folder)).open()
    assert {data.example(k, big).text for k in range(4)} == {"a dog"}
    assert {data.example(k, STILL).text for k in range(4)} == {"a dog", "a line"}


def test_captions_that_reach_the_encoders_limit(tmp_path: Path) -> None:
    texts = EmbeddingCache(Words(width=8, limit=6), tmp_path)
    fits, long = "one two three four five", "one two three four five six seven eight"
    assert cut_short([fits, "short"], texts) is None
    said = cut_short([fits, long, "short"], texts)
    assert (
        said == f"1 caption fills the 6 tokens that words reads, and what is beyond is not used; the longest: {long!r}"
    )
    many = cut_short([f"{long} {k}" for k in range(1500)], texts)
    assert many is not None and many.startswith("at least 1024 captions fill the 6 tokens")


@pytest.mark.parametrize(
    "path", ["s3://bucket/set", "gs://b/x", "hf://datasets/a", "file:///tmp", "pipe:curl x", "S3://b"]
)
def test_addresses_that_are_not_read(path: str) -> None:
    kind = path.partition(":")[0].lower()
    for act in (Folder(path=path).open, Folder(path=path).located):
        with pytest.raises(ValueError, match=rf"only http:// and https:// addresses are read, got {kind}:; "):
            act()
    with pytest.raises(ValueError, match="of addresses only those"):
        Folder(path="https://example.org/clips").open()


def test_the_home_folder_and_the_folder_one_is_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.txt").write_text("a dog")
    monkeypatch.setenv("HOME", str(folder.parent))
    assert Folder(path="~/set").open().captions() == ["a dog"]
    assert Folder(path="~/set").located().path == str(folder)
    monkeypatch.chdir(folder.parent)
    here = Folder(path="set").located()
    assert here.path == str(folder) and here.located() == here
    monkeypatch.chdir("/")
    assert here.open().example(0, STILL).text == "a dog"
    with pytest.raises(ValueError, match=r"^set: expected a folder of videos or images, there is none in /$"):
        Folder(path="set").open()
    with pytest.raises(ValueError, match="~nobody-at-all/set: expected a folder of videos or images, there is none"):
        Folder(path="~nobody-at-all/set").open()


def test_contents_change_with_names_and_captions_alone(folder: Path) -> None:
    for name in "ab":
        (folder / f"{name}.txt").write_text(name)
    first = Folder(path=str(folder)).open().contents()
    assert first == Folder(path=str(folder), seed=9).open().contents() and first.clips == 2
    (folder / "b.txt").write_text("another")
    second = Folder(path=str(folder)).open().contents()
    assert second.clips == 2 and second.digest != first.digest
    (folder / "b.txt").unlink()
    assert Folder(path=str(folder)).open().contents().clips == 1


def test_what_stands_in_is_told_by_whoever_looks(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in "ab":
        (folder / f"{name}.txt").write_text(name)
    reference, data = open_reference(str(folder)), Folder(path=str(folder), cache_mb=0).open()
    (folder / "b.mp4").unlink()
    assert {reference.example(number, STILL).text for number in range(6)} == {"a"}
    said = "b.mp4: there is no such file; another clip stands in for it"
    assert [record.getMessage() for record in caplog.records] == [said]
    preview(data, STILL, 6)
    assert [record.getMessage() for record in caplog.records] == [said, said]


def test_sound_is_told_with_the_number_of_files(tmp_path: Path, make_video: Maker) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for name in "ab":
        with av.open(str(folder / f"{name}.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=6)
            stream.width, stream.height, stream.pix_fmt = 40, 24, "yuv420p"
            sound = container.add_stream("aac", rate=16000, layout="mono")
            for picture in numbered(12, 24, 40):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            for k in range(30):
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                silence.sample_rate, silence.pts = 16000, k * 1024
                container.mux(sound.encode(silence))
            container.mux(stream.encode(None))
            container.mux(sound.encode(None))
        (folder / f"{name}.txt").write_text(name)
    shutil.copy(make_video("mute.mp4", numbered(12, 24, 40), fps=6), folder)
    (folder / "mute.txt").write_text("mute")
    kept, told = Folder(path=str(folder)).open().report.kept, "2 files: has sound, which is not used"
    assert scan(Folder(path=str(folder))).notes == (told,)
    pack(folder, kept, tmp_path / "shards")
    assert Shards(path=str(tmp_path / "shards")).open().unused()[0].notes == (told,)
