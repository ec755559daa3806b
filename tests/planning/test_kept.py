"""Counting fast is counting right: what is remembered, in memory and in files, is what the slow way gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.planning.test_plan import convolutional, finer, recipe, stage, trained
from zoetrope.cascade.execution import cost, layout
from zoetrope.cascade.execution.cost import stage_cost
from zoetrope.cascade.spec import StageSpec
from zoetrope.networks import Network, NetworkConfig
from zoetrope.networks.video_unet import VideoUNetConfig
from zoetrope.planning import count, kept, work
from zoetrope.planning.count import dry
from zoetrope.planning.devices import gpu
from zoetrope.planning.plan import StagePlan, plan_stage, rounds_of
from zoetrope.training.spec import DistilSpec, Phase

DTYPE = torch.bfloat16


def checkpointed() -> StageSpec:
    one = finer()
    return one.with_(network=one.network.with_(checkpointing=True))


def distilled() -> Any:
    """Every round of a distillation, counted."""
    lesson = Phase(examples=12, batch=4)
    spec = DistilSpec(start=4, steps=1, guidance=lesson, halving=lesson, last=lesson)
    made = recipe().with_(distillation={"base": spec})
    return [work.training(student, spec, DTYPE) for student, spec in rounds_of(made, "base")]


COUNTS: dict[str, Callable[[], Any]] = {
    "sampling": lambda: work.sampling(stage(guidance=2.0), DTYPE),
    "attention": lambda: work.sampling(finer(), torch.float32),
    "parts": lambda: work.sampling(convolutional(), DTYPE, stage_cost(convolutional(), 1, 24, 16).peak(16 * 60 * 60)),
    "training": lambda: work.training(stage(), trained(accumulate=2), torch.float32),
    "checkpointed": lambda: work.training(checkpointed(), trained(), DTYPE),
    "muon": lambda: work.training(finer(), trained(optimizer="muon"), DTYPE),
    "distillation": distilled,
}


def told(value: Any) -> Any:
    """All of a count, with the order of its operations, on which sums of their prices depend."""
    if isinstance(value, dict):
        return list(value.items())
    return [told(each) for each in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("name", COUNTS)
def test_what_is_remembered_is_what_is_counted_the_slow_way(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count, "_known", {})
    with monkeypatch.context() as slow:
        slow.setattr(count, "LARGEST", 0)
        expected = told(COUNTS[name]())
        assert not count._known
    assert told(COUNTS[name]()) == expected
    learnt = len(count._known)
    assert told(COUNTS[name]()) == expected
    assert 50 < learnt == len(count._known)


def test_shapes_types_and_places_are_told_apart() -> None:
    with dry():
        for _ in range(2):
            x = torch.zeros(4, 6)
            y = x[1:3]
            assert y.untyped_storage()._cdata == x.untyped_storage()._cdata
            assert (y.storage_offset(), y[1:].storage_offset(), y.t().stride()) == (6, 12, (1, 6))
            assert x.mul(2).dtype == torch.float32 and x.long().mul(2).dtype == torch.int64
            assert x.long().mul(2.0).dtype == torch.float32
            assert x.add_(1) is x
            assert x.unsqueeze_(0).shape == (1, 4, 6) and x.squeeze_(0).shape == (4, 6)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[NetworkConfig]:
    """Which networks were built, on whatever device."""
    made: list[NetworkConfig] = []
    build = VideoUNetConfig.build

    def counted(self: VideoUNetConfig) -> Network:
        made.append(self)
        return build(self)

    monkeypatch.setattr(VideoUNetConfig, "build", counted)
    return made


def planned() -> StagePlan:
    """The plan of a stage that can run in tiles, with its training."""
    return plan_stage(convolutional(), gpu("h100"), trained())


def test_a_network_is_built_once_for_all_questions_about_memory(built: list[NetworkConfig]) -> None:
    for cached in (cost._built, cost.stage_cost, cost.call_bytes):
        cached.cache_clear()
    one = convolutional()
    for batch in (1, 2):
        for device in ("cpu", "cuda"):
            layout.least_memory(one, batch, 24, torch.device(device))
    assert built == [one.network]


def test_memory_may_be_asked_for_inside_a_dry_run() -> None:
    one = convolutional()
    plain = layout.least_memory(one, 1, 24, torch.device("cpu"))
    for cached in (cost.stage_cost, cost.call_bytes):
        cached.cache_clear()
    with dry():
        assert layout.least_memory(one, 1, 24, torch.device("cpu")) == plain
    cost.stage_cost.cache_clear()
    assert layout.least_memory(one, 1, 24, torch.device("cpu")) == plain


def test_counts_are_read_again(built: list[NetworkConfig], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path))
    first = planned()
    assert len(built) > 1
    built.clear()
    assert planned() == first and not built
    for file in (tmp_path / "plans").iterdir():
        total, _, text = file.read_bytes().partition(b"\n")
        file.write_bytes(total + b"\n" + text.translate(bytes.maketrans(b"12345", b"23451")))
    assert planned() == first and built
    built.clear()
    assert planned() == first and not built
    for file in (tmp_path / "plans").iterdir():
        file.write_bytes(b"\xff")
    assert planned() == first and built


def test_a_count_is_kept_under_all_that_it_depends_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path))

    def files() -> int:
        return len(list((tmp_path / "plans").iterdir()))

    one, spec = stage(), trained()
    kept.training(one, spec, DTYPE)
    for case in ((one, spec, torch.float32), (one, trained(clip=2.0), DTYPE), (stage(guidance=1.0), spec, DTYPE)):
        before = files()
        assert told(kept.training(*case)) == told(work.training(*case))
        assert files() == before + 1
    with monkeypatch.context() as other:
        other.setattr(kept, "_code", lambda: "other code")
        kept.training(one, spec, DTYPE)
    assert files() == 5
    kept.sampling(one, DTYPE, None)  # as much as can be spared now: another time something else
    assert files() == 5


@pytest.mark.parametrize("folder", ["file", "\0"])
def test_a_cache_that_cannot_be_used(folder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    first = planned()
    monkeypatch.setattr(kept, "_folder", lambda: tmp_path / folder / "plans")
    assert planned() == first


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path))
    monkeypatch.setattr(kept, "MOST", 2)
    for number in range(4):
        kept._write(str(number), number)
    assert len(list((tmp_path / "plans").iterdir())) == 2 and kept._read("3") == 3
