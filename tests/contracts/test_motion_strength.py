"""The motion strength: against a closed form, measured in training, kept with latents, and asked for."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from zoetrope.codecs import save_codec
from zoetrope.codecs.autoencoder import Autoencoder
from zoetrope.data import Example
from zoetrope.data.encoded import Encoded, encode
from zoetrope.data.latents import Latents
from zoetrope.data.toybox import Toybox
from zoetrope.inputs import Examples
from zoetrope.inputs.motion_strength import MOST, USUAL, MotionStrength
from zoetrope.shapes import VideoShape
from zoetrope.video.motion import motion_strength

SHAPE = VideoShape(frames=4, height=8, width=12, fps=3)
CPU = torch.device("cpu")


def bar(speed: int, frames: int = 4) -> Tensor:
    """A white bar of 2 x 8 pixels on black, (1, 3, F, 8, 16), that moves right by `speed` pixels a frame."""
    video = -torch.ones(1, 3, frames, 8, 16)
    for frame in range(frames):
        video[:, :, frame, :, speed * frame : speed * frame + 2] = 1
    return video


def seen(strength: float) -> float:
    """What networks see of a strength."""
    return 2 * math.log1p(strength) / math.log1p(USUAL) - 1


def examples(videos: Tensor, told: list[dict[str, float | str]], **more: object) -> Examples:
    """A training batch of these videos."""
    return Examples(
        x=videos,
        samples=[[Example(video, "", "", told=own)] for video, own in zip(videos, told, strict=True)],
        draws=[torch.Generator().manual_seed(row) for row in range(len(videos))],
        encode=lambda texts: None,  # type: ignore[arg-type, return-value]
        **{"packed": None, **more},  # type: ignore[arg-type]
    )


def test_of_a_moving_bar_it_is_area_times_contrast_times_speed() -> None:
    """Of 16 columns 2 x speed change from black to white or back, if speed <= 2, in each of `fps` steps a second."""
    for speed, fps in ((0, 3.0), (1, 3.0), (2, 3.0), (2, 6.0)):
        assert float(motion_strength(bar(speed), fps)) == pytest.approx(100 * fps * 2 * speed / 16)
    several = torch.cat([bar(1), bar(2)])
    assert motion_strength(several, torch.tensor([3.0, 6.0])).tolist() == pytest.approx([37.5, 150])
    assert float(motion_strength(bar(2, frames=1), 3.0)) == 0


def test_training_measures_it_where_data_do_not_tell_it() -> None:
    videos = torch.cat([bar(1), bar(2), bar(2)]) * 0.1
    own = MotionStrength(dropout=0.0)
    told = own.of_examples(SHAPE, examples(videos, [{}, {}, {"motion_strength": 4.0}]))
    assert told.numbers["motion_strength"].tolist() == pytest.approx([seen(3.75), seen(7.5), seen(4.0)])
    rates, larger = torch.tensor([6.0, 3.0, 3.0]), {"pixels": lambda x: 2 * x}
    told = own.of_examples(SHAPE, examples(videos, [{}, {}, {}], rates=rates, **larger))
    assert told.numbers["motion_strength"].tolist() == pytest.approx([seen(15), seen(15), seen(15)])
    packed = torch.tensor([True, False, True])
    told = own.of_examples(SHAPE, examples(videos, [{}] * 3, packed=packed))
    assert told.numbers["motion_strength"].isnan().tolist() == [True, False, True]
    assert (
        MotionStrength(dropout=1.0)
        .of_examples(SHAPE, examples(videos, [{}] * 3))
        .numbers["motion_strength"]
        .isnan()
        .all()
    )


def test_it_is_asked_for_by_a_number() -> None:
    own = MotionStrength()
    assert own.of_request(5, 2).numbers["motion_strength"].tolist() == pytest.approx([seen(5)] * 2)
    assert own.usual(SHAPE) is None and own.of_request(None, 2).numbers["motion_strength"].isnan().all()
    assert MotionStrength(usual_value=5.0).usual(SHAPE) == 5
    for wrong in ("much", -1, MOST + 1, math.nan, [1], True):
        with pytest.raises(ValueError, match="motion_strength: expected a number from 0, nothing moves, to 100, got"):
            own.of_request(wrong, 2)


def test_latents_tell_that_of_their_clips_and_keep_it_on_disk(tmp_path: Path) -> None:
    torch.manual_seed(0)
    codec = Autoencoder(f=2, channels=2, width=4, blocks=1)
    save_codec(codec.build(), tmp_path / "codec")
    world, z = Toybox(scripts=3), codec.latents(SHAPE)
    data = Latents(source=world, codec=str(tmp_path / "codec")).open()
    clips = [world.open().example(number, SHAPE).video for number in range(4)]
    wanted = [float(motion_strength(clip[None], 3.0)) for clip in clips]
    assert max(wanted) > 0.5
    got = [data.example(number, z).told["motion_strength"] for number in range(4)]
    assert got == pytest.approx(wanted) and data.tells()["motion_strength"] == "number"
    assert "motion_strength" not in data.example(0, z.with_(frames=1)).told
    encode(world, tmp_path / "codec", SHAPE, 4, tmp_path / "latents", lambda done, total: None, CPU)
    stored = Encoded(path=str(tmp_path / "latents")).open()
    assert [stored.example(number, z).told["motion_strength"] for number in range(4)] == pytest.approx(wanted)
    assert stored.tells()["motion_strength"] == "number" and stored.tells()["colour"] == "label"
    assert "motion_strength" not in stored.example(0, z.with_(frames=1)).told
    lines = tmp_path / "latents/00000.jsonl"  # as older versions wrote them
    lines.write_text("".join('{"name": "a", "text": "b"}\n' for _ in range(4)))
    assert Encoded(path=str(tmp_path / "latents")).open().example(0, z).told == {}


@pytest.mark.parametrize("told", [-1.0, math.nan, math.inf, "fast", 10**400, True])
def test_what_data_tell_is_a_strength_or_named(told: float | str) -> None:
    own = MotionStrength(dropout=0.0)
    batch = examples(bar(1), [{"motion_strength": told}])
    one = batch.samples[0][0]._replace(name="a.mp4")
    batch = replace(batch, samples=[[one]])
    for seen_by in (lambda: own.of_examples(SHAPE, batch), lambda: own.of_told([one])):
        with pytest.raises(ValueError, match=r"a\.mp4: motion_strength: expected a number of 0 or more, got"):
            seen_by()
