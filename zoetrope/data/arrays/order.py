"""Random orders of things, however many: of very many each place is computed on its own, and nothing kept."""

import hashlib

import numpy as np

_ROUNDS = 4
_FEW = 2**16  # things whose order is kept; a Feistel network of so few numbers would not be random enough


class Orders:
    """A random order of the numbers 0..count-1 for each turn; the last one of a few things is kept."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._kept: tuple[tuple[int, int], np.ndarray] | None = None

    def place(self, turn: int, number: int, count: int) -> int:
        """The thing at place `number`, 0..count-1, in the order of a turn."""
        if not 0 <= number < count:
            raise ValueError(f"number: expected 0 to {count - 1}, got {number}")
        if count > _FEW:
            return shuffled((self.seed, turn, count), number, count)
        if self._kept is None or self._kept[0] != (turn, count):
            self._kept = ((turn, count), np.random.default_rng((self.seed, turn, count)).permutation(count))
        return int(self._kept[1][number])


def shuffled(key: tuple[int, ...], number: int, count: int) -> int:
    """A permutation of 0..count-1, chosen by a key, at `number`.

    A Feistel network of four rounds is a permutation of the numbers of an even number of bits [Luby & Rackoff 1988];
    it is applied until the result is below `count`, which makes it one of these [Black & Rogaway 2002].
    """
    half = max(1, ((count - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    found = number
    while True:
        left, right = found >> half, found & mask
        for turn in range(_ROUNDS):
            left, right = right, left ^ (_scrambled(key, turn, right) & mask)
        found = left << half | right
        if found < count:
            return found


def _scrambled(key: tuple[int, ...], turn: int, value: int) -> int:
    digest = hashlib.blake2b(repr((key, turn, value)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
