"""A codec in a folder: written and read bitwise, and refused in one line where it is not whole."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from zoetrope.codecs import (
    DESCRIPTION,
    WEIGHTS,
    Codec,
    identity,
    latent_identity,
    load_codec,
    measure,
    save_codec,
)
from zoetrope.codecs.autoencoder import Autoencoder

SMALL = Autoencoder(f=2, channels=2, width=4, blocks=1)


@pytest.mark.parametrize("name", [kind.kind() for kind in Codec.every() if not kind.wrapped])
def test_a_codec_comes_back_bitwise(name: str, tmp_path: Path) -> None:
    network = Codec.named(name)().build()
    x = torch.rand(1, 3, 2, 8, 16)
    measure(network, [x])
    save_codec(network, tmp_path / "codec")
    read = load_codec(tmp_path / "codec")
    assert read.codec == network.codec and read.scale == network.scale != 1
    assert identity(read) == identity(network)
    assert torch.equal(read.decode(read.encode(x)), network.decode(network.encode(x)))
    assert not any(value.requires_grad for value in read.parameters())


def test_the_identity_is_of_all_that_videos_depend_on() -> None:
    network = SMALL.build()
    before = identity(network)
    network.scale.fill_(2)
    scaled = identity(network)
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] += 1
    assert len({before, scaled, identity(network), identity(SMALL.build())}) == 4


@pytest.mark.parametrize("kind", [kind for kind in Codec.every() if kind.encodes])
def test_the_identity_of_latents_is_of_what_they_depend_on(kind: type[Codec]) -> None:
    """Weight by weight."""
    small: dict[str, object] = {"f": 2, "channels": 2, "width": 4, "blocks": 1}
    if kind.wrapped:
        pytest.importorskip("diffusers")
        small = {"widths": (32, 32), "blocks": 1}
    torch.manual_seed(0)
    network, x = kind.model_validate(small).build(), torch.rand(1, 3, 2, 8, 8)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
        before, latents, whole = torch.cat(network.posterior(x), dim=1), latent_identity(network), identity(network)
        seen = set[bool]()
        for name, weight in network.named_parameters():
            own = weight.clone()
            weight.add_(0.3 * torch.randn_like(weight))
            moved = not torch.equal(torch.cat(network.posterior(x), dim=1), before)
            told = latent_identity(network) != latents
            assert told or not moved, name
            assert told != name.startswith(network.decoding) and identity(network) != whole
            seen.add(moved)
            weight.copy_(own)
    assert seen == {True, False} and latent_identity(network) == latents and identity(network) == whole


def test_decoders_of_the_same_latents() -> None:
    network = SMALL.build()
    videos = SMALL.with_(temporal=True).build()
    videos.load_images(network)
    assert latent_identity(videos) == latent_identity(network) and identity(videos) != identity(network)
    network.scale.fill_(2)
    assert latent_identity(videos) != latent_identity(network)


def test_what_is_not_a_whole_codec_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "codec"
    with pytest.raises(ValueError, match=f"{DESCRIPTION}: expected a file of a codec"):
        load_codec(folder)
    save_codec(SMALL.build(), folder)
    tensors = load_file(folder / WEIGHTS)
    save_file({name: value for name, value in tensors.items() if not name.startswith("encoder")}, folder / WEIGHTS)
    with pytest.raises(ValueError, match=f"{WEIGHTS}: expected decoder, encoder, scale, but encoder is missing"):
        load_codec(folder)
    save_codec(SMALL.with_(width=8).build(), folder, over=True)
    (folder / DESCRIPTION).write_text(SMALL.model_dump_json(), "utf-8")
    with pytest.raises(ValueError, match=r"expected decoder.* of shape .*, got .*: not the weights"):
        load_codec(folder)
    weight = next(name for name in tensors if name.startswith("decoder"))
    for name, value, message in (
        (weight, torch.nan, f"expected finite weights, got others in {weight}"),
        ("scale", torch.inf, "expected finite weights, got others in scale"),
        ("scale", 0.0, "expected a scale of latents above 0, got 0"),
    ):
        whole = {each: weights.clone() for each, weights in tensors.items()}
        whole[name].view(-1)[0] = value
        save_file(whole, folder / WEIGHTS)
        with pytest.raises(ValueError, match=f"{WEIGHTS}: {message}"):
            load_codec(folder)
    (folder / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(ValueError, match=f"{WEIGHTS}: expected a file of a codec"):
        load_codec(folder)
