"""CLIP R-precision: how often a frame is nearer to its own prompt than to all others [Park et al. 2021]."""

from typing import ClassVar

import torch
from torch import Tensor

from zoetrope.metrics.clips import Clips, Material
from zoetrope.metrics.features import Matcher
from zoetrope.metrics.intervals import Proportion
from zoetrope.metrics.measures import Better, Measure, OpenedExtractor, Result
from zoetrope.metrics.measures.clip_score import read


class RPrecision(Measure):
    """The share of frames, in percent, whose nearest prompt is that of their video: all its frames share the label.

    The choice is between all different prompts of the set, so the number falls as there are more: chance is 100 over
    their number. Equal prompts are one. Frames that were given do not count.
    """

    title: ClassVar[str] = "CLIP R-precision"
    better: ClassVar[Better] = "higher"
    extractors: ClassVar[tuple[str, ...]] = ("clip",)
    only_new = True
    needs = frozenset({"prompts"})
    compares = True
    least: ClassVar[int] = 2

    def expect(self, material: Material) -> None:
        """See `Measure`; there have to be two different prompts at least."""
        super().expect(material)
        if len(set(material.prompts)) < 2:
            raise ValueError(f"{self.name}: expected at least two different prompts, got one")

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """See `Measure`."""
        assert isinstance(network, Matcher)
        choices = tuple(dict.fromkeys(material.prompts))
        texts = read(network, choices)
        own = torch.tensor([choices.index(prompt) for prompt in material.prompts])

        def seen(clips: Clips) -> Tensor:
            return material.seen.frames(network, clips, material.stride)[:, material.places(clips)]

        right = retrieved(seen(material.made), texts, own)
        frames = right.shape[1]
        groups = material.clusters or range(len(right))
        share = Proportion.of((right > 0).flatten().tolist(), [group for group in groups for _ in range(frames)])
        reference = None
        if (real := material.own_real) is not None:
            reference = float(retrieved(seen(real), texts, own[:: material.members]).mean())
        return self.result(
            material,
            network,
            100 * share.value,
            unit="%",
            interval=(100 * share.low, 100 * share.high),
            reference=reference,
            details={"prompts": len(choices), "chance": 100 / len(choices), "by_frame": right.mean(0).tolist()},
            notes=(f"a choice between {len(choices)} prompts; chance is {100 / len(choices):.3g} %",),
        )


def retrieved(frames: Tensor, texts: Tensor, own: Tensor) -> Tensor:
    """100 or 0 for each frame (N, F): whether text number `own` of all (M, D) is nearest to its features (N, F, D).

    Features have length 1. Ties count as wrong.
    """
    likeness = frames.double() @ texts.double().T  # (N, F, M)
    mine = likeness.gather(2, own[:, None, None].expand(*likeness.shape[:2], 1))
    return 100.0 * ((likeness >= mine).sum(2) == 1).double()
