"""Colours of HDR and wide-gamut material as sRGB, which everything else here is.

PQ (SMPTE ST 2084) and HLG (ARIB STD-B67) as in ITU-R BT.2100, HLG shown on a display of 1000 cd/m2. White is at
203 cd/m2 (ITU-R BT.2408). Up to 85 % of that light is kept as it is; what is brighter rolls off towards white along a
hyperbola of the same slope, on the largest of red, green and blue, so that hues stay. Colours outside BT.709 are cut
off after the matrix of the primaries.
"""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import av

WHITE = 203.0
"""The light of white, in cd/m2."""
KNEE = 0.85
"""The share of white up to which light is kept as it is."""

_PEAK = 1000.0
_GAMMA = 1.2  # of the system, for HLG on a display of 1000 cd/m2
_BT2020, _P3, _PQ, _HLG = 9, 12, 16, 18  # ITU-T H.273
_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)
_STEPS = 4096
_D65 = (0.3127, 0.3290)
_PRIMARIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    _BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    _P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_GAMUTS = {_BT2020: "BT.2020", _P3: "Display P3"}


class Conversion(NamedTuple):
    """From code values (..., 3) uint16, of which `white` is the largest, to sRGB (..., 3) uint8; and what it is."""

    name: str
    light: Callable[[np.ndarray], np.ndarray]
    matrix: np.ndarray
    bright: bool

    def __call__(self, codes: np.ndarray, white: int = 65535) -> np.ndarray:
        """Convert pictures."""
        if white != 65535:
            codes = np.minimum(codes * np.float32(65535 / white) + np.float32(0.5), 65535).astype(np.uint16)
        light = self.light(codes) @ self.matrix.T
        np.maximum(light, 0, out=light)
        if self.bright:
            peak = light.max(-1, keepdims=True)
            light *= rolled_off(peak) / np.maximum(peak, 1e-9)
        steps = np.sqrt(np.minimum(light, 1, out=light), out=light) * (_STEPS - 1) + 0.5
        return _encoded()[steps.astype(np.uint16)]


def conversion(frame: "av.VideoFrame") -> Conversion | None:
    """What brings a decoded picture to sRGB; None for BT.709 and everything near it."""
    return _conversion(frame.color_trc, frame.color_primaries)


@cache
def _conversion(transfer: int, primaries: int) -> Conversion | None:
    if transfer == _PQ:
        return Conversion("HDR (PQ), converted to SDR", _pq, gamut(primaries if primaries != 2 else _BT2020), True)
    if transfer == _HLG:
        return Conversion("HDR (HLG), converted to SDR", _hlg, gamut(primaries if primaries != 2 else _BT2020), True)
    if primaries in _GAMUTS:
        return Conversion(f"colours of {_GAMUTS[primaries]}, cut off at sRGB", _srgb, gamut(primaries), False)
    return None


def rolled_off(light: np.ndarray) -> np.ndarray:
    """Light in units of white, brought below 1: itself up to the knee, then a hyperbola of the same slope."""
    room = 1 - KNEE
    over = np.maximum(light - KNEE, 0) / room
    return np.where(light <= KNEE, light, KNEE + room * over / (1 + over))


def gamut(primaries: int) -> np.ndarray:
    """The matrix (3, 3) from linear light of these primaries to BT.709; one for unknown primaries."""
    if primaries not in _PRIMARIES:
        return np.eye(3, dtype=np.float32)
    return (np.linalg.inv(_to_xyz(1)) @ _to_xyz(primaries)).astype(np.float32)


def _to_xyz(primaries: int) -> np.ndarray:
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in _PRIMARIES[primaries]]).T
    x, y = _D65
    return columns * np.linalg.solve(columns, np.array([x / y, 1, (1 - x - y) / y]))


def _pq(codes: np.ndarray) -> np.ndarray:
    return _pq_table()[codes]


def _hlg(codes: np.ndarray) -> np.ndarray:
    scene = _hlg_table()[codes]
    luma = np.maximum(scene @ _LUMA, 0)[..., None]
    return scene * (luma ** np.float32(_GAMMA - 1) * np.float32(_PEAK / WHITE))


def _srgb(codes: np.ndarray) -> np.ndarray:
    return _srgb_table()[codes]


def _codes() -> np.ndarray:
    return np.arange(2**16) / (2**16 - 1)


@cache
def _pq_table() -> np.ndarray:
    """The EOTF of ST 2084, in units of white."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = _codes() ** (1 / m2)
    light = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    return (light * (1e4 / WHITE)).astype(np.float32)


@cache
def _hlg_table() -> np.ndarray:
    """The inverse OETF of HLG: light of the scene in [0, 1]."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    codes = _codes()
    return np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - c) / a) + b) / 12).astype(np.float32)


@cache
def _srgb_table() -> np.ndarray:
    codes = _codes()
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4).astype(np.float32)


@cache
def _encoded() -> np.ndarray:
    """The sRGB level (0 to 255) of light whose square root is in [0, 1], in even steps."""
    light = np.linspace(0, 1, _STEPS) ** 2
    codes = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return (codes * 255).round().astype(np.uint8)
