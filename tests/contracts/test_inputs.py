"""What every input in the folder must do, because it is there."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from zoetrope.conditioning import Conditioning, Tokens, stacked
from zoetrope.data import Example
from zoetrope.inputs import Examples, Extent, Input
from zoetrope.inputs.fps import FrameRate
from zoetrope.inputs.label import Label
from zoetrope.shapes import VideoShape, Window

SHAPE = VideoShape(frames=4, height=8, width=16, fps=4)
SMALL = VideoShape(frames=2, height=4, width=8, fps=2)
COUNT, L, D = 3, 5, 6
every_input = pytest.mark.parametrize("kind", Input.every(), ids=Input.names())


REQUIRED = {"shape": SMALL, "told": "ef", "lo": 0.0, "hi": 2.0, "classes": ("0.0", "0.5", "1.0"), "entries": 2}


def made(kind: type[Input]) -> Input:
    """An input of that kind, with the fields that it must be told."""
    return kind(**{name: REQUIRED[name] for name, field in kind.model_fields.items() if field.is_required()})


def encode(texts: Any) -> Tokens:
    """Features of texts, which differ."""
    return Tokens.real(torch.stack([torch.full((L, D), float(len(text))) for text in texts]))


def examples(*rows: int, packed: bool = False, labels: bool = False) -> Examples:
    """Some examples of a training; each has its own random choices, wherever in a batch it is."""
    draws = [torch.Generator().manual_seed(row) for row in rows]
    x = torch.stack([torch.rand(3, *SHAPE.sizes, generator=draw) for draw in draws])
    told = [{"ef": 0.5 * row} if row else {} for row in rows]
    if labels:
        told = [{name: str(value) for name, value in one.items()} for one in told]
    samples = [[Example(one, "a" * (row + 1), str(row), told=t)] for row, one, t in zip(rows, x, told, strict=True)]
    images = torch.tensor([packed] * len(rows)) if packed else None
    return Examples(x=x, samples=samples, draws=draws, packed=images, encode=encode)


def leaves(given: Conditioning) -> dict[str, torch.Tensor]:
    """Every tensor by its name."""
    tokens = {
        f"{name}.{part}": getattr(value, part) for name, value in given.tokens.items() for part in ("values", "mask")
    }
    return {**tokens, **given.maps, **given.numbers}


@every_input
@pytest.mark.parametrize("packed", [False, True])
def test_a_blank_one_has_the_shapes_of_training(kind: type[Input], packed: bool) -> None:
    one = made(kind)
    labels = {"labels": kind is Label}
    told = leaves(one.of_examples(SHAPE, examples(0, 1, 2, packed=packed, **labels)))
    blank = leaves(one.blank(Extent(COUNT, SHAPE.sizes, L, D, packed=packed)))
    assert told and {name: (v.shape, v.dtype) for name, v in told.items()} == {
        n: (v.shape, v.dtype) for n, v in blank.items()
    }


@every_input
def test_an_example_is_told_the_same_in_any_batch(kind: type[Input]) -> None:
    one = made(kind)
    labels = {"labels": kind is Label}
    together = one.of_examples(SHAPE, examples(0, 1, 2, **labels))
    alone = stacked([one.of_examples(SHAPE, examples(row, **labels)) for row in range(3)])
    for name, value in leaves(together).items():
        torch.testing.assert_close(value, leaves(alone)[name], rtol=0, atol=0, equal_nan=True)


@every_input
def test_a_request_or_a_window_is_told_as_training_is(kind: type[Input]) -> None:
    one = made(kind)
    expected = {name: value.shape for name, value in leaves(one.blank(Extent(COUNT, SHAPE.sizes, L, D))).items()}
    if one.source is not None:
        video, window = torch.rand(COUNT, 3, *one.source.sizes), Window(range(1, 3), range(8), range(2, 16))
        noise = torch.randn(COUNT, 3, *SHAPE.sizes)
        whole, part = (
            one.in_window(SHAPE, video, lambda what, seen: seen.of(noise), each)
            for each in (Window.whole(SHAPE), window)
        )
        assert {name: value.shape for name, value in leaves(whole).items()} == expected
        cut = leaves(whole.window(window))
        for name, value in leaves(part).items():
            torch.testing.assert_close(value, cut[name])
        return
    try:
        asked = one.of_request(1.0, COUNT)
    except ValueError as error:
        assert one.name in str(error)  # texts are read by their encoder
    else:
        assert {name: value.shape for name, value in leaves(asked).items()} == expected


@every_input
def test_it_fits_its_stage_and_comes_back_from_json(kind: type[Input]) -> None:
    one = made(kind)
    one.check(SHAPE)
    assert Input.from_json(one.to_json()) == one
    moved = one.on(SHAPE, one.source)
    assert moved == one and moved.name == one.name


def test_the_frame_rate_is_that_of_each_video() -> None:
    draws = [torch.Generator().manual_seed(number) for number in range(3)]
    videos = {"x": torch.zeros(3, 3, *SHAPE.sizes), "samples": [], "draws": draws, "packed": None}
    batch = Examples(**videos, encode=lambda texts: None, rates=torch.tensor([8.0, 16.0, 24.0]))  # type: ignore[arg-type]
    assert FrameRate().of_examples(SHAPE, batch).numbers["fps"].tolist() == [8, 16, 24]
    assert FrameRate().of_examples(SHAPE, replace(batch, rates=None)).numbers["fps"].tolist() == [4, 4, 4]
    assert FrameRate(dropout=1.0).of_examples(SHAPE, batch).numbers["fps"].isnan().all()
