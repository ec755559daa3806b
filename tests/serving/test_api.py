"""`zoetrope serve --api` as a program uses it: jobs from start to end, and requests of bad will."""

import json
import random
import socket
import struct
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the packages of the extra `ui` are not here")
pytest.importorskip("starlette", reason="the packages of the extra `ui` are not here")
httpx = pytest.importorskip("httpx")

from zoetrope.__main__ import main  # noqa: E402
from zoetrope.video import probe, read, read_tags  # noqa: E402

from .conftest import Server, events, ready, serve  # noqa: E402

pytestmark = pytest.mark.first


def test_a_job_from_start_to_end(server: Server, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = {model["offer"]: model for model in server.http.get("/api/models").json()}
    assert [stage["name"] for stage in models["tiny"]["stages"]] == ["base", "ssr1"] and not models["tiny"]["text"]
    assert models["mini"]["text"] and models["mini"]["known"] and models["tiny"]["until"] == "ssr1"
    job = server.submit(seed=7)
    told = events(server, job["id"])
    assert told[-1]["state"] == "done" and told[-1]["result"]["height"] == 16 and told[-1]["result"]["frames"] == 4
    assert [stage["name"] for stage in told[-1]["stages"]] == ["base", "ssr1"]
    steps = [one["progress"] for one in told if one["state"] == "running" and one["progress"]]
    assert steps and all(0 < step["share"] <= 1 and step["left"] >= 0 for step in steps)
    assert all(stage["preview"]["frames"] == 4 and stage["seconds"] > 0 for stage in told[-1]["stages"])
    for number, width in enumerate((8, 16)):
        strip = server.http.get(f"/api/jobs/{job['id']}/previews/{number}.png")
        (tmp_path / "strip.png").write_bytes(strip.content)
        assert read(tmp_path / "strip.png", fps=1).frames.shape == (1, 4 * width, width, 3)
    files = {}
    for kind in ("mp4", "gif", "webm", "png", "zip"):
        answer = server.http.get(f"/api/jobs/{job['id']}/video.{kind}")
        assert answer.status_code == 200, answer.text
        files[kind] = tmp_path / f"served.{kind}"
        files[kind].write_bytes(answer.content)
    assert server.http.get(f"/api/jobs/{job['id']}/video.exe").status_code == 404
    assert server.http.get(f"/api/jobs/{job['id']}/stages/0").content[4:8] == b"ftyp"
    assert server.http.get(f"/api/jobs/{job['id']}/stages/2").status_code == 404
    with zipfile.ZipFile(files["zip"]) as packed:
        assert [name for name in packed.namelist() if name.endswith(".png")] == [f"frame_{n:04d}.png" for n in range(4)]
    monkeypatch.chdir(tmp_path)  # the command line makes the same, bit for bit
    assert main(["generate", "--model", str(tiny), "--seed", "7", "--dtype", "fp32", "-o", "own.mp4", "-q"]) == 0
    assert np.array_equal(read("own.mp4").frames, read(files["mp4"]).frames)
    assert probe(files["gif"]).width == 16 and probe(files["webm"]).frames == 4
    record = json.loads(read_tags(files["gif"])["comment"])
    assert record["seed"] == 7 and record["options"]["model"] == ["tiny"] and read_tags(files["png"])["seed"] == "7"
    for kind in ("mp4", "gif", "png"):  # nothing tells where the server keeps things
        assert not any(str(place).encode() in files[kind].read_bytes() for place in (tiny.parent, server.folder))


def test_files_are_sent_and_known_frames_and_clips_are_taken(server: Server, clip: bytes, tmp_path: Path) -> None:
    sent = server.http.post("/api/files", content=clip).json()
    assert sent["type"] == "video/mp4" and server.http.get(f"/api/files/{sent['id']}").content == clip
    job = server.until(server.submit(kind="upscale", video=sent["id"], until="ssr1")["id"])
    assert (job["state"], job["result"]["width"]) == ("done", 16), job
    kept = [path.name for path in (server.folder / "jobs" / job["id"]).iterdir()]
    assert not any(name.startswith("video.") and name != "video.mp4" for name in kept) and "tiny" not in kept
    failed = server.until(server.submit(model="holed", known={"0": sent["id"]})["id"])
    assert failed["state"] == "failed" and "known" in failed["error"]  # one frame has several pictures
    assert str(server.folder) not in json.dumps(failed)


def test_two_queue_and_both_can_be_cancelled(server: Server) -> None:
    long = server.submit(steps=1000)["id"]
    waiting = server.submit()["id"]
    assert server.until(long, "running")["state"] == "running"
    assert server.http.get("/api/jobs").json()["queue"] == [waiting]
    assert server.http.delete(f"/api/jobs/{long}").status_code == 409
    assert server.http.post(f"/api/jobs/{waiting}/cancel").json()["state"] == "cancelled"
    server.http.post(f"/api/jobs/{long}/cancel")
    job = server.until(long)
    assert job["state"] == "cancelled" and job["error"] is None
    left = {path.name for path in (server.folder / "jobs" / long).iterdir()}
    assert "video.mp4" not in left and not any(".part" in name for name in left)
    assert server.http.delete(f"/api/jobs/{long}").status_code == 204
    assert server.http.get(f"/api/jobs/{long}").status_code == 404 and not (server.folder / "jobs" / long).exists()
    assert server.until(server.submit()["id"])["state"] == "done"  # the process goes on with the next


PATHS = [
    "/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/api/files/..%2f..%2fetc%2fpasswd", "/api/files/" + "0" * 64,
    "/api/jobs/../../job.json", "/api/jobs/..%2f..%2f", "/api/jobs/x/video.mp4", "/api/reports/0/../../etc/passwd",
    "/api/reports/0/%2e%2e/%2e%2e/x.html", "/api/runs/0/samples/..%2fx.png", "/api/runs/9", "/api/runs/-1",
    "/api/jobs?count=1e9", "/api/jobs?count=-1", "/api/jobs?before=%00", "/api/jobs/%00", "//etc/passwd",
    "/api/" + "a" * 4000,
    "/page.css%00", "/..%5c..%5cjob.json", "/serving/engine.py",
    "/api/jobs/20260101-000000-0000000000/previews/0.png",
]  # fmt: skip
BODIES: list[bytes] = [
    b"", b"[]", b"null", b"{", b"\xff\xfe", b'{"model": "tiny"', b'{"model": 3}', b'{"model": "../tiny"}', b"[" * 5000,
    b'{"model": "tiny", "seed": 1e400}', b'{"model": "tiny", "seed": NaN}', b'{"model": "tiny", "x": 1}',
    b'{"model": "tiny", "until": "; rm -rf /"}', b'{"model": "tiny", "steps": 100000000}', b'{"model": "/etc/passwd"}',
    b'{"model": "tiny", "size": [999999, 999999]}', b'{"model": "tiny", "known": {"0": "/etc/passwd"}}',
    b'{"model": "tiny", "kind": "upscale", "video": "' + b"0" * 64 + b'"}', b'{"model": "tiny", "prompt": "\\ud800"}',
    b'{"model": "owner/name"}', b'{"model": "tiny", "prompt": "' + b"x" * 70000 + b'"}',
    b'{"seed": ' + b"9" * 400 + b"}",
]  # fmt: skip
FILES = [b"", b"x", b"#EXTM3U\nfile:///etc/passwd\n", b"<svg onload=alert(1)>", b"PK\3\4" + b"\0" * 99, b"\0" * 5000]


def hostile(server: Server, number: int, chance: random.Random) -> int:
    """Make one request of bad will; its status, or 0 if the server hangs up on what it will not read to the end."""
    try:
        return refused(server, number % 5, chance)
    except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError, ConnectionError):
        return 0


def refused(server: Server, kind: int, chance: random.Random) -> int:
    """The status of one request of a kind."""
    if kind == 0:
        return raw(
            server, f"GET {chance.choice(PATHS)} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
        )
    if kind == 1:
        head = {"content-type": "application/json"}
        return int(server.http.post("/api/jobs", content=chance.choice(BODIES), headers=head).status_code)
    if kind == 2:
        return int(server.http.post("/api/files", content=chance.choice(FILES)).status_code)
    if kind == 3:
        method = chance.choice(["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
        return int(server.http.request(method, "/api/jobs", content=b"x" * 1000).status_code)
    host, length = (
        chance.choice(["evil.example", "", "127.0.0.1@evil", "[::"]),
        chance.choice(["-1", "x", "9" * 30, "99999999999"]),
    )
    lines = [
        f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
        f"POST /api/files HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\nConnection: close\r\n\r\nabc",
        "POST /api/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\nContent-Length: 2\r\n"
        "Connection: close\r\n\r\n{}",
        "POST /api/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://[\r\nContent-Length: 2\r\n"
        "Connection: close\r\n\r\n{}",
        "\x16\x03\x01\x02\x00garbage\r\n\r\n",
    ]
    return raw(server, chance.choice(lines).encode("latin-1"))


def test_no_hostile_path_is_answered(server: Server) -> None:
    for path in PATHS:
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        assert raw(server, request.encode()) >= 400, path


def raw(server: Server, request: bytes) -> int:
    """The status that the server answers to these bytes, before the client goes."""
    address = server.http.base_url
    with socket.create_connection((address.host, address.port or 80), timeout=60) as line:
        line.sendall(request)
        answer = line.recv(4096)
    return int(answer.split()[1]) if answer.startswith(b"HTTP/") else 0


def held(server: Server) -> tuple[int, int]:
    """The open files and the bytes in memory of the server's process."""
    place = Path(f"/proc/{server.process.pid}")
    if not place.is_dir():
        pytest.skip("this system does not tell what a process holds")
    return len(list((place / "fd").iterdir())), memory(server.process.pid)


def memory(process: int) -> int:
    """The bytes in memory of a process."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def test_two_hundred_hostile_requests(server: Server) -> None:
    chance = random.Random(0)
    server.http.get("/api/runs")  # what a view loads is there once
    for number in range(20):
        hostile(server, number, chance)
    files, before = held(server)
    jobs = server.http.get("/api/jobs").json()["jobs"]
    statuses = [hostile(server, number, chance) for number in range(200)]
    assert {status for status in statuses if status >= 500} <= {507} and all(
        status >= 400 or not status for status in statuses
    )
    assert len([status for status in statuses if status]) >= 150
    assert server.process.poll() is None and server.http.get("/api/jobs").json()["jobs"] == jobs
    now, after = held(server)
    assert now <= files + 2 and after < before * 1.05
    assert not list((server.folder / "files").glob(".*")), "remains of files that were refused"
    assert server.until(server.submit()["id"])["state"] == "done"


def png_of(height: int, width: int) -> bytes:
    """A PNG that says that it is so large, and holds little."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 2**20)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_files_that_begin_as_videos_and_are_none(server: Server, clip: bytes) -> None:
    """Sent and used: the job fails with one line, and its process goes on."""
    chance = random.Random(1)
    gif = (
        b"GIF89a"
        + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0)
        + b"\x2c"
        + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0)
    )
    damaged = bytearray(clip)
    for _ in range(200):
        damaged[chance.randrange(40, len(damaged))] = chance.randrange(256)
    playlist = b"\0\0\0\x20ftypisom" + b"#EXTM3U\nfile:///etc/passwd\n" * 20
    files = [png_of(60000, 60000), gif + b"\x08\xff" * 99, clip[: len(clip) // 2], bytes(damaged), clip[:40], playlist]
    files += [b"\x1aE\xdf\xa3" + chance.randbytes(5000), b"\0\0\0\x20ftypisom" + b"\xff" * 5000]
    at_first = held(server)[0]
    for content in files:
        sent = server.http.post("/api/files", content=content)
        assert sent.status_code in (200, 201), sent.text
        job = server.until(server.submit(kind="upscale", video=sent.json()["id"], until="ssr1")["id"])
        assert job["state"] == "failed" and job["error"] and "\n" not in job["error"], job
        assert "Traceback" not in job["error"] and str(server.folder) not in json.dumps(job), job
    assert server.until(server.submit()["id"])["state"] == "done"
    assert held(server)[0] <= at_first + 2


def test_clients_that_say_nothing_or_leave(server: Server) -> None:
    """Two hundred lines that stay open, some in the middle of a file: others are answered, and nothing is left."""
    files, before = held(server)
    begun = b"POST /api/files HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\n\x89PNG\r\n\x1a\n"
    place = (server.http.base_url.host, server.http.base_url.port or 80)
    lines = [socket.create_connection(place, timeout=60) for _ in range(200)]
    for number, line in enumerate(lines):
        line.sendall((b"", b"GET / HT", begun, begun + b"\0" * 3000)[number % 4])
    assert server.http.get("/api").status_code == 200
    for line in lines:
        line.close()
    end = time.monotonic() + 60
    while held(server)[0] > files + 2 or list((server.folder / "files").glob(".*")):
        assert time.monotonic() < end, "lines or remains of files are left"
        time.sleep(0.05)
    assert held(server)[1] < before * 1.05 + 2**23
    assert server.until(server.submit()["id"])["state"] == "done"


def test_a_flood_of_jobs_and_listeners_is_refused(server: Server) -> None:
    long = server.submit(steps=1000)["id"]
    server.until(long, "running")
    answers = [server.http.post("/api/jobs", json={"model": "tiny"}) for _ in range(20)]
    assert [answer.status_code for answer in answers] == [201] * 4 + [429] * 16
    assert "as many as may" in answers[-1].json()["error"]
    for answer in answers[:4]:
        server.http.post(f"/api/jobs/{answer.json()['id']}/cancel")
    server.http.post(f"/api/jobs/{long}/cancel")
    assert server.until(long)["state"] == "cancelled"
    lines = [socket.create_connection((server.http.base_url.host, server.http.base_url.port or 80)) for _ in range(40)]
    for line in lines:
        line.sendall(b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    statuses = [line.recv(64).split()[1] for line in lines]
    assert statuses.count(b"200") == 32 and statuses.count(b"429") == 8
    for line in lines:
        line.close()
    assert server.http.get("/api").status_code == 200


def test_memory_stays_from_job_to_job(server: Server) -> None:
    """After 100 jobs the processes hold what they held after five, within 5 %."""

    def run(count: int) -> list[int]:
        for _ in range(count):
            job = server.submit(until="base", steps=1)
            events(server, job["id"])
            server.http.delete(f"/api/jobs/{job['id']}")
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        return [memory(server.process.pid), *(memory(int(child)) for child in children)]

    if not Path("/proc/self/task").is_dir():
        pytest.skip("this system does not tell what a process holds")
    early = run(5)
    late = run(95)
    assert len(early) == len(late) == 2 and all(b < 1.05 * a for a, b in zip(early, late, strict=True)), (early, late)


def test_a_token_for_other_hosts_and_a_history_that_stays(tiny: Path, tmp_path: Path) -> None:
    """Another server of the same folder goes on with what waited."""
    folder, words = tmp_path / "served", ["--model", tiny, "--api", "--dtype", "fp32"]
    first = serve(folder, *words, "--host", "127.0.0.2", "--token", "0123456789abcdef")
    try:
        assert first.http.get("/api").status_code == 401
        assert first.http.get("/?token=0123456789abcdeg").status_code == 401
        entered = first.http.get("/?token=0123456789abcdef")
        assert entered.status_code == 303 and "HttpOnly" in entered.headers["set-cookie"]
        first.http.cookies.clear()
        first.http.headers["authorization"] = "Bearer 0123456789abcdef"
        assert first.http.get("/api").status_code == 200 and first.http.get("/").status_code == 404
        ready(first)
        running, waiting = first.submit(steps=1000)["id"], first.submit(seed=5)["id"]
        first.until(running, "running")
    finally:
        last = first.stop()
    assert "wait for the next server" in last and first.process.returncode == 130
    damaged = folder / "jobs" / "20260101-000000-0123456789"
    damaged.mkdir()
    (damaged / "job.json").write_text("{}")
    second = serve(folder, *words)
    try:
        assert [job["id"] for job in second.http.get("/api/jobs").json()["jobs"]] == [waiting, running]
        second.http.post(f"/api/jobs/{running}/cancel")
        assert second.until(waiting)["state"] == "done" and second.job(waiting)["request"]["seed"] == 5
    finally:
        second.stop()
    assert damaged.is_dir()


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    assert main(["serve", "--folder", str(tmp_path / "served")]) == 2
    assert "pip install 'zoetrope[ui]'" in capsys.readouterr().err and not (tmp_path / "served").exists()
    assert main(["serve", "--token", "short"]) == 2
