"""mini: the cascade that ships with the package, with the paper's shapes and narrow networks, trained on toybox.

    zoetrope train mini --stage base --out runs/base
    zoetrope train mini --stage tsr1 --out runs/tsr1
    ... and so on: ssr1, ssr2, tsr2, tsr3, ssr3

Hardware, hours and scores of the shipped weights are in the model card.
"""

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.data.mixture import Mixture, Part
from zoetrope.data.toybox import Toybox
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.known.learnt import Learnt
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape
from zoetrope.text.minilm import MiniLM
from zoetrope.training.known.any import AnyFrames
from zoetrope.training.known.independent import Independent
from zoetrope.training.known.mixture import KnownMixture, KnownPart
from zoetrope.training.known.none import NoKnown
from zoetrope.training.known.prefix import Prefix
from zoetrope.training.spec import DistilSpec, Phase, Recipe, TrainSpec

BASE = VideoShape(frames=16, height=24, width=40, fps=3)
LONG = 180  # frames of the long clips, a minute
TSR1 = VideoShape(frames=32, height=24, width=40, fps=6)
SSR1 = VideoShape(frames=32, height=48, width=80, fps=6)
SSR2 = VideoShape(frames=32, height=192, width=320, fps=6)
TSR2 = VideoShape(frames=64, height=192, width=320, fps=12)
TSR3 = VideoShape(frames=128, height=192, width=320, fps=24)
SSR3 = VideoShape(frames=128, height=768, width=1280, fps=24)


def recipe() -> Recipe:
    """The mini cascade and its curricula."""
    stages = (
        _base(),
        _small("tsr1", TSR1, BASE, (48, 96)),
        _small("ssr1", SSR1, TSR1, (48, 64, 128)),
        _large("ssr2", SSR2, SSR1),
        _large("tsr2", TSR2, SSR2),
        _large("tsr3", TSR3, TSR2),
        _large("ssr3", SSR3, TSR3),
    )
    return Recipe(
        name="mini",
        cascade=CascadeSpec(name="mini", text=MiniLM(), stages=stages, default_until="ssr2"),
        training={
            "base": _train_base(),
            "tsr1": _train_small(28_000),
            "ssr1": _train_small(32_000),
            "ssr2": _train_large(14_000),
            "tsr2": _train_large(24_000),
            "tsr3": _train_large(20_000),
            "ssr3": _train_large(14_000),
        },
        distillation={
            "base": _distil_base(),
            **dict.fromkeys(("tsr1", "ssr1", "ssr2", "tsr2", "tsr3", "ssr3"), _distil_small()),
        },
    )


def _base() -> StageSpec:
    return StageSpec(
        name="base",
        shape=BASE,
        # Sixteen frames of flat shapes are so redundant that positions and directions are decided at much lower logsnr
        # than in photographs, below -5: the schedule is shifted there.
        schedule=Cosine(shift=-4.5),
        network=VideoUNetConfig(
            patch=2,
            positions=True,
            fps=BASE.fps,
            levels=(
                Level(width=64, blocks=1, temporal=("attention",)),
                Level(width=192, blocks=3, spatial_attention=True, text_attention=True, temporal=("attention",)),
            ),
        ),
        sampling=SamplingSpec(sampler=DDIM(), steps=16, guidance=TextGuidance(weight=2.0), known=Learnt()),
    )


def _small(name: str, shape: VideoShape, source: VideoShape, widths: tuple[int, ...]) -> StageSpec:
    """A stage that sees whole clips; the spatial one attends to whole frames, as the paper's does."""
    spatial = shape.height > source.height
    levels = [Level(width=width, temporal=("convolution",)) for width in widths[:-1]]
    blocks = 1 if spatial else 2
    levels.append(
        Level(
            width=widths[-1],
            blocks=blocks,
            spatial_attention=spatial,
            text_attention=True,
            temporal=("convolution",),
        )
    )
    return _super_resolution(name, shape, source, tuple(levels), patch=2)


def _large(name: str, shape: VideoShape, source: VideoShape) -> StageSpec:
    """A fully convolutional stage: trained on parts of clips, run in tiles."""
    levels = (
        Level(width=64, temporal=("convolution",)),
        Level(width=96, blocks=2, text_attention=True, temporal=("convolution",)),
    )
    return _super_resolution(name, shape, source, levels, patch=4)


def _super_resolution(
    name: str, shape: VideoShape, source: VideoShape, levels: tuple[Level, ...], *, patch: int
) -> StageSpec:
    return StageSpec(
        name=name,
        shape=shape,
        # Generated videos of flat shapes are nearly as clean as true ones: training adds little noise to them.
        inputs=usual_inputs(source, augment=0.2),
        network=VideoUNetConfig(low_res=True, anchored=True, patch=patch, levels=levels),
        # Enlarged flat shapes are almost determined, and an anchored network starts from its input: more steps and
        # augmentation gain little or hurt (docs/results.md). Input frames are kept.
        sampling=SamplingSpec(sampler=DDIM(), steps=2, keep_frames=shape.frames > source.frames),
    )


def _train_base() -> TrainSpec:
    return TrainSpec(
        data=Mixture(parts=(Part(source=Toybox()), Part(source=Toybox(long=True)))),
        weight="v",
        balance=True,
        known=KnownMixture(
            parts=(
                KnownPart(known=NoKnown(), weight=4),
                KnownPart(known=Prefix(), weight=2),
                KnownPart(known=AnyFrames(), weight=1),
                KnownPart(known=AnyFrames(length=LONG), weight=2),
                KnownPart(known=Independent(), weight=1),
            )
        ),
        phases=(
            # Appearance from pictures; then words of motion from many clips of four frames, which show the whole course
            # at a quarter of the cost; then smooth motion.
            Phase(examples=216_000, batch=64, frames=1, peak=2e-3),
            Phase(examples=64_000, batch=16, frames=4, images=0.1, peak=2e-3),
            Phase(examples=24_000, batch=8, frames=8, images=0.1, peak=1.5e-3),
            Phase(examples=24_000, batch=4, images=0.1, peak=1.2e-3),
        ),
        optimizer="muon",
        clip=10.0,
        warm_up=3200,
        cool_down=12_000,
        half_life=400,  # while the rate falls every clip helps, and a longer memory lags behind (docs/results.md)
        checkpoint_every=4000,
        sample_every=4000,
        log_every=320,
    )


def _train_small(examples: int) -> TrainSpec:
    """On whole frames, eight of a clip at a time."""
    return TrainSpec(
        data=Toybox(),
        weight="v",
        balance=True,
        phases=(Phase(examples=examples, batch=4, peak=1.5e-3),),
        span=8,
        optimizer="muon",
        clip=10.0,
        warm_up=800,
        cool_down=examples // 2,
        half_life=1000,
        checkpoint_every=2000,
        sample_every=0,
        log_every=200,
    )


def _train_large(examples: int) -> TrainSpec:
    """On squares of frames."""
    return _train_small(examples).with_(crop=(96, 96))


def _distil_base() -> DistilSpec:
    """Guidance first, on four frames of a clip, three times as fast as on sixteen; then from 128 steps to 8."""
    return DistilSpec(
        start=128,
        steps=8,
        weights=(0.0, 4.0),
        guidance=Phase(examples=24_000, batch=16, frames=4, peak=6e-4),
        halving=Phase(examples=800, batch=4, peak=3e-4),
        last=Phase(examples=2_000, batch=4, peak=3e-4),
        warm_up=200,
        half_life=400,
    )


def _distil_small() -> DistilSpec:
    """From its usual two steps, which are more accurate than more steps, to a single one."""
    return DistilSpec(
        start=2,
        steps=1,
        last=Phase(examples=2_000, batch=4, peak=4e-4),
        warm_up=100,
        half_life=200,
    )
