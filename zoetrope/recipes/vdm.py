"""Video Diffusion Models at the paper's size: text to 16 frames of 64x64, and on to 64 [arXiv:2204.03458].

From the paper: the factorised U-Net with 256 channels times 1, 2, 4 and 8, attention over space and then over time at
32x32, 16x16 and 8x8 with heads of 64 channels and relative positions alone; one vector pooled from a BERT's tokens,
which enters every block; prediction of eps; the cosine schedule from a logsnr of 20 to -20; the ancestral sampler
corrected by Langevin steps of delta = 0.1; eight independent frames of the data appended to each clip in training;
700,000 training steps; guidance of weight 2, one of the two of its table of longer videos.

Our choices, where the paper is silent or its parts are not here: the blocks of each level; MiniLM, a smaller BERT than
the paper's; a feed-forward after attention; gamma; 256 steps, the paper's for predicting video; rates, batch and frame
rate.

`vdm_128` is the model that doubles height and width. vdm@0.25 is the same with networks a quarter as wide, as is any
other factor up to 1; a laptop trains a narrow one on toybox:

    zoetrope plan vdm --device h100
    zoetrope train vdm --data CLIPS --out runs/vdm
    zoetrope train vdm@0.125 --data toybox --out runs/small --size 32x32 \\
        --set 'base.training.phases=[{"examples": 200000, "batch": 8, "appended": 4, "peak": 5e-4}]' \\
        --set base.training.warm_up=5000 --set base.training.accumulate=1 --set base.sampling.steps=64
"""

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.data.folder import Folder
from zoetrope.guidance.text import TextGuidance
from zoetrope.known.reconstruction import Reconstruction
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.recipes._widths import expect_width, narrowed
from zoetrope.samplers.langevin import Langevin
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape
from zoetrope.text.minilm import MiniLM
from zoetrope.training.spec import Phase, Recipe, TrainSpec

SHAPE = VideoShape(frames=16, height=64, width=64, fps=8)
ATTENDS = 3  # the coarsest levels


def recipe(width: float = 1.0) -> Recipe:
    """The single stage, its network's widths multiplied by `width` (heads of 64 channels set the step).

    Raises ValueError for a factor that is not above 0 and at most 1.
    """
    return made("vdm", SHAPE, (256, 512, 1024, 2048), head=64, steps=700_000, width=width)


def made(name: str, shape: VideoShape, widths: tuple[int, ...], *, head: int, steps: int, width: float) -> Recipe:
    """A recipe of the paper's: a network of these widths, finest first, trained for so many steps.

    Raises ValueError for a factor `width` that is not above 0 and at most 1.
    """
    expect_width(width)
    stage = StageSpec(
        name="base",
        shape=shape,
        schedule=Cosine(),
        prediction="eps",
        network=VideoUNetConfig(
            text_width=MiniLM().width,
            embedding=narrowed(1024, width, 64),
            head=head,
            fps=shape.fps,
            levels=tuple(
                _level(narrowed(level, width, head), attends=index >= len(widths) - ATTENDS)
                for index, level in enumerate(widths)
            ),
        ),
        sampling=SamplingSpec(
            sampler=Langevin(delta=0.1),
            steps=256,
            guidance=TextGuidance(weight=2.0),
            known=Reconstruction(weight=2.0),
        ),
    )
    return Recipe(
        name=name,
        cascade=CascadeSpec(name=name, text=MiniLM(), stages=(stage,)),
        training={"base": _training(steps)},
    )


def _level(width: int, *, attends: bool) -> Level:
    if not attends:
        return Level(width=width, blocks=2)
    return Level(width=width, blocks=2, spatial_attention=True, temporal=("attention",))


def _training(steps: int) -> TrainSpec:
    batch = 128
    return TrainSpec(
        data=Folder(path="data"),
        weight="eps",
        phases=(Phase(examples=batch * steps, batch=batch, appended=8, peak=1e-4),),
        warm_up=batch * 5000,
        half_life=batch * 6_900,
        accumulate=32,
        checkpoint_every=batch * 1000,
        sample_every=batch * 5000,
        log_every=batch * 10,
    )
