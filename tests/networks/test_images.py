"""Frames of a video that are independent images: nothing passes between them and any other frame."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from zoetrope.conditioning import Conditioning
from zoetrope.inputs.text import text_given
from zoetrope.layers.fused import fused
from zoetrope.networks import FrameChunk
from zoetrope.networks._unet import VideoUNet
from zoetrope.networks.video_unet import Level
from zoetrope.shapes import Window

from .test_open_unet import TEXT, built, randn

ATTENDS: dict[str, Any] = {"width": 16, "spatial_attention": True, "text_attention": True}
BOTH = ("convolution", "attention")
NETWORKS: dict[str, tuple[dict[str, Any], ...]] = {
    "attention": ({"width": 8}, {**ATTENDS, "temporal": ("attention",)}),
    "convolution": ({"width": 8, "temporal": ("convolution",)}, {**ATTENDS, "temporal": ("convolution",)}),
    "both, mixed": ({"width": 8, "temporal": BOTH, "join": "mix"}, {**ATTENDS, "temporal": BOTH, "join": "mix"}),
    "pseudo-3D": ({"width": 8, "temporal": ("pseudo_3d",)}, {**ATTENDS, "temporal": ("pseudo_3d", "attention")}),
    "first": ({"width": 8}, {**ATTENDS, "temporal": BOTH, "looks": "first"}),
    "first_and_previous": ({"width": 8}, {**ATTENDS, "looks": "first_and_previous"}),
    "all": ({"width": 8}, {**ATTENDS, "temporal": ("attention",), "looks": "all"}),
}
F = 6
AT_THE_END = torch.tensor([[False] * 4 + [True] * 2, [False] * 3 + [True] * 3])
ANYWHERE = torch.tensor([[True, False, False, True, False, False], [False, True, False, False, False, True]])


def network(name: str, **fields: Any) -> VideoUNet:
    """One of NETWORKS."""
    return built(*(Level(**level) for level in NETWORKS[name]), **fields)


def asked(images: Tensor, **more: Any) -> tuple[Tensor, Tensor, Conditioning]:
    """Two videos with noise levels and texts of each frame."""
    text = text_given(randn(2, F, 3, TEXT, seed=5))
    levels = torch.linspace(-3, 3, 2 * F, dtype=torch.float64).view(2, F)
    return randn(2, 3, F, 4, 4), levels, text | Conditioning(images=images, **more)


def rows_and_frames(given: Conditioning, row: int, frames: Tensor) -> Conditioning:
    """What conditions these frames of one video, without images among them."""
    text = given.tokens["text"]
    times = None if given.times is None else given.times[row : row + 1, frames]
    return text_given(text.values[row : row + 1, frames], text.mask[row : row + 1, frames]) | Conditioning(times=times)


def taught(one: VideoUNet) -> dict[str, Tensor]:
    """The gradients that have gathered."""
    return {name: weight.grad.clone() for name, weight in one.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize(
    ("name", "times", "fields"),
    [(name, times, {}) for name in NETWORKS for times in (False, True)]
    + [("both, mixed", times, {"relative": "network", "positions": True}) for times in (False, True)],
)
def test_the_rest_is_a_video_of_its_own_and_each_image_an_image(name: str, times: bool, fields: dict[str, Any]) -> None:
    """Outputs and gradients are those of the parts apart; positions of frames are rounded to float32."""
    one = network(name, **fields)
    near: Any = {"rtol": 1e-5, "atol": 1e-5} if fields else {"rtol": 1e-9, "atol": 1e-9}
    z, levels, given = asked(AT_THE_END)
    if times:
        gaps = torch.tensor([2.0, 0.5, 7.0, 3.0, 2.0, 1.0] if name in ("attention", "all") else [0.5] * F)
        given = replace(given, times=gaps.cumsum(0).repeat(2, 1).where(~AT_THE_END, 1.0))
    weighting = randn(*z.shape, seed=9)
    out = one(z, levels, given)
    (out * weighting).sum().backward()
    together = taught(one)
    one.zero_grad()
    for row in range(2):
        real = (~AT_THE_END[row]).nonzero()[:, 0]
        for part in (real, *AT_THE_END[row].nonzero()[:, 0].split(1)):
            apart = one(z[row : row + 1, :, part], levels[row : row + 1, part], rows_and_frames(given, row, part))
            torch.testing.assert_close(out[row : row + 1, :, part], apart, **near)
            (apart * weighting[row : row + 1, :, part]).sum().backward()
    for weight, gradient in taught(one).items():
        torch.testing.assert_close(together[weight], gradient, **near, msg=weight)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_change_of_a_frame_crosses(name: str, fast: bool) -> None:
    one: Any = network(name, positions=True).requires_grad_(False)
    one = fused(one) if fast else one
    z, levels, given = asked(ANYWHERE)
    before = one(z, levels, given)
    for frame in range(F):
        other = z.clone()
        other[:, :, frame] += 1
        changed = (one(other, levels, given) - before).abs().amax((1, 3, 4)) > 0
        for row in range(2):
            assert changed[row, frame]
            if ANYWHERE[row, frame]:
                assert changed[row].sum() == 1
            else:
                assert not (changed[row] & ANYWHERE[row]).any()
    reached = (one(z[:, :, :1].expand_as(z) + randn(*z.shape), levels, given) - before).abs().amax((1, 3, 4))
    assert (reached > 0).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_no_gradient_crosses(name: str) -> None:
    one = network(name, positions=True)
    z, levels, given = asked(ANYWHERE)
    z.requires_grad_()
    for frame in range(F):
        [slope] = torch.autograd.grad(one(z, levels, given)[:, :, frame].square().sum(), z)
        reached = slope.abs().amax((1, 3, 4)) > 0
        for row in range(2):
            assert reached[row, frame]
            assert reached[row].sum() == 1 if ANYWHERE[row, frame] else not (reached[row] & ANYWHERE[row]).any()


@pytest.mark.parametrize("name", NETWORKS)
def test_all_frames_of_an_example_are_a_pack_or_a_clip(name: str) -> None:
    one = network(name, positions=True)
    z, levels, given = asked(torch.tensor([True, False]))
    each = replace(given, images=given.images[:, None].expand(2, F))  # type: ignore[index]
    torch.testing.assert_close(one(z, levels, each), one(z, levels, given), rtol=0, atol=1e-12)
    none = replace(given, images=torch.zeros(2, F, dtype=torch.bool))
    torch.testing.assert_close(one(z, levels, none), one(z, levels, replace(given, images=None)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("cuts", [(6,), (1,) * 6, (2, 3, 1), (1, 5)])
@pytest.mark.parametrize("join", ["add", "mix"])
def test_parts_give_what_the_whole_gives(cuts: tuple[int, ...], join: str, fast: bool) -> None:
    levels = (
        Level(width=8, temporal="convolution", join=join),  # type: ignore[arg-type]
        Level(**ATTENDS, temporal="convolution", join=join),  # type: ignore[arg-type]
    )
    one: Any = built(*levels).requires_grad_(False)
    z, _, given = asked(ANYWHERE)
    given = replace(given, tokens=text_given(randn(2, 3, TEXT)).tokens)
    level = torch.tensor([1.0, -1.0], dtype=torch.float64)
    for images in (ANYWHERE, AT_THE_END, torch.tensor([True, False]), torch.tensor([[True] * 5 + [False]] * 2)):
        some = replace(given, images=images)
        parts = (fused(one) if fast else one).stream((FrameChunk(part) for part in z.split(cuts, dim=2)), level, some)
        torch.testing.assert_close(torch.cat(list(parts), dim=2), one(z, level, some), rtol=0, atol=1e-11)


def test_a_window_cuts_them() -> None:
    given = Conditioning(images=ANYWHERE)
    cut = given.window(Window(range(2, 5), range(4), range(4)))
    assert cut.images is not None and torch.equal(cut.images, ANYWHERE[:, 2:5])
    whole = Conditioning(images=torch.tensor([True, False]))
    assert whole.window(Window(range(2, 5), range(4), range(4))).images is whole.images


def test_other_shapes_are_refused() -> None:
    one = network("attention")
    z, levels, given = asked(ANYWHERE)
    with pytest.raises(ValueError, match="images: expected one for each of 2 videos, or of their frames, got"):
        one(z, levels, replace(given, images=ANYWHERE[:1]))
    with pytest.raises(ValueError, match="images: expected one for each of 6 frames, got 5"):
        one(z, levels, replace(given, images=ANYWHERE[:, :5]))
    strided = built(Level(width=8), Level(width=16, every=2))
    with pytest.raises(ValueError, match="images: expected none"):
        strided(z, levels, given)
