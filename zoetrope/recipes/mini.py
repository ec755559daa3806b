"""mini: the cascade that ships with the package, with the paper's shapes and narrow networks, trained on toybox.

    zoetrope train mini --stage base --out runs/base
    zoetrope train mini --stage tsr1 --out runs/tsr1
    zoetrope train mini --stage ssr1 --out runs/ssr1

Hardware, hours and scores of the shipped weights are in the model card.
"""

import math

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.data.toybox import Toybox
from zoetrope.diffusion.schedule import Cosine
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers.ddim import DDIM
from zoetrope.shapes import VideoShape
from zoetrope.text.minilm import MiniLM
from zoetrope.training.spec import Phase, Recipe, TrainSpec

BASE = VideoShape(frames=16, height=24, width=40, fps=3)
TSR1 = VideoShape(frames=32, height=24, width=40, fps=6)
SSR1 = VideoShape(frames=32, height=48, width=80, fps=6)


def recipe() -> Recipe:
    """The mini cascade and its curricula."""
    return Recipe(
        name="mini",
        cascade=CascadeSpec(name="mini", text=MiniLM(), stages=(_base(), _tsr1(), _ssr1())),
        training={"base": _train_base(), "tsr1": _train_sr(8_000), "ssr1": _train_sr(2_800)},
    )


def _base() -> StageSpec:
    return StageSpec(
        name="base",
        shape=BASE,
        # Sixteen frames of flat shapes repeat their content hundreds of times over, so layout is decided at much lower
        # logsnr than in a photograph: the schedule is moved there.
        schedule=Cosine(shift=-3.0),
        network=VideoUNetConfig(
            patch=2,
            positions=True,
            levels=(
                Level(width=64, blocks=1, temporal="attention"),
                Level(width=192, blocks=3, spatial_attention=True, text_attention=True, temporal="attention"),
            ),
        ),
        sampling=SamplingSpec(sampler=DDIM(), steps=48, guidance=2.0, threshold=0.995),
    )


def _tsr1() -> StageSpec:
    return _super_resolution(
        "tsr1",
        TSR1,
        BASE,
        Level(width=48, temporal="convolution"),
        Level(width=96, blocks=2, text_attention=True, temporal="convolution"),
    )


def _ssr1() -> StageSpec:
    return _super_resolution(
        "ssr1",
        SSR1,
        TSR1,
        Level(width=48, temporal="convolution"),
        Level(width=64, temporal="convolution"),
        Level(width=128, spatial_attention=True, text_attention=True, temporal="convolution"),
    )


def _super_resolution(name: str, shape: VideoShape, source: VideoShape, *levels: Level) -> StageSpec:
    return StageSpec(
        name=name,
        shape=shape,
        source=source,
        network=VideoUNetConfig(low_res=True, patch=2, levels=levels),
        sampling=SamplingSpec(sampler=DDIM(), steps=16, low_res_logsnr=math.log(3.0)),
    )


def _train_base() -> TrainSpec:
    return TrainSpec(
        data=Toybox(),
        weight="v",
        balance=True,
        phases=(
            Phase(examples=160_000, batch=16, frames=1, peak=8e-4),
            Phase(examples=24_000, batch=8, frames=8, images=0.25, peak=7e-4),
            Phase(examples=12_000, batch=4, frames=8, images=0.15, peak=6e-4),
            Phase(examples=400_000, batch=4, images=0.125, peak=5e-4),
        ),
        clip=10.0,
        warm_up=6400,
        half_life=4000,
        checkpoint_every=4000,
        sample_every=4000,
        log_every=320,
    )


def _train_sr(examples: int) -> TrainSpec:
    return TrainSpec(
        data=Toybox(),
        weight="v",
        balance=True,
        phases=(Phase(examples=examples, batch=4, peak=1e-3),),
        clip=10.0,
        warm_up=400,
        cool_down=examples // 3,
        half_life=1000,
        checkpoint_every=1000,
        sample_every=2000,
        log_every=100,
    )
