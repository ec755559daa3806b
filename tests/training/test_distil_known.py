"""Distillation of a stage that learnt known frames: its students know them in every round and when sampled."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import CascadeSpec, Distilled, SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.data.mixture import Mixture, Part
from zoetrope.data.toybox import Toybox
from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.prediction import x_from
from zoetrope.guidance.inputs import InputGuidance
from zoetrope.guidance.temporal import TemporalGuidance
from zoetrope.inputs.guidance_weight import weight_given
from zoetrope.inputs.number import Number
from zoetrope.inputs.text import tells_text, text_given
from zoetrope.known import Known
from zoetrope.known.learnt import Learnt
from zoetrope.models.cascade import Cascade
from zoetrope.models.opening import open_model
from zoetrope.networks import Network
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.recipes import load_recipe
from zoetrope.samplers import Sampler
from zoetrope.samplers.ddim import DDIM
from zoetrope.schemes import SamplingScheme
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words
from zoetrope.training.distil import Distillation, plan
from zoetrope.training.known import KnownFrames
from zoetrope.training.known.any import AnyFrames
from zoetrope.training.known.independent import Independent
from zoetrope.training.known.mixture import KnownMixture, KnownPart
from zoetrope.training.known.none import NoKnown
from zoetrope.training.known.prefix import Prefix
from zoetrope.training.objectives import Lesson, Teacher
from zoetrope.training.objectives.guide import Guide
from zoetrope.training.objectives.halve import Halve
from zoetrope.training.parallel import Call
from zoetrope.training.spec import DistilSpec, Phase, Recipe, TrainSpec
from zoetrope.training.state import read_metrics

from .test_distil_run import trained, weights_file

CPU = torch.device("cpu")
SHAPE = VideoShape(frames=4, height=4, width=8, fps=3)
TEXT = Words(width=8, limit=16)
EVERY = KnownMixture(
    parts=tuple(
        KnownPart(known=known)
        for known in (NoKnown(), Prefix(), AnyFrames(), AnyFrames(length=24), Independent(of=Prefix()), Independent())
    )
)
SHORT = Phase(examples=32, batch=4, peak=1e-3)
QUICK = DistilSpec(
    start=8,
    steps=4,
    guidance=SHORT.with_(frames=2, images=0.25),
    halving=SHORT,
    last=SHORT,
    weights=(0, 4),
    half_life=8,
)


def recipe(known: KnownFrames | None = EVERY, **distil: Any) -> Recipe:
    """A base of clips of seconds and of minutes, which learnt known frames."""
    levels = (Level(width=8, text_attention=True, temporal="attention"),)
    network = VideoUNetConfig(text_width=8, embedding=16, head=8, fps=SHAPE.fps, levels=levels)
    sampling = SamplingSpec(sampler=DDIM(), steps=8, guidance=2.0, known=Learnt())
    stage = StageSpec(name="base", shape=SHAPE, network=network, sampling=sampling)
    spec = TrainSpec(
        data=Mixture(parts=(Part(source=Toybox(scripts=3)), Part(source=Toybox(scripts=3, long=True)))),
        known=known,
        phases=(Phase(examples=8, batch=4, peak=1e-3),),
        warm_up=0,
        precision="fp32",
        sample_every=0,
        log_every=16,
        checkpoint_every=32,
    )
    cascade = CascadeSpec(name="tiny", text=TEXT, stages=(stage,))
    return Recipe(name="tiny", cascade=cascade, training={"base": spec}, distillation={"base": QUICK.with_(**distil)})


def begun(made: Recipe, folder: Path) -> Distillation:
    return Distillation.begin(folder, made, "base", weights_file(made, "base", folder.parent / "weights"))


def lesson(independent: bool = False) -> Lesson:
    """Clips of which the first two frames are known, at any times."""
    torch.manual_seed(5)
    x, eps = torch.randn(2, 2, 3, *SHAPE.sizes, dtype=torch.float64)
    known = torch.tensor([True, True, False, False]).expand(2, 4)
    u = torch.rand(2, 4, dtype=torch.float64)
    u = u if independent else u[:, :1].expand(2, 4)
    text = text_given(torch.randn(2, 2, 8), torch.ones(2, 2, dtype=torch.bool))
    times = torch.tensor([[0.0, 1.0, 2.0, 3.0], [0.0, 4.0, 5.0, 20.0]]) / 3
    given = replace(text | weight_given(torch.tensor([0.5, 3.0])), times=times).to(CPU, torch.float64)
    return Lesson(x, eps, u, given, weight="snr_trunc", counted=~known, known=known)


@pytest.fixture(scope="module")
def students(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Distillation]:
    """Students of the same teacher, by their sampler."""
    folder = tmp_path_factory.mktemp("students")
    found = {name: begun(recipe(sampler=name), folder / name) for name in ("ddim", "stochastic")}
    for one in found.values():
        for part in one.rounds():
            trained(part, folder / "cache")
    return found


@pytest.mark.parametrize("sampler", ["ddim", "stochastic"])
def test_every_round_learns_with_known_frames(students: dict[str, Distillation], sampler: str) -> None:
    parts = students[sampler].rounds()
    names = ["guided", "steps-4"] if sampler == "ddim" else ["guided", "steps-8", "steps-4"]
    assert [part.folder.name for part in parts] == names
    for part in parts:
        assert part.recipe.train_spec("base").known == EVERY
        lines = read_metrics(part.folder / "metrics.jsonl")
        assert len(lines) == 2 and all(0 < line["loss"] < 100 for line in lines)
        assert not (part.folder / "bad").exists()


@pytest.mark.parametrize("sampler", ["ddim", "stochastic"])
def test_a_student_is_sampled_with_known_frames(students: dict[str, Distillation], sampler: str) -> None:
    newest = open_model([students[sampler].folder])
    stage = newest.spec.stage("base")
    jumps = 4 if sampler == "ddim" else 2
    assert stage.distilled == Distilled(steps=jumps, stochastic=sampler == "stochastic", weights=(0, 4))
    assert stage.sampling.known == Learnt() and newest.originals().spec.stages[0].sampling.known == Learnt()
    network = newest.network(stage).eval()
    text = text_given(torch.randn(2, 2, 8), torch.ones(2, 2, dtype=torch.bool))

    def sampled(stage: StageSpec, video: Tensor) -> Tensor:
        known = Known(torch.tensor([True, False, False, True]), video)
        with torch.no_grad():
            return stage_video(stage, network, text, None, Draw(seed=0, samples=(0, 1), known=known))

    clips = torch.rand(2, 3, *SHAPE.sizes) * 2 - 1
    for fields in ({}, {"known": Learnt(history=1.0)}, {"known": Learnt(level=6.0)}, {"guidance": 4.0}):
        chosen = stage.with_(sampling=SamplingSpec.from_json({**stage.sampling.to_json(), **jsons(fields)}))
        made = sampled(chosen, clips)
        assert torch.equal(made[:, :, [0, 3]], clips[:, :, [0, 3]]) and made.isfinite().all()
        other = sampled(chosen, -clips)
        assert (made - other)[:, :, 1:3].abs().amax((1, 2, 3, 4)).min() > 1e-4  # they are heard


def jsons(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value.to_json() if isinstance(value, Learnt) else value for name, value in fields.items()}


def networks() -> tuple[StageSpec, Teacher, Network]:
    """A stage, and a teacher of it with random weights."""
    torch.manual_seed(3)
    stage = recipe().cascade.stage("base")
    built = stage.network.build().double()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return stage, Teacher(network=stage.network, weights="unused"), built


@pytest.mark.parametrize("independent", [False, True])
def test_the_guided_answer_is_that_of_two_calls_given_the_known_frames(independent: bool) -> None:
    stage, named, teacher = networks()
    taught, unbounded = lesson(independent), stage.sampling.with_(threshold=None)
    with torch.no_grad():
        question = Guide(teacher=named).question(stage.with_(sampling=unbounded), taught, computed(teacher))
        c = teacher(question.z, question.level.logsnr, taught.given)
        u = teacher(question.z, question.level.logsnr, taught.given.without("text", torch.tensor([True, True])))
    z = question.z.transpose(1, 2)
    assert taught.known is not None
    torch.testing.assert_close(z[taught.known], taught.x.transpose(1, 2)[taught.known], rtol=0, atol=1e-6)
    assert (question.level.logsnr[taught.known] == NoiseLevel.clean(1).logsnr).all()
    weight = torch.tensor([0.5, 3.0])[:, None, None, None, None]
    expected = u + (1 + weight) * (c - u)
    hidden = hidden_in(taught)
    torch.testing.assert_close(question.answer.where(hidden, 0), expected.where(hidden, 0), rtol=1e-9, atol=1e-9)
    assert (c - u).where(hidden, 0).abs().max() > 1e-3


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("independent", [False, True])
def test_a_step_with_known_frames_ends_where_two_of_the_teacher_do(independent: bool, each: bool) -> None:
    """Beside the sampler itself: two steps of DDIM of the teacher, and one with the student's target."""
    stage, named, teacher = networks()
    taught = lesson(independent)
    taught = taught._replace(u=taught.u * 0.7 + 0.3)  # no step ends at data, where x_hat is the target
    with torch.no_grad():
        question = Halve(teacher=named, steps=4, stochastic=each).question(stage, taught, computed(teacher))
    count = 8 if each else 4
    place = (8 // count) * ((taught.u * count).long() + 1)
    levels = [taught.clean_where_known(stage.schedule((place - back).double() / 8)) for back in range(3)]
    hidden = hidden_in(taught)

    def two(z: Tensor, level: NoiseLevel) -> Tensor:
        return x_from("v", teacher(z, level.logsnr, taught.given), z, level)

    def one(z: Tensor, level: NoiseLevel) -> Tensor:
        return x_from("v", question.answer.where(hidden, 0), z, level)

    torch.testing.assert_close(question.level.logsnr, levels[0].logsnr)
    ends = [stepped(two, question.z, levels), stepped(one, question.z, levels[::2])]
    torch.testing.assert_close(*(end.where(hidden, 0) for end in ends), rtol=1e-7, atol=1e-7)
    assert torch.equal(ends[0].where(~hidden, 0), question.z.where(~hidden, 0))
    assert (ends[0] - question.z).where(hidden, 0).abs().max() > 1e-2


def hidden_in(taught: Lesson) -> Tensor:
    """The pixels of frames that are not known, (B, 1, F, 1, 1) bool."""
    assert taught.known is not None
    return ~taught.known[:, None, :, None, None]


def computed(network: Network) -> Call:
    return lambda z, logsnr, given: network(z, logsnr, given)


def stepped(denoise: Denoise, z: Tensor, levels: list[NoiseLevel]) -> Tensor:
    """z after these steps of DDIM."""
    sampler: Sampler = DDIM()
    with torch.no_grad():
        for step in sampler(denoise, z.clone(), levels, noise=lambda number: torch.zeros_like(z)):
            last = step.z
    return last


@pytest.mark.parametrize("scheme", SamplingScheme.names())
def test_a_student_makes_long_videos(students: dict[str, Distillation], scheme: str) -> None:
    cascade = Cascade.from_pretrained(students["stochastic"].folder)
    pictures = list(cascade.extend(None, seconds=4, prompt="a red circle", scheme=scheme))
    assert len(pictures) == 12 and len({picture.tobytes() for picture in pictures}) > 9


@pytest.mark.parametrize("over", [(), ("text",)])
def test_the_guided_answer_is_that_of_the_stages_own_guidance(over: tuple[str, ...]) -> None:
    """Over any inputs: the other call is not told those that the stage's guidance is over."""
    stage, named, teacher = networks()
    guidance = InputGuidance(weight=2.0, over=over)
    unbounded = stage.with_(sampling=stage.sampling.with_(threshold=None, guidance=guidance))
    taught = lesson(False)
    with torch.no_grad():
        question = Guide(teacher=named).question(unbounded, taught, computed(teacher))
        c, u = (teacher(question.z, question.level.logsnr, each) for each in guidance.variants(taught.given, None))
    expected = u + (1 + torch.tensor([0.5, 3.0])[:, None, None, None, None]) * (c - u)
    torch.testing.assert_close(question.answer, expected, rtol=1e-9, atol=1e-9)
    assert (c - u).abs().max() > 1e-3


def test_a_student_learns_what_its_stage_is_told_and_guided_by() -> None:
    gen1 = load_recipe("gen1").override("base.sampling.steps", 32)
    guided = dict(plan(gen1, "base"))["guided"].cascade.stage("base")
    assert not tells_text(gen1.cascade.stage("base").inputs) and not tells_text(guided.inputs)
    assert guided.network.guided and guided.sampling.guidance == TemporalGuidance(weight=2.0)
    for guidance in (
        {"type": "temporal", "weight": 2, "temporal": 1.5},
        {"type": "over_frames", "first": 0, "last": 2},
    ):
        with pytest.raises(
            ValueError, match="stage 'base': sampling: guidance: expected one weight for all frames, wh"
        ):
            plan(gen1.override("base.sampling.guidance", guidance), "base")


def test_guidance_over_numbers_is_learnt() -> None:
    """A teacher that says 1 where the number is known and 0 where it is not; guided with w it says 1 + w."""

    def teacher(z: Tensor, logsnr: Tensor, given: Conditioning) -> Tensor:
        known = (~given.numbers["ef"].isnan()).to(z)
        return known[:, None, None, None, None].expand_as(z)

    taught = lesson(False)
    numbers = {"ef": torch.full((2,), 0.3), "guidance": torch.tensor([0.0, 3.0])}
    taught = taught._replace(given=Conditioning(numbers=numbers))
    stage, named, _ = networks()
    sampling = stage.sampling.with_(threshold=None, guidance=InputGuidance(weight=3.0, over=("ef",)))
    inputs, network = (*stage.inputs, Number(told="ef", lo=0, hi=1, dropout=0.1)), stage.network.with_(numbers=("ef",))
    question = Guide(teacher=named).question(
        stage.with_(inputs=inputs, network=network, sampling=sampling), taught, teacher
    )
    assert question.answer.amax((1, 2, 3, 4)).tolist() == question.answer.amin((1, 2, 3, 4)).tolist() == [1.0, 4.0]
