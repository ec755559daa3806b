"""The server's side of its processes, and what it shows of folders."""

import asyncio
import json
import os
import sys
import threading
from io import StringIO
from pathlib import Path

import pytest

from zoetrope.__main__ import main
from zoetrope.serving import process
from zoetrope.serving.downloads import Downloads
from zoetrope.serving.views import Views
from zoetrope.serving.worker import Desk, Ended, WorkPlace


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


def test_a_file_that_is_there_does_not_wait_for_conversions(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").touch()
    (tmp_path / "video.gif").touch()

    async def both() -> list[str]:
        made = Downloads()
        async with made.one, asyncio.timeout(10):  # another client's file is converted
            return [(await made.of(tmp_path / "video.mp4", wanted)).name for wanted in ("mp4", "gif")]

    assert asyncio.run(both()) == ["video.mp4", "video.gif"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--dtype", "bf61"), "--dtype: unknown dtype 'bf61'; did you mean 'bf16'?"),
        (("--device", "cpu", "--device", "gpu:1"), "--device: unknown device 'gpu:1'"),
    ],
)
def test_a_server_does_not_begin_with_a_wrong_device_or_type(
    words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--folder", str(tmp_path / "served"), "--host", "no-such-host.invalid", *words]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "served").exists()


def test_a_process_without_its_device_is_never_ready() -> None:
    def nowhere() -> WorkPlace:
        raise ValueError("--device: unknown device 'cuda:9'")

    def commands() -> list[str]:
        threading.Event().wait()
        return []

    sink = StringIO()
    source = (line for _ in range(1) for line in commands())  # the process would end with it
    with pytest.raises(ValueError, match="unknown device 'cuda:9'"):
        Desk(lambda words: Ended(0, {}, None, []), nowhere, source, sink).work(list)
    assert sink.getvalue() == ""
