"""Scenes that repeat others, by perceptual hashes: the signs of the lowest frequencies of the grey picture."""

import numpy as np

from zoetrope.curation.measures import opencv


def hashed(pictures: np.ndarray) -> list[int]:
    """The 64-bit hashes of the first, middle and last of pictures (N, H, W, 3) uint8."""
    cv2 = opencv()
    found = []
    for number in (0, len(pictures) // 2, len(pictures) - 1):
        grey = cv2.resize(cv2.cvtColor(pictures[number], cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
        low = cv2.dct(grey.astype(np.float32))[:8, :8].ravel()
        found.append(int("".join("1" if value > np.median(low[1:]) else "0" for value in low), 2))
    return found


def original(hashes: list[int], before: list[list[int]], near: int) -> int | None:
    """Which of the earlier scenes this one repeats: all its hashes differ from that one's in at most `near` bits."""
    for number, other in enumerate(before):
        if all((a ^ b).bit_count() <= near for a, b in zip(hashes, other, strict=True)):
            return number
    return None
