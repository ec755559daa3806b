"""The server's side of its processes, and what it shows of folders."""

import asyncio
import json
import os
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


def test_views_of_names_that_are_no_utf_8_and_of_evaluations_that_come_later(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")
    for name in ("b", odd):
        (tmp_path / "reports" / name).mkdir(parents=True)
        for file in ("index.html", "results.json"):
            (tmp_path / "reports" / name / file).write_text(name[:1])
    (tmp_path / "runs" / odd).mkdir(parents=True)
    (tmp_path / "runs" / odd / "run.json").write_text("{")
    views = Views(runs=[tmp_path / "runs"], reports=[tmp_path / "reports"])
    json.dumps([views.runs(), views.reports()], ensure_ascii=False).encode()
    numbers = {one["name"]: one["number"] for one in views.reports()}
    (tmp_path / "reports/a").mkdir()
    for file in ("index.html", "results.json"):
        (tmp_path / "reports/a" / file).write_text("a")
    now = {one["name"]: one["number"] for one in views.reports()}
    assert numbers.items() < now.items() and sorted(now.values()) == [0, 1, 2]
    for name, number in now.items():
        assert views.report(number, "index.html")[0].read_text() == name[:1]
