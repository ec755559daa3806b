"""Tiny encoders of every kind, saved and loaded as a user's would be: features, batches, limits and refusals."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.embeddings.long import cut_short
from zoetrope.text import TextEncoder
from zoetrope.text._spiece import read_spiece
from zoetrope.text.clip import CLIPText
from zoetrope.text.t5 import T5

TEXTS = ["a red circle", "two blue squares fly over a green field, slowly", "fog"]


def save_t5(folder: Path, vocabulary: int) -> None:
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    config = T5Config(
        vocab_size=vocabulary, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, feed_forward_proj="gated-gelu"
    )
    T5EncoderModel(config).save_pretrained(folder)


def save_clip(folder: Path, vocabulary: int) -> None:
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    common = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**common, "vocab_size": vocabulary, "bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1}
    CLIPModel(CLIPConfig(text_config=text, vision_config={**common, "image_size": 8, "patch_size": 4})).save_pretrained(
        folder
    )


@pytest.fixture(scope="module")
def small_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 with a word-piece vocabulary trained on a few sentences."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("t5")
    words = Tokenizer(models.Unigram())
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    names = ["<pad>", "</s>", "<unk>"]
    words.train_from_iterator(
        TEXTS * 20, trainers.UnigramTrainer(vocab_size=60, special_tokens=names, unk_token="<unk>", show_progress=False)
    )
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    save_t5(folder, 64)
    return folder


@pytest.fixture(scope="module")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP whose vocabulary is the letters."""
    folder = tmp_path_factory.mktemp("clip")
    letters = "abcdefghijklmnopqrstuvwxyz,"
    names = [*letters, *(x + "</w>" for x in letters), "<|startoftext|>", "<|endoftext|>"]
    write_clip_vocabulary(folder, names, ["r e", "re d</w>"])
    save_clip(folder, len(names) + 2)
    return folder


def write_clip_vocabulary(folder: Path, names: list[str], merges: list[str]) -> None:
    names = [*names[:-2], *("".join(m.split()) for m in merges), *names[-2:]] if len(names) < 100 else names
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")


def encoder(name: str, request: pytest.FixtureRequest, **fields: int) -> TextEncoder:
    kind = {"small_t5": T5, "small_clip": CLIPText}[name]
    return kind(model=str(request.getfixturevalue(name)), **{"width": 16, **fields})


small = pytest.mark.parametrize("name", ["small_t5", "small_clip"])


@small
def test_a_prompt_does_not_depend_on_its_neighbours(name: str, request: pytest.FixtureRequest) -> None:
    encode = encoder(name, request).load()
    text, mask = encode(TEXTS)
    assert text.shape == (3, int(mask.sum(1).max()), 16) and mask.dtype == torch.bool and not text.requires_grad
    assert not text[~mask].any()
    for i, prompt in enumerate(TEXTS):
        alone = encode([prompt])
        assert alone.mask.all()
        torch.testing.assert_close(text[i][mask[i]], alone.text[0], rtol=0, atol=1e-5)
    assert (text[0, 0] - text[1, 0]).abs().max() > 1e-4 or (text[0, 1] - text[1, 1]).abs().max() > 1e-4


@small
def test_bfloat16(name: str, request: pytest.FixtureRequest) -> None:
    kind = encoder(name, request)
    text, _ = kind.load(dtype=torch.bfloat16)(TEXTS)
    assert text.dtype == torch.bfloat16
    torch.testing.assert_close(text.float(), kind.load()(TEXTS).text, rtol=0.1, atol=0.1)
    with pytest.raises(ValueError, match="dtype: expected float32 or bfloat16, got float16"):
        kind.load(dtype=torch.float16)


@small
def test_the_words_beyond_the_limit_are_named(name: str, request: pytest.FixtureRequest) -> None:
    text = "a red circle over a green field"
    tokens = int(encoder(name, request).load()([text]).mask.sum())
    assert encoder(name, request, limit=tokens).load().cut(text) == ""
    encode = encoder(name, request, limit=tokens - 1).load()
    assert encode.cut(text) == "field"
    assert encode([text]).mask.sum() == tokens - 1
    few = encoder(name, request, limit=3).load()
    assert text.endswith(few.cut(text)) and few.cut(text).startswith(("a red", "red"))


def test_only_captions_that_are_cut_are_told_of_where_texts_are_padded(small_clip: Path, tmp_path: Path) -> None:
    """All of these have as many tokens as the encoder reads, and all but one end before."""
    padded = CLIPText(model=str(small_clip), width=16, limit=20, padded=True)
    texts = EmbeddingCache(padded, tmp_path)
    fit, long = ["red red red red red red", "a red red red red red"], "a red circle and a blue one"
    assert int(texts.encode(fit).mask.sum(1).min()) == 20 and min(map(len, fit)) > 20
    assert cut_short(fit, texts) is None
    said = cut_short([*fit, long], texts)
    assert said is not None and said.startswith("1 caption fills the 20 tokens") and said.endswith(repr(long))
    gone = EmbeddingCache(padded.with_(model=str(tmp_path / "gone")), tmp_path)
    assert "hold all captions is unknown: " in (cut_short([long], gone) or "")


@small
def test_nothing_to_read(name: str, request: pytest.FixtureRequest) -> None:
    encode = encoder(name, request).load()
    with pytest.raises(ValueError, match=r"^prompt: expected some text, got an empty string$"):
        encode(["a", ""])
    with pytest.raises(ValueError, match="only blanks"):
        encode.cut(" ")


@small
def test_wrong_width(name: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(ValueError, match=r"width: expected 16.*got 24"):
        encoder(name, request, width=24).load()


@small
def test_pickle_is_refused(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(request.getfixturevalue(name), folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"only pickled weights \(pytorch_model.bin\), which are never read"):
        type(encoder(name, request))(model=str(folder), width=16).load()


def test_missing_weights_are_not_invented(small_t5: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "partial"
    shutil.copytree(small_t5, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.block.1.layer.1.DenseReluDense.wo.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"got none for encoder.block.1.layer.1.DenseReluDense.wo.weight"):
        T5(model=str(folder), width=16).load()


def changed(folder: Path, to: Path, **values: object) -> Path:
    """A copy of a model whose config.json says something else; of a whole CLIP, that of its text side."""
    shutil.copytree(folder, to)
    file = to / "config.json"
    config = json.loads(file.read_text())
    config.get("text_config", config).update(values)
    file.write_text(json.dumps(config))
    return to


@pytest.mark.parametrize(
    ("name", "layers", "left"),
    [("small_t5", "num_layers", "encoder.block.1."), ("small_clip", "num_hidden_layers", "encoder.layers.1.")],
)
def test_weights_that_are_left_are_named(
    name: str, layers: str, left: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = changed(request.getfixturevalue(name), tmp_path / "short", **{layers: 1})
    with pytest.raises(ValueError, match=f"the weights that its config.json describes, got also .*{left}"):
        type(encoder(name, request))(model=str(folder), width=16).load()


def test_buffers_of_older_files_are_no_weights(small_clip: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(small_clip, tmp_path / "older"))
    weights = load_file(folder / "model.safetensors")
    weights["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    ours, older = (CLIPText(model=str(each), width=16).load()(TEXTS) for each in (small_clip, folder))
    assert torch.equal(ours.text, older.text)


def test_models_of_other_types_are_refused(small_t5: Path, small_clip: Path, tmp_path: Path) -> None:
    """Their weights would load, at least in part, and give other features than they should."""
    from transformers import SiglipTextConfig, SiglipTextModel, UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    sizes = {"vocab_size": 64, "num_layers": 2, "num_heads": 2, "d_model": 16, "d_kv": 8, "d_ff": 32}
    umt5 = Path(shutil.copytree(small_t5, tmp_path / "umt5"))
    UMT5EncoderModel(UMT5Config(**sizes, feed_forward_proj="gated-gelu")).save_pretrained(umt5)
    with pytest.raises(ValueError, match=r"umt5: expected a model of type mt5 or t5, got one of type umt5"):
        T5(model=str(umt5), width=16).load()
    common = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    siglip = Path(shutil.copytree(small_clip, tmp_path / "siglip"))
    SiglipTextModel(SiglipTextConfig(**common, vocab_size=58, max_position_embeddings=77)).save_pretrained(siglip)
    with pytest.raises(ValueError, match="expected a model of type clip or clip_text_model, got one of type siglip_t"):
        CLIPText(model=str(siglip), width=16).load()


def test_a_multilingual_t5_is_one(small_t5: Path, tmp_path: Path) -> None:
    folder = changed(small_t5, tmp_path / "mt5", model_type="mt5")
    assert torch.equal(
        T5(model=str(folder), width=16).load()(TEXTS).text, T5(model=str(small_t5), width=16).load()(TEXTS).text
    )


PEAK = """
import sys
import torch
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.embeddings.long import cut_short
from zoetrope.text import TextEncoder
from zoetrope.training.meters import peak_memory
encoder = TextEncoder.from_json(sys.argv[1])
try:
    encoder.load()
except ValueError as error:
    print(error)
print(peak_memory(torch.device("cpu")) // 1024)
"""


@small
def test_a_config_cannot_ask_for_more_memory_than_there_are_weights(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    wide = {"small_t5": "d_ff", "small_clip": "intermediate_size"}[name]
    folder = changed(request.getfixturevalue(name), tmp_path / "wide", **{wide: 8_000_000})
    told = json.dumps(encoder(name, request).with_(model=str(folder)).to_json())
    done = subprocess.run([sys.executable, "-c", PEAK, told], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    message, peak = done.stdout.splitlines()
    assert "parameters, as its config.json describes them, got files of" in message
    assert int(peak) < 1_000_000  # kB: a third of the memory that these weights would take


@small
@pytest.mark.parametrize("size", ["1GB", "4KB"])
@pytest.mark.parametrize("variant", ["fp16", "bf16"])
def test_a_variant_alone(name: str, request: pytest.FixtureRequest, tmp_path: Path, variant: str, size: str) -> None:
    """As the hub calls weights of 16 bits, in one file or in several; beside others they are not read."""
    from transformers import AutoModel, T5EncoderModel

    source, folder = request.getfixturevalue(name), tmp_path / "short"
    shutil.copytree(source, folder)
    (folder / "model.safetensors").unlink()
    short = {"fp16": torch.float16, "bf16": torch.bfloat16}[variant]
    kind = type(encoder(name, request))
    stored = (T5EncoderModel if kind is T5 else AutoModel).from_pretrained(source).to(short)
    stored.save_pretrained(folder, variant=variant, max_shard_size=size)
    got, full = (kind(model=str(each), width=16).load()(TEXTS).text for each in (folder, source))
    assert got.dtype == torch.float32 and 0 < (got - full).abs().max() < 0.1
    shutil.copyfile(source / "model.safetensors", folder / "model.safetensors")
    assert torch.equal(kind(model=str(folder), width=16).load()(TEXTS).text, full)


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_an_index_names_only_files_beside_it(small_t5: Path, tmp_path: Path, variant: str | None) -> None:
    """A file elsewhere would be read unseen, and is no part of the encoder's identity."""
    from transformers import T5EncoderModel

    folder = Path(shutil.copytree(small_t5, tmp_path / "parts"))
    (folder / "model.safetensors").unlink()
    T5EncoderModel.from_pretrained(small_t5).save_pretrained(folder, max_shard_size="4KB", variant=variant)
    encoder, whole = T5(model=str(folder), width=16), T5(model=str(small_t5), width=16)
    assert len(list(folder.glob("*.safetensors"))) > 1
    assert torch.equal(encoder.load()(TEXTS).text, whole.load()(TEXTS).text)
    [index], part = list(folder.glob("model.safetensors.index*.json")), min(folder.glob("*.safetensors"))
    told = json.loads(index.read_text())
    part.rename(tmp_path / part.name)
    for elsewhere in (f"../{part.name}", str(tmp_path / part.name)):
        named = {key: elsewhere if file == part.name else file for key, file in told["weight_map"].items()}
        index.write_text(json.dumps({**told, "weight_map": named}))
        with pytest.raises(ValueError, match=r"index.*json: expected files of weights beside it, got '.*safetensors'"):
            encoder.load()


@small
def test_a_pipe_among_the_files_is_refused(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Opening one would wait for ever."""
    for file in ("model.safetensors", "tokenizer_config.json"):
        folder = Path(shutil.copytree(request.getfixturevalue(name), tmp_path / file.partition(".")[0]))
        (folder / file).unlink(missing_ok=True)
        os.mkfifo(folder / file)
        with pytest.raises(ValueError, match=f"{file}: expected a plain file"):
            encoder(name, request).with_(model=str(folder)).load()


@small
def test_json_and_identity(name: str, request: pytest.FixtureRequest) -> None:
    kind = encoder(name, request)
    assert TextEncoder.from_json(kind.to_json()) == kind
    assert kind.identity == encoder(name, request).identity != encoder(name, request, limit=5).identity


@small
def test_identity_is_content(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Where the files lie, and since when, is nothing; what is in any of them is all."""
    kind = encoder(name, request)
    folder = tmp_path / "elsewhere"
    shutil.copytree(request.getfixturevalue(name), folder)
    copy = kind.with_(model=str(folder))
    assert copy.identity == kind.identity
    for file in sorted(folder.iterdir()):
        os.utime(file, ns=(7, 7))
        assert copy.identity == kind.identity
        content, state = file.read_bytes(), file.stat()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
        assert copy.identity != kind.identity, file
        file.write_bytes(content)
    (folder / "README.md").write_text("not read")
    assert copy.identity == kind.identity


def test_a_home_may_be_named_by_its_sign(small_t5: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(small_t5.parent))
    short = T5(model=f"~/{small_t5.name}", width=16)
    assert short.identity == T5(model=str(small_t5), width=16).identity
    assert torch.equal(short.load()(TEXTS).text, T5(model=str(small_t5), width=16).load()(TEXTS).text)
    nobody = T5(model="~nobody-of-this-name/t5", width=16)
    assert "~nobody-of-this-name/t5" in nobody.identity
    with pytest.raises(ValueError, match="~nobody-of-this-name/t5: expected a local folder or a model"):
        nobody.load()


@small
def test_what_is_no_text(name: str, request: pytest.FixtureRequest) -> None:
    """Half a pair and a zero are refused; any line break is a blank."""
    encode = encoder(name, request).load()
    for text, letter in (("fog\ud83d", r"'\\ud83d'.*at place 3"), ("\0fog", r"'\\x00'.*at place 0")):
        with pytest.raises(ValueError, match=f"^prompt: expected text, got {letter}"):
            encode([text])
    plain = encode(["a red circle"]).text
    for sign in ("\n", "\r", "\u2028", "\t", "\x85"):
        assert torch.equal(encode([f"a red{sign}circle"]).text, plain), repr(sign)


def test_an_error_of_the_hub_without_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def interrupted(*_: object, **__: object) -> str:
        raise TimeoutError

    monkeypatch.setattr(huggingface_hub, "snapshot_download", interrupted)
    with pytest.raises(ValueError, match=r"no such folder here; from the hub: TimeoutError$"):
        T5(model="nobody/t5").load()


def test_nobody_answers() -> None:
    """Without the network: one line that says what was looked for and where."""
    code = (
        "from zoetrope.text.t5 import T5\n"
        "try: T5(model='nobody-at-all/no-such-t5').load()\n"
        "except ValueError as error: print(error)"
    )
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=offline, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(
        "nobody-at-all/no-such-t5: expected a local folder or a model of the Hugging Face hub"
    )
    assert done.stdout.count("\n") == 1
    with pytest.raises(ValueError, match="no such folder, and no name that the hub could have"):
        T5(model="/no/such/folder").load()


@pytest.mark.shared
@pytest.mark.parametrize("file", ["spiece.model", "tokenizer.json"])
def test_the_vocabulary_of_t5(file: str, shared: Path, tmp_path: Path) -> None:
    shutil.copy(shared / "data/tokenizers/t5" / file, tmp_path)
    save_t5(tmp_path, 32128)
    encode = T5(model=str(tmp_path), width=16, limit=12).load()
    sentence = "translate English to German: The house is wonderful."
    ids = encode.tokenizer(sentence).input_ids
    assert ids == [13959, 1566, 12, 2968, 10, 37, 629, 19, 1627, 5, 1]
    assert encode([sentence]).mask.sum() == 11
    assert encode.cut(sentence + " And extraordinarily large") == "extraordinarily large"


@pytest.mark.shared
def test_spiece_reads_as_the_published_tokenizer(shared: Path) -> None:
    from tokenizers import Tokenizer

    folder = shared / "data/tokenizers/t5"
    ours, theirs = read_spiece(folder / "spiece.model"), Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in [*TEXTS, "  two  spaces\tand tab ", "naïve ﬁne 日本 Ⅳ ½", "<extra_id_0> hi", "x\ny"]:
        assert ours(text).input_ids == theirs.encode(text).ids
    with pytest.raises(ValueError, match="expected a"):
        read_spiece(folder / "config.json")


@pytest.mark.shared
def test_the_vocabulary_of_clip(shared: Path, tmp_path: Path) -> None:
    packed = (shared / "data/tokenizers/clip/bpe_simple_vocab_16e6.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode().splitlines()
    merges = [line.strip() for line in lines[1 : 49152 - 256 - 2 + 1]]
    codes = [*range(33, 127), *range(161, 173), *range(174, 256)]
    codes += [256 + i for i in range(256 - len(codes))]
    names = [chr(i) for i in codes]
    names += [n + "</w>" for n in names] + ["".join(m.split()) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    write_clip_vocabulary(tmp_path, names, merges)
    save_clip(tmp_path, 49408)
    encode = CLIPText(model=str(tmp_path), width=16).load()
    assert encode.tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert encode.cut("cat " * 75 + "dog bird") == "dog bird"
    assert encode(["a photo of a cat"]).mask.sum() == 7
