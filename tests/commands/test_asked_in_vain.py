"""Options that would have no effect are refused, and no command replaces a file that it reads."""

from pathlib import Path

import numpy as np
import pytest

from zoetrope.video import Video

from .conftest import BASE, Cli

LEARNT = ("--set", "base.sampling.known=learnt")


def film(path: str) -> bytes:
    """A film of the shape of what the base makes; its bytes."""
    frames = np.zeros((BASE.frames, BASE.height, BASE.width, 3), np.uint8)
    frames[:, 2:6, 2:6] = 200
    Video(frames, BASE.fps).save(path)
    return Path(path).read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--style-weight", "0.5"], "--style-weight: expected with --style MODEL"),
        (["--seconds", "nan"], "--seconds: expected a finite number of 0 or more, got nan"),
        (["--seconds", "9", "--fit", "crop"], "--fit: expected without --seconds"),
        (["--seconds", "9", "--after", "base"], "--after: expected without --seconds"),
        (["--seconds", "9", "--known", "0=a.png"], "--known: expected without --seconds"),
    ],
)
def test_what_has_no_effect(cli: Cli, model: Path, words: list[str], message: str) -> None:
    done = cli("generate", "fog", "--model", model, *words)
    assert done.code == 2 and message in done.err, done.err


@pytest.mark.parametrize(
    "words",
    [
        ("extend", "a.mp4", "--seconds", "8", *LEARNT, "--until", "base", "-o", "a.mp4"),
        ("generate", "fog", "--from", "a.mp4", "-o", "./a.mp4"),
        ("generate", "fog", "--known", "0:2=a.mp4", "--known-method", "replacement", "--until", "base", "-o", "a.mp4"),
        ("upscale", "a.mp4", "-o", "a.mp4"),
    ],
)
def test_what_is_read_is_not_replaced(cli: Cli, model: Path, words: tuple[str, ...]) -> None:
    before = film("a.mp4")
    done = cli(*words, "--model", model)
    assert done.code == 2 and "a.mp4: expected another name than that of what is read" in done.err, done.err
    assert Path("a.mp4").read_bytes() == before


@pytest.mark.parametrize("verb", ["generate", "upscale"])
def test_what_is_read_is_not_replaced_by_a_stage(cli: Cli, model: Path, verb: str) -> None:
    before = film("a-ssr1.mp4")
    words = ("generate", "fog", "--from", "a-ssr1.mp4") if verb == "generate" else ("upscale", "a-ssr1.mp4")
    done = cli(*words, "--model", model, "-o", "a.mp4", "--save-stages", ".")
    assert done.code == 2 and "a-ssr1.mp4: expected another name" in done.err, done.err
    assert Path("a-ssr1.mp4").read_bytes() == before and not Path("a.mp4").exists()


def test_what_one_of_several_sizes_refuses_is_said_before_another_is_made(cli: Cli, model: Path) -> None:
    film("a.mp4")
    words = ("--known", "0:2=a.mp4", "--known-method", "replacement", "--until", "base", "-o", "b.mp4")
    done = cli("generate", "fog", "--model", model, *words, "--size", "8x8", "--size", "16x16")
    assert done.code == 2 and "a.mp4: expected a size of 16x16, as base makes, got 8x8" in done.err, done.err
    assert [path.name for path in Path().iterdir()] == ["a.mp4"]
