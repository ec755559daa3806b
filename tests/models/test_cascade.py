"""`Cascade` from Python: what may be asked of it, what it says of what may not, and what passes between stages."""

import logging
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.inputs.low_res import LowRes, usual_inputs
from zoetrope.models.cascade import Cascade, Progress
from zoetrope.models.places import DTYPES
from zoetrope.models.weights import Origin
from zoetrope.networks import Network
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.pretrained import expect_encoder_dtype
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words
from zoetrope.video import Video

GRIDS = {"base": (4, 8, 8, 2), "tsr1": (8, 8, 8, 4), "ssr1": (8, 16, 16, 4)}


def spec(**sampling: Any) -> CascadeSpec:
    stages: list[StageSpec] = []
    for name, (frames, height, width, fps) in GRIDS.items():
        source = stages[-1].shape if stages else None
        levels = (Level(width=8, text_attention=True, temporal="convolution"), Level(width=8))
        network = VideoUNetConfig(low_res=bool(stages), text_width=8, embedding=16, head=8, levels=levels)
        own, inputs = SamplingSpec(steps=2, **sampling), usual_inputs(source, logsnr=math.log(3.0))
        shape = VideoShape(frames=frames, height=height, width=width, fps=fps)
        stages.append(StageSpec(name=name, shape=shape, inputs=inputs, network=network, sampling=own))
    return CascadeSpec(name="tiny", text=Words(width=8), stages=tuple(stages))


def random_network(stage: StageSpec) -> Network:
    torch.manual_seed(len(stage.name))
    network = stage.network.build().eval().requires_grad_(False)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return network


@pytest.fixture(scope="module")
def cascade() -> Cascade:
    return Cascade(spec(guidance=1.0), random_network)


def same(one: Video, other: Video) -> bool:
    return one.fps == other.fps and np.array_equal(one.frames, other.frames)


def test_one_for_a_text_and_a_list_for_a_list(cascade: Cascade) -> None:
    fog, rain = cascade.generate("fog", seed=3), cascade.generate("rain", seed=3)
    assert isinstance(fog, Video) and not same(fog, rain)
    for prompts in (["fog", "rain"], ("fog", "rain")):
        both = cascade.generate(prompts, seed=3)
        assert len(both) == 2 and same(both[0], fog) and same(both[1], rain)
    assert [same(video, fog) for video in cascade.generate(["fog"], seed=3)] == [True]


def test_count_is_of_each_prompt(cascade: Cascade) -> None:
    twice = cascade.generate("fog", count=2, until="base")
    assert len(twice) == 2 and same(twice[0], cascade.generate("fog", until="base")) and not same(*twice)
    four = cascade.generate(["fog", "rain"], count=2, until="base")
    assert same(four[0], twice[0]) and same(four[1], twice[1]) and same(four[2], cascade.generate("rain", until="base"))


def test_together_they_are_the_same_but_for_rounding(cascade: Cascade) -> None:
    alone = cascade.generate(["fog", "rain", "snow"], until="base")
    together = cascade.generate(["fog", "rain", "snow"], until="base", batch=2)
    for one, other in zip(alone, together, strict=True):
        assert np.abs(one.frames.astype(int) - other.frames).max() <= 1


def test_every_option_does_what_it_says(cascade: Cascade) -> None:
    plain = cascade.generate("fog")
    for options in (
        {"seed": 1}, {"steps": 3}, {"guidance": 4.0}, {"sampler": "heun"}, {"negative": "rain"},
    ):  # fmt: skip
        assert not same(plain, cascade.generate("fog", **options)), options  # type: ignore[arg-type]
    made = cascade.generate("fog", size=(16, 8), frames=2, fps=1.0)
    assert made.frames.shape == (4, 32, 16, 3) and made.fps == 2
    assert same(plain, cascade.generate("fog", steps=2, guidance=1.0, memory=10**10, seed=np.int64(0)))  # type: ignore[arg-type]
    assert cascade.spec == spec(guidance=1.0)  # the cascade itself stays as it is


def test_progress_is_called_after_every_step(cascade: Cascade) -> None:
    seen: list[tuple[int, str, int, int]] = []

    def note(now: Progress) -> None:
        seen.append((now.place, now.stage, now.step, len(now.x_hat)))

    cascade.generate(["fog", "rain", "snow"], until="tsr1", batch=2, progress=note)
    steps = [("base", 1), ("base", 2), ("tsr1", 1), ("tsr1", 2)]
    assert seen == [(0, *step, 2) for step in steps] + [(2, *step, 1) for step in steps]


def test_a_video_to_start_from_serves_every_prompt(cascade: Cascade) -> None:
    begun = cascade.generate("fog", until="base")
    one = cascade.generate("fog", video=begun)
    assert all(same(one, video) for video in cascade.generate(["fog", "fog"], video=begun))
    assert len(cascade.generate(["fog", "fog"], video=begun, batch=2, after="base", until="tsr1")) == 2


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ("", {}, "prompt: expected some text, got an empty string"),
        (["fog", " "], {}, "prompts[1]: expected some text, got only blanks"),
        (["fog", 3], {}, "prompts[1]: expected a text or None, got int"),
        ([], {}, "prompts: expected at least one, got none"),
        (7, {}, "prompts: expected a text, None, or a list of them, got int"),
        (b"fog", {}, "prompts: expected a text, None, or a list of them, got bytes"),
        ("fog", {"stepz": 3}, "unknown field 'stepz'"),
        ("fog", {"steps": 0}, "steps: expected above 0"),
        ("fog", {"steps": "many"}, "steps: expected an integer"),
        ("fog", {"guidance": math.nan}, "guidance: expected a finite number"),
        ("fog", {"guidance": -1}, "guidance: expected at least 0"),
        ("fog", {"seed": -1}, "seed: expected at least 0"),
        ("fog", {"count": 0}, "count: expected above 0 and at most 100000, got 0"),
        ("fog", {"count": 10**11}, "count: expected above 0 and at most 100000, got 100000000000"),
        ("fog", {"size": 24}, "size: expected a list"),
        ("fog", {"size": (7, 8)}, "expected a multiple of 2, got 7; the nearest that all stages can is 6x8"),
        ("fog", {"video": "a.mp4"}, "video: expected an instance of Video, got 'a.mp4'"),
        ("fog", {"progress": 3}, "progress: expected a function"),
        ("fog", {"sampler": "ddimm"}, "did you mean 'ddim'"),
        ("fog", {"until": "tsr2"}, "unknown stage 'tsr2'; did you mean 'tsr1'?"),
        ("fog", {"after": "base"}, "after: expected a video that stage 'base' would have made, got none"),
        ("fog", {"memory": 10**6}, "memory: stage "),
    ],
)
def test_what_is_refused_is_named(cascade: Cascade, prompts: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        cascade.generate(prompts, **options)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_a_text_in_stream_is_one_prompt(cascade: Cascade) -> None:
    *_, alone = cascade.stream("fog")
    *_, listed = cascade.stream(["fog"])
    assert alone.x_hat.shape[0] == 1 and torch.equal(alone.x_hat, listed.x_hat)
    with pytest.raises(ValueError, match="prompts: expected at least one"):
        next(cascade.stream([]))


def test_a_grid_far_from_training_is_told(cascade: Cascade, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        cascade.tuned(size=(8, 10), frames=5, fps=1.6)
        assert not caplog.records
        cascade.tuned(size=(8, 16), frames=2)
    assert "tiny: 2 frames instead of 4, 16 pixels wide instead of 8; it may look worse" in caplog.text


def between(threshold: str | None) -> tuple[Tensor, Tensor]:
    """What base made, and what tsr1 was given of it: its network is told so, with the frames repeated."""
    given: list[Tensor] = []

    class Noting(Network):
        def __init__(self, inner: Network):
            super().__init__()
            self.inner = inner

        def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
            if "low_res" in conditioning.maps:
                given.append(conditioning.maps["low_res"].clone())
            return self.inner(z, logsnr, conditioning)

    plain = spec(threshold=threshold)
    stages = tuple(stage.with_input(LowRes(shape=stage.source)) if stage.source else stage for stage in plain.stages)
    cascade = Cascade(plain.with_(stages=stages), lambda stage: Noting(random_network(stage)))
    *_, base = (now for now in cascade.stream(None, until="tsr1") if now.stage == "base")
    return base.x_hat, given[-1][:, :, ::2]


@pytest.mark.parametrize("threshold", [None, "static"])
def test_values_are_clipped_between_stages_only_where_a_threshold_is_asked_for(threshold: str | None) -> None:
    made, given = between(threshold)
    assert torch.equal(made, given)
    assert (made.abs().max() > 1) == (threshold is None)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int8, torch.complex64])
def test_types_that_are_not_computed_in_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=rf"dtype: expected torch.float32, torch.bfloat16, torch.float16, got {dtype}"):
        Cascade(spec(), random_network, dtype=dtype)


def test_devices_by_name() -> None:
    assert Cascade(spec(), random_network, device="auto").device.type in ("cpu", "cuda")
    with pytest.raises(ValueError, match="unknown device 'cup'"):
        Cascade(spec(), random_network, device="cup")


class Hungry(Network):
    """A network that asks for more than any machine has."""

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        return torch.empty(2**50) + z


class Broken(Network):
    """A network whose values are no numbers."""

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        return z * math.nan


def test_the_stage_is_named_for_which_memory_does_not_suffice() -> None:
    cascade = Cascade(spec(), lambda stage: Hungry() if stage.name == "tsr1" else random_network(stage))
    message = r"stage 'tsr1' \(8x8x8@4fps\): out of memory; less is needed with a smaller budget \(--memory SIZE"
    with pytest.raises(MemoryError, match=message):
        cascade.generate("fog")


def test_other_errors_stay_what_they_are() -> None:
    def load(stage: StageSpec) -> Network:
        raise RuntimeError("a fault of our own")

    with pytest.raises(RuntimeError, match="a fault of our own"):
        Cascade(spec(), load).generate("fog")


def test_the_stage_is_named_that_makes_what_is_not_finite() -> None:
    cascade = Cascade(spec(), lambda stage: Broken() if stage.name == "base" else random_network(stage))
    with pytest.raises(ValueError, match=r"^stage 'base': expected finite values, its network made NaN or infinity$"):
        cascade.generate("fog")


def test_the_stage_is_named_whose_weights_cannot_be_used() -> None:
    def load(stage: StageSpec) -> Network:
        if stage.name == "tsr1":
            raise ValueError("w.safetensors: expected finite weights")
        return random_network(stage)

    with pytest.raises(ValueError, match=r"^stage 'tsr1': w.safetensors: expected finite weights$"):
        Cascade(spec(), load).generate("fog")


def test_where_the_weights_of_a_shipped_model_come_from() -> None:
    cascade = Cascade.from_pretrained("mini")
    assert cascade.origins.keys() == {stage.name for stage in cascade.spec.stages}
    origin = cascade.origins["base"]
    assert (
        isinstance(origin, Origin) and origin.name == "mini" and origin.file.parts[-2:] == ("base", "model.safetensors")
    )
    teacher = Cascade.from_pretrained("mini", teacher=True)
    assert {origin.file.name for origin in teacher.origins.values()} >= {"teacher.safetensors"}
    assert teacher.tuned(steps=3).origins == teacher.origins


def test_values_are_shown_in_a_line(cascade: Cascade) -> None:
    last = list(cascade.stream("fog", until="base"))[-1]
    assert repr(last.videos()[0]) == "Video(4 frames of 8x8 at 2 fps)"
    assert (
        repr(cascade).startswith("Cascade(") and "base, " in repr(cascade) and repr(cascade).endswith("; cpu, float32)")
    )
    assert "tensor" not in repr(last) and len(repr(last)) < 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": [-1]}, "samples: expected a whole number of 0 or more, got -1"),
        ({"samples": ["x"]}, "samples: expected a whole number, got 'x'"),
        ({"seed": "x"}, "seed: expected a whole number, got 'x'"),
        ({"seed": -1}, "seed: expected a whole number of 0 or more, got -1"),
        ({"memory": "4GB"}, "memory: expected a whole number, got '4GB'"),
    ],
)
def test_what_a_stream_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        next(Cascade(spec(), random_network).stream([None], **options))


def one_stage_without_text(silent: str) -> CascadeSpec:
    """The tiny cascade with one stage that is told no text; the others are guided by theirs."""
    whole = spec(guidance=1.0)
    level = Level(width=8, temporal="convolution")
    stages = tuple(
        stage.with_(
            network=stage.network.with_(text_width=None, levels=(level, level)),
            inputs=tuple(each for each in stage.inputs if each.name != "text"),
            sampling=stage.sampling.with_(guidance=0.0),
        )
        if stage.name == silent
        else stage
        for stage in whole.stages
    )
    return whole.with_(stages=stages)


@pytest.mark.parametrize("silent", GRIDS)
def test_a_stage_without_text_among_stages_that_read_it(silent: str) -> None:
    seen: dict[str, set[str]] = {}

    def watched(stage: StageSpec) -> Network:
        network = random_network(stage)
        network.register_forward_pre_hook(lambda _, given: seen.update({stage.name: given[2].names}))
        return network

    mixed = Cascade(one_stage_without_text(silent), watched)
    fog, rain, other = [
        list(mixed.stream(prompt, negative=negative, memory=2**30))
        for prompt, negative in (("fog", None), ("rain", None), ("fog", "rain"))
    ]
    assert len(fog) == 6 and fog[-1].x_hat.shape == (1, 3, 8, 16, 16)
    for told in (rain, other):
        equal = [torch.equal(one.x_hat, two.x_hat) for one, two in zip(fog, told, strict=True)]
        assert equal == [silent == "base" and one.stage == "base" for one in fog]
    low = {"low_res", "low_res_logsnr"}
    for name in GRIDS:
        assert seen[name] == (set() if name == silent else {"text"}) | (set() if name == "base" else low)
    [alone] = mixed.generate(["fog"])
    assert np.array_equal(alone.frames, fog[-1].videos()[0].frames)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_text_is_encoded_in_a_type_that_encoders_take(device: str, dtype: torch.dtype) -> None:
    cascade = Cascade(spec(), random_network, device=torch.device(device), dtype=dtype)
    assert cascade._texts is not None
    expect_encoder_dtype(cascade._texts.dtype)
