"""toybox_codec: a small KL autoencoder of toybox pictures, for stages of latents.

    zoetrope train toybox_codec --out runs/codec

Latents have 4 channels on a grid of a quarter of the height and width. At the end of its training the run's folder
holds `codec/`, which `--codec runs/codec` names. `toybox_codec@2` has twice the width.
"""

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.codecs.autoencoder import Autoencoder
from zoetrope.data.toybox import Toybox
from zoetrope.networks.patch_critic import PatchCriticConfig
from zoetrope.networks.reconstruction import ReconstructionConfig
from zoetrope.shapes import VideoShape
from zoetrope.training.objectives.reconstruct import Reconstruct
from zoetrope.training.spec import Phase, Recipe, TrainSpec

PICTURE = VideoShape(frames=1, height=24, width=40, fps=1)
CODEC = Autoencoder(f=4, channels=4, width=32, blocks=2)
EXAMPLES, BEFORE_CRITIC = 400_000, 250_000


def recipe(width: float = 1.0) -> Recipe:
    """The codec, and its training."""
    codec = CODEC.with_(width=max(1, round(CODEC.width * width)))
    stage = StageSpec(
        name="pictures",
        shape=PICTURE,
        inputs=(),
        network=ReconstructionConfig(codec=codec),
        sampling=SamplingSpec(steps=1),
    )
    critic = PatchCriticConfig(width=max(1, round(24 * width)))
    training = TrainSpec(
        data=Toybox(pictures=True),
        phases=(Phase(examples=EXAMPLES, batch=16, peak=1e-3),),
        objective=Reconstruct(critic=critic, strength=0.1, warm_up=BEFORE_CRITIC),
        betas=(0.9, 0.99),
        warm_up=5_000,
        cool_down=EXAMPLES // 2,
        half_life=10_000,
        checkpoint_every=25_000,
        sample_every=0,
        log_every=2_000,
    )
    return Recipe(
        name="toybox_codec",
        cascade=CascadeSpec(name="toybox_codec", stages=(stage,)),
        training={"pictures": training},
    )
