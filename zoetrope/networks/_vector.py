"""The network of a `zoetrope.networks.vector.VectorConfig`."""

from torch import Tensor, nn

from zoetrope.conditioning import Conditioning
from zoetrope.layers.embedding import GuidanceEmbedding, LogSNREmbedding
from zoetrope.layers.zero import zero
from zoetrope.networks import Network
from zoetrope.networks._beside import Beside
from zoetrope.networks._given import embedded, with_numbers
from zoetrope.networks._text import TextInput
from zoetrope.networks.vector import VectorConfig
from zoetrope.shapes import expect_shape


class VectorBlock(nn.Module):
    """A feed-forward residual branch on h (B, D), scaled, shifted and gated by the conditioning vector e (B, D)."""

    def __init__(self, width: int):
        super().__init__()
        self.modulation = zero(nn.Linear(width, 3 * width))
        self.layers = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        scale, shift, gate = self.modulation(e).chunk(3, dim=-1)
        return h + gate * self.layers(nn.functional.layer_norm(h, h.shape[-1:]) * (1 + scale) + shift)


class VectorNetwork(Network):
    """A residual network on vectors (B, D, 1, 1, 1)."""

    def __init__(self, config: VectorConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.logsnr = LogSNREmbedding(width, 256)
        self.guidance = GuidanceEmbedding(width) if config.guided else None
        self.text = None if config.text_width is None else TextInput(config.text_width, width, config.heads)
        self.beside = Beside.of(config, width)
        self.enter = nn.Linear(config.channels, width)
        self.layers = nn.ModuleList(VectorBlock(width) for _ in range(config.depth))
        self.last_modulation = zero(nn.Linear(width, 2 * width))
        self.leave = zero(nn.Linear(width, config.channels))
        # As in the U-Net: at low noise v is mostly the noise in z.
        self.gain = zero(nn.Linear(width, 1))

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        """Output like z (B, D, 1, 1, 1) at noise level logsnr, (B,) or (B, 1)."""
        expect_shape("z", z, None, self.config.channels, 1, 1, 1)
        e = self._told(z, logsnr, conditioning)
        vector = z.flatten(1)
        h = self.enter(vector)
        for layer in self.layers:
            h = layer(h, e)
        scale, shift = self.last_modulation(e).chunk(2, dim=-1)
        h = nn.functional.layer_norm(h, h.shape[-1:]) * (1 + scale) + shift
        out = self.leave(h) + self.gain(e) * vector
        return out.to(z.dtype).reshape(z.shape)

    def _told(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        """The conditioning vector (B, D). Raises ValueError for missing or misshapen inputs."""
        e = embedded("logsnr", logsnr, z, self.logsnr)
        if self.text is not None:
            e = e + self.text(conditioning.tokens.get("text"), len(z), 1)[2]
        e = with_numbers(e, z, conditioning, None, self.guidance)
        if self.beside is not None:
            e = e + self.beside(z, conditioning)
        return nn.functional.silu(e[:, 0])
