"""The queue: it outlives processes that die, and whoever listens slowly."""

import asyncio
import json
import shutil
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the packages of the extra `ui` are not here")
pytest.importorskip("starlette", reason="the packages of the extra `ui` are not here")

from zoetrope.__main__ import main
from zoetrope.files import locked
from zoetrope.serving.engine import Engine
from zoetrope.serving.jobs import History, ServedJob
from zoetrope.serving.offers import Offer
from zoetrope.serving.requests import JobRequest

READY = {"event": "ready", "models": [{"offer": "mini", "stages": [], "until": "base"}]}
WISH = JobRequest(model="mini", prompt="a red star")
DONE = f"""
import json, sys
print({json.dumps(READY)!r}, flush=True)
for line in sys.stdin:
    told = dict(event="ended", job=json.loads(line)["job"], code=0, error=None, notes=[], result=dict(files=[]))
"""
ENDS = {
    "in the middle of a line": DONE + "    print(json.dumps(told)[:40], end='', flush=True); sys.exit(1)",
    "with an odd line": DONE + "    print('{', flush=True)",
    "without a word": DONE + "    sys.exit(1)",
    "with an event that lacks its fields": DONE
    + "    print(json.dumps(dict(event='step', job=told['job'])), flush=True)",
    "after its folder is gone": DONE
    + "    import shutil; shutil.rmtree(json.loads(line)['folder']); print(json.dumps(told), flush=True)",
}


@pytest.mark.parametrize("how", ENDS)
def test_the_queue_goes_on_after_a_process_that_ends(how: str, tmp_path: Path) -> None:
    engine = Engine(tmp_path, [Offer("mini", "mini")], [[sys.executable, "-c", ENDS[how]]])

    async def both() -> list[ServedJob]:
        await engine.start()
        jobs = [await engine.submit(WISH) for _ in range(2)]
        async with asyncio.timeout(60):
            while any(engine.job(job.id).state in ("queued", "running") for job in jobs):
                await asyncio.sleep(0.02)
        await engine.stop()
        return [engine.job(job.id) for job in jobs]

    wanted = "done" if "folder" in how else "failed"
    assert all(job.state == wanted and (wanted == "done" or job.error) for job in asyncio.run(both()))


def test_a_process_that_ends_while_it_waits_costs_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one begins with the next job, and where that cannot, the job waits."""
    monkeypatch.setattr("zoetrope.serving.engine.AGAIN", 0.05)
    begun = tmp_path / "begun"
    lives = f"""
from pathlib import Path
begun = Path({str(begun)!r})
number = len(begun.read_text()) if begun.exists() else 0
begun.write_text("x" * (number + 1))
if number == 1:
    raise SystemExit(1)
{DONE}    print(json.dumps(told), flush=True)
    if number == 2:
        raise SystemExit(1)
""".replace("for line in sys.stdin:", "for line in sys.stdin if number else ():")
    engine = Engine(tmp_path / "served", [Offer("mini", "mini")], [[sys.executable, "-c", lives]])

    async def one_by_one() -> list[ServedJob]:
        jobs = []
        await engine.start()
        async with asyncio.timeout(60):
            await engine.described()
            for _ in range(2):
                while engine.workers[0].pid is not None:
                    await asyncio.sleep(0.02)
                jobs.append(await engine.submit(WISH))
                while engine.job(jobs[-1].id).state in ("queued", "running"):
                    await asyncio.sleep(0.02)
        await engine.stop()
        return [engine.job(job.id) for job in jobs]

    made = asyncio.run(one_by_one())
    assert [(job.state, job.error) for job in made] == [("done", None)] * 2 and begun.read_text() == "xxxx"


def test_news_that_nobody_takes_do_not_pile_up(tmp_path: Path) -> None:
    engine = Engine(tmp_path, [Offer("mini", "mini")], [])

    async def hear() -> int:
        job = await engine.submit(WISH)
        with engine.listening() as mine:
            for _ in range(1000):
                await engine.cancel(job.id)
                await engine._notify(engine.job(job.id))
            engine.close()
            return len([one async for one in engine.follow(mine)])

    assert asyncio.run(hear()) == 1


def test_the_history_is_measured_while_files_come_and_go(tmp_path: Path) -> None:
    history, ended = History(tmp_path), threading.Event()
    place = tmp_path / "20260101-000000-0123456789"
    (place / "stages").mkdir(parents=True)
    (place / "video.mp4").write_bytes(b"12345")

    def change() -> None:
        while not ended.is_set():
            for number in range(50):
                (place / "stages" / str(number)).touch()
            shutil.rmtree(place / "stages", ignore_errors=True)
            (place / "stages").mkdir(exist_ok=True)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        assert {history.bytes() for _ in range(3000)} == {5}
    finally:
        ended.set()
        thread.join()


def test_a_job_that_cannot_be_kept_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history, job = History(tmp_path), ServedJob.new(WISH)
    monkeypatch.setattr("zoetrope.serving.jobs.write_text", _full)
    with suppress(OSError):
        history.put(job)
    assert not list(tmp_path.iterdir()) and not history.jobs


def _full(path: Path, text: str) -> None:
    raise OSError(28, "No space left on device", str(path))


def test_one_server_works_in_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["serve", "--folder", str(tmp_path), "--host", "no-such-host.invalid", "--port", "0"]
    with locked(tmp_path):
        assert main(words) == 2
    assert f"--folder {tmp_path}: another server works here" in capsys.readouterr().err
    assert main(words) == 2 and "no-such-host.invalid" in capsys.readouterr().err


def test_a_job_that_was_cancelled_does_not_run_again(tmp_path: Path) -> None:
    """Though the server ends before the process heard of it; one that just ran waits for the next server."""
    silent = f"import time; print({json.dumps(READY)!r}, flush=True); time.sleep(600)"
    engine = Engine(tmp_path, [Offer("mini", "mini")], [[sys.executable, "-c", silent]] * 2)

    async def both() -> list[str]:
        await engine.start()
        jobs = [await engine.submit(WISH) for _ in range(2)]
        async with asyncio.timeout(60):
            while any(engine.job(job.id).state != "running" for job in jobs):
                await asyncio.sleep(0.02)
        await engine.cancel(jobs[0].id)
        await engine.stop()
        return [job.id for job in jobs]

    one, other = asyncio.run(both())
    later = Engine(tmp_path, [Offer("mini", "mini")], [])
    assert later.job(one).state == "cancelled" and later.queue == [other]
