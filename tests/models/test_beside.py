"""What decides videos beside descriptions and weights: codecs, and encoders whose files are on this machine."""

import shutil
from pathlib import Path

import pytest
import torch
from cascade.latent import BASE, SPEC, SSR, codec
from safetensors.torch import load_file, save_file

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.inputs.picture import Picture
from zoetrope.inputs.text import Text
from zoetrope.layers.picture_tower import PictureTower
from zoetrope.models.beside import beside
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.pictures import PictureEncoder
from zoetrope.pictures.clip import CLIPPictures
from zoetrope.pictures.hub_clip import HubCLIPPictures
from zoetrope.pictures.small import PREFIX, SmallPictures
from zoetrope.shapes import VideoShape
from zoetrope.text import TextEncoder
from zoetrope.text.clip import CLIPText
from zoetrope.text.minilm import MiniLM
from zoetrope.text.t5 import T5
from zoetrope.text.words import Words

SHAPE = VideoShape(frames=2, height=4, width=4, fps=2)


def reading(text: TextEncoder | None, pictures: PictureEncoder) -> CascadeSpec:
    """A stage that reads text and pictures; without an encoder of texts, pictures alone."""
    levels = (Level(width=8, text_attention=text is not None),)
    network = VideoUNetConfig(
        text_width=None if text is None else text.width,
        picture_width=pictures.width,
        embedding=16,
        head=8,
        levels=levels,
    )
    inputs = (*(() if text is None else (Text(),)), Picture(encoder=pictures))
    stage = StageSpec(name="base", shape=SHAPE, inputs=inputs, network=network)
    return CascadeSpec(name="x", text=text, stages=(stage,))


def pretrained(folder: Path, content: str) -> str:
    """A folder that could hold an encoder."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(content)
    save_file({"weight": torch.zeros(1)}, folder / "model.safetensors")
    return str(folder)


def test_a_codec_is_told_of_stages_of_latents() -> None:
    own, other = (beside(SPEC, [BASE], lambda seed=seed: codec(seed)) for seed in (0, 3))  # type: ignore[misc]
    assert list(own) == ["codec"] and own != other and own == beside(SPEC, SPEC.stages, codec)
    assert beside(SPEC, [SSR], codec) == {}


@pytest.mark.parametrize("kind", [T5, CLIPText])
def test_a_text_encoder_is_told_by_its_files(kind: type[T5] | type[CLIPText], tmp_path: Path) -> None:
    def told(folder: str) -> dict[str, str]:
        spec = reading(kind(model=folder, width=16), SmallPictures())
        return beside(spec, spec.stages, None)

    own = told(pretrained(tmp_path / "one", "{}"))
    assert list(own) == ["text"] and own == told(str(shutil.copytree(tmp_path / "one", tmp_path / "moved")))
    assert own != told(pretrained(tmp_path / "one", '{"other": 1}'))
    spec = reading(None, SmallPictures()).with_(text=kind(model=str(tmp_path / "one"), width=16))
    assert beside(spec, spec.stages, None) == {}  # no stage reads it


@pytest.mark.parametrize("kind", [CLIPPictures, HubCLIPPictures])
def test_a_picture_encoder_is_told_by_its_files(
    kind: type[CLIPPictures] | type[HubCLIPPictures], tmp_path: Path
) -> None:
    def told(content: str) -> dict[str, str]:
        spec = reading(None, kind(model=pretrained(tmp_path / "one", content), width=16))
        return beside(spec, spec.stages, None)

    assert list(told("{}")) == ["base.picture"] and told("{}") == told("{}") != told('{"other": 1}')


def test_weights_of_the_small_picture_encoder_are_told(tmp_path: Path) -> None:
    file = tmp_path / "average.safetensors"
    save_file({PREFIX + name: value for name, value in PictureTower(16).state_dict().items()}, file)
    spec = reading(None, SmallPictures(width=16, path=str(file)))
    own = beside(spec, spec.stages, None)
    save_file({name: value + 1 for name, value in load_file(file).items()}, file)
    assert list(own) == ["base.picture"] and own != beside(spec, spec.stages, None)
    file.unlink()
    assert beside(spec, spec.stages, None) != own  # what loads it tells that there is none


def test_what_a_description_identifies_needs_no_more() -> None:
    for text in (Words(), MiniLM(), T5(model="google/t5-v1_1-small", width=512), CLIPText(revision="main")):
        for pictures in (SmallPictures(), CLIPPictures(), HubCLIPPictures()):
            spec = reading(text, pictures)
            assert beside(spec, spec.stages, None) == {}


@pytest.mark.parametrize("kind", [CLIPPictures, HubCLIPPictures])
def test_a_folder_that_lies_elsewhere_is_the_same(
    kind: type[CLIPPictures] | type[HubCLIPPictures], tmp_path: Path
) -> None:
    own, other = (kind(model=pretrained(tmp_path / name, "{}")) for name in ("own", "other"))
    assert own.identity == other.identity and str(tmp_path) not in own.identity
    assert kind(model="owner/one").identity != kind(model="owner/two").identity


def test_a_file_that_lies_elsewhere_is_the_same(tmp_path: Path) -> None:
    own, other = (tmp_path / name for name in ("own.safetensors", "other.safetensors"))
    for path in (own, other):
        save_file({"weight": torch.zeros(1)}, path)
    assert SmallPictures(path=str(own)).identity == SmallPictures(path=str(other)).identity
    assert str(tmp_path) not in SmallPictures(path=str(own)).identity
