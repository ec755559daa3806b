"""video_ldm: Video LDM on toybox's latents, with narrow networks [Blattmann et al. 2023, arXiv:2304.08818].

From the paper: a latent image model, whose network gets layers of time, attention and convolution, joined by a learned
share alpha; the image model is frozen, so that alpha = 1 is the image model; latents of an encoder of frames.

Our choices: the width and depth of the coarsest level of `mini`, for latents have its grid; prediction of v; layers
that read text or place frames in the clip learn too, because the captions of pictures tell no motion.

    zoetrope train toybox_codec --out runs/codec
    zoetrope train video_ldm@image --codec runs/codec --out runs/image
    zoetrope train video_ldm --codec runs/codec --init runs/image --out runs/video
    zoetrope generate "a red star moving down" --model runs/video

`video_ldm@image` is the image model. Where a training reads the same clips often, encode them once:

    zoetrope data encode toybox --count 20000 --recipe video_ldm --codec runs/codec --out latents
    zoetrope train video_ldm --data latents --init runs/image --out runs/video
"""

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.config import unknown
from zoetrope.data.latents import Latents
from zoetrope.data.toybox import Toybox
from zoetrope.guidance.text import TextGuidance
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.recipes.toybox_codec import CODEC
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape
from zoetrope.text.minilm import MiniLM
from zoetrope.training.spec import Phase, Recipe, TrainSpec

BASE = VideoShape(frames=16, height=24, width=40, fps=3)  # mini's
NEW = ("*temporal*", "*mix.logit")
"""The layers that an image network does not have."""
IMAGE = VideoUNetConfig(
    channels=CODEC.channels,
    positions=True,
    levels=(Level(width=192, blocks=3, spatial_attention=True, text_attention=True),),
)
PICTURES, CLIPS = 216_000, 40_000


def recipe(size: str | None = None) -> Recipe:
    """The model of videos, or "image", the one that it begins as.

    Raises ValueError, with the nearest name, for another.
    """
    if size not in (None, "image"):
        raise ValueError(unknown("size", str(size), ["image"]))
    image = size == "image"
    name = "video_ldm-image" if image else "video_ldm"
    shape = BASE.with_(frames=1) if image else BASE
    stage = StageSpec(
        name="base",
        shape=CODEC.latents(shape),
        # A latent of a flat shape is as redundant as its pixels over frames, but no longer within a frame.
        schedule=Cosine(shift=0.0 if image else -2.0),
        network=IMAGE if image else inflated(),
        codec=CODEC,
        sampling=SamplingSpec(sampler=DDIM(), steps=32, guidance=TextGuidance(weight=2.0), threshold=None),
    )
    training = _of_pictures() if image else _of_clips()
    cascade = CascadeSpec(name=name, text=MiniLM(), stages=(stage,))
    return Recipe(name=name, cascade=cascade, training={"base": training})


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
