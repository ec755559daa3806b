"""An image network that becomes a video network begins as the image network, frame by frame and bit by bit.

Where conditioning vectors are of frames, and not of clips, products of other numbers of rows may round otherwise.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from zoetrope.conditioning import Conditioning
from zoetrope.inputs import Extent
from zoetrope.inputs.region import Region
from zoetrope.inputs.text import text_given
from zoetrope.layers.convolution import AlongTime
from zoetrope.layers.fused import fused
from zoetrope.layers.zero import zero
from zoetrope.models.weights import read_weights, write_weights
from zoetrope.networks import Network, SizedInput
from zoetrope.networks._unet import OF_MAPS
from zoetrope.networks.controlled import Control, ControlledConfig
from zoetrope.networks.dit import DiTConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig

from .test_open_unet import TEXT, awake

BOTH = ("convolution", "attention")
IMAGE = (
    Level(width=8),
    Level(width=16, blocks=2, text_attention=True),
    Level(width=16, spatial_attention=True, text_attention=True),
)
FIELDS: dict[str, Any] = {"text_width": TEXT, "embedding": 16, "head": 8}


def image(**fields: Any) -> VideoUNetConfig:
    """An image network with everything that one can have."""
    return VideoUNetConfig(**{"levels": IMAGE} | FIELDS | fields)


def inflated(config: VideoUNetConfig, *changes: dict[str, Any], **fields: Any) -> VideoUNetConfig:
    """The same with these changes of its levels."""
    pairs = zip(config.levels, changes, strict=True)
    return config.with_(levels=tuple(level.with_(**change) for level, change in pairs), **fields)


MAKE_A_VIDEO = ({"temporal": ("convolution",)}, {"temporal": BOTH}, {"temporal": BOTH})
PSEUDO = (
    {"temporal": ("pseudo_3d",)},
    {"temporal": ("pseudo_3d", "attention")},
    {"temporal": ("pseudo_3d", "attention")},
)
MIXED = tuple(change | {"join": "mix"} for change in MAKE_A_VIDEO)
STUNET = (
    {"temporal": ("convolution",)},
    {"temporal": ("convolution",), "every": 2},
    {"temporal": ("attention",), "every": 2, "blocks": 3},
)


def pair(one: VideoUNetConfig, other: VideoUNetConfig) -> tuple[Network, Network]:
    """An image network with random weights, and a fresh one that has taken them."""
    torch.manual_seed(0)
    still = awake(one.build())
    if one.positions:  # which an image network cannot learn: a single frame has none in its clip
        zero(still.frame_position)  # type: ignore[arg-type]
    moving = other.build()
    left = moving.load_state_dict(still.state_dict(), strict=False)
    assert not left.unexpected_keys
    for network in (still, moving):
        network.eval().requires_grad_(False)
    return still, moving  # type: ignore[return-value]


def expect_equal(ours: Tensor, theirs: Tensor, exactly: bool) -> None:
    """Bitwise, or up to rounding."""
    if exactly:
        assert torch.equal(ours, theirs)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=3e-6 * float(theirs.abs().max()))


def asked(frames: int, **fields: Any) -> tuple[Tensor, Tensor, Conditioning]:
    """Two clips of noise, all in float32, and all that a network may be told."""
    draw = torch.Generator().manual_seed(3)
    z, text = torch.randn(2, 3, frames, 8, 16, generator=draw), torch.randn(2, 3, TEXT, generator=draw)
    given = text_given(text) | Conditioning(
        maps={"low_res": torch.randn(z.shape, generator=draw)} if fields.get("low_res") else {},
        numbers={"low_res_logsnr": torch.tensor([1.0, 3.0])} if fields.get("low_res") else {},
    )
    return z, torch.tensor([-2.0, 1.5]), given


VARIANTS: list[dict[str, Any]] = [
    {},
    {"positions": True, "patch": 2},
    {"low_res": True, "anchored": True},
    {"relative": "network", "fps": 3.0},
]


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("fields", VARIANTS)
@pytest.mark.parametrize("changes", [MAKE_A_VIDEO, PSEUDO, MIXED])
def test_all_frames_begin_as_the_image_network(
    changes: tuple[dict[str, Any], ...], fields: dict[str, Any], fast: bool
) -> None:
    still, moving = pair(config := image(**fields), inflated(config, *changes))
    assert inflated(config, *changes).framewise() == config
    z, level, given = asked(5, **fields)
    if fast:
        still, moving = fused(still), fused(moving)
    expected = still(z, level, given)
    assert expected.abs().max() > 0.1
    assert torch.equal(moving(z, level, given), expected)
    each = torch.cat([still(z[:, :, [f]], level, cut(given, f)) for f in range(5)], dim=2)
    torch.testing.assert_close(expected, each, rtol=0, atol=2e-5 * float(each.abs().max()))


def cut(given: Conditioning, frame: int) -> Conditioning:
    """What one frame is told."""
    return given.__class__(
        tokens=given.tokens, maps={name: x[:, :, [frame]] for name, x in given.maps.items()}, numbers=given.numbers
    )


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("fields", VARIANTS)
def test_every_nth_frame_of_a_space_time_unet_begins_as_the_image_network(fields: dict[str, Any], fast: bool) -> None:
    config = image(**fields)
    other = inflated(config, *STUNET)
    still, moving = pair(config, other)
    if fast:
        still, moving = fused(still), fused(moving)
    z, level, given = asked(8, **fields)
    ours, theirs = moving(z, level, given), still(z, level, given)
    assert other.reach().every == 4
    expect_equal(ours[:, :, ::4], theirs[:, :, ::4], exactly=not config.positions)
    assert (ours - theirs).abs().amax((0, 1, 3, 4))[[1, 2, 3, 5, 6, 7]].min() > 1e-3  # those between are repetitions


@pytest.mark.parametrize("rate", [1.0, 7.5, 30.0])
@pytest.mark.parametrize("changes", [MAKE_A_VIDEO, STUNET])
def test_neither_the_frame_rate_nor_the_number_of_frames_matters(changes: Any, rate: float) -> None:
    config = image(positions=True)
    still, moving = pair(config, inflated(config, *changes, fps=3.0, relative="network"))
    for frames in (4, 8, 12):
        z, level, given = asked(frames)
        timed = given | Conditioning(times=torch.arange(frames).expand(2, -1) / rate)
        every = moving.config.reach().every  # type: ignore[union-attr]
        ours, theirs = moving(z, level, timed), still(z, level, given)
        expect_equal(ours[:, :, ::every], theirs[:, :, ::every], exactly=every == 1)


def test_an_image_network_may_gain_positions_and_blocks() -> None:
    config = image()
    more = inflated(config, {"blocks": 2}, {"temporal": BOTH}, {"blocks": 3, "temporal": BOTH}, positions=True)
    still, moving = pair(config, more)
    z, level, given = asked(5)
    expect_equal(moving(z, level, given), still(z, level, given), exactly=False)


@pytest.mark.parametrize("changes", [MAKE_A_VIDEO, PSEUDO, MIXED])
def test_packed_images_go_the_same_way_after_training(changes: tuple[dict[str, Any], ...]) -> None:
    """As single images; where temporal layers are mixed in, as in the image network, if that is frozen."""
    config = image()
    still, moving = pair(config, inflated(config, *changes))
    awake(moving, "temporal"), awake(moving, "mix.logit")
    z, level, given = asked(4)
    packed = given.tokens["text"].each(lambda x: x[:, None].repeat_interleave(4, 1))
    pack = Conditioning(tokens={"text": packed}, images=torch.ones(2, dtype=torch.bool))
    out = moving(z, level, pack)
    each = torch.cat([moving(z[:, :, [f]], level, given) for f in range(4)], dim=2)
    torch.testing.assert_close(out, each, rtol=0, atol=2e-5 * float(each.abs().max()))
    clip = moving(z, level, given)
    assert (clip - out).abs().max() > 1e-2
    if changes is MIXED:
        texts = Conditioning(tokens={"text": packed})
        assert torch.equal(out, still(z, level, texts))


@pytest.mark.parametrize("changes", [MAKE_A_VIDEO, PSEUDO])
def test_training_the_new_layers_moves_the_start_and_leaves_the_image_network(changes: Any) -> None:
    """A step of all that is new changes frames by one another; every gradient that it needs is there at the start."""
    config = image()
    still, moving = pair(config, inflated(config, *changes))
    new = {name: p for name, p in moving.named_parameters() if name not in still.state_dict()}
    for p in new.values():
        p.requires_grad_(True)
    z, level, given = asked(5)
    (moving(z, level, given) - z.roll(1, dims=2)).square().mean().backward()
    layers = ("temporal_conv.conv", "temporal_in.conv", "temporal_out.conv", "temporal_attention.out")
    outputs = [name for name in new if name.endswith(tuple(f"{layer}.weight" for layer in layers))]
    assert len(outputs) > 6 and all(new[name].grad is not None and new[name].grad.abs().max() > 0 for name in outputs)  # type: ignore[union-attr]
    with torch.no_grad():
        for name in outputs:
            new[name] -= 0.1 * new[name].grad  # type: ignore[operator]
    out = moving(z, level, given)
    assert (out - still(z, level, given)).abs().max() > 1e-4


def test_which_networks_begin_as_image_networks() -> None:
    video = image(fps=3.0)
    assert video.framewise() == video and video.takes_packs
    assert not inflated(video, *STUNET).takes_packs
    assert DiTConfig().framewise() is None and DiTConfig().takes_packs
    assert not DiTConfig(patch=(2, 2, 2)).takes_packs


def test_a_pseudo_3d_convolution_is_a_spatial_one_and_then_one_along_time() -> None:
    """Against PyTorch's own one-dimensional convolution, whose taps are the identity plus what is stored."""
    torch.manual_seed(0)
    layer, h = AlongTime(4), torch.randn(2, 5, 2, 3, 4)
    assert torch.equal(layer(h, None), h)
    awake(layer)
    taps = layer.conv.weight[..., 0].clone()
    taps[:, :, 1] += torch.eye(4)
    rows = h.permute(0, 2, 3, 4, 1).flatten(0, 2)
    expected = torch.nn.functional.conv1d(rows, taps, layer.conv.bias, padding=1)
    torch.testing.assert_close(layer(h, None), expected.unflatten(0, (2, 2, 3)).permute(0, 4, 1, 2, 3))
    assert torch.equal(layer(h[:, :1], None), h[:, :1])
    alone = torch.tensor([[False, True, False, False, False]] * 2)
    assert torch.equal(layer(h, alone)[:, 1], h[:, 1])
    torch.testing.assert_close(layer(h, alone)[:, :1], layer(torch.cat([h[:, :1], 0 * h[:, :1]], 1), None)[:, :1])


def test_what_pseudo_3d_convolutions_reach_and_where_they_are_refused() -> None:
    config = VideoUNetConfig(levels=(Level(width=8, blocks=2, temporal=("pseudo_3d",)),), **FIELDS)
    assert config.reach().frames == 4 and not config.reach().streams and config.needs_even_frames
    network = awake(config.build()).double()
    z, level, given = asked(12)
    whole = network(z.double(), level, given.each(lambda x: x.double() if x.is_floating_point() else x))
    changed = z.clone()
    changed[:, :, 6] += 1
    other = network(changed.double(), level, given.each(lambda x: x.double() if x.is_floating_point() else x))
    moved = (whole - other).abs().amax((0, 1, 3, 4)) > 0
    assert moved.tolist() == [2 <= frame <= 10 for frame in range(12)]
    for fields in ({"join": "mix"}, {"convolution": False}):
        with pytest.raises(ValueError, match="temporal: expected 'pseudo_3d' with spatial convolutions and join 'add'"):
            Level(width=8, temporal=("pseudo_3d",), **fields)
    for temporal in (("pseudo_3d", "convolution"), ("attention", "pseudo_3d"), ("attention", "attention")):
        with pytest.raises(ValueError, match='expected "convolution", "attention" or both in this order'):
            Level(width=8, temporal=temporal)


@pytest.mark.parametrize("patch", [1, 2])
def test_a_network_that_is_given_more_videos_begins_as_it_was(patch: int, tmp_path: Path) -> None:
    """New inputs of the first convolution begin at zero; the level of a new video would be read, so it is hushed."""
    config = image(patch=patch)
    torch.manual_seed(0)
    still = awake(config.build())
    write_weights(still, path := tmp_path / "still.safetensors", torch.float32)
    moving = inflated(config, *MAKE_A_VIDEO, low_res=True).build()
    with pytest.raises(ValueError, match=r"'enter\.conv\.weight' has shape"):
        read_weights(moving, path)
    new = set(read_weights(moving, path, missing="fresh"))
    assert "enter.conv.weight" not in new and any(name.startswith("low_res_logsnr") for name in new)
    assert moving.low_res_logsnr is not None
    zero(moving.low_res_logsnr)
    z, level, given = asked(5, low_res=True)
    assert isinstance(still, Network)
    for network in (moving, still):
        network.eval().requires_grad_(False)
    ours, theirs = moving(z, level, given), still(z, level, given)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=3e-6 * float(theirs.abs().max()))
    loud = given | Conditioning(maps={"low_res": 100 * given.maps["low_res"]})
    torch.testing.assert_close(moving(z, level, loud), ours, rtol=0, atol=0)
    for name, shape in (("enter.conv.weight", (9, 3, 3, 3)), ("leave.conv.weight", (3, 8, 3, 3)), ("gain.bias", (3,))):
        assert moving.grown({name: torch.zeros(shape)}, {}) == {}


def test_a_network_that_learns_regions_begins_as_the_image_network(tmp_path: Path) -> None:
    """The weights for z are the image network's, and those for a region and its mask begin at zero."""
    config = image(patch=2)
    torch.manual_seed(0)
    still = awake(config.build())
    write_weights(still, path := tmp_path / "still.safetensors", torch.float32)
    moving = inflated(config, *MAKE_A_VIDEO, region=True).build()
    assert "enter.conv.weight" not in read_weights(moving, path, missing="fresh")
    z, level, given = asked(5)
    extent = Extent(len(z), z.shape[2:], 0, 0, channels=z.shape[1])
    region = Region().blank(extent).each(torch.ones_like)
    ours, theirs = moving.eval()(z, level, given | region), still.eval()(z, level, given)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=3e-6 * float(theirs.detach().abs().max()))


LAND, ORO = SizedInput(name="land", size=1), SizedInput(name="oro", size=1)
GAINED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "before": ({"first_frame": True}, {"low_res": True}),
    "after": ({"low_res": True}, {"first_frame": True}),
    "a region before": ({"aligned": (LAND,)}, {"region": True}),
    "one of two": ({"aligned": (ORO,)}, {"aligned": (LAND, ORO)}),
    "another order": ({"aligned": (ORO, LAND)}, {"aligned": (LAND, ORO)}),
}


def told_maps(config: VideoUNetConfig) -> Conditioning:
    """Noise in each map, and in the maps' noise levels."""
    draw = torch.Generator().manual_seed(4)
    maps = {name: torch.randn(2, size, 3, 8, 16, generator=draw) for name, size in config.concatenated.items()}
    levels = {f"{name}_logsnr": torch.tensor([1.0, 3.0]) for name in ("low_res", "first_frame")}
    return Conditioning(maps=maps, numbers=levels)


@pytest.mark.parametrize("controlled", [False, True])
@pytest.mark.parametrize("patch", [1, 2])
@pytest.mark.parametrize(("own", "more"), GAINED.values(), ids=GAINED)
def test_each_map_keeps_its_weights(
    own: dict[str, Any], more: dict[str, Any], patch: int, controlled: bool, tmp_path: Path
) -> None:
    """Wherever the new ones come; what they show has no effect."""
    one: Any = image(patch=patch, text_width=None, levels=(Level(width=8),), **own)
    other: Any = one.with_(**more)
    maps = told_maps(other)
    if controlled:
        one, other = (ControlledConfig(network=each, controls=(Control(name="edges"),)) for each in (one, other))
        maps = maps | Conditioning(maps={"edges": torch.ones(2, 1, 3, 8, 16)}, numbers={"edges_scale": torch.ones(2)})
    still, moving = awake(one.build()), other.build()
    write_weights(still, path := tmp_path / "still.safetensors", torch.float32)
    new = read_weights(moving, path, missing="fresh", maps=one.concatenated)
    assert not any(name in OF_MAPS or name.endswith("enter.conv.weight") for name in new)
    for each in (moving, *((branch.copy for branch in moving.controls.values()) if controlled else ())):
        if "low_res" in more:
            zero(each.low_res_logsnr)
    z, level, _ = asked(3)
    with torch.inference_mode():
        ours, theirs = moving(z, level, maps), still(z, level, maps)
    assert theirs.abs().max() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=0, atol=3e-6 * float(theirs.abs().max()))


@pytest.mark.parametrize(("own", "more"), list(GAINED.values())[:-1], ids=list(GAINED)[:-1])
def test_a_file_alone_does_not_tell_its_maps(own: dict[str, Any], more: dict[str, Any], tmp_path: Path) -> None:
    one = image(text_width=None, levels=(Level(width=8),), **own)
    write_weights(one.build(), path := tmp_path / "one.safetensors", torch.float32)
    with pytest.raises(ValueError, match=r"one.safetensors: maps: expected to know which of .*; name its model or run"):
        read_weights(one.with_(**more).build(), path, missing="fresh")
    with pytest.raises(ValueError, match=r"maps: expected those that the network is given, .*, got lake"):
        read_weights(one.with_(**more).build(), path, missing="fresh", maps={"lake": 2})
    assert read_weights(one.build(), path, missing="fresh") == []


def test_maps_of_as_many_channels_are_not_taken_for_low_res(tmp_path: Path) -> None:
    one = image(text_width=None, levels=(Level(width=8),), aligned=(SizedInput(name="land", size=2),))
    write_weights(one.build(), path := tmp_path / "one.safetensors", torch.float32)
    with pytest.raises(ValueError, match=r"'gain.bias' has shape \(1,\), expected \(2,\)"):
        read_weights(one.with_(aligned=(), low_res=True).build(), path, missing="fresh")
