"""How the world, 5/3 as wide as it is high, is shown in frames of another shape.

Usually lengths are in frame heights whatever the width, so that narrow frames cut off what moves to the sides. Framed
whole, nothing is cut off that a frame of 5/3 shows: a length of the world is `unit` pixels, objects keep their shapes,
and places and courses are compressed along the side on which the frame is shorter than the world.
"""

import math
from typing import NamedTuple

from zoetrope.data.toybox.scene import ASPECT, Object, Scene
from zoetrope.shapes import VideoShape

NARROWEST = 5 / 6
"""The least width of a frame, in 1.2 world heights: objects beside each other just do not touch there."""
LOWEST = 5 / 6
"""The least height of a frame, in world heights, likewise for objects above each other."""


class Framing(NamedTuple):
    """The framing of the world in frames of one shape.

    Attributes:
        unit: pixels of a world height.
        across, down: factors of places and courses, at most 1.
        width, height: of the frame, in world heights.
    """

    unit: float
    across: float
    down: float
    width: float
    height: float

    @classmethod
    def whole(cls, shape: VideoShape) -> "Framing":
        """The framing that shows the whole world; in frames of 5/3 it is the usual one.

        A frame has the area of the world, unless it is so narrow or low that objects have to be smaller: a world height
        is at most 5/6 of the frame's width and 6/5 of its height.
        """
        height, width = shape.height, shape.width
        if 3 * width == 5 * height:
            return cls(height, 1.0, 1.0, ASPECT, 1.0)
        unit = min(math.sqrt(height * width / ASPECT), NARROWEST * width, height / LOWEST)
        across, down = min(1.0, width / ASPECT / unit), min(1.0, height / unit)
        return cls(unit, across, down, width / unit, height / unit)

    def scene(self, scene: Scene) -> Scene:
        """The scene as it is acted out in the frame; stars are spread over all of it."""
        if (self.width, self.height) == (ASPECT, 1.0):
            return scene
        stars = tuple((x * self.width / ASPECT, y * self.height, radius) for x, y, radius in scene.stars)
        return scene.with_(objects=tuple(self._moved(item) for item in scene.objects), stars=stars)

    def _moved(self, item: Object) -> Object:
        amount = item.amount
        if item.motion in ("left", "right"):
            amount *= self.across
        elif item.motion in ("up", "down", "bounce", "orbit"):  # frames are never too narrow for an orbit
            amount *= self.down
        return item.with_(x=item.x * self.across, y=item.y * self.down, amount=amount)
