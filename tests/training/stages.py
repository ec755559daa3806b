"""Three tiny stages of one cascade, trained on the toybox: recipes and batches of them."""

from pathlib import Path
from typing import Any

import torch

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.data.toybox import Toybox
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.inputs.low_res import LowRes, usual_inputs
from zoetrope.inputs.text import Text
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words
from zoetrope.training.batch import Batches
from zoetrope.training.spec import Phase, Recipe, TrainSpec

BASE = VideoShape(frames=2, height=4, width=8, fps=3)
TSR = VideoShape(frames=4, height=4, width=8, fps=6)
SSR = VideoShape(frames=4, height=8, width=16, fps=6)
CPU = torch.device("cpu")
TEXT = Words(width=8, limit=16)


def stage(name: str) -> StageSpec:
    """The stage of that name, with a network of a few thousand weights."""
    shape, source = {"base": (BASE, None), "tsr1": (TSR, BASE), "ssr1": (SSR, TSR)}[name]
    levels = (Level(width=8, temporal="convolution"), Level(width=16, text_attention=True, temporal="attention"))
    network = VideoUNetConfig(low_res=source is not None, text_width=8, embedding=16, head=8, levels=levels)
    return StageSpec(name=name, shape=shape, inputs=usual_inputs(source), network=network)


def plan(**fields: Any) -> TrainSpec:
    """How each of them is trained: ten steps of four clips, unless fields say otherwise."""
    common: dict[str, Any] = {
        "data": Toybox(scripts=3),
        "phases": (Phase(examples=40, batch=4, peak=1e-3),),
        "warm_up": 8,
        "weight": "v",
        "precision": "fp32",
        "checkpoint_every": 1000,
        "sample_every": 0,
        "log_every": 8,
    }
    return TrainSpec(**common | fields)


def recipe(**fields: Any) -> Recipe:
    """All three with these fields of their training."""
    names = ("base", "tsr1", "ssr1")
    cascade = CascadeSpec(name="tiny", text=TEXT, stages=tuple(stage(name) for name in names))
    training = {name: plan(**fields) for name in names}
    still = tuple(phase.with_(images=0.0) for phase in training["base"].phases)
    training["tsr1"] = training["tsr1"].with_(phases=still)  # learns from nothing but clips
    return Recipe(name="tiny", cascade=cascade, training=training)


def batches(
    cache: Path, name: str = "base", *, dropout: float | None = None, augment: float | None = None, **fields: Any
) -> Batches:
    """The batches of a stage's training, with other shares of dropped texts and noise."""
    spec, own = plan(**fields), stage(name)
    if dropout is not None:
        own = own.with_input(Text(dropout=dropout))
    if augment is not None:
        own = own.with_input(LowRes(shape=own.source, augment=augment))
    return Batches(stage=own, spec=spec, dataset=spec.data.open(), texts=EmbeddingCache(TEXT, cache))
