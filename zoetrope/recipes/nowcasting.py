"""nowcasting: the next frames of a rain radar, as an ensemble, with sectors that the radar does not see.

    zoetrope train nowcasting --out runs/nowcasting
    zoetrope evaluate runs/nowcasting --data radar_test.json --known 0:4 --members 8 --count 32 --out radar_report

The page docs/nowcasting.md makes its data, radar/index.csv, trains, samples and scores.
"""

from zoetrope.channels import Channel
from zoetrope.data.arrays import Arrays
from zoetrope.recipes._fields import fields_recipe
from zoetrope.scales.log import Log
from zoetrope.shapes import VideoShape
from zoetrope.training.spec import Recipe

SHAPE = VideoShape(frames=12, height=24, width=24, fps=1)
RAIN = Channel(name="rain", unit="mm h-1", scale=Log(floor=0.1, hi=100))


def recipe() -> Recipe:
    """One stage of 12 frames of 24x24 pixels; a frame is five minutes, which count as a second."""
    data = Arrays(
        path="radar/index.csv", split="train", axes="n,t,y,x", variables={"rain": RAIN}, rate=1, missing="mask"
    )
    return fields_recipe("nowcasting", SHAPE, data, examples=40_000)
