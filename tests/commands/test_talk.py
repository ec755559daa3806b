"""What commands say: whole in every encoding, harmless to terminals, and now and then where there is no terminal."""

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoetrope.commands import _talk
from zoetrope.commands._card import readable
from zoetrope.commands._talk import Talk
from zoetrope.wording import counted, one_line, printable, readable_json

from .conftest import Cli

HOSTILE = "\x1b]0;title\x07\x1b[31mred\x9b2J\u202eback\u2028line\ud83d end"
STEERS = ["\x1b", "\x07", "\x9b", "\u202e", "\u2028"]


def test_printable() -> None:
    assert printable("plain, 星 ü 🎬\n\ttabs") == "plain, 星 ü 🎬\n\ttabs"
    assert printable(HOSTILE) == r"\x1b]0;title\x07\x1b[31mred\x9b2J\u202eback\u2028line\ud83d end"
    assert printable("a\rb\x00") == r"a\x0db\x00" and one_line("a\nb\tc") == r"a\nb\tc"


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii", "latin-1"])
def test_json_is_whole_in_every_encoding(encoding: str) -> None:
    value = {"prompt": f"星 ü 🎬 {HOSTILE}", "é": [1.5, None]}
    text = readable_json(value, encoding)
    assert json.loads(text.encode(encoding).decode(encoding)) == value
    assert not any(sign in text for sign in STEERS)
    assert ("星" in text) == (encoding == "utf-8")


def test_a_pipe_of_another_encoding(model: Path, tmp_path: Path) -> None:
    """A result that took long to make arrives, and so do the paths of files."""
    command = [sys.executable, "-m", "zoetrope", "generate", "星 🎬 é", "--model", str(model), "--until", "base"]
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, "--steps", "1", "--json"], cwd=tmp_path, env=env, capture_output=True)
    assert done.returncode == 0, done.stderr
    (file,) = json.loads(done.stdout.decode("cp1252"))["files"]
    assert file["prompt"] == "星 🎬 é" and (tmp_path / file["path"]).is_file()


CARD = """# A card

What it [is](https://example.org/x), **in bold** with [red]no markup[/red] and `code`.

| stage | a long name |
|---|---|
| base | 1 |
| ssr1 | 22 |

![six frames](a.png)
"""


def test_a_card_is_text_for_people() -> None:
    lines = [line.strip() for line in readable(CARD).splitlines()]
    assert lines[0] == "A card" and "(six frames)" in lines
    assert "What it is (https://example.org/x), in bold with [red]no markup[/red] and code." in lines
    assert [line.split() for line in lines if line.startswith(("stage", "base", "ssr1"))] == [
        ["stage", "a", "long", "name"], ["base", "1"], ["ssr1", "22"],
    ]  # fmt: skip
    table = [line for line in readable(CARD).splitlines() if "a long name" in line or line.strip().endswith("22")]
    assert table[0].index("a long name") == table[1].index("22")  # in columns
    assert not any(sign in "\n".join(lines) for sign in STEERS)


def test_a_card_where_the_terminal_has_few_signs() -> None:
    program = "from zoetrope.commands._card import readable; import sys; print(readable(sys.argv[1]))"
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", program, CARD], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, CARD + "\n")


def test_names_and_cards_cannot_steer_the_terminal(cli: Cli, model: Path) -> None:
    folder = Path("mo\x1b[31mdel")
    folder.mkdir()
    value = json.loads((model / "cascade.json").read_text())
    (folder / "cascade.json").write_text(json.dumps({**value, "name": "na\x1b]0;x\x07me"}))
    for stage in ("base", "tsr1", "ssr1"):
        shutil.copytree(model / stage, folder / stage)
    (folder / "README.md").write_text("# card\n\x1b[2J\u202e hidden\n")
    done = cli("show", folder)
    assert done.code == 0 and not any(sign in done.out for sign in STEERS)
    assert r"\x1b[2J\u202e hidden" in done.out and " card\n" in done.out
    done = cli("show", folder, "--json")
    assert not any(sign in done.out for sign in STEERS) and json.loads(done.out)["card"].endswith("hidden\n")
    done = cli("show", "no\x1b[31mmodel")
    assert done.code == 2 and "\x1b" not in done.err and r"no\x1b[31mmodel" in done.err


def test_messages_and_what_the_library_logs(capfd: pytest.CaptureFixture[str]) -> None:
    talk = Talk(json=False, quiet=False)
    _talk.speak_safely()
    talk.say(HOSTILE)
    talk.warn(HOSTILE)
    with talk.bars() as bars:
        logging.getLogger("zoetrope.test").warning("member %s", HOSTILE)
        bars.begin(HOSTILE, 3)
        bars.advance(1, HOSTILE)
        bars.end(HOSTILE)
    told = capfd.readouterr().err
    assert told.count("title") == 6 and not any(sign in told for sign in STEERS)


def test_work_tells_where_it_stands_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also within a step that takes long, by what the library logs of its parts; not if it is to be quiet."""
    monkeypatch.setattr(_talk, "EVERY", 0.05)
    log = logging.getLogger("zoetrope.cascade.test")

    def work(quiet: bool) -> str:
        with Talk(json=False, quiet=quiet).bars() as bars:
            log.debug("stage %s: tile %d of %d", "ssr9", 2, 12)
            time.sleep(0.2)
            bars.begin("ssr9", 4)
            bars.advance(1)
            time.sleep(0.2)
            bars.end("ssr9: done")
        return capfd.readouterr().err

    lines = work(quiet=False).splitlines()
    assert lines[0].startswith("stage ssr9: tile 2 of 12, after 0 s") and lines[-1] == "ssr9: done"
    assert any(line == "ssr9: 1/4 after 0 s (tile 2 of 12)" for line in lines)
    assert work(quiet=True) == ""
    assert logging.getLogger("zoetrope.cascade").handlers == []


def test_counted() -> None:
    assert [counted(n, "shard") for n in (0, 1, 2)] == ["0 shards", "1 shard", "2 shards"]
    assert counted(1, "batch", "batches") == "1 batch" and counted(3, "batch", "batches") == "3 batches"
