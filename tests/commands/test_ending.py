"""How commands end early: by signals as by Ctrl-C, and with one line where memory or a home is missing."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zoetrope.commands._ending import explained

from .conftest import Cli, start


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no such signals")
@pytest.mark.parametrize(("sent", "status"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_signals_end_a_command_as_ctrl_c_does(sent: str, status: int, model: Path, tmp_path: Path) -> None:
    words: list[str | Path] = ["--model", model, "--set", "tsr1.sampling.steps=20000", "-o", "a.mp4"]
    process = start("generate", "fog", *words, at=tmp_path)
    assert process.stderr is not None
    while not process.stderr.readline().startswith("base: 4x8x8@2fps"):
        assert process.poll() is None
    process.send_signal(getattr(signal, sent))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "") and "Traceback" not in err, err
    assert err.splitlines()[-1].startswith("interrupted") and list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no such signals")
def test_who_ignores_a_hang_up_goes_on(model: Path, tmp_path: Path) -> None:
    """As under nohup."""
    words = ["--model", str(model), "--until", "base", "--steps", "30", "-o", "a.gif"]
    process = subprocess.Popen(
        [sys.executable, "-m", "zoetrope", "generate", "fog", *words],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 0 and (tmp_path / "a.gif").is_file()


def test_an_interrupt_of_which_a_library_makes_another_error(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As PyTorch does where it asks an object for its length."""

    def confused(what: str) -> bool:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise ValueError("could not determine the shape") from None
        return False

    monkeypatch.setattr("zoetrope.recipes.is_recipe", confused)
    assert cli("show", "x") == (143, "", "interrupted\n")


def test_what_is_said_of_an_interrupt_does_not_depend_on_where_it_comes(
    cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoetrope.models.cascade import Cascade

    def confused(*given: object, **options: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError("unknown parameter type") from None

    monkeypatch.setattr(Cascade, "_run", confused)
    done = cli("generate", "fog", "--model", model, "-o", "a.mp4")
    assert done == (130, "", "interrupted: 0 of 1 videos were written (nothing)\n")


def test_handlers_are_put_back(cli: Cli) -> None:
    before = {name: signal.getsignal(name) for name in signal.Signals if name in (1, 2, 15)}
    assert cli("show", "nothing").code == 2
    assert {name: signal.getsignal(name) for name in before} == before


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "generate: out of memory; with --memory SIZE"),
        (MemoryError("stage 'ssr2': out of memory; less (--memory SIZE)"), "stage 'ssr2': out of memory; less (--mem"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            "generate: o",
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "generate: out of memory; with --memory SIZE"),
        (OSError(12, "Cannot allocate memory"), "generate: out of memory; with --memory SIZE"),
        (RuntimeError("Could not determine home directory."), "Could not determine home directory."),
        (FileNotFoundError(2, "No such file or directory", "a.mp4"), "a.mp4: No such file or directory"),
        (OSError(), "OSError"),
    ],
)
def test_errors_that_a_user_can_mend(error: BaseException, told: str) -> None:
    said = explained(error, "generate")
    assert said is not None and said.startswith(told) and "\n" not in said
    assert "accumulate" in str(explained(MemoryError(), "train"))


def test_errors_that_are_ours() -> None:
    for error in (RuntimeError("shape"), KeyError("x"), RecursionError(), OverflowError(), IndexError()):
        assert explained(error, "generate") is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space as Linux does")
@pytest.mark.parametrize(
    ("memory", "told"),
    [
        (["--memory", "300GB"], r"stage 'base' \(16x512x512@3fps\): out of memory; less is needed .*--memory SIZE"),
        ([], r"memory: stage 'base' \(16x512x512@3fps\) needs \d+ MB even in its smallest tiles, got \d{3,4} MB"),
    ],
)
def test_a_limit_of_memory_that_is_met(memory: list[str], told: str, tmp_path: Path) -> None:
    """A stage that is let begin fails and is named; otherwise it does not begin."""
    words = ["a star", "--until", "base", "--size", "512x512", "--frames", "16", *memory]
    done = limited("generate", *words, "-o", "a.mp4", "--quiet", at=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(f"error: {told}.*", done.stderr.splitlines()[-1]) and "Traceback" not in done.stderr, done
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space as Linux does")
def test_a_training_for_which_memory_does_not_suffice(recipe: Path, tmp_path: Path) -> None:
    large = ["--size", "128x128", "--set", 'base.training.phases=[{"examples": 64, "batch": 64}]']
    done = limited("train", recipe, "--stage", "base", "--out", "run", *large, "--quiet", at=tmp_path)
    assert (done.returncode, done.stdout) == (2, "") and "Traceback" not in done.stderr, done
    assert done.stderr.splitlines()[-1].startswith("error: train: out of memory; a smaller batch needs less"), done


def limited(*words: str | Path, at: Path) -> subprocess.CompletedProcess[str]:
    """A finished command, which may have 1.5 GB, as `ulimit -v` would have it."""
    resource = pytest.importorskip("resource")
    return subprocess.run(
        [sys.executable, "-m", "zoetrope", *map(str, words)],
        cwd=at,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (15 * 10**8, 15 * 10**8)),
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("name", "said"), [("model", "there is none of this name"), ("a.json", "~nobody-at-all/a.json: no such file")]
)
def test_a_home_that_nobody_knows(cli: Cli, name: str, said: str) -> None:
    done = cli("show", f"~nobody-at-all/{name}")
    assert done.code == 2 and done.err.count("\n") == 1 and said in done.err


def test_a_name_never_runs_code_that_lies_about(model: Path, tmp_path: Path) -> None:
    """Only a file that is named with .py is run, and this is said."""
    script = "open('ran', 'w')\n"
    for name in ("mini.py", "recipe.py", "recipes.py", "zoetrope.py", "torch.py", "typer.py"):
        (tmp_path / name).write_text(script)
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "__init__.py").write_text(script)
    program = (
        "import os, sys; sys.path.remove(''); from zoetrope.__main__ import main\n"  # as of a script
        "codes = [main(['show', what]) for what in ('mini', 'recipe', './recipe')]; ran = os.path.exists('ran')\n"
        "print('\\n', codes, ran, main(['show', 'recipe.py']), os.path.exists('ran'))"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == " [0, 2, 2] False 2 True", done
    assert done.stderr.count("is a program, and is run") == 1
