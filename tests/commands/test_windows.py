"""`zoetrope generate --windows`: a longer video than the networks' clips, in windows that agree at every step."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoetrope.cascade.windows import Windows
from zoetrope.models.cascade import Cascade
from zoetrope.video import read

from .conftest import Cli


def test_a_longer_video_in_windows(cli: Cli, model: Path) -> None:
    """The base makes 4 frames, and the last stage twice as many; windows of the others are in proportion."""
    words = ["generate", "fog", "--model", model, "--frames", "12", "--json"]
    done = cli(*words, "--windows", "4:1", "-o", "out/")
    assert done.code == 0, done.err
    told = json.loads(done.out)["settings"]
    assert told["base"]["windows"] == Windows(frames=4, overlap=1).to_json()
    assert told["tsr1"]["windows"] == Windows(frames=8, overlap=2).to_json()
    assert "instead of" not in done.err, "windows are as long as the clips in training"
    assert len(read("out/", fps=4).frames) == 24
    whole = cli(*words, "-o", "whole/")
    assert whole.code == 0 and "12 frames instead of 4" in whole.err
    assert not np.array_equal(read("out/", fps=4).frames, read("whole/", fps=4).frames)


def test_a_window_as_long_as_the_video_changes_nothing(cli: Cli, model: Path) -> None:
    for name, more in (("one", []), ("two", ["--windows", "4"]), ("three", ["--windows", "100:3"])):
        assert cli("generate", "fog", "--model", model, *more, "-o", f"{name}/").code == 0
    one, two, three = (read(f"{name}/", fps=4).frames for name in ("one", "two", "three"))
    assert np.array_equal(one, two) and np.array_equal(one, three)


def test_windows_of_a_single_stage_divide_pictures(cli: Cli, model: Path) -> None:
    spec = json.dumps({"height": 8, "overlap_pixels": 4})
    done = cli("generate", "fog", "--model", model, "--set", f"ssr1.sampling.windows={spec}", "--json", "-o", "out/")
    assert done.code == 0, done.err
    told = json.loads(done.out)["settings"]
    assert told["ssr1"]["windows"]["height"] == 8 and told["base"]["windows"] is None


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("0", "frames"),
        ("4:4", "overlap: expected fewer than the 4 frames of a window, got 4"),
        ("4:-1", "overlap"),
        ("4:1:1", "expected frames, or frames:overlap, such as 16 or 16:2, got '4:1:1'"),
        ("all", "expected frames, or frames:overlap"),
    ],
)
def test_windows_that_cannot_be(cli: Cli, model: Path, asked: str, told: str) -> None:
    done = cli("generate", "fog", "--model", model, "--windows", asked, "-o", "out/")
    assert done.code == 2 and "windows" in done.err and told in done.err and len(done.err.splitlines()) == 1
    assert not Path("out").exists()


def test_from_python(model: Path) -> None:
    cascade = Cascade.from_pretrained(model)
    asked: dict[str, Any] = {"until": "base", "frames": 12}
    made = cascade.generate("fog", windows=(4, 1), **asked)
    same = cascade.generate("fog", windows=Windows(frames=4, overlap=1), **asked)
    assert len(made.frames) == 12 and np.array_equal(made.frames, same.frames)
    assert not np.array_equal(made.frames, cascade.generate("fog", **asked).frames)
    with pytest.raises(ValueError, match="windows"):
        cascade.generate("fog", windows="many", **asked)  # type: ignore[call-overload]
