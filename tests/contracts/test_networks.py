"""What every network in the folder must do, because it is there."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from zoetrope.conditioning import Conditioning, Tokens
from zoetrope.inputs.text import text_given
from zoetrope.models.weights import read_weights, write_weights
from zoetrope.networks import Network, NetworkConfig

FRAMES, SIZE = 2, 16
DENOISERS = [kind for kind in NetworkConfig.every() if kind.denoises and not kind.wrapped]
every_network = pytest.mark.parametrize("kind", DENOISERS, ids=[kind.kind() for kind in DENOISERS])
ENLARGING = [(kind, low_res) for kind in DENOISERS for low_res in (False, True) if not (low_res and kind.vectors)]
every_task = pytest.mark.parametrize(("kind", "low_res"), ENLARGING)


def noise(kind: type[NetworkConfig], count: int, wider: int = 0) -> Tensor:
    """A z of the smallest size that suits the kind: a video, or vectors."""
    if kind.vectors:
        return torch.randn(count, 3, 1, 1, 1)
    return torch.randn(count, 3, FRAMES, SIZE, SIZE + wider)


def build(kind: type[NetworkConfig], low_res: bool = False) -> Network:
    torch.manual_seed(0)
    return NetworkConfig.from_json({"type": kind.kind(), "channels": 3, "low_res": low_res, "text_width": 12}).build()


def everything(z: Tensor, low_res: bool) -> Conditioning:
    draw = torch.Generator().manual_seed(1)
    count = len(z)
    given = text_given(torch.randn(count, 4, 12, generator=draw))
    if not low_res:
        return given
    video = torch.randn(z.shape, generator=draw)
    return given | Conditioning(maps={"low_res": video}, numbers={"low_res_logsnr": torch.zeros(count)})


@every_task
def test_keeps_shape_and_type(kind: type[NetworkConfig], low_res: bool) -> None:
    z = noise(kind, 2, wider=8)
    out = build(kind, low_res)(z, torch.zeros(2), everything(z, low_res))
    assert out.shape == z.shape and out.dtype == z.dtype and out.isfinite().all()


@every_task
def test_every_parameter_is_trained(kind: type[NetworkConfig], low_res: bool) -> None:
    network = build(kind, low_res)
    with torch.no_grad():
        for parameter in network.parameters():  # away from the start, where zeros hide what lies behind them
            parameter.add_(0.1 * torch.randn_like(parameter))
    z = noise(kind, 2)
    given = everything(z, low_res).without("text", torch.tensor([False, True]))
    network(z, torch.tensor([-1.0, 1.0]), given).square().mean().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert idle == []


@every_task
def test_a_bare_network_takes_weights_and_is_then_the_same(
    kind: type[NetworkConfig], low_res: bool, tmp_path: Path
) -> None:
    config = NetworkConfig.from_json({"type": kind.kind(), "channels": 3, "low_res": low_res, "text_width": 12})
    torch.manual_seed(0)
    filled, bare = config.build(), config.bare()
    assert all(weight.is_meta for weight in bare.state_dict().values())
    write_weights(filled, tmp_path / "model.safetensors", torch.float32)
    read_weights(bare, tmp_path / "model.safetensors")
    z = noise(kind, 1)
    assert torch.equal(*(one(z, torch.zeros(1), everything(z, low_res)) for one in (filled, bare)))
    assert [p.requires_grad for p in bare.parameters()] == [p.requires_grad for p in filled.parameters()]


@every_network
def test_learns_from_the_first_step_on(kind: type[NetworkConfig]) -> None:
    network, z = build(kind), noise(kind, 1)
    network(z, torch.zeros(1), everything(z, False)).sub(z).square().mean().backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())


@every_network
def test_same_seed_same_weights(kind: type[NetworkConfig]) -> None:
    first, second = build(kind), build(kind)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@every_network
def test_examples_do_not_touch(kind: type[NetworkConfig]) -> None:
    network, z = build(kind), noise(kind, 2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        given, levels = everything(z, False), torch.tensor([-1.0, 1.0])
        alone = network(z[1:], levels[1:], given.select(torch.tensor([1])))
        torch.testing.assert_close(network(z, levels, given)[1:], alone, rtol=1e-4, atol=1e-5)


@every_network
def test_depends_on_all_that_it_is_given(kind: type[NetworkConfig]) -> None:
    enlarges = not kind.vectors
    network, z = build(kind, low_res=enlarges), noise(kind, 1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        given = everything(z, enlarges)
        out = network(z, torch.zeros(1), given)
        others = [
            network(z + 1, torch.zeros(1), given),
            network(z, torch.ones(1), given),
            network(z, torch.zeros(1), given.without("text")),
        ]
        if enlarges:
            others += [
                network(z, torch.zeros(1), given | Conditioning(maps={"low_res": given.maps["low_res"] + 1})),
                network(z, torch.zeros(1), given | Conditioning(numbers={"low_res_logsnr": torch.ones(1)})),
            ]
    assert all((other - out).abs().max() > 1e-6 for other in others)


@every_network
def test_size_is_checked_and_config_comes_back_from_json(kind: type[NetworkConfig]) -> None:
    value = NetworkConfig.from_json({"type": kind.kind()})
    assert NetworkConfig.from_json(value.to_json()) == value
    frames, size = (1, 1) if kind.vectors else (FRAMES, SIZE)
    value.check(frames, size, size)
    with pytest.raises(ValueError, match="nearest"):
        value.check(frames, size + 1, size)


@every_network
def test_one_that_is_told_guidance_begins_as_one_that_is_not(kind: type[NetworkConfig]) -> None:
    plain = build(kind)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    told = NetworkConfig.from_json({"type": kind.kind(), "channels": 3, "text_width": 12, "guided": True}).build()
    own = told.state_dict()
    assert plain.state_dict().keys() < own.keys()
    told.load_state_dict({**own, **plain.state_dict()})
    z, levels = noise(kind, 2), torch.tensor([-1.0, 1.0])
    given = everything(z, False) | Conditioning(numbers={"guidance": torch.tensor([0.0, 15.0])})
    with torch.no_grad():
        first = plain(z, levels, given)
        assert torch.equal(told(z, levels, given), first)
        for name, parameter in told.named_parameters():
            if name not in plain.state_dict():
                parameter.add_(0.1 * torch.randn_like(parameter))
        assert (told(z, levels, given) - first).abs().amax(dim=(1, 2, 3, 4)).min() > 1e-6
    with pytest.raises(ValueError, match="guidance"):
        told(z, levels, everything(z, False))


def told(z: Tensor) -> Conditioning:
    """A picture, a frame rate, a number, a label and actions, beside text."""
    picture = Tokens.real(torch.randn(len(z), 1, 8, generator=torch.Generator().manual_seed(2)))
    numbers = {"fps": torch.full((len(z),), 8.0), "ef": torch.full((len(z),), 0.3), "view": torch.ones(len(z))}
    actions = Tokens.real(torch.randn(len(z), z.shape[2], 1, 2, generator=torch.Generator().manual_seed(3)))
    return everything(z, False) | Conditioning(tokens={"picture": picture, "action": actions}, numbers=numbers)


@every_network
def test_one_that_is_told_a_picture_and_a_rate_begins_as_one_that_is_not_and_learns_them(
    kind: type[NetworkConfig],
) -> None:
    plain = build(kind)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    value = {"type": kind.kind(), "channels": 3, "text_width": 12, "picture_width": 8, "rate": True}
    value |= {"numbers": ["ef"], "labels": [{"name": "view", "size": 3}], "actions": [{"name": "action", "size": 2}]}
    network = NetworkConfig.from_json(value).build()
    assert NetworkConfig.from_json(value).reads == {"text", "picture", "fps", "ef", "view", "action"}
    own = network.state_dict()
    network.load_state_dict({**own, **plain.state_dict()})
    z, levels = noise(kind, 2), torch.tensor([-1.0, 1.0])
    given = told(z)
    with torch.no_grad():
        # Actions make the conditioning one of each frame, which is computed in other shapes.
        torch.testing.assert_close(network(z, levels, given), plain(z, levels, given), rtol=0, atol=1e-4)
    network(z, levels, given).square().mean().backward()
    assert all(
        p.grad is not None and p.grad.abs().max() > 0 for n, p in network.named_parameters() if "leave.weight" in n
    )
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name not in plain.state_dict():
                parameter.add_(0.3 * torch.randn_like(parameter))
        out = network(z, levels, given)
        unknown = Conditioning(numbers={"fps": torch.full((2,), torch.nan)})
        others = [
            given.without("picture"),
            given | unknown,
            given | Conditioning(numbers={"fps": torch.full((2,), 9.0)}),
            given | Conditioning(numbers={"ef": torch.full((2,), 0.32)}),
            given.without("ef"),
            given | Conditioning(numbers={"view": torch.full((2,), 2.0)}),
            given.without("view"),
            given
            | Conditioning(
                tokens={"action": given.tokens["action"].each(lambda x: x * -1 if x.is_floating_point() else x)}
            ),
            given.without("action"),
        ]
        for other in others:
            changed = network(z, levels, other)
            assert changed.isfinite().all() and (changed - out).abs().amax(dim=(1, 2, 3, 4)).min() > 1e-6
        frames = z.shape[2]
        each = Conditioning(
            tokens={"picture": given.tokens["picture"].each(lambda x: x[:, None].repeat_interleave(frames, dim=1))},
            numbers={"fps": given.numbers["fps"][:, None].expand(-1, frames)},
        )
        torch.testing.assert_close(network(z, levels, given | each), out, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="fps"):
        network(z, levels, everything(z, False))
