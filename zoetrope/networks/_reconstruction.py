"""The network of a `zoetrope.networks.reconstruction.ReconstructionConfig`."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pixel_unshuffle

from zoetrope.conditioning import Conditioning
from zoetrope.networks import Network
from zoetrope.networks.reconstruction import ReconstructionConfig
from zoetrope.shapes import expect_shape


class ReconstructionNetwork(Network):
    """A codec whose latents are drawn from the encoder's distribution.

    Attributes:
        coder: the codec.
    """

    def __init__(self, config: ReconstructionConfig):
        super().__init__()
        self.config = config
        self.coder = config.codec.build()

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        """The reconstruction (B, 3, F, H, W) of videos, and in a fourth channel their latents' divergence in nats.

        z is the videos, (B, 3, F, H, W), or (B, 6, F, H, W) with standard normal noise, some of which draws the
        latents; without noise these are the means. No noise level, no conditioning. The sum of a frame's fourth channel
        is its `zoetrope.codecs.Posterior.divergence`.
        """
        expect_shape("z", z, None, 6 if z.shape[1] == 6 else 3, None, None, None)
        factor, channels = self.config.codec.factor, self.config.codec.channels
        found = self.coder.posterior(z[:, :3])
        latents = found.mean
        if z.shape[1] == 6:
            noise = pixel_unshuffle(z[:, 3:].transpose(1, 2), factor)[:, :, :channels].transpose(1, 2)
            latents = found.draw(noise.to(latents.dtype))
        made = torch.cat(list(self.coder.stream([latents])), dim=2)
        mean, logvar = found.mean.float(), found.logvar.float()
        nats = (mean.square() + logvar.exp() - 1 - logvar).sum(1) / 2 / factor**2
        shown = interpolate(nats, scale_factor=float(factor), mode="nearest")
        return torch.cat([made.float(), shown[:, None]], dim=1)

    def last(self) -> Tensor | None:
        """The weights of the decoder's last layer."""
        return self.coder.last()
