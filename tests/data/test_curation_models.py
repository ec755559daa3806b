"""Captions and scores by models: tiny random ones of the real classes, read from local folders."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.commands.conftest import Done
from tests.metrics.test_extractors import make_clip
from zoetrope.__main__ import main
from zoetrope.curation.captioners import Captioner, captions, expect_captioner, merged
from zoetrope.curation.measures.aesthetics import Aesthetics
from zoetrope.curation.measures.alignment import Alignment
from zoetrope.curation.spec import asked_for
from zoetrope.video import Video

WORDS = ["a", "red", "blue", "circle", "square", "moves", "left", "right", "on", "white"]
PICTURES = np.random.default_rng(0).integers(0, 256, (5, 40, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BLIP with random weights that knows a few words."""
    from transformers import BertTokenizerFast, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor
    from transformers import BlipProcessor as Processor

    folder = tmp_path_factory.mktemp("blip")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = BertTokenizerFast(vocab={word: number for number, word in enumerate(words)})
    Processor(BlipImageProcessor(size={"height": 16, "width": 16}), tokenizer).save_pretrained(folder)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    marks = {"bos_token_id": 2, "pad_token_id": 0, "eos_token_id": 3, "sep_token_id": 3}
    text = small | marks | {"vocab_size": len(words), "encoder_hidden_size": 16, "max_position_embeddings": 32}
    vision = small | {"image_size": 16, "patch_size": 8}
    torch.manual_seed(0)
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=16, image_text_hidden_size=16)
    network = BlipForConditionalGeneration(config)
    with torch.no_grad():
        network.text_decoder.cls.predictions.bias[:5] = -100  # it writes words alone
    network.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip"))


def test_a_captioner_says_what_its_model_generates(blip: Path) -> None:
    from transformers import AutoProcessor, BlipForConditionalGeneration

    processor = AutoProcessor.from_pretrained(blip)
    network = BlipForConditionalGeneration.from_pretrained(blip).eval()
    given = processor(images=PICTURES[2], return_tensors="pt")
    expected = processor.decode(network.generate(**given, max_new_tokens=7)[0], skip_special_tokens=True)
    assert captions([Captioner(model=str(blip), longest=7)], PICTURES) == merged([expected]) != ""
    assert set(expected.split()) <= set(WORDS)
    asked = captions([Captioner(model=str(blip), prompt="a red", longest=3)], PICTURES)
    assert asked.startswith("a red")


def test_merged_captions_repeat_nothing() -> None:
    assert merged(["A red circle.", "a circle", "a blue square on white", ""]) == "A red circle. a blue square on white"
    assert merged(["a circle", "a red circle"]) == "a red circle"
    assert merged([" ", ""]) == ""
    assert merged(["two\n lines "]) == "two lines"


def test_a_captioner_that_is_not_at_hand_is_told(blip: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="captioner: /no/where: expected a local folder or a model of the Hugging"):
        expect_captioner(Captioner(model="/no/where"))
    with pytest.raises(ValueError, match="expected a model that describes pictures, got one of type clip"):
        expect_captioner(Captioner(model=str(clip)))
    (blip.parent / "bare").mkdir()
    with pytest.raises(ValueError, match=r"got one without config\.json"):
        expect_captioner(Captioner(model=str(blip.parent / "bare")))


def test_alignment_is_the_cosine_that_clip_itself_computes(clip: Path) -> None:
    from transformers import AutoTokenizer, CLIPModel

    from zoetrope.pictures.clip import DEVIATION, MEAN
    from zoetrope.video.resample import resize

    network = CLIPModel.from_pretrained(clip).eval()
    scaled = torch.from_numpy(PICTURES[[0, 2, 4]]).permute(0, 3, 1, 2).float() / 255
    seen = (resize(scaled[:, :, None] * 2 - 1, 16, 16)[:, :, 0] + 1) / 2
    pixels = (seen - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]
    texts = ["a red ball", "blue fog"]
    given = AutoTokenizer.from_pretrained(clip)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        made = network(input_ids=given.input_ids, attention_mask=given.attention_mask, pixel_values=pixels)
    cosines = (made.image_embeds @ made.text_embeds.T).mean(0)
    measure = Alignment(model=str(clip), least=0.9999)
    for number, text in enumerate(texts):
        assert measure.of(PICTURES, [text]) == pytest.approx(float(cosines[number]), abs=1e-4)
    best = measure.of(PICTURES, texts)
    assert best == pytest.approx(float(cosines.max()), abs=1e-4)
    assert "unlike its caption: alignment" in str(measure.fault(best)) and Alignment(model="m").fault(best) is None
    with pytest.raises(ValueError, match="expected a caption, got none"):
        measure.of(PICTURES, [])


def test_aesthetics_by_opposites_and_by_a_head(clip: Path, tmp_path: Path) -> None:
    ball, fog = (Alignment(model=str(clip)).of(PICTURES[:1], [text]) for text in ("a red ball", "blue fog"))
    poles = Aesthetics(model=str(clip), good="a red ball", bad="blue fog")
    share = 1 / (1 + np.exp(100 * (fog - ball)))
    assert poles.of(PICTURES[:1], []) == pytest.approx(share, abs=1e-3)
    head = tmp_path / "head.safetensors"
    generator = torch.Generator().manual_seed(1)
    first, second = torch.randn(4, 8, generator=generator), torch.randn(1, 4, generator=generator)
    stored = {"layers.10.weight": second, "layers.2.weight": first, "layers.2.bias": torch.ones(4)}
    save_file(stored, head)
    from zoetrope.curation.measures._clip import features_of_pictures

    features = features_of_pictures(str(clip), PICTURES[[0, 2, 4]])
    assert features.norm(dim=-1).tolist() == pytest.approx([1, 1, 1])
    rated = Aesthetics(model=str(clip), head=str(head), least=-100.0)
    assert rated.of(PICTURES, []) == pytest.approx(float(((features @ first.T + 1) @ second.T).mean()), abs=1e-5)
    assert rated.fault(-101) is not None and rated.fault(-99) is None
    save_file({"weight": torch.zeros(1, 9)}, tmp_path / "wide.safetensors")
    with pytest.raises(ValueError, match=r"expected a matrix for 8 features, got one of \(1, 9\)"):
        Aesthetics(model=str(clip), head=str(tmp_path / "wide.safetensors")).of(PICTURES, [])
    with pytest.raises(ValueError, match="expected a safetensors file with an aesthetics head"):
        Aesthetics(model=str(clip), head=str(tmp_path / "none")).expect_usable()


def test_clip_that_is_none_is_told(blip: Path) -> None:
    with pytest.raises(ValueError, match="expected a CLIP model, got one of type blip"):
        Alignment(model=str(blip)).expect_usable()
    with pytest.raises(ValueError, match="expected a local folder or a model"):
        Alignment(model="/no/where").expect_usable()


def test_options_become_a_spec(clip: Path) -> None:
    spec = asked_for('{"shortest": 2}', ["m"], "add", str(clip))
    assert (spec.shortest, spec.captioners[0].model, spec.captions) == (2, "m", "add")
    assert [measure.kind() for measure in spec.measures][-2:] == ["alignment", "aesthetics"]
    with pytest.raises(ValueError, match="--spec: expected a JSON object"):
        asked_for("[1]", [], "keep", None)
    with pytest.raises(ValueError, match="captions"):
        asked_for("{}", ["m"], "kep", None)


@pytest.mark.long
def test_the_command_describes_what_has_no_caption(
    blip: Path, clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for package in ("cv2", "scenedetect", "rapidocr"):
        pytest.importorskip(package, reason="the packages of the extra `curate` are not here")
    (tmp_path / "in").mkdir()
    for name in ("with", "without"):
        frames = np.full((16, 48, 64, 3), 40, np.uint8)
        for k in range(16):
            frames[k, 10:30, 3 * k : 3 * k + 16] = (200, 90, 40) if name == "with" else (40, 90, 240)
            frames[k, 30 if name == "with" else 0 :: 9] = 120
        Video(frames, 8).save(tmp_path / f"in/{name}.mp4")
    (tmp_path / "in/with.txt").write_text("a square moves right")

    def run(out: str, *options: str) -> tuple[Done, list[dict[str, object]]]:
        capfd.readouterr()
        quick = json.dumps({"measures": ["motion"], "captioners": [{"model": str(blip), "longest": 5}]})
        words = ["data", "curate", str(tmp_path / "in"), "-o", str(tmp_path / out), "--spec", quick, *options]
        code = main([*words, "--json"])
        rows = [json.loads(line) for line in (tmp_path / out / "table.jsonl").read_text("utf-8").splitlines()]
        return Done(code, *capfd.readouterr()), rows

    done, (kept, described) = run("keep", "--clip", str(clip))
    assert done.code == 0 and json.loads(done.out)["kept"] == 2
    assert kept["texts"] == ["a square moves right"]
    (made,) = described["texts"]  # type: ignore[misc]
    assert made and set(made.replace(".", "").split()) <= set(WORDS)
    assert set(described["measures"]) == {"motion", "alignment", "aesthetics"}  # type: ignore[call-overload]
    lines = (tmp_path / "keep/metadata.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["a square moves right", made]
    _, (more, _) = run("more", "--captions", "add")
    assert len(more["texts"]) == 2 and more["texts"][0] == "a square moves right"  # type: ignore[arg-type, index]
    _, (other, _) = run("other", "--captions", "replace")
    assert other["texts"] == more["texts"][1:]  # type: ignore[index]
