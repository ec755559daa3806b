"""Codecs: shapes, the scale, tiles and parts equal to the whole, a decoder of videos that begins as one of images."""

import pytest
import torch
from torch import Tensor

from zoetrope.codecs import Codec, CodecNetwork, Posterior, measure
from zoetrope.codecs.autoencoder import Autoencoder, AutoencoderNetwork, tiled
from zoetrope.codecs.pixels import PixelCodec

SMALL = Autoencoder(f=4, channels=3, width=4, blocks=1)


def randomised(codec: Codec) -> CodecNetwork:
    """A network in float64 with no weight left at zero, so that every layer counts."""
    torch.manual_seed(0)
    network = codec.build().double()
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.3 * torch.randn_like(value))
    return network.requires_grad_(False)


def video(*shape: int) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize("name", [kind.kind() for kind in Codec.every() if not kind.wrapped])
def test_every_codec_has_the_shapes_that_it_states_and_survives_json(name: str) -> None:
    codec = Codec.named(name)()
    assert Codec.from_json(codec.to_json()) == codec
    network, n = codec.build().double(), codec.factor
    z = network.encode(video(2, 3, 3, 2 * n, 3 * n))
    assert z.shape == (2, codec.channels, 3, 2, 3)
    assert network.decode(z).shape == (2, 3, 3, 2 * n, 3 * n)


@pytest.mark.parametrize("f", [2, 4, 8])
@pytest.mark.parametrize("tile", [1, 3, 5])
def test_tiles_equal_the_whole(f: int, tile: int) -> None:
    codec = SMALL.with_(f=f, temporal=True)
    network, margin = randomised(codec), codec.margin
    x = video(1, 3, 2, 13 * f, 7 * f)
    z = network.encode(x)
    torch.testing.assert_close(tiled(network.encode, x, tile, margin, f, 1), z, rtol=0, atol=1e-10)
    whole = network.decode(z)
    torch.testing.assert_close(tiled(network.decode, z, tile, margin, 1, f), whole, rtol=0, atol=1e-10)


def test_the_margin_is_needed() -> None:
    network = randomised(SMALL)
    z = torch.randn(1, 3, 1, 13, 13, dtype=torch.float64)
    apart = tiled(network.decode, z, 4, 1, 1, 4) - network.decode(z)
    assert apart.abs().max() > 1e-6


@pytest.mark.parametrize("sizes", [[7], [1] * 7, [2, 4, 1], [1, 6]])
def test_parts_equal_the_whole(sizes: list[int]) -> None:
    network = randomised(SMALL.with_(temporal=True))
    z = torch.randn(2, 3, 7, 3, 2, dtype=torch.float64)
    streamed = torch.cat(list(network.stream(z.split(sizes, dim=2))), dim=2)
    torch.testing.assert_close(streamed, network.decode(z), rtol=0, atol=1e-10)
    alone = torch.cat([network.decode(frame) for frame in z.split(1, dim=2)], dim=2)
    assert (alone - streamed).abs().max() > 1e-3, "its frames do not see each other"


def test_the_video_decoder_begins_as_the_image_decoder() -> None:
    images, videos = randomised(SMALL), randomised(SMALL.with_(temporal=True))
    assert isinstance(images, AutoencoderNetwork) and isinstance(videos, AutoencoderNetwork)
    measure(images, [video(1, 3, 1, 8, 8)])
    x = video(2, 3, 5, 8, 12)
    assert not torch.equal(videos.decode(videos.encode(x)), images.decode(images.encode(x)))
    videos.load_images(images)
    assert torch.equal(videos.decode(videos.encode(x)), images.decode(images.encode(x)))
    assert len(list(videos.temporal_parameters())) == 4 * 3 and not list(images.temporal_parameters())
    with pytest.raises(ValueError, match="expected an image codec"):
        videos.load_images(videos)
    with pytest.raises(ValueError, match="differs in temporal alone"):
        videos.load_images(SMALL.with_(blocks=2).build())


def test_a_clip_of_one_frame_is_decoded_as_an_image() -> None:
    images, videos = SMALL.build(), randomised(SMALL.with_(temporal=True))
    assert isinstance(videos, AutoencoderNetwork)
    kept = {name: value for name, value in videos.state_dict().items() if "temporal" not in name}
    images.double().load_state_dict(kept)
    z = torch.randn(1, 3, 1, 2, 3, dtype=torch.float64)
    assert torch.equal(images.decode(z), videos.decode(z))


def test_the_scale_gives_latents_the_deviation_one_and_is_stored() -> None:
    network = randomised(SMALL)
    batches = [video(8, 3, 1, 16, 16), video(4, 3, 6, 16, 16)]
    scale = measure(network, batches)
    every = torch.cat([network.encode(x).flatten() for x in batches])
    assert every.std(correction=0).item() == pytest.approx(1, abs=1e-6)
    held_out = network.encode(video(8, 3, 4, 16, 16))
    assert held_out.std().item() == pytest.approx(1, abs=0.05)
    fresh = SMALL.build().double()
    fresh.load_state_dict(network.state_dict())
    assert fresh.scale.item() == scale
    assert torch.equal(fresh.encode(batches[0]), network.encode(batches[0]))
    alike = [[torch.full((1, 3, count, 8, 8), value)] * 3 for count in (1, 5, 7) for value in (0.0, 0.1, -0.7, 0.3)]
    for nothing in ([], *alike):
        with pytest.raises(ValueError, match="scale: expected latents that differ"):
            measure(PixelCodec().build(), nothing)


def test_the_divergence_is_that_of_normal_distributions() -> None:
    mean, logvar = torch.randn(2, 2, 3, 4, 5, 2, dtype=torch.float64)
    normal = torch.distributions.Normal(mean, (logvar / 2).exp())
    exact = torch.distributions.kl_divergence(normal, torch.distributions.Normal(torch.zeros_like(mean), 1.0))
    found = Posterior(mean, logvar).divergence()
    torch.testing.assert_close(found, exact.sum((1, 3, 4)).mean(1))
    noise = torch.randn_like(mean)
    torch.testing.assert_close(Posterior(mean, logvar).draw(noise), normal.loc + normal.scale * noise)


def test_sizes_that_the_factor_does_not_divide_are_refused_with_the_nearest() -> None:
    network = SMALL.build()
    for size, near in ((25, "24 or 28"), (3, "4")):
        with pytest.raises(ValueError, match=f"height: expected a multiple of .* 4, got {size}; nearest: {near}$"):
            network.encode(torch.zeros(1, 3, 1, size, 8))
    with pytest.raises(ValueError, match="width: expected a multiple"):
        network.encode(torch.zeros(1, 3, 1, 8, 7))
    with pytest.raises(ValueError, match="latents: expected shape"):
        network.decode(torch.zeros(1, 4, 1, 2, 2))
    with pytest.raises(ValueError, match="tile: expected at least 1"):
        tiled(network.encode, torch.zeros(1, 3, 1, 8, 8), 0, 1, 4, 1)
