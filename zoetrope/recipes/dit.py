"""A diffusion transformer for toybox clips of two shapes and two lengths, and pictures: one network for all of them.

As in Sora [Brooks et al. 2024, "Video generation models as world simulators"], images are videos of one frame, and
clips keep their size and length. The network is DiT on spacetime patches; it predicts flow on the straight schedule, as
transformers for video have since [Esser et al. 2024, arXiv:2403.03206]. `dit@S`, `dit@B`, `dit@L` and `dit@XL` are as
deep and wide as those of Peebles & Xie 2023 (arXiv:2212.09748), which had no attention to text.
"""

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.config import unknown
from zoetrope.data.toybox import Toybox
from zoetrope.guidance.text import TextGuidance
from zoetrope.networks.dit import SIZES, DiTConfig
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.linear import RectifiedFlow
from zoetrope.shapes import VideoShape
from zoetrope.text.minilm import MiniLM
from zoetrope.training.grids import Grid
from zoetrope.training.spec import Phase, Recipe, TrainSpec

BASE = VideoShape(frames=16, height=24, width=40, fps=3)
WIDE, TALL = (24, 40), (40, 24)


def recipe(size: str | None = None) -> Recipe:
    """The transformer and its curriculum; `size` is one of S, B, L and XL, None is a small one that a CPU trains.

    Raises ValueError, with the nearest name, for another size.
    """
    if size is not None and size not in SIZES:
        raise ValueError(unknown("size", size, list(SIZES)))
    name = "dit" if size is None else f"dit-{size.lower()}"
    stage = StageSpec(
        name="base",
        shape=BASE,
        # As in mini: what moves where is decided at much lower logsnr in redundant videos than in photographs.
        schedule=RectifiedFlow(shift=-4.5),
        prediction="flow",
        network=_small() if size is None else _published(size),
        sampling=SamplingSpec(sampler=DDIM(), steps=24, guidance=TextGuidance(weight=2.0)),
    )
    return Recipe(
        name=name,
        cascade=CascadeSpec(name=name, text=MiniLM(), stages=(stage,)),
        training={"base": _train() if size is None else _train_published()},
    )


def _small() -> DiTConfig:
    """480 tokens in a clip of 16 frames, few enough that all attend to all."""
    return DiTConfig(
        patch=(2, 4, 4),
        width=192,
        depth=6,
        attention="full",
        modulation="shared",
        fps=BASE.fps,
        per_second=BASE.fps,
    )


def _published(size: str) -> DiTConfig:
    of = SIZES[size]
    large = of.depth * of.width > 12 * 768
    head = of.width // of.heads
    return DiTConfig(
        patch=(1, 2, 2),
        width=of.width,
        depth=of.depth,
        head=head,
        attention="full",
        fps=BASE.fps,
        per_second=BASE.fps,
        checkpointing=large,
    )


def _grids() -> tuple[Grid, ...]:
    """Two shapes in two lengths, and pictures of both."""
    clips = [Grid(frames=frames, height=h, width=w) for frames in (16, 8) for h, w in (WIDE, TALL)]
    return (*clips, *(Grid(frames=1, height=h, width=w, share=0.5) for h, w in (WIDE, TALL)))


def _train() -> TrainSpec:
    return TrainSpec(
        data=Toybox(framing="whole"),
        weight="flow",
        balance=True,
        grids=_grids(),
        same_pixels=True,
        phases=(
            # Appearance from pictures, then motion from clips of all grids; the batches of all have as many tokens.
            Phase(examples=160_000, batch=32, frames=1, peak=1e-3),
            Phase(examples=90_000, batch=4, peak=1e-3),
        ),
        optimizer="muon",
        clip=10.0,
        warm_up=3200,
        cool_down=30_000,
        half_life=2000,
        checkpoint_every=4000,
        sample_every=4000,
        log_every=320,
    )


def _train_published() -> TrainSpec:
    """With the optimizer of DiT: AdamW with a constant rate of 1e-4, without decay of weights."""
    return TrainSpec(
        data=Toybox(framing="whole"),
        weight="flow",
        grids=_grids(),
        grid_batches="packed",
        phases=(Phase(examples=100_000_000, batch=256, peak=1e-4),),
        betas=(0.9, 0.999),
        weight_decay=0.0,
        warm_up=0,
        half_life=1_800_000,  # decay 0.9999 per step of 256 examples
        checkpoint_every=1_000_000,
        sample_every=1_000_000,
        log_every=25_600,
    )
