"""video_ldm: Video LDM on toybox's latents, with narrow networks [Blattmann et al. 2023, arXiv:2304.08818].

From the paper: a latent image model, whose network gets layers of time, attention and convolution, joined by a learned
share alpha; the image model is frozen, so that alpha = 1 is the image model; latents of an encoder of frames. It learns
to continue frames that are given, with context guidance; one more model of latents, which begins as the image model
too, makes four times as many frames, and again four times as many, and is told the frame rate; an upsampler learns on
parts of frames, and runs on whole ones.

Our choices: the width and depth of the coarsest level of `mini`, for latents have its grid; prediction of v; layers
that read text or place frames in the clip learn too, because the captions of pictures tell no motion; given frames are
frames at the level of clean data instead of masked maps beside z, and get no noise; an upsampler of pixels. One of the
frames that the interpolation is given in four is known, so the last three of a clip have a known frame before them
alone.

    stage   makes           the network
    base    16x24x40@3      latents of 4x6x10
    tsr1    64x24x40@12     latents, 16 frames at a time, of which every fourth is the base's
    tsr2    256x24x40@48    that of tsr1
    ssr1    256x48x80@48    pixels, trained on 8 frames of 24x40

    zoetrope train toybox_codec --out runs/codec
    zoetrope train video_ldm@image --codec runs/codec --out runs/image
    zoetrope train video_ldm --codec runs/codec --init runs/image --out runs/video
    zoetrope generate "a red star moving down" --model runs/video
    zoetrope generate "a red star moving down" --model runs/video --known 0=star.png --until base

`video_ldm@image` is the image model; `train --stage base` trains the first stage of videos alone. Where a training
reads the same clips often, encode them once:

    zoetrope data encode toybox --count 20000 --recipe video_ldm --codec runs/codec --out latents
    zoetrope train video_ldm --stage base --data latents --init runs/image --out runs/video/base
"""

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.cascade.windows import Windows
from zoetrope.config import unknown
from zoetrope.data.latents import Latents
from zoetrope.data.toybox import Toybox
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs.fps import FrameRate
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.inputs.text import Text
from zoetrope.known.learnt import Learnt
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.recipes.toybox_codec import CODEC
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape
from zoetrope.text.minilm import MiniLM
from zoetrope.training.known.every import EveryNth
from zoetrope.training.known.mixture import KnownMixture, KnownPart
from zoetrope.training.known.none import NoKnown
from zoetrope.training.known.prefix import Prefix
from zoetrope.training.spec import Phase, Recipe, TrainSpec

BASE = VideoShape(frames=16, height=24, width=40, fps=3)  # mini's
FINE, FINEST = BASE.with_(frames=64, fps=12), BASE.with_(frames=256, fps=48)
LARGE = FINEST.with_(height=48, width=80)
SKIP = 4
NEW = ("*temporal*", "*mix.logit")
"""The layers that an image network does not have."""
IMAGE = VideoUNetConfig(
    channels=CODEC.channels,
    positions=True,
    levels=(Level(width=192, blocks=3, spatial_attention=True, text_attention=True),),
)
SCHEDULE = Cosine(shift=-2.0)
"""A latent of a flat shape is as redundant as its pixels over frames, but no longer within a frame."""
PICTURES, CLIPS, FILLED, PATCHES = 216_000, 40_000, 24_000, 24_000


def recipe(size: str | None = None) -> Recipe:
    """The model of videos, or "image", the one that it begins as.

    Raises ValueError, with the nearest name, for another.
    """
    if size not in (None, "image"):
        raise ValueError(unknown("size", str(size), ["image"]))
    if size == "image":
        still = _base(BASE.with_(frames=1), IMAGE, Cosine(), known=None)
        cascade = CascadeSpec(name="video_ldm-image", text=MiniLM(), stages=(still,))
        return Recipe(name=cascade.name, cascade=cascade, training={"base": _of_pictures()})
    base = _base(BASE, inflated(), SCHEDULE, known=Learnt(without="noised"))
    finer = _between("tsr1", FINE, BASE)
    finest = _between("tsr2", FINEST, FINE).with_(weights_of=finer.name)
    cascade = CascadeSpec(name="video_ldm", text=MiniLM(), stages=(base, finer, finest, _upsampler()))
    training = {"base": _of_clips(), "tsr1": _of_frames_between(), "ssr1": _of_patches()}
    return Recipe(name=cascade.name, cascade=cascade, training=training)


def _base(shape: VideoShape, network: VideoUNetConfig, schedule: Cosine, known: Learnt | None) -> StageSpec:
    sampling = SamplingSpec(sampler=DDIM(), steps=32, guidance=TextGuidance(weight=2.0), threshold=None, known=known)
    return StageSpec(
        name="base",
        shape=CODEC.latents(shape),
        schedule=schedule,
        network=network,
        codec=CODEC,
        sampling=sampling,
    )


def _between(name: str, shape: VideoShape, source: VideoShape) -> StageSpec:
    """The interpolation, at one of its rates; its network sees as many frames at a time as the base's."""
    windows = Windows(frames=BASE.frames, overlap=SKIP)
    return StageSpec(
        name=name,
        shape=CODEC.latents(shape),
        inputs=(Text(), FrameRate()),
        schedule=SCHEDULE,
        network=inflated().with_(rate=True, fps=None),
        codec=CODEC,
        sampling=SamplingSpec(sampler=DDIM(), steps=8, threshold=None, known=Learnt(), windows=windows),
        fills=source,
    )


def _upsampler() -> StageSpec:
    """Fully convolutional, so that what it learns on parts of frames holds for whole ones."""
    levels = (
        Level(width=48, temporal=("convolution",)),
        Level(width=96, blocks=2, text_attention=True, temporal=("convolution",)),
    )
    return StageSpec(
        name="ssr1",
        shape=LARGE,
        inputs=usual_inputs(FINEST, augment=0.2),
        network=VideoUNetConfig(low_res=True, anchored=True, patch=2, levels=levels),
        sampling=SamplingSpec(sampler=DDIM(), steps=2),
    )


def inflated() -> VideoUNetConfig:
    """The image network with layers of time, which begins as that."""
    levels = tuple(level.with_(temporal=("convolution", "attention"), join="mix") for level in IMAGE.levels)
    return IMAGE.with_(levels=levels, fps=BASE.fps)


def _of_pictures() -> TrainSpec:
    return TrainSpec(
        data=Latents(source=Toybox(pictures=True), codec="codec"),
        weight="v",
        balance=True,
        phases=(Phase(examples=PICTURES, batch=64, peak=2e-3),),
        optimizer="muon",
        clip=10.0,
        warm_up=3_200,
        cool_down=PICTURES // 4,
        half_life=4_000,
        checkpoint_every=16_000,
        sample_every=16_000,
        log_every=1_280,
    )


def _of_clips() -> TrainSpec:
    return TrainSpec(
        data=Latents(source=Toybox(), codec="codec"),
        weight="v",
        balance=True,
        phases=(
            Phase(examples=CLIPS // 2, batch=16, frames=4, images=0.1, peak=2e-3),
            Phase(examples=CLIPS // 2, batch=8, images=0.1, peak=1.5e-3),
        ),
        # Most clips whole; of some the first frames are given.
        known=KnownMixture(parts=(KnownPart(known=NoKnown(), weight=3), KnownPart(known=Prefix(), weight=1))),
        init_missing="fresh",
        learn=(*NEW, "*text*", "frame_position*"),
        optimizer="muon",
        clip=10.0,
        warm_up=1_600,
        cool_down=CLIPS // 2,
        half_life=800,
        checkpoint_every=4_000,
        sample_every=8_000,
        log_every=320,
    )


def _of_frames_between() -> TrainSpec:
    """Parts of clips of both rates, of which every fourth frame is given."""
    return TrainSpec(
        data=Latents(source=Toybox(), codec="codec"),
        weight="v",
        balance=True,
        phases=(Phase(examples=FILLED, batch=8, rates=(FINE.fps, FINEST.fps), peak=1.5e-3),),
        known=EveryNth(skips=(SKIP,)),
        span=BASE.frames,
        begins_as="base",
        init_missing="fresh",
        learn=(*NEW, "*text*", "frame_position*", "*rate*"),
        optimizer="muon",
        clip=10.0,
        warm_up=1_600,
        cool_down=FILLED // 2,
        half_life=800,
        checkpoint_every=4_000,
        sample_every=0,
        log_every=320,
    )


def _of_patches() -> TrainSpec:
    """Parts of frames, and of clips."""
    return TrainSpec(
        data=Toybox(),
        weight="v",
        phases=(Phase(examples=PATCHES, batch=8, peak=1.5e-3),),
        crop=(LARGE.height // 2, LARGE.width // 2),
        span=8,
        optimizer="muon",
        clip=10.0,
        init_missing="fresh",
        warm_up=800,
        cool_down=PATCHES // 4,
        half_life=400,
        checkpoint_every=4_000,
        sample_every=0,
        log_every=320,
    )
