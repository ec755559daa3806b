"""What clients may ask for, and the words that it becomes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoetrope.serving.describing import describe
from zoetrope.serving.offers import Offer, shipped_names
from zoetrope.serving.remaining import TRUST, Remaining
from zoetrope.serving.requests import JobRequest
from zoetrope.serving.uploads import suffix_of

FILE = "ab" * 32


def test_words_of_a_request() -> None:
    request = JobRequest(
        model="mini", prompt="--out=/etc/passwd", seed=3, until="base", size=(24, 40), guidance=2.5, known={"-1": FILE}
    )
    words = request.words("mini", {"known_-1": "known_-1.png"}, "video.mp4")
    assert words[0] == "generate" and words[-2:] == ["--", "--out=/etc/passwd"]
    assert {
        "--seed=3",
        "--until=base",
        "--size=24x40",
        "--guidance=2.5",
        "--known=-1=known_-1.png",
        "--fit=crop",
    } < set(words)
    assert dict(request.files()) == {"known_-1": FILE}
    upscale = JobRequest(kind="upscale", model="mini", video=FILE, prompt="a ball", fit="own", add_frames=True)
    words = upscale.words("mini", {"video": "video.gif"}, "video.mp4")
    assert words[0] == "upscale" and words[-2:] == ["--", "video.gif"] and "--caption=a ball" in words
    assert "--add-frames" in words and JobRequest.from_json(upscale.to_json()) == upscale


def test_numbers_are_passed_on_as_they_are() -> None:
    above = 1 + 2**-52
    request = JobRequest(
        model="m", guidance=above, range=(1.0, above), control_from={"edges": FILE}, control_scale={"edges": above}
    )
    words = request.words("m", {"control_from_edges": "edges.png"}, "video.mp4")
    place = words.index("--range=1.0")
    told = [words[place + 1], *(word.rpartition("=")[2] for word in words if word.startswith(("--gui", "--control-s")))]
    assert [float(one) for one in told] == [above] * 3


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=20))
def test_no_text_becomes_an_option(prompt: str, negative: str, until: str) -> None:
    """Whatever is said stands behind the option that it is the value of, or behind the end of all options."""
    try:
        words = JobRequest(model="m", prompt=prompt, negative=negative, until=until).words("m", {}, "video.mp4")
    except ValueError:
        return
    options, said = words[1 : words.index("--")], words[words.index("--") + 1 :]
    known = ("model", "seed", "until", "negative", "out", "save-stages", "json", "quiet")
    assert said == [prompt] and all(word.partition("=")[0] in {f"--{name}" for name in known} for word in options)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prompt": "x" * 2001}, "prompt"),
        ({"prompt": "  "}, "only blanks"),
        ({"prompt": "a\0b"}, "no letter"),
        ({"until": "../base"}, "until"),
        ({"size": (5000, 8)}, "size"),
        ({"known": {"0": "/etc/passwd"}}, "known"),
        ({"known": {"0=/etc": FILE}}, "known"),
        ({"sampler": "os.system"}, "sampler"),
        ({"seed": -1}, "seed"),
        ({"kind": "upscale"}, "video"),
        ({"kind": "upscale", "video": FILE, "frames": 3}, "frames"),
        ({"fit": "own"}, "fit"),
        ({"sets": ["a=b"]}, "unknown field 'sets'"),
        ({"control": {"edges": FILE}, "control_from": {"edges": FILE}}, "expected edges once"),
    ],
)
def test_what_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        JobRequest(model="mini", **fields)


def test_models_are_offered_by_names_that_tell_no_path(tmp_path: Path) -> None:
    place, job = tmp_path / "deep" / "mine", tmp_path / "job"
    place.mkdir(parents=True)
    job.mkdir()
    offer = Offer.of(str(place))
    assert offer.name == "mine" and offer.laid(job) == "mine" and (job / "mine").resolve() == place
    assert Offer.of(f"nicer={place}@400").laid(job) == "nicer@400" and Offer.of("mini") == ("mini", "mini")
    assert Offer.of(f"video={place}").laid(job) == "video-model"
    assert set(shipped_names()) >= {"mini"}
    with pytest.raises(ValueError, match="expected a name of letters"):
        Offer.of(f"a b={place}")


def test_the_time_that_is_left_is_as_predicted_and_then_as_measured() -> None:
    now = [0.0]
    remaining = Remaining([10.0, 30.0], lambda: now[0])
    assert remaining.at(0, 0, 0.0) == (0.0, 40.0)
    now[0] = 20.0  # half as fast as predicted
    share, left = remaining.at(0, 0, 1.0)
    assert share == 0.25 and left == pytest.approx(30 * (20 + TRUST) / (10 + TRUST))
    remaining.times = 3
    assert remaining.at(1, 1, 0.5) == (pytest.approx(65 / 120), pytest.approx(55 * (20 + TRUST) / (65 + TRUST)))
    assert remaining.at(2, 1, 1.0) == (1.0, 0.0)


def test_types_are_told_by_how_files_begin() -> None:
    begin = {
        ".png": b"\x89PNG\r\n\x1a\n", ".jpg": b"\xff\xd8\xff\xe0", ".gif": b"GIF89a", ".mp4": b"\0\0\0\x20ftypisom",
        ".webm": b"\x1aE\xdf\xa3", ".webp": b"RIFF\0\0\0\0WEBPVP8 ", ".avi": b"RIFF\0\0\0\0AVI LIST",
    }  # fmt: skip
    assert {suffix: suffix_of(head) for suffix, head in begin.items()} == {suffix: suffix for suffix in begin}
    assert [
        suffix_of(head) for head in (b"", b"#EXTM3U", b"ffconcat version 1.0", b"<svg>", b"RIFF\0\0\0\0WAVEfmt ")
    ] == [None] * 5


def test_a_model_stops_by_default_where_the_command_line_stops_it() -> None:
    told = describe("mini")
    assert told["until"] == "ssr2" and told["stages"][-1]["name"] == "ssr3"
    assert describe("mini_image")["until"] == "ssr"
