"""The cache of text features: equal on every call, shared between processes, whole or not there."""

import gc
import hashlib
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import time
import weakref
from contextlib import closing
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save_file

from zoetrope.embeddings.cache import EmbeddingCache, _key
from zoetrope.embeddings.shards import FeatureShards
from zoetrope.files import cache_folder
from zoetrope.files.store import FILE, Store
from zoetrope.text.minilm import MiniLM
from zoetrope.text.t5 import T5

TEXTS = [f"a {colour} {shape}" for colour in ("red", "blue", "pale green") for shape in ("disc", "cube that turns")]
CHILD = """
import sys
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.text.t5 import T5
cache = EmbeddingCache(T5.from_json(sys.argv[1]), sys.argv[2])
print(cache.prepare(sys.argv[3:]), sum(cache.encode(sys.argv[3:]).text.flatten().tolist()))
"""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> T5:
    """A tiny T5 that reads letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    folder = tmp_path_factory.mktemp("t5")
    names = ["<pad>", "</s>", "<unk>", *"▁abcdefghijklmnopqrstuvwxyz"]
    words = Tokenizer(models.Unigram([(name, -1.0) for name in names], unk_id=2))
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(0)
    T5EncoderModel(T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)).save_pretrained(
        folder
    )
    return T5(model=str(folder), width=16, limit=40)


def child(encoder: T5, folder: Path, texts: list[str]) -> subprocess.Popen[str]:
    from json import dumps

    command = [sys.executable, "-c", CHILD, dumps(encoder.to_json()), str(folder), *texts]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_as_the_encoder(encoder: T5, tmp_path: Path) -> None:
    direct, cached = encoder.load()(TEXTS), EmbeddingCache(encoder, tmp_path).encode(TEXTS)
    assert torch.equal(direct.mask, cached.mask) and cached.text.dtype == torch.float32
    torch.testing.assert_close(cached.text, direct.text, rtol=1e-3, atol=1e-3)


def test_a_hit_equals_the_miss_and_needs_no_encoder(
    encoder: T5, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    miss = EmbeddingCache(encoder, tmp_path).encode(TEXTS)
    again = EmbeddingCache(encoder, tmp_path)
    monkeypatch.setattr(T5, "load", None)
    hit = again.encode(TEXTS[::-1])
    assert torch.equal(hit.text.flip(0), miss.text) and torch.equal(hit.mask.flip(0), miss.mask)
    assert len(again) == len(TEXTS)


def test_only_what_is_missing(encoder: T5, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoetrope.embeddings.cache.BATCH", 2)
    monkeypatch.setattr("zoetrope.embeddings.cache.PART", 1)
    seen: list[tuple[int, int]] = []
    cache = EmbeddingCache(encoder, tmp_path)
    assert cache.prepare(TEXTS[:3] * 2, lambda done, total: seen.append((done, total))) == 3
    assert seen == [(2, 3), (3, 3)]
    assert cache.prepare(TEXTS) == len(TEXTS) - 3 and cache.prepare(TEXTS) == 0
    torch.testing.assert_close(cache.encode(TEXTS).text, encoder.load()(TEXTS).text, rtol=1e-3, atol=1e-3)


def test_a_released_encoder_is_loaded_again(encoder: T5, tmp_path: Path) -> None:
    cache = EmbeddingCache(encoder, tmp_path)
    cache.prepare(TEXTS[:1])
    loaded = weakref.ref(cache._loaded())
    cache.release()
    gc.collect()
    assert loaded() is None and cache.prepare(TEXTS) == len(TEXTS) - 1


def test_two_processes_at_once(encoder: T5, tmp_path: Path) -> None:
    both = [child(encoder, tmp_path, TEXTS) for _ in range(2)]
    answers = [process.communicate()[0].split() for process in both]
    assert all(process.returncode == 0 for process in both)
    later = EmbeddingCache(encoder, tmp_path)
    assert later.prepare(TEXTS) == 0 and not list(later.folder.glob("*.partial"))
    total = sum(later.encode(TEXTS).text.flatten().tolist())
    assert [float(answer[1]) for answer in answers] == pytest.approx([total, total], abs=0.05)


def test_encoders_do_not_meet(encoder: T5, tmp_path: Path) -> None:
    EmbeddingCache(encoder, tmp_path).prepare(TEXTS)
    assert len(EmbeddingCache(T5(model=encoder.model, width=16, limit=5), tmp_path)) == 0


def test_nothing_to_encode(encoder: T5, tmp_path: Path) -> None:
    cache = EmbeddingCache(encoder, tmp_path / "cache")
    with pytest.raises(ValueError, match="prompt: expected some text"):
        cache.encode(["a", ""])
    with pytest.raises(ValueError, match="expected at least one"):
        cache.encode([])
    assert not cache.folder.exists()


def test_what_a_type_rounds_is_kept_apart(encoder: T5, tmp_path: Path) -> None:
    EmbeddingCache(encoder, tmp_path, dtype=torch.bfloat16).prepare(TEXTS)
    assert EmbeddingCache(encoder, tmp_path).prepare(TEXTS) == len(TEXTS)


def test_a_cache_that_cannot_be_written(encoder: T5, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is told of once, with what helps, and everything works, also in other processes."""
    (tmp_path / "file").write_text("in the way")
    cache = EmbeddingCache(encoder, tmp_path / "file" / "cache")
    made = cache.encode(TEXTS[:2]).text
    assert cache.prepare(TEXTS) == len(TEXTS) - 2 and cache.prepare(TEXTS) == 0 and len(cache) == len(TEXTS)
    (told,) = caplog.messages
    assert "cannot be used, and is done without" in told and "ZOETROPE_CACHE" in told and "\n" not in told
    sent = pickle.loads(pickle.dumps(cache))
    assert sent.prepare(TEXTS) == 0 and torch.equal(sent.encode(TEXTS[:2]).text, made) and len(caplog.messages) == 1


def test_where_there_is_no_home_nothing_is_kept(
    encoder: T5, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a container for a user without a home: the user that the cache is to lie with is unknown."""
    monkeypatch.setenv("ZOETROPE_CACHE", "~no-such-user-here/cache")
    monkeypatch.chdir(tmp_path)
    cache = EmbeddingCache(encoder)
    assert cache.prepare(TEXTS) == len(TEXTS) and cache.prepare(TEXTS) == 0
    (told,) = caplog.messages
    assert "no home folder" in told and "ZOETROPE_CACHE" in told and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_a_damaged_cache_is_begun_anew(
    encoder: T5, tmp_path: Path, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    cache = EmbeddingCache(encoder, tmp_path)
    made = cache.encode(TEXTS)
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes()[:size] + b"\xa5" * 4096 * (size > 0))
    again = EmbeddingCache(encoder, tmp_path)
    assert torch.equal(again.encode(TEXTS).text, made.text)
    assert EmbeddingCache(encoder, tmp_path).prepare(TEXTS) == 0
    assert len(caplog.messages) == (size > 0) and all("begun anew" in told for told in caplog.messages)


def test_an_entry_that_is_not_what_was_written(encoder: T5, tmp_path: Path) -> None:
    """A flipped bit, and features put under the key of another text, are no features."""
    cache = EmbeddingCache(encoder, tmp_path)
    made = cache.encode(TEXTS)
    with sqlite3.connect(tmp_path / FILE) as base:
        rows = base.execute("SELECT rowid, sum, tokens FROM features ORDER BY rowid").fetchall()
        (first, _, tokens), (_, other, others) = rows[:2]
        flipped = bytes([tokens[0] ^ 1]) + tokens[1:]
        base.execute("UPDATE features SET tokens = ? WHERE rowid = ?", (flipped, first))
        base.execute("UPDATE features SET sum = ?, tokens = ? WHERE rowid = ?", (other, others, rows[2][0]))
    found = EmbeddingCache(encoder, tmp_path)._find({_key(text): text for text in TEXTS})
    assert len(found) == len(TEXTS) - 2
    assert torch.equal(EmbeddingCache(encoder, tmp_path).encode(TEXTS).text, made.text)
    assert EmbeddingCache(encoder, tmp_path).prepare(TEXTS) == 0


def some(count: int, size: int = 1) -> dict[bytes, torch.Tensor]:
    return {bytes([k // 256, k % 256]) * 8: torch.full((size, 8), k, dtype=torch.float16) for k in range(count)}


def test_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not used for the longest time goes first, what was used lately stays, and the file shrinks."""
    store, rows = Store(tmp_path, most=500_000), some(40, 1024)  # 16 KiB each
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now - 30 * 86400)
    store.put("old", rows)
    assert store.count("old") == 40, "all of it is of today"
    monkeypatch.setattr("time.time", lambda: now - 20 * 86400)
    used = list(rows)[:5]
    assert store.get("old", used, 8).keys() == set(used)
    monkeypatch.setattr("time.time", lambda: now)
    store.put("new", {key: rows[key] for key in used})
    assert store.count("new") == 5 and store.known("old", rows) >= set(used)
    assert 15 <= store.count("old") + store.count("new") <= 500_000 // 16384
    assert store.path.stat().st_size <= 500_000
    assert store.get("new", used[:1], 8)[used[0]].equal(rows[used[0]])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts what Linux counts")
def test_one_lookup_reads_one_entry(tmp_path: Path) -> None:
    def read() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    Store(tmp_path).put("words", some(600, 4096))  # 64 KiB each, 40 MB
    before = read()
    key = next(iter(some(1)))
    assert len(Store(tmp_path).get("words", [key], 8)) == 1
    assert read() - before < 300_000


def test_checksums_of_large_files_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr("zoetrope.files.store.REMEMBERED", 10)
    path = tmp_path / "weights"
    for content in (b"first one", b"first large", b"other large"):
        path.write_bytes(content)
        os.utime(path, ns=(5, 5))  # as who unpacks an archive may set it
        for _ in range(2):
            assert Store(tmp_path).sha256(path) == hashlib.sha256(content).hexdigest()
    assert sum("read once" in told for told in caplog.messages) == 2


def test_few_checksums_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changes again and again does not fill the cache."""
    monkeypatch.setattr("zoetrope.files.store.REMEMBERED", 1)
    monkeypatch.setattr("zoetrope.files.store.NEWEST", 3)
    store, path = Store(tmp_path), tmp_path / "weights"
    for number in range(8):
        path.write_bytes(bytes([number]))
        assert store.sha256(path) == hashlib.sha256(bytes([number])).hexdigest()
    with closing(sqlite3.connect(tmp_path / FILE)) as base:
        assert base.execute("SELECT count(*) FROM files").fetchone() == (3,)


def test_features_beside_data(encoder: T5, tmp_path: Path) -> None:
    """They say whose they are, need neither the encoder nor the place where it was, and damage is named."""
    beside = tmp_path / "embeddings"
    writer = EmbeddingCache(encoder, tmp_path / "cache", beside=beside)
    made = writer.encode(TEXTS)
    assert EmbeddingCache(encoder, beside=beside).prepare(TEXTS) == 0 and not (tmp_path / "cache").exists()
    copy = tmp_path / "copy"
    shutil.copytree(encoder.model, copy)
    reader = EmbeddingCache(encoder.with_(model=str(copy)), tmp_path / "cache")
    reader.take(beside, TEXTS)
    sent = pickle.loads(pickle.dumps(reader))
    assert torch.equal(sent.encode(TEXTS).text, made.text) and not (tmp_path / "cache").exists()
    with pytest.raises(ValueError, match="embeddings: 1 caption has no features there: 'another'"):
        reader.take(beside, ["another"])
    (shard,) = writer.folder.iterdir()
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-10])
    with pytest.raises(ValueError, match="expected a shard of text features, got a damaged file"):
        EmbeddingCache(encoder, tmp_path / "cache").take(beside, TEXTS)
    arrays = load(whole)
    arrays["offsets"][1] = 10**9
    save_file(arrays, shard)
    with pytest.raises(ValueError, match="whose texts do not fit its tokens"):
        EmbeddingCache(encoder, tmp_path / "cache").take(beside, TEXTS)


def test_features_beside_data_are_of_one_precision(encoder: T5, tmp_path: Path) -> None:
    """Others are refused before anything is encoded, or made like those that are there; no more are no question."""
    EmbeddingCache(encoder, beside=tmp_path, dtype=torch.bfloat16).prepare(TEXTS[:2])
    other = EmbeddingCache(encoder, beside=tmp_path)
    assert other.prepare(TEXTS[:2]) == 0 and len(other.encode(TEXTS[:1]).text) == 1
    said = "expected further features in bf16, as those that are there, got fp32; go on with --dtype bf16, or remove"
    for ask in (other.prepare, other.encode):
        with pytest.raises(ValueError, match=said):
            ask(TEXTS)
    alike = EmbeddingCache(encoder, beside=tmp_path, alike=True)
    assert alike.prepare(TEXTS) == len(TEXTS) - 2
    made = alike.encode(TEXTS).text
    assert torch.equal(made, made.bfloat16().float()) and len(EmbeddingCache(encoder, beside=tmp_path)) == len(TEXTS)


def test_features_that_do_not_say_their_precision_are_gone_on_with(encoder: T5, tmp_path: Path) -> None:
    writer = EmbeddingCache(encoder, beside=tmp_path, dtype=torch.bfloat16)
    writer.prepare(TEXTS[:2])
    (shard,) = writer.folder.iterdir()
    save_file(load(shard.read_bytes()), shard, {"encoder": encoder.identity})
    assert EmbeddingCache(encoder, beside=tmp_path, alike=True).prepare(TEXTS) == len(TEXTS) - 2


@pytest.mark.parametrize(
    ("name", "dtype"), [("tokens", torch.bfloat16), ("offsets", torch.float32), ("keys", torch.bfloat16)]
)
def test_a_shard_of_other_types_is_named(encoder: T5, tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    writer = EmbeddingCache(encoder, tmp_path / "cache", beside=tmp_path / "embeddings")
    writer.prepare(TEXTS)
    (shard,) = writer.folder.iterdir()
    arrays = load(shard.read_bytes())
    save_file({**arrays, name: arrays[name].to(dtype)}, shard)
    with pytest.raises(ValueError, match=f"{shard.name}: expected a shard of text features, of .*; encode anew"):
        EmbeddingCache(encoder, tmp_path / "cache").take(tmp_path / "embeddings", TEXTS)


def test_features_of_an_older_version(encoder: T5, tmp_path: Path) -> None:
    """Those of MiniLM are as they were; what was told apart by place and time is explained."""
    text = torch.zeros(1, 16, dtype=torch.float16)
    identity = f"t5 {encoder.model} config.json:613:1790000000000000000 {encoder.limit}"
    FeatureShards(tmp_path / "t5-0123456789abcdef", 16).put({b"k" * 16: text}, identity, torch.float32)
    with pytest.raises(ValueError, match="from a version that told encoders apart by place and time; zoetrope data e"):
        EmbeddingCache(encoder, tmp_path / "cache").take(tmp_path, TEXTS)
    assert EmbeddingCache(MiniLM())._name == "minilm-a9eeed0e0c8e73d1"


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOETROPE_CACHE", "/somewhere")
    assert cache_folder("text") == Path("/somewhere/text")
    monkeypatch.delenv("ZOETROPE_CACHE")
    assert cache_folder("text") == Path.home() / ".cache/zoetrope/text"


def test_a_store_of_an_older_version_learns_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {bytes(16): torch.ones(2, 4, dtype=torch.float16)}
    assert Store(tmp_path).put("t5", rows)
    with closing(sqlite3.connect(tmp_path / FILE)) as base:
        base.executescript("DROP TABLE listings; PRAGMA user_version = 1;")
    with monkeypatch.context() as others:  # not ours to write to
        others.setattr(os, "access", lambda *_: False)
        store = Store(tmp_path)
        assert store.recall("t5", "toybox") is None and store.known("t5", rows) == set(rows) and not store.trouble
    store.note("t5", "toybox", "")
    assert store.recall("t5", "toybox") == "" and store.recall("clip", "toybox") is None
    assert torch.equal(store.get("t5", rows, 4)[bytes(16)], rows[bytes(16)])
