"""mini_image: text to pictures of toybox, 24x40 and enlarged to 48x80, as Imagen makes pictures, with narrow networks.

    zoetrope train mini_image --stage base --out runs/mini_image/base
    zoetrope train mini_image --stage ssr --out runs/mini_image/ssr
    zoetrope generate "a red star on a white background" --model runs/mini_image

The weights come with the package: `--model mini_image`. Hardware, minutes and scores are in the model card.

A base makes a small picture from text, and a stage of super-resolution enlarges it [Saharia et al. 2022,
arXiv:2205.11487; Ho et al. 2021, arXiv:2106.15282]. Pictures come from all moments of toybox's clips, and their
captions tell colour, shape, background, style and how two things lie, but no motion. The combinations of colour and
shape that toybox holds out are in none of them.

The base has the layout in space of a base of clips of 16x24x40: with `temporal` layers in its levels the same network
is one of videos, and starts from these weights.
"""

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.data.toybox import Toybox
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.recipes import _mini_image
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape
from zoetrope.text.minilm import MiniLM
from zoetrope.training.spec import Phase, Recipe, TrainSpec

BASE = VideoShape(frames=1, height=24, width=40, fps=3)
SSR = VideoShape(frames=1, height=48, width=80, fps=3)


def recipe() -> Recipe:
    """The two stages and their training."""
    return Recipe(
        name="mini_image",
        cascade=CascadeSpec(name="mini_image", text=MiniLM(), stages=(_base(), _ssr())),
        training={"base": _train_base(), "ssr": _train_ssr()},
    )


def _base() -> StageSpec:
    return StageSpec(
        name="base",
        shape=BASE,
        # A sixteenth of the pixels of mini's clips tell the same: by ln 16 = 2.8 more signal decides what is where, so
        # that mini's shift of -4.5 becomes about -2.
        schedule=Cosine(shift=-2.0),
        network=_mini_image.BASE.with_(fps=BASE.fps),
        sampling=SamplingSpec(sampler=DDIM(), steps=32, guidance=TextGuidance(weight=2.0)),
    )


def _ssr() -> StageSpec:
    return StageSpec(
        name="ssr",
        shape=SSR,
        # Half of the true pictures are blurred, as Cascaded Diffusion Models' are, for a base draws less sharply; noise
        # goes up to a signal-to-noise ratio of 1.
        inputs=usual_inputs(BASE, augment=0.5, blur=0.5),
        network=_mini_image.SSR,
        sampling=SamplingSpec(sampler=DDIM(), steps=2),
    )


def _train_base() -> TrainSpec:
    return TrainSpec(
        data=Toybox(pictures=True),
        weight="v",
        balance=True,
        phases=(Phase(examples=200_000, batch=64, peak=2e-3), Phase(examples=400_000, batch=32, peak=1.4e-3)),
        optimizer="muon",
        clip=10.0,
        warm_up=3200,
        cool_down=200_000,
        half_life=4000,
        checkpoint_every=8000,
        sample_every=32_000,
        log_every=640,
    )


def _train_ssr() -> TrainSpec:
    return TrainSpec(
        data=Toybox(pictures=True),
        weight="v",
        balance=True,
        phases=(Phase(examples=160_000, batch=16, peak=1.5e-3),),
        optimizer="muon",
        clip=10.0,
        warm_up=1600,
        cool_down=80_000,
        half_life=2000,
        checkpoint_every=8000,
        sample_every=0,
        log_every=640,
    )
