"""Colour maps: pictures of one quantity. Each is a table of colours, between which colours are interpolated.

Viridis and inferno [Smith & van der Walt 2015, CC0] rise evenly in lightness, turbo [Mikhailov 2019, Apache 2.0] shows
small differences, and coolwarm [Moreland 2009, public domain] suits quantities around 0.
"""

import numpy as np

from zoetrope.config import unknown

TABLES = {
    "coolwarm": (
        "3b4cc0 445acc 4e68d8 5875e1 6282ea 6c8ff1 779af7 82a6fb 8db0fe 98b9ff a3c2fe "
        "aec9fc b9d0f9 c3d5f4 ccd9ed d5dbe5 dddcdc e5d8d1 ecd3c5 f1ccb8 f5c4ac f7ba9f "
        "f7b093 f6a586 f4987a f08b6e eb7d62 e46e56 dd5f4b d44e41 ca3b37 be242e b40426"
    ),
    "grey": "000000 ffffff",
    "inferno": (
        "000004 040312 0b0724 150b37 210c4a 2f0a5b 3d0965 4a0c6b 57106e 64156e 71196e "
        "7d1e6d 8a226a 972766 a32c61 b0315b bc3754 c73e4c d24644 db503b e45a31 eb6628 "
        "f1731d f68013 f98e09 fb9d07 fcac11 fbbc21 f9cb35 f5db4c f2ea69 f3f68a fcffa4"
    ),
    "turbo": (
        "30123b 392a73 4040a2 4456c7 466be3 4680f6 4294ff 37a8fa 28bceb 1ccdd8 18ddc2 "
        "1fe9af 32f298 4ef97d 6dfe62 8bff4b a4fc3c b9f635 cdec34 dfdf37 eecf3a f8be39 "
        "fdac34 fe962b fb7e21 f46617 eb500e df3f08 d02f05 be2102 a91601 920b01 7a0403"
    ),
    "viridis": (
        "440154 470d60 48186a 482374 472d7b 453781 424086 3e4989 3b528b 375b8d 33638d "
        "2f6b8e 2c728e 297a8e 26828e 23898e 21918c 1f988b 1fa088 22a785 28ae80 32b67a "
        "3fbc73 4ec36b 5ec962 70cf57 84d44b 98d83e addc30 c2df23 d8e219 ece51b fde725"
    ),
}
"""By name, colours in sRGB at equal distances, from the lowest value to the highest."""

NONE = 128  # grey, where there is no value


def expect_map(name: str) -> None:
    """Raise ValueError, with the nearest name, if there is no colour map of that name."""
    if name not in TABLES:
        raise ValueError(unknown("colour map", name, TABLES))


def coloured(values: np.ndarray, name: str = "viridis") -> np.ndarray:
    """The colours (..., 3) uint8 of values from 0 to 1, of any shape; those beyond get the colours of the ends.

    NaN is grey. Raises ValueError, with the nearest name, for an unknown map.
    """
    expect_map(name)
    table = np.array([list(bytes.fromhex(colour)) for colour in TABLES[name].split()], dtype=np.float32)
    known = ~np.isnan(values)
    place = np.where(known, np.clip(values, 0, 1), 0).astype(np.float32) * (len(table) - 1)
    low = np.minimum(place.astype(np.int64), len(table) - 2)
    made = table[low] + (place - low)[..., None] * (table[low + 1] - table[low])
    return np.where(known[..., None], np.rint(made), NONE).astype(np.uint8)
