"""The picture that a video begins with: its map, its noise, and what is told of it, in pixels and in latents."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from zoetrope.conditioning import Conditioning
from zoetrope.data import Example
from zoetrope.inputs import Examples, Extent, Setting
from zoetrope.inputs.first_frame import FirstFrame
from zoetrope.inputs.picture import Picture, picture_told
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.video import Video

SHAPE = VideoShape(frames=4, height=4, width=6, fps=4)
EXACT = FirstFrame(sigma=1e-6, dropout=0.0)


def batch(videos: Tensor, packed: Tensor | None = None, samples: Any = None) -> Examples:
    """A training batch of these videos."""
    draws = [torch.Generator().manual_seed(row) for row in range(len(videos))]
    samples = samples or [[Example(video, "", "")] for video in videos]
    return Examples(x=videos, samples=samples, draws=draws, packed=packed, encode=lambda texts: None)  # type: ignore


def setting(count: int = 2, **changed: Any) -> Setting:
    """A sampling of videos in pixels, with noise of ones."""

    def noise(purpose: str, shape: VideoShape, channels: int) -> Tensor:
        return torch.arange(1.0, count + 1)[:, None, None, None, None].expand(-1, channels, *shape.sizes)

    return Setting(**{"shape": SHAPE, "made": SHAPE, "channels": 3, "count": count, "noise": noise, **changed})


def test_in_training_it_is_the_first_frame_with_noise_of_the_level_that_is_told() -> None:
    x = torch.zeros(4000, 1, 2, 1, 3)
    x[:, :, 0], x[:, :, 1] = 5.0, -5.0
    told = FirstFrame(mean=-3.0, std=0.5, dropout=0.0).of_examples(SHAPE, batch(x))
    video, logsnr = told.maps["first_frame"], told.numbers["first_frame_logsnr"]
    assert torch.equal(video[:, :, 0], video[:, :, 1])  # the same in each frame
    log_sigma = -logsnr / 2
    assert log_sigma.mean() == pytest.approx(-3.0, abs=0.03) and log_sigma.std() == pytest.approx(0.5, abs=0.03)
    noise = (video[:, :, 0] - 5.0).flatten(1) / log_sigma.exp()[:, None]
    assert noise.mean() == pytest.approx(0, abs=0.03) and noise.std() == pytest.approx(1, abs=0.03)


def test_some_examples_are_told_none_and_pictures_of_a_pack_never_are() -> None:
    x = torch.rand(400, 3, 3, 2, 2) + 0.5
    told = FirstFrame(dropout=0.3).of_examples(SHAPE, batch(x)).maps["first_frame"]
    unknown = (told == 0).flatten(1).all(1)
    assert unknown.float().mean() == pytest.approx(0.3, abs=0.07)
    assert not (told[~unknown] == 0).any()
    packed = torch.arange(400) % 2 == 0
    told = FirstFrame(dropout=0.0).of_examples(SHAPE, batch(x, packed)).maps["first_frame"]
    assert torch.equal((told == 0).flatten(1).all(1), packed)
    clip, still = Example(x[0, :, :2], "", "clip"), Example(x[0, :, 2:], "", "still")
    [own] = FirstFrame(dropout=0.0).of_examples(SHAPE, batch(x[:1], samples=[[clip, clip, still]])).maps["first_frame"]
    assert own[:, :2].all() and not own[:, 2:].any()  # a picture that is appended to a clip


def test_a_request_shows_the_picture_in_every_frame(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "own.png")
    wanted = torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1
    for value in (pixels, tmp_path / "own.png", str(tmp_path / "own.png")):
        told = EXACT.answer(value, setting())
        video = told.maps["first_frame"]
        assert video.shape == (2, 3, 4, 4, 6)
        torch.testing.assert_close(video, wanted[None, :, None].expand_as(video), rtol=0, atol=1e-4)
    noisy = FirstFrame(sigma=0.5).answer(pixels, setting())
    assert noisy.numbers["first_frame_logsnr"].tolist() == pytest.approx([1.386294] * 2)
    for row, noise in enumerate((1.0, 2.0)):  # each video has its own noise
        torch.testing.assert_close(noisy.maps["first_frame"][row, :, 3], wanted + 0.5 * noise)


def test_noise_is_added_to_latents_or_to_the_pixels_that_are_encoded() -> None:
    def encode(videos: Tensor) -> Tensor:
        return videos.square()[..., ::2, ::2].repeat(1, 2, 1, 1, 1)[:, :4]

    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None, :, None] / 127.5 - 1
    own = setting(made=SHAPE.with_(height=8, width=12), channels=4, encode=encode)
    on_z = FirstFrame(sigma=0.5).answer(pixels, own).maps["first_frame"]
    on_x = FirstFrame(sigma=0.5, noised="pixels").answer(pixels, own).maps["first_frame"]
    for row, noise in enumerate((1.0, 2.0)):
        torch.testing.assert_close(on_z[row, :, :1], encode(x)[0] + 0.5 * noise)
        torch.testing.assert_close(on_x[row, :, 3:], encode(x + 0.5 * noise)[0])
    with pytest.raises(ValueError, match=r"first_frame: expected a stage that makes pictures of \(2, 1, 4, 6\)"):
        EXACT.answer(pixels, setting(channels=2, made=SHAPE.with_(height=8, width=12), encode=encode))


def test_a_picture_of_another_shape_covers_the_videos(caplog: pytest.LogCaptureFixture) -> None:
    """Left and right of a wide picture are cut off, which is said; one of the same shape is resized alone."""
    wide = np.zeros((8, 24, 3), dtype=np.uint8)
    wide[:, 4:20] = 255
    with caplog.at_level(logging.WARNING):
        told = EXACT.answer(wide, setting()).maps["first_frame"]
    assert "picture: 8x24 is cut to the shape of the videos, 4x6: 50 % of it is lost" in caplog.text
    assert float(told.min()) > 0.99
    caplog.clear()
    EXACT.answer(np.zeros((40, 60, 3), dtype=np.uint8), setting())
    assert not caplog.text


@pytest.mark.parametrize("value", [3.5, "nowhere.png", np.zeros((4, 6), np.uint8), np.zeros((2, 4, 6, 3), np.uint8)])
def test_what_is_no_picture(value: Any) -> None:
    with pytest.raises(ValueError, match=r"picture|nowhere.png"):
        EXACT.answer(value, setting())


@pytest.mark.parametrize("suffix", ["mp4", "gif", "png"])
def test_a_video_is_no_picture(tmp_path: Path, suffix: str) -> None:
    """None of its frames is taken in silence; a file of a single one is a picture."""
    path = tmp_path / f"a.{suffix}"
    film = [Image.fromarray(np.full((16, 24, 3), 40 * number, np.uint8)) for number in range(5)]
    if suffix == "mp4":
        Video(np.stack([np.asarray(one) for one in film]), 4).save(path)
    else:
        film[0].save(path, save_all=True, append_images=film[1:])
    for given in (FirstFrame(), Picture()):
        with pytest.raises(ValueError, match=rf"picture=.*a.{suffix}: expected one picture, got 5 frames; give one of"):
            given.expect(str(path), SHAPE, 1)
    with pytest.raises(ValueError, match="expected one picture, got 5 frames"):
        Picture().of_request(path, 1)
    Video(np.asarray(film[3])[None], 4).save(path) if suffix == "mp4" else film[3].save(path)
    assert abs(float(picture_told(path).mean()) - (120 / 127.5 - 1)) < 0.03


def test_unknown_is_the_blank_map_at_the_level_of_sampling() -> None:
    extent = Extent(2, SHAPE.sizes, 0, 0)
    told = FirstFrame(sigma=0.5).unknown(extent)
    assert not told.maps["first_frame"].any() and told.numbers["first_frame_logsnr"].tolist() == pytest.approx(
        [1.386294] * 2
    )
    assert told.maps["first_frame"].shape == FirstFrame().blank(extent).maps["first_frame"].shape


def test_the_embedding_of_latents_is_that_of_the_pixels_that_they_decode_to() -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 3, 1, 24, 40) * 2 - 1
    plain = Picture(dropout=0.0).of_examples(SHAPE, batch(x)).tokens["picture"].values
    flipped = batch(-x)
    object.__setattr__(flipped, "pixels", lambda videos: -videos)
    torch.testing.assert_close(Picture(dropout=0.0).of_examples(SHAPE, flipped).tokens["picture"].values, plain)


def test_a_network_that_learns_it_begins_as_it_was() -> None:
    torch.manual_seed(0)
    own = VideoUNetConfig(text_width=None, embedding=16, head=8, patch=2, levels=(Level(width=8),))
    before = own.build()
    for weight in before.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    after = own.with_(first_frame=True).build()
    state = before.state_dict()
    state |= after.grown(state, own.concatenated)
    assert set(after.load_state_dict(state, strict=False).missing_keys) == {
        name for name in after.state_dict() if name.startswith("first_frame_logsnr")
    }
    z, logsnr = torch.randn(2, 3, *SHAPE.sizes), torch.zeros(2)
    told = Conditioning(
        maps={"first_frame": torch.randn(2, 3, *SHAPE.sizes)}, numbers={"first_frame_logsnr": torch.ones(2)}
    )
    with torch.no_grad():
        torch.testing.assert_close(after(z, logsnr, told), before(z, logsnr, Conditioning()), rtol=1e-5, atol=1e-6)
        after.first_frame_logsnr[-1].weight.fill_(0.1)  # type: ignore[index, union-attr]
        assert (after(z, logsnr, told) - before(z, logsnr, Conditioning())).abs().max() > 1e-3
    with pytest.raises(ValueError, match="numbers: expected 'first_frame_logsnr'"):
        after(z, logsnr, Conditioning(maps=told.maps))
    with pytest.raises(ValueError, match="maps: expected 'first_frame'"):
        after(z, logsnr, Conditioning(numbers=told.numbers))
