"""Sampling a stage with real networks: what noise depends on, text led away from, and specs that are refused."""

import json
import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import zoetrope.cascade.noise as drawing
from zoetrope.cascade.execution.layout import Layout
from zoetrope.cascade.execution.tiles import Tile
from zoetrope.cascade.noise import seeded, video_noise, window_noise
from zoetrope.cascade.sample import Draw, sample_stage
from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.guidance import Guidance
from zoetrope.guidance.oscillating import Oscillating
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.inputs.text import text_given
from zoetrope.models.finding import shipped
from zoetrope.models.folder import read_spec
from zoetrope.networks import Network
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.recipes.mini import recipe
from zoetrope.samplers import Sampler
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape, Window
from zoetrope.text.t5 import T5
from zoetrope.training.spec import Recipe

BASE = VideoShape(frames=2, height=4, width=8, fps=3)
TSR = VideoShape(frames=4, height=4, width=8, fps=6)
SSR = VideoShape(frames=4, height=8, width=16, fps=6)
LEVELS = (Level(width=8, temporal="convolution"), Level(width=16, text_attention=True, temporal="attention"))


def stage(
    name: str = "base",
    shape: VideoShape = BASE,
    source: VideoShape | None = None,
    *,
    noise: float | None = math.log(3),
    **sampling: Any,
) -> StageSpec:
    network = VideoUNetConfig(low_res=source is not None, text_width=6, embedding=16, head=8, levels=LEVELS)
    spec = SamplingSpec(**{"steps": 3} | sampling)
    inputs = usual_inputs(source, logsnr=noise)
    return StageSpec(name=name, shape=shape, inputs=inputs, network=network, sampling=spec)


def network_of(spec: StageSpec) -> Network:
    torch.manual_seed(0)
    network = spec.network.build().eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def text(count: int, seed: int = 0) -> Conditioning:
    values = torch.randn(count, 3, 6, generator=torch.Generator().manual_seed(seed))
    return text_given(values, torch.ones(count, 3, dtype=torch.bool))


def low(count: int) -> Tensor:
    return torch.randn(count, 3, 2, 4, 8, generator=torch.Generator().manual_seed(9)).clamp(-1, 1)


def sample(spec: StageSpec, given: Conditioning, video: Tensor | None, draw: Draw) -> Tensor:
    steps = list(sample_stage(spec, network_of(spec), given, video, draw))
    assert len(steps) == spec.sampling.steps
    return steps[-1]


@pytest.mark.parametrize("sampler", [DDIM(), Ancestral()], ids=repr)
@pytest.mark.parametrize("guidance", [0.0, 2.0])
@pytest.mark.parametrize("temporal", [False, True])
def test_a_video_does_not_depend_on_its_batch(sampler: Sampler, guidance: float, temporal: bool) -> None:
    spec = (
        stage("tsr", TSR, BASE, sampler=sampler, guidance=guidance)
        if temporal
        else stage(sampler=sampler, guidance=guidance)
    )
    given, video = text(3), low(3) if temporal else None
    together = sample(spec, given, video, Draw(seed=4, samples=(0, 1, 7)))
    for row, number in enumerate((0, 1, 7)):
        one = torch.tensor([row])
        alone = sample(spec, given.select(one), None if video is None else video[one], Draw(seed=4, samples=(number,)))
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-5)  # the rounding of float32, guided


@pytest.mark.parametrize("guidance", [TextGuidance(weight=6.0), Oscillating()], ids=repr)
def test_guidance_takes_two_calls_a_step_with_text_and_one_without(guidance: Guidance) -> None:
    told = stage(guidance=guidance)
    network = told.network.with_(text_width=None, levels=LEVELS[:1])
    silent = told.with_(inputs=(), network=network)
    unguided = silent.with_(sampling=told.sampling.with_(guidance=0.0))
    draw, made, rows = Draw(seed=0, samples=(0, 1), negative=text(1, seed=2)), [], []
    for spec in (told, silent, unguided):
        network = network_of(spec)
        network.register_forward_pre_hook(lambda module, given: rows.append(len(given[0])))
        made.append(list(sample_stage(spec, network, text(2), None, draw))[-1])
    assert rows == [4, 4, 4, 2, 2, 2, 2, 2, 2]
    assert torch.equal(made[1], made[2])


def test_noise_depends_on_seed_sample_purpose_and_frame() -> None:
    first = video_noise(0, 0, "base start", BASE, 3)
    assert torch.equal(first, video_noise(0, 0, "base start", BASE, 3))
    others = [video_noise(1, 0, "base start", BASE, 3), video_noise(0, 1, "base start", BASE, 3)]
    others += [video_noise(0, 0, "base step 0", BASE, 3), video_noise(0, 0, "tsr start", BASE, 3)]
    assert not any(torch.equal(first, other) for other in others)
    assert not torch.equal(first[:, 0], first[:, 1])
    longer = video_noise(0, 0, "base start", BASE.with_(frames=5), 3)
    assert torch.equal(longer[:, :2], first)


def test_noise_is_standard_normal_and_leaves_the_global_state_alone() -> None:
    before = torch.random.get_rng_state()
    noise = video_noise(3, 0, "base start", VideoShape(frames=8, height=64, width=64, fps=1), 3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert float(noise.mean()) == pytest.approx(0, abs=0.013)  # 98 304 values: four standard errors
    assert float(noise.std()) == pytest.approx(1, abs=0.01)
    assert len({seeded(0, "a", n) for n in range(1000)}) == 1000
    assert 0 <= seeded("x") < 2**63
    assert seeded(0, np.int64(3)) == seeded(0, 3) != seeded(0, "3")


def test_noise_of_both_schemes_is_what_it_was() -> None:
    """What a seed makes must never change; other platforms may round a rare value in another way."""
    known = {
        "philox": [0.18235923, 1.42005122, -1.44196975],
        "mersenne": [-0.99618280, -0.62379593, 0.06957663],
    }
    for scheme, values in known.items():
        drawn = video_noise(3, 1, "base start", BASE, 3, scheme)  # type: ignore[arg-type]
        assert drawn[:, 1, 2, 5].tolist() == pytest.approx(values, abs=1e-6)


def test_frames_whose_seeds_are_alike_in_32_bits_differ() -> None:
    """PyTorch's generator of a CPU looks at no more of a seed, so that frames of some hundred videos were equal."""
    twins = [0, 0]
    low: dict[int, int] = {}
    for sample in range(200_000):
        key = seeded(0, sample, "base start", 0) & 0xFFFFFFFF
        if key in low:
            twins = [low[key], sample]
            break
        low[key] = sample
    shape = VideoShape(frames=1, height=4, width=4, fps=1)
    one, other = (video_noise(0, sample, "base start", shape, 3, "mersenne") for sample in twins)
    assert torch.equal(one, other)
    one, other = (video_noise(0, sample, "base start", shape, 3) for sample in twins)
    assert not torch.isclose(one, other).any()


@pytest.mark.parametrize("scheme", ["philox", "mersenne"])
def test_noise_has_no_memory(scheme: Any) -> None:
    """Frames, samples, seeds and purposes are independent of each other, and normal far into the tails."""
    shape = VideoShape(frames=16, height=64, width=64, fps=1)
    drawn = torch.stack(
        [
            video_noise(seed, sample, f"base step {step}", shape, 1, scheme)
            for seed in (0, 1)
            for sample in (0, 1)
            for step in (0, 1)
        ]
    )
    rows = drawn.reshape(-1, 64 * 64).double()
    correlation = rows @ rows.T / rows.shape[1]
    off = correlation - torch.diag(correlation.diagonal())
    assert float(off.abs().max()) * math.sqrt(rows.shape[1]) < 5.2  # 8128 pairs: beyond 5.2 once in a thousand runs
    for bound in (1.0, 2.0, 3.0, 4.0):
        expected = math.erfc(bound / math.sqrt(2)) * rows.numel()
        assert abs(int((rows.abs() > bound).sum()) - expected) < 4 * math.sqrt(expected) + 1


def test_noise_may_be_given() -> None:
    """Of the whole batch, whatever is sampled together; it takes the place of what a seed would draw."""
    spec = stage("tsr", TSR, BASE, sampler=Ancestral(), guidance=2.0)
    asked = []

    def again(purpose: str, window: Window) -> Tensor:
        asked.append(purpose)
        return window_noise(7, (0, 1), f"tsr {purpose}", TSR, 3, window)

    drawn = sample(spec, text(2), low(2), Draw(seed=7, samples=(0, 1)))
    given = sample(spec, text(2), low(2), Draw(seed=0, samples=(5, 6), noise=again))
    assert torch.equal(given, drawn)
    assert set(asked) == {"start", "augment", "step 0", "step 1"}
    whole = Tile(Window.whole(TSR), Window.whole(TSR))
    apart = Draw(seed=0, samples=(5, 6), noise=again, layout=Layout([whole], one_at_a_time=True))
    torch.testing.assert_close(sample(spec, text(2), low(2), apart), drawn, rtol=0, atol=1e-5)
    zeros = sample(
        spec,
        text(2),
        low(2),
        Draw(seed=7, samples=(0, 1), noise=lambda purpose, window: torch.zeros(2, 3, *window.sizes)),
    )
    assert not torch.allclose(zeros, drawn)


def test_the_noise_of_a_cascade_is_part_of_its_json() -> None:
    spec = cascade(stage())
    assert spec.noise == "philox" and spec.to_json()["noise"] == "philox"
    assert CascadeSpec.from_json(spec.to_json()) == spec
    before = {name: value for name, value in spec.to_json().items() if name != "noise"}
    assert CascadeSpec.from_json(before) == CascadeSpec.from_json(json.dumps(before)) == spec.with_(noise="mersenne")
    spec = recipe().to_json()
    del spec["cascade"]["noise"]
    assert Recipe.from_json(spec).cascade.noise == Recipe.from_json(json.dumps(spec)).cascade.noise == "mersenne"
    assert read_spec(shipped()["mini"]).noise == "philox"


def test_types_that_networks_cannot_compute_in() -> None:
    with pytest.raises(ValueError, match=r"dtype: expected torch.float32, .*, got torch.float64"):
        Draw(seed=0, samples=[0], dtype=torch.float64)


def test_text_without_a_mask_is_read_as_it_is() -> None:
    spec, draw = stage(guidance=2.0), Draw(seed=0, samples=(0, 1))
    words = text(2)
    masked, bare, none = (
        sample(spec, given, None, draw)
        for given in (
            words,
            text_given(words.tokens["text"].values),
            text_given(words.tokens["text"].values, torch.zeros(2, 3, dtype=torch.bool)),
        )
    )
    assert torch.equal(masked, bare) and not torch.allclose(masked, none)
    with pytest.raises(ValueError, match=r"mask: expected shape \(2, 3\), .*, got \(2, 4\)"):
        text_given(words.tokens["text"].values, torch.ones(2, 4, dtype=torch.bool))


def test_noise_of_large_videos_is_that_of_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is drawn in several threads; what only counts operations sees them all."""
    shape = VideoShape(frames=8, height=16, width=16, fps=1)
    alone = window_noise(0, [4, 5], "start", shape, 3, Window(range(1, 8), range(4, 12), range(16)))
    monkeypatch.setattr(drawing, "WORTH_THREADS", 1)
    together = window_noise(0, [4, 5], "start", shape, 3, Window(range(1, 8), range(4, 12), range(16)))
    assert torch.equal(alone, together)
    with FakeTensorMode():
        assert video_noise(0, 0, "start", shape, 3).shape == (3, 8, 16, 16)
    with torch.device("meta"):
        assert video_noise(0, 0, "start", shape, 3).is_meta


@pytest.mark.parametrize("scheme", get_args(drawing.Scheme))
def test_noise_does_not_depend_on_the_default_dtype(scheme: drawing.Scheme) -> None:
    shape = VideoShape(frames=2, height=4, width=4, fps=1)
    usual = video_noise(0, 0, "start", shape, 3, scheme)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(video_noise(0, 0, "start", shape, 3, scheme), usual)
    finally:
        torch.set_default_dtype(torch.float32)


def test_start_noise_and_augmentation_reach_the_sampler() -> None:
    spec = stage("tsr", TSR, BASE, steps=1)
    a, b = (sample(spec, text(1), low(1), Draw(seed=seed, samples=(0,))) for seed in (0, 1))
    assert not torch.equal(a, b)


def test_without_augmentation_the_network_is_told_the_cleanest_level_of_training() -> None:
    spec, told = stage("tsr", TSR, BASE, steps=1, noise=None), []
    network = network_of(spec)
    network.register_forward_pre_hook(lambda module, inputs: told.append(inputs[2]))
    list(sample_stage(spec, network, text(2), low(2), Draw(seed=0, samples=(0, 1))))
    assert told[0].numbers["low_res_logsnr"].tolist() == pytest.approx([9.69, 9.69], abs=0.01)
    assert torch.equal(told[0].maps["low_res"][:, :, ::2], low(2))


@pytest.mark.parametrize("noise", [None, math.log(3)], ids=["clean", "augmented"])
def test_frames_that_are_kept_come_back_bit_for_bit_and_the_others_follow_from_them(noise: float | None) -> None:
    draw = Draw(seed=0, samples=(0, 1))
    anew, kept = (
        sample(stage("tsr", TSR, BASE, noise=noise, keep_frames=keep), text(2), low(2), draw) for keep in (False, True)
    )
    assert torch.equal(kept[:, :, ::2], low(2))
    assert not torch.equal(anew[:, :, ::2], low(2))
    assert not torch.equal(kept[:, :, 1::2], anew[:, :, 1::2])  # each step sees the kept frames of the step before
    assert kept.abs().max() <= 1


def test_samples_are_legal_for_every_threshold() -> None:
    for threshold in ("static", 0.9):
        out = sample(stage(threshold=threshold, guidance=9.0), text(2), None, Draw(seed=0, samples=(0, 1)))
        assert out.shape == (2, 3, 2, 4, 8)
        assert out.abs().max() <= 1
    free = sample(stage(threshold=None, guidance=9.0), text(2), None, Draw(seed=0, samples=(0, 1)))
    assert free.abs().max() > 1


def test_negative_text_takes_the_place_of_no_text() -> None:
    draw = Draw(seed=0, samples=(0,))
    plain = sample(stage(guidance=3.0), text(1), None, draw)
    against = sample(stage(guidance=3.0), text(1), None, Draw(seed=0, samples=(0,), negative=text(1, seed=5)))
    itself = sample(stage(guidance=3.0), text(1), None, Draw(seed=0, samples=(0,), negative=text(1)))
    unguided = sample(stage(guidance=0.0), text(1), None, draw)
    assert not torch.allclose(plain, against)
    torch.testing.assert_close(itself, unguided, rtol=0, atol=1e-5)  # away from itself is nowhere


def test_oscillating_guidance_between_its_ends() -> None:
    draw = Draw(seed=0, samples=(0,))
    constant = sample(stage(guidance=5.0), text(1), None, draw)
    same = sample(stage(guidance=Oscillating(high=5, low=1, constant=3)), text(1), None, draw)
    other = sample(stage(guidance=Oscillating(high=5, low=1, constant=1)), text(1), None, draw)
    assert torch.equal(constant, same)
    assert not torch.allclose(constant, other)


def test_weights_of_each_step() -> None:
    assert SamplingSpec(steps=3, guidance=2).weights() == [2, 2, 2]
    assert SamplingSpec(steps=6, guidance=Oscillating(high=9, low=1, constant=2)).weights() == [9, 9, 1, 9, 1, 9]


def test_shifted_schedules_sample() -> None:
    spec = stage().with_(schedule=Cosine(shift=-3))
    assert sample(spec, text(1), None, Draw(seed=0, samples=(0,))).isfinite().all()


def cascade(*stages: StageSpec) -> CascadeSpec:
    return CascadeSpec(name="tiny", text=T5(width=6), stages=stages)


def three() -> CascadeSpec:
    return cascade(stage(), stage("tsr1", TSR, BASE), stage("ssr1", SSR, TSR))


def test_kinds_of_stages_follow_from_their_shapes() -> None:
    assert [spec.kind for spec in three().stages] == ["base", "tsr", "ssr"]


def test_until() -> None:
    spec = three()
    assert [s.name for s in spec.until(None)] == ["base", "tsr1", "ssr1"]
    assert [s.name for s in spec.until("tsr1")] == ["base", "tsr1"]
    with pytest.raises(ValueError, match=r"tiny: unknown stage 'tsr2'; did you mean 'tsr1'\?"):
        spec.until("tsr2")


def test_a_cascade_comes_back_from_json() -> None:
    spec = three()
    assert CascadeSpec.from_json(spec.to_json()) == spec


def test_stages_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="stage 'ssr1' expects 4x4x8@6fps, but 'base' makes 2x4x8@3fps"):
        cascade(stage(), stage("ssr1", SSR, TSR))
    with pytest.raises(ValueError, match="stage 'tsr1' expects 2x4x8@3fps, but it is the first stage"):
        cascade(stage("tsr1", TSR, BASE))
    with pytest.raises(ValueError, match="stage 'again' expects nothing, but 'base' makes"):
        cascade(stage(), stage("again"))
    with pytest.raises(ValueError, match="names must differ"):
        cascade(stage(), stage("base", TSR, BASE))
    with pytest.raises(ValueError, match="at least 1"):
        cascade()


def test_stages_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="frames 4 is no multiple of its source's 3"):
        stage("tsr", TSR, BASE.with_(frames=3, fps=4.5))
    with pytest.raises(ValueError, match="height 8 is no multiple of its source's 16"):
        stage("ssr", SSR, SSR.with_(height=16))
    with pytest.raises(ValueError, match="width: expected a multiple of 2, got 7; the nearest is 8"):
        stage(shape=BASE.with_(width=7))
    with pytest.raises(ValueError, match="name"):
        stage("Base Stage")
    with pytest.raises(ValueError, match="seconds"):
        stage("tsr", TSR.with_(fps=3), BASE)
    both = SSR.with_(frames=8, fps=12)
    for name, shape, source in (("base", BASE, None), ("ssr", SSR, TSR), ("both", both, TSR)):
        with pytest.raises(ValueError, match=f"'{name}': sampling.keep_frames is for stages that only add frames"):
            stage(name, shape, source, keep_frames=True)


@pytest.mark.parametrize(
    "field", [{"steps": 0}, {"guidance": -1}, {"threshold": 0}, {"threshold": 1.5}, {"threshold": "dynamic"}]
)
def test_sampling_that_cannot_be_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(field))):
        SamplingSpec(**field)
