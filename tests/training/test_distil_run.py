"""Distillation through the training loop: what a linear student learns, exact resume, and what is refused."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import zoetrope.data
import zoetrope.networks
import zoetrope.text
from zoetrope.cascade.sample import Draw, sample_stage
from zoetrope.cascade.spec import CascadeSpec, Distilled, SamplingSpec, StageSpec
from zoetrope.data import Source
from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.distillation import TimeGrid, halving_answer
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.prediction import x_from
from zoetrope.diffusion.tensors import expand_like
from zoetrope.guidance.oscillating import Oscillating
from zoetrope.inputs.guidance_weight import weight_given
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.inputs.text import Text, text_given
from zoetrope.models.cascade import Cascade
from zoetrope.models.finding import FoundRun, find
from zoetrope.models.opening import open_model
from zoetrope.models.runs import TEACHER, newest_round, original_in
from zoetrope.networks import NetworkConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers.ddim import DDIM
from zoetrope.samplers.stochastic import Stochastic
from zoetrope.schedules.cosine import Cosine
from zoetrope.schedules.discrete import Discrete
from zoetrope.shapes import VideoShape
from zoetrope.text import TextEncoder
from zoetrope.training.distil import Distillation, Round, plan
from zoetrope.training.learner import computing
from zoetrope.training.loop import Run
from zoetrope.training.objectives import Lesson, Teacher
from zoetrope.training.objectives.guide import Guide
from zoetrope.training.objectives.halve import Halve
from zoetrope.training.spec import DistilSpec, Phase, Recipe, TrainSpec
from zoetrope.training.state import read_metrics
from zoetrope.training.trained import averaged_weights, run_recipe

BASE = VideoShape(frames=2, height=4, width=8, fps=3)
TSR = VideoShape(frames=4, height=4, width=8, fps=6)
CPU = torch.device("cpu")
SLOPES = {8: 0.024037231791, 4: 0.050437790381, 2: 0.117080895948, 1: 0.496997}


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes of this file may name the kinds in the folder beside it."""
    own = str(Path(__file__).parent / "kinds")
    for package in (zoetrope.networks, zoetrope.data, zoetrope.text):
        monkeypatch.setattr(package, "__path__", [*package.__path__, own])


def network(low_res: bool = False) -> VideoUNetConfig:
    levels = (Level(width=8, text_attention=True, temporal="convolution"),)
    return VideoUNetConfig(low_res=low_res, text_width=8, embedding=16, head=8, levels=levels)


def recipe(distil: DistilSpec, *, config: NetworkConfig | None = None, **stage: Any) -> Recipe:
    """A base and a TSR stage on Gaussian pixels."""
    base = StageSpec(name="base", shape=BASE, network=config or network(), **stage)
    tsr = StageSpec(
        name="tsr1", shape=TSR, inputs=usual_inputs(BASE), network=network(True), sampling=SamplingSpec(steps=4)
    )
    spec = TrainSpec(
        data=Source.from_json({"type": "gaussian"}),
        phases=(Phase(examples=8, batch=4, peak=1e-3),),
        warm_up=0,
        precision="fp32",
        sample_every=0,
        log_every=32,
        checkpoint_every=32,
    )
    cascade = CascadeSpec(name="tiny", text=TextEncoder.from_json({"type": "constant"}), stages=(base, tsr))
    names = ("base", "tsr1")
    return Recipe(
        name="tiny", cascade=cascade, training=dict.fromkeys(names, spec), distillation=dict.fromkeys(names, distil)
    )


GUIDED = SamplingSpec(steps=8, guidance=2.0, threshold=None)
SHORT = Phase(examples=48, batch=4, peak=1e-3)
QUICK = DistilSpec(start=8, steps=2, guidance=SHORT, halving=SHORT, last=SHORT, weights=(0, 4), half_life=8)


def weights_file(made: Recipe, stage: str, folder: Path) -> Path:
    """Random weights of a stage's network."""
    torch.manual_seed(3)
    built = made.cascade.stage(stage).network.build()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(built.state_dict()), folder / "weights.safetensors")
    return folder / "weights.safetensors"


def begun(made: Recipe, folder: Path, stage: str = "base") -> Distillation:
    return Distillation.begin(folder, made, stage, weights_file(made, stage, folder.parent / "weights"))


def trained(part: Round, cache: Path) -> Run:
    run = Run(part.recipe, part.stage, part.folder, CPU)
    for _ in run.train(cache):
        pass
    return run


def exact(z: Tensor, level: NoiseLevel) -> Tensor:
    """The exact denoiser of N(1/2, 1/4)."""
    a, s = expand_like(level.alpha, z), expand_like(level.sigma, z)
    return 0.5 + 0.25 * a / (a**2 * 0.25 + s**2) * (z - 0.5 * a)


def sixteen_steps() -> dict[str, Tensor]:
    """The affine network whose 16 steps of DDIM do what 256 of the exact denoiser do."""
    teacher: Denoise = exact
    probes, steps = torch.tensor([[0.0], [1.0]], dtype=torch.float64), 256
    while steps > 16:
        steps //= 2
        rows = {}
        for place in range(2, 2 * steps + 1, 2):
            where = torch.full((2,), place)
            jump = TimeGrid(steps, each=False).jump(Cosine(), where)
            low, high = halving_answer("v", teacher, probes, jump, where)
            rows[round(float(jump.start.logsnr[0]), 6)] = (float(high - low), float(low))

        def student(z: Tensor, level: NoiseLevel, rows: dict[float, tuple[float, float]] = rows) -> Tensor:
            slope, intercept = rows[round(float(level.logsnr[0]), 6)]
            return x_from("v", slope * z + intercept, z, level)

        teacher = student
    slopes, intercepts = (torch.tensor(column) for column in zip(*rows.values(), strict=True))
    return {"slope": slopes.float(), "intercept": intercepts.float()}


@pytest.mark.parametrize("sampler", ["ddim", "stochastic"])
def test_a_linear_student_learns_the_tabulated_slopes(tmp_path: Path, sampler: str) -> None:
    affine = NetworkConfig.from_json({"type": "affine", "text_width": 8})
    halving = Phase(examples=2400, batch=16, peak=0.03)
    steps = 1 if sampler == "ddim" else 2
    distil = DistilSpec(start=16, steps=steps, sampler=sampler, halving=halving, last=halving, half_life=16)  # type: ignore[arg-type]
    made = recipe(distil, config=affine).override("base.training.checkpoint_every", 10_000)
    save_file(sixteen_steps(), tmp_path / "weights.safetensors")
    distillation = Distillation.begin(tmp_path / "out", made, "base", tmp_path / "weights.safetensors")
    rounds = distillation.rounds()
    assert len(rounds) == 4
    for part, steps in zip(rounds, (8, 4, 2, 1), strict=True):
        trained(part, tmp_path / "cache")
        newest = open_model([part.folder])
        learnt = load_file(newest.weights["base"])
        noise = Cosine()(torch.ones(1))
        slope = float(noise.alpha - noise.sigma * learnt["slope"][-1])  # of x_hat = alpha z - sigma v, at t = 1
        assert slope == pytest.approx(SLOPES[steps], rel=1e-3)
        assert -float(learnt["intercept"][-1]) == pytest.approx(0.5, abs=1e-3)
        distilled = newest.spec.stage("base").distilled
        assert distilled == Distilled(steps=steps, stochastic=sampler == "stochastic", weights=(0, 0))
    losses = [read_metrics(part.folder / "metrics.jsonl") for part in rounds]
    assert all(lines[-1]["loss"] < lines[0]["loss"] / 50 for lines in losses)


def test_rounds_and_their_recipes() -> None:
    wave = SamplingSpec(steps=64, guidance=Oscillating(high=15, low=1, constant=16), threshold=0.99)
    rounds = plan(recipe(DistilSpec(start=64, steps=8, weights=(1, 15)), sampling=wave), "base")
    assert [name for name, _ in rounds] == ["guided", "steps-32", "steps-16", "steps-8"]
    stages = [made.cascade.stage("base") for _, made in rounds]
    assert all(stage.network.guided for stage in stages)
    assert stages[0].distilled == Distilled(steps=None, weights=(1, 15)) and stages[0].sampling == wave
    assert stages[3].distilled == Distilled(steps=8, weights=(1, 15))
    assert stages[3].sampling.weights() == [15, 15, 1, 15, 1, 15, 1, 15] and stages[3].sampling.threshold == 0.99
    specs = [made.train_spec("base") for _, made in rounds]
    assert [spec.examples for spec in specs] == [400_000, 400_000, 800_000, 800_000]
    assert isinstance(specs[0].objective, Guide) and not specs[0].objective.teacher.network.guided
    assert specs[1].objective.teacher == Teacher(
        network=stages[0].network, weights="../guided/checkpoints/000400000/average.safetensors"
    )
    assert isinstance(specs[2].objective, Halve) and specs[2].objective.steps == 16
    assert specs[1].learning_rate(0) == 1e-4 and specs[1].learning_rate(399_999) == pytest.approx(1e-6)
    assert specs[1].weight == "snr_trunc" and stages[1].input("text") == Text(dropout=0.0)

    rounds = plan(recipe(DistilSpec(start=64, steps=16, sampler="stochastic")), "base")
    assert [name for name, _ in rounds] == ["steps-64", "steps-32", "steps-16"]
    last = rounds[-1][1].cascade.stage("base")
    assert last.sampling.sampler == Stochastic() and last.distilled == Distilled(steps=8, stochastic=True)
    assert not last.network.guided


def test_a_student_starts_as_its_teacher(tmp_path: Path) -> None:
    part, *_ = begun(recipe(QUICK, sampling=GUIDED), tmp_path / "out").rounds()
    run = Run(part.recipe, "base", part.folder, CPU)
    teacher = run.state.players["teacher"].network
    z, logsnr = torch.randn(3, 3, 2, 4, 8), torch.tensor([-3.0, 0.0, 3.0])
    text = text_given(torch.randn(3, 2, 8), torch.ones(3, 2, dtype=torch.bool))
    weights = text | weight_given(torch.tensor([0.0, 2.0, 15.0]))
    with torch.no_grad():
        taught = teacher(z, logsnr, text)
        assert torch.equal(run.state.network(z, logsnr, weights), taught)
        assert torch.equal(run.state.average(z, logsnr, weights), taught)
    with pytest.raises(ValueError, match=r"numbers: expected 'guidance', the weight of guidance"):
        run.state.network(z, logsnr, text)


def test_the_guided_answer_is_that_of_two_calls(tmp_path: Path) -> None:
    made = recipe(QUICK, sampling=GUIDED)
    part, *_ = begun(made, tmp_path / "out").rounds()
    run = Run(part.recipe, "base", part.folder, CPU)
    text = text_given(torch.randn(2, 2, 8), torch.ones(2, 2, dtype=torch.bool))
    weight = torch.tensor([0.5, 3.0])
    given = text | weight_given(weight)
    lesson = Lesson(torch.randn(2, 3, 2, 4, 8), torch.randn(2, 3, 2, 4, 8), torch.tensor([0.2, 0.9]), given)
    teacher, objective = run.state.players["teacher"].network, run.spec.objective
    assert isinstance(objective, Guide)
    question = objective.question(run.stage, lesson, computing(teacher, torch.float32))
    logsnr = question.level.logsnr.float()
    with torch.no_grad():
        c = teacher(question.z, logsnr, text)
        u = teacher(question.z, logsnr, text.without("text", torch.tensor([True, True])))
    expected = u + expand_like(1 + weight, c) * (c - u)
    torch.testing.assert_close(question.answer, expected, rtol=1e-5, atol=1e-5)
    assert float((question.answer - c).abs().max()) > 1e-3


def finished_bits(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.glob("*/checkpoints/*/*.safetensors"))
    }


@pytest.mark.parametrize("stage", ["base", "tsr1"])
def test_resumed_within_and_between_rounds_is_the_same_bit_for_bit(tmp_path: Path, stage: str) -> None:
    made = recipe(QUICK, sampling=GUIDED)
    if stage == "tsr1":
        made = made.override("tsr1.distillation.weights", [0, 0])
    whole = begun(made, tmp_path / "whole", stage)
    for part in whole.rounds():
        trained(part, tmp_path / "cache")
    begun(made, tmp_path / "parts", stage)
    shutil.rmtree(tmp_path / "weights")  # the teacher's weights are the distillation's own
    for number in range(len(whole.rounds())):
        part = Distillation.open(tmp_path / "parts").rounds()[number]
        run = Run(part.recipe, stage, part.folder, CPU)
        reports: Iterator[Any] = run.train(tmp_path / "cache")
        next(reports)  # at 32 of 48 examples
        if number == 1:
            for checkpoint in (part.folder / "checkpoints").iterdir():  # as a kill leaves it: the newest is of 16
                if checkpoint.name > "000000016":
                    shutil.rmtree(checkpoint)
            del reports
        else:
            reports.close()  # type: ignore[attr-defined]
        torch.manual_seed(99)
        assert not part.finished
        trained(Distillation.open(tmp_path / "parts").rounds()[number], tmp_path / "cache")
        assert part.finished
    one, other = finished_bits(tmp_path / "whole"), finished_bits(tmp_path / "parts")
    assert one.keys() == other.keys() and len(one) >= 4 * len(whole.rounds())
    assert [name for name in one if one[name] != other[name]] == []


def test_every_round_lowers_its_loss_and_is_a_model(tmp_path: Path) -> None:
    phase = Phase(examples=320, batch=8, peak=3e-3)
    distil = QUICK.with_(guidance=phase, halving=phase, last=phase, steps=4)
    found = begun(recipe(distil, sampling=GUIDED), tmp_path / "out")
    for part in found.rounds():
        trained(part, tmp_path / "cache")
        lines = read_metrics(part.folder / "metrics.jsonl")
        assert lines[-1]["loss"] < lines[0]["loss"], part.folder.name
    newest = open_model([tmp_path / "out"])
    assert newest.spec.stage("base").sampling.steps == 4 and newest_round(found.folder).name == "steps-4"
    newest.check(newest.spec.stages)
    assert run_recipe(tmp_path / "out")[0].cascade.stage("base").sampling.steps == 4
    original = newest.originals()
    assert Cascade.from_pretrained(tmp_path / "out", teacher=True).spec == original.spec
    assert original.spec.stages == (found.teacher,) and original.weights["base"] == tmp_path / "out" / TEACHER
    assert open_model([tmp_path / "out/guided"]).spec.stage("base").distilled == Distilled(steps=None, weights=(0, 4))

    cascade = Cascade.of(newest)
    video = cascade.generate("noise")
    with pytest.raises(ValueError, match=r"teacher_dtype: expected torch\.float32.* or torch\.int8, got torch\.int32"):
        cascade.save_pretrained(tmp_path / "model", teacher_dtype=torch.int32)
    assert not (tmp_path / "model").exists()
    cascade.save_pretrained(tmp_path / "model")
    again = open_model([tmp_path / "model"])
    assert again.spec == newest.spec and (Cascade.of(again).generate("noise").frames.shape) == (video.frames.shape)
    stored = load_file(tmp_path / "model/base/teacher.safetensors")
    taught = load_file(tmp_path / "out" / TEACHER)
    assert all(torch.equal(stored[name], value.bfloat16()) for name, value in taught.items())
    from_disk = type(cascade).from_pretrained(tmp_path / "model", teacher=True)
    assert from_disk.spec.stages == (found.teacher,)
    assert from_disk.generate("noise").frames.shape == video.frames.shape
    with pytest.raises(ValueError, match="no stage is distilled"):
        from_disk.spec.originals()


def test_oscillating_guidance_is_distilled_and_sampled(tmp_path: Path) -> None:
    wave = SamplingSpec(steps=8, guidance=Oscillating(high=4, low=1, constant=4), threshold=None)
    short = Phase(examples=4, batch=4, peak=1e-3)
    distil = QUICK.with_(guidance=short, halving=short, last=short, weights=None)
    with pytest.raises(ValueError, match="expected a range with 4 in it, the guidance that the stage is sampled with"):
        begun(recipe(distil.with_(weights=(0, 2)), sampling=wave), tmp_path / "narrow")
    found = begun(recipe(distil, sampling=wave), tmp_path / "out")
    for part in found.rounds():
        trained(part, tmp_path / "cache")
    newest = open_model([tmp_path / "out"])
    stage = newest.spec.stage("base")
    assert stage.distilled == Distilled(steps=2, weights=(0, 4))
    assert stage.sampling.weights() == [4, 1] and newest.originals().spec.stages[0].sampling == wave
    waving = Cascade.of(newest)
    even = waving.tuned(guidance=4.0)
    (last,) = [now.x_hat for now in waving.stream(["noise"]) if now.done]
    (other,) = [now.x_hat for now in even.stream(["noise"]) if now.done]
    assert not torch.equal(last, other)  # the network hears which weight each step has


def test_one_call_a_step_with_its_weight() -> None:
    wave = SamplingSpec(steps=4, guidance=Oscillating(high=4, low=1, constant=2))
    distilled = Distilled(steps=4, weights=(0, 4))
    guided = network().with_(guided=True)
    stage = StageSpec(name="base", shape=BASE, network=guided, sampling=wave, distilled=distilled)
    built, told = stage.network.build(), []
    built.register_forward_pre_hook(
        lambda module, inputs: told.append((len(inputs[0]), inputs[2].numbers["guidance"].tolist()))
    )
    text = text_given(torch.randn(2, 2, 8), torch.ones(2, 2, dtype=torch.bool))
    list(sample_stage(stage, built, text, None, Draw(seed=0, samples=(0, 1))))
    assert told == [(2, [w, w]) for w in (4, 4, 1, 4)]
    with pytest.raises(ValueError, match="base': a distilled network knows no negative prompt"):
        list(sample_stage(stage, built, text, None, Draw(seed=0, samples=(0, 1), negative=text)))


def distilled_stage(**fields: Any) -> StageSpec:
    distilled = Distilled(steps=4, stochastic=True, weights=(0, 4))
    guided = network().with_(guided=True)
    return StageSpec(name="base", shape=BASE, network=guided, distilled=distilled, sampling=SamplingSpec(**fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 8}, "'base': expected 4 steps of ddim or 8 steps of stochastic, .* got 8 of ddim"),
        ({"steps": 4, "sampler": Stochastic()}, "got 4 of stochastic"),
        ({"steps": 4, "guidance": 5}, "guidance: expected a weight from 0 to 4, which it was distilled for, got 5"),
        ({"steps": 4, "guidance": Oscillating(high=9, constant=0)}, "got 9"),
    ],
)
def test_sampling_it_was_not_distilled_for_is_refused(fields: dict[str, Any], message: str) -> None:
    for good in ({"steps": 4, "sampler": DDIM()}, {"steps": 8, "sampler": Stochastic(), "guidance": 4}):
        distilled_stage(**good).check_sampling()
    with pytest.raises(ValueError, match=message):
        distilled_stage(**fields).check_sampling()
    text = text_given(torch.randn(1, 2, 8), torch.ones(1, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match=message):
        stage = distilled_stage(**fields)
        list(sample_stage(stage, stage.network.build(), text, None, Draw(seed=0, samples=(0,))))


@pytest.mark.parametrize(
    ("fields", "stage", "message"),
    [
        ({"steps": 8}, {}, "base.steps: expected fewer steps than the teacher's 8, got 8 of ddim"),
        ({"steps": 64}, {}, "expected fewer steps than the teacher's 8, got 64"),
        ({"steps": 3}, {}, "8 steps of the teacher halve to 4, 2, 1 of ddim, got 3"),
        ({"start": 12, "steps": 2}, {}, "12 steps of the teacher halve to 6, 3 of ddim, got 2"),
        ({"steps": 1, "sampler": "stochastic"}, {}, "8 steps of the teacher halve to 8, 4, 2 of stochastic, got 1"),
        ({"weights": (3, 4)}, {}, "a range with 2 in it, the guidance that the stage is sampled with, got 3 to 4"),
        ({"weights": (4, 0)}, {}, "expected the lowest and the highest"),
        (
            {},
            {"prediction": "eps"},
            "'base': expected a network that predicts v, x or flow, .* divides by an alpha",
        ),
        ({}, {"schedule": Discrete()}, "'base': expected a schedule whose samplers take equal steps .* got 'discrete'"),
    ],
)
def test_what_cannot_be_distilled(tmp_path: Path, fields: dict[str, Any], stage: dict[str, Any], message: str) -> None:
    made = recipe(QUICK.with_(**fields), sampling=GUIDED, **stage)
    with pytest.raises(ValueError, match=message):
        begun(made, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_distilled_teacher_is_halved_further() -> None:
    teacher = distilled_stage(steps=4, guidance=2)
    config: dict[str, Any] = {"config": teacher.network, "sampling": teacher.sampling, "distilled": teacher.distilled}
    rounds = plan(recipe(DistilSpec(steps=1), **config), "base")
    assert [name for name, _ in rounds] == ["steps-2", "steps-1"]
    assert rounds[1][1].cascade.stage("base").distilled == Distilled(steps=1, weights=(0, 4))
    with pytest.raises(ValueError, match="expected fewer steps than the teacher's 4, got 8 of ddim"):
        plan(recipe(DistilSpec(steps=8), **config), "base")
    with pytest.raises(ValueError, match="expected those that the teacher was distilled for"):
        plan(recipe(DistilSpec(steps=1, weights=(0, 9)), **config), "base")


def test_nothing_finished_and_nothing_readable(tmp_path: Path) -> None:
    begun(recipe(QUICK, sampling=GUIDED), tmp_path / "out")
    with pytest.raises(ValueError, match=r"no round of this distillation is finished yet \(none has begun\)"):
        open_model([tmp_path / "out"])
    (tmp_path / "out/recipe.json").write_text("{")
    for read in (Distillation.open, original_in):
        with pytest.raises(ValueError, match="not a distillation that can be read"):
            read(tmp_path / "out")


def test_the_newest_round_is_finished_and_takes_the_fewest_steps(tmp_path: Path) -> None:
    found = begun(recipe(QUICK, sampling=GUIDED), tmp_path / "out")
    guided, halved, *_ = found.rounds()
    trained(guided, tmp_path / "cache")
    reports: Iterator[Any] = Run(halved.recipe, "base", halved.folder, CPU).train(tmp_path / "cache")
    next(reports)
    reports.close()  # type: ignore[attr-defined]
    assert not halved.finished and newest_round(tmp_path / "out") == guided.folder
    assert find(f"{tmp_path / 'out'}@9") == (FoundRun(f"{tmp_path / 'out'}@9", guided.folder, 9),)
    trained(halved, tmp_path / "cache")
    assert newest_round(tmp_path / "out") == halved.folder
    teacher = tmp_path / "out" / TEACHER
    teacher.rename(tmp_path / "elsewhere")
    teacher.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"teacher.safetensors: expected a file in .*, got a link out of it"):
        open_model(tmp_path / "out")


def test_weights_without_an_average_are_refused(tmp_path: Path) -> None:
    made = recipe(QUICK, sampling=GUIDED)
    run = Run(made, "base", tmp_path / "run", CPU)
    for _ in run.train(tmp_path / "cache"):
        pass
    path = averaged_weights(tmp_path / "run", made.cascade.stage("base"))
    assert path == tmp_path / "run/checkpoints/000000008/average.safetensors"
    path.unlink()
    with pytest.raises(ValueError, match=r"average\.safetensors: expected the moving average \(EMA\) of the weights"):
        averaged_weights(tmp_path / "run", made.cascade.stage("base"))


def test_a_recipe_with_distillation_comes_back_from_json_and_is_changed_by_path() -> None:
    made = recipe(QUICK, sampling=GUIDED)
    assert Recipe.from_json(json.dumps(made.to_json())) == made
    assert made.override("base.distillation.steps", 4).distil_spec("base").steps == 4
    bare = made.with_(distillation={})
    assert bare.distil_spec("base") == DistilSpec()
    assert bare.override("tsr1.distillation.last.examples", 5).distil_spec("tsr1").last.examples == 5
    with pytest.raises(ValueError, match=r"unknown field 'stepz'; did you mean 'steps'\?"):
        made.override("base.distillation.stepz", 4)
    with pytest.raises(ValueError, match="unknown stage 'bas'"):
        Recipe.from_json({**made.to_json(), "distillation": {"bas": {}}})
