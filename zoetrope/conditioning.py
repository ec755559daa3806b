"""What a network may be conditioned on, as one value instead of a dozen arguments."""

from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """Every field is optional: None means "this network is not given it".

    Attributes:
        text: token embeddings, (B, L, D); or one text for each frame, (B, F, L, D).
        text_mask: True for real tokens, (B, L) or (B, F, L); a row without any is the null prompt. Where there is text
            and no mask, every token is real.
        low_res: the previous stage's video on this stage's grid, already noised, (B, C, F, H, W).
        low_res_logsnr: noise level of `low_res`, (B,).
        images: True for examples whose frames are independent images packed like a video, (B,): nothing may cross
            their frames [Ho et al. 2022, arXiv:2210.02303, Sec. 2.6].
        guidance: weight w of the guidance that a distilled network answers with, (B,).
    """

    text: Tensor | None = None
    text_mask: Tensor | None = None
    low_res: Tensor | None = None
    low_res_logsnr: Tensor | None = None
    images: Tensor | None = None
    guidance: Tensor | None = None

    def __post_init__(self) -> None:
        if self.text is None:
            return
        if self.text_mask is None:
            every = torch.ones(self.text.shape[:-1], dtype=torch.bool, device=self.text.device)
            object.__setattr__(self, "text_mask", every)
        elif self.text_mask.shape != self.text.shape[:-1]:
            expected, got = tuple(self.text.shape[:-1]), tuple(self.text_mask.shape)
            raise ValueError(f"text_mask: expected shape {expected}, one value for each token of text, got {got}")

    def without_text(self, drop: Tensor) -> Self:
        """Hide the text of the examples where drop (B,) is True: the null prompt of classifier-free guidance."""
        if self.text_mask is None:
            return self
        return replace(self, text_mask=self.text_mask & ~drop.reshape(-1, *[1] * (self.text_mask.ndim - 1)))

    def doubled(self, negative: Self | None = None) -> Self:
        """The batch twice, the second time without text, or with that of `negative`: guidance in one network call."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        twice = {name: None if value is None else torch.cat([value, value]) for name, value in values.items()}
        if self.text is not None and self.text_mask is not None:
            text, mask = self.text, torch.zeros_like(self.text_mask)
            if negative is not None and negative.text is not None and negative.text_mask is not None:
                text, mask = negative.text.expand_as(self.text), negative.text_mask.expand_as(self.text_mask)
            twice["text"] = torch.cat([self.text, text])
            twice["text_mask"] = torch.cat([self.text_mask, mask])
        return replace(self, **twice)

    def select(self, rows: Tensor) -> Self:
        """The conditioning of some examples of the batch."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: None if value is None else value[rows] for name, value in values.items()})

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        """The same on a device; masks keep their type."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {
            name: None if value is None else value.to(device, dtype if value.is_floating_point() else None)
            for name, value in values.items()
        }
        return replace(self, **moved)
