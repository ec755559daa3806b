"""Text for networks: tokens for cross-attention, and a vector of the whole."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zoetrope.conditioning import Tokens
from zoetrope.layers.embedding import TextPool

ROUND = 16  # attention to a multiple of so many tokens is just as fast


class TextInput(nn.Module):
    """Features of a text encoder, with a learned token where there is no text."""

    def __init__(self, text_width: int, width: int, heads: int):
        super().__init__()
        self.norm = nn.LayerNorm(text_width)
        self.linear = nn.Linear(text_width, width)
        self.null = nn.Parameter(nn.init.normal_(torch.empty(width), std=0.02))
        self.pool = TextPool(width, heads)

    def forward(self, given: Tokens | None, videos: int, frames: int) -> tuple[Tensor, Tensor, Tensor]:
        """`text_tokens`, and vectors (B, F or 1, E)."""
        [width] = self.norm.normalized_shape
        enter = lambda text: self.linear(self.norm(text))  # noqa: E731
        tokens, mask = text_tokens(given, width, enter, self.null, (videos, frames))
        return tokens, mask, self.pool(tokens, mask).unflatten(0, (videos, -1))


def text_tokens(
    given: Tokens | None, width: int, enter: Callable[[Tensor], Tensor], null: Tensor, sizes: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Tokens (N, L', E), and their mask (N, L'), for `sizes`: so many videos, of so many frames.

    `enter` maps features of the text encoder's `width` to E. There is one text per video (N = B), or one per frame
    (N = B F) where it is given as (B, F, L, D). Without text the first token is `null` (E). L' is L rounded up. Raises
    ValueError for another number of texts, or another encoder's.
    """
    videos, frames = sizes
    if given is None:
        tokens = null.expand(videos, 1, -1)
        return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    if given.values.shape[-1] != width:
        raise ValueError(f"text: expected width {width}, got {given.values.shape[-1]}: another encoder?")
    text, mask = given.values.flatten(0, -3), given.mask.flatten(0, -2)
    if len(text) not in (videos, videos * frames):
        raise ValueError(f"text: expected {videos} texts or one for each frame, got {len(text)}")
    more = -mask.shape[1] % ROUND if mask.shape[1] else ROUND
    tokens = enter(nn.functional.pad(text, (0, 0, 0, more)))
    mask = nn.functional.pad(mask, (0, more))
    absent = nn.functional.pad(~mask.any(-1, keepdim=True), (0, mask.shape[1] - 1))
    return torch.where(absent[..., None], null.to(tokens.dtype), tokens), mask | absent
