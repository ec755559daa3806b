"""Known frames of stages of latents: they are encoded for the network, and come back exactly in the videos."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cascade.latent import BASE, CODEC, MADE, SPEC, SSR, Z, codec, random_network

from zoetrope.codecs import decoded, encoded
from zoetrope.known import Known
from zoetrope.known.learnt import Learnt
from zoetrope.models.cascade import Cascade, Progress
from zoetrope.models.coding import Coding
from zoetrope.video import Video
from zoetrope.video.resample import resize

CPU = torch.device("cpu")
LEARNT = SPEC.with_(stages=(BASE.with_(sampling=BASE.sampling.with_(known=Learnt())), SSR))
CASCADE = Cascade(LEARNT, random_network, codec=codec)


def noise(count: int, height: int = 16, width: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "options", [{}, {"known_method": "replacement"}, {"known_method": "reconstruction", "known_weight": 0.5}]
)
def test_known_frames_are_encoded_and_come_back_exactly(options: dict[str, Any]) -> None:
    [picture] = noise(1)
    steps = list[Progress]()
    made = CASCADE.generate("fog", known={0: picture}, progress=steps.append, count=2, **options)
    assert all(np.array_equal(video.frames[0], picture) for video in made)
    assert not np.array_equal(made[0].frames[1], made[1].frames[1])
    base = [now for now in steps if now.stage == "base"]
    small = resize(Video(picture[None], 3).to_tensor()[None], 8, 12)
    for now in base:  # the base knows it at its own size, in whatever it makes so far
        torch.testing.assert_close(now.videos()[0].to_tensor()[None, :, :1], small, rtol=0, atol=1.1 / 255)
    z = base[0].x_hat
    torch.testing.assert_close(z[:, :, :1], codec().encode(small))
    assert torch.equal(base[1].x_hat[0, :, 0], small[0, :, 0])


def test_a_known_picture_changes_the_frames_that_are_made() -> None:
    pictures = noise(2)
    made = [CASCADE.generate("fog", known={0: picture}, until="base", fit="crop").frames for picture in pictures]
    assert not np.array_equal(made[0][1], made[1][1])


def test_a_stage_all_of_whose_frames_are_known_does_not_run() -> None:
    stages = (*LEARNT.stages[:1], SSR.on(SSR.shape.with_(frames=4, fps=6), MADE))
    cascade, pictures = Cascade(LEARNT.with_(stages=stages), random_network, codec=codec), noise(2)
    steps = list[Progress]()
    video = cascade.generate("fog", known={0: pictures[0], 2: pictures[1]}, progress=steps.append)
    assert [(now.stage, now.steps) for now in steps] == [("base", 1), ("ssr1", 2), ("ssr1", 2)]
    assert np.array_equal(video.frames[::2], pictures)


def test_a_mask_is_of_latents_all_of_whose_pixels_are_known() -> None:
    known = torch.zeros(1, 8, 12, dtype=torch.bool)
    known[:, :, :7] = True
    video = torch.rand(1, 3, 1, 8, 12) * 2 - 1
    own = Known(torch.tensor([True, False]), video.expand(3, -1, -1, -1, -1), mask=known)
    coding = Coding.of(BASE, codec, own, (None, None), CPU)
    z = coding.known_z
    assert z is not None and z.mask is not None and z.video.shape == (3, CODEC.channels, 1, 4, 6)
    assert z.mask[0, 0].tolist() == [True, True, False, False, False, False]  # one hole, and one beside it
    torch.testing.assert_close(z.video[:1], encoded(codec(), video))
    made = coding.video(torch.randn(3, 2, *Z.sizes))
    assert torch.equal(made[:, :, 0, :, :7], own.video[:, :, 0, :, :7])
    [picture] = noise(1)
    hole = np.zeros((16, 24), bool)
    hole[:, 14:] = True
    video_made = CASCADE.generate("fog", known={0: picture}, mask=hole, known_method="replacement")
    assert np.array_equal(video_made.frames[0, :, :14], picture[:, :14])
    assert not np.array_equal(video_made.frames[0, :, 14:], picture[:, 14:])


def test_each_video_is_given_its_own_known_frames() -> None:
    """`evaluate` continues a clip of its own in each video of a batch."""
    video = torch.rand(3, 3, 1, 8, 12) * 2 - 1
    coding = Coding.of(BASE, codec, Known(torch.tensor([True, False]), video), (None, None), CPU)
    assert coding.known_z is not None
    torch.testing.assert_close(coding.known_z.video, encoded(codec(), video))


def test_a_mask_that_leaves_no_latent_is_said(caplog: pytest.LogCaptureFixture) -> None:
    [picture] = noise(1)
    hole = np.ones((16, 24), bool)
    hole[0, :3] = False
    made = CASCADE.generate("fog", known={0: picture}, mask=hole, known_method="replacement")
    assert "stage 'base': no latent of 2x2 pixels is known whole" in caplog.text
    assert np.array_equal(made.frames[0, 0, :3], picture[0, :3])


def test_encoding_in_parts_is_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = codec(), torch.rand(2, 3, 5, 8, 12) * 2 - 1
    whole = network.encode(x)
    for most in (1, 3 * 2 * 8 * 12, 10**9):
        monkeypatch.setattr("zoetrope.codecs.AT_ONCE", most)
        torch.testing.assert_close(encoded(network, x), whole, rtol=1e-5, atol=1e-6)
    assert decoded(network, whole).shape == x.shape


def test_what_cannot_be_known_of_latents(tmp_path: Path) -> None:
    [picture] = noise(1)
    plain = Cascade(SPEC, random_network, codec=codec)
    with pytest.raises(ValueError, match=r"stage 'base': expected no known frames.*--known-method reconstruction"):
        plain.generate("fog", known={0: picture})
    small = Video(noise(1, 4, 6), 1.5)
    with pytest.raises(ValueError, match="low_res: expected none, for 'base' makes latents"):
        CASCADE.generate("fog", low_res=small, known_method="reconstruction")
    with pytest.raises(ValueError, match=r"known 0: expected a size of 8x12, as base makes, got 16x24"):
        CASCADE.generate("fog", known={0: picture}, until="base")
