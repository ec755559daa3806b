"""ControlNet: how it begins, what learns when, what its controls do and do not."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoetrope.conditioning import Conditioning
from zoetrope.inputs import ControlClip
from zoetrope.inputs.edges import Edges
from zoetrope.inputs.luma import Luma
from zoetrope.inputs.text import text_given
from zoetrope.layers.fused import fused
from zoetrope.networks import NetworkConfig
from zoetrope.networks._controlled import ControlledUNet
from zoetrope.networks.controlled import Control, ControlledConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.training.adapters import freeze

TEXT = 8
STILL = (Level(width=8), Level(width=16, spatial_attention=True, text_attention=True))
MOVING = (
    Level(width=8, temporal=("convolution",)),
    Level(width=16, spatial_attention=True, text_attention=True, temporal=("attention",)),
)
STRIDED = (MOVING[0], MOVING[1].with_(every=2))
both = pytest.mark.parametrize("levels", [STILL, MOVING, STRIDED], ids=["still", "moving", "strided"])


def unet(levels: tuple[Level, ...], **fields: Any) -> VideoUNetConfig:
    return VideoUNetConfig(**{"text_width": TEXT, "embedding": 16, "head": 8, "levels": levels} | fields)


def shaken(network: nn.Module, only: str = "") -> nn.Module:
    """The network with random weights in all that is called so."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            values = 0.3 * torch.randn(weight.shape, generator=draw)
            if only in name:
                weight.copy_(values)
    return network


def trained(config: VideoUNetConfig) -> nn.Module:
    torch.manual_seed(0)
    return shaken(config.build())


def begun(config: VideoUNetConfig, *names: str, **fields: Any) -> ControlledUNet:
    """The controlled network that begins as the trained one."""
    torch.manual_seed(1)
    controls = tuple(Control(name=name, width=8) for name in names)
    network = ControlledConfig(network=config, controls=controls, **fields).build()
    weights = trained(config).state_dict()
    fresh = network.load_state_dict(weights, strict=False).missing_keys
    network.follow(fresh)
    return network


def asked(frames: int = 4, *, side: int = 8, seed: int = 0, scale: float = 1.0) -> tuple[Tensor, Tensor, Conditioning]:
    """Two videos, with text and the edges and luma of others."""
    draw = torch.Generator().manual_seed(seed)
    z, clip = (torch.randn(2, 3, frames, side, side, generator=draw) for _ in range(2))
    text = text_given(torch.randn(2, 3, TEXT, generator=torch.Generator().manual_seed(9)))
    given = text | Edges().of_clips(clip.clamp(-1, 1)) | Luma().of_clips(clip)
    scales = {name: torch.full((2,), scale) for name in ("edges_scale", "luma_scale")}
    return z, torch.tensor([-2.0, 2.0]), given | Conditioning(numbers=scales)


def hinted(given: Conditioning, seed: int = 5) -> Conditioning:
    """The same with other edges."""
    edges = given.maps["edges"]
    return given | Conditioning(maps={"edges": torch.rand(edges.shape, generator=torch.Generator().manual_seed(seed))})


@both
@pytest.mark.parametrize("adaptive", [False, True])
def test_it_begins_bitwise_as_the_trained_network(levels: tuple[Level, ...], adaptive: bool) -> None:
    config = unet(levels)
    network, given = begun(config, "edges", "luma", adaptive=adaptive), asked()
    with torch.no_grad():
        assert torch.equal(network(*given), trained(config)(*given))
    copy, own = network.controls["edges"].copy.state_dict(), network.state_dict()
    assert copy and all(torch.equal(value, own[name]) for name, value in copy.items())


def test_what_learns_at_the_first_steps() -> None:
    """Gradients reach the maps behind the copies first, then the copies and the map before them, then its encoder."""
    network, (z, logsnr, told) = begun(unet(MOVING), "edges"), asked()
    given = z, logsnr, told.without("text", torch.tensor([False, True]))
    freeze(network, (), ("controls.*",))
    optimizer = torch.optim.SGD([weight for weight in network.parameters() if weight.requires_grad], lr=0.1)

    def learning() -> set[str]:
        optimizer.zero_grad()
        (network(*given) - 1).square().mean().backward()
        found = {name for name, weight in network.named_parameters() if weight.grad is not None and weight.grad.any()}
        optimizer.step()
        return found

    behind = {name for name, _ in network.named_parameters() if name.startswith("controls.edges.leave")}
    copies = {name for name, _ in network.named_parameters() if name.startswith("controls.edges.copy")}
    before = {f"controls.edges.hint.leave.{what}" for what in ("weight", "bias")}
    first = learning()
    assert first == behind
    second = learning()
    assert second == behind | copies | before
    third = learning()
    assert third == {name for name, _ in network.named_parameters() if name.startswith("controls.")}
    config = unet(MOVING)
    same = trained(config).state_dict()
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in same.items())


def test_the_locked_part_keeps_nothing_for_gradients() -> None:
    network, (z, logsnr, given) = begun(unet(STILL), "edges"), asked(frames=1)
    freeze(network, (), ("controls.*",))
    context = network.context(z, logsnr, given)
    h, skips = network.descend(network.enter([z]), context)
    assert not h.requires_grad and not any(skip.requires_grad for skip in skips)
    assert network(z, logsnr, given).requires_grad


@both
def test_scales(levels: tuple[Level, ...]) -> None:
    """0 is the trained network, bitwise; several add up; twice the scale is twice what the copy says."""
    config = unet(levels)
    network = shaken(begun(config, "edges", "luma"), "controls")
    z, logsnr, given = asked()
    with torch.no_grad():
        out = network(z, logsnr, given)
        assert (out - trained(config)(z, logsnr, given)).abs().max() > 1e-3
        none = asked(scale=0.0)
        assert torch.equal(network(*none), trained(config)(*none))

        alone = begun(config, "edges")
        alone.load_state_dict({name: network.state_dict()[name] for name in alone.state_dict()})
        without = given | Conditioning(numbers={"luma_scale": torch.zeros(2)})
        assert torch.equal(network(z, logsnr, without), alone(z, logsnr, given))

        double = given | Conditioning(numbers={"edges_scale": torch.full((2,), 2.0), "luma_scale": torch.zeros(2)})
        for leave in alone.controls["edges"].leave.parameters():
            leave.mul_(2)
        torch.testing.assert_close(network(z, logsnr, double), alone(z, logsnr, given), rtol=1e-4, atol=1e-4)


@both
def test_a_scale_for_each_frame(levels: tuple[Level, ...]) -> None:
    network = shaken(begun(unet(levels), "edges"), "controls")
    z, logsnr, given = asked()
    each = given | Conditioning(numbers={"edges_scale": torch.ones(2, 4)})
    with torch.no_grad():
        out = network(z, logsnr, given)
        torch.testing.assert_close(network(z, logsnr, each), out, rtol=1e-5, atol=1e-5)
        some = given | Conditioning(numbers={"edges_scale": torch.tensor([[1.0, 1.0, 0.0, 0.0]] * 2)})
        changed = (network(z, logsnr, some) - out).abs().amax((0, 1, 3, 4))
        assert changed[2:].min() > 1e-3 and (levels != STILL or not changed[:2].any())


def test_frames_of_pictures_are_controlled_one_by_one() -> None:
    network = shaken(begun(unet(STILL), "edges"), "controls")
    z, logsnr, given = asked()
    scale = torch.tensor([[1.0, 0.0, 0.5, 2.0]] * 2)
    given = given | Conditioning(numbers={"edges_scale": scale})
    with torch.no_grad():
        whole = network(z, logsnr, given)
        for frame in range(4):
            maps = {name: value[:, :, frame : frame + 1] for name, value in given.maps.items()}
            one = given | Conditioning(maps=maps, numbers={"edges_scale": scale[:, frame]})
            alone = network(z[:, :, frame : frame + 1], logsnr, one)
            torch.testing.assert_close(alone, whole[:, :, frame : frame + 1], rtol=1e-4, atol=1e-5)


def test_a_map_reaches_as_far_as_is_said() -> None:
    """The output beyond the receptive field does not depend on it, and that within does."""
    levels = (Level(width=8), Level(width=8))
    config = ControlledConfig(network=unet(levels), controls=(Control(name="edges", width=8),))
    network = shaken(begun(unet(levels), "edges"), "controls")
    z, logsnr, given = asked(frames=1, side=64)
    far = config.reach().pixels
    assert far is not None and not config.reach().streams
    other = given.maps["edges"].clone()
    other[..., 0] += 1
    with torch.no_grad():
        changed = network(z, logsnr, given | Conditioning(maps={"edges": other})) - network(z, logsnr, given)
    columns = changed.abs().amax((0, 1, 2, 3)).nonzero().flatten()
    assert columns.numel() and 4 < columns.max() <= far


@both
def test_fused_it_is_the_same(levels: tuple[Level, ...]) -> None:
    network = shaken(begun(unet(levels), "edges", adaptive=True), "controls")
    given = asked()
    with torch.inference_mode():
        out = network(*given)
        network.eval().requires_grad_(False)
        torch.testing.assert_close(fused(network)(*given), out, rtol=1e-3, atol=1e-3)


def test_how_strongly_it_acts_can_be_learnt() -> None:
    network = shaken(begun(unet(STILL), "edges", adaptive=True), "controls.edges.leave")
    given = asked(frames=1)
    network(*given).square().mean().backward()
    strength = network.controls["edges"].strength.weight
    assert strength.grad is not None and strength.grad.abs().amax(1).min() > 0
    with torch.no_grad():
        before = network(*given)
        strength.normal_()
        assert (network(*given) - before).abs().max() > 1e-6


def test_a_control_is_added_to_a_controlled_network() -> None:
    """The new copy begins as one of the trained network; what is learnt already stays."""
    config = unet(STILL)
    first = shaken(begun(config, "edges"), "controls")
    more = ControlledConfig(network=config, controls=(Control(name="edges", width=8), Control(name="luma", width=8)))
    network = more.build()
    network.follow(network.load_state_dict(first.state_dict(), strict=False).missing_keys)
    with torch.no_grad():
        assert torch.equal(network(*asked()), first(*asked()))
    own = network.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in network.controls["luma"].copy.state_dict().items())
    assert not torch.equal(own["controls.edges.copy.enter.conv.weight"], own["enter.conv.weight"])


def test_fields_of_every_network_are_those_of_the_controlled_one() -> None:
    controls = (Control(name="edges"),)
    config = ControlledConfig(network=unet(MOVING, low_res=True), controls=controls)
    assert (config.low_res, config.text_width) == (True, TEXT)
    assert config.reads == {"text", "low_res", "edges"} and config.inner == config.network
    assert NetworkConfig.from_json(config.to_json()) == config
    told = config.with_(guided=True)
    assert told.network == config.network.with_(guided=True) and NetworkConfig.from_json(told.to_json()) == told
    value = config.to_json()
    value["network"]["text_width"] = 9
    with pytest.raises(ValueError, match=r"network.text_width: expected 8, as text_width says, got 9"):
        NetworkConfig.from_json(value)
    with pytest.raises(ValueError, match="controls: expected different names"):
        config.with_(controls=controls * 2)
    with pytest.raises(ValueError, match=r"controls: expected names of other inputs .* got 'low_res'"):
        config.with_(controls=(Control(name="low_res"),))
    with pytest.raises(ValueError, match="nearest"):
        config.check(1, 9, 8)


def test_what_is_missing_or_misshapen_is_named() -> None:
    network = begun(unet(STILL), "edges")
    z, logsnr, given = asked()
    for other, told in (
        (given.lacking("edges"), "maps: expected 'edges'"),
        (given.lacking("edges_scale"), "numbers: expected 'edges_scale', the strength of edges"),
        (given | Conditioning(maps={"edges": given.maps["edges"][..., :4]}), r"maps\['edges'\]"),
        (given | Conditioning(numbers={"edges_scale": torch.ones(2, 3)}), r"numbers\['edges_scale'\]: .* 4 frames"),
    ):
        with pytest.raises(ValueError, match=told):
            network(z, logsnr, other)


def test_hints_help_after_a_few_steps() -> None:
    """On pictures that it has not seen, a network that has learnt errs less with their luma than with another's."""
    config, draw = unet((Level(width=8), Level(width=16))), torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network = ControlledConfig(network=config, controls=(Control(name="luma", width=8),)).build()
    text = text_given(torch.zeros(16, 1, TEXT))

    def pictures() -> Tensor:
        """Grey squares on black, anywhere."""
        x = torch.full((16, 3, 1, 8, 8), -1.0)
        for row, (top, left) in enumerate(torch.randint(0, 5, (16, 2), generator=draw).tolist()):
            x[row, :, :, top : top + 4, left : left + 4] = 0.5
        return x

    def error(model: nn.Module, x: Tensor, hints: Tensor) -> Tensor:
        noise = torch.randn(x.shape, generator=draw)
        return (model(noise, torch.full((16,), -8.0), text | Luma().of_clips(hints)) - x).square().mean()

    def learn(model: nn.Module, steps: int) -> None:
        optimizer = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], lr=1e-2)
        for _ in range(steps):
            optimizer.zero_grad()
            x = pictures()
            error(model, x, x).backward()
            optimizer.step()

    plain = config.build()
    learn(plain, 40)
    network.follow(network.load_state_dict(plain.state_dict(), strict=False).missing_keys)
    freeze(network, (), ("controls.*",))
    learn(network, 60)
    x = pictures()
    with torch.no_grad():
        right, shuffled, without = error(network, x, x), error(network, x, x.roll(1, 0)), error(plain, x, x)
    assert right < 0.5 * without and right < 0.5 * shuffled
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in plain.state_dict().items())


def test_a_request_is_told_as_its_clip_is() -> None:
    video = torch.rand(3, 4, 8, 8) * 2 - 1
    given = Edges().of_request(ControlClip(video=video, derive=True, scale=0.5), 2)
    assert torch.equal(given.maps["edges"][1], Edges().of_clips(video[None]).maps["edges"][0])
    assert given.numbers["edges_scale"].tolist() == [0.5, 0.5]
