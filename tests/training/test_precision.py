"""Which type is computed in is what this machine is faster with."""

import pytest
import torch

from zoetrope.training import precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("native", "seconds", "expected"),
    [
        (True, {torch.bfloat16: 1.0, torch.float32: 2.0}, torch.bfloat16),
        (True, {torch.bfloat16: 2.0, torch.float32: 1.0}, torch.float32),
        (False, {torch.bfloat16: 1.0, torch.float32: 2.0}, torch.float32),
    ],
)
def test_bfloat16_where_it_is_native_and_faster(
    native: bool, seconds: dict[torch.dtype, float], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native}, raising=False)
    monkeypatch.setattr(precision, "matmul_seconds", lambda dtype, **options: seconds[dtype])
    precision._gains.cache_clear()
    try:
        assert precision.compute_dtype(CPU) == expected
        assert precision.compute_dtype(CPU, "bf16") == torch.bfloat16
    finally:
        precision._gains.cache_clear()


def test_the_trial_takes_time() -> None:
    assert all(precision.matmul_seconds(dtype, 64) > 0 for dtype in (torch.float32, torch.bfloat16))
