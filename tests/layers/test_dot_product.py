"""Attention by plain products against PyTorch's own in float64."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from zoetrope.layers.dot_product import attention


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
