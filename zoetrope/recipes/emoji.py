"""emoji: animated emoji from captions, 16 frames of 96x96 at 12.5 per second, learnt from a folder of 706 clips.

    zoetrope train emoji --data FOLDER --out runs/emoji
    zoetrope generate "an animated emoji of a dog" --model runs/emoji

What "train on your own clips" gives: three narrow stages, text to 8 frames of 24x24, twice the frames, four times the
size. `--set STAGE.training.data.split=train`, for each stage, leaves out what metadata.jsonl marks otherwise.
"""

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.data.folder import Folder
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape
from zoetrope.text.minilm import MiniLM
from zoetrope.training.spec import Phase, Recipe, TrainSpec

BASE = VideoShape(frames=8, height=24, width=24, fps=6.25)
TSR = VideoShape(frames=16, height=24, width=24, fps=12.5)
SSR = VideoShape(frames=16, height=96, width=96, fps=12.5)
DATA = Folder(path="emoji")


def recipe() -> Recipe:
    """The three stages and their training."""
    return Recipe(
        name="emoji",
        cascade=CascadeSpec(name="emoji", text=MiniLM(), stages=(_base(), _tsr(), _ssr())),
        training={"base": _train_base(), "tsr": _train_tsr(), "ssr": _train_ssr()},
    )


def _base() -> StageSpec:
    return StageSpec(
        name="base",
        shape=BASE,
        # Eight frames of one drawing on white tell what is shown several times over: it is decided at low logsnr.
        schedule=Cosine(shift=-2.5),
        network=VideoUNetConfig(
            patch=2,
            positions=True,
            fps=BASE.fps,
            levels=(
                Level(width=96, temporal=("attention",)),
                Level(width=224, blocks=3, spatial_attention=True, text_attention=True, temporal=("attention",)),
            ),
        ),
        sampling=SamplingSpec(sampler=DDIM(), steps=32, guidance=TextGuidance(weight=1.0)),
    )


def _tsr() -> StageSpec:
    levels = (
        Level(width=64, temporal=("convolution",)),
        Level(width=128, blocks=2, text_attention=True, temporal=("convolution",)),
    )
    return StageSpec(
        name="tsr",
        shape=TSR,
        inputs=usual_inputs(BASE, augment=0.2),
        network=VideoUNetConfig(low_res=True, anchored=True, patch=2, levels=levels),
        sampling=SamplingSpec(sampler=DDIM(), steps=4, keep_frames=True),
    )


def _ssr() -> StageSpec:
    levels = (
        Level(width=64, temporal=("convolution",)),
        Level(width=96, text_attention=True, temporal=("convolution",)),
        Level(width=160, blocks=2, spatial_attention=True, text_attention=True, temporal=("convolution",)),
    )
    return StageSpec(
        name="ssr",
        shape=SSR,
        # Half of the true clips are blurred, for a base draws less sharply than an artist.
        inputs=usual_inputs(TSR, augment=0.5, blur=0.5),
        network=VideoUNetConfig(low_res=True, anchored=True, patch=4, positions=True, levels=levels),
        sampling=SamplingSpec(sampler=DDIM(), steps=8),
    )


def _train_base() -> TrainSpec:
    """Drawings first, then how they move: in four frames, at half the cost, and in eight."""
    return TrainSpec(
        data=DATA,
        weight="v",
        balance=True,
        phases=(
            Phase(examples=192_000, batch=64, frames=1, peak=2e-3),
            Phase(examples=32_000, batch=16, frames=4, images=0.1, peak=2e-3),
            Phase(examples=32_000, batch=8, images=0.1, peak=1.4e-3),
        ),
        optimizer="muon",
        clip=10.0,
        warm_up=3200,
        cool_down=24_000,
        half_life=400,
        checkpoint_every=4000,
        sample_every=32_000,
        log_every=640,
    )


def _train_tsr() -> TrainSpec:
    return TrainSpec(
        data=DATA,
        weight="v",
        balance=True,
        phases=(Phase(examples=30_000, batch=8, peak=1.5e-3),),
        optimizer="muon",
        clip=10.0,
        warm_up=800,
        cool_down=15_000,
        half_life=1000,
        checkpoint_every=2000,
        sample_every=0,
        log_every=200,
    )


def _train_ssr() -> TrainSpec:
    """Whole frames, for positions tell what is drawn where; four of a clip at a time."""
    return _train_tsr().with_(span=4, phases=(Phase(examples=40_000, batch=4, peak=1.5e-3),), cool_down=20_000)
