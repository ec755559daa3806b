"""The cache of text features: equal on every call, shared between processes, whole or not there."""

import gc
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch

from zoetrope.text._cache import EmbeddingCache, default_folder
from zoetrope.text.t5 import T5

TEXTS = [f"a {colour} {shape}" for colour in ("red", "blue", "pale green") for shape in ("disc", "cube that turns")]
CHILD = """
import sys
from zoetrope.text._cache import EmbeddingCache
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
    monkeypatch.setattr("zoetrope.text._cache.BATCH", 2)
    monkeypatch.setattr("zoetrope.text._cache.SHARD", 1)
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


def test_a_damaged_shard_is_named(encoder: T5, tmp_path: Path) -> None:
    cache = EmbeddingCache(encoder, tmp_path)
    cache.prepare(TEXTS)
    (shard,) = cache.folder.iterdir()
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(ValueError, match="expected a shard of text features, got a damaged file"):
        EmbeddingCache(encoder, tmp_path)


def test_nothing_to_encode(encoder: T5, tmp_path: Path) -> None:
    cache = EmbeddingCache(encoder, tmp_path)
    with pytest.raises(ValueError, match="prompt: expected some text"):
        cache.encode(["a", ""])
    with pytest.raises(ValueError, match="expected at least one"):
        cache.encode([])
    assert not cache.folder.exists()


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOETROPE_CACHE", "/somewhere")
    assert default_folder() == Path("/somewhere/text")
    monkeypatch.delenv("ZOETROPE_CACHE")
    assert default_folder() == Path.home() / ".cache/zoetrope/text"
