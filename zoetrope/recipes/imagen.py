"""Imagen at the paper's size: text to pictures of 64x64, enlarged to 256x256 and 1024x1024 [arXiv:2205.11487].

From the paper: the three sizes and their parameters; T5-XXL; attention to space and text at 32x32, 16x16 and 8x8 in the
base; the Efficient U-Net for the others, whose blocks are where resolution is low, 2, 4 and 8 of them as channels
double, whose resolution falls before a level's convolutions, and whose skips are scaled by 1 / sqrt(2); no attention to
space in the last stage, which is trained on parts of 256x256; noise of any level on the input of super-resolution in
training; text dropped from 10 % of the examples; guidance of 1.35 in the base and 8 in the others, which are 0.35 and
7 as Zoetrope counts, where 0 is none; dynamic thresholding; batches of 2048 for 2.5 M steps with a rate of 1e-4 after
10,000 of warm-up.

Our choices, where the paper is silent or has what is not here: blocks of the coarsest levels, which bring each stage
within 3 % of the paper's parameters; the percentile of thresholding; steps; a time of 0.1 for the augmentation in
sampling; AdamW for the base too, which the paper trains with Adafactor. The paper's last stage has the linear schedule
of betas from 1e-4 to 0.02, half of whose steps are below a logsnr of -2.46: the cosine schedule is shifted there.

    stage   here             paper
    base    2,042,589,188    2 B      + 2.1 %
    ssr1      604,988,686    600 M    + 0.8 %
    ssr2      400,398,606    400 M    + 0.1 %
    all     3,047,976,480    3 B      + 1.6 %

imagen@0.25 is the same with networks a quarter as wide, as is any other factor up to 1.

    zoetrope show imagen
    zoetrope plan imagen@0.25
    torchrun ... zoetrope train imagen --stage base --data PICTURES --out runs/imagen/base
"""

from typing import NamedTuple

import torch

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.data.folder import Folder
from zoetrope.diffusion.augmentation import augmentation_logsnr
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.recipes._widths import chained, narrowed
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape
from zoetrope.text.t5 import T5
from zoetrope.training.spec import Phase, Recipe, TrainSpec

HEAD = 64


class ImagenRow(NamedTuple):
    """One stage: its name, the side of its pictures, and its levels, finest first.

    Attributes:
        embedding: width of the conditioning vector.
        text: this many of the coarsest levels attend to text.
        space: this many of them attend to space.
        patch: 2 where the first level has half the resolution already.
        weight: of guidance.
        steps: of sampling.
        shift: of the schedule.
    """

    name: str
    side: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    embedding: int
    text: int
    space: int
    patch: int
    weight: float
    steps: int
    shift: float = 0.0


EFFICIENT = (128, 256, 512, 1024)
STAGES = (
    ImagenRow("base", 64, (512, 1024, 1536, 2048), (3, 3, 4, 7), 1024, 3, 3, 1, 0.35, 256),
    ImagenRow("ssr1", 256, EFFICIENT, (2, 4, 8, 12), 1024, 1, 1, 2, 7.0, 128),
    ImagenRow("ssr2", 1024, EFFICIENT, (2, 4, 8, 9), 512, 1, 0, 2, 7.0, 32, shift=-2.46),
)
LOW_RES_TIME = 0.1  # of the augmentation in sampling, on the cosine schedule


def recipe(width: float = 1.0) -> Recipe:
    """The three stages, every network's width multiplied by `width` (heads of 64 channels set the step).

    Raises ValueError for a factor that is not above 0 and at most 1.
    """
    stages = chained(STAGES, _stage, width)
    return Recipe(
        name="imagen",
        cascade=CascadeSpec(name="imagen", text=T5(), stages=stages),
        training={stage.name: _training(stage) for stage in stages},
    )


def _stage(row: ImagenRow, source: VideoShape | None, width: float) -> StageSpec:
    coarsest = range(len(row.widths) - 1, -1, -1)
    levels = (
        Level(
            width=narrowed(channels, width, HEAD),
            blocks=blocks,
            spatial_attention=coarse < row.space,
            text_attention=coarse < row.text,
        )
        for coarse, channels, blocks in zip(coarsest, row.widths, row.blocks, strict=True)
    )
    logsnr = float(augmentation_logsnr(torch.tensor(LOW_RES_TIME, device="cpu")))
    return StageSpec(
        name=row.name,
        shape=VideoShape(frames=1, height=row.side, width=row.side, fps=1),
        inputs=usual_inputs(source, logsnr=logsnr),
        schedule=Cosine(shift=row.shift),
        prediction="eps",
        network=VideoUNetConfig(
            low_res=source is not None,
            text_width=T5().width,
            patch=row.patch,
            embedding=narrowed(row.embedding, width, HEAD),
            head=HEAD,
            levels=tuple(levels),
        ),
        sampling=SamplingSpec(
            sampler=Ancestral(), steps=row.steps, guidance=TextGuidance(weight=row.weight), threshold=0.995
        ),
    )


def _training(stage: StageSpec) -> TrainSpec:
    batch = 2048
    return TrainSpec(
        data=Folder(path="data"),
        weight="eps",
        phases=(Phase(examples=batch * 2_500_000, batch=batch, peak=1e-4),),
        crop=(256, 256) if stage.name == "ssr2" else None,
        warm_up=batch * 10_000,
        half_life=batch * 6_900,
        accumulate=128,
        checkpoint_every=batch * 1000,
        sample_every=batch * 5000,
        log_every=batch * 10,
    )
