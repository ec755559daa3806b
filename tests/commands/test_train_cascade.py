"""`zoetrope train` without a stage: all stages one after another, gone on with, tracked, and used as one model."""

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from zoetrope.__main__ import main
from zoetrope.models.cascade import Cascade
from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.video import probe

from .conftest import Cli, start
from .test_distill import ROUNDS, TO_TWO
from .test_train import appears, metrics, short

BOTH = [*short("base", 8), *short("tsr1", 8), "--set", "base.training.sample_every=0", "--set",
        "tsr1.training.sample_every=0"]  # fmt: skip


def weights(run: str) -> bytes:
    return (find_checkpoints(Path(run) / "checkpoints")[-1] / "average.safetensors").read_bytes()


def test_all_stages_and_what_they_make(cli: Cli, recipe: Path, model: Path) -> None:
    half_lives = ["--set", "base.training.half_life=[4,100]", "--set", "tsr1.training.half_life=[4,100]"]
    done = cli("train", recipe, "--out", "runs", *BOTH, *half_lives, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["runs"] == "runs"
    assert [(one["stage"], one["run"], one["examples"]) for one in told["stages"]] == [
        ("base", "runs/base", 8), ("tsr1", "runs/tsr1", 8),
    ]  # fmt: skip

    # As one model: on the command line and in Python, with either average.
    assert cli("generate", "fog", "--model", "runs", "-o", "a.mp4").code == 0
    shown = cli("show", "runs").out
    assert all(f"a run of stage {stage} of" in shown for stage in ("base", "tsr1")) and "loss 0" in shown, shown
    assert [run["stage"] for run in json.loads(cli("show", "runs", "--json").out)["runs"]] == ["base", "tsr1"]
    assert (probe("a.mp4").frames, probe("a.mp4").fps) == (8, 4)
    found = Cascade.from_pretrained("runs")
    assert [stage.name for stage in found.spec.stages] == ["base", "tsr1"]
    slow = next(Path("runs/base/checkpoints").glob("*/average-100.safetensors"))
    save_file({name: value + 0.1 for name, value in load_file(slow).items()}, slow)
    state = json.loads((slow.parent / "state.json").read_text())
    (slow.parent / "state.json").write_text(json.dumps({"examples": state["examples"]}))  # of before checksums
    first, again = (Cascade.from_pretrained(name).generate("fog").frames for name in ("runs", "runs@4"))
    other = Cascade.from_pretrained("runs@100").generate("fog").frames
    assert (first == again).all() and (first != other).any()
    assert Cascade.from_pretrained("runs/base").spec.stages == found.spec.stages[:1]
    assert cli("generate", "fog", "--model", "runs@100", "--until", "base", "-o", "b.mp4").code == 0
    mixed = cli("generate", "fog", "--model", model, "--model", "runs", "-o", "c.mp4", "--json")
    assert [stage["name"] for stage in json.loads(mixed.out)["files"][0]["stages"]] == ["base", "tsr1", "ssr1"]
    wrong = cli("generate", "fog", "--model", "runs@5", "-o", "d.mp4")
    assert wrong.code == 2 and "runs/base@5: expected the half-life of one of its averages, 4 or 100" in wrong.err

    # Nothing is trained twice, and a folder of runs gives first weights to each stage.
    again_done = cli("train", "--out", "runs", "--resume")
    assert again_done.code == 0 and "runs/base: finished, 8 examples" in again_done.err
    refused = cli("train", recipe, "--out", "runs", *BOTH)
    assert refused.code == 2 and "runs/base: already holds a run; go on with it by --resume" in refused.err
    tuned = cli("train", recipe, "--out", "tuned", "--init", "runs", *BOTH, "--stages", "tsr1", "--quiet")
    assert tuned == (0, "", "") and sorted(path.name for path in Path("tuned").iterdir()) == ["stages.json", "tsr1"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("learn", '["*nope*"]', "learn: no parameter matches '*nope*'"),
        ("lora", '{"targets": ["*nope*"]}', "lora.targets: no linear map matches '*nope*'"),
        ("parallel", "sharded", "parallel: 'sharded' needs torchrun"),
    ],
)
def test_a_later_stage_is_refused_before_the_first(
    cli: Cli, recipe: Path, field: str, value: str, message: str
) -> None:
    done = cli("train", recipe, "--out", "runs", *BOTH, "--set", f"tsr1.training.{field}={value}")
    assert done.code == 2 and message in done.err and not Path("runs").exists(), done


def test_a_kill_before_the_first_checkpoint_loses_no_initial_weights(cli: Cli, recipe: Path, model: Path) -> None:
    words = ["train", recipe, "--init", model, "--quiet", "--stages", "base", *short("base", 4)]
    assert cli(*words, "--out", "runs").code == 0
    shutil.rmtree("runs/base/checkpoints")
    assert cli("train", "--out", "runs", "--resume", "--quiet").code == 0  # stages.json names them
    first, again = metrics(Path("runs/base"))[-1], json.loads(Path("runs/base/run.json").read_text())
    assert first["examples"] == 4 and len(again["history"]) == 2
    shutil.rmtree("runs/base/checkpoints")
    alone = ["train", "--out", "runs/base", "--stage", "base", "--resume", "--quiet"]
    done = cli(*alone)
    assert done.code == 2 and "runs/base: ended before its first checkpoint; name its initial weights" in done.err
    assert cli(*alone, "--init", model).code == 0
    done = cli(*alone, "--init", "runs/base", *short("base", 8))
    assert done.code == 2 and "expected the weights that runs/base has begun with, or no --init, got" in done.err


def test_a_folder_of_other_files_is_not_trained_in(cli: Cli, recipe: Path) -> None:
    Path("clips").mkdir()
    Path("clips/one.mp4").write_bytes(b"a clip")
    done = cli("train", recipe, "--out", "clips", *BOTH)
    assert done.code == 2 and "clips: holds other files, such as one.mp4; choose another --out" in done.err
    assert [path.name for path in Path("clips").iterdir()] == ["one.mp4"]


def test_some_stages_and_the_rest_later(cli: Cli, recipe: Path) -> None:
    assert cli("train", recipe, "--out", "whole", *BOTH, "--quiet").code == 0
    assert cli("train", recipe, "--out", "parts", "--stages", "base", *BOTH, "--quiet").code == 0
    assert not Path("parts/tsr1").exists()
    later = cli("train", "--out", "parts", "--resume", "--stages", "base,tsr1")
    assert later.code == 0 and "parts/base: finished" in later.err
    for stage in ("base", "tsr1"):
        assert weights(f"whole/{stage}") == weights(f"parts/{stage}")
    # Runs that were begun each by itself, as on several hosts, are such a folder too.
    shutil.copytree("whole", "hosts")
    Path("hosts/stages.json").unlink()
    assert [stage.name for stage in Cascade.from_pretrained("hosts").spec.stages] == ["base", "tsr1"]
    assert "hosts/tsr1: finished" in cli("train", "--out", "hosts", "--resume").err
    shutil.copytree("hosts/base", "hosts/again")
    twice = cli("generate", "fog", "--model", "hosts")
    assert twice.code == 2 and "hosts: again and base are both of stage 'base'; name one" in twice.err


def test_interrupted_and_gone_on_with_is_bitwise_the_same(
    cli: Cli, recipe: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    threads = torch.get_num_threads()
    request.addfinalizer(lambda: torch.set_num_threads(threads))
    torch.set_num_threads(1)  # as the process that is interrupted: another number of threads sums in another order
    words = [*BOTH, "--set", 'base.training.phases=[{"examples": 240, "batch": 4}]']
    assert cli("train", recipe, "--out", "whole", *words, "--quiet").code == 0
    process = start("train", recipe, "--out", "parts", *words, at=tmp_path)
    appears(tmp_path / "parts/base/checkpoints/000000016", process)
    process.send_signal(signal.SIGSTOP)  # so that it does not go on to the next stage meanwhile
    refused = cli("train", "--out", "parts", "--resume")
    assert refused.code == 2 and f"parts/base: process {process.pid} on " in refused.err
    assert json.loads(cli("status", "parts", "--json").out)[0]["state"] == "running"
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    _, told = process.communicate()
    assert process.returncode == 130
    assert told.splitlines()[-1].endswith("; to go on: zoetrope train --out parts --resume")
    assert not Path("parts/tsr1").exists()
    assert [one["state"] for one in json.loads(cli("status", "parts", "--json").out)] == ["stopped"]
    assert main(["train", "--out", "parts", "--resume", "--quiet"]) == 0
    for stage in ("base", "tsr1"):
        assert weights(f"whole/{stage}") == weights(f"parts/{stage}")


def test_a_changed_recipe_is_told_and_refused(cli: Cli, recipe: Path) -> None:
    assert cli("train", recipe, "--stage", "base", "--out", "run", *short("base", 8), "--quiet").code == 0
    file = Path("run/recipe.json")
    value = json.loads(file.read_text())
    value["training"]["base"] |= {"clip": 0.5, "half_life": [10, 20]}
    value["training"]["tsr1"]["clip"] = 3.0  # of no concern to this run
    file.write_text(json.dumps(value))
    more = ["--set", 'base.training.phases=[{"examples": 16, "batch": 4}]']
    refused = cli("train", "--out", "run", "--resume", *more)
    assert refused.code == 2, refused
    assert "base.training.half_life: 10000 -> [10, 20]; base.training.clip: 1.0 -> 0.5. Give --accept" in refused.err
    assert "tsr1" not in refused.err and "phases" not in refused.err
    assert metrics(Path("run"))[-1]["examples"] == 8
    told = [*more, "--set", "base.training.clip=0.5"]
    assert "base.training.clip" not in cli("train", "--out", "run", "--resume", *told).err
    done = cli("train", "--out", "run", "--resume", *more, "--accept-changes")
    assert done.code == 0 and "run: base.training.clip: 1.0 -> 0.5" in done.err
    assert "run: base.training.phases.0.examples: 8 -> 16" in done.err
    assert metrics(Path("run"))[-1]["examples"] == 16
    assert cli("train", "--out", "run", "--resume", "--quiet") == (0, "", "")  # it is the run's recipe now

    # A recipe that is named again is compared as well.
    again = cli("train", recipe, "--out", "run", "--resume")
    assert again.code == 2 and "base.training.clip: 0.5 -> 1.0" in again.err
    assert "base.training.log_every: 4 -> 16" in again.err


def test_trackers_by_options(cli: Cli, recipe: Path) -> None:
    pytest.importorskip("tensorboard")
    words = ["train", recipe, "--stage", "base", *short("base", 4), "--quiet", "--out"]
    assert cli(*words, "run", "--tensorboard") == (0, "", "")
    assert list(Path("run/tensorboard").glob("events.out.tfevents.*"))
    kept = json.loads(Path("run/recipe.json").read_text())["training"]["base"]["trackers"]
    assert kept == [{"type": "tensorboard"}]
    assert cli(*words, "plain") == (0, "", "")
    assert cli("distill", "plain", "--out", "few", *TO_TWO, *ROUNDS, "--tensorboard", "--quiet") == (0, "", "")
    found = {path.parts[1] for path in Path("few").glob("*/tensorboard/events.*")}
    assert found == {"guided", "steps-4", "steps-2"} and not Path("plain/tensorboard").exists()


def test_a_tracker_that_could_not_be_opened_leaves_the_folder_free(
    cli: Cli, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb").teardown()  # it looks at the environment once
    for name in ("WANDB_API_KEY", "WANDB_MODE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    words = ["train", recipe, "--stage", "base", *short("base", 4), "--quiet", "--out", "run"]
    done = cli(*words, "--data", "absent", "--wandb", "films")  # told before the data are looked at
    assert done.code == 2 and done.err.startswith("error: wandb: expected a login, got none; `wandb login`"), done.err
    assert not Path("run").exists()
    for folder in ("run/wandb/run-1", "run/tensorboard"):
        Path(folder).mkdir(parents=True)
    for name in ("lock.json", "run.json", "recipe.json", "wandb.json", "tensorboard/events"):
        Path("run", name).write_text("{}")
    assert cli(*words) == (0, "", "")
    assert not Path("run/wandb").exists() and not Path("run/tensorboard").exists()
    assert cli("train", "--out", "run", "--resume", "--set", "base.training.phases.0.examples=8", "--quiet").code == 0
    done = cli("distill", "run", "--out", "few", *TO_TWO, *ROUNDS, "--wandb", "films")
    assert done.code == 2 and "error: wandb: expected a login" in done.err and not Path("few").exists()


def test_refusals(cli: Cli, recipe: Path, model: Path) -> None:
    def error(*words: str | Path) -> str:
        done = cli("train", *words)
        assert done.code == 2 and done.err.count("\n") == 1, done
        return done.err

    assert "--stages: unknown stage 'bse'; did you mean 'base'?" in error(recipe, "-o", "r", "--stages", "bse")
    assert "either this or --stage, got both" in error(recipe, "-o", "r", "--stages", "base", "--stage", "base")
    assert "r: there is no run to resume" in error("-o", "r", "--resume")
    assert "the folder has no run.json, it is not a run" in error("-o", model, "--resume")
    assert "expected names such as base,tsr1" in error(recipe, "-o", "r", "--stages", ",")
    assert not Path("r").exists()
    frozen = ["--set", 'base.training.freeze=["*.qvk.*"]']
    assert "freeze: no parameter matches '*.qvk.*'" in error(recipe, "-o", "r", "--stages", "base", *frozen)


def test_adapters_from_the_command_line(cli: Cli, recipe: Path, model: Path) -> None:
    pytest.importorskip("peft")
    lora = ["--set", 'base.training.lora={"rank": 2}']
    words = ["train", recipe, "--stage", "base", "--out", "run", "--init", model, *short("base", 8), *lora, "--quiet"]
    assert cli(*words) == (0, "", "")
    assert cli("generate", "fog", "--model", "run", "-o", "a.mp4").code == 0
    own = cli("train", recipe, "--stage", "base", "--out", "next", "--init", "run", *short("base", 4), "--quiet")
    assert own == (0, "", "")
    assert torch.isfinite(torch.tensor([line["loss"] for line in metrics(Path("next"))])).all()
