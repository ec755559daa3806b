"""Picture encoders: the small one that ships, and CLIP's from a local folder."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from zoetrope.conditioning import Tokens
from zoetrope.data import Example
from zoetrope.data.pictured import Pictured
from zoetrope.data.toybox import Toybox
from zoetrope.inputs import Examples
from zoetrope.inputs.picture import Picture
from zoetrope.layers.picture_tower import PictureTower
from zoetrope.metrics.retrieval import retrieved
from zoetrope.pictures import PictureEncoder, embed
from zoetrope.pictures.clip import DEVIATION, MEAN, CLIPPictures
from zoetrope.pictures.small import PREFIX, SHIPPED, SmallPictures
from zoetrope.shapes import VideoShape

PICTURE = VideoShape(frames=1, height=24, width=40, fps=1)
POINT = VideoShape(frames=1, height=1, width=1, fps=1)


def toys(numbers: range, seed: int = 1) -> torch.Tensor:
    """Pictures (N, 3, 24, 40) of a world."""
    world = Toybox(seed=seed, pictures=True).open()
    return torch.stack([world.example(number, PICTURE).video[:, 0] for number in numbers])


def test_the_shipped_one_is_small_and_finds_a_picture_again() -> None:
    """Of 64 pictures, one that is a little darker, noisier and larger still has the nearest embedding."""
    assert SHIPPED.stat().st_size < 2e6
    pictures = toys(range(64))
    made = embed(SmallPictures(), pictures)
    assert made.shape == (64, 128) and torch.allclose(made.norm(dim=1), torch.tensor(128.0).sqrt())
    other = 0.9 * pictures + 0.05 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    larger = torch.nn.functional.interpolate(other, (48, 80), mode="bilinear")
    assert sum(retrieved(embed(SmallPictures(), larger), made)) >= 58
    assert torch.equal(embed(SmallPictures(), pictures[5:6])[0], made[5])  # whatever else is in the batch


def test_other_weights(tmp_path: Path) -> None:
    path = tmp_path / "average.safetensors"
    own = PictureTower(16).state_dict()
    save_file({PREFIX + name: value for name, value in own.items()} | {"text.null": torch.zeros(3)}, path)
    found = embed(SmallPictures(width=16, path=str(path)), toys(range(2)))
    tower = PictureTower(16)
    tower.load_state_dict(own)
    with torch.no_grad():
        expected = torch.cat([tower(one[None]) for one in toys(range(2))])
    torch.testing.assert_close(found, 4 * torch.nn.functional.normalize(expected, dim=1))
    with pytest.raises(ValueError, match="not the weights of a picture encoder of width 8"):
        embed(SmallPictures(width=8, path=str(path)), toys(range(1)))
    path.write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"average\.safetensors: not the weights"):
        SmallPictures(width=16, path=str(path)).load()
    with pytest.raises(ValueError, match=r"none\.safetensors: no such file"):
        SmallPictures(path=str(tmp_path / "none.safetensors")).load()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP with random weights, both sides, as its authors' folders are."""
    from transformers import CLIPConfig, CLIPModel

    side = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**side, "vocab_size": 64, "max_position_embeddings": 16},
        vision_config={**side, "image_size": 16, "patch_size": 8, "projection_dim": 12},
        projection_dim=12,
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clip")
    CLIPModel(config).save_pretrained(folder)
    return folder


def test_clip_is_as_transformers_computes_it(clip: Path) -> None:
    from transformers import CLIPModel

    pictures = torch.rand(3, 3, 16, 16) * 2 - 1
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    reference = CLIPModel.from_pretrained(clip)
    with torch.no_grad():
        vision = reference.vision_model(pixel_values=((pictures + 1) / 2 - mean) / deviation)
        expected = reference.visual_projection(vision.pooler_output)
    encoder = CLIPPictures(model=str(clip), width=12, pixels=16)
    expected = torch.nn.functional.normalize(expected, dim=1) * 12**0.5
    torch.testing.assert_close(embed(encoder, pictures), expected, rtol=1e-4, atol=1e-4)
    assert embed(encoder, torch.zeros(1, 3, 40, 24)).shape == (1, 12)  # of any size


def test_a_clip_that_is_not_as_told(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"width: expected 12, that of .*, got 768"):
        CLIPPictures(model=str(clip), pixels=16).load()
    with pytest.raises(ValueError, match=r"pixels: expected 16, that of .*, got 224"):
        CLIPPictures(model=str(clip), width=12).load()
    (tmp_path / "config.json").write_bytes((clip / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match="only pickled weights"):
        CLIPPictures(model=str(tmp_path), width=12, pixels=16).load()


@pytest.mark.parametrize("kind", PictureEncoder.every(), ids=PictureEncoder.names())
def test_it_comes_back_from_json(kind: type[PictureEncoder]) -> None:
    assert PictureEncoder.from_json(kind().to_json()) == kind()


def test_a_data_set_of_embeddings() -> None:
    source = Pictured(source=Toybox(seed=1, pictures=True))
    found = source.open().example(7, POINT)
    own = Toybox(seed=1, pictures=True).open().example(7, PICTURE)
    assert found.text == own.text and found.video.shape == (128, 1, 1, 1)
    assert torch.equal(found.video.flatten(), embed(SmallPictures(), own.video[:, 0][None])[0])
    with pytest.raises(ValueError, match=r"expected a stage of vectors, 1x1x1, .* got 1x24x40"):
        source.open().example(0, PICTURE)


def of_training(x: torch.Tensor, *, packed: bool, dropout: float = 0.0) -> Tokens:
    """What the input makes of videos in training."""
    draws = [torch.Generator().manual_seed(row) for row in range(len(x))]
    samples = [[Example(one, "", "")] for one in x]
    images = torch.ones(len(x), dtype=torch.bool) if packed else None
    examples = Examples(x=x, samples=samples, draws=draws, packed=images, encode=lambda texts: None)  # type: ignore
    return Picture(dropout=dropout).of_examples(PICTURE, examples).tokens["picture"]


def test_in_training_the_picture_is_a_random_frame_of_the_clip() -> None:
    x = toys(range(12)).unflatten(0, (3, 4)).transpose(1, 2)  # three clips of four pictures
    every = embed(SmallPictures(), x.transpose(1, 2).flatten(0, 1)).unflatten(0, (3, 4))
    told = of_training(x, packed=False)
    assert told.values.shape == (3, 1, 128) and told.mask.all()
    chosen = [int((clip == value).all(-1).nonzero()) for clip, value in zip(every, told.values, strict=True)]
    assert len(set(chosen)) > 1
    assert torch.equal(of_training(x, packed=True).values[:, :, 0], every)
    assert not of_training(x, packed=False, dropout=1.0).mask.any()
