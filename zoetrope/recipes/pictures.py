"""pictures: the small picture encoder of the shipped models, trained on toybox pictures and captions.

    zoetrope train pictures --stage towers --out runs/pictures

The average of its last checkpoint is what `{"type": "small", "path": ...}` reads.
"""

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.data.toybox import Toybox
from zoetrope.inputs.text import Text
from zoetrope.networks.towers import TowersConfig
from zoetrope.shapes import VideoShape
from zoetrope.text.minilm import MiniLM
from zoetrope.training.objectives.contrastive import Contrastive
from zoetrope.training.spec import Phase, Recipe, TrainSpec

PICTURE = VideoShape(frames=1, height=24, width=40, fps=1)
EXAMPLES = 400_000


def recipe() -> Recipe:
    """The towers, and their training."""
    stage = StageSpec(
        name="towers",
        shape=PICTURE,
        inputs=(Text(dropout=0),),
        network=TowersConfig(),
        sampling=SamplingSpec(steps=1),
    )
    training = TrainSpec(
        data=Toybox(pictures=True),
        phases=(Phase(examples=EXAMPLES, batch=128, peak=2e-3),),
        objective=Contrastive(),
        warm_up=5_000,
        cool_down=EXAMPLES // 2,
        half_life=10_000,
        checkpoint_every=50_000,
        sample_every=0,
        log_every=10_000,
    )
    return Recipe(
        name="pictures",
        cascade=CascadeSpec(name="pictures", text=MiniLM(), stages=(stage,)),
        training={"towers": training},
    )
