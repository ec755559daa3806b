"""Counting fast is counting right: it gives what PyTorch's own way gives, and what is kept in files is that."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.planning.test_plan import convolutional, finer, recipe, stage, trained
from zoetrope.cascade.execution import cost, layout
from zoetrope.cascade.execution.cost import stage_cost
from zoetrope.cascade.execution.dry import Dry, bare
from zoetrope.cascade.execution.meter import Meter
from zoetrope.cascade.spec import StageSpec
from zoetrope.networks import Network, NetworkConfig
from zoetrope.networks.video_unet import VideoUNetConfig
from zoetrope.planning import kept, work
from zoetrope.planning.count import Operation, dry, operation_of
from zoetrope.planning.devices import gpu
from zoetrope.planning.plan import StagePlan, plan_stage, rounds_of
from zoetrope.training.spec import DistilSpec, Phase

DTYPE = torch.bfloat16
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


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


class OfPyTorch(TorchDispatchMode):
    """PyTorch's own tensors without data; 1 where code asks for a value."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1.0 if args[0].dtype.is_floating_point else 1
        return func(*args, **(kwargs or {}))


def work_of(func: Any, *call: Any) -> Operation | None:
    """What is counted, without the questions that PyTorch asks about its tensors."""
    return None if func.namespace == "prim" else operation_of(func, *call)


@contextmanager
def dry_of_pytorch() -> Iterator[Meter[Operation]]:
    with FakeTensorMode(), OfPyTorch(), Meter(work_of) as meter:
        yield meter


def worth(value: Any) -> Any:
    """A count without the operations on a number or two, which are PyTorch's own affair, in any order."""
    if isinstance(value, Counter):
        return {key: n for key, n in value.items() if key.moved > 8}
    return [worth(each) for each in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("name", [name for name in COUNTS if name != "parts"])  # which runs a layout's count inside
def test_counts_are_those_of_pytorch_s_own_tensors_without_data(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = worth(COUNTS[name]())
    monkeypatch.setattr(work, "dry", dry_of_pytorch)
    assert worth(COUNTS[name]()) == quick


def test_tensors_without_data_are_like_others() -> None:
    with dry():
        x = torch.zeros(4, 6)
        assert (x.device.type, x.dtype, float(x.sum()), bool(x.any())) == ("cpu", torch.float32, 1, True)
        assert x[1:3].storage_offset() == 6 and x[1:3][1:].storage_offset() == 12 and x.t().stride() == (1, 6)
        assert x.mul(2).dtype == torch.float32 and x.long().mul(2).dtype == torch.int64
        assert x.long().mul(2.0).dtype == torch.float32 and (x > 0).mul(2).dtype == torch.int64
        assert x.add_(1) is x
        layer = torch.nn.Linear(6, 5)
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x)
        y.sum().backward()
        gradient = layer.weight.grad
        assert y.dtype == torch.bfloat16 and gradient is not None and gradient.dtype == torch.float32
        assert gradient.shape == (5, 6)


RESHAPES: list[Callable[[Tensor], Tensor]] = [
    lambda x: x.unsqueeze_(0),
    lambda x: x[None].squeeze_(),
    lambda x: x[None].squeeze_(0).t_(),
    lambda x: x.transpose_(0, 1),
    lambda x: x.swapaxes_(1, 0).unsqueeze_(1),
    lambda x: x.as_strided_((3, 2), (6, 2), 1),
    lambda x: x.detach_(),
]


@pytest.mark.parametrize("number", range(len(RESHAPES)))
def test_tensors_without_data_change_their_shape_in_place(number: int) -> None:
    reshape, real = RESHAPES[number], torch.zeros(4, 6)
    want = reshape(real)
    with dry() as meter:
        held = torch.zeros(4, 6)
        got = reshape(held)
        assert meter.live.now == 4 * 4 * 6
        assert (got is held) == (want is real) and bare(got).shape == got.shape
        for one, other in ((got, want), (held, real), (got + 1, want + 1)):
            assert (one.shape, one.stride()) == (other.shape, other.stride())
            assert one.storage_offset() == other.storage_offset()


def test_tensors_without_data_keep_their_memory() -> None:
    with dry():
        x = torch.zeros(4, 6)
        for change in (lambda: x.resize_(8, 8), lambda: x.set_(torch.zeros(3)), lambda: x.resize_as_(torch.zeros(3))):
            with pytest.raises(NotImplementedError, match=r"keeps its memory, got aten.*: make a new"):
                change()
        assert x.shape == (4, 6)


def test_a_tensor_with_data_is_without_in_a_dry_run() -> None:
    real = torch.ones(4, 6)
    with dry() as meter:
        made = real + torch.ones(6)
        changed = made.add_(real)
        assert type(made) is Dry and made.shape == (4, 6) and changed is made
        assert meter.live.now == 4 * 4 * 6
    assert real.eq(1).all()


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
    kept.sampling(one, DTYPE, None, CPU)  # as much as can be spared now: another time something else
    assert files() == 5
    cases = ((10**9, CPU, None), (10**9, CUDA, None), (None, CUDA, 10**9), (None, CUDA, 2 * 10**9))
    for number, (memory, device, card) in enumerate(cases, start=6):
        assert told(kept.sampling(one, DTYPE, memory, device, card))[:4] == told(work.sampling(one, DTYPE))[:4]
        assert files() == number


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
        kept._store(str(number), number)
    assert len(list((tmp_path / "plans").iterdir())) == 2 and kept._stored("3") == 3
