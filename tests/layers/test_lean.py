"""Layers that keep little for the backward pass, against the plain operations that they stand for."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm

from zoetrope.layers.elementwise import MappedGELU
from zoetrope.layers.lean import gelu_linear, scaled_norm, turned_norm
from zoetrope.layers.linear import Linear, linear
from zoetrope.layers.rotary import phases, rotated

EPS = 1e-6
Layer = Callable[..., Tensor]


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    made = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return made.to(dtype).requires_grad_()


def turns() -> Tensor:
    return phases(randn(2, 3, 1, 1, 1, seed=9).detach(), 4, 100.0)


def plain_norm(h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return layer_norm(h, h.shape[-1:], eps=EPS) * (1 + scale) + shift


def plain_turned(x: Tensor, weight: Tensor) -> Tensor:
    return rotated(layer_norm(x, x.shape[-1:], weight, eps=EPS), turns().to(complex_of(x)))


def complex_of(x: Tensor) -> torch.dtype:
    return torch.complex128 if x.dtype == torch.float64 else torch.complex64


H = (2, 3, 4, 5, 8)
# Name -> the lean layer, the plain one, and the shapes of what both are given.
CASES: dict[str, tuple[Layer, Layer, list[tuple[int, ...]]]] = {
    f"norm, scales {n}x{m}": (
        lambda h, scale, shift: scaled_norm(h, scale, shift, EPS),
        plain_norm,
        [H, (n, m, 1, 1, 8), (n, m, 1, 1, 8)],
    )
    for n, m in ((1, 1), (2, 1), (1, 3), (2, 3))
} | {
    "gelu": (gelu_linear, lambda h, weight, bias: linear(gelu(h), weight, bias), [H, (6, 8), (6,)]),
    "turned": (
        lambda x, weight: turned_norm(x, weight, turns().to(complex_of(x)), EPS),
        plain_turned,
        [(2, 3, 4, 5, 2, 8), (8,)],
    ),
    "turned, with gaps": (  # as a key is, which lies beside its value
        lambda x, weight: turned_norm(x[..., 0, :, :], weight, turns().to(complex_of(x)), EPS),
        lambda x, weight: plain_turned(x[..., 0, :, :], weight),
        [(2, 3, 4, 5, 2, 2, 8), (8,)],
    ),
}


def learnt(layer: Layer, shapes: list[tuple[int, ...]], dtype: torch.dtype) -> list[Tensor]:
    """The output and all gradients."""
    given = [randn(*shape, seed=seed, dtype=dtype) for seed, shape in enumerate(shapes)]
    out = layer(*given)
    weight = randn(*out.shape, seed=20, dtype=dtype).detach()
    return [out.detach(), *torch.autograd.grad((out * weight).sum(), given)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_outputs_and_gradients_are_the_plain_ones(name: str, dtype: torch.dtype, tolerance: float) -> None:
    lean, plain, shapes = CASES[name]
    for one, other in zip(learnt(lean, shapes, dtype), learnt(plain, shapes, dtype), strict=True):
        assert one.dtype == dtype
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_in_half_precision_they_are_near(name: str) -> None:
    lean, plain, shapes = CASES[name]
    exact = learnt(plain, shapes, torch.float64)
    for one, other in zip(learnt(lean, shapes, torch.bfloat16), exact, strict=True):
        error = (one.double() - other).norm() / other.norm()
        assert error < 0.02, float(error)


def kept(layer: Layer, shapes: list[tuple[int, ...]]) -> int:
    """How many numbers are kept for the backward pass that are not what the layer was given, or views of it."""
    given = [randn(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    known, found = {x.untyped_storage().data_ptr() for x in given}, dict[int, int]()

    def note(x: Tensor) -> Tensor:
        found[x.untyped_storage().data_ptr()] = x.numel()
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        held = layer(*given)
    del held
    return sum(count for place, count in found.items() if place not in known)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(("norm", "gelu"))])
def test_no_features_are_kept_but_those_that_were_given(name: str) -> None:
    lean, plain, shapes = CASES[name]
    features = torch.Size(H).numel()
    assert kept(lean, shapes) < features / 2
    assert kept(plain, shapes) >= features


def test_maps_that_are_more_than_linear_are_called() -> None:
    """Adapters hold a linear map and do more: nothing may go past them."""

    class Twice(Linear):
        def forward(self, h: Tensor) -> Tensor:
            return 2 * super().forward(h)

    twice, h = Twice(8, 6).double(), randn(*H)
    made = MappedGELU()(twice, h)
    torch.testing.assert_close(made, 2 * linear(gelu(h), twice.weight, twice.bias))
    once = Linear(8, 6).double()
    torch.testing.assert_close(MappedGELU()(once, h), once(gelu(h)))


def test_frozen_maps_get_no_gradient() -> None:
    h, map_ = randn(*H), Linear(8, 6).double().requires_grad_(False)
    MappedGELU()(map_, h).sum().backward()
    assert h.grad is not None and map_.weight.grad is None and map_.bias.grad is None
