"""The Fréchet distance on changes of features from frame to frame: what an image network can see of motion."""

from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor

from zoetrope.metrics.clips import Clips, Material
from zoetrope.metrics.features import ClipNetwork, FeatureNetwork
from zoetrope.metrics.measures import OpenedExtractor, Result
from zoetrope.metrics.measures.frechet import Frechet


class FrechetChanges(Frechet):
    """As `Frechet`, of the differences of the features of neighbouring frames, of which one at least was not given.

    Still frames have no changes, and shuffled frames have large ones, because features of neighbours are similar. So it
    sees some motion, which a distance on single frames cannot; it is not FVD.

    Changes are projected on a few fixed directions. With more features than samples, a set without any motion would be
    nearer to the real one than other real videos: small values have no bias.

    Attributes:
        dimensions: how many directions; None keeps all features.
    """

    title: ClassVar[str] = "Fréchet distance of changes"
    extractors: ClassVar[tuple[str, ...]] = ("mobilenet_v2", "torchscript", "inception", "clip")
    dimensions: PositiveInt | None = 32

    def expect_network(self, network: OpenedExtractor | None, material: Material) -> None:
        """See `Measure`."""
        super().expect_network(network, material)
        if isinstance(network, ClipNetwork):
            raise ValueError(f"{self.name}: expected a network that sees single frames, got one of clips")
        self.expect_one_rate(material)
        for clips in (material.made, *([material.real] if material.real is not None else [])):
            if clips.frames(material.stride) < 2:
                raise ValueError(f"{self.name}: expected videos of at least two frames, got one")

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """See `Measure`."""
        result = super().measure(material, network)
        if network is None or result.details["features"] == network.width:
            return result
        layer = f"{network.layer}; changes projected on {self.dimensions} fixed random directions"
        return result.with_(protocol=result.protocol.with_(layer=layer))

    def features(self, material: Material, clips: Clips, network: OpenedExtractor) -> Tensor:
        """The changes (N, S, D)."""
        assert isinstance(network, FeatureNetwork)
        changes = material.seen.frames(network, clips, material.stride).diff(dim=1)[:, material.changes(clips)].double()
        if self.dimensions is None or self.dimensions >= network.width:
            return changes
        return changes @ _directions(network.width, self.dimensions)


def _directions(width: int, count: int) -> Tensor:
    """An orthonormal basis (width, count), always the same."""
    random = torch.Generator().manual_seed(0)
    return torch.linalg.qr(torch.randn(width, count, generator=random, dtype=torch.float64)).Q
