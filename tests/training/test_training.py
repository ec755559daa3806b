"""Training of tiny stages: what resuming is, and that something is learnt."""

import json
import math
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from zoetrope.data import Dataset, Example
from zoetrope.shapes import VideoShape, Window
from zoetrope.training.batch import Batch
from zoetrope.training.learner import loss_of
from zoetrope.training.loop import Run
from zoetrope.training.spec import Phase

from .stages import CPU, batches, recipe


def weights(run: Run) -> dict[str, Tensor]:
    both = (("model", run.state.network), ("average", run.state.average))
    named = {f"{which}.{name}": v.clone() for which, net in both for name, v in net.state_dict().items()}
    for name, parameter in run.state.network.named_parameters():
        for optimizer in run.state.student.optimizers:
            state = optimizer.state.get(parameter, {})
            named |= {f"optimizer.{name}.{key}": torch.as_tensor(value).clone() for key, value in state.items()}
    return named


@pytest.mark.parametrize(("name", "optimizer"), [("base", "adamw"), ("base", "muon"), ("ssr1", "adamw")])
def test_a_resumed_training_is_the_same_bit_for_bit(cache: Path, tmp_path: Path, name: str, optimizer: str) -> None:
    own = recipe(
        phases=(Phase(examples=24, batch=4), Phase(examples=16, batch=3, images=0.4 if name == "base" else 0)),
        optimizer=optimizer,
    )
    whole = Run(own, name, tmp_path / "whole", CPU)
    for _ in whole.train(cache):
        pass
    broken = Run(own, name, tmp_path / "broken", CPU)
    for progress in (reports := broken.train(cache)):
        if progress.examples >= 16:
            reports.close()  # type: ignore[attr-defined]
            break
    torch.manual_seed(123)
    again = Run(own, name, tmp_path / "broken", CPU)
    assert 16 <= again.state.examples < 40
    for _ in again.train(cache):
        pass
    left, right = weights(whole), weights(again)
    assert left.keys() == right.keys()
    assert [key for key in left if not torch.equal(left[key], right[key])] == []
    lines = [(tmp_path / where / "metrics.jsonl").read_text().splitlines() for where in ("whole", "broken")]
    examples = [[json.loads(line)["examples"] for line in file] for file in lines]
    assert examples[1] == sorted(set(examples[1])) and examples[1][-1] == examples[0][-1] == 40


def test_one_batch_is_learnt_by_heart(cache: Path, tmp_path: Path) -> None:
    run = Run(recipe(warm_up=0, phases=(Phase(examples=10**6, batch=4, peak=5e-3),)), "base", tmp_path, CPU)
    batch = batches(cache).at(0)
    first = run._learn(batch)[0]
    for _ in range(200):
        loss = run._learn(batch)[0]
    assert loss < first / 5


def test_moving_average_of_the_weights(cache: Path, tmp_path: Path) -> None:
    run = Run(recipe(half_life=2, warm_up=0, phases=(Phase(examples=400, batch=4),)), "base", tmp_path, CPU)
    batch = batches(cache).at(0)
    expected = {name: p.detach().clone() for name, p in run.state.average.named_parameters()}
    for _ in range(12):
        run._learn(batch)
        keep = 0.5 ** (4 / max(1.0, min(2.0, 0.1 * run.state.examples)))
        for name, parameter in run.state.network.named_parameters():
            expected[name] = keep * expected[name] + (1 - keep) * parameter.detach()
    for name, parameter in run.state.average.named_parameters():
        assert not parameter.requires_grad
        torch.testing.assert_close(parameter, expected[name], rtol=0, atol=1e-6)


def gradients(run: Run, batch: Batch) -> dict[str, Tensor]:
    """What one step would follow, without following it."""
    seen: dict[str, Tensor] = {}

    def update(player: str) -> None:
        seen.update({name: p.grad.clone() for name, p in run.state.network.named_parameters() if p.grad is not None})

    run.state.update = update  # type: ignore[assignment,method-assign]
    run._learn(batch)
    return seen


@pytest.mark.parametrize("parts", [2, 3, 9])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(cache: Path, tmp_path: Path, parts: int) -> None:
    batch = batches(cache, "ssr1").at(0)
    found = []
    for accumulate in (1, parts):
        run = Run(recipe(accumulate=accumulate), "ssr1", tmp_path / str(accumulate), CPU)
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in run.state.network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        found.append(gradients(run, batch))
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-3, atol=1e-5)


def test_a_loss_that_is_not_finite_changes_nothing_and_many_are_an_error(cache: Path, tmp_path: Path) -> None:
    run = Run(recipe(), "base", tmp_path, CPU)
    good = batches(cache).at(0)
    bad = replace(good, x=good.x * math.nan)
    run._learn(good)
    before = weights(run)
    assert math.isnan(run._learn(bad)[0])
    after = weights(run)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert run.state.examples == 8
    run._learn(good)  # ends the streak
    for _ in range(run.spec.patience - 1):
        run._learn(bad)
    with pytest.raises(FloatingPointError, match=f"{run.spec.patience} times in a row"):
        run._learn(bad)


class Watched(Dataset):
    """A data set that notes which threads read it."""

    def __init__(self, inner: Dataset):
        self.inner, self.threads = inner, set[int]()

    def captions(self) -> list[str]:
        return self.inner.captions()

    def part(self, index: int, shape: VideoShape, window: Window) -> Example:
        self.threads.add(threading.get_ident())
        return self.inner.part(index, shape, window)

    def example(self, index: int, shape: VideoShape) -> Example:
        return self.part(index, shape, Window.whole(shape))


def test_one_thread_reads_the_data_for_batches_and_sheets(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(recipe(phases=(Phase(examples=8, batch=4),), sample_every=4), "base", tmp_path, CPU)
    watched = Watched(run.spec.data.open())
    monkeypatch.setattr(type(run.spec.data), "open", lambda self: watched)
    for _ in run.train(cache):
        pass
    assert len(list((tmp_path / "samples").glob("*.png"))) == 2
    assert len(watched.threads) == 1 and threading.get_ident() not in watched.threads


def test_the_public_loss_is_the_one_that_is_trained_on(tmp_path: Path) -> None:
    """Whatever part of a batch it is asked for."""
    run = Run(recipe(accumulate=3, balance=True), "base", tmp_path / "run", CPU)
    batch = batches(tmp_path).at(0)
    own = loss_of(run.state.network, batch, run.stage, run.spec, CPU)
    assert own.shape == (4,) and own.requires_grad
    trained_on = run._learn(batch).errors
    assert torch.allclose(own, trained_on, rtol=1e-5)
