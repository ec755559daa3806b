"""`zoetrope generate` and `zoetrope show` on a small model."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zoetrope.commands._talk import Talk
from zoetrope.video import probe, read

from .conftest import Cli


def test_a_video_of_a_prompt(cli: Cli, model: Path) -> None:
    done = cli("generate", "a red ball", "--model", model, "-o", "a.mp4", "--save-stages", "stages", "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert [file["path"] for file in told["files"]] == ["a.mp4"] and told["seed"] == 0
    file = told["files"][0]
    assert [(stage["name"], stage["steps"]) for stage in file["stages"]] == [("base", 3), ("tsr1", 2), ("ssr1", 2)]
    assert all(stage["seconds"] > 0 for stage in file["stages"])
    assert told["settings"]["base"]["guidance"] == 1.0 and told["settings"]["ssr1"]["sampler"] == {"type": "ddim"}
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
    assert [settings[name]["guidance"] for name in ("base", "tsr1", "ssr1")] == [0.5, 0.0, 0.0]


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
    assert cli("generate", "fog", "a red ball", "-o", "f_%02d.png", *words).code == 0
    assert Path("f_001-00.png").exists() and Path("f_002-03.png").exists()


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
        "from zoetrope.models.folder import locate, read_spec\n"
        f"assert main(['generate', 'a red ball', '--until', 'ssr2', '-o', {str(tmp_path / 'x.mp4')!r}]) == 0\n"
        "import torch; from zoetrope.cascade.memory import plan_layout\n"
        "for stage in read_spec(locate('mini')).stages: plan_layout(stage, 1, 8, None, torch.device('cpu'))\n"
        "slow = {'torch._dynamo', 'torch.fx.experimental.symbolic_shapes', 'torch.distributed.tensor'}\n"
        "print(*(slow & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[1:] == [""]
