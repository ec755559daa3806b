"""What lies before the background in a picture, without a network: what differs from the picture's border."""

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d


def foreground(video: Tensor, margin: int) -> Tensor:
    """Where each frame of a video (B, C, F, H, W) shows something before its background: (B, 1, F, H, W) bool.

    The background is the median colour of the frame's border. A pixel belongs to the foreground if it is further from
    that than a threshold, which divides the frame's pixels into the two classes that differ most [Otsu 1979]. The
    foreground then grows by `margin` pixels. It takes a background of nearly one colour; the paper takes a network.
    """
    border = torch.cat([video[..., 0, :], video[..., -1, :], video[..., 0], video[..., -1]], dim=-1)  # (B, C, F, n)
    behind = border.median(-1).values
    far = (video - behind[..., None, None]).square().sum(1).sqrt()  # (B, F, H, W)
    mask = far > otsu(far.flatten(2))[..., None, None]
    grown = (
        max_pool2d(mask.to(video.dtype), 2 * margin + 1, stride=1, padding=margin) if margin else mask.to(video.dtype)
    )
    return grown[:, None] > 0


def otsu(values: Tensor) -> Tensor:
    """The thresholds (...) that divide values (..., N) into two classes with the largest variance between them.

    A value belongs to the upper class if it is larger. Where all are equal, none is.
    """
    ranked = values.sort(-1).values
    count = ranked.shape[-1]
    below = torch.arange(1, count + 1, device=values.device, dtype=ranked.dtype)
    lower = ranked.cumsum(-1)
    share = below / count
    apart = lower[..., -1:] * share - lower  # count w0 w1 (m1 - m0)
    between = apart.square() / (share * (1 - share)).clamp(min=1e-12)
    between = between.clone()
    between[..., -1] = 0.0
    return ranked.gather(-1, between.argmax(-1, keepdim=True))[..., 0]
