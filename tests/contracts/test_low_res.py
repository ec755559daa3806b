"""Blurred input of super-resolution: how often, from which random numbers, and never in sampling."""

import json
import math

import pytest
import torch
from torch import Tensor

from zoetrope.conditioning import Tokens
from zoetrope.data import Example
from zoetrope.diffusion.augmentation import augment, augmentation_logsnr, blur, blur_sigma
from zoetrope.inputs import Examples, Input
from zoetrope.inputs.low_res import LowRes
from zoetrope.shapes import VideoShape, Window
from zoetrope.video.resample import degrade, upsample

SMALL, LARGE = VideoShape(frames=1, height=6, width=8, fps=3), VideoShape(frames=1, height=12, width=16, fps=3)


def examples(count: int) -> Examples:
    """Pictures of noise, each with random choices of its own."""
    draws = [torch.Generator().manual_seed(row) for row in range(count)]
    x = torch.stack([torch.rand(3, *LARGE.sizes, generator=torch.Generator().manual_seed(row)) for row in range(count)])
    samples = [[Example(one, "", str(row))] for row, one in enumerate(x)]
    return Examples(
        x=x, samples=samples, draws=draws, packed=None, encode=lambda _: Tokens.real(torch.zeros(count, 1, 4))
    )


def told(one: LowRes, count: int) -> Tensor:
    """The conditioning video of so many examples."""
    return one.of_examples(LARGE, examples(count)).maps["low_res"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_so_many_examples_are_blurred(share: float) -> None:
    count = 400
    plain = upsample(degrade(examples(count).x, SMALL), LARGE)
    given = told(LowRes(shape=SMALL, augment=0, blur=share), count)
    blurred = sum(not torch.equal(a, b) for a, b in zip(given, plain, strict=True))
    assert blurred / count == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / count))


def test_the_blur_comes_before_the_resize_and_the_noise_after_it() -> None:
    one, count = LowRes(shape=SMALL, augment=0.5, blur=0.5), 8
    drawn = examples(count)
    chosen = drawn.uniform() < 0.5
    sigma = torch.where(chosen, blur_sigma(drawn.uniform()), 0.0)
    logsnr = augmentation_logsnr(0.5 * drawn.uniform())
    low_res = upsample(blur(degrade(drawn.x, SMALL), sigma), LARGE)
    assert 0 < chosen.sum() < count
    assert torch.equal(told(one, count), augment(low_res, drawn.normal(), logsnr))


def test_without_blur_nothing_else_is_drawn() -> None:
    """Trainings from before there was blur go on as they would have."""
    one, drawn = LowRes(shape=SMALL, augment=0.5), examples(4)
    logsnr = augmentation_logsnr(0.5 * drawn.uniform())
    low_res = upsample(degrade(drawn.x, SMALL), LARGE)
    assert torch.equal(told(one, 4), augment(low_res, drawn.normal(), logsnr))


def test_sampling_never_blurs() -> None:
    video, window = torch.rand(2, 3, *SMALL.sizes), Window.whole(LARGE)
    one, plain = (
        LowRes(shape=SMALL, blur=share).in_window(LARGE, video, lambda what, seen: torch.zeros(()), window)
        for share in (1.0, 0.0)
    )
    assert torch.equal(one.maps["low_res"], plain.maps["low_res"])
    assert torch.equal(one.maps["low_res"], upsample(video, LARGE))


def test_it_comes_back_from_json_and_older_descriptions_have_none() -> None:
    one = LowRes(shape=SMALL, blur=0.5)
    assert Input.from_json(one.to_json()) == one
    older = json.loads(json.dumps(one.to_json()))
    del older["blur"]
    assert Input.from_json(older) == LowRes(shape=SMALL)
    assert one.on(LARGE, SMALL.with_(height=3)).blur == 0.5


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_from_zero_to_one(share: float) -> None:
    with pytest.raises(ValueError, match="blur"):
        LowRes(shape=SMALL, blur=share)
