"""Which type is computed in is what this machine is faster with, found once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from zoetrope.models import precision

CPU = torch.device("cpu")
FASTER = {torch.bfloat16: 1.0, torch.float32: 2.0}
SLOWER = {torch.bfloat16: 2.0, torch.float32: 1.0}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, bool]]:
    """The features of this machine's CPU, with a cache folder of its own."""
    features: dict[str, bool] = {}
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features, raising=False)
    precision._gains.cache_clear()
    yield features
    precision._gains.cache_clear()


def found(monkeypatch: pytest.MonkeyPatch, seconds: dict[torch.dtype, float]) -> torch.dtype:
    """What a new process finds if products take so long."""
    precision._gains.cache_clear()
    monkeypatch.setattr(precision, "matmul_seconds", lambda dtype, **options: seconds[dtype])
    return precision.compute_dtype(CPU)


@pytest.mark.parametrize(
    ("native", "seconds", "expected"),
    [(True, FASTER, torch.bfloat16), (True, SLOWER, torch.float32), (False, FASTER, torch.float32)],
)
def test_bfloat16_where_it_is_native_and_faster(
    native: bool,
    seconds: dict[torch.dtype, float],
    expected: torch.dtype,
    machine: dict[str, bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine["avx512_bf16"] = native
    assert found(monkeypatch, seconds) == expected
    assert precision.compute_dtype(CPU, "bf16") == torch.bfloat16


@pytest.mark.parametrize(("first", "second"), [(FASTER, SLOWER), (SLOWER, FASTER)])
def test_what_was_found_once_is_kept(
    first: dict[torch.dtype, float],
    second: dict[torch.dtype, float],
    machine: dict[str, bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under load, or with other numbers of threads, the next process would find another type."""
    machine["avx512_bf16"] = True
    settled = found(monkeypatch, first)
    assert found(monkeypatch, second) == settled
    [file] = (Path(os.environ["ZOETROPE_CACHE"]) / "precision").iterdir()
    assert file == precision.settled_file(["avx512_bf16"])
    file.write_text("{")  # damaged: found again, and kept again
    assert found(monkeypatch, second) != settled
    assert found(monkeypatch, first) != settled
    file.unlink()
    assert found(monkeypatch, first) == settled


@pytest.mark.parametrize(("feature", "expected"), [("avx512_bf16", torch.float32), ("amx_bf16", torch.bfloat16)])
def test_a_rule_where_it_cannot_be_kept(
    feature: str, expected: torch.dtype, machine: dict[str, bool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path / "file"))
    machine[feature] = True
    assert found(monkeypatch, FASTER) == found(monkeypatch, SLOWER) == expected


def test_the_trial_takes_time() -> None:
    assert all(precision.matmul_seconds(dtype, 64) > 0 for dtype in (torch.float32, torch.bfloat16))
