"""Plans: counts against arithmetic by hand, memory against what is held, prices against their rules."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from zoetrope.__main__ import main
from zoetrope.cascade.execution.cost import stage_cost
from zoetrope.cascade.execution.layout import least_memory, plan_layout
from zoetrope.cascade.sample import Draw, sample_stage
from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.commands.plan import _time
from zoetrope.config import override
from zoetrope.data.toybox import Toybox
from zoetrope.guidance.oscillating import Oscillating
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.inputs.text import text_given
from zoetrope.layers.convolution import SpatialConv, TemporalConv
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.planning.calibrate import Speed, cpu
from zoetrope.planning.count import Operation, dry, flops_of
from zoetrope.planning.devices import GPUS, gpu, of_card
from zoetrope.planning.plan import plan_stage, rounds_of, totals
from zoetrope.planning.work import sampling, training
from zoetrope.recipes import imagen_video, is_recipe, load_recipe
from zoetrope.samplers.ddim import DDIM
from zoetrope.samplers.heun import Heun
from zoetrope.samplers.langevin import Langevin
from zoetrope.shapes import VideoShape
from zoetrope.text.t5 import T5
from zoetrope.training.grids import Grid
from zoetrope.training.objectives.denoise import Denoising
from zoetrope.training.spec import DistilSpec, Phase, Recipe, TrainSpec

SHAPE = VideoShape(frames=4, height=8, width=16, fps=2)
FINER = VideoShape(frames=4, height=16, width=32, fps=2)
WIDTH, TEXT = 32, 16


def stage(**sampled: Any) -> StageSpec:
    """A base stage with one level of convolutions."""
    network = VideoUNetConfig(embedding=64, text_width=TEXT, levels=(Level(width=WIDTH, temporal="convolution"),))
    return StageSpec(name="base", shape=SHAPE, network=network, sampling=SamplingSpec(steps=5, **sampled))


def finer() -> StageSpec:
    """A spatial stage with all sorts of attention."""
    level = Level(width=32, spatial_attention=True, text_attention=True, temporal="attention")
    network = VideoUNetConfig(embedding=64, text_width=TEXT, low_res=True, patch=2, levels=(level,))
    return StageSpec(
        name="ssr", shape=FINER, inputs=usual_inputs(SHAPE), network=network, sampling=SamplingSpec(steps=2)
    )


def trained(**fields: Any) -> TrainSpec:
    """A curriculum of single pictures and then clips."""
    phases = (Phase(examples=40, batch=4, frames=1), Phase(examples=80, batch=4, images=0.25))
    return TrainSpec(data=Toybox(), phases=phases, **fields)


def recipe() -> Recipe:
    """Two stages, of which one says how it is trained."""
    text = T5(width=TEXT)
    cascade = CascadeSpec(name="small", text=text, stages=(stage(guidance=2.0), finer()))
    return Recipe(name="small", cascade=cascade, training={"base": trained()})


def test_distillation_is_counted_with_what_the_teacher_is_asked() -> None:
    lesson = Phase(examples=12, batch=4)
    spec = DistilSpec(start=4, steps=1, guidance=lesson, halving=lesson, last=lesson)
    made = recipe().with_(distillation={"base": spec})
    rounds, device = rounds_of(made, "base"), gpu("h100")
    plan = plan_stage(made.cascade.stage("base"), device, None, rounds=rounds)
    cost = plan.distilling
    assert cost is not None and (cost.rounds, cost.examples, cost.steps) == (3, 36, 1)

    taught = [training(student, spec, device.dtype) for student, spec in rounds]
    alone = [training(student, spec.with_(objective=Denoising()), device.dtype) for student, spec in rounds]
    for more, less in zip(taught, alone, strict=True):  # two calls for every example, and never a backward pass
        assert more.flops - less.flops == pytest.approx(12 * 2 * plan.flops_per_forward, rel=0.01)
        assert more.peak > less.peak + 0.9 * plan.weight_bytes
    assert cost.flops == pytest.approx(sum(one.flops for one in taught))
    assert cost.peak_bytes == max(one.peak for one in taught)
    assert cost.sampling_flops == pytest.approx(plan.flops / 10, rel=0.01)  # of 5 guided steps
    student = plan_stage(rounds[-1][0], device, None)
    assert (cost.sampling_flops, cost.sampling_seconds) == (student.flops, student.seconds)
    told = totals([plan], 10**12)["distillation"]
    assert told == {"flops": cost.flops, "peak_bytes": cost.peak_bytes, "seconds": cost.seconds}
    assert plan.to_json(1)["distillation"]["fits"] is False


@pytest.mark.parametrize("sampler", ["ddim", "stochastic"])
def test_a_distilled_stage_is_counted_in_the_steps_it_was_distilled_for(sampler: str) -> None:
    spec = DistilSpec.from_json({"start": 8, "steps": 4, "sampler": sampler})
    student, _ = rounds_of(recipe().with_(distillation={"base": spec}), "base")[-1]
    work = sampling(student, torch.float32)
    assert student.sampling.steps == 4
    assert flops_of(work.whole) == 4 * work.flops_per_step == 4 * work.flops_per_forward  # one call a step


def test_what_cannot_be_distilled_has_no_plan_of_it() -> None:
    made = recipe().with_(distillation={"base": DistilSpec(start=5, steps=1)})
    assert rounds_of(made, "base") == []


def convolutional() -> StageSpec:
    """A spatial stage that can run in tiles."""
    shape, source = (VideoShape(frames=16, height=side, width=side, fps=2) for side in (96, 24))
    level = Level(width=16, text_attention=True, temporal="convolution")
    network = VideoUNetConfig(embedding=32, head=16, text_width=TEXT, low_res=True, patch=2, levels=(level,))
    return StageSpec(
        name="ssr", shape=shape, inputs=usual_inputs(source), network=network, sampling=SamplingSpec(steps=2)
    )


def test_tiles_count_as_they_are_run() -> None:
    one, tokens = convolutional(), 24
    memory = stage_cost(one, 1, tokens, 16).peak(16 * 60 * 60)
    work, whole = sampling(one, torch.float32, memory), sampling(one, torch.float32)
    with dry() as meter:
        network = one.network.build().eval().requires_grad_(False)
        text = text_given(torch.zeros(1, tokens, TEXT), torch.ones(1, tokens, dtype=torch.bool))
        video, draw = torch.zeros(1, 3, 16, 24, 24), Draw(seed=0, samples=[0], memory=memory)
        meter.restart()
        for _ in sample_stage(one, network, text, video, draw):
            pass
    assert flops_of(work.whole) == flops_of(meter.tally) > flops_of(whole.whole)
    assert work.peak < whole.peak and work.flops_per_forward == whole.flops_per_forward
    least = least_memory(one, 1, tokens, torch.device("cpu"))
    with pytest.raises(ValueError, match="memory: stage 'ssr'"):
        sampling(one, torch.float32, least - 1)


@pytest.mark.parametrize(("frames", "side", "steps", "off"), [(512, 96, 2, 0.1), (16, 768, 2, 0.1), (512, 96, 1, 0.15)])
def test_frames_that_follow_one_another_count_as_they_are_run(frames: int, side: int, steps: int, off: float) -> None:
    one, low = convolutional(), side // 4
    shape, source = (VideoShape(frames=frames, height=size, width=size, fps=2) for size in (side, low))
    sampled = SamplingSpec(sampler=DDIM(), steps=steps)
    one = one.on(shape, source).with_(sampling=sampled)
    layout = plan_layout(one, 1, 24, None, torch.device("cpu"))
    assert layout.part is not None and len(layout.tiles) == 1 and 8 * layout.part < frames
    work = sampling(one, torch.float32)
    with dry() as meter:
        network = one.network.build().eval().requires_grad_(False)
        text = text_given(torch.zeros(1, 24, TEXT), torch.ones(1, 24, dtype=torch.bool))
        video, draw = torch.zeros(1, 3, frames, low, low), Draw(seed=0, samples=[0], layout=layout)
        meter.restart()
        for _ in sample_stage(one, network, text, video, draw):
            pass
    told, run = (Counter({key: n for key, n in tally.items() if key.flops}) for tally in (work.whole, meter.tally))
    assert sum(told.values()) == sum(run.values()) and flops_of(told) == pytest.approx(flops_of(run), rel=0.01)
    assert work.peak == pytest.approx(meter.live.peak, rel=off)


def test_flops_of_layers_are_those_by_hand() -> None:
    pixels = math.prod((2, *(4, 8, 16)))
    with dry() as meter:
        h = torch.zeros(2, 4, 8, 16, 24)
        meter.restart()
        SpatialConv(24, 40)(h)
        assert flops_of(meter.tally) == 2 * pixels * 9 * 24 * 40
        meter.restart()
        TemporalConv(24)(h, None)
        assert flops_of(meter.tally) == 2 * pixels * 3 * 24 * 24
        meter.restart()
        q = torch.zeros(6, 4, 50, 32)
        scaled_dot_product_attention(q, q, q, attn_mask=torch.zeros(1, 4, 50, 50))
        assert flops_of(meter.tally) == 2 * 2 * 6 * 4 * 50 * 50 * 32
        [attention] = [operation for operation in meter.tally if operation.kind == "attention"]
        assert attention.size == 50
        meter.restart()
        torch.nn.Linear(24, 7, bias=False)(h)
        assert flops_of(meter.tally) == 2 * pixels * 24 * 7


def test_flops_of_a_network_are_those_by_hand() -> None:
    pixels = SHAPE.frames * SHAPE.height * SHAPE.width
    spatial = 9 * (3 * WIDTH + 2 * WIDTH**2 + WIDTH * 3)  # enter, two in the block, leave
    convolutions = 2 * pixels * (spatial + 3 * WIDTH**2)
    work = sampling(stage(), torch.float32)
    convolved = sum(op.flops * n for op, n in work.whole.items() if op.kind == "convolution") / 5
    assert convolved == convolutions
    assert 1 < work.flops_per_forward / convolutions < 1.05  # the conditioning vector is small


def test_guidance_doubles_and_heun_calls_twice() -> None:
    plain = sampling(stage(), torch.float32)
    guided = sampling(stage(guidance=Oscillating()), torch.float32)
    twice, corrected = (sampling(stage(sampler=sampler), torch.float32) for sampler in (Heun(), Langevin()))
    assert plain.flops_per_step == plain.flops_per_forward
    assert guided.flops_per_step == pytest.approx(2 * plain.flops_per_step, rel=1e-3)
    assert guided.flops_per_forward == pytest.approx(plain.flops_per_forward, rel=1e-3)
    assert flops_of(plain.whole) == 5 * plain.flops_per_step
    assert flops_of(twice.whole) == 9 * plain.flops_per_step  # one call in the last step
    assert flops_of(corrected.whole) == 9 * plain.flops_per_step


def test_one_step_and_a_source() -> None:
    one = stage().with_(sampling=SamplingSpec(steps=1))
    assert flops_of(sampling(one, torch.float32).whole) == sampling(one, torch.float32).flops_per_step
    work = sampling(finer(), torch.bfloat16)
    assert {op.kind for op in work.whole} >= {"attention", "convolution", "matmul", "norm", "random", "rearrange"}


def test_a_backward_pass_is_twice_a_forward_one() -> None:
    work, spec = training(stage(), trained(), torch.float32), trained()
    forward = sampling(stage(), torch.float32).flops_per_forward
    (_, pictures, _), (_, clips, _) = work.phases
    assert flops_of(clips) / 4 == pytest.approx(3 * forward, rel=0.1)  # packs of images have a text for each frame
    assert flops_of(pictures) < flops_of(clips) / 4
    assert work.flops == flops_of(pictures) * 10 + flops_of(clips) * 20
    halves = training(stage(), trained(accumulate=2), torch.float32)
    assert halves.flops == pytest.approx(work.flops, rel=0.01) and halves.peak < work.peak
    assert work.largest == 1 and work.phases[1][0] == spec.phases[1]


def test_memory_is_what_is_held() -> None:
    with dry() as meter:
        kept = torch.zeros(1000)
        view = kept[10:20]
        passing = torch.ones(500)
        assert meter.live.now == 6000
        del passing
        assert (meter.live.now, meter.live.peak) == (4000, 6000)
        del kept
        assert meter.live.now == 4000 and view.shape == (10,)
        meter.restart()
        assert meter.live.peak == 4000
        view = view + 1
        assert (meter.live.now, meter.live.peak) == (40, 4040)


def test_memory_of_stages() -> None:
    work = sampling(stage(), torch.float32)
    widest = 4 * SHAPE.frames * SHAPE.height * SHAPE.width * WIDTH
    assert work.weight_bytes == 4 * work.parameters
    assert work.weight_bytes + 2 * widest < work.peak < work.weight_bytes + 6 * widest
    learnt = training(stage(), trained(), torch.float32)
    assert learnt.peak > 5 * work.weight_bytes + 4 * 6 * widest  # weights, their mean, gradients, two moments; a batch


def test_prices_of_a_gpu() -> None:
    card = gpu("H100 PCIe")
    figures = GPUS["h100-pcie"]
    product = Operation("matmul", False, 10**15, 10**6, 4096)
    assert card.price(product) == pytest.approx(1e15 / (0.5 * figures.flops))
    assert card.price(Operation("pointwise", False, 0, 10**12, 10**12)) == pytest.approx(1e12 / (0.8 * 2.0e12))
    assert card.price(Operation("pointwise", False, 0, 8, 8)) == pytest.approx(6e-6)
    assert card.price(Operation("view", False, 0, 0, 0)) == 0
    assert gpu("rtx 4090").name == gpu("NVIDIA GeForce RTX 4090").name == "rtx4090"
    with pytest.raises(ValueError, match="--device: unknown device 'rtx4091'; did you mean 'rtx4090'"):
        gpu("rtx4091")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA A100-SXM4-40GB", "a100-40gb"),
        ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
        ("NVIDIA GeForce RTX 3090", "rtx3090"),
        ("NVIDIA L40S", "l40s"),
        ("Tesla T4", "t4"),
    ],
)
def test_cards_by_what_they_call_themselves(title: str, name: str) -> None:
    assert of_card(title) == name


@pytest.mark.parametrize(
    "title",
    [
        "Quadro 600", "NVIDIA L40", "NVIDIA A10G", "NVIDIA GH200 480GB", "NVIDIA T400 4GB", "NVIDIA H100 NVL",
        "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 3090 Ti", "Tesla V100-SXM2-16GB",
        "NVIDIA H100 64GB HBM2", "NVIDIA A100-SXM4-80GB MIG 1g.10gb", "",
    ],
)  # fmt: skip
def test_a_card_without_figures(title: str) -> None:
    """Also one whose name holds another's, or that has other memory."""
    with pytest.raises(ValueError, match="expected a card with published figures"):
        of_card(title)


def test_speed_between_sizes() -> None:
    speed = Speed([10, 1000], [4.0, 1.0])
    assert [speed.at(size) for size in (1, 10, 1000, 10**6)] == [4, 4, 1, 1]
    assert speed.at(100) == pytest.approx(2)


def test_calibration_prices_every_kind() -> None:
    state = torch.random.get_rng_state()
    here = cpu(torch.float32)
    assert torch.equal(state, torch.random.get_rng_state())
    work = training(finer(), TrainSpec(data=Toybox(), phases=(Phase(examples=4, batch=4),)), torch.float32)
    [(_, tally, _)] = work.phases
    assert all(0 < here.price(operation) < 1 for operation in tally)
    small, large = (Operation("matmul", False, flops, 10**6, 256) for flops in (10**7, 10**9))
    assert here.price(large) > 10 * here.price(small)


def test_totals() -> None:
    made = recipe()
    place = gpu("t4")
    plans = [plan_stage(stage, place, made.training.get(stage.name)) for stage in made.cascade.stages]
    total = totals(plans, place.memory)
    assert total["seconds"] == sum(plan.seconds for plan in plans)
    assert total["peak_bytes"] == max(plan.peak_bytes for plan in plans)
    first, second = plans
    assert second.learning is None and first.learning is not None
    assert first.learning.examples == 120
    assert first.learning.peak_bytes == first.learning.peak_bytes_kept > first.learning.peak_bytes_checkpointed
    again = override(made.cascade, "stages.base.network.checkpointing", True).stages[0]
    learning = plan_stage(again, place, made.training["base"]).learning
    assert learning is not None and learning.checkpointing
    assert learning.peak_bytes == first.learning.peak_bytes_checkpointed
    assert learning.peak_bytes_kept == first.learning.peak_bytes_kept
    assert learning.flops > first.learning.flops


def test_recomputing_is_asked_of_the_same_batches() -> None:
    """With grids too: of the second, which needs most, a batch has 3 clips instead of 4."""
    grids = (Grid(frames=4, height=8, width=16), Grid(frames=2, height=16, width=24))
    spec = TrainSpec(data=Toybox(), phases=(Phase(examples=80, batch=4),), grids=grids, same_pixels=True)
    work = training(stage(), spec, torch.float32)
    assert work.largest == 1 and work.phases[1][0].batch == 3
    other = override(recipe().cascade, "stages.base.network.checkpointing", True).stages[0]
    kept, again = (plan_stage(each, gpu("t4"), spec).learning for each in (stage(), other))
    assert kept is not None and again is not None
    assert kept.peak_bytes_checkpointed == again.peak_bytes < kept.peak_bytes == again.peak_bytes_kept


@pytest.fixture
def file(tmp_path: Path) -> str:
    """The recipe as a file."""
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe().to_json()))
    return str(path)


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    """The command as it is typed: its exit status, stdout and stderr."""
    monkeypatch.setattr("sys.argv", ["zoetrope", "plan", *words])
    try:
        code: Any = main()
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    return int(code or 0), out, err


def test_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    words = [file, "--device", "a100-40gb", "--until", "base", "--set", "base.sampling.steps=7", "--json", "--quiet"]
    code, out, err = run(capsys, monkeypatch, *words)
    value = json.loads(out)
    assert (code, err) == (0, "")
    [base] = value["stages"]
    assert base["steps"] == 7 and base["fits"] and base["training"]["examples"] == 120
    assert {"name", "parameters", "flops_per_step", "peak_bytes", "seconds"} <= base.keys()
    assert value["device"] == {"name": "a100-40gb", "title": "NVIDIA A100 SXM 40 GB", "memory": 40 * 10**9}
    assert value["total"]["flops"] == base["flops"] == 7 * base["flops_per_step"]
    code, out, err = run(capsys, monkeypatch, file, "--device", "t4")
    assert value["assumed"] and "about" in out and "Times are assumed" in out
    assert code == 0 and "training:" in out and "distillation:" in out and "ssr: counted" in err and "(!)" not in out
    assert [line.split()[0] for line in out.splitlines() if line.startswith(("base", "ssr", "all"))].count("base") == 3


@pytest.mark.parametrize(
    ("seconds", "assumed", "told"),
    [
        (0.0123456, False, "0.012 s"),
        (0.0123456, True, "about 0.01 s"),
        (119.9, False, "120 s"),
        (119.9, True, "about 100 s"),
        (9000, False, "2.5 h"),
        (40 * 86_400, True, "about 40 days"),
        (1234 * 31_557_600, False, "1,200 years"),
    ],
)
def test_times_have_no_more_digits_than_are_known(seconds: float, assumed: bool, told: str) -> None:
    assert _time(seconds, assumed) == told


def test_all_seven_stages(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of the cascade that ships, on a smaller grid."""
    given, stages = load_recipe("mini").cascade, list[StageSpec]()
    for large in given.stages:
        frames, height, width = large.shape.sizes
        shape = VideoShape(frames=frames // 8, height=height // 3, width=width // 5, fps=large.shape.fps)
        stages.append(large.on(shape, stages[-1].shape if stages else None))
    cascade = CascadeSpec(name="small", text=given.text, stages=tuple(stages))
    path = tmp_path / "seven.json"
    path.write_text(json.dumps(Recipe(name="small", cascade=cascade, training={}).to_json()))
    code, out, _ = run(capsys, monkeypatch, str(path), "--device", "h100", "--json", "--quiet")
    planned = json.loads(out)["stages"]
    assert code == 0
    assert [stage["name"] for stage in planned] == ["base", "tsr1", "ssr1", "ssr2", "tsr2", "tsr3", "ssr3"]
    for stage in planned:
        assert all(stage[field] > 0 for field in ("parameters", "flops_per_step", "peak_bytes", "seconds"))


def test_a_sibling_of_a_recipe() -> None:
    for name, width in (("imagen_video@0.25", 0.25), ("imagen_video@1", 1.0), ("imagen_video", 1.0)):
        assert is_recipe(name) and load_recipe(name) == imagen_video.recipe(width)
    assert imagen_video.recipe(0.25) != imagen_video.recipe()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--device", "h10"], "--device: unknown device 'h10'; did you mean 'h100'?"),
        (["--until", "bass"], "unknown stage 'bass'; did you mean 'base'?"),
        (["--set", "base.sampling.stepz=1"], "unknown field 'stepz'; did you mean 'steps'?"),
        (["--set", "tsr9.sampling.steps=1"], "unknown stage 'tsr9'"),
        (["--memory", "1MB"], "memory: stage 'ssr' (4x16x32@2fps) needs 50"),
    ],
)
def test_bad_input(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    words: list[str],
    message: str,
) -> None:
    device = [] if "--device" in words else ["--device", "t4"]
    code, out, err = run(capsys, monkeypatch, file, *device, *words)
    assert (code, out) == (2, "") and message in err


def test_what_cannot_be_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken.json").write_text("{")
    for what, message in (
        ("broken.json", "not a recipe"),
        ("none.json", "no such file"),
        ("minny", "unknown model"),
        ("mini@half", "mini@half: this recipe has one width only; leave out '@half'"),
        ("imagen_video@half", "imagen_video@half: expected a number after '@', got 'half'"),
        ("imagen_video@2", "width: expected a factor above 0 and at most 1, such as 0.25, got 2"),
        ("imagen_video@nan", "width: expected a factor above 0 and at most 1, such as 0.25, got nan"),
    ):
        name = str(tmp_path / what) if what.endswith(".json") else what
        code, out, err = run(capsys, monkeypatch, name, "--device", "t4")
        assert (code, out) == (2, "") and message in err


def test_training_on_a_part_of_each_clip_costs_its_share() -> None:
    spec = TrainSpec(data=Toybox(), phases=(Phase(examples=8, batch=2),))
    shape = VideoShape(frames=8, height=8, width=16, fps=4)
    network = VideoUNetConfig(embedding=64, text_width=TEXT, low_res=True, levels=(Level(width=WIDTH),))
    tsr = StageSpec(name="tsr", shape=shape, inputs=usual_inputs(SHAPE), network=network)
    whole, part = (training(tsr, spec.with_(span=span), torch.float32) for span in (None, 4))
    assert 0.4 < part.flops / whole.flops < 0.6
