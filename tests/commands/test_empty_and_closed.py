"""Empty values of options, closed streams, names that follow those of sources, and options with their own names."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import typer

from zoetrope.commands import application
from zoetrope.commands._outputs import Outputs, stem_after
from zoetrope.commands._sampling import SamplingOptions
from zoetrope.commands._sizes import in_sizes
from zoetrope.commands._talk import Talk
from zoetrope.video import Video

from .conftest import BASE, Cli


def verbs() -> list[tuple[list[str], list[str]]]:
    """The words of every verb, and its options that take a value."""

    def inside(command: object, words: list[str]) -> list[tuple[list[str], list[str]]]:
        below = getattr(command, "commands", None)
        if below is not None:
            return [one for name, each in below.items() for one in inside(each, [*words, name])]
        params = [one for one in getattr(command, "params") if one.param_type_name == "option"]  # noqa: B009
        takes = [one for one in params if not one.is_flag and not one.is_eager and one.nargs == 1]
        return [(words, [next(name for name in one.opts if name.startswith("--")) for one in takes])]

    return inside(typer.main.get_command(application()), [])


def test_an_empty_value_is_refused_and_not_left_out(cli: Cli) -> None:
    every = [(words, option) for words, options in verbs() for option in options]
    assert len(every) > 100
    for words, option in every:
        for given in ([option, ""], [f"{option}="]):
            done = cli(*words, *given)
            assert done.code == 2 and f"{option}: expected a value, got an empty string" in done.err, (words, done.err)
    assert not list(Path.cwd().glob("*.png"))


@pytest.mark.parametrize("closed", ["1", "2", "12"])
def test_a_closed_stream_is_no_error_and_mixes_nothing_into_the_other(closed: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "zoetrope", "show", "mini", "--json", "--authorities=x"]
    shut = " ".join(f"{stream}>&-" for stream in closed)
    done = subprocess.run(
        ["bash", "-c", f'"$@" {shut}', "bash", *command], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    assert ("--authorities" in done.stderr) == ("2" not in closed)
    done = subprocess.run(
        ["bash", "-c", f'"$@" {shut}', "bash", *command[:-1]], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert "1" in closed or json.loads(done.stdout)["name"]


LONG = "take-" * 14 + "7"


@pytest.mark.parametrize("name", ["My Clip (final) v1.2", LONG, "50%off_"])
def test_what_is_made_of_a_file_has_its_name(cli: Cli, model: Path, name: str) -> None:
    frames = np.zeros((BASE.frames, BASE.height, BASE.width, 3), np.uint8)
    frames[:, 2:6, 2:6] = 200
    Video(frames, BASE.fps).save(f"{name}.mp4")
    done = cli("upscale", f"{name}.mp4", "--model", model, "--no-compare")
    assert done.code == 0 and done.out.strip() == f"{name}-upscaled.mp4", done.err
    done = cli("extend", f"{name}.mp4", "--model", model, "--seconds", "3", "--known-method", "replacement")
    assert done.code == 0 and done.out.strip() == f"{name}-extended.mp4", done.err


def test_stems_of_folders_of_sequences_and_of_the_longest_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "Walk v1.2"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert stem_after(str(folder), "edited") == stem_after(f"{folder}/", "edited") == "Walk v1.2-edited"
    assert stem_after(".", "edited") == stem_after("%04d.png", "edited") == "Walk v1.2-edited"
    assert stem_after(f"{folder}/img_%04d.png", "edited") == "img-edited"
    assert len(stem_after("ü" * 120 + ".mp4", "edited").encode()) <= 210
    strange = os.fsdecode(b"caf\xe9")  # no UTF-8, which file systems allow
    assert stem_after(f"{strange}.mp4", "edited") == f"{strange}-edited"
    assert len(os.fsencode(stem_after(strange * 60 + ".mp4", "edited"))) <= 210


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--negative", " "], "--negative: expected some text"),
        (["--routine", "nope"], "--routine: "),
        (["--windows", "nope"], "--windows: "),
        (["--seconds", "9", "--low-res", "a.mp4"], "--low-res: expected without --seconds"),
        (["--seconds", "9", "--mask", "a.png"], "--mask: expected without --seconds"),
        (["--seconds", "9", "--control-from", "a.png"], "--control-from: expected without --seconds"),
        (["--seconds", "9", "--control-scale", "2"], "--control-scale: expected without --seconds"),
    ],
)
def test_the_option_that_is_wrong_is_the_one_that_is_named(
    cli: Cli, model: Path, words: list[str], message: str
) -> None:
    done = cli("generate", "fog", "--model", model, *words)
    assert done.code == 2 and f"error: {message}" in done.err, done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("edit a.mp4 fog --caption ball --steps 100001", "--steps: expected a number from 1 to 100000"),
        ("edit a.mp4 fog --caption ball --guidance 1e30", "--guidance: expected a number from 0 to "),
        ("evaluate mini --data . --features i3d=a.pt --features i3d=b.pt", "--features i3d=b.pt: expected one network"),
        ("data encode . --codec x --out y --shape 4x8x8@2 --dtype bf16", "--dtype: is for the features of captions"),
        ("data encode . --codec x --out y --shape 4x8x8@2 --stage base", "--stage: expected with --recipe"),
        ("data check . --shape 4x8x8@2 --stage base", "--stage: expected either this or --shape"),
        ("data preview . --out a.png --shape 4x8x8@2 --stage base", "--stage: expected either this or --shape"),
    ],
)
def test_what_would_be_left_out_is_refused(cli: Cli, words: str, message: str) -> None:
    done = cli(*words.split())
    assert done.code == 2 and message in done.err, done.err


def test_an_interruption_tells_what_other_sizes_have_made(model: Path) -> None:
    talk, asked = Talk(json=False, quiet=True), SamplingOptions(0, None, None, None, None, "cpu", "fp32")

    def prepare(talk: Talk, asked: SamplingOptions, out: str | None) -> Callable[[], None]:
        def make() -> None:
            if asked.size == "8x16":
                raise KeyboardInterrupt("interrupted: 0 of 1 videos were written")
            talk.result({"files": [{"path": out}]}, str(out))

        return make

    with pytest.raises(KeyboardInterrupt, match=r"8x16: interrupted: 0 of 1 .* of other sizes a-8x8.mp4 are finished"):
        in_sizes(talk, ["8x8", "8x16"], [str(model)], asked, "a.mp4", prepare)


@pytest.mark.parametrize("words", ["generate fog", "generate fog --seconds 3 --known-method reconstruction"])
def test_rates_that_a_file_cannot_have_are_refused_before_sampling(cli: Cli, model: Path, words: str) -> None:
    done = cli(*words.split(), "--model", model, "--fps", "60", "--out", "x.gif")
    assert done.code == 2 and "pictures a second for .gif, got" in done.err and "step" not in done.err, done.err
    assert not list(Path().iterdir())


def test_a_name_that_another_process_took_meanwhile_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made, mine = torch.zeros(3, 2, 8, 8), [Outputs(None, ["fog", "fog"], 2, fps=2.0) for _ in range(2)]
    paths = [outputs.save(number, made, 2.0, {}) for outputs in mine for number in range(2)]
    assert paths == ["fog.mp4", "fog-2.mp4", "fog-3.mp4", "fog-4.mp4"] and all(Path(path).is_file() for path in paths)
    named = [Outputs("x.mp4", ["fog"], 2, fps=2.0) for _ in range(2)]
    assert [outputs.save(0, made, 2.0, {}) for outputs in named] == ["x.mp4", "x.mp4"]
