"""What every network in the folder must do, because it is there."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from zoetrope.conditioning import Conditioning
from zoetrope.inputs.text import text_given
from zoetrope.models.weights import read_weights, write_weights
from zoetrope.networks import Network, NetworkConfig

every_network = pytest.mark.parametrize("kind", NetworkConfig.every(), ids=NetworkConfig.names())
FRAMES, SIZE = 2, 16


def build(kind: type[NetworkConfig], low_res: bool = False) -> Network:
    torch.manual_seed(0)
    return NetworkConfig.from_json({"type": kind.kind(), "low_res": low_res, "text_width": 12}).build()


def everything(z: Tensor, low_res: bool) -> Conditioning:
    draw = torch.Generator().manual_seed(1)
    count = len(z)
    given = text_given(torch.randn(count, 4, 12, generator=draw))
    if not low_res:
        return given
    video = torch.randn(z.shape, generator=draw)
    return given | Conditioning(maps={"low_res": video}, numbers={"low_res_logsnr": torch.zeros(count)})


@every_network
@pytest.mark.parametrize("low_res", [False, True])
def test_keeps_shape_and_type(kind: type[NetworkConfig], low_res: bool) -> None:
    z = torch.randn(2, 3, FRAMES, SIZE, SIZE + 8)
    out = build(kind, low_res)(z, torch.zeros(2), everything(z, low_res))
    assert out.shape == z.shape and out.dtype == z.dtype and out.isfinite().all()


@every_network
@pytest.mark.parametrize("low_res", [False, True])
def test_every_parameter_is_trained(kind: type[NetworkConfig], low_res: bool) -> None:
    network = build(kind, low_res)
    with torch.no_grad():
        for parameter in network.parameters():  # away from the start, where zeros hide what lies behind them
            parameter.add_(0.1 * torch.randn_like(parameter))
    z = torch.randn(2, 3, FRAMES, SIZE, SIZE)
    given = everything(z, low_res).without("text", torch.tensor([False, True]))
    network(z, torch.tensor([-1.0, 1.0]), given).square().mean().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert idle == []


@every_network
@pytest.mark.parametrize("low_res", [False, True])
def test_a_bare_network_takes_weights_and_is_then_the_same(
    kind: type[NetworkConfig], low_res: bool, tmp_path: Path
) -> None:
    config = NetworkConfig.from_json({"type": kind.kind(), "low_res": low_res, "text_width": 12})
    torch.manual_seed(0)
    filled, bare = config.build(), config.bare()
    assert all(weight.is_meta for weight in bare.state_dict().values())
    write_weights(filled, tmp_path / "model.safetensors", torch.float32)
    read_weights(bare, tmp_path / "model.safetensors")
    z = torch.randn(1, 3, FRAMES, SIZE, SIZE)
    assert torch.equal(*(one(z, torch.zeros(1), everything(z, low_res)) for one in (filled, bare)))
    assert [p.requires_grad for p in bare.parameters()] == [p.requires_grad for p in filled.parameters()]


@every_network
def test_learns_from_the_first_step_on(kind: type[NetworkConfig]) -> None:
    network, z = build(kind), torch.randn(1, 3, FRAMES, SIZE, SIZE)
    network(z, torch.zeros(1), everything(z, False)).sub(z).square().mean().backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())


@every_network
def test_same_seed_same_weights(kind: type[NetworkConfig]) -> None:
    first, second = build(kind), build(kind)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@every_network
def test_examples_do_not_touch(kind: type[NetworkConfig]) -> None:
    network, z = build(kind), torch.randn(2, 3, FRAMES, SIZE, SIZE)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        given, levels = everything(z, False), torch.tensor([-1.0, 1.0])
        alone = network(z[1:], levels[1:], given.select(torch.tensor([1])))
        torch.testing.assert_close(network(z, levels, given)[1:], alone, rtol=1e-4, atol=1e-5)


@every_network
def test_depends_on_all_that_it_is_given(kind: type[NetworkConfig]) -> None:
    network, z = build(kind, low_res=True), torch.randn(1, 3, FRAMES, SIZE, SIZE)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        given = everything(z, True)
        out = network(z, torch.zeros(1), given)
        others = [
            network(z + 1, torch.zeros(1), given),
            network(z, torch.ones(1), given),
            network(z, torch.zeros(1), given.without("text")),
            network(z, torch.zeros(1), given | Conditioning(maps={"low_res": given.maps["low_res"] + 1})),
            network(z, torch.zeros(1), given | Conditioning(numbers={"low_res_logsnr": torch.ones(1)})),
        ]
    assert all((other - out).abs().max() > 1e-6 for other in others)


@every_network
def test_size_is_checked_and_config_comes_back_from_json(kind: type[NetworkConfig]) -> None:
    value = NetworkConfig.from_json({"type": kind.kind()})
    assert NetworkConfig.from_json(value.to_json()) == value
    value.check(FRAMES, SIZE, SIZE)
    with pytest.raises(ValueError, match="nearest"):
        value.check(FRAMES, SIZE + 1, SIZE)


@every_network
def test_one_that_is_told_guidance_begins_as_one_that_is_not(kind: type[NetworkConfig]) -> None:
    plain = build(kind)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    told = NetworkConfig.from_json({"type": kind.kind(), "text_width": 12, "guided": True}).build()
    own = told.state_dict()
    assert plain.state_dict().keys() < own.keys()
    told.load_state_dict({**own, **plain.state_dict()})
    z, levels = torch.randn(2, 3, FRAMES, SIZE, SIZE), torch.tensor([-1.0, 1.0])
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
