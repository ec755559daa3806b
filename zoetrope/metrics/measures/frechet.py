"""The Fréchet distance on the features of any network, of frames or of clips."""

from typing import ClassVar

import torch
from torch import Tensor

from zoetrope.metrics.clips import Clips, Material
from zoetrope.metrics.features import ClipNetwork, FeatureNetwork
from zoetrope.metrics.frechet import Gaussian, frechet_distance
from zoetrope.metrics.measures import Better, Measure, OpenedExtractor, Result

SEED = 0  # of the lot that splits sets in halves


class Frechet(Measure):
    """The squared Fréchet distance of the features of generated and real videos.

    Its name depends on the network: only with I3D it is FVD, only with Inception FID. An image network processes every
    frame separately and cannot see their order; frames that were given do not count. A network of clips sees these too.

    The value is biased upwards by an amount that falls as 1 / N. Both sets are therefore split in two by lot, always in
    the same way, with all videos of a case in one half: `halves` is the mean distance of a half to a half, which has
    twice the bias, so that 2 value - halves is an estimate for infinitely many videos [Chong and Forsyth 2020,
    arXiv:1911.07023, with two points]. `reference` is the distance between the halves of the real set: a perfect model
    would get it with half as many videos.
    """

    title: ClassVar[str] = "Fréchet distance"
    better: ClassVar[Better] = "lower"
    extractors: ClassVar[tuple[str, ...]] = (
        "mobilenet_v2",
        "torchscript",
        "transformers_video",
        "i3d",
        "inception",
        "clip",
    )
    only_new = True
    needs = frozenset({"real"})
    least: ClassVar[int] = 4

    def expect(self, material: Material) -> None:
        """See `Measure`; each half has to have a case."""
        super().expect(material)
        if material.cases < 2:
            raise ValueError(f"{self.name}: expected videos of at least two cases, got one")

    def expect_network(self, network: OpenedExtractor | None, material: Material) -> None:
        """See `Measure`; a network of clips also needs both sets at one frame rate."""
        super().expect_network(network, material)
        if isinstance(network, ClipNetwork):
            self.expect_one_rate(material)

    def expect_one_rate(self, material: Material) -> None:
        """Raise ValueError unless both sets have one frame rate: what is seen of motion depends on it."""
        made, real = material.made.shape, material.real.shape if material.real is not None else material.made.shape
        if made.fps != real.fps:
            rates = f"{made.fps:g} and {real.fps:g}"
            raise ValueError(f"{self.name}: expected both sets at one frame rate, got {rates} frames a second")

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """See `Measure`."""
        assert network is not None and material.real is not None
        cases, clips = material.cases, len(material.real)
        made = _halves(self.features(material, material.made, network), first_half(cases, clips))
        real = _halves(self.features(material, material.real, network), first_half(clips, cases))
        whole_made, whole_real = Gaussian.joined(made), Gaussian.joined(real)
        value = frechet_distance(whole_made, whole_real)
        halves = sum(frechet_distance(*pair) for pair in zip(made, real, strict=True)) / 2
        samples, width = min(whole_made.count, whole_real.count), len(whole_made.mean)
        notes = [f"biased upwards: about {max(0.0, halves - value):.3g} too large at this number of videos"]
        if samples <= width:
            notes.append(
                f"fewer samples ({samples}) than features ({width}): compare only with equal numbers of videos"
            )
        return self.result(
            material,
            network,
            value,
            reference=frechet_distance(*real),
            details={
                "samples_made": whole_made.count,
                "samples_real": whole_real.count,
                "features": width,
                "halves": halves,
                "endless": 2 * value - halves,
            },
            notes=tuple(notes),
        )

    def features(self, material: Material, clips: Clips, network: OpenedExtractor) -> Tensor:
        """The features (N, S, D) of each clip's S samples."""
        if isinstance(network, FeatureNetwork):
            return material.seen.frames(network, clips, material.stride)[:, material.places(clips)]
        return material.seen.clips(network, clips, material.stride, self.window)[:, None]


def first_half(cases: int, others: int) -> Tensor:
    """Which of so many cases are in the first half of a set, (cases,) bool, if the other set has `others`.

    They are drawn by lot, as neighbours may differ in kind. Cases that both sets have are in the same half of both.
    """
    draw, common = torch.Generator().manual_seed(SEED), min(cases, others)
    first = torch.zeros(cases, dtype=torch.bool)
    first[torch.randperm(common, generator=draw)[::2]] = True
    first[common + torch.randperm(cases - common, generator=draw)[1::2]] = True
    return first


def _halves(features: Tensor, first: Tensor) -> tuple[Gaussian, Gaussian]:
    """The moments of both halves of features (N, S, D): of the `first` cases, (cases,), and of the others."""
    of_clips = first.repeat_interleave(len(features) // len(first))
    return Gaussian.of(features[of_clips].flatten(0, 1)), Gaussian.of(features[~of_clips].flatten(0, 1))
