"""The transformer as a stage: its fast twin, what it costs before it runs, sampling and training."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from zoetrope.cascade.execution.meter import peak_bytes
from zoetrope.cascade.sample import Draw, sample_stage
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.data.toybox import Toybox
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.inputs.text import text_given
from zoetrope.layers.attention import TextAttention
from zoetrope.layers.elementwise import Sum, SumOfProduct
from zoetrope.layers.fused import FAST, fused
from zoetrope.networks import ClipBatch
from zoetrope.networks.dit import DiTConfig
from zoetrope.planning.count import dry
from zoetrope.planning.work import TOKENS, sampling, training
from zoetrope.shapes import VideoShape
from zoetrope.training.optimizers import optimizers
from zoetrope.training.spec import Phase, TrainSpec

from .test_dit import awake, config, every_attention

CPU = torch.device("cpu")
SHAPE = VideoShape(frames=4, height=8, width=16, fps=4)
FINER = VideoShape(frames=8, height=16, width=32, fps=8)


def asked(count: int, frames: int = 3, height: int = 8, width: int = 12) -> tuple[Tensor, Tensor, Conditioning]:
    draw = torch.Generator().manual_seed(1)
    z, low_res = torch.randn(2, count, 3, frames, height, width, generator=draw)
    mask = torch.tensor([[True, True, False]]).repeat(count, 1)
    given = text_given(torch.randn(count, 3, 8, generator=draw), mask)
    level = torch.linspace(-1, 1, count)
    return z, level, given | Conditioning(maps={"low_res": low_res}, numbers={"low_res_logsnr": level + 2})


@every_attention
@pytest.mark.parametrize("modulation", ["block", "shared"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_fused_network_answers_as_before(attention: str, modulation: str, count: int) -> None:
    made = config(attention=attention, modulation=modulation, low_res=True, anchored=True, causal=True)
    plain, given = awake(made.build()), asked(count)
    fast, kept = fused(plain), copy.deepcopy(given[0])
    assert {type(m) for m in plain.modules()} & FAST.keys() >= {Sum, SumOfProduct, TextAttention}
    assert not {type(m) for m in fast.modules()} & FAST.keys()
    with torch.no_grad():
        torch.testing.assert_close(fast(*given), plain(*given), rtol=1e-4, atol=1e-4)
        per_frame = given[1][:, None].expand(-1, 3)
        torch.testing.assert_close(fast(given[0], per_frame, given[2]), plain(*given), rtol=1e-4, atol=1e-4)
        packed = fast.pack([ClipBatch(*given), ClipBatch(*asked(1, 1, 4, 6))])
        torch.testing.assert_close(packed[0], plain(*given), rtol=1e-4, atol=1e-4)
        first, _ = fast.continued(*given)
        torch.testing.assert_close(first, plain(*given), rtol=1e-4, atol=1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(fast(*given), plain(*given), rtol=0.1, atol=0.3)
        assert torch.equal(given[0], kept)
        exact, (z, level, conditioning) = copy.deepcopy(plain).double(), given
        wide = z.double(), level.double(), conditioning.to(CPU, torch.float64)
        torch.testing.assert_close(fused(exact)(*wide), exact(*wide), rtol=0, atol=1e-11)


def stage(low_res: bool = False, **fields: Any) -> StageSpec:
    """A base stage, or one that adds frames and pixels."""
    network = config(low_res=low_res, **fields)
    more = {"inputs": usual_inputs(SHAPE)} if low_res else {}
    shape = FINER if low_res else SHAPE
    return StageSpec(name="stage", shape=shape, network=network, sampling=SamplingSpec(steps=2, guidance=2.0), **more)


def by_hand(one: StageSpec) -> int:
    """Multiplications and additions of attention and of linear maps of tokens, for one video."""
    made = one.network
    assert isinstance(made, DiTConfig)
    frames, places = one.shape.frames, one.shape.height * one.shape.width // 4
    tokens, width, row = frames * places, made.width, 12
    keys = (tokens,) if made.attention == "full" else (places, frames)
    attention = sum(4 * width**2 + 2 * seen * width for seen in keys)
    text = 2 * width**2 + 2 * 32 * width  # of 24 words, rounded up
    ends = row * width * (2 if made.low_res else 1) + width * row
    return 2 * tokens * (made.depth * (attention + text + 8 * width**2) + ends)


@every_attention
@pytest.mark.parametrize("low_res", [False, True])
def test_flops_are_those_by_hand(attention: str, low_res: bool) -> None:
    one = stage(low_res, attention=attention)
    work = sampling(one, torch.float32)
    assert work.parameters == sum(p.numel() for p in one.network.build().parameters())
    assert 1 < work.flops_per_forward / by_hand(one) < (1.02 if low_res else 1.1)  # modulation and keys of words


@every_attention
@pytest.mark.parametrize("causal", [False, True])
def test_a_dry_run_counts_and_holds_what_a_real_one_does(attention: str, causal: bool) -> None:
    def run() -> None:
        network = config(attention=attention, causal=causal, low_res=True, anchored=True).build()
        z, text = torch.zeros(2, 3, 4, 16, 24), text_given(torch.zeros(2, TOKENS, 8))
        given = Conditioning(maps={"low_res": z}, numbers={"low_res_logsnr": torch.zeros(2)})
        images = Conditioning(images=torch.zeros(2, dtype=torch.bool))
        network(z, torch.zeros(2), text | given | images).square().mean().backward()

    with dry() as meter:
        run()
    assert peak_bytes(run) == pytest.approx(meter.live.peak, rel=0.01)


@every_attention
@pytest.mark.parametrize("low_res", [False, True])
def test_a_stage_samples_and_its_training_is_planned(attention: str, low_res: bool) -> None:
    one = stage(low_res, attention=attention)
    network = fused(awake(one.network.build()).eval())
    video = torch.zeros(1, 3, *SHAPE.sizes) if low_res else None
    text = text_given(torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(0)))
    *_, x_hat = sample_stage(one, network, text, video, Draw(seed=0, samples=[0]))
    assert x_hat.shape == (1, 3, *one.shape.sizes) and x_hat.isfinite().all()
    spec = TrainSpec(data=Toybox(), phases=(Phase(examples=4, batch=4),))
    work = training(one, spec, torch.float32)
    backward = work.flops / 4 / sampling(one, torch.float32).flops_per_forward - 1
    assert 1.95 < backward < 2.5  # of attention, which computes its scores again, 2.5
    less = training(one.with_(network=one.network.with_(checkpointing=True)), spec, torch.float32)
    assert less.peak < 0.8 * work.peak and less.flops > 1.2 * work.flops


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_few_steps_learn(optimizer: Any) -> None:
    torch.manual_seed(0)
    network, (z, level, given) = config(low_res=True).build(), asked(2)
    target = given.maps["low_res"] - z.roll(1, 2)
    steps = optimizers(network, optimizer, betas=(0.9, 0.99), weight_decay=0.0, dtype=torch.float32)
    losses = []
    for _ in range(30):
        loss = (network(z, level, given) - target).square().mean()
        loss.backward()
        losses.append(loss.item())
        for step in steps:
            for group in step.param_groups:
                group["lr"] = 3e-3
            step.step()
            step.zero_grad()
    assert losses[-1] < 0.5 * losses[0] and math.isfinite(losses[-1])
