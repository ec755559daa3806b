"""mini_prior: the smallest unCLIP: a prior from text to the embedding of a picture, and a decoder of pictures.

    zoetrope train mini_prior --stages prior,decoder --out runs/mini_prior
    zoetrope generate "a red star" --model runs/mini_prior
    zoetrope generate "a red star" --model runs/mini_prior --picture star.png

After Ramesh et al. 2022, arXiv:2204.06125. The picture encoder is the small one that ships; Make-A-Video's prior is the
same stage.
"""

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.data.toybox import Toybox
from zoetrope.guidance.picture import PictureGuidance
from zoetrope.inputs.picture import Picture
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.pictures.small import SmallPictures
from zoetrope.recipes._prior import prior_stage, prior_training
from zoetrope.samplers.ddim import DDIM
from zoetrope.shapes import VideoShape
from zoetrope.text.minilm import MiniLM
from zoetrope.training.spec import Phase, Recipe, TrainSpec

PICTURE = VideoShape(frames=1, height=24, width=40, fps=1)


def recipe() -> Recipe:
    """The two stages and their training."""
    text, encoder, pictures = MiniLM(), SmallPictures(), Toybox(pictures=True)
    stages = (prior_stage(encoder, text.width), _decoder(encoder))
    return Recipe(
        name="mini_prior",
        cascade=CascadeSpec(name="mini_prior", text=text, stages=stages),
        training={"prior": prior_training(pictures, encoder), "decoder": _training(pictures)},
    )


def _decoder(encoder: SmallPictures) -> StageSpec:
    return StageSpec(
        name="decoder",
        shape=PICTURE,
        inputs=(Picture(encoder=encoder, of="prior"),),
        network=VideoUNetConfig(
            text_width=None,
            picture_width=encoder.width,
            patch=2,
            positions=True,
            levels=(Level(width=64, temporal=()), Level(width=128, blocks=2, spatial_attention=True, temporal=())),
        ),
        sampling=SamplingSpec(sampler=DDIM(), steps=16, guidance=PictureGuidance(weight=1.0)),
    )


def _training(pictures: Toybox) -> TrainSpec:
    return TrainSpec(
        data=pictures,
        phases=(Phase(examples=200_000, batch=32, peak=1e-3),),
        weight="v",
        balance=True,
        warm_up=3200,
        cool_down=100_000,
        half_life=4000,
        checkpoint_every=20_000,
        sample_every=20_000,
        log_every=3200,
    )
