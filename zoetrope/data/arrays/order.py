"""A random order of very many things, computed place by place: nothing is kept of the others."""

import hashlib

_ROUNDS = 4


def place_in(order: tuple[int, ...], number: int, count: int) -> int:
    """Where thing `number` of 0..count-1 stands in a random order, which the numbers in `order` choose.

    A Feistel network of four rounds is a permutation of the numbers of an even number of bits [Luby & Rackoff 1988];
    it is applied until the result is below `count`, which makes it one of these [Black & Rogaway 2002].
    """
    if not 0 <= number < count:
        raise ValueError(f"number: expected 0 to {count - 1}, got {number}")
    half = max(1, (count - 1).bit_length() + 1 >> 1)
    mask = (1 << half) - 1
    found = number
    while True:
        left, right = found >> half, found & mask
        for turn in range(_ROUNDS):
            left, right = right, left ^ (_scrambled(order, turn, right) & mask)
        found = left << half | right
        if found < count:
            return found


def _scrambled(order: tuple[int, ...], turn: int, value: int) -> int:
    digest = hashlib.blake2b(repr((order, turn, value)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
