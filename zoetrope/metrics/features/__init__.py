"""Feature extractors: frozen networks that compare videos by their frames or their motion, one kind per file.

The weights come from a file that the user names, and every result carries the network's name and the file's sha256:
numbers of different extractors are never comparable. An unavailable network is `Missing`; no other ever replaces it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

import torch
from pydantic import PositiveInt
from torch import Tensor

from zoetrope.config import Config, Kind
from zoetrope.metrics.psnr import expect_pair

_BATCH = 16


class Missing(ValueError):
    """An extractor is unavailable: the `reason`, and the `remedy` that would make it available."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason, self.remedy = reason, remedy


@dataclass(frozen=True)
class FeatureNetwork:
    """An opened extractor of pictures.

    Attributes:
        name: the kind of network; sha256: of the file with its weights.
        layer: where the features are taken, and the preprocessing of pictures.
        width: how many features a frame has.
        of_pictures: pictures (N, 3, H, W) in [-1, 1] of any size to features (N, D).
        resize: how pictures are resized for the network, in words.
    """

    name: str
    sha256: str
    layer: str
    width: int
    of_pictures: Callable[[Tensor], Tensor]
    resize: str = "none"

    def of_frames(self, video: Tensor) -> Tensor:
        """The features (B, F, D), float64, of every frame of a video (B, 3, F, H, W) in [-1, 1]."""
        pictures = video.transpose(1, 2).flatten(0, 1)
        features = [self.of_pictures(part.float().clamp(-1, 1)) for part in pictures.split(_BATCH)]
        return torch.cat(features).double().unflatten(0, (len(video), -1))


@dataclass(frozen=True)
class Classifier(FeatureNetwork):
    """An extractor that also classifies.

    Attributes:
        probabilities: pictures (N, 3, H, W) in [-1, 1] to probabilities (N, K) of its classes.
    """

    probabilities: Callable[[Tensor], Tensor] = field(kw_only=True)


@dataclass(frozen=True)
class Matcher(FeatureNetwork):
    """An extractor of pictures and texts in one feature space.

    Attributes:
        of_texts: texts to features (N, D).
    """

    of_texts: Callable[[Sequence[str]], Tensor] = field(kw_only=True)


@dataclass(frozen=True)
class ClipNetwork:
    """An opened extractor of clips; name, sha256, layer, width and resize as of a `FeatureNetwork`.

    Attributes:
        least: the fewest frames that it can process; most: the largest number that it uses, None for any.
        of_clips: clips (N, 3, F, H, W) in [-1, 1] of any size to features (N, D).
    """

    name: str
    sha256: str
    layer: str
    width: int
    least: int
    most: int | None
    of_clips: Callable[[Tensor], Tensor]
    resize: str = "none"

    def window(self, video: Tensor, stride: int = 1) -> Tensor:
        """The frames of a video (B, C, F, H, W) that the network looks at: its first ones, every `stride`-th.

        Raises ValueError if there are too few.
        """
        window = video[:, :, ::stride][:, :, : self.most]
        if window.shape[2] < self.least:
            raise ValueError(self.too_short(window.shape[2]))
        return window

    def too_short(self, frames: int) -> str:
        """The message about clips of fewer frames than `least`."""
        return f"{self.name}: expected clips of at least {self.least} frames, got {frames}"


class Extractor(Kind, ABC):
    """The description of a feature network; its fields say where its weights are."""

    folder: ClassVar[str] = "zoetrope.metrics.features"

    @classmethod
    @abstractmethod
    def at(cls, where: str) -> Self:
        """The extractor with weights at `where`, a path or hub id, and defaults otherwise."""

    @abstractmethod
    def open(self, device: torch.device | str = "cpu") -> FeatureNetwork | ClipNetwork:
        """The network with its weights.

        Raises `Missing` if the file is not there, and ValueError if it holds other weights.
        """


class FeatureDistance(Config):
    """The mean feature distance of frames, with everything needed to compare it.

    Attributes:
        value: in [0, 1], see `frame_distances`; extractor, sha256, layer: of the network.
        samples: the number of pairs of frames it is the mean of.
    """

    value: float
    extractor: str
    sha256: str
    layer: str
    samples: PositiveInt

    @classmethod
    def of(cls, network: FeatureNetwork, distances: Tensor) -> Self:
        """The mean of distances of any shape, measured with `network`."""
        return cls(
            value=float(distances.mean()),
            extractor=network.name,
            sha256=network.sha256,
            layer=network.layer,
            samples=distances.numel(),
        )


def frame_distances(made: Tensor, truth: Tensor) -> Tensor:
    """Distances (...) of features (..., D): |f - g| / sqrt(|f|^2 + |g|^2).

    0 for equal features. For non-negative features, as after a rectifier, the maximum is 1: both have no feature in
    common. A frame without any features is at distance 1 from every other.
    Raises ValueError for different shapes.
    """
    if made.shape != truth.shape:
        raise ValueError(f"features: expected one shape, got {tuple(made.shape)} and {tuple(truth.shape)}")
    apart = (made - truth).norm(dim=-1)
    size = (made.square().sum(-1) + truth.square().sum(-1)).sqrt()
    return apart / size.clamp(min=torch.finfo(size.dtype).tiny)


def feature_distance(network: FeatureNetwork, made: Tensor, truth: Tensor) -> FeatureDistance:
    """The mean over all frames of the distance of two videos (B, 3, F, H, W) in [-1, 1].

    Raises ValueError for videos of different shapes.
    """
    expect_pair(made, truth)
    return FeatureDistance.of(network, frame_distances(network.of_frames(made), network.of_frames(truth)))
