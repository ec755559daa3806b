"""A video that comes in parts gives what the whole gives, in a fraction of the memory."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoetrope.cascade.execution.meter import peak_bytes
from zoetrope.conditioning import Conditioning
from zoetrope.inputs.text import text_given
from zoetrope.layers.fused import fused
from zoetrope.networks import FrameChunk, Network
from zoetrope.networks.video_unet import Level, VideoUNetConfig

FRAMES = 7


def network(anchored: bool = False, **fields: Any) -> Network:
    """Three levels that convolve time, with weights that are nowhere zero."""
    levels = (
        Level(width=8, temporal="convolution"),
        Level(width=16, blocks=2, text_attention=True, temporal="convolution", **fields),
        Level(width=16, convolution=False, text_attention=True),
    )
    torch.manual_seed(0)
    config = VideoUNetConfig(
        low_res=True, anchored=anchored, text_width=8, embedding=16, head=8, patch=2, levels=levels
    )
    made = config.build().double()
    for weight in made.parameters():
        nn.init.normal_(weight, std=0.3)
    return made.requires_grad_(False)


def given(frames: int, side: int = 16) -> tuple[Tensor, Tensor, Conditioning]:
    """z, logsnr and conditioning of two videos."""
    draw = torch.Generator().manual_seed(1)
    z, low_res = torch.randn(2, 2, 3, frames, side, side, generator=draw, dtype=torch.float64)
    tokens = torch.randn(2, 4, 8, generator=draw, dtype=torch.float64)
    conditioning = text_given(tokens, torch.tensor([[True, True, True, False], [False] * 4])) | Conditioning(
        maps={"low_res": low_res}, numbers={"low_res_logsnr": torch.tensor([1.0, 3.0], dtype=torch.float64)}
    )
    return z, torch.tensor([-1.0, 2.0], dtype=torch.float64), conditioning


def parts_of(z: Tensor, conditioning: Conditioning, cuts: int | tuple[int, ...]) -> Iterator[FrameChunk]:
    low_res = conditioning.maps["low_res"].split(cuts, dim=2)
    return (FrameChunk(z, {"low_res": low}) for z, low in zip(z.split(cuts, dim=2), low_res, strict=True))


def in_parts(one: Network, frames: int, cuts: tuple[int, ...]) -> Tensor:
    z, logsnr, conditioning = given(frames)
    parts = parts_of(z, conditioning, cuts)
    outputs = list(one.stream(parts, logsnr, conditioning))
    assert [output.shape[2] for output in outputs] == list(cuts)
    return torch.cat(outputs, dim=2)


@pytest.mark.parametrize("cuts", [(7,), (1,) * 7, (2, 3, 2), (6, 1), (1, 6)])
@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("anchored", [False, True])
def test_parts_give_what_the_whole_gives(cuts: tuple[int, ...], attention: bool, anchored: bool) -> None:
    one = network(anchored, spatial_attention=attention)
    assert one.config.reach().streams
    whole = one(*given(FRAMES))
    assert whole.abs().mean() > 0.1
    for each in (one, fused(one)):
        torch.testing.assert_close(in_parts(each, FRAMES, cuts), whole, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("anchored", [False, True])
def test_parts_whose_frames_have_levels_of_their_own(anchored: bool) -> None:
    one = network(anchored, join="mix")
    z, _, conditioning = given(FRAMES)
    levels = torch.linspace(-3, 3, 2 * FRAMES, dtype=torch.float64).view(2, FRAMES)
    conditioning = replace(conditioning, numbers={"low_res_logsnr": levels.flip(1)})
    whole = one(z, levels, conditioning)
    parts = one.stream(parts_of(z, conditioning, (2, 1, 4)), levels, conditioning)
    torch.testing.assert_close(torch.cat(list(parts), dim=2), whole, rtol=1e-10, atol=1e-10)


def test_an_image_is_a_video_of_one_part() -> None:
    one = network()
    torch.testing.assert_close(in_parts(one, 1, (1,)), one(*given(1)), rtol=1e-10, atol=1e-10)


def test_a_network_that_looks_at_all_times_is_given_all_parts() -> None:
    levels = (Level(width=16, temporal="attention"),)
    one = VideoUNetConfig(low_res=True, text_width=8, embedding=16, head=8, levels=levels).build().double()
    nn.init.normal_(one.leave.conv.weight)
    assert not one.config.reach().streams
    torch.testing.assert_close(in_parts(one, FRAMES, (3, 4)), one(*given(FRAMES)))


def test_parts_are_handed_on_as_soon_as_they_can_be() -> None:
    one, (z, logsnr, conditioning) = network(), given(40)
    taken = 0

    def parts() -> Any:
        nonlocal taken
        for part in parts_of(z, conditioning, 1):
            taken += 1
            yield part

    next(one.stream(parts(), logsnr, conditioning))
    assert taken == 1 + one.config.reach().frames == 7  # itself, and the frames that it depends on


def test_memory_does_not_grow_with_the_number_of_frames() -> None:
    one = fused(network().float())

    def peak(frames: int) -> int:
        _, logsnr, conditioning = given(1, 32)
        conditioning = conditioning.to(torch.device("cpu"), torch.float32)

        def run() -> None:
            parts = (FrameChunk(z, {"low_res": z}) for z in [torch.zeros(2, 3, 1, 32, 32)] for _ in range(frames))
            for _ in one.stream(parts, logsnr.float(), conditioning):
                pass

        with torch.no_grad():
            return peak_bytes(run)

    assert peak(48) < 1.05 * peak(12)
