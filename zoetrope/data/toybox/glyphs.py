"""The capital letters as strokes: straight segments and circular arcs. Data only.

A letter stands in x in [-0.7, 0.7], y in [-1, 1], y pointing down, measured along the middle of its strokes.
"""

from typing import NamedTuple

# Half the width of a stroke, in the same unit.
STROKE = 0.19

Segment = tuple[float, float, float, float]
Arc = tuple[float, float, float, float, float]


class Glyph(NamedTuple):
    """Segments (x0, y0, x1, y1) and arcs (centre x, y, radius, middle direction, half aperture in degrees).

    Directions count from the right over down.
    """

    segments: tuple[Segment, ...]
    arcs: tuple[Arc, ...] = ()


_STEM = (-0.55, -1.0, -0.55, 1.0)
_CAP, _BOWL = (0.0, -0.4, 0.6, 270.0, 90.0), (0.0, 0.4, 0.6, 90.0, 90.0)
_SIDES = ((-0.6, -0.4, -0.6, 0.4), (0.6, -0.4, 0.6, 0.4))
_LOOP = (0.1, -0.5, 0.5, 0.0, 90.0)
_P = (_STEM, (-0.55, -1.0, 0.1, -1.0), (-0.55, 0.0, 0.1, 0.0))

GLYPHS = {
    "A": Glyph(((-0.7, 1, 0, -1), (0, -1, 0.7, 1), (-0.42, 0.35, 0.42, 0.35))),
    "B": Glyph((*_P, (-0.55, 1, 0.1, 1)), (_LOOP, (0.1, 0.5, 0.5, 0, 90))),
    "C": Glyph((_SIDES[0],), ((0, -0.4, 0.6, 255, 75), (0, 0.4, 0.6, 105, 75))),
    "D": Glyph(
        (_STEM, (-0.55, -1, -0.05, -1), (-0.55, 1, -0.05, 1), (0.6, -0.35, 0.6, 0.35)),
        ((-0.05, -0.35, 0.65, 315, 45), (-0.05, 0.35, 0.65, 45, 45)),
    ),
    "E": Glyph((_STEM, (-0.55, -1, 0.55, -1), (-0.55, 0, 0.4, 0), (-0.55, 1, 0.55, 1))),
    "F": Glyph((_STEM, (-0.55, -1, 0.55, -1), (-0.55, 0, 0.4, 0))),
    "G": Glyph(
        (_SIDES[0], (0.6, 0.4, 0.6, 0.1), (0.6, 0.1, 0.1, 0.1)),
        ((0, -0.4, 0.6, 255, 75), _BOWL),
    ),
    "H": Glyph((_STEM, (0.55, -1, 0.55, 1), (-0.55, 0, 0.55, 0))),
    "I": Glyph(((0, -1, 0, 1), (-0.4, -1, 0.4, -1), (-0.4, 1, 0.4, 1))),
    "J": Glyph(((0.45, -1, 0.45, 0.5),), ((-0.05, 0.5, 0.5, 90, 90),)),
    "K": Glyph((_STEM, (-0.55, 0.2, 0.55, -1), (-0.15, -0.2, 0.6, 1))),
    "L": Glyph((_STEM, (-0.55, 1, 0.55, 1))),
    "M": Glyph(((-0.7, 1, -0.7, -1), (-0.7, -1, 0, 0.2), (0, 0.2, 0.7, -1), (0.7, -1, 0.7, 1))),
    "N": Glyph(((-0.6, 1, -0.6, -1), (-0.6, -1, 0.6, 1), (0.6, 1, 0.6, -1))),
    "O": Glyph(_SIDES, (_CAP, _BOWL)),
    "P": Glyph(_P, (_LOOP,)),
    "Q": Glyph((*_SIDES, (0.15, 0.45, 0.7, 1.05)), (_CAP, _BOWL)),
    "R": Glyph((*_P, (0.05, 0, 0.6, 1)), (_LOOP,)),
    "S": Glyph((), ((0, -0.5, 0.5, 210, 120), (0, 0.5, 0.5, 30, 120))),
    "T": Glyph(((-0.65, -1, 0.65, -1), (0, -1, 0, 1))),
    "U": Glyph(((-0.6, -1, -0.6, 0.4), (0.6, -1, 0.6, 0.4)), (_BOWL,)),
    "V": Glyph(((-0.65, -1, 0, 1), (0, 1, 0.65, -1))),
    "W": Glyph(((-0.8, -1, -0.4, 1), (-0.4, 1, 0, -0.3), (0, -0.3, 0.4, 1), (0.4, 1, 0.8, -1))),
    "X": Glyph(((-0.6, -1, 0.6, 1), (-0.6, 1, 0.6, -1))),
    "Y": Glyph(((-0.65, -1, 0, 0), (0.65, -1, 0, 0), (0, 0, 0, 1))),
    "Z": Glyph(((-0.6, -1, 0.6, -1), (0.6, -1, -0.6, 1), (-0.6, 1, 0.6, 1))),
}
