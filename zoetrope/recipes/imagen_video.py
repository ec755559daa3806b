"""Imagen Video at the paper's size: seven stages, 11.8 billion parameters, T5-XXL text [arXiv:2210.02303].

From the paper: the order and shapes of the stages; which levels have attention and which convolutions; T5-XXL; the
ancestral sampler with 256 steps in the base and 128 in the others; dynamic thresholding as such; oscillating guidance
in the base, tsr1 and ssr1, between 15 and 1 as in its example; an SNR of 3, one of the two that it names, for the
augmentation in sampling; video and images in one batch.

Our choices, where the paper is silent: widths, depths and patch sizes; gamma of the sampler; the percentile of
thresholding, Imagen's 0.995; the number of steps before guidance oscillates; guidance of 6 in the other stages; rates
and batches, Imagen's; the share of images. Widths and depths bring each stage within 3 % of the paper's parameter
count:

    stage   here             paper
    base    5,758,210,052    5.6 B    + 2.8 %
    tsr1    1,735,330,309    1.7 B    + 2.1 %
    ssr1    1,371,788,037    1.4 B    - 2.0 %
    ssr2    1,167,638,917    1.2 B    - 2.7 %
    tsr2      787,910,533    780 M    + 1.0 %
    tsr3      627,658,117    630 M    - 0.4 %
    ssr3      339,468,046    340 M    - 0.2 %
    all    11,788,004,011   11.6 B    + 1.6 %

imagen_video@0.25 is the same with networks a quarter as wide, as is any other factor up to 1.

    zoetrope show imagen_video
    zoetrope plan imagen_video@0.25
    torchrun ... zoetrope train imagen_video --stage base --data CLIPS --out runs/base
"""

import math
from typing import Literal, NamedTuple

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.data.folder import Folder
from zoetrope.guidance.oscillating import Oscillating
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.recipes._widths import chained, narrowed
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.shapes import VideoShape
from zoetrope.text.t5 import T5
from zoetrope.training.spec import Phase, Recipe, TrainSpec


class StageRow(NamedTuple):
    """One row of the stage table [arXiv:2210.02303, stage table]."""

    name: str
    shape: tuple[int, int, int, int]  # frames, height, width, fps
    widths: tuple[int, ...]  # of each level, finest first
    blocks: tuple[int, ...]
    attention: int  # this many of the coarsest levels attend to space and to text
    spatial: bool  # whether there is spatial attention at all
    temporal: Literal["attention", "convolution"]
    oscillates: bool
    patch: int = 1


STAGES = (
    StageRow("base", (16, 24, 40, 3), (1024, 2048, 4096), (3, 3, 7), 3, True, "attention", True),
    StageRow("tsr1", (32, 24, 40, 6), (512, 1024, 2048), (3, 3, 10), 2, False, "convolution", True),
    StageRow("ssr1", (32, 48, 80, 6), (256, 512, 1024, 2048), (2, 2, 4, 6), 2, True, "convolution", True),
    StageRow("ssr2", (32, 192, 320, 6), (128, 256, 512, 1024, 2048), (2, 2, 4, 5, 4), 2, True, "convolution", False),
    StageRow("tsr2", (64, 192, 320, 12), (128, 256, 512, 1024, 1536), (2, 2, 2, 5, 4), 2, False, "convolution", False),
    StageRow("tsr3", (128, 192, 320, 24), (128, 256, 512, 1024, 1536), (2, 2, 2, 4, 3), 2, False, "convolution", False),
    StageRow("ssr3", (128, 768, 1280, 24), (128, 256, 512, 1024), (2, 2, 3, 7), 1, False, "convolution", False, 2),
)
LOW_RES_LOGSNR = math.log(3.0)  # the paper: "SNR of 3 or 5" [Sec. 2.5]


def recipe(width: float = 1.0) -> Recipe:
    """The seven stages, every network's width multiplied by `width` (heads of 64 channels set the step).

    Raises ValueError for a factor that is not above 0 and at most 1.
    """
    stages = chained(STAGES, _stage, width)
    training = {stage.name: _training(stage) for stage in stages}
    return Recipe(
        name="imagen_video",
        cascade=CascadeSpec(name="imagen_video", text=T5(), stages=stages),
        training=training,
    )


def _stage(row: StageRow, source: VideoShape | None, width: float) -> StageSpec:
    frames, height, wide, fps = row.shape
    steps = 256 if source is None else 128
    oscillating = Oscillating(high=15.0, low=1.0, constant=steps // 10)
    return StageSpec(
        name=row.name,
        shape=VideoShape(frames=frames, height=height, width=wide, fps=fps),
        inputs=usual_inputs(source, logsnr=LOW_RES_LOGSNR),
        network=_network(row, source is not None, width),
        sampling=SamplingSpec(
            sampler=Ancestral(),
            steps=steps,
            guidance=oscillating if row.oscillates else TextGuidance(weight=6.0),
            threshold=0.995,
        ),
    )


def _network(row: StageRow, low_res: bool, width: float) -> VideoUNetConfig:
    levels = [
        Level(
            width=narrowed(level, width, 64),
            blocks=blocks,
            spatial_attention=row.spatial and coarse < row.attention,
            text_attention=coarse < row.attention,
            temporal=(row.temporal,),
        )
        for coarse, level, blocks in zip(range(len(row.widths) - 1, -1, -1), row.widths, row.blocks, strict=True)
    ]
    embedding = narrowed(1024, width, 64)
    return VideoUNetConfig(
        low_res=low_res, text_width=T5().width, patch=row.patch, embedding=embedding, head=64, levels=tuple(levels)
    )


def _training(stage: StageSpec) -> TrainSpec:
    """What Imagen used for images [arXiv:2205.11487, App. F.1]: rate 1e-4, batch 2048, 2.5 M steps."""
    images = 0.2 if stage.kind == "base" else 0.0
    return TrainSpec(
        data=Folder(path="data"),
        phases=(Phase(examples=2048 * 2_500_000, batch=2048, images=images, peak=1e-4),),
        weight="eps",
        crop=(256, 256) if stage.name == "ssr3" else None,
        warm_up=2048 * 10_000,
        half_life=2048 * 6_900,
        accumulate=64,
        checkpoint_every=2048 * 1000,
        sample_every=2048 * 5000,
        log_every=2048 * 10,
    )
