"""ultrasound: grey clips of a beating chamber with a given ejection fraction.

    zoetrope train ultrasound --out runs/ultrasound
    zoetrope generate --model runs/ultrasound --given ef=0.55 -o heart.mp4 --colours grey
    zoetrope evaluate runs/ultrasound --data hearts_test.json --metrics answered,spectrum,values --out hearts_report

The page docs/ultrasound.md makes its data, hearts/index.csv, trains, samples and scores.
"""

from zoetrope.channels import Channel
from zoetrope.data.arrays import Arrays
from zoetrope.inputs.number import Number
from zoetrope.recipes._fields import fields_recipe
from zoetrope.scales.range import Range
from zoetrope.shapes import VideoShape
from zoetrope.training.spec import Recipe

SHAPE = VideoShape(frames=12, height=24, width=24, fps=12)
GREY = Channel(name="grey", scale=Range(lo=0, hi=255))


def recipe() -> Recipe:
    """One stage of 12 frames of 24x24 pixels, a second, which is told the ejection fraction."""
    data = Arrays(path="hearts/index.csv", split="train", variables={"grey": GREY}, rate=12, told={"ef": "number"})
    ef = Number(told="ef", lo=0.1, hi=0.8)
    return fields_recipe("ultrasound", SHAPE, data, examples=40_000, inputs=(ef,), guidance=0.5)
