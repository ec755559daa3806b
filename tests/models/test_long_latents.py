"""Videos of minutes from a cascade whose first stage makes latents."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.cascade.latent import BASE, CODEC, LARGE, MADE, SSR, Z, codec, network, random_network
from zoetrope.cascade.spec import CascadeSpec
from zoetrope.codecs import Codec, decoded, encoded
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.known.learnt import Learnt
from zoetrope.models.cascade import Cascade
from zoetrope.models.long import Long, long_run
from zoetrope.networks.video_unet import Level
from zoetrope.schemes import SamplingScheme
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words
from zoetrope.video import Video

FRAMES = 4
LATENT = Z.with_(frames=FRAMES)
OWN = CODEC.with_(temporal=True)  # a decoder that sees frames of other blocks


def grid(shape: VideoShape) -> VideoShape:
    return shape.with_(frames=FRAMES)


def cascade(own: Codec = OWN, *, attends: bool = True) -> Cascade:
    """A base of latents whose network attends to frames at any times, and a stage that enlarges its videos."""
    levels = (Level(width=8, text_attention=True, temporal=("attention",) if attends else "convolution"),)
    base = BASE.with_(
        shape=LATENT,
        codec=own,
        network=network(2, False).with_(levels=levels, fps=3.0 if attends else None),
        sampling=BASE.sampling.with_(known=Learnt()),
    )
    ssr = SSR.with_(shape=grid(LARGE), inputs=usual_inputs(grid(MADE)))
    spec = CascadeSpec(name="latent", text=Words(width=8, limit=16), stages=(base, ssr))
    return Cascade(spec, random_network, codec=lambda: codec(codec=own))  # type: ignore[arg-type]


def clip(frames: int = 3) -> Video:
    return Video(np.random.default_rng(0).integers(0, 256, (frames, 8, 12, 3), np.uint8), 3.0)


def made(model: Cascade, video: Any = None, **wanted: Any) -> np.ndarray:
    return np.stack(list(model.extend(video, **{"seconds": 4, "prompt": "fog", **wanted})))


@pytest.mark.parametrize("scheme", SamplingScheme.names())
def test_every_scheme_makes_a_video_of_the_length(scheme: str) -> None:
    pictures = made(cascade(), scheme=scheme)
    assert pictures.shape == (12, 16, 24, 3) and len({picture.tobytes() for picture in pictures}) == 12
    assert np.array_equal(pictures, made(cascade(), scheme=scheme))


def test_a_video_as_long_as_a_clip_is_the_clip() -> None:
    for until in ("base", "ssr1"):
        found = made(cascade(), seconds=FRAMES / 3, until=until)
        assert np.array_equal(found, cascade().generate("fog", until=until).frames)


def test_latents_are_decoded_as_one_video_whose_known_frames_are_as_given(tmp_path: Path) -> None:
    """However few frames the codec decodes at a time."""
    model = cascade()
    run = long_run(model, Long(seconds=4, prompt="fog", until="base"), tmp_path / "film", clip())
    list(run.run(resume=False))
    latents = run.film.latents()
    assert latents is not None and latents.shape.sizes == (12, 4, 6) and latents.channels == 2
    z = latents.read(range(12))[None]
    own = codec(codec=OWN)
    torch.testing.assert_close(z[:, :, :3], encoded(own, clip().to_tensor()[None]))
    expected = Video.from_tensor(decoded(own, z)[0], 3.0).frames
    pictures = np.stack(list(run.pictures()))
    assert np.array_equal(pictures[:3], clip().frames) and not np.array_equal(expected[:3], clip().frames)
    assert np.abs(pictures[3:].astype(int) - expected[3:]).max() <= 1
    assert expected[3:].std() > 5
    assert run.video.path.stat().st_size == 12 * 8 * 12 * 3  # as video files store them


def test_decoding_in_parts_is_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made(cascade(), clip(), until="base")
    monkeypatch.setattr("zoetrope.cascade.long.latents.AT_ONCE", 2 * 8 * 12)
    parts = made(cascade(), clip(), until="base")
    assert np.abs(whole.astype(int) - parts).max() <= 1


def test_given_frames_decide_what_follows() -> None:
    one = made(cascade(), clip(), until="base")
    other = made(cascade(), Video(255 - clip().frames, 3.0), until="base")
    assert not np.array_equal(one[3:], other[3:])


@pytest.mark.parametrize("until", ["base", "ssr1"])
def test_killed_anywhere_and_resumed_it_is_the_same(until: str, tmp_path: Path) -> None:
    expected = made(cascade(), clip(), until=until)

    class Killed(BaseException):
        pass

    def stop(now: Any) -> None:
        seen.append((now.stage, now.number, now.total))
        raise Killed

    seen: list[tuple[str, int, int]] = []
    for _ in range(100):
        wanted: dict[str, Any] = {"seconds": 4, "prompt": "fog", "until": until}
        running = cascade().extend(clip(), folder=tmp_path / "film", resume=True, progress=stop, **wanted)
        try:
            pictures = np.stack(list(running))
            break
        except Killed:
            continue
    assert np.array_equal(pictures, expected) and len(seen) == len(set(seen))
    base = [(number, total) for stage, number, total in seen if stage == "base"]
    assert base == [(number, len(base)) for number in range(1, len(base) + 1)]


def test_another_codec_is_another_video(tmp_path: Path) -> None:
    made(cascade(), folder=tmp_path / "film")
    other = cascade(CODEC)
    with pytest.raises(ValueError, match=r"was begun with other settings: now .*codec"):
        made(other, folder=tmp_path / "film", resume=True)


def test_what_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="scheme long_range: its blocks are of frames at uneven distances"):
        made(cascade(attends=False), scheme="long_range")
    made_of = cascade().spec.stages[0]
    between = made_of.with_(
        name="tsr1",
        shape=LATENT.with_(frames=2 * FRAMES, fps=6),
        fills=made_of.made,
        sampling=made_of.sampling.with_(keep_frames=False),
    )
    spec = cascade().spec.with_(stages=(made_of, between))
    finer = Cascade(spec, random_network, codec=lambda: codec(codec=OWN))
    with pytest.raises(ValueError, match=r"a video of several clips: expected stages of pixels, got 'tsr1'"):
        made(finer)
    assert made(finer, until="base").shape == (12, 8, 12, 3)
    with pytest.raises(ValueError, match=r"seconds: expected more than 1, which the given video lasts"):
        made(cascade(), clip(), seconds=1)
