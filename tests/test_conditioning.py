"""What a network is told: every operation does to each family what it says."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoetrope.conditioning import Conditioning, Tokens, stacked
from zoetrope.shapes import Window

B, F, H, W = 3, 4, 2, 5


def everything(count: int = B, seed: int = 0, *, each_frame: bool = False) -> Conditioning:
    """Some of every family, with or without a value for each frame."""
    draw = torch.Generator().manual_seed(seed)
    lead = (count, F) if each_frame else (count,)
    return Conditioning(
        tokens={"text": Tokens(torch.randn(*lead, 6, 7, generator=draw), torch.rand(*lead, 6, generator=draw) > 0.3)},
        maps={"low_res": torch.randn(count, 2, F, H, W, generator=draw)},
        numbers={"low_res_logsnr": torch.randn(lead, generator=draw)},
        times=torch.rand(count, F, generator=draw),
        images=torch.rand(count, generator=draw) > 0.5,
    )


def leaves(given: Conditioning) -> dict[str, torch.Tensor]:
    """Every tensor by its path."""
    found = {"times": given.times, "images": given.images}
    for name, tokens in given.tokens.items():
        found |= {f"{name}.values": tokens.values, f"{name}.mask": tokens.mask}
    return {name: value for name, value in {**found, **given.maps, **given.numbers}.items() if value is not None}


def expect_equal(one: Conditioning, other: Conditioning) -> None:
    first, second = leaves(one), leaves(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("each_frame", [False, True])
def test_rows_are_taken_and_put_together_again(each_frame: bool) -> None:
    told = everything(each_frame=each_frame)
    rows = [told.select(torch.tensor([row])) for row in range(B)]
    assert all(len(value) == 1 for row in rows for value in leaves(row).values())
    expect_equal(stacked(rows), told)
    expect_equal(told.select(torch.tensor([2, 0])), stacked([rows[2], rows[0]]))
    assert stacked([told]) is told


def test_what_is_stacked_has_the_same_inputs() -> None:
    told = everything()
    with pytest.raises(ValueError, match="expected the same inputs in all"):
        stacked([told, Conditioning(tokens=told.tokens)])
    for name in ("times", "images"):
        nothing: dict[str, Any] = {name: None}
        lacking = replace(told, **nothing)
        for several in ([told, lacking], [lacking, told]):
            with pytest.raises(ValueError, match=f"{name}: expected them in all or in none, got them in some"):
                stacked(several)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, F - 1), st.integers(1, F), st.integers(0, W - 1), st.booleans())
def test_a_window_of_a_window_is_that_of_the_whole(start: int, length: int, column: int, each_frame: bool) -> None:
    told = everything(each_frame=each_frame)
    window = Window(range(start, min(F, start + length)), range(H), range(column, W))
    part = told.window(window)
    frames, size = len(window.frames), (len(window.frames), H, W - column)
    assert torch.equal(part.maps["low_res"], told.maps["low_res"][:, :, start : start + frames, :, column:])
    assert part.maps["low_res"].shape[2:] == size
    assert part.times is not None and told.times is not None
    assert torch.equal(part.times, told.times[:, start : start + frames])
    for name in ("text.values", "text.mask", "low_res_logsnr"):
        whole = leaves(told)[name]
        assert torch.equal(leaves(part)[name], whole[:, start : start + frames] if each_frame else whole)
    assert part.images is told.images


@pytest.mark.parametrize("each_frame", [False, True])
def test_frames_are_taken_in_any_order(each_frame: bool) -> None:
    told = everything(each_frame=each_frame)
    expect_equal(told.at_frames(range(1, F)), told.window(Window(range(1, F), range(H), range(W))))
    part = told.at_frames([F - 1, 0])
    assert torch.equal(part.maps["low_res"], told.maps["low_res"][:, :, [F - 1, 0]])
    for name in ("text.values", "text.mask", "low_res_logsnr"):
        whole = leaves(told)[name]
        assert torch.equal(leaves(part)[name], whole[:, [F - 1, 0]] if each_frame else whole)
    assert part.times is not None and told.times is not None and torch.equal(part.times, told.times[:, [F - 1, 0]])


def test_of_both_the_latter_counts() -> None:
    first, second = everything(seed=1), everything(seed=2)
    expect_equal(first | second, second)
    expect_equal(Conditioning() | first, first)
    expect_equal(first | Conditioning(), first)
    mixed = first | Conditioning(numbers={"speed": torch.ones(B)})
    assert mixed.names == {"text", "low_res", "low_res_logsnr", "speed"} and mixed.tokens == first.tokens


def test_a_blank_one_has_the_shapes_and_types_of_what_it_is_made_from() -> None:
    told, blank = everything(), everything().blank(5)
    assert blank.names == told.names
    for name, value in leaves(blank).items():
        assert value.shape == (5, *leaves(told)[name].shape[1:]) and value.dtype == leaves(told)[name].dtype
        assert torch.equal(value[0], torch.arange(value.shape[1]).to(value)) if name == "times" else not value.any()


def test_only_numbers_change_their_type() -> None:
    moved = leaves(everything().to(torch.device("cpu"), torch.float64))
    assert {value.dtype for value in moved.values()} == {torch.float64, torch.bool}
    assert [name for name, value in moved.items() if value.dtype == torch.bool] == ["images", "text.mask"]


@pytest.mark.parametrize("each_frame", [False, True])
def test_tokens_are_hidden_in_some_examples_or_in_all(each_frame: bool) -> None:
    told = everything(each_frame=each_frame)
    some = told.without("text", torch.tensor([True, False, True]))
    assert not some.tokens["text"].mask[[0, 2]].any()
    assert torch.equal(some.tokens["text"].mask[1], told.tokens["text"].mask[1])
    assert torch.equal(some.tokens["text"].values, told.tokens["text"].values)
    assert not told.without("text").tokens["text"].mask.any()
    assert told.without("picture") is told


def test_what_is_lacking_is_of_no_family() -> None:
    told = everything()
    for name in told.names:
        assert told.lacking(name).names == told.names - {name}
        kept = {path: value for path, value in leaves(told).items() if path.partition(".")[0] != name}
        assert leaves(told.lacking(name)) == kept  # the same tensors
    assert leaves(told.lacking("nothing")) == leaves(told)


def test_a_mask_has_a_value_for_each_token() -> None:
    with pytest.raises(ValueError, match=r"mask: expected shape \(2, 3\), one value for each token, got \(2, 4\)"):
        Tokens(torch.zeros(2, 3, 5), torch.ones(2, 4, dtype=torch.bool))
    assert Tokens.real(torch.zeros(2, 3, 5)).mask.all()
