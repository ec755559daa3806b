"""flow: a tracer that is carried along and diffuses; its next frames from the first ones.

    zoetrope train flow --out runs/flow
    zoetrope evaluate runs/flow --data flow_test.json --known 0:4 --members 8 --count 32 --out flow_report

The page docs/flow.md makes its data, flow/train.npy, trains, samples and scores. For data of your own, take the arrays,
channels and scales of `data`, and as many frames as your forecasts need.
"""

from zoetrope.channels import Channel
from zoetrope.data.arrays import Arrays
from zoetrope.recipes._fields import fields_recipe
from zoetrope.scales.deviation import Deviation
from zoetrope.shapes import VideoShape
from zoetrope.training.spec import Recipe

SHAPE = VideoShape(frames=12, height=16, width=16, fps=1)
TRACER = Channel(name="tracer", unit="mg l-1", scale=Deviation(mean=20, deviation=4))


def recipe() -> Recipe:
    """One stage of 12 frames of 16x16 pixels."""
    data = Arrays(path="flow/train.npy", axes="n,t,y,x", variables={"tracer": TRACER}, rate=1)
    return fields_recipe("flow", SHAPE, data, examples=80_000)
