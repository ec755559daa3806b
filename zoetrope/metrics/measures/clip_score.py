"""CLIP score, averaged over frames: how near videos are to their prompts [Hessel et al. 2021, arXiv:2104.08718]."""

from typing import ClassVar

import torch
from torch import Tensor

from zoetrope.metrics.clips import Clips, Material
from zoetrope.metrics.features import Matcher
from zoetrope.metrics.measures import Better, Measure, OpenedExtractor, Result


class ClipScore(Measure):
    """100 times the cosine of a frame's and its prompt's features, the mean over all frames of all videos.

    Not clipped at zero. Of the real videos, if there are some, the same is measured with the same prompts. Frames that
    were given do not count.
    """

    title: ClassVar[str] = "CLIP score"
    better: ClassVar[Better] = "higher"
    extractors: ClassVar[tuple[str, ...]] = ("clip",)
    only_new = True
    needs = frozenset({"prompts"})
    compares = True

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """See `Measure`."""
        assert isinstance(network, Matcher)
        texts = read(network, material.prompts)

        def scores(clips: Clips, texts: Tensor) -> Tensor:
            features = material.seen.frames(network, clips, material.stride)[:, material.places(clips)]
            return 100 * (features * texts[:, None]).sum(-1)  # (N, F)

        made, real = scores(material.made, texts), material.own_real
        return self.averaged(
            material,
            network,
            made.mean(1).tolist(),
            reference=None if real is None else float(scores(real, texts[:: material.members]).mean()),
            details={"by_frame": made.mean(0).tolist()},
        )


def read(network: Matcher, prompts: tuple[str, ...]) -> Tensor:
    """The features (N, D) of prompts; equal ones are read once, each by itself, so that none depends on the others."""
    known = {prompt: network.of_texts([prompt])[0] for prompt in dict.fromkeys(prompts)}
    return torch.stack([known[prompt] for prompt in prompts])
