"""A cascade of two tiny stages on random pixels, for tests of what surrounds the learning."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import zoetrope.data
import zoetrope.networks
import zoetrope.text
import zoetrope.training.objectives
from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.data import Source
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.text import TextEncoder
from zoetrope.training.loop import Run
from zoetrope.training.spec import Phase, Recipe, TrainSpec

BASE = VideoShape(frames=2, height=4, width=8, fps=3)
TSR = VideoShape(frames=4, height=4, width=8, fps=6)

Tiny = Callable[..., Recipe]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the texts of a file's tests are kept encoded."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """Make a recipe: tiny(half_life=3, ...) with fields of both stages' `TrainSpec`."""
    own = str(Path(__file__).parent / "kinds")
    for package in (zoetrope.networks, zoetrope.data, zoetrope.text, zoetrope.training.objectives):
        monkeypatch.setattr(package, "__path__", [*package.__path__, own])

    def make(**fields: Any) -> Recipe:
        common: dict[str, Any] = {
            "data": Source.from_json({"type": "gaussian"}),
            "phases": (Phase(examples=24, batch=4, peak=1e-3),),
            "warm_up": 0,
            "weight": "v",
            "precision": "fp32",
            "sample_every": 0,
            "log_every": 8,
            "checkpoint_every": 16,
        }
        levels = (Level(width=16, spatial_attention=True, text_attention=True, temporal="attention"),)
        base, tsr = (
            VideoUNetConfig(low_res=low, text_width=8, embedding=16, head=8, levels=levels) for low in (False, True)
        )
        stages = (
            StageSpec(name="base", shape=BASE, network=base, sampling=SamplingSpec(steps=2, threshold=None)),
            StageSpec(name="tsr1", shape=TSR, inputs=usual_inputs(BASE), network=tsr, sampling=SamplingSpec(steps=2)),
        )
        cascade = CascadeSpec(name="tiny", text=TextEncoder.from_json({"type": "constant"}), stages=stages)
        spec = TrainSpec(**common | fields)
        return Recipe(name="tiny", cascade=cascade, training={"base": spec, "tsr1": spec})

    return make


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., Run]:
    """Train in a folder, to the end or until so many examples are seen: trained(recipe, "name", until=8)."""

    def train(recipe: Recipe, name: str, until: int | None = None, init: Path | None = None) -> Run:
        run = Run(recipe, "base", tmp_path / name, torch.device("cpu"), init)
        reports = run.train(tmp_path / "cache")
        for progress in reports:
            if until is not None and progress.examples >= until:
                reports.close()  # type: ignore[attr-defined]
                break
        return run

    return train
