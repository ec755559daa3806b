"""Regions that a network learns to be given: masks of training, the network's maps, and what it makes of them."""

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from known.test_learnt import awake
from zoetrope.cascade.execution.layout import Layout
from zoetrope.cascade.execution.tiles import Tile, tiles_of
from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning, Tokens
from zoetrope.data import Example
from zoetrope.diffusion.prediction import target
from zoetrope.diffusion.process import diffuse
from zoetrope.inputs import Examples
from zoetrope.inputs.low_res import low_res_given
from zoetrope.inputs.region import MASK, REGION, Region, RegionTask, known_mask
from zoetrope.known import Known
from zoetrope.known.replacement import Replacement
from zoetrope.layers.fused import fused
from zoetrope.models.asking import conditioning_of
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape, Window

SIZES = (6, 16, 24)


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def is_box(picture: Tensor) -> bool:
    """Whether what is True in (H, W) fills a rectangle."""
    rows, columns = picture.any(1).nonzero().flatten(), picture.any(0).nonzero().flatten()
    return bool(picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all())


@pytest.mark.parametrize("task", get_args(RegionTask))
def test_what_is_known_of_an_example(task: RegionTask) -> None:
    moved = 0
    for seed in range(40):
        mask = known_mask(task, SIZES, drawn(seed))
        assert tuple(mask.shape) == SIZES and mask.dtype == torch.bool and mask.any() and not mask.all()
        assert torch.equal(mask, known_mask(task, SIZES, drawn(seed)))
        if task == "first_frame":
            assert mask[0].all() and not mask[1:].any()
            continue
        own = mask if task == "outpainting" else ~mask
        if task == "cinemagraph":
            assert mask[0].all()
            own = own[1:]
        assert all(is_box(picture) for picture in own)
        areas = {int(picture.sum()) for picture in own}
        assert len(areas) == 1, "the box has one size"
        moved += bool((own != own[0]).any())
    assert (10 < moved < 35) if task in ("inpainting", "outpainting") else moved == 0


@pytest.mark.parametrize("task", get_args(RegionTask))
def test_something_is_left_to_make_of_a_picture(task: RegionTask) -> None:
    masks = [known_mask(task, (1, 16, 24), drawn(seed)) for seed in range(20)]
    assert not any(mask.all() for mask in masks)
    assert any(mask.any() for mask in masks) == (task != "first_frame")


def examples(x: Tensor, seed: int) -> Examples:
    def encode(texts: Any) -> Tokens:
        raise AssertionError("no text is read")

    draws = [drawn(seed * 1000 + row) for row in range(len(x))]
    return Examples(x=x, samples=[[Example(one, "", "")] for one in x], draws=draws, packed=None, encode=encode)


def test_unknown_pixels_are_zero_and_some_examples_know_nothing() -> None:
    shape = VideoShape(frames=6, height=16, width=24, fps=4)
    x = torch.rand(64, 3, *SIZES) + 1
    maps = Region(dropout=0.5).of_examples(shape, examples(x, 0)).maps
    mask = maps[MASK]
    assert set(mask.unique().tolist()) == {0.0, 1.0} and mask.shape == (64, 1, *SIZES)
    assert torch.equal(maps[REGION], x * mask)
    assert 18 < int((mask.flatten(1).sum(1) == 0).sum()) < 46


NETWORK = VideoUNetConfig(
    text_width=None,
    region=True,
    embedding=16,
    head=8,
    levels=(Level(width=16, temporal=("convolution",)), Level(width=16)),
)
SHAPE = VideoShape(frames=3, height=8, width=8, fps=4)
STAGE = StageSpec(
    name="base", shape=SHAPE, inputs=(Region(),), network=NETWORK,
    sampling=SamplingSpec(steps=4, known=Replacement(redraw=False)),
)  # fmt: skip


def half_known(count: int) -> Known:
    mask = torch.zeros(3, 8, 8, dtype=torch.bool)
    mask[:, :, :4] = True
    colours = torch.tensor([0.8, -0.8, 0.4, -0.4])[:count, None].expand(-1, 3)
    video = colours[:, :, None, None, None].expand(-1, -1, 3, 8, 8)
    return Known(torch.ones(3, dtype=torch.bool), video, mask=mask)


def made(network: Any, known: Known | None, count: int = 4, **draw: Any) -> Tensor:
    given = conditioning_of(STAGE, {}, count, known)
    return stage_video(STAGE, network, given, None, Draw(seed=0, samples=range(count), known=known, **draw))


def test_seven_channels_enter() -> None:
    """J, C and M: 3 + 3 + 1; of a super-resolution network 3 more."""
    assert NETWORK.concatenated == {"region": 3, "region_mask": 1} and NETWORK.reads == {"region"}
    both = NETWORK.with_(low_res=True)
    assert both.concatenated == {"low_res": 3, "region": 3, "region_mask": 1} and both.reads == {"low_res", "region"}
    assert [config.build().enter.conv.weight.shape[1] for config in (NETWORK, both)] == [7, 10]
    with pytest.raises(ValueError, match="maps: expected 'region', got none"):
        NETWORK.build()(torch.zeros(1, 3, *SHAPE.sizes), torch.zeros(1), Conditioning())


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_fused_it_makes_the_same(patch: int) -> None:
    network = awake(NETWORK.with_(patch=patch, low_res=True))
    given = conditioning_of(STAGE, {}, 4, half_known(4)) | low_res_given(torch.rand(4, 3, *SHAPE.sizes), torch.zeros(4))
    z, logsnr = torch.randn(4, 3, *SHAPE.sizes), torch.zeros(4)
    with torch.inference_mode():
        torch.testing.assert_close(fused(network)(z, logsnr, given), network(z, logsnr, given), rtol=0, atol=1e-4)


def test_parts_of_the_video_are_told_their_parts() -> None:
    """In tiles, and streamed, the network makes what it makes of the whole."""
    network, known = awake(NETWORK), half_known(4)
    whole = Window.whole(SHAPE)
    expected = made(network, known, layout=Layout([Tile(whole, whole)]))
    for layout in (Layout(list(tiles_of(SHAPE, (1, 8, 4), NETWORK.reach()))), Layout([Tile(whole, whole)], part=1)):
        torch.testing.assert_close(made(network, known, layout=layout), expected, rtol=0, atol=1e-4)


def test_a_network_learns_to_go_on_with_what_it_is_given() -> None:
    """Videos of one random colour: given the left half, the right half gets its colour; given nothing, some other."""
    torch.manual_seed(0)
    attending = NETWORK.with_(levels=(Level(width=16), Level(width=16, spatial_attention=True)))
    network = attending.build()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    shape = SHAPE.with_(frames=1)
    for step in range(400):
        x = (torch.rand(16, 1, 1, 1, 1, generator=drawn(step)) * 2 - 1).expand(-1, 3, 1, 8, 8).contiguous()
        level = STAGE.schedule(torch.rand(16, dtype=torch.float64, generator=drawn(10_000 + step)))
        eps = torch.randn(x.shape, generator=drawn(20_000 + step))
        given = Region(tasks=("inpainting", "outpainting")).of_examples(shape, examples(x, step))
        output = network(diffuse(x, eps, level), level.logsnr.float(), given)
        loss = (output - target("v", x, eps, level)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval().requires_grad_(False)
    known = half_known(4)
    told, alone = made(network, known), made(network, None)
    assert torch.equal(told[..., :4], known.video[..., :4])
    away, before = ((video - known.video)[..., 4:].square().mean().sqrt() for video in (told, alone))
    assert away < 0.3 * before
