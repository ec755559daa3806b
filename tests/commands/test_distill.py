"""`zoetrope distill` from a run and from a model, generating with the result, going on after a kill, and refusals."""

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from zoetrope.models.cascade import Cascade
from zoetrope.models.runs import read_run

from .conftest import Cli, start

ROUND = {"examples": 8, "batch": 4, "peak": 1e-4}
ROUNDS = [
    word
    for name in ("guidance", "halving", "last")
    for word in ("--set", f"base.distillation.{name}={json.dumps(ROUND)}")
]
TO_TWO = ["--start", "8", "--steps", "2", "--weights", "0", "4"]


@pytest.fixture
def run(cli: Cli, recipe: Path) -> Path:
    """A short training of the base."""
    words = ["--set", 'base.training.phases=[{"examples": 4, "batch": 4}]', "--quiet"]
    assert cli("train", recipe, "--stage", "base", "--out", "run", *words) == (0, "", "")
    return Path("run")


def test_from_a_run_to_a_video(cli: Cli, run: Path, model: Path) -> None:
    done = cli("distill", run, "--out", "out", *TO_TWO, *ROUNDS, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert [part["name"] for part in told["rounds"]] == ["guided", "steps-4", "steps-2"]
    assert all(part["examples"] == 8 and Path(part["run"]).is_dir() for part in told["rounds"])
    assert "base in 2 steps of ddim" in done.err

    made = cli("generate", "fog", "--model", "out", "-o", "a.mp4", "--json")
    assert made.code == 0 and json.loads(made.out)["settings"]["base"]["steps"] == 2, made.err
    assert cli("generate", "fog", "--model", "out/steps-4", "-o", "b.mp4").code == 0
    assert cli("generate", "fog", "--model", "out/guided", "--steps", "5", "-o", "c.mp4").code == 0
    original = cli("generate", "fog", "--model", "out", "--teacher", "--steps", "5", "-o", "d.mp4", "--json")
    assert json.loads(original.out)["settings"]["base"]["steps"] == 5
    mixed = cli("generate", "fog", "--model", model, "--model", "out", "-o", "e.mp4", "--json")
    steps = [stage["steps"] for stage in json.loads(mixed.out)["files"][0]["stages"]]
    assert steps == [2, 2, 2], mixed.err
    assert json.loads(cli("show", "out", "--json").out)["stage"] == "base"

    def refused(message: str, *words: str) -> None:
        got = cli("generate", "fog", "--model", "out", "-o", "f.mp4", *words)
        assert got.code == 2 and message in got.err and not Path("f.mp4").exists(), got

    refused("expected 2 steps of ddim, which it was distilled for, got 8 of ddim", "--steps", "8")
    refused("expected 2 steps of ddim, which it was distilled for, got 2 of heun", "--sampler", "heun")
    refused("guidance: expected a weight from 0 to 4, which it was distilled for, got 6", "--guidance", "6")
    refused("is distilled, without negative prompts; use --teacher", "--negative", "rain")

    again = cli("distill", run, "--out", "out", *TO_TWO, *ROUNDS)
    assert "out: already holds a distillation; go on with it by --resume" in again.err
    further = cli("distill", "out", "--out", "one", "--steps", "1", "--json")  # rounds as long as those before
    [part] = json.loads(further.out)["rounds"]
    assert (part["name"], part["examples"]) == ("steps-1", 8), further.err
    made = cli("generate", "fog", "--model", "one", "--teacher", "--steps", "5", "-o", "g.mp4", "--json")
    assert json.loads(made.out)["settings"]["base"] == json.loads(original.out)["settings"]["base"], made.err
    assert Path("one/first.safetensors").read_bytes() == Path("out/teacher.safetensors").read_bytes()


def test_training_goes_on_from_the_original_of_what_was_distilled(cli: Cli, run: Path, recipe: Path) -> None:
    assert cli("distill", run, "--out", "out", *TO_TWO, *ROUNDS, "--quiet").code == 0
    Cascade.from_pretrained("out").save_pretrained("saved", teacher_dtype=torch.int8)
    still = ["--set", 'base.training.phases=[{"examples": 4, "batch": 4, "peak": 1e-9}]', "--quiet"]
    for number, source in enumerate(("out", "out/steps-4", "saved")):
        done = cli("train", recipe, "--stage", "base", "--out", f"tuned-{number}", "--init", source, *still)
        assert done.code == 0, done.err
    exact, same, near = (load_file(read_run(Path(f"tuned-{number}")).average_file()) for number in range(3))
    taught = load_file("out/teacher.safetensors")
    for name, weights in taught.items():
        torch.testing.assert_close(exact[name], weights, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(same[name], weights, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(near[name], weights, rtol=0.01, atol=0.01 * float(weights.abs().max()) + 1e-7)


def test_from_a_model(cli: Cli, model: Path, films: Path) -> None:
    rounds = [word.replace("base.", "tsr1.") for word in ROUNDS]
    words = ["--stage", "tsr1", "--sampler", "stochastic", "--start", "2", "--steps", "2", "--data", films, *rounds]
    done = cli("distill", model, "--out", "out", *words, "--json")
    assert done.code == 0, done.err
    assert [part["name"] for part in json.loads(done.out)["rounds"]] == ["steps-2"]
    made = cli("generate", "fog", "--model", model, "--model", "out", "--until", "tsr1", "-o", "a.mp4", "--json")
    assert json.loads(made.out)["settings"]["tsr1"]["sampler"] == {"type": "stochastic"}, made.err
    alone = cli("generate", "fog", "--model", "out")
    assert "stage 'tsr1' needs a video of 4x8x8@2fps" in alone.err
    unknown = cli("distill", model, "--stage", "tsr1", "--out", "other")
    assert "--data: expected a folder to learn from" in unknown.err and not Path("other").exists()


def test_killed_and_resumed_is_bitwise_the_same(
    cli: Cli, run: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    long = [word.replace('"examples": 8', '"examples": 96') for word in ROUNDS]
    threads = torch.get_num_threads()
    request.addfinalizer(lambda: torch.set_num_threads(threads))
    torch.set_num_threads(1)  # as the process that is killed: another number of threads sums in another order
    assert cli("distill", run, "--out", "whole", *TO_TWO, *long, "--quiet") == (0, "", "")
    process = start("distill", "run", "--out", "parts", *TO_TWO, *long, at=tmp_path)
    while not list(tmp_path.glob("parts/steps-4/checkpoints/0*")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL and not Path("parts/steps-2").exists()
    assert cli("distill", "--out", "parts", "--resume", "--quiet") == (0, "", "")
    names = [path.relative_to("whole") for path in sorted(Path("whole").glob("*/checkpoints/*/*.safetensors"))]
    assert len(names) >= 12
    assert [name for name in names if (Path("whole") / name).read_bytes() != (Path("parts") / name).read_bytes()] == []


def test_a_recipe_without_averaged_weights(cli: Cli, run: Path) -> None:
    shutil.copytree(run, "bare")
    (next(Path("bare/checkpoints").iterdir()) / "average.safetensors").unlink()
    done = cli("distill", "bare", "--out", "out")
    assert done.code == 2 and "expected the moving average (EMA) of the weights" in done.err
    assert done.err.count("\n") == 1 and not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "256"], "base.steps: expected fewer steps than the teacher's 128, got 256 of ddim"),
        (["--steps", "3"], "128 steps of the teacher halve to 64, 32, 16, 8, 4, 2, 1 of ddim, got 3"),
        (["--weights", "2", "4"], "expected a range with 1 in it, the guidance that the stage is sampled with"),
        (["--sampler", "heun"], "sampler: expected 'ddim' or 'stochastic'"),
        (["--stage", "tsr1"], "run: is a run of stage 'base', not of 'tsr1'"),
        (["--set", "base.prediction=eps"], "expected a network that predicts v, x or flow, got one that predicts eps"),
        (["--set", "base.distillation.stepz=4"], "unknown field 'stepz'; did you mean 'steps'?"),
        (["--resume"], "--resume: goes on as the distillation was begun"),
        (["--data", "nowhere"], "nowhere: expected a folder"),
    ],
)
def test_refusals(cli: Cli, run: Path, words: list[str], message: str) -> None:
    done = cli("distill", run, "--out", "out", *words)
    assert done.code == 2 and message in done.err, done
    assert done.err.count("\n") == 1 and not Path("out").exists()


def test_data_of_later_rounds_are_expected_before_the_first(cli: Cli, run: Path) -> None:
    late = ["--set", f"base.distillation.last={json.dumps(ROUND | {'rates': [0.01]})}"]
    done = cli("distill", run, "--out", "out", *TO_TWO, *ROUNDS, *late)
    assert done.code == 2 and "no clip has 4 frames at 0.01 fps" in done.err and not Path("out").exists(), done


def test_more_refusals(cli: Cli, model: Path) -> None:
    def says(*words: Any) -> str:
        return cli("distill", *words).err

    assert "expected a run or a model to distil, or --resume" in says("--out", "out")
    assert "out: there is no distillation to resume" in says("--out", "out", "--resume")
    assert "--stage: expected one of base, tsr1, ssr1" in says(model, "--out", "out")
    assert "unknown stage 'bas'; did you mean 'base'?" in says(model, "--stage", "bas", "--out", "out")
    Path("full").mkdir()
    Path("full/thesis.tex").write_text("")
    assert "no stage is distilled" in cli("generate", "fog", "--model", model, "--teacher").err
