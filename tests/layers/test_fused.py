"""Every fast form gives what the layer of the textbook gives, and a fused network what it was made of."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoetrope.conditioning import Conditioning
from zoetrope.inputs.text import text_given
from zoetrope.layers.attention import TextAttention
from zoetrope.layers.convolution import Merge, TemporalConv, Upsample
from zoetrope.layers.elementwise import Modulated, SiLU, Sum, SumOfProduct
from zoetrope.layers.fused import FAST, fused
from zoetrope.layers.linear import Linear
from zoetrope.layers.patches import Enter, Leave
from zoetrope.networks.video_unet import Level, VideoUNetConfig

CPU = torch.device("cpu")
EXACT = {"rtol": 1e-6, "atol": 1e-6}


def awake(network: nn.Module, seed: int = 0) -> Any:
    """The network with random weights everywhere."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=draw) / max(1, weight[0].numel()) ** 0.5)
    return network


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


H = (1, 3, 4, 6, 64)
MASK = torch.ones(1, 8, dtype=torch.bool)
MASK[0, 5:] = False
NORM = awake(nn.LayerNorm(64), 3)
MAP = awake(Linear(64, 16), 5)
MERGE = awake(Merge(16), 4)


def runs(side: int, patch: int, channels: int = 3) -> Tensor:
    return randn(2, channels, 3, patch * side, patch * side)


# For each layer of the textbook: one of it, and calls with fresh arguments, as a fast form may write into them.
CALLS: dict[type[nn.Module], tuple[Callable[[], Any], list[Callable[[Any], Tensor]]]] = {
    SiLU: (SiLU, [lambda f: f(randn(*H))]),
    Sum: (Sum, [lambda f: f(randn(*H), randn(*H, seed=1)), lambda f: f(randn(*H), randn(*H, seed=1).bfloat16())]),
    SumOfProduct: (SumOfProduct, [lambda f: f(randn(*H), randn(1, 3, 1, 1, 1, seed=1), randn(*H, seed=2))]),
    Modulated: (Modulated, [lambda f, n=n: f(NORM, randn(*H), randn(1, n, 128, seed=1)) for n in (1, 3)]),
    TextAttention: (
        lambda: awake(TextAttention(64, 2, 16)),
        [
            lambda f: f(randn(*H), randn(1, 8, 16), MASK),  # few tokens: absorbed
            lambda f: f(randn(*H), randn(1, 40, 16), MASK.repeat(1, 5)),
            lambda f: f(randn(*H), randn(3, 8, 16), MASK.repeat(3, 1)),  # one text a frame
        ],
    ),
    TemporalConv: (
        lambda: awake(TemporalConv(8)),
        [
            lambda f, cuts=cuts: torch.cat(list(f.stream(randn(2, 7, 4, 4, 8).split(cuts, 1), torch.add)), 1)
            for cuts in ((1,) * 7, (2, 3, 2), (3, 3, 1), (1, 6))
        ],
    ),
    Upsample: (lambda: awake(Upsample(64, 16)), [lambda f: MERGE(f, randn(*H), randn(1, 3, 8, 12, 16, seed=1), 0.7)]),
    Enter: (
        lambda: awake(Enter(6, 2, 16)),
        [
            lambda f: f([runs(4, 2), runs(4, 2)]),
            lambda f: f([runs(4, 2).mT.contiguous().mT] * 2),  # runs of pixels do not lie side by side
        ],
    ),
    Leave: (lambda: awake(Leave(16, 3, 2)), [lambda f: f(randn(2, 3, 4, 4, 16))]),
}


def test_every_form_is_compared() -> None:
    assert CALLS.keys() == FAST.keys()


@pytest.mark.parametrize("layer", FAST, ids=lambda layer: layer.__name__)
def test_fast_forms_are_the_textbooks(layer: type[nn.Module]) -> None:
    make, calls = CALLS[layer]
    plain = make()
    fast = fused(plain)
    assert type(plain) is layer and type(fast) is FAST[layer]
    assert list(fast.state_dict()) == list(plain.state_dict())
    with torch.no_grad():
        for call in calls:
            torch.testing.assert_close(call(fast), call(plain), **EXACT)


def test_text_is_absorbed_where_it_is_short() -> None:
    fast: Any = fused(TextAttention(64, 2, 16))
    h, keys = randn(2, 1, 1, 1, 64), randn(2, 2, 16, 32)
    assert fast.absorbs(h, keys)
    assert not fast.absorbs(h, keys.repeat(1, 1, 3, 1)) and not fast.absorbs(h.double(), keys.double())
    assert not fast.absorbs(h[:1], keys)


def network(patch: int = 4, **fields: Any) -> Any:
    levels = (
        Level(width=16, temporal=("convolution",)),
        Level(width=64, spatial_attention=True, text_attention=True, temporal=("convolution", "attention")),
    )
    config = VideoUNetConfig(
        text_width=8, embedding=16, head=32, low_res=True, anchored=True, patch=patch, levels=levels
    )
    return awake(VideoUNetConfig(**dict(config) | fields).build())


def given(count: int, patch: int = 4) -> tuple[Tensor, Tensor, Conditioning]:
    z, low = (randn(count, 3, 3, 4 * patch, 4 * patch, seed=seed) for seed in (1, 2))
    level = torch.linspace(-1, 1, count)
    text = text_given(randn(count, 3, 8, seed=3), MASK[:, :3].repeat(count, 1))
    return z, level, text | Conditioning(maps={"low_res": low}, numbers={"low_res_logsnr": level + 2})


@pytest.mark.parametrize("patch", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("channels_last", [False, True])
def test_a_fused_network_answers_as_before(patch: int, count: int, channels_last: bool) -> None:
    plain, arguments = network(patch), given(count, patch)
    fast = fused(plain, channels_last=channels_last)
    kept = copy.deepcopy(arguments[0])
    with torch.no_grad():
        torch.testing.assert_close(fast(*arguments), plain(*arguments), rtol=1e-5, atol=1e-5)
        with torch.backends.mkldnn.flags(enabled=False):  # type: ignore[no-untyped-call]
            torch.testing.assert_close(fast(*arguments), plain(*arguments), rtol=1e-5, atol=1e-5)
        assert torch.equal(arguments[0], kept)
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(fast(*arguments), plain(*arguments), rtol=0.1, atol=0.3)
    z, level, conditioning = arguments
    exact = copy.deepcopy(plain).double()
    z, level, conditioning = z.double(), level.double(), conditioning.to(CPU, torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(
            fused(exact)(z, level, conditioning), exact(z, level, conditioning), rtol=0, atol=1e-12
        )


def test_the_network_that_learns_stays_as_it_is_and_is_followed() -> None:
    plain, arguments = network(), given(1)
    kinds = [type(module) for module in plain.modules()]
    fast = fused(plain)
    assert [type(module) for module in plain.modules()] == kinds
    assert {p.data_ptr() for p in fast.parameters()} == {p.data_ptr() for p in plain.parameters()}
    assert all(p.requires_grad for p in plain.parameters()) and not any(p.requires_grad for p in fast.parameters())
    plain(*arguments).square().mean().backward()
    with torch.no_grad():
        before = fast(*arguments)
        for weight in plain.parameters():
            weight.sub_(0.1 * weight.grad)
        assert (fast(*arguments) - before).abs().max() > 1e-4
        torch.testing.assert_close(fast(*arguments), plain(*arguments), rtol=1e-5, atol=1e-5)


def test_no_gradient_is_asked_of_a_fused_network() -> None:
    plain, (z, level, conditioning) = network(), given(1)
    with pytest.raises(ValueError, match=r"z: expected no gradient to be asked of a network that is fused"):
        fused(plain)(z.requires_grad_(), level, conditioning)
    plain(z, level, conditioning).sum().backward()
    assert z.grad is not None and z.grad.abs().max() > 0
    assert not fused(plain)(z.detach(), level, conditioning).requires_grad


def test_weights_of_convolutions_are_laid_out_as_they_are_read() -> None:
    plain = network()
    values = {name: weight.clone() for name, weight in plain.state_dict().items()}
    fast = fused(plain, channels_last=True)
    convolutions = [m for m in fast.modules() if isinstance(m, nn.Conv2d)]
    assert convolutions and all(m.weight.is_contiguous(memory_format=torch.channels_last) for m in convolutions)
    assert {p.data_ptr() for p in fast.parameters()} == {p.data_ptr() for p in plain.parameters()}  # no second copy
    assert all(torch.equal(weight, values[name]) for name, weight in plain.state_dict().items())


def test_layers_with_adapters_stay_as_they_are() -> None:
    pytest.importorskip("peft")
    from zoetrope.training.adapters import Lora, adapt

    plain = network()
    adapt(plain, Lora(rank=2, targets=("*attention.*", "finer.*", "*feed_forward.*")))
    with torch.no_grad():
        for weight in plain.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
        fast = fused(plain)
        assert type(fast.down[1][0].text_attention) is TextAttention and type(fast.finer[0]) is Upsample
        assert type(fast.down[1][0].sum) is FAST[Sum]
        torch.testing.assert_close(fast(*given(1)), plain(*given(1)), rtol=1e-5, atol=1e-5)
