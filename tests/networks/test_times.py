"""Frames that are seen at times of their own."""

from typing import Any

import pytest
import torch
from torch import Tensor

from zoetrope.conditioning import Conditioning
from zoetrope.layers.attention import TemporalAttention
from zoetrope.layers.positions import bias_at, distances_between, spacing
from zoetrope.networks.video_unet import Level, VideoUNetConfig

from .test_open_unet import asked, awake, built, randn

ATTENDS = Level(width=16, spatial_attention=True, temporal=("attention",))


def at(*times: float, count: int = 2) -> Conditioning:
    return Conditioning(times=torch.tensor([times] * count))


@pytest.mark.parametrize("positions", [False, True])
@pytest.mark.parametrize("fps", [3, 7.3, 24, 29.97])
def test_equal_distances_are_those_of_a_clip(positions: bool, fps: float) -> None:
    network = built(Level(width=8), ATTENDS, positions=positions)
    given = asked(5)
    plain = network(*given)
    times = tuple((torch.arange(5) / fps + 11.7).tolist())
    assert torch.equal(network(*given[:2], given[2] | at(*times)), plain)
    told = built(Level(width=8), ATTENDS, positions=positions, fps=fps)
    assert torch.equal(told(*given[:2], given[2] | at(*times)), plain)
    twice = tuple(2 * time for time in times)
    assert torch.equal(network(*given[:2], given[2] | at(*twice)), plain)  # in units of its own
    assert (told(*given[:2], given[2] | at(*twice)) - plain).abs().max() > 1e-4  # twice as far


@pytest.mark.parametrize("positions", [False, True])
def test_frames_in_another_order_give_the_same_frames(positions: bool) -> None:
    network = built(Level(width=8), ATTENDS, positions=positions)
    z, levels, given = asked(5)
    times, order = torch.tensor([0.0, 0.3, 0.4, 1.1, 1.5]).repeat(2, 1), torch.tensor([3, 0, 4, 1, 2])
    out = network(z, levels, given | Conditioning(times=times))
    other = network(z[:, :, order], levels, given | Conditioning(times=times[:, order]))
    torch.testing.assert_close(other, out[:, :, order], rtol=0, atol=1e-12)
    assert (out - network(z, levels, given)).abs().max() > 1e-4


def test_each_video_has_times_of_its_own() -> None:
    network = built(Level(width=8), ATTENDS, fps=10)
    z, levels, given = asked(4)
    times = torch.tensor([[0.0, 0.1, 0.2, 0.3], [0.0, 0.4, 0.45, 1.0]])
    together = network(z, levels, given | Conditioning(times=times))
    for row in range(2):
        one = torch.tensor([row])
        alone = network(z[one], levels[one], given.select(one) | Conditioning(times=times[one]))
        torch.testing.assert_close(together[one], alone, rtol=0, atol=1e-12)


def test_a_part_of_a_clip_is_as_far_apart_as_in_the_clip() -> None:
    """A subset of frames, at their times, has between it the biases that it has in the whole."""
    layer: Any = awake(TemporalAttention(16, 2))
    seconds = torch.arange(9).float() / 8
    whole = bias_at(layer.bias, distances_between(seconds[None], 1 / 8))
    some = torch.tensor([0, 1, 4, 8])
    part = bias_at(layer.bias, distances_between(seconds[None, some], 1 / 8))
    assert torch.equal(part[0], whole[0][some][:, some])
    half = bias_at(layer.bias, torch.tensor([2.5]))[0]
    torch.testing.assert_close(half, (bias_at(layer.bias, torch.tensor([2.0, 3.0]))).mean(0))
    assert spacing(torch.tensor([[0.0, 9.0, 1.0, 2.0]])).tolist() == [1.0]


@pytest.mark.parametrize(
    "level",
    [Level(width=16, temporal=("convolution",)), Level(width=16, spatial_attention=True, looks="first_and_previous")],
)
def test_what_takes_frames_for_neighbours_refuses_gaps(level: Level) -> None:
    network = built(level)
    z, levels, given = asked(4)
    with pytest.raises(ValueError, match="times: expected frames at equal distances, one after the other"):
        network(z, levels, given | at(0, 1, 2, 4))
    with pytest.raises(ValueError, match="times: expected frames at equal distances, one after the other"):
        network(z, levels, given | at(3, 2, 1, 0))
    assert torch.equal(network(z, levels, given | at(0, 1, 2, 3)), network(z, levels, given))
    with pytest.raises(ValueError, match="times: expected frames that are seen at different times"):
        network(z, levels, given | at(1, 1, 1, 1))


@pytest.mark.parametrize("fps", [None, 8.0])
@pytest.mark.parametrize("times", [(1, 1, 1, 1), (0, 1, 1, 2), (0, 2, 3, 0)])
def test_no_two_frames_are_seen_at_the_same_time(fps: float | None, times: tuple[int, ...]) -> None:
    network = built(ATTENDS, fps=fps, positions=True)
    z, levels, given = asked(4)
    with pytest.raises(ValueError, match="times: expected frames that are seen at different times"):
        network(z, levels, given | at(*times))
    apart = torch.tensor([number in times[:place] for place, number in enumerate(times)])
    alone = Conditioning(images=apart.expand(len(z), -1))  # independent images have no time
    assert network(z, levels, given | at(*times) | alone).isfinite().all()


def test_gradients_reach_the_biases_between_whole_distances() -> None:
    network = built(Level(width=8), ATTENDS)
    z, levels, given = asked(3)
    network(z, levels, given | at(0, 1, 2.5)).square().mean().backward()
    bias: Tensor = network.down[1][0].temporal_attention.bias.weight.grad  # type: ignore[union-attr, index]
    assert bias.abs().max() > 0 and randn(1).shape == (1,)
    assert VideoUNetConfig(fps=8).fps == 8
