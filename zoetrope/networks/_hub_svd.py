"""The network of a `zoetrope.networks.hub_svd.HubSVDConfig`."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from zoetrope.conditioning import Conditioning, Tokens
from zoetrope.config.extras import of_diffusers
from zoetrope.diffusion.tensors import has_data
from zoetrope.networks import Network
from zoetrope.networks._given import number, videos_given
from zoetrope.networks.hub_svd import BUCKET, MOST, HubSVDConfig
from zoetrope.shapes import expect_shape


class HubSVD(Network):
    """A `diffusers.UNetSpatioTemporalConditionModel`."""

    def __init__(self, config: HubSVDConfig):
        super().__init__()
        self.config = config
        self.unet = of_diffusers("UNetSpatioTemporalConditionModel", "network hub_svd")(**config.hub_sizes)

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        """Output like z (B, C, F, H, W) at noise level logsnr (B,). Raises ValueError for misshapen inputs."""
        config, images = self.config, conditioning.images
        expect_shape("z", z, None, config.channels, None, None, None)
        expect_shape("logsnr", logsnr, len(z))
        if images is not None and has_data(images) and bool(images.any()):
            raise ValueError("images: expected none, for all frames are of one video")
        _, still = videos_given(z, conditioning.maps, {"first_frame": config.channels})
        made: Tensor = self.unet(
            torch.cat([z, still / config.scaling], dim=1).movedim(2, 1),
            (-logsnr / 8).to(torch.float32),  # ln(sigma / alpha) / 4, EDM's c_noise
            encoder_hidden_states=_embedding(conditioning.tokens.get("picture"), config.picture_width, z),
            added_time_ids=self._told(z, conditioning),
            return_dict=False,
        )[0]
        return made.movedim(1, 2).to(z.dtype)

    def _told(self, z: Tensor, conditioning: Conditioning) -> Tensor:
        """The numbers (B, 3) that the network is told: frames per second less 1, motion, noise of the picture."""
        fps = number(conditioning, "fps", "the frames per second,")
        motion = number(conditioning, BUCKET, "how much moves, from -1 to 1, NaN if unknown,")
        level = number(conditioning, "first_frame_logsnr", "the noise level of first_frame")
        for name, values in (("fps", fps), (BUCKET, motion), ("first_frame_logsnr", level)):
            expect_shape(f"numbers[{name!r}]", values, len(z))
        if has_data(fps) and bool(fps.isnan().any()):
            raise ValueError("numbers['fps']: expected the frames per second, got an unknown one")
        bucket = torch.where(motion.isnan(), self.config.bucket, (motion + 1) / 2 * MOST)
        return torch.stack([value.float() for value in (fps - 1, bucket, torch.exp(-level / 2))], dim=1)

    def blocks(self) -> Iterator[nn.Module]:
        """The levels on the way down, the middle, and the levels on the way up."""
        yield from (*self.unet.down_blocks, self.unet.mid_block, *self.unet.up_blocks)


def _embedding(given: Tokens | None, width: int, z: Tensor) -> Tensor:
    """The picture's embedding (B, 1, D), zeros where it is unknown. Raises ValueError for one of another shape."""
    if given is None:
        return z.new_zeros(len(z), 1, width)
    expect_shape("tokens['picture']", given.values, len(z), 1, width)
    return torch.where(given.mask[..., None], given.values, 0).to(z.dtype)
