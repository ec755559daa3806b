"""The network of a `zoetrope.networks.patch_critic.PatchCriticConfig`."""

from torch import Tensor, nn

from zoetrope.conditioning import Conditioning
from zoetrope.networks import Network
from zoetrope.networks.patch_critic import PatchCriticConfig
from zoetrope.shapes import expect_shape

SLOPE = 0.2


class PatchCritic(Network):
    """Convolutions over frames, normalised per pixel, so that no patch sees another."""

    def __init__(self, config: PatchCriticConfig):
        super().__init__()
        self.config = config
        widths = [config.width * min(2**level, 8) for level in range(config.depth)]
        self.first = self._convolution(3, widths[0], stride=2)
        self.inner, self.norms = nn.ModuleList(), nn.ModuleList()
        for before, after in zip(widths, [*widths[1:], widths[-1]], strict=True):
            self.inner.append(self._convolution(before, after, stride=1 if len(self.inner) == config.depth - 1 else 2))
            self.norms.append(nn.LayerNorm(after))
        self.score = nn.Linear(widths[-1], 1, bias=False)  # a constant would say nothing of a patch

    def _convolution(self, width_in: int, width_out: int, stride: int) -> nn.Module:
        """4 x 4 pixels at stride 2, 3 x 3 at stride 1; of 3 frames where it is temporal."""
        pixels = 2 + stride
        if self.config.temporal:
            return nn.Conv3d(width_in, width_out, (3, pixels, pixels), (1, stride, stride), padding=1)
        return nn.Conv2d(width_in, width_out, pixels, stride, padding=1)

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        """The scores of patches, (B, 1, F, h, w), of videos z (B, 3, F, H, W); no noise level, no conditioning."""
        expect_shape("z", z, None, 3, None, None, None)
        frames = z.shape[2]
        h = z if self.config.temporal else z.transpose(1, 2).flatten(0, 1)
        h = nn.functional.leaky_relu(self.first(h), SLOPE)
        for convolution, norm in zip(self.inner, self.norms, strict=True):
            h = convolution(h)
            h = nn.functional.leaky_relu(norm(h.movedim(1, -1)).movedim(-1, 1), SLOPE)
        scores: Tensor = self.score(h.movedim(1, -1)).movedim(-1, 1)
        return scores if self.config.temporal else scores.unflatten(0, (-1, frames)).transpose(1, 2)
