"""A recipe whose network, sampler and data are of another package than zoetrope: classes, and one by its name."""

from my_lab.networks import Pixels
from my_lab.samplers import Anew

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words
from zoetrope.training.spec import Phase, Recipe, TrainSpec


def recipe() -> Recipe:
    stage = StageSpec(
        name="base",
        shape=VideoShape(frames=2, height=4, width=8, fps=3),
        network=Pixels(text_width=8),
        sampling=SamplingSpec(sampler=Anew(share=0.5), steps=2, guidance=0.0),
    )
    cascade = CascadeSpec(name="theirs", text=Words(width=8, limit=16), stages=(stage,))
    learning = TrainSpec.from_json(
        {"data": {"type": "my_lab.data"}, "phases": [Phase(examples=8, batch=4).to_json()], "warm_up": 0}
    )
    plain = {"precision": "fp32", "sample_every": 0, "log_every": 4, "checkpoint_every": 4}
    return Recipe(name="theirs", cascade=cascade, training={"base": learning.with_(**plain)})
