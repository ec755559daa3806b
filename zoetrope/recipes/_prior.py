"""The prior of the shipped models: from text to the embedding of a picture; for recipes whose decoders read one."""

from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.data import Source
from zoetrope.data.pictured import Pictured
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs.text import Text
from zoetrope.networks.vector import VectorConfig
from zoetrope.pictures import PictureEncoder
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape
from zoetrope.training.spec import Phase, TrainSpec

POINT = VideoShape(frames=1, height=1, width=1, fps=1)
EXAMPLES = 400_000


def prior_stage(encoder: PictureEncoder, text_width: int, *, width: int = 256, depth: int = 4) -> StageSpec:
    """A stage "prior" that makes embeddings of pictures, as `encoder` does, from text."""
    return StageSpec(
        name="prior",
        shape=POINT,
        inputs=(Text(dropout=0.1),),
        network=VectorConfig(channels=encoder.width, text_width=text_width, width=width, depth=depth),
        schedule=Cosine(),
        prediction="v",
        sampling=SamplingSpec(sampler=DDIM(), steps=32, guidance=TextGuidance(weight=3.0), threshold=None),
    )


def prior_training(pictures: Source, encoder: PictureEncoder, examples: int = EXAMPLES) -> TrainSpec:
    """Its training on the captions of pictures, which needs no videos."""
    return TrainSpec(
        data=Pictured(source=pictures, encoder=encoder),
        phases=(Phase(examples=examples, batch=128, peak=1e-3),),
        weight="v",
        warm_up=min(5000, examples // 10),
        cool_down=examples // 2,
        half_life=10_000,
        checkpoint_every=50_000,
        sample_every=0,
        log_every=10_000,
    )
