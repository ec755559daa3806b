"""Several networks in one training: whom gradients reach, when each learns, their files, and exact resume."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.networks import NetworkConfig
from zoetrope.planning.work import training
from zoetrope.training.batch import Batch, Batches
from zoetrope.training.learner import Learner, frozen, lesson_of, loss_of
from zoetrope.training.loop import Run
from zoetrope.training.objectives import AVERAGE, STUDENT, Lesson, Objective, Players, PlayerSpec
from zoetrope.training.objectives.denoise import Denoising
from zoetrope.training.pieces import Stored
from zoetrope.training.spec import Recipe
from zoetrope.training.state import read_metrics

from .conftest import Tiny
from .stages import batches
from .test_parallel import FIELDS, entry, losses, together

pytestmark = pytest.mark.first

CPU = torch.device("cpu")
FILES = ["average", "critic", "critic-average", "critic-optimizer", "errors", "model", "optimizer"]


def hinge(**fields: Any) -> Objective:
    return Objective.from_json({"type": "hinge", "critic": {"type": "frame_critic"}, **fields})


def contents(run: Path) -> dict[str, dict[str, Tensor]]:
    """All tensors of a run's newest checkpoint, whole, by part."""
    newest = find_checkpoints(run / "checkpoints")[-1]
    assert int(newest.name) in (21, 24)
    stored = [Stored(newest, path.stem) for path in newest.iterdir() if path.suffix != ".json"]
    return {one.path.stem: {name: one.read(name) for name in one.names()} for one in stored}


def same(left: Path, right: Path) -> None:
    ours, theirs = contents(left), contents(right)
    assert sorted(ours) == sorted(theirs) == FILES
    for part, tensors in ours.items():
        assert tensors.keys() == theirs[part].keys() and tensors
        assert [name for name, value in tensors.items() if not torch.equal(value, theirs[part][name])] == []


def batch_of(run: Run, cache: Path) -> Batch:
    texts = batches(cache).texts
    return Batches(stage=run.stage, spec=run.spec, dataset=run.spec.data.open(), texts=texts).at(0)


def weights(run: Run, player: str) -> list[Tensor]:
    return [weight.detach().clone() for weight in run.state.players[player].network.parameters()]


def equal(left: list[Tensor], right: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def begun(tiny: Tiny, folder: Path, **fields: Any) -> Run:
    """A run whose student is not at its beginning, where it outputs zeros."""
    run = Run(tiny(**fields), "base", folder, CPU)
    torch.manual_seed(1)
    with torch.no_grad():
        for player in run.state.players.values():
            for parameter in player.network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return run


def test_a_critic_and_its_student_are_resumed_bit_for_bit(
    tiny: Tiny, trained: Callable[..., Run], tmp_path: Path
) -> None:
    recipe = tiny(objective=hinge(turn=2), balance=True, accumulate=2, log_every=4)
    trained(recipe, "whole")
    trained(recipe, "parts", until=8)
    torch.manual_seed(5)
    trained(recipe, "parts", until=16)
    for checkpoint in (tmp_path / "parts/checkpoints").iterdir():  # as a kill leaves it
        if int(checkpoint.name) > 12:
            shutil.rmtree(checkpoint)
    trained(Recipe.from_json(json.dumps(recipe.to_json())), "parts")
    same(tmp_path / "whole", tmp_path / "parts")
    newest = find_checkpoints(tmp_path / "whole/checkpoints")[-1]
    assert sorted(path.name for path in newest.glob("*.safetensors")) == sorted(f"{name}.safetensors" for name in FILES)
    lines = read_metrics(tmp_path / "whole/metrics.jsonl")
    assert [sorted(line.get("losses_beside", {})) for line in lines] == [["critic"], []] * 3


def test_gradients_reach_the_player_that_learns_alone(tiny: Tiny, tmp_path: Path) -> None:
    found = []
    for strength in (0.0, 0.5):
        run = begun(tiny, tmp_path / str(strength), objective=hinge(strength=strength))
        batch = batch_of(run, tmp_path)
        critic = run.state.players["critic"].network
        run.learner.gradients(STUDENT, batch, 1)
        assert all(weight.grad is None and weight.requires_grad for weight in critic.parameters())
        gradient = [weight.grad for weight in run.state.network.parameters() if weight.grad is not None]
        found.append(torch.cat([one.flatten() for one in gradient]))
        run.state.skip(0)
        run.learner.gradients("critic", batch, 1)
        assert all(weight.grad is None and weight.requires_grad for weight in run.state.network.parameters())
        assert all(weight.grad is not None and weight.grad.any() for weight in critic.parameters() if weight.ndim > 1)
    assert float((found[0] - found[1]).abs().max()) > 1e-4  # through the critic


def test_each_learns_in_its_turn_at_its_rate(tiny: Tiny, tmp_path: Path) -> None:
    run = begun(tiny, tmp_path, objective=hinge(turn=3))
    batch = batch_of(run, tmp_path)
    learnt = []
    for _ in range(5):
        before = weights(run, "critic")
        student = weights(run, STUDENT)
        outcome = run._learn(batch)
        learnt.append(not equal(before, weights(run, "critic")))
        assert not equal(student, weights(run, STUDENT)) and outcome.player == STUDENT
        assert list(outcome.beside) == (["critic"] if learnt[-1] else [])
    assert learnt == [True, False, False, True, False]
    rates = [player.optimizers[0].param_groups[0]["lr"] for player in run.state.players.values()]
    assert rates == [1e-3, 2e-3]


def test_who_is_not_finite_does_not_learn_nor_those_after_it(tiny: Tiny, tmp_path: Path) -> None:
    run = begun(tiny, tmp_path, objective=hinge())
    batch = batch_of(run, tmp_path)
    before = [weights(run, name) for name in (STUDENT, "critic")]
    outcome = run._learn(replace(batch, x=batch.x * math.nan))
    assert outcome.player == "critic" and math.isnan(outcome.loss) and run.state.examples == 4
    assert all(equal(*pair) for pair in zip(before, (weights(run, STUDENT), weights(run, "critic")), strict=True))
    assert json.loads((tmp_path / "bad/000000000.json").read_text())["player"] == "critic"
    assert not any(p.grad is not None for player in run.state.players.values() for p in player.network.parameters())


class Steady(Objective):
    """The student is to output what its moving average does."""

    def __call__(self, stage: StageSpec, lesson: Lesson, players: Players) -> Tensor:
        question = Denoising().question(stage, lesson)
        answer = question.output(players[AVERAGE], lesson)
        assert not answer.requires_grad
        return question._replace(answer=answer).errors(stage, lesson, question.output(players[STUDENT], lesson))


def test_a_student_learns_from_its_average(tiny: Tiny, tmp_path: Path) -> None:
    run = Run(tiny(), "base", tmp_path, CPU)
    spec = run.spec.with_(objective=Steady())
    learner, batch = Learner(run.stage, spec, run.state.players, CPU), batch_of(run, tmp_path)
    lesson = lesson_of(batch, spec, CPU)
    assert not learner.errors(STUDENT, lesson).any()
    with torch.no_grad():
        next(iter(run.state.average.parameters())).add_(0.5)
        for parameter in run.state.network.parameters():
            parameter.add_(0.1)
    errors = learner.errors(STUDENT, lesson)
    assert (errors > 0).all()
    errors.sum().backward()
    assert all(weight.grad is None for weight in run.state.average.parameters())
    with pytest.raises(ValueError, match="expected a tensor without a graph"):
        frozen(run.state.average, torch.float32)(batch.x.requires_grad_(), torch.zeros(4), lesson.given)


def test_frames_without_a_loss(tiny: Tiny, tmp_path: Path) -> None:
    run = begun(tiny, tmp_path)
    whole = batch_of(run, tmp_path)
    assert whole.counted is None
    counted = torch.tensor([[True, False]] * 4)
    first, all_of_it = (replace(whole, counted=frames) for frames in (counted, torch.ones_like(counted)))
    network = run.state.network

    def loss(batch: Batch) -> Tensor:
        return loss_of(network, batch, run.stage, run.spec, CPU)

    assert torch.equal(loss(whole), loss(all_of_it))
    second = replace(first, counted=~counted)
    torch.testing.assert_close((loss(first) + loss(second)) / 2, loss(whole))
    assert ((loss(first) - loss(whole)).abs() > 1e-3).any()
    seen = [run.learner.gradients(STUDENT, batch, 1) for batch in (first, first.select(torch.arange(4)))]
    torch.testing.assert_close(seen[0], loss(first).detach())
    assert torch.equal(seen[0], seen[1])
    assert not loss(replace(first, counted=torch.zeros(4, 2, dtype=torch.bool))).any()


def test_a_checkpoint_without_the_critic_is_refused(tiny: Tiny, trained: Callable[..., Run], tmp_path: Path) -> None:
    trained(tiny(), "run")
    with pytest.raises(ValueError, match=r"000000024: expected 'critic', which the objective trains too"):
        trained(tiny(objective=hinge()), "run")
    assert [path.name for path in find_checkpoints(tmp_path / "run/checkpoints")] == ["000000016", "000000024"]
    trained(tiny(objective=hinge()), "with")
    assert trained(tiny(), "with").state.examples == 24  # the student alone


class Named(Denoising):
    """A player by a name that is taken."""

    def players(self, stage: StageSpec) -> dict[str, PlayerSpec]:
        return {"average2": PlayerSpec(network=stage.network)}


def test_what_a_player_cannot_be(tiny: Tiny, tmp_path: Path) -> None:
    recipe = tiny()
    spec = recipe.training["base"].with_(objective=Named())
    made = recipe.with_(training={"base": spec})
    with pytest.raises(ValueError, match=r"training\.base\.objective: expected a player .*, got 'average2'"):
        Run(made, "base", tmp_path, CPU)
    with pytest.raises(ValueError, match="weights: expected a file, got none"):
        PlayerSpec(network=recipe.cascade.stages[0].network, learns=False)


class Averaged(Denoising):
    """The mean of the errors, where those of each example belong."""

    def __call__(self, stage: StageSpec, lesson: Lesson, players: Players) -> Tensor:
        return super().__call__(stage, lesson, players).mean()


def test_an_objective_returns_one_error_per_example(tiny: Tiny, tmp_path: Path) -> None:
    run = Run(tiny(objective=Averaged()), "base", tmp_path, CPU)
    batch = batch_of(run, tmp_path)
    with pytest.raises(
        ValueError, match=r"training\.base\.objective: expected one error of 'student' per example, \(\d,\), got \(\)"
    ):
        run.learner.gradients(STUDENT, batch, 1)


def test_a_plan_counts_all_players(tiny: Tiny) -> None:
    wide = NetworkConfig.from_json({"type": "frame_critic", "width": 4096})
    recipe = tiny()
    stage, spec = recipe.cascade.stages[0], recipe.training["base"]
    less, more, seldom = (
        training(stage, spec.with_(objective=objective), torch.float32)
        for objective in (Denoising(), hinge(critic=wide.to_json()), hinge(critic=wide.to_json(), turn=2))
    )
    size = 4 * sum(weight.numel() for weight in wide.build().parameters())
    assert more.peak - less.peak > 4 * size  # weights, their average, and two moments
    assert less.flops < seldom.flops < more.flops


def beside(run: Path) -> list[float]:
    """What the critic's loss was, where it learnt."""
    lines = read_metrics(run / "metrics.jsonl")
    return [line["losses_beside"]["critic"] for line in lines if "losses_beside" in line]


@pytest.mark.long
def test_two_processes_with_two_players(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    common = FIELDS | {"half_life": 20, "objective": hinge(turn=2)}
    recipes = {
        kind: tiny(**common | {"parallel": {"type": kind}}).override(
            "base.training.phases", [{"examples": 10, "batch": 5}, {"examples": 11, "batch": 5, "images": 0.4}]
        )
        for kind in ("replicated", "sharded")
    }
    for _ in Run(recipes["replicated"], "base", Path("alone"), CPU).train(tmp_path / "cache"):
        pass
    plans = []
    for kind, recipe in recipes.items():
        plans += [entry(Path(kind), recipe), entry(Path(f"{kind}-again"), recipe, 10)]
        plans.append(entry(Path(f"{kind}-again"), recipe))
    together(tmp_path, *plans)
    for kind in recipes:
        assert losses(Path(kind)) == pytest.approx(losses(Path("alone")), rel=1e-4)
        same(Path(kind), Path(f"{kind}-again"))
        assert beside(Path(kind)) == pytest.approx(beside(Path("alone")), rel=1e-4)
    assert Run(recipes["replicated"], "base", Path("sharded"), CPU).state.examples == 21  # put together by one process
