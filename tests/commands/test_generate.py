"""`zoetrope generate` and `zoetrope show` on a small model."""

import json
import logging
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import zoetrope
from zoetrope.commands._talk import Talk
from zoetrope.files.store import checksum
from zoetrope.video import Video, probe, read, read_tags

from .conftest import Cli, start


def test_a_video_of_a_prompt(cli: Cli, model: Path) -> None:
    done = cli("generate", "a red ball", "--model", model, "-o", "a.mp4", "--save-stages", "stages", "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert [file["path"] for file in told["files"]] == ["a.mp4"] and told["seed"] == 0
    file = told["files"][0]
    assert [(stage["name"], stage["steps"]) for stage in file["stages"]] == [("base", 3), ("tsr1", 2), ("ssr1", 2)]
    assert all(stage["seconds"] > 0 for stage in file["stages"])
    assert told["settings"]["base"]["guidance"] == {"type": "text", "weight": 1.0}
    assert told["settings"]["ssr1"]["sampler"] == {"type": "ddim", "sample": "x_hat"}
    info = probe("a.mp4")
    assert (info.frames, info.height, info.width, info.fps) == (8, 16, 16, 4)
    assert sorted(p.name for p in Path("stages").iterdir()) == ["a-base.mp4", "a-ssr1.mp4", "a-tsr1.mp4"]
    assert file["stage_files"] == ["stages/a-base.mp4", "stages/a-tsr1.mp4", "stages/a-ssr1.mp4"]
    assert "tsr1: 8x8x8@4fps, 2 steps" in done.err and "error" not in done.err


def test_the_seed_and_the_settings_decide(cli: Cli, model: Path) -> None:
    def made(*options: str) -> np.ndarray:
        assert cli("generate", "fog", "--model", model, "--until", "base", "-o", "out/", "--quiet", *options).code == 0
        frames = read("out/").frames
        for file in Path("out").iterdir():
            file.unlink()
        Path("out").rmdir()
        return frames

    plain = made()
    assert np.array_equal(plain, made("--seed", "0"))
    for options in (
        ["--seed", "1"], ["--steps", "2"], ["--guidance", "6"], ["--sampler", "heun"], ["--negative", "a red ball"],
        ["--set", "base.sampling.steps=2"], ["--set", 'base.sampling.sampler={"type": "dpmpp_2m"}'],
    ):  # fmt: skip
        assert not np.array_equal(plain, made(*options)), options


def test_steps_and_guidance_of_every_stage(cli: Cli, model: Path) -> None:
    words = ["--model", model, "--json", "--steps", "1", "--guidance", "0.5", "--set", "ssr1.sampling.steps=2"]
    done = cli("generate", "fog", "-o", "a.webm", *words)
    settings = json.loads(done.out)["settings"]
    assert [settings[name]["steps"] for name in ("base", "tsr1", "ssr1")] == [1, 1, 2]
    assert [settings[name]["guidance"]["weight"] for name in ("base", "tsr1", "ssr1")] == [0.5, 0.0, 0.0]


def test_several_videos_are_numbered(cli: Cli, model: Path) -> None:
    Path("prompts.txt").write_text("fog\n\n  a red ball \n")
    words = ["--model", model, "--until", "base", "--steps", "1"]
    done = cli("generate", "--prompts", "prompts.txt", "a blue square", "--count", "2", "-o", "v.gif", *words, "--json")
    files = json.loads(done.out)["files"]
    assert [file["path"] for file in files] == [f"v-{n:03d}.gif" for n in range(1, 7)]
    assert [file["prompt"] for file in files] == [p for p in ("a blue square", "fog", "a red ball") for _ in range(2)]
    assert [file["sample"] for file in files] == [0, 1] * 3
    assert not np.array_equal(read("v-001.gif").frames, read("v-002.gif").frames)
    assert cli("generate", "fog", "a red ball", "-o", "many/", *words).code == 0
    assert sorted(str(p) for p in Path("many").rglob("*_0000.png")) == [f"many/00{n}/frame_0000.png" for n in (1, 2)]
    again = cli("generate", "fog", "a red ball", "-o", "many/", *words)
    assert again.code == 2 and "many/001/: already holds files; --resume goes on" in again.err
    assert cli("generate", "fog", "a red ball", "-o", "f_%02d.png", *words).code == 0
    assert Path("f_001-00.png").exists() and Path("f_002-03.png").exists()


def test_one_of_several_alone(cli: Cli, model: Path) -> None:
    words = ["fog", "--model", model, "--until", "base", "--seed", "5"]
    assert cli("generate", *words, "--count", "3", "-o", "a.gif").code == 0
    alone = cli("generate", *words, "--sample", "2", "-o", "b.gif", "--json")
    assert [file["sample"] for file in json.loads(alone.out)["files"]] == [2]
    assert np.array_equal(read("b.gif").frames, read("a-003.gif").frames)
    two = cli("generate", *words, "--sample", "2", "--sample", "0", "--sample", "2", "-o", "c.gif", "--json")
    assert [file["sample"] for file in json.loads(two.out)["files"]] == [2, 0]
    for wrong, message in ((["--sample", "-1"], "--sample: expected"), (["--sample", "1", "--count", "2"], "--count")):
        done = cli("generate", *words, *wrong)
        assert done.code == 2 and message in done.err


def test_a_file_tells_how_it_was_made(cli: Cli, model: Path) -> None:
    words = ["--model", model, "--seed", "7", "--negative", "a ball", "--sample", "1", "--save-stages", "stages"]
    done = cli("generate", "a red star", *words, "-o", "a.mp4", "--json")
    told, tags = json.loads(done.out), read_tags("a.mp4")
    assert (tags["title"], tags["seed"], tags["sample"], tags["model"]) == ("a red star", "7", "1", "tiny")
    comment = json.loads(tags["comment"])
    assert comment["settings"] == told["settings"] and comment["dtype"] == told["dtype"]
    assert (comment["prompt"], comment["negative"], comment["zoetrope"]) == (
        "a red star",
        "a ball",
        zoetrope.__version__,
    )
    assert {stage: origin["from"] for stage, origin in told["weights"].items()} == dict.fromkeys(
        ("base", "tsr1", "ssr1"), str(model)
    )
    assert all(Path(origin["file"]).is_file() for origin in told["weights"].values())
    assert comment["weights"] == {
        stage: {"from": str(model), "id": origin["id"], "sha256": checksum(Path(origin["file"]))}
        for stage, origin in told["weights"].items()
    }
    assert read_tags("stages/a-tsr1.mp4")["stage"] == "tsr1"
    again = [str(word) for word in ("--seed", comment["seed"], "--sample", comment["sample"])]
    words = ["--model", comment["weights"]["base"]["from"], "--negative", comment["negative"], *again]
    assert cli("generate", comment["prompt"], *words, "-o", "b.mp4").code == 0
    assert Path("a.mp4").read_bytes() == Path("b.mp4").read_bytes()


@pytest.mark.parametrize("out", [["-o", "v.mp4"], ["-o", "v.gif"], ["-o", "v/"], ["-o", "v_%02d.png"], []])
def test_what_is_there_already_is_not_made_again(cli: Cli, model: Path, out: list[str]) -> None:
    """As after a kill: of four videos two are there."""
    words = ["fog", "a red ball", "--model", model, "--until", "base", "--steps", "1", *out]
    assert cli("generate", *words, "--count", "2", "--resume").code == 0
    files = sorted(path for path in Path().rglob("*") if path.is_file())
    content = {path: path.read_bytes() for path in files}
    for path in files:
        if re.search(r"(^|/|v-|v_)00[34]\b", str(path)) or (not out and "ball" in str(path)):
            path.unlink()
    left = {path: path.stat().st_mtime_ns for path in files if path.exists()}
    done = cli("generate", *words, "--count", "2", "--resume", "--json")
    assert [file.get("skipped", False) for file in json.loads(done.out)["files"]] == [True, True, False, False]
    assert "2 of 4 videos are there already" in done.err
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == content
    assert all(path.stat().st_mtime_ns == before for path, before in left.items())
    again = json.loads(cli("generate", *words, "--count", "2", "--resume", "--json").out)["files"]
    assert all(file["skipped"] for file in again) and len(again) == 4


def test_going_on_after_a_kill(cli: Cli, model: Path, tmp_path: Path) -> None:
    words = ["fog", "--model", model, "--count", "5", "--set", "base.sampling.steps=40"]
    process = start("generate", *words, "-o", "v.gif", at=tmp_path)
    while not Path("v-001.gif").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    process.kill()
    process.wait()
    written = sorted(path.name for path in Path().glob("v-*.gif"))
    done = cli("generate", *words, "-o", "v.gif", "--resume", "--json")
    files = json.loads(done.out)["files"]
    assert [file["path"] for file in files if file.get("skipped")] == written and 0 < len(written) < 5
    assert cli("generate", *words, "-o", "w.gif").code == 0
    for number in range(1, 6):
        assert Path(f"v-{number:03d}.gif").read_bytes() == Path(f"w-{number:03d}.gif").read_bytes()


def test_pictures_that_are_not_all_there_are_not_taken_for_a_video(cli: Cli, model: Path) -> None:
    words = ["generate", "fog", "--model", model, "--until", "base", "--count", "2", "-o", "v/", "--resume"]
    assert cli(*words).code == 0
    Path("v/002/frame_0003.png").unlink()
    done = cli(*words)
    assert done.code == 2 and "v/002/: expected the video of 'fog' with these settings, or nothing" in done.err


@pytest.mark.parametrize(
    "changed", [["--seed", "1"], ["--steps", "2"], ["--negative", "a ball"], ["--dtype", "bf16"], ["--size", "8x16"]]
)
def test_what_was_made_otherwise_is_not_taken_for_it(cli: Cli, model: Path, changed: list[str]) -> None:
    words = ["fog", "--model", model, "--until", "base", "--steps", "1", "--dtype", "fp32"]
    assert cli("generate", *words, "-o", "v.gif", "--count", "2").code == 0
    before = Path("v-001.gif").read_bytes()
    done = cli("generate", *words, "-o", "v.gif", "--count", "2", "--resume", *changed)
    assert done.code == 2 and "v-001.gif: expected the video of 'fog' with these settings, or nothing" in done.err
    assert Path("v-001.gif").read_bytes() == before
    Path("v-001.gif").write_bytes(b"x")
    done = cli("generate", *words, "-o", "v.gif", "--count", "2", "--resume")
    assert done.code == 2 and "v-001.gif: expected the video of 'fog'" in done.err
    Video(np.zeros((4, 8, 8, 3), np.uint8), 2).save("v-001.gif", tags={"comment": "[" * 50_000})
    done = cli("generate", *words, "-o", "v.gif", "--count", "2", "--resume")
    assert done.code == 2 and "v-001.gif: expected the video of 'fog'" in done.err


def test_weights_of_other_content_are_not_taken_for_these(cli: Cli, model: Path) -> None:
    shutil.copytree(model, "own")
    words = [
        "generate",
        "fog",
        "--model",
        "own",
        "--until",
        "base",
        "--steps",
        "1",
        "-o",
        "v.gif",
        "--resume",
        "--json",
    ]
    assert cli(*words).code == 0 and json.loads(cli(*words).out)["files"][0]["skipped"]
    file = Path("own/base/model.safetensors")
    save_file({name: value.clone() * 1.5 for name, value in load_file(file).items()}, file)
    assert cli(*words).code == 2


def test_another_size_length_and_rate(cli: Cli, model: Path) -> None:
    words = ["generate", "fog", "--model", model, "--steps", "1", "-o", "a.mp4"]
    done = cli(*words, "--size", "16x8", "--frames", "6", "--fps", "1", "--json")
    info = probe("a.mp4")
    assert (info.frames, info.height, info.width, info.fps) == (12, 32, 16, 2)
    assert json.loads(done.out)["settings"]["tsr1"]["shape"] == "12x16x8@2fps"
    assert "warning: 6 frames instead of 4, 16 pixels high instead of 8, 1 frames a second instead of 2" in done.err
    heights = {"base.shape": 12, "tsr1.source": 12, "tsr1.shape": 12, "ssr1.source": 12, "ssr1.shape": 24}
    sets = [f"{grid}.height={height}" for grid, height in heights.items()]
    done = cli(*words, *(word for item in sets for word in ("--set", item)))
    assert done.code == 0 and probe("a.mp4").height == 24 and "12 pixels high instead of 8" in done.err
    assert "pixels" not in cli(*words, "--size", "8x9").err  # near enough to what it was trained for
    for wrong, message in (
        (["--size", "16"], "--size: expected HEIGHTxWIDTH in pixels, such as 24x40, got '16'"),
        (["--size", "0x8"], "--size: expected HEIGHTxWIDTH"),
        (["--frames", "0"], "--frames: expected a finite number of 1 or more, got 0"),
        (["--fps", "0"], "--fps: expected a positive number, got 0"),
        (["--fps", "nan"], "--fps: expected a positive number, got nan"),
    ):
        done = cli(*words, *wrong)
        assert done.code == 2 and message in done.err
    done = cli("generate", "fog", "--until", "base", "--size", "25x40", "-o", "a.mp4")
    assert done.code == 2 and "expected a multiple of 4, got 25; the nearest that all stages can is 24x40" in done.err


def test_which_run_ran_is_told_whatever_the_order(cli: Cli, model: Path, recipe: Path) -> None:
    sets = ['base.training.phases=[{"examples": 8, "batch": 4}]', "name=mine", "cascade.name=mine"]
    words = [word for item in sets for word in ("--set", item)]
    assert cli("train", recipe, "--stage", "base", "--out", "mine", "--quiet", *words).code == 0
    made = []
    for order in (["mine", model], [model, "mine"]):
        options = [word for name in order for word in ("--model", name)]
        done = cli("generate", "fog", *options, "--until", "base", "-o", "a.gif", "--json")
        told = json.loads(done.out)
        made.append((told["model"], told["weights"]["base"]["from"], read("a.gif").frames.tobytes()))
    assert made[0] == made[1] and made[0][:2] == ("mine + tiny", "mine")
    assert "checkpoints" in told["weights"]["base"]["file"]
    assert cli("generate", "fog", "--model", "mine", "-o", "b.gif").code == 0
    assert np.array_equal(read("b.gif").frames, read("a.gif").frames)


def test_comments_in_a_file_of_prompts(cli: Cli, model: Path) -> None:
    Path("prompts.txt").write_text(
        "# of today\nfog\u2028and rain\r\n  # indented\n\\#1 on a wall\n\na # within\n", "utf-8"
    )
    done = cli("generate", "--prompts", "prompts.txt", "--model", model, "--until", "base", "-o", "v.gif", "--json")
    prompts = [file["prompt"] for file in json.loads(done.out)["files"]]
    assert prompts == ["fog\u2028and rain", "#1 on a wall", "a # within"]
    Path("prompts.txt").write_text("# nothing else\n")
    assert "prompts.txt: holds no prompt" in cli("generate", "--prompts", "prompts.txt", "--model", model).err


def test_tildes(cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    shutil.copytree(model, home / "tiny")
    (home / "prompts.txt").write_text("fog\n")
    words = ["--model", "~/tiny", "--prompts", "~/prompts.txt", "--save-stages", "~/stages", "--until", "base"]
    assert cli("generate", *words, "-o", "~/in/").code == 0
    assert (home / "in/frame_0000.png").is_file() and (home / "stages/in-base.mp4").is_file()
    assert cli("generate", "fog", "--model", "~/tiny", "--from", "~/in/", "-o", "~/a.mp4").code == 0
    assert (home / "a.mp4").is_file() and not Path("~").exists()


def test_files_of_stages_never_replace_others(cli: Cli, model: Path) -> None:
    words = ["--model", model, "--steps", "1", "--until", "tsr1", "--save-stages", "."]
    done = cli("generate", "fog", "fog base", *words)
    assert done.code == 2 and "--save-stages .: fog-base.mp4 would be written twice" in done.err
    done = cli("generate", "fog", *words, "-o", "x/a.mp4", "--save-stages", ".")
    assert done.code == 2 and list(Path().iterdir()) == []


def test_colours_are_told_in_json_alone(cli: Cli, model: Path) -> None:
    done = cli("generate", "fog", "--model", model, "-o", "a.mp4", "--json")
    lines = [line for line in done.err.splitlines() if "colours" in line]
    assert all("drift" in line for line in lines)
    assert all("input_mean" in stage["colour"] for stage in json.loads(done.out)["files"][0]["stages"][1:])


def test_a_name_from_the_prompt_never_replaces_a_file(cli: Cli, model: Path) -> None:
    words = ["--model", model, "--until", "base", "--steps", "1"]
    assert cli("generate", "A red ball, rolling!", *words).out == "a-red-ball-rolling.mp4\n"
    assert cli("generate", "A red ball, rolling!", *words, "--quiet") == (0, "", "")
    assert sorted(p.name for p in Path().iterdir()) == ["a-red-ball-rolling-2.mp4", "a-red-ball-rolling.mp4"]


def test_the_words_that_are_cut_are_named(cli: Cli, model: Path) -> None:
    words = ["--model", model, "--until", "base", "--steps", "1", "--quiet"]
    text = "fog " * 40 + "zebra"
    done = cli("generate", text, "-o", "a.gif", *words)
    assert done.code == 0 and done.err.startswith("warning: the text encoder reads 32 tokens of a prompt")
    assert done.err.rstrip().endswith('fog zebra"') and done.err.count("\n") == 1


def test_show(cli: Cli, model: Path, recipe: Path) -> None:
    done = cli("show", model)
    assert done.code == 0 and "For tests." in done.out
    line = next(line for line in done.out.splitlines() if line.startswith("tsr1"))
    assert "8x8x8@4fps" in line and "ddim 2 steps" in line and "MB" in line
    told = json.loads(cli("show", model, "--json").out)
    assert told["bytes"]["base"] == (model / "base" / "model.safetensors").stat().st_size
    assert 1000 < told["parameters"]["base"] < 100_000
    assert json.loads(cli("show", recipe, "--json").out) == json.loads(recipe.read_text())


def test_every_shipped_recipe_shows_itself_whole(cli: Cli) -> None:
    from zoetrope import recipes

    for name in recipes.names():
        Path("recipe.json").write_text(cli("show", name, "--json").out)
        assert recipes.load_recipe("recipe.json") == recipes.load_recipe(name)


def test_doctor(cli: Cli) -> None:
    done = cli("doctor", "--json")
    told = json.loads(done.out)
    assert done.code == 0 and told["problems"] == [] and told["writes"]["mp4"] == "libx264"
    assert told["versions"]["torch"] and told["machine"]["cores"] >= 1
    assert "bf16" in cli("doctor").out


@pytest.mark.parametrize(
    ("quiet", "told"), [(False, "part: 1/2 half\n[log] news\n[log] beware\n"), (True, "[log] beware\n")]
)
def test_quiet_still_warns(capfd: pytest.CaptureFixture[str], quiet: bool, told: str) -> None:
    with Talk(json=False, quiet=quiet).bars() as bars:
        bars.begin("part", 2)
        bars.advance(1, "half")
        logging.getLogger("zoetrope.some.where").info("[log] news")
        logging.getLogger("zoetrope.some.where").warning("[log] beware")
    assert capfd.readouterr() == ("", told)


@pytest.mark.parametrize("first", ["import zoetrope", "from zoetrope.__main__ import main; main(['--help'])"])
def test_light_to_import(first: str) -> None:
    check = f"import sys\n{first}\nassert not {{'torch', 'transformers', 'av'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL)


def test_importing_costs_no_more_than_it_must(tmp_path: Path) -> None:
    """Of PyTorch, what takes seconds to import is for compiling and for many machines."""
    script = (
        "import sys; from zoetrope.__main__ import main\n"
        "from zoetrope.models.finding import locate\nfrom zoetrope.models.folder import read_spec\n"
        f"assert main(['generate', 'a red ball', '--until', 'ssr2', '-o', {str(tmp_path / 'x.mp4')!r}]) == 0\n"
        "import torch; from zoetrope.cascade.execution.layout import plan_layout\n"
        "for stage in read_spec(locate('mini')).stages: plan_layout(stage, 1, 8, None, torch.device('cpu'))\n"
        "slow = {'torch._dynamo', 'torch.fx.experimental.symbolic_shapes', 'torch.distributed.tensor'}\n"
        "print(*(slow & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[1:] == [""]
