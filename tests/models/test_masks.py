"""`Cascade.generate` with masks: known pixels come back exactly, through all stages; and masks that do not fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoetrope.inputs.region import Region
from zoetrope.known.learnt import Learnt
from zoetrope.known.reconstruction import Reconstruction
from zoetrope.models.cascade import Cascade
from zoetrope.video import Video

from .test_cascade import random_network, spec
from .test_known import LEARNT, learning, noise, reports

HOLE = np.zeros((16, 16), bool)
HOLE[4:12, 6:16] = True
RECONSTRUCTING = Cascade(learning(Reconstruction(), guidance=1.0), random_network)
OUTSIDE = "0:8"


def told_regions(stage: str) -> Cascade:
    """The cascade, one stage of which has learnt regions."""
    stages = [
        each.with_(inputs=(*each.inputs, Region()), network=each.network.with_(region=True))
        if each.name == stage
        else each
        for each in spec(guidance=1.0).stages
    ]
    return Cascade(spec().with_(stages=tuple(stages)), random_network)


@pytest.mark.parametrize(
    ("cascade", "options"),
    [
        (RECONSTRUCTING, {}),
        (LEARNT, {"known_method": "replacement"}),
        (told_regions("base"), {}),
        (told_regions("ssr1"), {"known_method": "reconstruction"}),
    ],
)
def test_known_pixels_come_back_exactly(cascade: Cascade, options: dict[str, Any]) -> None:
    clip = noise(8)
    made = cascade.generate("fog", known={OUTSIDE: clip}, mask=HOLE, **options).frames
    assert np.array_equal(made[:, ~HOLE], clip[:, ~HOLE])
    assert not np.array_equal(made[:, HOLE], clip[:, HOLE])
    other = np.where(HOLE[..., None], noise(8, seed=1), clip)
    again = cascade.generate("fog", known={OUTSIDE: other}, mask=HOLE, **options).frames
    assert np.array_equal(made, again), "what is in the hole matters"
    elsewhere = cascade.generate("fog", known={OUTSIDE: noise(8, seed=2)}, mask=HOLE, **options).frames
    assert not np.array_equal(made[:, HOLE], elsewhere[:, HOLE]), "what is known does not matter"


def test_a_stage_that_has_learnt_regions_is_told_them() -> None:
    """The network, not only x_hat, differs: one step from the same noise makes another hole."""
    cascade = told_regions("base")
    first = noise(1)
    options = {"until": "base", "steps": 1}
    told = [
        reports(cascade, known={0: picture}, **options)["base"].x_hat for picture in (noise(1, 8, 8), noise(1, 8, 8, 5))
    ]
    assert first.shape == (1, 16, 16, 3)
    assert not np.array_equal(told[0][:, :, 1:].numpy(), told[1][:, :, 1:].numpy())
    plain = reports(cascade, **options)["base"].x_hat
    assert not np.array_equal(told[0][:, :, 1:].numpy(), plain[:, :, 1:].numpy())


def test_smaller_stages_know_what_has_a_pixel_of_known_ones_around_it() -> None:
    """The base has 8x8 pixels: rows 2 to 5 and columns 3 to 7 are of the hole, and a pixel around is made."""
    clip = noise(8)
    made = reports(RECONSTRUCTING, known={OUTSIDE: clip}, mask=HOLE)
    other = reports(RECONSTRUCTING, known={OUTSIDE: clip}, mask=HOLE, seed=7)
    same = (made["base"].x_hat == other["base"].x_hat).all(2).all(1)[0]  # in all frames and colours
    expected = np.ones((8, 8), bool)
    expected[1:7, 2:8] = False
    assert np.array_equal(same.numpy(), expected)


def test_a_picture_for_all_frames_and_a_mask_of_each(tmp_path: Path) -> None:
    """A cinemagraph: all but a region of a picture stays, and the first frame is whole."""
    picture = noise(1)[0]
    masks = np.stack([np.zeros_like(HOLE), *[HOLE] * 7])
    made = RECONSTRUCTING.generate("fog", known={":": picture}, mask=masks).frames
    assert np.array_equal(made[0], picture)
    assert all(np.array_equal(frame[~HOLE], picture[~HOLE]) for frame in made)
    assert not any(np.array_equal(frame[HOLE], picture[HOLE]) for frame in made[1:])
    pictures = np.repeat(masks[..., None], 3, -1).astype(np.uint8) * 255
    Video(pictures, 4).save(f"{tmp_path}/masks/")
    Video(picture[None], 4).save(tmp_path / "still.png")
    grey = np.where(masks, 128, 127).astype(np.uint8)
    ways = [pictures, Video(pictures, 4), masks.astype(np.uint8) * 255, tmp_path / "masks", grey]
    for way in ways:
        again = RECONSTRUCTING.generate("fog", known={":": tmp_path / "still.png"}, mask=way).frames
        assert np.array_equal(again, made), way


def test_a_mask_of_another_size_is_fitted_like_pictures() -> None:
    large = np.zeros((32, 64), bool)
    large[:, :32] = True
    with pytest.raises(ValueError, match="mask: expected a size of 16x16, as ssr1 makes, got 32x64; the fit 'crop'"):
        RECONSTRUCTING.generate("fog", known={":": noise(8)}, mask=large)
    clip = noise(8)
    made = RECONSTRUCTING.generate("fog", known={":": clip}, mask=large, fit="crop").frames
    assert np.array_equal(made[:, :, 8:], clip[:, :, 8:]) and not np.array_equal(made[:, :, :8], clip[:, :, :8])


@pytest.mark.parametrize(
    ("known", "mask", "told"),
    [
        (
            {":": noise(8)},
            np.zeros((16, 16), bool),
            "mask: expected some white, where the model makes the video, got none",
        ),
        ({":": noise(8)}, np.ones((16, 16), bool), "mask: expected some black in the known frames, where the video is"),
        (
            {0: noise(1), 5: noise(1)},
            np.stack([np.full_like(HOLE, frame in (0, 5)) for frame in range(8)]),
            "mask: expected some black in the known frames, where the video is known, got none; leave them out instead",
        ),
        ({":": noise(8)}, np.zeros((7, 16, 16), bool), "mask: expected 8 frames, got 7"),
        ({":": noise(8)}, np.zeros((16, 16)), "mask: expected a picture"),
        ({":": noise(3)}, HOLE, "known :: expected 8 frames, got 3"),
        (None, HOLE, "mask: expected known frames that it is about"),
        ({0: noise(1)}, "no.png", "no.png"),
    ],
)
def test_masks_that_cannot_be(known: Any, mask: Any, told: str) -> None:
    with pytest.raises((ValueError, OSError), match=told):
        RECONSTRUCTING.generate("fog", known=known, mask=mask)


def test_a_mask_that_leaves_no_pixel_of_a_smaller_stage_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """The stages before the last have 8x8 pixels: of 3x3 ones of 16x16 they know none, of 7x7 one."""
    picture = noise(1)
    for side, blind in ((3, ["base", "tsr1"]), (7, [])):
        caplog.clear()
        hole = np.ones((16, 16), bool)
        hole[4 : 4 + side, 4 : 4 + side] = False
        made = RECONSTRUCTING.generate("fog", known={0: picture}, mask=hole).frames
        assert np.array_equal(made[0][~hole], picture[0][~hole])
        told = "stage %r: no pixel of 8x8 is known whole, with its neighbours: its videos do not follow what is known"
        assert [line.getMessage() for line in caplog.records] == [told % stage for stage in blind]


def test_one_picture_for_many_frames_needs_a_mask() -> None:
    with pytest.raises(ValueError, match="expected 8 frames, got 1"):
        RECONSTRUCTING.generate("fog", known={":": noise(1)})


def test_a_stage_that_has_learnt_whole_frames_alone() -> None:
    with pytest.raises(ValueError, match=r"'base': mask: expected none.*whole frames alone; --known-method reconstruc"):
        LEARNT.generate("fog", known={":": noise(8)}, mask=HOLE)
    both = Cascade(learning(Learnt()), random_network)
    with pytest.raises(ValueError, match="region"):
        both.generate("fog", given={"region": 1})
    with pytest.raises(ValueError, match=r"region: expected known frames \(--known, --mask\), got int"):
        told_regions("base").generate("fog", given={"region": 1})
