"""Gen-1: videos with the structure of a clip and the content of a picture [Esser et al. 2023, arXiv:2302.03011].

An image model becomes one of videos that is told what is where, frame by frame, and what things look like, by the
embedding of a picture: at sampling of a picture that a user has, or what a prior imagines from a text.

    zoetrope train gen1 --init mini_image --out runs/gen1
    zoetrope generate "a blue heart" --model runs/gen1 --control-from clip.mp4 --fit crop
    zoetrope generate "a blue heart" --model runs/gen1 --control-from clip.mp4 --fit crop --picture heart.png

From the paper: temporal convolutions after spatial ones, and temporal attention, which begin as nothing; structure
concatenated to z, blurred in up to 7 random steps, with four channels that say in how many; the embedding of a random
frame as content, and no text; pictures in an eighth of the batches; v; guidance towards the content and towards the
video, away from the frames as single pictures.

Our choices: 16 frames of 24x40 pixels of toybox, enlarged to 48x80, instead of latents of 448x256; edges as structure,
for a depth network is not at hand, and luma tells colours; content added to the embedding of the noise level, as in
unCLIP, instead of by cross-attention; pictures first and then clips, as there, but content and structure at once, which
is sharp in most examples; structure is unknown in a tenth of them, and content in another, so that either can be left
out; a prior of the picture encoder that is used here, and super-resolution, both those of make_a_video@mini, whose
runs can be used as they are.
"""

from typing import Any

from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.data import Source
from zoetrope.data.mixture import Mixture, Part
from zoetrope.data.toybox import Toybox
from zoetrope.guidance.temporal import TemporalGuidance
from zoetrope.inputs.picture import Picture
from zoetrope.inputs.structure import Structure
from zoetrope.inputs.text import Text
from zoetrope.networks import SizedInput
from zoetrope.pictures.small import SmallPictures
from zoetrope.recipes import make_a_video
from zoetrope.recipes._mini_image import BASE, inflated
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.cosine import Cosine
from zoetrope.training.spec import Phase, Recipe, TrainSpec

PSEUDO_3D: dict[str, Any] = {"temporal": ("pseudo_3d",)}
BOTH: dict[str, Any] = {"temporal": ("pseudo_3d", "attention")}


def recipe() -> Recipe:
    """The prior, the base and super-resolution, and their training on toybox."""
    whole = make_a_video.recipe("mini")
    stages = tuple(_base(stage) if stage.name == "base" else stage for stage in whole.cascade.stages)
    return whole.with_(
        name="gen1",
        cascade=whole.cascade.with_(name="gen1", stages=stages),
        training={**whole.training, "base": _train(uncaptioned(Toybox(pictures=True), Toybox(seed=1)))},
    )


def uncaptioned(pictures: Source, clips: Source) -> Mixture:
    """Pictures and clips, none with a text: content is told by pictures alone."""
    parts = (
        Part(source=pictures, only="pictures", captions=False),
        Part(source=clips, only="clips", captions=False),
    )
    return Mixture(parts=parts)


def _base(stage: StageSpec) -> StageSpec:
    """The stage of make_a_video with structure and pictures instead of texts and rates."""
    encoder, structure = SmallPictures(), Structure()
    return StageSpec(
        name=stage.name,
        shape=stage.shape,
        schedule=Cosine(shift=-4.5),
        # mini_image's network can read text; it is told none.
        inputs=(Text(dropout=1.0), Picture(encoder=encoder, of="prior"), structure),
        network=inflated(
            BASE,
            (PSEUDO_3D, BOTH),
            fps=stage.shape.fps,
            picture_width=encoder.width,
            aligned=(SizedInput(name=structure.name, size=structure.size),),
        ),
        sampling=SamplingSpec(sampler=DDIM(), steps=32, guidance=TemporalGuidance(weight=2.0)),
    )


def _train(data: Source) -> TrainSpec:
    return TrainSpec(
        data=data,
        weight="v",
        balance=True,
        phases=(
            Phase(examples=76_800, batch=32, frames=1, peak=2e-3),
            Phase(examples=12_800, batch=16, frames=4, images=0.125, peak=1e-3),
            Phase(examples=6_400, batch=4, images=0.125, peak=7e-4),
        ),
        init_missing="fresh",
        optimizer="muon",
        clip=10.0,
        warm_up=1600,
        cool_down=6_400,
        half_life=400,
        checkpoint_every=3200,
        sample_every=6400,
        log_every=320,
    )
