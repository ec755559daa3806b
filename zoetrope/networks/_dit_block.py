"""The blocks of the transformer on spacetime patches."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoetrope.layers.attention import TextAttention
from zoetrope.layers.elementwise import Sum, SumOfProduct
from zoetrope.layers.tokens import Past, ScaledNorm, TokenAttention, TokenFeedForward, mapped
from zoetrope.layers.zero import zero
from zoetrope.networks.dit import DiTConfig


class Told(NamedTuple):
    """The conditioning of a clip, for every block.

    Attributes:
        e: the conditioning vector after its activation, (B, F or 1, E), or the blocks' shared modulation of it.
        phases: rotary positions of attention, (B or 1, F or 1, H or 1, W or 1, 1, d / 2): in the frame, and in time
            for "factorised"; of both together for "full".
        tokens, mask: of the text, (N, L, E) and (N, L), N = B or B F; None in a network without text.
        seen: which frames each frame may look at, (B, F, F); None: at all.
    """

    e: Tensor
    phases: tuple[Tensor, ...]
    tokens: Tensor | None = None
    mask: Tensor | None = None
    seen: Tensor | None = None


class TokenBlock(nn.Module):
    """Attention, over time too where it is factorised, text, and a feed-forward, all from zero."""

    def __init__(self, config: DiTConfig):
        super().__init__()
        width, heads = config.width, config.width // config.head
        factorised = config.attention == "factorised"
        self.attention = TokenAttention(width, heads, "space" if factorised else "both", config.causal)
        self.time_attention = TokenAttention(width, heads, "time", config.causal) if factorised else None
        self.text_attention = None if config.text_width is None else TextAttention(width, heads, config.told)
        self.feed_forward = TokenFeedForward(width)
        outputs = outputs_of(config)
        shared = config.modulation == "shared"
        self.modulation = None if shared else zero(nn.Linear(config.told, outputs))
        self.offset = nn.Parameter(torch.zeros(outputs)) if shared else None
        self.norm, self.gated, self.sum = ScaledNorm(), SumOfProduct(), Sum()

    def forward(self, clips: Sequence[Tensor], told: Sequence[Told], past: Past | None = None) -> list[Tensor]:
        """Features (B, F, H, W, D) of clips, after the block; own clips, see `zoetrope.layers.elementwise`."""
        seen, modulations = [each.seen for each in told], self._modulations(told)

        def normed(index: int) -> list[Tensor]:
            return [self.norm(x, parts[index][0]) for x, parts in zip(h, modulations, strict=True)]

        def joined(index: int, branches: Sequence[Tensor]) -> list[Tensor]:
            return [self.gated(x, m[index][1], own) for x, own, m in zip(h, branches, modulations, strict=True)]

        h = list(clips)
        h = joined(0, self.attention(normed(0), [each.phases[0] for each in told], seen, past))
        if self.time_attention is not None:
            h = joined(1, self.time_attention(normed(1), [each.phases[1] for each in told], seen, past))
        if self.text_attention is not None:
            texts = zip(h, told, strict=True)
            h = [self.sum(x, self.text_attention(x, each.tokens, each.mask)) for x, each in texts]
        return joined(-1, self.feed_forward(normed(-1)))

    def _modulations(self, told: Sequence[Told]) -> list[list[tuple[Tensor, Tensor]]]:
        """Scale and shift (B, F or 1, 2 D), and gate (B, F or 1, 1, 1, D), of each branch but the text's, by clip."""
        if self.modulation is not None:
            of_clips = mapped(self.modulation, [each.e for each in told])
        else:
            assert self.offset is not None
            of_clips = [each.e + self.offset for each in told]
        branches = 2 if self.time_attention is None else 3
        return [[_scales_and_gate(part) for part in each.chunk(branches, dim=-1)] for each in of_clips]


def _scales_and_gate(part: Tensor) -> tuple[Tensor, Tensor]:
    width = part.shape[-1] // 3
    return part[..., : 2 * width], part[:, :, None, None, 2 * width :]


def outputs_of(config: DiTConfig) -> int:
    """How many numbers modulate a block: scale, shift and gate of each branch but the text's."""
    return 3 * config.width * (3 if config.attention == "factorised" else 2)
