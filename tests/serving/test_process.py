"""The server's side of its processes, and what it shows of folders."""

import asyncio
import sys
from pathlib import Path

import pytest

from zoetrope.serving import process
from zoetrope.serving.views import Views


def test_a_process_that_says_too_much_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """And ended, so that another one can begin; the server goes on."""
    monkeypatch.setattr(process, "LONGEST", 4096)
    talks = process.WorkerProcess([sys.executable, "-c", "print('x' * 10**5, flush=True); input()"])

    async def begin() -> int:
        with pytest.raises(process.Lost, match="more than 4,096 bytes"):
            await talks.start()
        assert talks.process is not None
        return await talks.process.wait()

    assert asyncio.run(begin()) != 0


def test_the_current_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "week"
    own.mkdir()
    for name in ("index.html", "results.json"):
        (own / name).write_text("{}")
    monkeypatch.chdir(own)
    assert Views(reports=[Path(".")]).reports() == [{"number": 0, "name": "week"}]
