"""Words as fixed random vectors: the same on every call, alike to no other, and cut where the limit is."""

import pytest
import torch

from zoetrope.text.words import Words


def test_a_word_is_the_same_wherever_it_stands_and_no_other_is_like_it() -> None:
    encode = Words().load()
    text, mask = encode(["A red square, moving left", "red"])
    again, _ = Words().load()(["a red square, moving left"])
    assert torch.equal(text[0], again[0]) and mask.tolist() == [[True] * 6, [True] + [False] * 5]
    assert (text[1, 1:] == 0).all()
    alike = torch.cosine_similarity(text[0, :, None], text[0, None], dim=-1)
    assert (alike - torch.eye(6)).abs().max() < 0.25
    assert torch.cosine_similarity(text[0, 1], text[1, 0], dim=0) > 0.6  # "red", in two places


def test_as_many_words_as_the_width_can_be_told_apart_by_a_linear_map() -> None:
    words = [f"word{number}" for number in range(64)]
    text, _ = Words(width=64).load()(words)
    assert torch.linalg.matrix_rank(text[:, 0]) == 64


def test_what_is_beyond_the_limit_is_told() -> None:
    encode = Words(limit=3).load(dtype=torch.bfloat16)
    assert encode.cut("one two, three four") == "three four" and encode.cut("one two") == ""
    text, mask = encode(["one two, three four"])
    assert text.shape == (1, 3, 384) and mask.all() and text.dtype == torch.bfloat16
    with pytest.raises(ValueError, match="prompt: expected some text"):
        encode([" "])
