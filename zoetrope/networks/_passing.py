"""What passes a network by: z and low_res reach the output directly, with learned gains."""

from collections.abc import Callable, Sequence

from torch import Tensor

from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.anchor import anchor, departure
from zoetrope.networks._given import alike

SumOfProducts = Callable[[Tensor, Tensor, Tensor], Tensor]


def passed(out: Tensor, gains: Tensor, videos: Sequence[Tensor], add: SumOfProducts) -> Tensor:
    """own out (B, C, F, H, W) plus, for each of the gains (B, F or 1, n), the gain times the video of that place.

    Takes `zoetrope.layers.elementwise.SumOfProduct`. At low noise v is mostly the noise in z, and a super-resolved
    video is mostly low_res: passing them through spares the blocks from carrying noise, and training starts faster.
    """
    for gain, video in zip(gains.to(out.dtype).unbind(-1), videos, strict=False):
        out = add(out, gain[:, None, :, None, None], video)
    return out


def anchored(
    out: Tensor,
    leaving: Tensor,
    videos: Sequence[Tensor],
    logsnr: Tensor,
    conditioning: Conditioning,
    add: SumOfProducts,
) -> Tensor:
    """The v of a video equal to low_res, videos[1], from which each pixel departs by out, as far as `leaving` says."""
    known = anchor(videos[0], videos[1], *alike(logsnr, conditioning.numbers["low_res_logsnr"]))
    return known + departure(add(out, leaving, known))
