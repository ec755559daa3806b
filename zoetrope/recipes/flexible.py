"""Flexible diffusion modelling at the paper's size: any frames of a long video given any others [arXiv:2205.11495].

One network sees at most 20 frames at a time, from anywhere in a clip of 500, some of them known; long videos are made
in many such sets, in the order of a scheme.

From the paper and its published code, for its videos of Minecraft at 64x64: 20 frames; sets of frames drawn as in its
Algorithm 2, the rest padded with frames of other videos; distances between frames in attention by a network; 128
channels times 1, 2, 3 and 4, one block a level, attention at 16x16 and 8x8; prediction of eps, without loss on known
frames; 1000 ancestral steps with the larger variance; rate 1e-4, batches of 8, weights averaged with 0.9999; no text.

Our choices: the cosine schedule instead of a linear one of variances; heads of 128 channels at both levels, where the
paper has four of 96 and of 128; a feed-forward after attention; known frames by their noise level instead of a
channel that marks them; half a million steps.

flexible@0.25 is the same with a network a quarter as wide, as is any other factor up to 1; a laptop trains a narrow one
on the long world of toybox:

    zoetrope plan flexible --device h100
    zoetrope train flexible --data CLIPS --out runs/flexible
    zoetrope train flexible@0.25 --out runs/small --size 32x32 --frames 8 \\
        --set base.training.data='{"type": "toybox", "long": true}' --set base.training.known.length=200 \\
        --set 'base.training.phases=[{"examples": 200000, "batch": 8, "peak": 5e-4}]' --set base.sampling.steps=64
"""

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.data.folder import Folder
from zoetrope.guidance.text import TextGuidance
from zoetrope.known.learnt import Learnt
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.recipes._widths import expect_width
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape
from zoetrope.training.known.any import AnyFrames
from zoetrope.training.spec import Phase, Recipe, TrainSpec

SHAPE = VideoShape(frames=20, height=64, width=64, fps=20)
LENGTH = 500  # frames of a clip
HEAD = 128


def recipe(width: float = 1.0) -> Recipe:
    """The single stage, its network's widths multiplied by `width` (in steps of 32, heads of at most 128 channels).

    Raises ValueError for a factor that is not above 0 and at most 1.
    """
    expect_width(width)
    step = max(32, round(HEAD * width / 32) * 32)
    levels = tuple(
        Level(width=step * (1 + index), spatial_attention=True, temporal=("attention",))
        if index >= 2
        else Level(width=step * (1 + index))
        for index in range(4)
    )
    stage = StageSpec(
        name="base",
        shape=SHAPE,
        inputs=(),
        schedule=Cosine(),
        prediction="eps",
        network=VideoUNetConfig(
            text_width=None, embedding=4 * step, head=step, fps=SHAPE.fps, relative="network", levels=levels
        ),
        sampling=SamplingSpec(
            sampler=Ancestral(gamma=1.0), steps=1000, guidance=TextGuidance(weight=0.0), known=Learnt()
        ),
    )
    return Recipe(
        name="flexible",
        cascade=CascadeSpec(name="flexible", stages=(stage,)),
        training={"base": _training()},
    )


def _training() -> TrainSpec:
    batch = 8
    return TrainSpec(
        data=Folder(path="data"),
        known=AnyFrames(length=LENGTH),
        weight="eps",
        phases=(Phase(examples=batch * 500_000, batch=batch, peak=1e-4),),
        weight_decay=0.0,
        half_life=batch * 6_900,
        checkpoint_every=batch * 1000,
        sample_every=batch * 10_000,
        log_every=batch * 10,
    )
