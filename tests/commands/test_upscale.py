"""`zoetrope upscale`, and `zoetrope generate --from`: videos of one's own through the stages that fit them."""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import numbered
from zoetrope import Cascade
from zoetrope.cascade.colour import Tone
from zoetrope.video import Video, open_writer, probe, read, read_tags

from .conftest import Cli, Done, start


def film(path: str, frames: int = 8, height: int = 8, width: int = 8, fps: float = 4, still: bool = False) -> str:
    pictures = np.zeros((frames, height, width, 3), np.uint8)
    for k in range(frames):
        pictures[k, 2:6, (0 if still else k % width) :, k * (not still) % 3] = 200
    Video(pictures, fps).save(path)
    return path


def test_a_film_of_the_right_shape(cli: Cli, model: Path) -> None:
    film("in/")
    done = cli("upscale", "in/", "-o", "out/", "--model", model, "--save-stages", "stages", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    [file] = told["files"]
    assert (file["path"], file["caption"], file["stretches"]) == ("out/", None, 1)
    assert (file["frames"], file["height"], file["width"], file["fps"]) == (8, 16, 16, 4)
    [stage] = file["stages"]
    assert (stage["name"], stage["steps"]) == ("ssr1", 2) and stage["seconds"] > 0
    for which, video in (("input", read("in/")), ("output", read("out/"))):
        tone = Tone.of(video.to_tensor())
        assert stage["colour"][f"{which}_mean"] == pytest.approx(tone.mean, abs=0.002)
        assert stage["colour"][f"{which}_std"] == pytest.approx(tone.std, abs=0.002)
    shift = np.subtract(stage["colour"]["output_mean"], stage["colour"]["input_mean"])
    assert stage["colour"]["mean_shift"] == pytest.approx(shift, abs=2e-5)
    assert told["from"]["after"] == "tsr1" and told["from"]["fit"] == "exact" and told["from"]["frames"] == 8
    assert list(told["settings"]) == ["ssr1"] and told["model"] == "tiny"
    assert file["stage_files"] == ["stages/out-ssr1.mp4"] and probe("stages/out-ssr1.mp4").frames == 8
    assert "in/: 8x8x8@4fps, becomes 16x16@4fps by ssr1" in done.err and "ssr1: " in done.err


def made(cli: Cli, *words: str | Path) -> np.ndarray:
    done = cli("upscale", *words, "-o", "made/", "--quiet")
    assert done.code == 0, done.err
    frames = read("made/").frames
    shutil.rmtree("made")
    return frames


def test_the_caption_the_seed_and_the_settings_decide(cli: Cli, model: Path) -> None:
    words = [film("in/"), "--model", model]
    plain = made(cli, *words)
    assert np.array_equal(plain, made(cli, *words, "--seed", "0"))
    for options in (
        ["--caption", "fog"], ["--seed", "1"], ["--steps", "3"], ["--sampler", "heun"],
        ["--set", "ssr1.sampling.steps=1"], ["--after", "base"], ["--after", "base", "--add-frames"],
    ):  # fmt: skip
        assert not np.array_equal(plain, made(cli, *words, *options)), options


def test_without_a_caption_nothing_is_guided(cli: Cli, model: Path) -> None:
    words = [film("in/"), "--model", model, "--set", "ssr1.sampling.guidance=3", "-o", "a.mp4", "--json"]
    assert json.loads(cli("upscale", *words).out)["settings"]["ssr1"]["guidance"]["weight"] == 0
    told = json.loads(cli("upscale", *words, "--caption", "fog").out)
    assert told["settings"]["ssr1"]["guidance"]["weight"] == 3 and told["files"][0]["caption"] == "fog"


def test_clip_after_clip(cli: Cli, model: Path) -> None:
    """Each as if it were alone, without what fills the last one up; a still film stays the same from clip to clip."""
    words = ["--model", model, "--after", "base", "--until", "tsr1"]
    pictures = read(film("in/", frames=10, fps=2)).frames
    whole = made(cli, "in/", *words)
    assert whole.shape == (20, 8, 8, 3)
    for first in (0, 4):
        Video(pictures[first : first + 4], 2).save(f"part{first}/")
        assert np.array_equal(whole[2 * first : 2 * first + 8], made(cli, f"part{first}/", *words))
    Video(pictures[[8, 9, 9, 9]], 2).save("end/")
    assert np.array_equal(whole[16:], made(cli, "end/", *words)[:4])
    still = made(cli, film("still/", frames=8, fps=2, still=True), *words)
    assert np.array_equal(still[:8], still[8:])
    done = cli("upscale", "in/", *words, "-o", "a.mp4", "--json", "--save-stages", "stages")
    [file] = json.loads(done.out)["files"]
    assert (file["stretches"], file["frames"]) == (3, 20) and probe("stages/a-tsr1.mp4").frames == 20 == probe(
        "a.mp4"
    ).frames
    padded = Video(np.concatenate([pictures, pictures[[9, 9]]]), 2)
    assert file["stages"][0]["colour"]["input_std"] == pytest.approx(Tone.of(padded.to_tensor()).std, abs=1e-4)
    assert "3/3 tsr1: 8x8x8@4fps" in done.err


def test_a_film_of_any_shape(cli: Cli, model: Path) -> None:
    """Its length and rate are its own, whatever those of the stages are; so is its size, if nothing is cropped."""
    film("camera.mp4", frames=90, height=36, width=64, fps=30)
    told = json.loads(cli("upscale", "camera.mp4", "--model", model, "--fit", "crop", "--json").out)
    assert told["from"]["read"] == {"height": 8, "width": 8, "fps": 30} and told["from"]["fit"] == "crop"
    assert told["files"][0]["path"] == "camera-upscaled.mp4"
    for fit, options, grid in (
        ("crop", [], (90, 16, 16, 30)),
        ("own", [], (90, 72, 128, 30)),
        ("own", ["--after", "base", "--add-frames"], (180, 72, 128, 60)),
    ):
        done = cli("upscale", "camera.mp4", "--model", model, "--fit", fit, "-o", "camera-upscaled.mp4", *options)
        info = probe("camera-upscaled.mp4")
        assert done.code == 0 and (info.frames, info.height, info.width, info.fps) == grid, (fit, options, done)


def test_the_sound_goes_along(cli: Cli, model: Path, sound: Path) -> None:
    with open_writer("in.mp4", 4, 8, 8, sound_of=sound) as writer:
        writer.write(numbered(8, 8, 8))
    assert probe("in.mp4").sound
    assert cli("upscale", "in.mp4", "--model", model, "-o", "out.mp4", "--save-stages", "stages").code == 0
    assert probe("out.mp4").sound and probe("out.mp4").frames == 8
    done = cli("upscale", "in.mp4", "--model", model, "-o", "out.gif")
    assert done.code == 0 and "warning: out.gif: " in done.err and "sound" in done.err


def test_the_file_tells_how_it_was_made(cli: Cli, model: Path) -> None:
    assert cli("upscale", film("in/"), "--model", model, "-o", "out.mp4", "--seed", "3", "--caption", "fog").code == 0
    tags = read_tags("out.mp4")
    assert (tags["title"], tags["seed"], tags["model"]) == ("fog", "3", "tiny")
    assert json.loads(tags["comment"])["upscaled"] == "in"


def test_compared_with_plain_enlarging(cli: Cli, model: Path) -> None:
    """Random weights are worse than any plain way, which is told before anything is written."""
    words = ["upscale", film("in/"), "--model", model, "-o", "out.mp4", "--json"]
    done = cli(*words)
    [file] = json.loads(done.out)["files"]
    found = file["compared"]
    assert found["stage"] == "ssr1" and found["way"] in ("bilinear", "bicubic") and found["psnr"] < found["plain"]
    assert "interpolation comes nearer to this video than tiny" in done.err
    done = cli(*words, "--no-compare")
    assert "compared" not in json.loads(done.out)["files"][0] and "interpolation" not in done.err
    done = cli("upscale", film("odd/", height=9), "--model", model, "--fit", "own", "-o", "odd.mp4", "--json")
    assert json.loads(done.out)["files"][0]["compared"] is None
    assert "not compared with plain enlarging: height: expected a multiple of 2" in done.err


def test_what_the_weights_have_seen_is_told(cli: Cli, model: Path) -> None:
    other = Path("other")
    shutil.copytree(model, other)
    told = json.loads((other / "cascade.json").read_text())
    (other / "cascade.json").write_text(json.dumps({**told, "trained_on": "drawings of houses"}))
    done = cli("upscale", film("in/"), "--model", other, "-o", "out.mp4")
    assert done.code == 0 and "tiny was trained on drawings of houses, and on nothing else" in done.err
    assert "was trained on" not in cli("upscale", "in/", "--model", model, "-o", "out.mp4").err


def test_generate_from_a_video(cli: Cli, model: Path) -> None:
    words = ["generate", "fog", "a red ball", "--model", model, "-o", "out.gif", "--json"]
    film("in/", frames=4, fps=2)
    done = cli(*words, "--from", "in/", "--save-stages", "stages")
    told = json.loads(done.out)
    assert done.code == 0 and [file["path"] for file in told["files"]] == ["out-001.gif", "out-002.gif"]
    assert told["from"]["after"] == "base" and list(told["settings"]) == ["tsr1", "ssr1"]
    for file in told["files"]:
        assert [stage["name"] for stage in file["stages"]] == ["tsr1", "ssr1"] and (file["frames"], file["width"]) == (
            8,
            16,
        )
        first, second = (stage["colour"] for stage in file["stages"])
        assert first["input_mean"] == pytest.approx(Tone.of(read("in/").to_tensor()).mean, abs=1e-4)
        assert first["output_mean"] == second["input_mean"] and len(file["stage_files"]) == 2
    told = json.loads(cli(*words, "--from", "in/", "--until", "tsr1").out)
    assert [stage["name"] for stage in told["files"][0]["stages"]] == ["tsr1"] and told["files"][0]["width"] == 8
    told = json.loads(cli("generate", "fog", "--model", model, "-o", "a.gif", "--json").out)
    assert "from" not in told and ["colour" in stage for stage in told["files"][0]["stages"]] == [False, True, True]


def refused(done: Done, *messages: str) -> None:
    """One line on stderr that says these things, nothing on stdout, exit status 2."""
    assert done.code == 2 and done.out == "" and done.err.startswith("error: ") and done.err.count("\n") == 1, done
    for message in messages:
        assert message in done.err, done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--caption", " "], "--caption: expected some text, got only blanks"),
        (["--caption", ""], "--caption: expected a value, got an empty string"),
        (["--until", "base"], "tiny: no stage that adds pixels is left to run: the last is 'base'"),
        (["--after", "base", "--until", "base"], "is left to run after 'base': the last is 'base'"),
        (["--until", "tsr2"], "unknown stage 'tsr2'; did you mean 'tsr1'?"),
        (["--after", "ssr1"], "no stage that adds pixels is left to run after 'ssr1': the last is 'ssr1'"),
        (["--after", "tsr"], "unknown stage 'tsr'; did you mean 'tsr1'?"),
        (["--fit", "stretch"], "unknown fit 'stretch'; known: crop, exact, own"),
        (["--set", "ssr9.sampling.steps=1"], "unknown stage 'ssr9'; did you mean 'ssr1'?"),
        (["--steps", "0"], "--steps: expected a finite number of 1 or more, got 0"),
        (["--device", "cuda:77"], "--device: unknown device 'cuda:77'"),
        (["-o", "no/a.mp4"], "no/a.mp4: the folder 'no' does not exist"),
        (["-o", "in.mp4"], "in.mp4: expected another name than that of what is read"),
        (["-o", "a.png"], "a.png: one .png holds one picture, not 8"),
        (
            ["-o", "a.mp4", "--save-stages", "in.mp4"],
            "--save-stages in.mp4: expected a folder or a new name, got a file",
        ),
    ],
)
def test_what_upscale_refuses(cli: Cli, model: Path, words: list[str], message: str) -> None:
    film("in.mp4")
    refused(cli("upscale", "in.mp4", "--model", model, *words), message)
    assert [path.name for path in Path().iterdir()] == ["in.mp4"]


def test_shapes_that_no_stage_accepts(cli: Cli, model: Path) -> None:
    film("in.mp4", frames=10, height=10, width=16, fps=5)
    done = cli("upscale", "in.mp4", "--model", model, "-o", "a.mp4")
    refused(
        done, "in.mp4: expected a size of 8x8 (what base and tsr1 make), got 10x16; --fit crop resizes and crops it"
    )
    refused(done, "to 8x8, --fit own enlarges it as it is")
    film("slow.mp4", fps=1)
    assert cli("upscale", "slow.mp4", "--model", model, "-o", "a.mp4").code == 0 and probe("a.mp4").fps == 1
    words = ["generate", "fog", "--model", model, "-o", "a.mp4", "--from"]
    refused(cli(*words, "in.mp4"), "expected 4x8x8@2fps (what base makes), or 8x8x8@4fps (what tsr1 makes), got 10x10")
    film("long.mp4", frames=12)
    refused(
        cli(*words, "long.mp4"), "got 12x8x8@4fps; the nearest is 8x8x8@4fps; the fit 'crop' takes it cut to 2.00 s"
    )
    assert cli(*words, "long.mp4", "--fit", "crop", "--quiet").code == 0 and probe("a.mp4").frames == 8
    refused(
        cli("generate", "fog", "--model", model, "--after", "tsr1"), "--after: expected a video", "give --from VIDEO"
    )
    refused(cli("generate", "fog", "--model", model, "--fit", "crop"), "--fit: expected a video", "give --from VIDEO")
    refused(cli(*words, "long.mp4", "--fit", "crop", "--guidance", "2"), "--set ssr1.sampling.guidance=2 does it")


def test_files_that_cannot_be_read(cli: Cli, model: Path, sound: Path, no_pictures: Path) -> None:
    Path("empty.mp4").write_bytes(b"")
    Path("text.mp4").write_text("I am no film")
    film("whole.mp4", frames=8)
    Path("cut.mp4").write_bytes(Path("whole.mp4").read_bytes()[:300])
    Video(np.zeros((1, 8, 8, 3), np.uint8), 1).save("one.png")
    reasons = {
        "gone.mp4": "there is no such file", "empty.mp4": "is empty", "text.mp4": "not a media file", "cut.mp4": "",
        "one.png": "expected a video, got one picture", str(sound): "has no video",
        str(no_pictures): "holds no pictures",
    }  # fmt: skip
    for name, reason in reasons.items():
        refused(cli("upscale", name, "--model", model, "-o", "a.mp4"), f"{name}: ", reason)
        refused(cli("generate", "fog", "--from", name, "--model", model, "-o", "a.mp4"), f"{name}: ", reason)
    assert not Path("a.mp4").exists()


@pytest.mark.shared
def test_broken_media(cli: Cli, model: Path, shared: Path) -> None:
    """Every file is upscaled or refused in one line, and one that decodes in part is upscaled in part."""
    folder = shared / "data" / "stress" / "generated"
    words = ["--model", model, "--fit", "crop", "--until", "tsr1", "--steps", "1", "-o", "a.mp4"]
    for name in ("empty.mp4", "zero_frames.avi", "truncated_no_moov.mp4", "huge_header_65535x65535.gif"):
        refused(cli("upscale", folder / name, *words), name)
    for name in ("one_frame.mp4", "two_frames.mp4", "vfr_15_to_60fps.mkv", "starts_at_5s.mp4"):
        done = cli("upscale", folder / name, *words)
        assert done.code == 0 and probe("a.mp4").frames == 2 * probe(folder / name).frames, (name, done)
    done = cli("upscale", folder / "bitflips_late.mp4", *words)
    assert done.code == 0 and "bitflips_late.mp4: can be decoded up to frame 33 of 48" in done.err
    assert probe("a.mp4").frames == 66
    done = cli("generate", "fog", "--from", folder / "bitflips_late.mp4", *words)
    refused(done, "bitflips_late.mp4: damaged, decodes to 1.50 s of 2.00 s")


def test_text_and_no_text_in_one_batch(model: Path) -> None:
    """No text is the null prompt, whatever the other prompts of the batch say."""
    cascade = Cascade.from_pretrained(model)

    def made(*prompts: str | None) -> torch.Tensor:
        *_, last = cascade.stream(prompts, until="base")
        return last.x_hat

    both, fog, nothing = made("fog and a red ball", None), made("fog and a red ball"), made(None)
    torch.testing.assert_close(both, torch.cat([fog, nothing]), rtol=0, atol=1e-4)
    assert not torch.allclose(fog, nothing, atol=1e-2)


def test_ctrl_c_while_upscaling(model: Path, tmp_path: Path) -> None:
    words: list[str | Path] = [film(f"{tmp_path}/in.mp4", frames=12, fps=2), "--model", model, "-o", "a.mp4"]
    process = start(
        "upscale", *words, "--add-frames", "--set", "ssr1.sampling.steps=20000", "--save-stages", "s", at=tmp_path
    )
    assert process.stderr is not None
    while not process.stderr.readline().startswith("1/3 tsr1: "):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out) == (130, "") and err.endswith("interrupted: nothing was written\n")
    assert [path.name for path in tmp_path.rglob("*.mp4")] == ["in.mp4"]
