"""The network of relative positions beside the table of biases."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from zoetrope.conditioning import Conditioning
from zoetrope.layers.attention import TemporalAttention
from zoetrope.networks.video_unet import Level

from .test_open_unet import asked, awake, built, randn, same

LEVELS = (Level(width=8, temporal=("attention",)), Level(width=16, spatial_attention=True, temporal=("attention",)))
FAR = torch.tensor([[0.0, 1.0, 60.0, 300.0], [7.0, 3.0, 3.5, 0.0]])


def by_hand(layer: Any, h: Tensor, distances: Tensor, e: Tensor) -> Tensor:
    """The layer's output for a table of zeros, pair by pair, as the paper's equations say."""
    b, f, height, width, d = h.shape
    net, heads, out = layer.relative, layer.heads, torch.zeros_like(h)
    inner = layer.norm(h)
    size = d // heads

    def pair(row: int, i: int, j: int) -> Tensor:
        far = float(distances[row, i, j])
        features = torch.tensor(
            [math.log1p(max(far, 0)), math.log1p(max(-far, 0)), float(far == 0)], dtype=torch.float64
        )
        of_e = e[row, i if e.shape[1] > 1 else 0]
        return net.out(torch.nn.functional.silu(net.distance(features) + net.condition(of_e))).view(3, heads, size)

    for row, y, x, head in (
        (r, y, x, n) for r in range(b) for y in range(height) for x in range(width) for n in range(heads)
    ):
        at = inner[row, :, y, x]
        q = (at @ layer.query.weight.T).view(f, heads, size)[:, head]
        k, v = (part.reshape(f, heads, size)[:, head] for part in (at @ layer.key_value.weight.T).chunk(2, -1))
        for i in range(f):
            logits = torch.stack(
                [q[i] @ k[j] + q[i] @ pair(row, i, j)[0, head] + k[j] @ pair(row, j, i)[1, head] for j in range(f)]
            )
            share = (logits / math.sqrt(size)).softmax(0)
            seen = torch.stack([v[j] + pair(row, i, j)[2, head] for j in range(f)])
            out[row, i, y, x, head * size : (head + 1) * size] = share @ seen
    return layer.out(out)


@pytest.mark.parametrize("frames", [1, 4])
def test_the_layer_is_the_equations(frames: int) -> None:
    layer: Any = awake(TemporalAttention(16, 2, 8)).double()
    torch.nn.init.zeros_(layer.bias.weight)
    h, e = randn(2, 4, 1, 2, 16), randn(2, frames, 8, seed=1)
    distances = FAR.double()[:, None, :] - FAR.double()[:, :, None]
    torch.testing.assert_close(layer(h, None, distances, e), by_hand(layer, h, distances, e), rtol=0, atol=1e-12)
    place = torch.arange(4.0).double()
    even = (place - place[:, None]).expand(2, 4, 4)
    torch.testing.assert_close(layer(h, None, None, e), by_hand(layer, h, even, e), rtol=0, atol=1e-12)


@pytest.mark.parametrize("times", [None, FAR])
@pytest.mark.parametrize("positions", [False, True])
def test_a_network_trained_with_a_table_continues(times: Tensor | None, positions: bool) -> None:
    """At initialisation the network changes nothing, and it learns."""
    table = built(*LEVELS, positions=positions, fps=3)
    more = built(*LEVELS, positions=positions, fps=3, relative="network", wake=False)
    same(more, table)
    missing = more.state_dict().keys() - table.state_dict().keys()
    assert missing and all(".temporal_attention.relative." in name for name in missing)
    z, levels, given = asked(4)
    given = given | Conditioning(times=times)
    out = more(z, levels, given)
    torch.testing.assert_close(out, table(z, levels, given), rtol=0, atol=1e-12)
    out.square().mean().backward()
    for name, weight in more.named_parameters():
        if ".relative.out" in name:
            assert weight.grad is not None and weight.grad.abs().max() > 0


def test_noise_levels_change_what_a_distance_means() -> None:
    one = built(*LEVELS, fps=3, relative="network")
    z, _, given = asked(4)
    given = given | Conditioning(times=FAR)
    levels = torch.full((2, 4), -1.0, dtype=torch.float64)
    torch.testing.assert_close(one(z, levels, given), one(z, levels[:, 0], given), rtol=0, atol=1e-12)
    clean = levels.clone()
    clean[:, 1] = 20.0
    assert (one(z, clean, given) - one(z, levels, given))[:, :, 0].abs().max() > 1e-4


def test_a_network_tells_minutes_from_each_other() -> None:
    """The last bucket of the table is for all distances beyond 32 frames."""
    near, far = torch.tensor([[0.0, 50.0]] * 2), torch.tensor([[0.0, 300.0]] * 2)
    z, levels, given = asked(2)
    for relative, apart in (("table", False), ("network", True)):
        one = built(*LEVELS, fps=3, relative=relative)
        change = one(z, levels, given | Conditioning(times=near)) - one(z, levels, given | Conditioning(times=far))
        assert (change.abs().max() > 1e-6) == apart
