"""Cascaded Diffusion Models at the paper's sizes: pictures of 64x64, 128x128 and 256x256 [arXiv:2106.15282].

The paper conditions on one of ImageNet's 1000 labels. Here there are texts instead, of which a caption that names the
class is a label: MiniLM's tokens are pooled to one vector, which enters every block as the label's embedding does, and
none of the blocks attends to single words.

From the paper: the three sizes; prediction of eps and the cosine schedule; input of super-resolution that is resized,
concatenated and, for half of the training examples, blurred by a Gaussian kernel of 3x3 pixels and a standard deviation
of 0.4 to 0.6, without noise, as is best for these two sizes; input in sampling as the stage before made it; no
guidance; Adam with a rate of 1e-4 and averages of the weights that keep 0.9999 of themselves in each step.

Our choices, where the paper's are not at hand: widths, depths and where there is attention; batches and lengths of
training; the ancestral sampler with 256 steps, and with 128 in super-resolution.

    stage   makes     parameters
    base    64x64     321,925,892
    ssr1    128x128   200,859,269
    ssr2    256x256   203,256,197

cascaded_diffusion@0.25 is the same with networks a quarter as wide, as is any other factor up to 1; a laptop trains a
narrow one on toybox:

    zoetrope plan cascaded_diffusion --device h100
    zoetrope train cascaded_diffusion --stage base --data PICTURES --out runs/cdm/base
    zoetrope train cascaded_diffusion@0.25 --stage base --data toybox --size 32x32 --out runs/small/base \\
        --set 'base.training.phases=[{"examples": 200000, "batch": 64, "peak": 5e-4}]' \\
        --set base.training.warm_up=5000 --set base.training.accumulate=1 --set base.sampling.steps=64
"""

from typing import NamedTuple

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.data.folder import Folder
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.recipes._widths import chained, narrowed
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.shapes import VideoShape
from zoetrope.text.minilm import MiniLM
from zoetrope.training.spec import Phase, Recipe, TrainSpec

HEAD = 64


class PictureRow(NamedTuple):
    """One stage: its name, the side of its pictures, and its levels, finest first.

    Attributes:
        attends: from which side of a level on, and below, pixels attend to each other.
    """

    name: str
    side: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    attends: int
    steps: int


STAGES = (
    PictureRow("base", 64, (256, 512, 768, 1024), (3, 3, 3, 3), 32, 256),
    PictureRow("ssr1", 128, (128, 256, 512, 1024), (2, 2, 3, 4), 16, 128),
    PictureRow("ssr2", 256, (128, 128, 256, 512, 1024), (2, 2, 2, 3, 4), 16, 128),
)


def recipe(width: float = 1.0) -> Recipe:
    """The three stages, every network's width multiplied by `width` (heads of 64 channels set the step).

    Raises ValueError for a factor that is not above 0 and at most 1.
    """
    stages = chained(STAGES, _stage, width)
    return Recipe(
        name="cascaded_diffusion",
        cascade=CascadeSpec(name="cascaded_diffusion", text=MiniLM(), stages=stages),
        training={stage.name: _training(stage) for stage in stages},
    )


def _stage(row: PictureRow, source: VideoShape | None, width: float) -> StageSpec:
    levels = (
        Level(
            width=narrowed(channels, width, HEAD),
            blocks=blocks,
            spatial_attention=row.side >> index <= row.attends,
        )
        for index, (channels, blocks) in enumerate(zip(row.widths, row.blocks, strict=True))
    )
    return StageSpec(
        name=row.name,
        shape=VideoShape(frames=1, height=row.side, width=row.side, fps=1),
        inputs=usual_inputs(source, augment=0.0, blur=0.5),
        prediction="eps",
        network=VideoUNetConfig(
            low_res=source is not None,
            text_width=MiniLM().width,
            embedding=narrowed(1024, width, HEAD),
            head=HEAD,
            levels=tuple(levels),
        ),
        sampling=SamplingSpec(sampler=Ancestral(), steps=row.steps, guidance=TextGuidance(weight=0.0)),
    )


def _training(stage: StageSpec) -> TrainSpec:
    batch, steps = (2048, 400_000) if stage.source is None else (1024, 500_000)
    return TrainSpec(
        data=Folder(path="data"),
        weight="eps",
        phases=(Phase(examples=batch * steps, batch=batch, peak=1e-4),),
        betas=(0.9, 0.999),
        weight_decay=0.0,
        warm_up=batch * 5000,
        half_life=batch * 6_900,
        accumulate=32,
        checkpoint_every=batch * 1000,
        sample_every=batch * 5000,
        log_every=batch * 10,
    )
