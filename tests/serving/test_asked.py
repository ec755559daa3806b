"""What a model is told beside the text, over HTTP: as the command line does it, and nothing that it would not take."""

import io
import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the packages of the extra `ui` are not here")
pytest.importorskip("starlette", reason="the packages of the extra `ui` are not here")
pytest.importorskip("httpx")

from zoetrope.__main__ import main
from zoetrope.video import Video, read, read_tags

from .conftest import VIEWS, Server

ACTIONS = [[1, 0], [0, -1], [None, None], [0.5, 2]]
LAND = np.eye(8, dtype=np.float32)


def array(values: Any, **how: Any) -> bytes:
    """A file .npy."""
    file = io.BytesIO()
    np.save(file, values, **how)
    return file.getvalue()


def send(server: Server, content: bytes) -> str:
    """Send a file; its id."""
    answer = server.http.post("/api/files", content=content)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def record(server: Server, job: dict[str, Any], path: Path) -> dict[str, Any]:
    """The record in a finished job's video, which is kept at `path`."""
    assert job["state"] == "done", job
    path.write_bytes(server.http.get(f"/api/jobs/{job['id']}/video.mp4").content)
    return dict(json.loads(read_tags(path)["comment"]))


def beside(told: dict[str, Any]) -> dict[str, Any]:
    """A record without what is of the place: what files are called, and where the model lies."""
    own = {**told, "options": {name: value for name, value in told["options"].items() if name not in ("map", "model")}}
    return {name: value for name, value in own.items() if name not in ("weights", "device")}


def test_models_tell_what_they_take(server: Server) -> None:
    models = {model["offer"]: model for model in server.http.get("/api/models").json()}
    told = {each["name"]: each for each in models["hearts"]["inputs"]}
    assert (told["ef"]["kind"], told["ef"]["lo"], told["ef"]["hi"], told["ef"]["stage"]) == ("number", 0.1, 0.9, "base")
    assert told["view"]["classes"] == VIEWS and told["action"]["size"] == 2
    assert [told["land"][name] for name in ("kind", "frames", "height", "width")] == ["map", 4, 8, 8]
    assert [(grid["height"], grid["width"]) for grid in models["hearts"]["grids"]] == [(8, 8), (16, 8)]
    assert models["hearts"]["channels"] == [{"name": "grey", "unit": "K"}] and "viridis" in models["hearts"]["colours"]
    assert [each["kind"] for each in models["drawn"]["inputs"]] == ["picture"]
    assert models["drawn"]["controls"] == ["edges"]
    assert models["tiny"]["inputs"] == [] and not models["tiny"]["masks"] and "heun" in models["tiny"]["samplers"]


def test_values_and_maps_make_what_the_command_line_makes(
    server: Server, hearts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, and with an equal record; so does the job again."""
    asked = {
        "model": "hearts", "given": {"ef": 0.55, "view": "apical", "action": ACTIONS}, "size": [16, 8],
        "sampler": "heun", "steps": 3, "colours": "turbo", "range": [-0.5, 1.5], "seed": 4, "guidance": 1.5,
        "map": {"land": send(server, array(np.repeat(LAND, 2, axis=0)))},
    }  # fmt: skip
    job = server.until(server.submit(**asked)["id"])
    served = record(server, job, tmp_path / "served.mp4")
    again = server.until(server.submit(**job["request"])["id"])
    assert again["request"] == job["request"]
    assert beside(record(server, again, tmp_path / "again.mp4")) == beside(served)
    monkeypatch.chdir(tmp_path)
    np.save("land.npy", np.repeat(LAND, 2, axis=0))
    words = ["--given", "ef=0.55", "--given", "view=apical", "--given", f"action={json.dumps(ACTIONS)}"]
    words += ["--map", "land=land.npy", "--size", "16x8", "--sampler", "heun", "--steps", "3", "--colours", "turbo"]
    words += ["--range", "-0.5", "1.5", "--seed", "4", "--guidance", "1.5", "--dtype", "fp32", "--device", "cpu"]
    assert main(["generate", "--model", str(hearts), *words, "-o", "own.mp4", "--quiet"]) == 0
    own = json.loads(read_tags("own.mp4")["comment"])
    for told in (served, own):  # files are named otherwise, and are the same
        assert told["given"]["land"].pop("file").endswith("land.npy")
    assert beside(served) == beside(own) and served["inputs"] == own["inputs"], (served, own)
    assert np.array_equal(read("own.mp4").frames, read("served.mp4").frames)
    assert np.array_equal(read("again.mp4").frames, read("served.mp4").frames)
    assert read("own.mp4").frames.shape == (4, 16, 8, 3)


def test_labels_that_look_like_something_else(server: Server, tmp_path: Path) -> None:
    videos = list[np.ndarray]()
    for number, label in enumerate(("3", 3, "apical", VIEWS[-1])):
        job = server.until(server.submit(model="hearts", given={"view": label})["id"])
        record(server, job, tmp_path / f"{number}.mp4")
        videos.append(read(tmp_path / f"{number}.mp4").frames)
    assert np.array_equal(videos[0], videos[1])
    assert not any(np.array_equal(one, other) for one, other in pairwise(videos[1:]))


def test_a_picture_and_a_control_with_its_strength(server: Server, clip: bytes, tmp_path: Path) -> None:
    file = send(server, clip)
    plain = {"model": "drawn", "control_from": {"edges": file}}
    picture = server.http.get(f"/api/jobs/{server.until(server.submit()['id'])['id']}/previews/0.png").content
    jobs = [plain, {**plain, "control_scale": {"edges": 0.25}}, {**plain, "picture": send(server, picture)}]
    videos = list[np.ndarray]()
    for number, asked in enumerate(jobs):
        told = record(server, server.until(server.submit(**asked)["id"]), tmp_path / f"{number}.mp4")
        assert told["control"]["edges"]["scale"] == (0.25 if number == 1 else 1)
        assert ("picture" in told["inputs"]) == (number == 2)
        videos.append(read(tmp_path / f"{number}.mp4").frames)
    assert not any(np.array_equal(videos[0], other) for other in videos[1:])


def test_a_mask_says_which_parts_are_made(server: Server, clip: bytes, tmp_path: Path) -> None:
    """The part that is known comes back as in the file; of the rest nothing is told."""
    hole = np.zeros((8, 8), bool)
    hole[2:6, 3:8] = True
    Video(np.repeat(hole[None, ..., None], 3, -1).astype(np.uint8) * 255, 1).save(tmp_path / "hole.png")
    (tmp_path / "clip.mp4").write_bytes(clip)
    asked = {"model": "holed", "known": {"0:4": send(server, clip)}}
    asked["mask"] = send(server, (tmp_path / "hole.png").read_bytes())
    job = server.until(server.submit(**asked)["id"])
    told = record(server, job, tmp_path / "filled.mp4")
    assert told["known"]["frames"] == [0, 1, 2, 3] and "mask" in told["known"]
    (tmp_path / "filled.zip").write_bytes(server.http.get(f"/api/jobs/{job['id']}/video.zip").content)
    shutil.unpack_archive(tmp_path / "filled.zip", tmp_path / "filled")
    made, given = read(tmp_path / "filled", fps=2).frames, read(tmp_path / "clip.mp4").frames
    away = np.abs(made.astype(int) - given.astype(int))
    assert away[:, ~hole].mean() < 8 < away[:, hole].mean()  # the server keeps videos as mp4


def many(count: int) -> dict[str, float]:
    """So many values."""
    return {f"x{number}": 1.0 for number in range(count)}


HEARTS: list[tuple[dict[str, Any], str]] = [
    ({"given": {"ef": 2}}, "ef: expected a number from 0.1 to 0.9, got 2"),
    ({"given": {"ef": "/etc/passwd"}}, "ef: expected a number from 0.1 to 0.9"),
    ({"given": {"ef": True}}, "expected a number, a label or rows of numbers, got bool"),
    ({"given": {"ef": 10**200}}, "at most 1e+30"),
    ({"given": {"eff": 0.5}}, "given: unknown input 'eff'; did you mean 'ef'?"),
    ({"given": {"view": "apicl"}}, "view: unknown label 'apicl'; did you mean 'apical'?"),
    ({"given": {"view": "/etc/passwd"}}, "view: unknown label '/etc/passwd'"),
    ({"given": {"view": "x" * 101}}, "expected a label of 1 to 100 letters"),
    ({"given": {"view": "a\nb"}}, r"view: unknown label 'a\nb'"),
    ({"given": {"action": "/etc/passwd"}}, "action: expected 4 rows of 2 numbers, got '/etc/passwd'"),
    ({"given": {"action": [[1, 2]]}}, "action: expected 4 rows of 2 numbers, got 1 of 2"),
    ({"given": {"action": [[1, 2, 3]] * 4}}, "expected 4 rows of 2 numbers, got 4 of 3"),
    ({"given": {"action": [[1, 2], [1]]}}, "expected 2 numbers in each row"),
    ({"given": {"action": [[1, None]] * 4}}, "or null alone"),
    ({"given": {"action": [[None, None]] * 4}}, "got null alone"),
    ({"given": {"action": [[0]] * 1025}}, "at most 1024 rows"),
    ({"given": {"action": [[]]}}, "expected a list of numbers for each frame"),
    ({"given": {"land": "/etc/passwd.npy"}}, "land: expected in map, as a file"),
    ({"given": {"picture": "/etc/passwd"}}, "unknown input 'picture'"),
    ({"given": {"../x": 1}}, "text like the pattern"),
    ({"given": many(33)}, "at most 32"),
    ({"map": {"land": "/etc/passwd"}}, "text like the pattern"),
    ({"map": {"land": "0" * 64}}, "map_land: expected a file that was sent before"),
    ({"map": many(9)}, "map"),
    ({"picture": "CLIP"}, "picture: expected none"),
    ({"map": {"land": "CLIP"}}, "map_land: expected an array, .npy, got a file .mp4"),
    ({"known": {"0": "MAP"}}, "known_0: expected a picture or a video, got a file .npy"),
    ({"map": {"sea": "MAP"}}, "map: unknown map 'sea'"),
    ({"mask": "CLIP"}, "mask: expected with known"),
    ({"control": {"edges": "CLIP"}}, "control: unknown control 'edges'"),
    ({"control_scale": {"edges": 1}}, "control_scale: edges: expected a file for it"),
    ({"control": {"edges": "CLIP"}, "control_scale": {"edges": -1}}, "at least 0 and at most 10"),
    ({"model": "drawn", "control": {"edges": "CLIP"}, "control_from": {"edges": "CLIP"}}, "expected edges once"),
    ({"until": "bse"}, "until: unknown stage 'bse'; did you mean 'base'?"),
    ({"teacher": True}, "teacher: expected false"),
    ({"negative": "a star"}, "negative: expected none, for the model reads no text"),
    ({"model": "tiny", "until": "base", "prompt": "a star"}, "prompt: expected none, for the model reads no text"),
    ({"model": "tiny", "known": {"0": "CLIP"}}, "known: expected none"),
    ({"model": "mini", "prompt": "a star", "known": {"0": "CLIP"}, "mask": "CLIP"}, "mask: expected none"),
    ({"sampler": "ddmi"}, "sampler: unknown sampler 'ddmi'; did you mean 'ddim'?"),
    ({"sampler": "os.system"}, "text like the pattern"),
    ({"size": [8]}, "size"),
    ({"size": [0, 8]}, "size"),
    ({"size": [8, 8, 8]}, "size"),
    ({"size": ["8", {}]}, "size"),
    ({"steps": 0}, "steps"),
    ({"channel": "gray"}, "channel: unknown channel 'gray'; did you mean 'grey'?"),
    ({"colours": "virids"}, "colours: unknown colour map 'virids'; did you mean 'viridis'?"),
    ({"range": [1, 1]}, "range: expected two numbers that rise"),
    ({"range": [0]}, "range"),
    ({"kind": "upscale", "video": "CLIP", "given": {"ef": 0.5}}, "given: expected without, for a video is upscaled"),
    ({"model": "mini", "prompt": "a star", "given": {"ef": 0.5}}, "given: unknown input 'ef'; there are none"),
    ({"model": "mini", "prompt": "a star", "colours": "turbo"}, "makes pictures in red, green and blue"),
]


def test_what_the_model_does_not_take_is_refused(server: Server, clip: bytes) -> None:
    """At once, with what would be right; nothing of it becomes a job."""
    sent = {"CLIP": send(server, clip), "MAP": send(server, array(LAND))}
    before = server.http.get("/api/jobs").json()["jobs"]
    for asked, told in HEARTS:
        text = json.dumps({"model": "hearts", **asked})
        for name, file in sent.items():
            text = text.replace(f'"{name}"', f'"{file}"')
        answer = server.http.post("/api/jobs", content=text, headers={"content-type": "application/json"})
        assert answer.status_code == 422 and told in answer.json()["error"], (asked, answer.text)
    assert server.http.get("/api/jobs").json()["jobs"] == before


def test_a_map_of_another_shape_fails_with_what_would_be_right(server: Server) -> None:
    for values, told in ((np.ones((3, 3, 3)), "land: expected"), (np.full((8, 8), np.inf), "got infinity")):
        job = server.until(server.submit(model="hearts", map={"land": send(server, array(values))})["id"])
        assert job["state"] == "failed" and told.partition(": ")[2] in job["error"], job
        assert "land" in job["error"] and str(server.folder) not in json.dumps(job)


def headed(shape: str, size: int = 0, kind: str = "<f4") -> bytes:
    """A file .npy that says that its numbers are of this shape and kind, with so many bytes of them."""
    said = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return array(LAND)[:10] + said.ljust(117) + b"\n" + b"\0" * size


def test_arrays_that_are_sent_hold_numbers_and_no_more_than_they_say(server: Server) -> None:
    bad = [
        (array(np.array([{}], dtype=object), allow_pickle=True), "whole or real numbers"),
        (array(np.array(["a"])), "whole or real numbers"),
        (array(LAND.astype(complex)), "whole or real numbers"),
        (array(LAND)[:-4], "expected 256 bytes of (8, 8), got 252"),
        (array(LAND) + b"x", "got 257"),
        (array(np.zeros((1,) * 5)), "at most 4 axes"),
        (headed("(100000, 100000)"), "16,777,216 numbers, got (100000, 100000)"),
        (headed(f"({'9' * 30},)"), "whole or real numbers"),
        (headed(f"({'1' * 19}{'0' * 19}, 8)"), "whole or real numbers"),
        (headed("(8 8)", 256), "whole or real numbers"),
        (headed("(64)", 256), "whole or real numbers"),
        (headed("(08, 8)", 256), "whole or real numbers"),
        (headed("(8, 8)", 192, "<f3"), "whole or real numbers"),
        (headed("(8, 8)", 0, "<f0"), "whole or real numbers"),
        (b"\x93NUMPY" + b"\xff" * 100, "as numpy.save writes it"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"{" * 100, "as numpy.save writes it"),
        (b"\x93NUMPY\x01\x00\x10\x00" + b"__import__('os')" * 4, "whole or real numbers"),
    ]
    for content, told in bad:
        answer = server.http.post("/api/files", content=content)
        assert answer.status_code == 415 and told in answer.json()["error"], (content[:130], answer.text)
    for values in (LAND, LAND > 0, np.ones(3), np.ones(()), np.asfortranarray(np.ones((2, 8, 8))), LAND.astype(">i2")):
        assert server.http.post("/api/files", content=array(values)).status_code == 201
