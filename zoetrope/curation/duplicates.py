"""Scenes that repeat others, by perceptual hashes: the signs of the lowest frequencies of the grey picture."""

from collections import defaultdict
from itertools import pairwise

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


class SeenScenes:
    """The hashes of scenes so far, found again without a look at each: what differs in few bits agrees in some part."""

    def __init__(self, near: int) -> None:
        """`near` is in how many of 64 bits the hashes of duplicates differ at most; below 0 there are none."""
        self.near, self._scenes = near, list[list[int]]()
        edges = [64 * part // (near + 1) for part in range(near + 2)] if near >= 0 else []
        self._parts = list(pairwise(edges))
        self._with = defaultdict[tuple[int, int], list[int]](list)  # (part, its bits) -> numbers of scenes

    def add(self, hashes: list[int]) -> None:
        """One more scene, by the hashes of its pictures."""
        for key in self._keys(hashes[0]):
            self._with[key].append(len(self._scenes))
        self._scenes.append(hashes)

    def original(self, hashes: list[int]) -> int | None:
        """Which scene, numbered as they were added, this one repeats: the first that each of its hashes is near to."""
        for number in sorted({number for key in self._keys(hashes[0]) for number in self._with.get(key, ())}):
            if all((a ^ b).bit_count() <= self.near for a, b in zip(hashes, self._scenes[number], strict=True)):
                return number
        return None

    def _keys(self, value: int) -> list[tuple[int, int]]:
        """Parts of a hash, one more than `near`: of hashes that differ in at most `near` bits some part is equal."""
        return [(low, value >> low & (1 << high - low) - 1) for low, high in self._parts]
