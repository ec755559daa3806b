"""Attention by plain products against PyTorch's own in float64."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from zoetrope.layers.dot_product import attention, attention_by_length
from zoetrope.layers.tokens import Over, TokenAttention


def drawn(length: int) -> Tensor:
    return torch.randn(3, 2, length, 8, requires_grad=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("how", ["all", "masked", "causal"])
def test_attention_is_that_of_float64(dtype: torch.dtype, how: str) -> None:
    torch.manual_seed(0)
    keys = 5 if how == "causal" else 7
    given = [drawn(5), drawn(keys), drawn(keys)]
    mask = torch.rand(3, 1, 5, 7) < 0.6
    mask[..., 0] = True
    seen = mask if how == "masked" else None
    expected = scaled_dot_product_attention(*(x.double() for x in given), attn_mask=seen, is_causal=how == "causal")
    weight = torch.randn_like(expected)
    wanted = torch.autograd.grad((expected * weight).sum(), given)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        made = attention(*(x.to(dtype) for x in given), seen, causal=how == "causal")
    assert made.dtype == dtype
    found = torch.autograd.grad((made.double() * weight).sum(), given)
    tolerance = {torch.bfloat16: 4e-2, torch.float16: 5e-3, torch.float32: 1e-5, torch.float64: 1e-6}[dtype]
    for one, other in zip((made.double(), *found), (expected, *wanted), strict=True):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance, check_dtype=False)


@pytest.mark.parametrize("lengths", [(5,), (1, 4, 2), (3, 3)])
def test_sequences_one_after_the_other_are_separate(lengths: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, sum(lengths), 2, 8, dtype=torch.float64)
    made = attention_by_length(q, k, v, lengths)
    of = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    rows = (x.transpose(0, 1)[None] for x in (q, k, v))
    expected = scaled_dot_product_attention(*rows, attn_mask=of[:, None] == of)
    torch.testing.assert_close(made, expected[0].transpose(0, 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("over", ["space", "time", "both"])
def test_clips_as_one_sequence_are_separate_clips(over: Over) -> None:
    """What a GPU computes in one call, here sequence by sequence."""
    torch.manual_seed(0)
    layer, shapes = TokenAttention(16, 2, over), [(2, 3, 4, 6), (1, 1, 2, 2), (1, 5, 2, 4)]
    given = [tuple(torch.randn(3, *shape, 2, 8, dtype=torch.float64)) for shape in shapes]
    for made, each in zip(layer.together(given), given, strict=True):
        torch.testing.assert_close(made, layer._attended(*each, None), rtol=0, atol=1e-10)
