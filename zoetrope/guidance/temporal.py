"""Gen-1's guidance: towards the content, and towards the video, away from the same frames as pictures of their own."""

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field

from zoetrope.conditioning import Conditioning, Weight
from zoetrope.guidance import Guidance, Share
from zoetrope.guidance.picture import PICTURE
from zoetrope.guidance.text import with_and_without_text


class TemporalGuidance(Guidance):
    """p(s) + w_t (f(s) - p(s)) + (1 + w) (f(c, s) - f(s)) [Esser et al. 2023, arXiv:2302.03011, Eq. 8].

    f is the network with content c, a picture or a text, or without; s is everything else, such as structure; p is the
    same network without content and with frames that are independent pictures, between which nothing passes.

    Attributes:
        weight: w; 0 is no guidance towards the content. The paper's is 1 + w.
        temporal: w_t; 1 is no such guidance. More makes frames more alike, less makes them less so.
    """

    weight: Weight = 0.0
    temporal: Annotated[float, Field(ge=0, le=100)] = 1.0

    @property
    def one_weight(self) -> bool:
        """Without guidance of time."""
        return self.temporal == 1

    def active(self, steps: int) -> bool:
        """Unless both weights say that there is none."""
        return bool(self.weight) or self.temporal != 1

    def weights(self, steps: int) -> list[float]:
        """w, the same for each step."""
        return [self.weight] * steps

    def variants(self, given: Conditioning, negative: Conditioning | None) -> list[Conditioning]:
        """With the content; without a picture and with the negative text or none; and that for independent frames."""
        free = with_and_without_text(given, negative)[-1].without(PICTURE)
        if self.temporal == 1:
            return [given, free]
        count, device = _extent(given)
        apart = torch.zeros(count, dtype=torch.bool, device=device)
        images = apart if given.images is None else given.images
        return [replace(given, images=images), replace(free, images=images), replace(free, images=~apart)]

    def shares(self, step: int, steps: int) -> list[Share]:
        """1 + w, w_t - 1 - w and 1 - w_t; without guidance of time 1 + w and -w."""
        if self.temporal == 1:
            return [1 + self.weight, -self.weight]
        return [1 + self.weight, self.temporal - 1 - self.weight, 1 - self.temporal]


def _extent(given: Conditioning) -> tuple[int, torch.device]:
    """The number of videos and the device of a conditioning. Raises ValueError for one that says nothing."""
    for value in (*given.numbers.values(), *given.maps.values(), *(one.mask for one in given.tokens.values())):
        return len(value), value.device
    raise ValueError("guidance: expected a network that is told something beside z, for temporal guidance, got none")
