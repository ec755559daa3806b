"""Lumiere: 80 frames at 16 per second in one pass, by a U-Net that shrinks time as well [Bar-Tal et al. 2024].

From the paper [arXiv:2401.12945]: 80 frames of 128x128, without temporal super-resolution; a frozen image model, whose
network gets new layers of time, so that every n-th frame begins as the image model makes it; resolution in time falls
and rises with that in space, by keeping and repeating frames at first; temporal convolutions at all levels but the
coarsest, temporal attention at the coarsest alone, in several blocks; spatial super-resolution to 1024x1024, whose
network is inflated too and sees short windows that overlap by two frames.

Our choices, where the paper is silent: widths and depths in space, about those of Imagen's base and of its largest
stage [arXiv:2205.11487, App. B]; how often time is halved; rates and batches; steps and guidance.

    zoetrope plan lumiere --device h100
    zoetrope train lumiere --stage base --init IMAGE_MODEL --data CLIPS --out runs/lumiere/base

lumiere@mini begins as mini_image and learns on toybox: 80 frames of 24x40, enlarged to 48x80.

    zoetrope train lumiere@mini --init mini_image --out runs/lumiere
    zoetrope generate "a red star moving down" --model runs/lumiere
    zoetrope generate "a red star moving down" --model runs/lumiere --style runs/style --style-weight 0.7
"""

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.cascade.windows import Windows
from zoetrope.config import unknown
from zoetrope.data.folder import Folder
from zoetrope.data.toybox import Toybox
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.recipes._mini_image import BASE, SSR, inflated
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape
from zoetrope.text.minilm import MiniLM
from zoetrope.text.t5 import T5
from zoetrope.training.spec import Phase, Recipe, TrainSpec

SHAPE = VideoShape(frames=80, height=128, width=128, fps=16)
LARGE = VideoShape(frames=80, height=1024, width=1024, fps=16)
SMALL = VideoShape(frames=80, height=24, width=40, fps=16)
SMALL_LARGE = VideoShape(frames=80, height=48, width=80, fps=16)
WINDOW = 16  # frames that the enlarging network sees at a time
NEW = ("*temporal*", "fewer*", "more*")
"""The layers that an image network does not have."""
BATCH = 256
RATE = 1.5e-3  # of the small stages


def recipe(size: str | None = None) -> Recipe:
    """Lumiere at the paper's size, or "mini", which a CPU trains.

    Raises ValueError, with the nearest name, for another size.
    """
    if size not in (None, "mini"):
        raise ValueError(unknown("size", str(size), ["mini"]))
    return _mini() if size else _published()


def _published() -> Recipe:
    widths = (256, 512, 1024, 1536, 2048)
    levels = tuple(
        Level(
            width=width,
            blocks=3 if index < 4 else 6,
            spatial_attention=index > 2,
            text_attention=index > 1,
            temporal=("attention",) if index == len(widths) - 1 else ("convolution",),
            every=1 if index == 0 else 2,
        )
        for index, width in enumerate(widths)
    )
    base = StageSpec(
        name="base",
        shape=SHAPE,
        network=VideoUNetConfig(
            text_width=T5().width, embedding=1024, head=64, fps=SHAPE.fps, levels=levels, checkpointing=True
        ),
        sampling=SamplingSpec(sampler=DDIM(), steps=256, guidance=TextGuidance(weight=7.0)),
    )
    larger = tuple(
        Level(width=width, blocks=blocks, text_attention=index == 3, temporal=("convolution",))
        for index, (width, blocks) in enumerate(((128, 2), (256, 2), (512, 3), (1024, 7)))
    )
    ssr = StageSpec(
        name="ssr",
        shape=LARGE,
        inputs=usual_inputs(SHAPE),
        network=VideoUNetConfig(
            low_res=True, text_width=T5().width, patch=2, embedding=1024, head=64, levels=larger, checkpointing=True
        ),
        sampling=SamplingSpec(
            sampler=DDIM(), steps=32, guidance=TextGuidance(weight=2.0), windows=Windows(frames=WINDOW, overlap=2)
        ),
    )
    return Recipe(
        name="lumiere",
        cascade=CascadeSpec(name="lumiere", text=T5(), stages=(base, ssr)),
        training={"base": _train(), "ssr": _train().with_(span=WINDOW, crop=(256, 256), learn=("*temporal*",))},
    )


def _train() -> TrainSpec:
    """The new layers alone; the image model is frozen."""
    return TrainSpec(
        data=Folder(path="data"),
        weight="eps",
        phases=(Phase(examples=BATCH * 500_000, batch=BATCH, peak=1e-4),),
        init_missing="fresh",
        learn=NEW,
        warm_up=BATCH * 2000,
        half_life=BATCH * 6_900,
        accumulate=64,
        checkpoint_every=BATCH * 1000,
        sample_every=BATCH * 5000,
        log_every=BATCH * 10,
    )


def _mini() -> Recipe:
    base = StageSpec(
        name="base",
        shape=SMALL,
        # As in mini: what moves where is decided at much lower logsnr in redundant videos than in pictures.
        schedule=Cosine(shift=-4.5),
        # All frames at the finest level, whose convolutions join what the coarser one repeats; a quarter where pixels
        # attend to each other: four times a second, as often as directions change.
        network=inflated(
            BASE, ({"temporal": ("convolution",)}, {"temporal": ("attention",), "every": 4}), fps=SMALL.fps
        ),
        sampling=SamplingSpec(sampler=DDIM(), steps=32, guidance=TextGuidance(weight=2.0)),
    )
    convolution = {"temporal": ("convolution",)}
    ssr = StageSpec(
        name="ssr",
        shape=SMALL_LARGE,
        inputs=usual_inputs(SMALL, augment=0.2),
        network=inflated(SSR, (convolution, convolution, convolution)),
        sampling=SamplingSpec(sampler=DDIM(), steps=2, windows=Windows(frames=WINDOW, overlap=2)),
    )
    # The captions of pictures tell no motion: the layers that read text have to learn its words, and those that place
    # frames in the clip, when things happen.
    learn = (*NEW, "*text*", "frame_position*")
    return Recipe(
        name="lumiere-mini",
        cascade=CascadeSpec(name="lumiere-mini", text=MiniLM(), stages=(base, ssr)),
        training={
            # A quarter of the frames tells the whole course at a quarter of the cost: first where things go, then how.
            "base": _train_mini(
                Phase(examples=64_000, batch=16, frames=SMALL.frames // 4, peak=RATE),
                Phase(examples=12_000, batch=4, peak=RATE),
                cool_down=12_000,
            ).with_(learn=learn),
            "ssr": _train_mini(Phase(examples=8_000, batch=4, peak=RATE), cool_down=4_000).with_(
                learn=("*temporal*",), span=WINDOW
            ),
        },
    )


def _train_mini(*phases: Phase, cool_down: int) -> TrainSpec:
    return TrainSpec(
        data=Toybox(),
        weight="v",
        balance=True,
        phases=phases,
        init_missing="fresh",
        optimizer="muon",
        clip=10.0,
        warm_up=500,
        cool_down=cool_down,
        half_life=400,
        checkpoint_every=1600,
        sample_every=3600,
        log_every=160,
    )
