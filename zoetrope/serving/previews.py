"""Small pictures of a stage's estimate while it denoises: a strip of its frames, one below the other."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from zoetrope.models.progress import Progress

MOST_FRAMES, WIDEST = 16, 256
"""Frames of a strip, and pixels of each in height and width, at most."""
SHARE = 0.1
"""The share of the time that previews may take, but for the last of a stage."""


class Previews:
    """Writes `preview-N.png` for stage number N into a folder, as often as `SHARE` allows."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.clock, self.made = folder, clock, 0
        self.next, self.cost, self.stage = 0.0, 0.0, ""

    def take(self, number: int, now: "Progress") -> dict[str, Any] | None:
        """What the preview of this step shows; None if it is not the time for one.

        Frames, their height and width in the strip, the frames a second at which they show the video's speed, and
        `version`, another number for every preview.
        """
        begun = self.clock()
        if begun < self.next and not now.done:
            return None
        from zoetrope.video import save_image

        shown = strip(now)
        if shown is None:
            return None
        save_image(self.folder / f"preview-{number}.png", shown.reshape(-1, *shown.shape[2:]))
        self.made += 1
        ended = self.clock()
        self.cost = ended - begun if now.stage != self.stage else min(self.cost, ended - begun)
        self.next, self.stage = ended + self.cost / SHARE, now.stage
        fps = now.shape.fps * len(shown) / now.shape.frames
        size = {"frames": len(shown), "height": shown.shape[1], "width": shown.shape[2]}
        return {**size, "fps": round(fps, 3), "version": self.made}


def strip(now: "Progress") -> "np.ndarray | None":
    """Some frames (F, H, W, 3) uint8 of the estimate of the first sample, reduced; None of a stage of vectors.

    Of channels other than red, green and blue it shows the first.
    """
    import torch
    from torch.nn.functional import interpolate

    from zoetrope.fields import views

    x = now.x_hat if now.decode is None else now.decode(now.x_hat)
    if x.shape[2:].numel() == 1:
        return None
    chosen = torch.linspace(0, x.shape[2] - 1, min(x.shape[2], MOST_FRAMES)).round().long()
    few = x[0].detach()[:, chosen.to(x.device)].float().cpu()
    few = torch.nan_to_num(few, nan=0.0, posinf=1.0, neginf=-1.0)
    largest = max(few.shape[2:])
    if largest > WIDEST:
        height, width = (max(1, round(side * WIDEST / largest)) for side in few.shape[2:])
        few = interpolate(few.transpose(0, 1), (height, width), mode="area").transpose(0, 1)
    return views(few, now.channels, 1.0)[0].frames
