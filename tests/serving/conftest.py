"""A server in a process of its own, as a user starts it, with very small models without text."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
import torch

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.inputs.edges import Edges
from zoetrope.inputs.first_frame import FirstFrame
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.inputs.region import Region
from zoetrope.models.folder import write_model
from zoetrope.networks.controlled import Control, ControlledConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.shapes import VideoShape
from zoetrope.video import Video

BASE = VideoShape(frames=4, height=8, width=8, fps=2)
SSR = VideoShape(frames=4, height=16, width=16, fps=2)
VIEWS = ["apical", "parasternal", "3", " de\N{NO-BREAK SPACE}face"]
WAIT = 300.0
"""Seconds after which a test fails; a busy machine may need a good part of them."""


class Server(NamedTuple):
    """A running server: its process, a client, its history, and what it printed."""

    process: subprocess.Popen[str]
    http: httpx.Client
    folder: Path
    printed: list[str]

    def submit(self, **request: Any) -> dict[str, Any]:
        """Submit a job, of the small model unless told."""
        answer = self.http.post("/api/jobs", json={"model": "tiny", **request})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def job(self, name: str) -> dict[str, Any]:
        """A job as it stands."""
        return dict(self.http.get(f"/api/jobs/{name}").json())

    def until(self, name: str, *states: str) -> dict[str, Any]:
        """A job once it is in one of these states, or has ended."""
        end = time.monotonic() + WAIT
        while (job := self.job(name))["state"] not in (*states, "done", "failed", "cancelled"):
            assert time.monotonic() < end, job
            time.sleep(0.02)
        return job

    def stop(self) -> str:
        """End the server as Ctrl-C does; the last line that it printed."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(WAIT)
        return self.printed[-1]


def serve(folder: Path, *words: str | Path) -> Server:
    """Start a server, and wait until it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "zoetrope", "serve", "--port=0", "--folder", folder.name, *map(str, words)],
        cwd=folder.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    stderr, printed = process.stderr, [process.stderr.readline()]
    while printed[-1].startswith("warning: "):
        printed.append(stderr.readline())
    assert printed[-1].startswith("http://"), printed
    address = printed[-1].split()[0].partition("?")[0].removesuffix("api")
    threading.Thread(target=lambda: printed.extend(stderr), daemon=True).start()
    return Server(process, httpx.Client(base_url=address, timeout=WAIT), folder, printed)


def ready(server: Server) -> Server:
    """The server, once its first process is ready."""
    end = time.monotonic() + WAIT
    while server.http.get("/api/models").status_code == 503:
        assert time.monotonic() < end, server.printed
    return server


def network(*, low_res: bool) -> VideoUNetConfig:
    """A few hundred weights."""
    level = Level(width=8, text_attention=False, temporal="convolution")
    return VideoUNetConfig(low_res=low_res, text_width=None, embedding=16, head=8, levels=(level,))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of 1,000 steps at most and a spatial super-resolution, with random weights."""
    torch.manual_seed(0)
    low_res = tuple(each for each in usual_inputs(BASE, logsnr=math.log(3.0)) if each.name != "text")
    sampling = SamplingSpec(steps=2, guidance=0.0)
    other = SamplingSpec(steps=2, guidance=0.0, sampler=Ancestral())
    spec = CascadeSpec(
        name="tiny",
        text=None,
        stages=(
            StageSpec(name="base", shape=BASE, inputs=(), network=network(low_res=False), sampling=sampling),
            StageSpec(name="ssr1", shape=SSR, inputs=low_res, network=network(low_res=True), sampling=other),
        ),
    )
    return written(tmp_path_factory.mktemp("secret-place") / "tiny", spec)


def written(folder: Path, spec: CascadeSpec) -> Path:
    """A model's folder, with random weights."""
    networks = {stage.name: stage.network.build() for stage in spec.stages}
    for built in networks.values():
        for weight in built.parameters():
            torch.nn.init.normal_(weight, std=0.3)
    write_model(folder, spec, networks, f"# {spec.name}\n\nFor tests.\n")
    return folder


@pytest.fixture(scope="module")
def hearts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of one channel in kelvin that is told a number, a label, actions and a map, and has learnt two sizes."""
    torch.manual_seed(0)
    level = {"width": 8, "temporal": ["convolution"]}
    network = {
        "type": "video_unet", "channels": 1, "text_width": None, "embedding": 8, "head": 8, "levels": [level],
        "numbers": ["ef"], "labels": [{"name": "view", "size": 4}], "actions": [{"name": "action", "size": 2}],
        "aligned": [{"name": "land", "size": 1}],
    }  # fmt: skip
    inputs = [
        {"type": "number", "told": "ef", "lo": 0.1, "hi": 0.9}, {"type": "action", "entries": 2},
        {"type": "label", "told": "view", "classes": VIEWS}, {"type": "map", "told": "land"},
    ]  # fmt: skip
    shape = BASE.to_json()
    stage = {"name": "base", "shape": shape, "inputs": inputs, "network": network, "sampling": {"steps": 2}}
    stage["grids"] = [shape, {**shape, "height": 16}]
    grey = {"name": "grey", "unit": "K", "scale": {"type": "range", "lo": 0, "hi": 1}}
    spec = CascadeSpec.from_json({"name": "hearts", "text": None, "channels": [grey], "stages": [stage]})
    return written(tmp_path_factory.mktemp("secret-place") / "hearts", spec)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that follows edges and begins with a picture."""
    torch.manual_seed(0)
    begun = network(low_res=False).with_(first_frame=True)
    following = ControlledConfig(network=begun, controls=(Control(name="edges", channels=1),), text_width=None)
    sampling = SamplingSpec(steps=2, guidance=0.0)
    stage = StageSpec(name="base", shape=BASE, inputs=(FirstFrame(), Edges()), network=following, sampling=sampling)
    spec = CascadeSpec(name="drawn", text=None, stages=(stage,))
    return written(tmp_path_factory.mktemp("secret-place") / "drawn", spec)


@pytest.fixture(scope="module")
def holed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that fills parts of known frames."""
    torch.manual_seed(0)
    filling = network(low_res=False).with_(region=True)
    sampling = SamplingSpec(steps=2, guidance=0.0)
    stage = StageSpec(name="base", shape=BASE, inputs=(Region(),), network=filling, sampling=sampling)
    spec = CascadeSpec(name="holed", text=None, stages=(stage,))
    return written(tmp_path_factory.mktemp("secret-place") / "holed", spec)


@pytest.fixture(scope="module")
def server(
    tiny: Path, hearts: Path, drawn: Path, holed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server of the small models and of `mini`, with the page."""
    folder = tmp_path_factory.mktemp("home") / "served"
    models = [word for name in (tiny, "mini", hearts, drawn, holed) for word in ("--model", name)]
    made = serve(folder, *models, "--most-waiting", "4", "--dtype", "fp32")
    try:
        yield ready(made)
    finally:
        made.http.close()
        made.stop()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of four frames of the small model's first stage."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    frames = np.zeros((4, 8, 8, 3), np.uint8)
    for number in range(4):
        frames[number, 2:6, number : number + 4] = 220
    Video(frames, 2).save(path)
    return path.read_bytes()


def events(server: Server, name: str) -> list[dict[str, Any]]:
    """What a job's events told, to its end."""
    with server.http.stream("GET", f"/api/jobs/{name}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        return [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
