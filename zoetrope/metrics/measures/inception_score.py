"""Inception score of frames [Salimans et al. 2016, arXiv:1606.03498]."""

from typing import ClassVar

import torch
from torch import Tensor

from zoetrope.metrics.clips import Material
from zoetrope.metrics.features import Classifier
from zoetrope.metrics.intervals import student
from zoetrope.metrics.measures import Better, Measure, OpenedExtractor, Result

SPLITS = 10


class InceptionScore(Measure):
    """exp of the mean Kullback-Leibler divergence of a frame's class probabilities from those of all frames.

    1 if all frames have the same probabilities, at most the number of classes. The mean over ten parts of the cases if
    there are a hundred or more: videos of one case are in one part. It uses ImageNet's classes, and says little about
    anything else. Frames that were given do not count.
    """

    title: ClassVar[str] = "Inception score"
    better: ClassVar[Better] = "higher"
    extractors: ClassVar[tuple[str, ...]] = ("inception",)
    only_new = True
    least: ClassVar[int] = 2

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """See `Measure`."""
        assert isinstance(network, Classifier)
        videos = material.new(material.made)
        answers = torch.stack([_frame_probabilities(network, video) for video in videos])  # (N, F, K)
        splits = SPLITS if material.cases >= 10 * SPLITS else 1
        parts = answers.unflatten(0, (-1, material.members)).tensor_split(splits)
        scores = torch.stack([inception_score(part.flatten(0, 2)) for part in parts])
        value = float(scores.mean())
        half = float(student(splits - 1) * scores.std() / splits**0.5) if splits > 1 else None
        return self.result(
            material,
            network,
            value,
            error=half,
            interval=None if half is None else (value - half, value + half),
            details={"splits": splits, "classes": answers.shape[2]},
        )


def inception_score(probabilities: Tensor) -> Tensor:
    """The score of class probabilities (N, K), float64."""
    p = probabilities.double()
    mean = p.mean(0, keepdim=True)
    divergence = torch.special.xlogy(p, p).sum(1) - torch.special.xlogy(p, mean).sum(1)
    return divergence.mean().exp()


def _frame_probabilities(network: Classifier, video: Tensor) -> Tensor:
    """The probabilities (F, K) of the frames of a video (3, F, H, W)."""
    return torch.cat([network.probabilities(part) for part in video.transpose(0, 1).split(16)])
