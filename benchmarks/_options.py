"""Values of options: what is no number, or too small a one, is told before anything is made."""

import argparse
from collections.abc import Callable


def least(lowest: int) -> Callable[[str], int]:
    """What reads a whole number of at least `lowest`."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"expected a whole number of {lowest} or more, got {text!r}")
        return int(text)

    return read


positive = least(1)
