"""The small recipes that studies train: a stage that paints single pictures or short clips, and one that enlarges."""

from typing import Any

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.data.toybox import Toybox
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape
from zoetrope.text import TextEncoder
from zoetrope.text.minilm import MiniLM
from zoetrope.text.words import Words
from zoetrope.training.spec import Phase, Recipe, TrainSpec

SMALL = VideoShape(frames=8, height=24, width=40, fps=1.5)
LARGE = VideoShape(frames=8, height=48, width=80, fps=1.5)
STILL = VideoShape(frames=1, height=24, width=40, fps=3)
PAINTING = (Phase(examples=32_000, batch=32, peak=2e-3),)
ENLARGING = (Phase(examples=1_500, batch=2, peak=1.5e-3),)
SPAN = 4  # frames that a stage sees at a time
MUTE = Words(width=16, limit=8)  # for stages that attend to no text


def painter(
    shape: VideoShape,
    phases: tuple[Phase, ...],
    *,
    widths: tuple[int, int] = (64, 128),
    text: TextEncoder | None = None,
    **training: Any,
) -> Recipe:
    """A base stage, like mini's but narrower."""
    encoder = text or MiniLM()
    fine, coarse = widths
    network = VideoUNetConfig(
        patch=2,
        positions=True,
        text_width=encoder.width,
        levels=(
            Level(width=fine, temporal="attention"),
            Level(width=coarse, blocks=2, spatial_attention=True, text_attention=True, temporal="attention"),
        ),
    )
    stage = StageSpec(
        name="base",
        shape=shape,
        schedule=Cosine(shift=-3.0),
        network=network,
        sampling=SamplingSpec(sampler=DDIM(), steps=32, guidance=2.0),
    )
    return _recipe(encoder, (stage,), phases, training)


def enlarger(
    phases: tuple[Phase, ...] = ENLARGING,
    *,
    temporal: str | None = "convolution",
    prediction: str = "v",
    anchored: bool = False,
    augment: float = 0.0,
    **training: Any,
) -> Recipe:
    """A super-resolution stage that doubles the side, of clean input, after a base stage that is there for its shape.

    With `balance` an error counts in relation to what is usual at its noise level, so arms that predict other things,
    or weigh their losses otherwise, learn with the same effective weights.
    """
    levels = tuple(Level.from_json({"width": width, "temporal": temporal}) for width in (32, 64))
    network = VideoUNetConfig(
        patch=2, embedding=64, low_res=True, anchored=anchored, text_width=MUTE.width, levels=levels
    )
    stage = StageSpec.from_json(
        {
            "name": "ssr",
            "shape": LARGE.to_json(),
            "inputs": [{"type": "text"}, {"type": "low_res", "shape": SMALL.to_json(), "augment": augment}],
            "network": network.to_json(),
            "sampling": SamplingSpec(sampler=DDIM(), steps=16).to_json(),
            "prediction": prediction,
        }
    )
    base = painter(SMALL, phases, text=MUTE).cascade.stages[0]
    return _recipe(MUTE, (base, stage), phases, {"span": SPAN, **training})


def _recipe(
    text: TextEncoder, stages: tuple[StageSpec, ...], phases: tuple[Phase, ...], training: dict[str, Any]
) -> Recipe:
    total = sum(phase.examples for phase in phases)
    spec = TrainSpec(
        **{
            "data": Toybox(),
            "phases": phases,
            "weight": "v",
            "balance": True,
            "optimizer": "muon",
            "clip": 10.0,
            "warm_up": total // 20,
            "cool_down": total // 2,
            "half_life": max(1, total // 50),
            "precision": "bf16",
            "checkpoint_every": max(1, 2 * total // 5),
            "keep": 8,
            "sample_every": 0,
            "log_every": max(1, total // 50),
            **training,
        }
    )
    cascade = CascadeSpec(name="study", text=text, stages=stages)
    return Recipe(name="study", cascade=cascade, training={stages[-1].name: spec})
