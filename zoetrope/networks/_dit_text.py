"""Text for the transformer: tokens for cross-attention, and a vector of the whole."""

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
        """Tokens (N, L', E), their mask (N, L') and vectors (B, F or 1, E).

        There is one text per video (N = B), or one per frame (N = B F) where it is given as (B, F, L, D). L' is L
        rounded up. Raises ValueError for another number of texts, or another encoder's.
        """
        if given is None:
            tokens = self.null.expand(videos, 1, -1)
            mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
            return tokens, mask, self.pool(tokens, mask)[:, None]
        [expected] = self.norm.normalized_shape
        if given.values.shape[-1] != expected:
            raise ValueError(f"text: expected width {expected}, got {given.values.shape[-1]}: another encoder?")
        text, mask = given.values.flatten(0, -3), given.mask.flatten(0, -2)
        if len(text) not in (videos, videos * frames):
            raise ValueError(f"text: expected {videos} texts or one for each frame, got {len(text)}")
        more = -mask.shape[1] % ROUND if mask.shape[1] else ROUND
        tokens = self.linear(self.norm(nn.functional.pad(text, (0, 0, 0, more))))
        mask = nn.functional.pad(mask, (0, more))
        null = nn.functional.pad(~mask.any(-1, keepdim=True), (0, mask.shape[1] - 1))
        tokens, mask = torch.where(null[..., None], self.null.to(tokens.dtype), tokens), mask | null
        return tokens, mask, self.pool(tokens, mask).unflatten(0, (videos, -1))
