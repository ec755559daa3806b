"""Aesthetics, as CLIP sees them: by the predictor of LAION, or by two opposite captions."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoetrope.curation.measures import SceneMeasure
from zoetrope.curation.measures._clip import at_ends, expect_clip, features_of_pictures, features_of_texts

_SCALE = 100.0  # of cosines, with which CLIP was trained


class Aesthetics(SceneMeasure):
    """How good the first, middle and last picture look, the mean of the three.

    With a `head` it is LAION's predictor of ratings from 1 to 10 (Schuhmann et al. 2022, arXiv:2210.08402, section 4),
    which is linear in CLIP's features; without, it is CLIP-IQA (Wang et al. 2023, arXiv:2207.12396): the share, 0 to 1,
    of `good` against `bad`.

    Attributes:
        model: a local folder with a whole CLIP in safetensors, or a hub id.
        head: a safetensors file with the predictor's matrices NAME.weight, and NAME.bias, applied in the order of their
            names' numbers.
        good, bad: the opposite captions.
        least: a scene with less is left out; 0 keeps all.
    """

    model: str
    head: str | None = None
    good: str = "Good photo."
    bad: str = "Bad photo."
    least: float = 0.0

    def of(self, pictures: np.ndarray, texts: Sequence[str]) -> float:
        """See `SceneMeasure`."""
        seen = features_of_pictures(self.model, at_ends(pictures))
        if self.head is not None:
            return float(_rated(_matrices(self.head), seen, self.head).mean())
        poles = features_of_texts(self.model, (self.good, self.bad))
        return float((_SCALE * seen @ poles.T).softmax(-1)[:, 0].mean())

    def fault(self, value: float) -> str | None:
        """See `SceneMeasure`."""
        return f"plain: aesthetics {value:.3f}, expected at least {self.least:g}" if value < self.least else None

    def expect_usable(self) -> None:
        """See `SceneMeasure`."""
        expect_clip(self.model)
        if self.head is not None:
            _matrices(self.head)


def _rated(matrices: list[tuple[Tensor, Tensor]], features: Tensor, head: str) -> Tensor:
    """The ratings (N,) of features (N, D) of length 1. Raises ValueError for a head of another width."""
    x = features
    for weight, bias in matrices:
        if weight.ndim != 2 or weight.shape[1] != x.shape[1]:
            raise ValueError(f"{head}: expected a matrix for {x.shape[1]} features, got one of {tuple(weight.shape)}")
        x = x @ weight.T + bias
    if x.shape[1] != 1:
        raise ValueError(f"{head}: expected one rating, got {x.shape[1]}")
    return x[:, 0]


@lru_cache(maxsize=4)
def _matrices(head: str) -> list[tuple[Tensor, Tensor]]:
    """The matrices of a head and what is added after each. Raises ValueError if it cannot be read, or has none."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        stored = load_file(Path(os.path.expanduser(head)))
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{head}: expected a safetensors file with an aesthetics head ({error})") from None
    names = sorted((name.removesuffix("weight") for name in stored if name.endswith("weight")), key=_order)
    if not names:
        raise ValueError(
            f"{head}: expected matrices that are named NAME.weight, got {', '.join(sorted(stored)) or 'none'}"
        )
    zero = torch.zeros(())
    return [(stored[f"{name}weight"].float(), stored.get(f"{name}bias", zero).float()) for name in names]


def _order(name: str) -> tuple[int, ...]:
    """The numbers in a dotted name."""
    return tuple(int(part) for part in name.split(".") if part.isdecimal())
