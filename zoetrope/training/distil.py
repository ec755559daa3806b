"""Distillation of a trained stage: a folder of rounds; each is an ordinary run, whose result teaches the next.

    teacher.safetensors, recipe.json     the teacher: its weights, its description and how it is distilled
    distillation.json                    which stage it is
    first.safetensors                    the original of the teacher, if that was distilled itself
    guided/, steps-64/, ..., steps-8/    the rounds, in this order

[Salimans & Ho 2022, arXiv:2202.00512; Meng et al. 2023, arXiv:2210.03142; Ho et al. 2022, arXiv:2210.02303, Sec. 2.7].
"""

import json
import shutil
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import torch

from zoetrope.cascade.between import expect_alone
from zoetrope.cascade.fitting import expect_one_weight
from zoetrope.cascade.spec import Distilled, SamplingSpec, StageSpec
from zoetrope.config.errors import reason
from zoetrope.diffusion.distillation import expect_distillable
from zoetrope.files import whole_folder
from zoetrope.files.plain import read_json
from zoetrope.guidance.oscillating import Oscillating
from zoetrope.inputs.text import Text, tells_text
from zoetrope.models.checkpoints import check_file, find_checkpoints
from zoetrope.models.description import described
from zoetrope.models.runs import DISTILLATION, FIRST, RECIPE, TEACHER
from zoetrope.samplers.ddim import DDIM
from zoetrope.samplers.stochastic import Stochastic
from zoetrope.training.objectives import Objective, Teacher
from zoetrope.training.objectives.guide import Guide
from zoetrope.training.objectives.halve import Halve
from zoetrope.training.rates.constant import Constant
from zoetrope.training.spec import DistilSpec, Phase, Recipe


class Round(NamedTuple):
    """One training of a distillation: its folder, and the recipe of its student."""

    folder: Path
    recipe: Recipe
    stage: str

    @property
    def examples(self) -> int:
        """How many examples it has seen, by its newest checkpoint."""
        found = find_checkpoints(self.folder / "checkpoints")
        return int(found[-1].name) if found else 0

    @property
    def total(self) -> int:
        """How many examples it lasts."""
        return self.recipe.train_spec(self.stage).examples

    @property
    def finished(self) -> bool:
        """Whether it has seen them all."""
        return self.examples >= self.total


class Distillation(NamedTuple):
    """The distillation of a stage in a folder; `recipe` describes the teacher."""

    folder: Path
    recipe: Recipe
    stage: str

    @classmethod
    def begin(
        cls, folder: Path, recipe: Recipe, stage: str, weights: Path, first: tuple[StageSpec, Path] | None = None
    ) -> Self:
        """Prepare the folder: the teacher's weights are copied, so that later changes to the teacher have no effect.

        So are those of `first`, the original of a teacher that was distilled itself.

        Raises ValueError for what cannot be distilled, OSError if the folder holds anything.
        """
        plan(recipe, stage)
        with whole_folder(folder) as partial:
            for file in (weights, *([first[1]] if first is not None else ())):
                check_file(file)
            shutil.copyfile(weights, partial / TEACHER)
            (partial / RECIPE).write_text(json.dumps(recipe.to_json(), indent=1))
            told: dict[str, Any] = {"stage": stage}
            if first is not None:
                shutil.copyfile(first[1], partial / FIRST)
                told["first"] = first[0].to_json()
            (partial / DISTILLATION).write_text(json.dumps(told))
        return cls(folder, recipe, stage)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The distillation in a folder. Raises ValueError if it cannot be read."""
        try:
            stage = read_json(folder / DISTILLATION)["stage"]
            recipe = described(Recipe, read_json(folder / RECIPE))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{folder}: not a distillation that can be read ({reason(error, folder)})") from None
        recipe.train_spec(stage)
        return cls(folder, recipe, stage)

    @property
    def teacher(self) -> StageSpec:
        """What the first round learns from."""
        return self.recipe.cascade.stage(self.stage)

    def rounds(self) -> list[Round]:
        """All rounds, in order."""
        return [Round(self.folder / name, recipe, self.stage) for name, recipe in plan(self.recipe, self.stage)]


def plan(recipe: Recipe, stage: str) -> list[tuple[str, Recipe]]:
    """The rounds that distil a stage: name and recipe of each.

    Raises ValueError for a stage that cannot be distilled, at all or as its spec says.
    """
    teacher, spec = recipe.cascade.stage(stage), recipe.distil_spec(stage)
    expect_distillable(f"stage {stage!r}", teacher.prediction)
    expect_alone(recipe.cascade, stage)
    weights, counts = _weights(teacher, spec), _counts(teacher, spec)
    _expect_equal_steps(teacher, counts)
    rounds: list[tuple[str, Recipe]] = []
    source = Teacher(network=teacher.network, weights=f"../{TEACHER}")
    network = teacher.network.with_(guided=weights[1] > 0)
    expect_one_weight(f"stage {stage!r}: sampling", weights[1], teacher.sampling.guidance)
    if network.guided and teacher.distilled is None:
        made = teacher.with_(network=network, distilled=Distilled(steps=None, weights=weights))
        rounds.append(("guided", _round(recipe, made, spec.guidance, Guide(teacher=source))))
        source = Teacher(network=network, weights=_result("guided", spec.guidance))
    for number, jumps in enumerate(counts):
        stochastic = spec.sampler == "stochastic"
        name = f"steps-{2 * jumps if stochastic else jumps}"
        phase = spec.last if number >= len(counts) - 2 else spec.halving
        update = {
            "network": network,
            "distilled": Distilled(steps=jumps, stochastic=stochastic, weights=weights),
            "sampling": _sampling(teacher.sampling, 2 * jumps if stochastic else jumps, spec.sampler),
        }
        goal = Halve(teacher=source, steps=jumps, stochastic=stochastic)
        rounds.append((name, _round(recipe, teacher.with_(**update), phase, goal)))
        source = Teacher(network=network, weights=_result(name, phase))
    return rounds


def _weights(teacher: StageSpec, spec: DistilSpec) -> tuple[float, float]:
    """The range of guidance weights. Raises ValueError if it exceeds the teacher's own."""
    where, used = f"distillation.{teacher.name}.weights", teacher.sampling.weights()
    if teacher.distilled is not None:
        known = teacher.distilled.weights
        if spec.weights not in (None, known):
            raise ValueError(f"{where}: expected those that the teacher was distilled for, {known}, got {spec.weights}")
        return known
    low, high = (0.0, max(used)) if spec.weights is None else spec.weights
    if low > high:
        raise ValueError(f"{where}: expected the lowest and the highest, got {low:g}, {high:g}")
    if outside := [weight for weight in used if not low <= weight <= high]:
        raise ValueError(
            f"{where}: expected a range with {outside[0]:g} in it, the guidance that the stage is sampled with, "
            f"got {low:g} to {high:g}"
        )
    return low, high


def _expect_equal_steps(teacher: StageSpec, counts: list[int]) -> None:
    """Raise ValueError for a schedule with a spacing of its own: students learn steps of equal length in t."""
    for steps in (2 * counts[0], *counts):
        equal = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
        if not torch.allclose(teacher.schedule.times(steps), equal, rtol=0, atol=1e-9):
            raise ValueError(
                f"stage {teacher.name!r}: expected a schedule whose samplers take equal steps from t = 1 to 0, such as "
                f'"cosine", got {teacher.schedule.to_json()["type"]!r}, which spaces its {steps} steps by itself. A '
                "student halves the teacher's steps, and these would not meet"
            )


def _counts(teacher: StageSpec, spec: DistilSpec) -> list[int]:
    """The steps of DDIM of each student. Raises ValueError unless halving leads from the teacher's steps to them."""
    where = f"distillation.{teacher.name}.steps"
    start = spec.start
    if teacher.distilled is not None and teacher.distilled.steps is not None:
        start = teacher.distilled.steps
    per_jump = 2 if spec.sampler == "stochastic" else 1
    legal = []
    while start % 2 == 0:
        start //= 2
        legal.append(start)
    named = [count * per_jump for count in legal]
    if spec.steps not in named:
        have, got = 2 * legal[0] if legal else start, f"{spec.steps} of {spec.sampler}"
        if spec.steps >= have * per_jump:
            raise ValueError(f"{where}: expected fewer steps than the teacher's {have}, got {got}")
        known = ", ".join(map(str, named)) or "none, an odd number cannot be halved"
        raise ValueError(f"{where}: {have} steps of the teacher halve to {known} of {spec.sampler}, got {got}")
    return legal[: named.index(spec.steps) + 1]


def _sampling(original: SamplingSpec, steps: int, sampler: Literal["ddim", "stochastic"]) -> SamplingSpec:
    """The sampling of a student: guidance that oscillates stays constant for the same share of steps."""
    update: dict[str, Any] = {"steps": steps, "sampler": DDIM() if sampler == "ddim" else Stochastic()}
    if isinstance(original.guidance, Oscillating):
        constant = round(original.guidance.constant * steps / original.steps)
        update["guidance"] = original.guidance.with_(constant=constant)
    return original.with_(**update)


def _round(recipe: Recipe, stage: StageSpec, phase: Phase, objective: Objective) -> Recipe:
    """The recipe of a round: the teacher's, with the student instead of it and no other stage to train.

    It keeps the spec of the distillation, so that distilling the student further continues in the same way.
    """
    spec = recipe.distil_spec(stage.name)
    learning = {
        "objective": objective,
        "phases": (phase,),
        "weight": spec.weight,
        "warm_up": spec.warm_up,
        "cool_down": phase.examples,
        "rate": Constant(),
        "freeze": (),
        "learn": (),
        "lora": None,
        "half_life": spec.half_life,
        "balance": False,
    }
    training = recipe.train_spec(stage.name).with_(**learning)
    if tells_text(stage.inputs):
        stage = stage.with_input(Text(dropout=0.0))
    stages = tuple(stage if other.name == stage.name else other for other in recipe.cascade.stages)
    cascade = recipe.cascade.with_(stages=stages, teachers=())
    return Recipe(name=recipe.name, cascade=cascade, training={stage.name: training}, distillation={stage.name: spec})


def _result(name: str, phase: Phase) -> str:
    """The path of a round's final weights, relative to another round's folder."""
    return f"../{name}/checkpoints/{phase.examples:09d}/average.safetensors"
