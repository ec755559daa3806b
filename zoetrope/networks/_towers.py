"""The network of a `zoetrope.networks.towers.TowersConfig`."""

import math

import torch
from torch import Tensor, nn

from zoetrope.conditioning import Conditioning
from zoetrope.layers.picture_tower import PictureTower
from zoetrope.networks import Network
from zoetrope.networks._text import TextInput
from zoetrope.networks.towers import TowersConfig
from zoetrope.shapes import expect_shape

HEADS = 8
COLDEST = 100.0


class Towers(Network):
    """The towers, and the temperature of their comparison."""

    def __init__(self, config: TowersConfig):
        super().__init__()
        self.config = config
        self.picture = PictureTower(config.width)
        self.text = TextInput(config.text_width, 2 * config.width, HEADS)
        self.leave = nn.Sequential(
            nn.Linear(2 * config.width, 2 * config.width), nn.SiLU(), nn.Linear(2 * config.width, config.width)
        )
        self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))  # as CLIP's begins

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        """How much each of the pictures z (B, 3, 1, H, W) is like each of the texts: logits (B, B); no noise level."""
        expect_shape("z", z, None, 3, 1, None, None)
        text = self.text(conditioning.tokens.get("text"), len(z), 1)[2][:, 0]
        pictures, texts = (
            nn.functional.normalize(each.float(), dim=-1) for each in (self.picture(z[:, :, 0]), self.leave(text))
        )
        return self.scale.exp().clamp(max=COLDEST) * pictures @ texts.T
