"""Feature networks of every kind, each with small weights made here, and what is said where there are none."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zoetrope.metrics.features import Classifier, ClipNetwork, Extractor, FeatureNetwork, Matcher, Missing
from zoetrope.metrics.features.clip import CLIP
from zoetrope.metrics.features.i3d import I3D
from zoetrope.metrics.features.inception import Inception
from zoetrope.metrics.features.torchscript import TorchScript
from zoetrope.metrics.features.transformers_video import TransformersVideo


class Motion(nn.Module):
    """Mean colours and mean changes (N, 6) of clips (N, 3, F, H, W), as published I3D files are called."""

    def forward(self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False) -> Tensor:
        if rescale:
            x = x / 127.5 - 1
        changes = (x[:, :, 1:] - x[:, :, :-1]).abs()
        return torch.cat([x.mean((2, 3, 4)), changes.mean((2, 3, 4))], 1)


class Colours(nn.Module):
    """Mean colours of pictures, or three classes of them, as published Inception files are called."""

    def forward(self, x: Tensor, return_features: bool = False, no_output_bias: bool = False) -> Tensor:
        x = x / 255
        features = x.mean((2, 3))
        if return_features:
            return features
        return torch.softmax(8 * features, 1)


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scripts") / "motion.pt"
    torch.jit.script(Motion()).save(str(path))
    return path


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scripts") / "colours.pt"
    torch.jit.script(Colours()).save(str(path))
    return path


@pytest.fixture(scope="module")
def videomae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import VideoMAEConfig, VideoMAEModel

    folder = tmp_path_factory.mktemp("videomae")
    torch.manual_seed(0)
    config = VideoMAEConfig(
        image_size=16, patch_size=8, num_frames=4, tubelet_size=2, hidden_size=16, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=16,
    )  # fmt: skip
    VideoMAEModel(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip"))


def make_clip(folder: Path) -> Path:
    """A CLIP with random weights that knows a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

    names = ["<pad>", "<s>", "</s>", "<unk>", "a", "red", "ball", "fog", "blue", "rolls", "slowly"]
    words = Tokenizer(models.WordLevel({name: k for k, name in enumerate(names)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"vocab_size": len(names), "max_position_embeddings": 12, "bos_token_id": 1, "eos_token_id": 2}
    config = CLIPConfig(
        text_config=small | text | {"pad_token_id": 0},
        vision_config=small | {"image_size": 16, "patch_size": 8},
        projection_dim=8,
    )
    CLIPModel(config).save_pretrained(folder)
    return folder


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_torchscript_of_clips(motion: Path) -> None:
    network = TorchScript(path=str(motion), frames=4, height=None, width=None).open()
    assert isinstance(network, ClipNetwork)
    assert (network.width, network.least, network.most) == (6, 4, 4)
    assert network.sha256 == hashlib.sha256(motion.read_bytes()).hexdigest()
    clips = noise(2, 3, 9, 8, 8)
    torch.testing.assert_close(network.of_clips(network.window(clips, 2)), Motion()(clips[:, :, :8:2]))
    with pytest.raises(ValueError, match="at least 4 frames, got 3"):
        network.window(clips, 4)


def test_torchscript_of_frames_resized(colours: Path) -> None:
    network = TorchScript(path=str(colours), sees="frames", levels="0..255", options={"return_features": True}).open()
    assert isinstance(network, FeatureNetwork) and network.resize.startswith("224x224")
    flat = torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 5, 9)
    torch.testing.assert_close(network.of_pictures(flat), torch.tensor([[0.0, 0.5, 1.0]]))


def test_i3d_gets_what_the_published_file_wants(motion: Path) -> None:
    network = I3D.at(str(motion)).open()
    clips = noise(2, 3, 12, 8, 8)
    torch.testing.assert_close(network.of_clips(clips), Motion()(clips), atol=1e-5, rtol=1e-5)
    assert (network.least, network.most) == (10, None)


def test_inception_gives_features_and_classes(colours: Path) -> None:
    network = Inception.at(str(colours)).open()
    assert isinstance(network, Classifier)
    pictures = noise(3, 3, 8, 8)
    told = network.probabilities(pictures)
    torch.testing.assert_close(told.sum(1), torch.ones(3))
    torch.testing.assert_close(network.of_pictures(pictures), (pictures.mean((2, 3)) + 1) / 2)


def test_a_video_model_of_transformers(videomae: Path) -> None:
    from transformers import VideoMAEModel

    network = TransformersVideo.at(str(videomae)).open()
    assert (network.width, network.least, network.most) == (16, 4, 4)
    clips = noise(2, 3, 4, 16, 16)
    with torch.no_grad():  # mean and deviation of its own 0.5: pixels in [-1, 1]
        theirs = VideoMAEModel.from_pretrained(videomae).eval()(pixel_values=clips.transpose(1, 2))
        torch.testing.assert_close(network.of_clips(clips), theirs.last_hidden_state.mean(1))
        assert not torch.allclose(network.of_clips(clips.flip(2)), network.of_clips(clips))
        assert network.of_clips(noise(1, 3, 4, 24, 40)).shape == (1, 16)


def test_clip_is_that_of_transformers(clip: Path) -> None:
    from transformers import AutoTokenizer, CLIPModel

    network = CLIP.at(str(clip)).open()
    assert isinstance(network, Matcher) and network.width == 8
    pictures, texts = noise(2, 3, 16, 16), ["a red ball", "fog"]
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    values = ((pictures + 1) / 2 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    read = AutoTokenizer.from_pretrained(clip)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        model = CLIPModel.from_pretrained(clip).eval()
        theirs = model(pixel_values=values, input_ids=read.input_ids, attention_mask=read.attention_mask)
        torch.testing.assert_close(network.of_pictures(pictures), theirs.image_embeds)
        torch.testing.assert_close(network.of_texts(texts), theirs.text_embeds)
        assert network.of_texts(["a red ball " * 20]).shape == (1, 8)  # cut, not refused


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_clip_in_16_bits_computes_in_32(clip: Path, tmp_path: Path, variant: str | None) -> None:
    """And is read where a repository has nothing else than that variant."""
    from transformers import CLIPModel

    weights = shutil.ignore_patterns("*.safetensors", "config.json")
    shutil.copytree(clip, tmp_path / "short", ignore=weights)
    half = CLIPModel.from_pretrained(clip).half()
    half.save_pretrained(tmp_path / "short", variant=variant)
    half.float().save_pretrained(tmp_path / "long")
    shutil.copytree(tmp_path / "short", tmp_path / "long", dirs_exist_ok=True, ignore=weights)
    short, long = (CLIP.at(str(tmp_path / name)).open() for name in ("short", "long"))
    assert isinstance(short, Matcher) and isinstance(long, Matcher)
    for own, theirs in (
        (short.of_pictures(noise(2, 3, 16, 16)), long.of_pictures(noise(2, 3, 16, 16))),
        (short.of_texts(["fog"]), long.of_texts(["fog"])),
    ):
        torch.testing.assert_close(own, theirs)


def test_clip_crops_or_squashes(clip: Path) -> None:
    wide = torch.zeros(1, 3, 16, 48)
    wide[..., :16] = 1  # beside the middle
    plain = torch.zeros(1, 3, 16, 16)
    for fit, same in (("crop", True), ("squash", False)):
        network = CLIP(model=str(clip), fit=fit).open()  # type: ignore[arg-type]
        with torch.no_grad():
            assert torch.allclose(network.of_pictures(wide), network.of_pictures(plain)) == same


@pytest.mark.parametrize("kind", Extractor.names())
def test_what_is_not_there_is_missing_with_a_remedy(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    where = str(tmp_path / "none.safetensors")
    extractor = Extractor.named(kind).at(where)
    assert Extractor.from_json(extractor.to_json()) == extractor
    with pytest.raises(Missing) as told:
        extractor.open()
    assert where in told.value.reason and told.value.remedy


def test_wrong_files_are_refused(motion: Path, tmp_path: Path, videomae: Path) -> None:
    with pytest.raises(ValueError, match="expected the file with sha256 00ff"):
        I3D(path=str(motion), sha256="00ff").open()
    (tmp_path / "text.pt").write_text("no script")
    with pytest.raises(ValueError, match="expected a TorchScript file"):
        TorchScript.at(str(tmp_path / "text.pt")).open()
    with pytest.raises(ValueError, match="cannot look at"):
        TorchScript(path=str(motion), options={"colour": True}).open()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="pickles are never read"):
        TransformersVideo.at(str(tmp_path)).open()
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    for kind, told in ((TransformersVideo, "config"), (CLIP, "config|tokenizer|CLIP")):
        with pytest.raises(ValueError, match=told):
            kind.at(str(tmp_path)).open()


@pytest.mark.parametrize(
    ("kind", "lacks"),
    [
        ("clip", "visual_projection.weight"),
        ("clip", "text_model.final_layer_norm.bias"),
        ("videomae", "encoder.layer.0.output.dense.weight"),
    ],
)
def test_weights_that_are_missing_are_not_invented(
    kind: str, lacks: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """They would be random: a score would mean nothing."""
    folder = Path(shutil.copytree(request.getfixturevalue(kind), tmp_path / "partial"))
    weights = load_file(folder / "model.safetensors")
    del weights[lacks]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    extractor = CLIP if kind == "clip" else TransformersVideo
    with pytest.raises(ValueError, match=f"got none for {lacks}"):
        extractor.at(str(folder)).open()


def test_a_part_that_is_not_used_may_be_missing(tmp_path: Path) -> None:
    """ViViT has learnt without its pooling layer."""
    from transformers import VivitConfig, VivitForVideoClassification

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = VivitConfig(**sizes, image_size=16, num_frames=4, tubelet_size=[2, 8, 8])
    torch.manual_seed(0)
    made = VivitForVideoClassification(config)
    made.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}')
    clips, theirs = noise(1, 3, 4, 16, 16), made.eval().vivit
    with torch.no_grad():
        wanted = theirs(pixel_values=clips.transpose(1, 2)).last_hidden_state.mean(1)
        torch.testing.assert_close(TransformersVideo.at(str(tmp_path)).open().of_clips(clips), wanted)


def test_features_are_the_same_every_time(motion: Path, videomae: Path) -> None:
    clips = noise(2, 3, 16, 20, 24)
    kinds: list[Any] = [TorchScript.at(str(motion)), TransformersVideo.at(str(videomae))]
    for extractor in kinds:
        first, second = (extractor.open() for _ in range(2))
        with torch.no_grad():
            assert torch.equal(first.of_clips(first.window(clips)), second.of_clips(second.window(clips)))


def test_a_program_of_the_hub_needs_its_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip in a path looks like a name of the hub, where anybody may have put anything."""
    monkeypatch.chdir(tmp_path)
    for kind in (I3D, Inception, TorchScript):
        with pytest.raises(Missing, match="it is a program, and taken from the hub only with a sha256"):
            kind.at("models/metrics/file.pt").open()


def test_a_home_may_be_named_by_its_sign(motion: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(motion.parent))
    assert I3D.at("~/motion.pt").open().sha256 == hashlib.sha256(motion.read_bytes()).hexdigest()
    monkeypatch.setenv("HOME", str(clip.parent))
    assert CLIP.at(f"~/{clip.name}").open().width == CLIP.at(str(clip)).open().width


@pytest.mark.parametrize("told", ['{"image_std": [0, 1, 1]}', '{"image_mean": 3}', "[" * 5000, "[1, 2]"])
def test_a_normalisation_that_is_none(told: str, videomae: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(videomae, folder)
    (folder / "preprocessor_config.json").write_text(told)
    with pytest.raises(ValueError, match=r"preprocessor_config\.json: "):
        TransformersVideo(model=str(folder)).open()
