"""Numbers that data tell: what networks see of them, what is refused, and that guidance is over them."""

import math

import pytest
import torch

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.conditioning import Conditioning
from zoetrope.data import Example
from zoetrope.guidance.inputs import InputGuidance
from zoetrope.inputs import Examples, Input
from zoetrope.inputs.edges import Edges
from zoetrope.inputs.fps import FrameRate
from zoetrope.inputs.number import Number
from zoetrope.inputs.text import Text, text_given
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.scales.log import Log
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words

SHAPE = VideoShape(frames=2, height=4, width=4, fps=2)
EF = Number(told="ef", lo=0.2, hi=0.8, dropout=0.0)


def examples(*told: dict[str, float | str]) -> Examples:
    """Examples of which data tell these."""
    x = torch.zeros(len(told), 3, *SHAPE.sizes)
    samples = [[Example(x[row], "", f"clip {row}", told=one)] for row, one in enumerate(told)]
    draws = [torch.Generator().manual_seed(row) for row in range(len(told))]
    return Examples(x=x, samples=samples, draws=draws, packed=None, encode=lambda texts: None)  # type: ignore[arg-type]


def test_a_number_is_seen_on_its_scale_and_unknown_where_it_is_not_told() -> None:
    told = examples({"ef": 0.2}, {"ef": 0.65, "view": "apical"}, {"view": "apical"})
    seen = EF.of_examples(SHAPE, told).numbers["ef"]
    torch.testing.assert_close(seen, torch.tensor([-1.0, 0.5, math.nan]), equal_nan=True)
    torch.testing.assert_close(EF.of_told([one[0] for one in told.samples]).numbers["ef"], seen, equal_nan=True)
    decades = Number(told="kappa", lo=0.0, hi=99.0, scale=Log(floor=1, hi=99))
    assert decades.of_request(9.0, 2).numbers["kappa"].tolist() == pytest.approx([0, 0], abs=1e-6)


def test_it_is_dropped_at_its_rate_whatever_the_batch() -> None:
    often = EF.with_(dropout=0.3)
    seen = often.of_examples(SHAPE, examples(*[{"ef": 0.5}] * 400)).numbers["ef"]
    assert 0.2 < seen.isnan().float().mean() < 0.4


def test_a_pack_of_images_has_a_number_for_each() -> None:
    pack = examples({"ef": 0.2}, {"ef": 0.8})
    both = [one for samples in pack.samples for one in samples]
    x, packed = pack.x[:1], torch.tensor([True])
    made = Examples(x=x, samples=[both], draws=pack.draws[:1], packed=packed, encode=pack.encode)
    torch.testing.assert_close(EF.of_examples(SHAPE, made).numbers["ef"], torch.tensor([[-1.0, 1.0]]))


def test_a_request_is_one_number_or_one_for_each_video() -> None:
    torch.testing.assert_close(EF.of_request(0.5, 2).numbers["ef"], torch.zeros(2))
    torch.testing.assert_close(EF.of_request(torch.tensor([0.2, 0.8]), 2).numbers["ef"], torch.tensor([-1.0, 1.0]))
    assert EF.of_request(None, 2).numbers["ef"].isnan().all()


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.9, r"^ef: expected a number from 0.2 to 0.8, as in its training, got 0.9$"),
        (math.nan, "or none where it is unknown, got nan"),
        ("low", "expected a number from 0.2 to 0.8, got 'low'"),
        (True, "got True"),
        ([0.5], "expected a number, or one for each of 2 videos, got 1"),
        ({"a": 1}, "got {'a': 1}"),
    ],
)
def test_other_requests_are_refused(value: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        EF.of_request(value, 2)


def test_data_beyond_its_range_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"^clip 1: ef: expected a number from 0.2 to 0.8, as its input says, got 1.5$"
    ):
        EF.of_examples(SHAPE, examples({"ef": 0.5}, {"ef": 1.5}))


def test_ranges_scales_and_names_are_checked() -> None:
    with pytest.raises(ValueError, match="lo: expected a number below hi"):
        Number(told="ef", lo=1, hi=1)
    with pytest.raises(ValueError, match="at least 0 on a logarithmic scale"):
        Number(told="ef", lo=-1, hi=1, scale=Log(floor=1, hi=2))
    with pytest.raises(ValueError, match="'text' is that of another input"):
        Number(told="text", lo=0, hi=1)


def network(**fields: object) -> VideoUNetConfig:
    """A tiny network."""
    levels = (Level(width=8, temporal=("convolution",)),)
    return VideoUNetConfig(text_width=None, embedding=8, head=8, levels=levels, **fields)  # type: ignore[arg-type]


def stage(*inputs: Input, **fields: object) -> StageSpec:
    return StageSpec(name="base", shape=SHAPE, inputs=inputs, network=network(**fields))


def test_a_stage_has_the_numbers_that_its_network_reads() -> None:
    both = stage(EF, Number(told="fps", lo=1, hi=30), numbers=("ef", "fps"))
    assert both.network.reads == {"ef", "fps"} and StageSpec.from_json(both.to_json()) == both
    with pytest.raises(ValueError, match=r"expected the inputs that its network reads, \['ef'\], got \[\]"):
        stage(numbers=("ef",))
    with pytest.raises(ValueError, match="expected every name once, got 'ef' twice"):
        network(numbers=("ef", "ef"))


def test_guidance_is_over_the_inputs_that_it_names_or_all_of_them() -> None:
    given = EF.of_request(0.5, 1) | Number(told="fps", lo=1, hi=30).of_request(8, 1)
    given = given | text_given(torch.ones(1, 2, 3)) | Conditioning(maps={"low_res": torch.ones(1, 3, 2, 4, 4)})
    given = given | Edges().of_clips(torch.rand(1, 3, 2, 4, 4)) | Conditioning(times=torch.zeros(1, 2))
    assert InputGuidance(weight=1, over=("view",)).variants(given, None) == [given]
    _, some = InputGuidance(weight=1, over=("ef",)).variants(given, None)
    assert some.numbers["ef"].isnan().all() and not some.numbers["fps"].isnan().any()
    assert some.tokens["text"].mask.all() and some.numbers["edges_scale"].all()
    _, none = InputGuidance(weight=1).variants(given, None)
    assert none.numbers["ef"].isnan().all() and none.numbers["fps"].isnan().all() and none.maps["low_res"].all()
    assert not none.tokens["text"].mask.any() and not none.numbers["edges_scale"].any() and none.times is given.times
    _, against = InputGuidance(weight=1).variants(given, text_given(torch.full((1, 2, 3), 2.0)))
    assert (against.tokens["text"].values == 2).all() and against.tokens["text"].mask.all()


def test_a_weight_guides_over_the_inputs_of_a_model_without_text() -> None:
    spec = CascadeSpec(name="hearts", stages=(stage(EF.with_(dropout=0.1), numbers=("ef",)),))
    assert tuned(spec, Tuning(guidance=2.0)).stages[0].sampling.guidance == InputGuidance(weight=2.0)
    rated = spec.with_(stages=(stage(EF.with_(dropout=0.1), FrameRate(), numbers=("ef", "fps")),))
    assert tuned(rated, Tuning(guidance=2.0)).stages[0].sampling.guidance == InputGuidance(weight=2.0, over=("ef",))
    guided = InputGuidance(weight=1.0, over=("ef",))
    own = spec.with_(stages=(spec.stages[0].with_(sampling=SamplingSpec(guidance=guided)),))
    assert tuned(own, Tuning(guidance=2.0)).stages[0].sampling.guidance == guided.with_(weight=2.0)
    all_of = rated.with_(stages=(rated.stages[0].with_(sampling=SamplingSpec(guidance=InputGuidance())),))
    assert tuned(all_of, Tuning(guidance=2.0)).stages[0].sampling.guidance == InputGuidance(weight=2.0, over=("ef",))
    read = network(numbers=("ef", "fps")).with_(text_width=8)
    told = all_of.stages[0].with_(inputs=(Text(), *all_of.stages[0].inputs), network=read)
    both = tuned(CascadeSpec(name="told", text=Words(width=8, limit=8), stages=(told,)), Tuning(guidance=2.0))
    assert both.stages[0].sampling.guidance == InputGuidance(weight=2.0, over=("text", "ef"))


def test_guidance_leads_away_only_from_inputs_that_training_left_out() -> None:
    rated = stage(EF.with_(dropout=0.1), FrameRate(), numbers=("ef", "fps"))
    rated.with_(sampling=SamplingSpec(guidance=InputGuidance(weight=1.0, over=("ef",))))
    rated.with_(sampling=SamplingSpec(guidance=InputGuidance()))  # no guidance
    for over in ((), ("fps",), ("ef", "fps")):
        message = r"sampling.guidance.over: expected inputs that training sometimes leaves out \(ef\), got 'fps'"
        with pytest.raises(ValueError, match=message):
            rated.with_(sampling=SamplingSpec(guidance=InputGuidance(weight=1.0, over=over)))
    never = stage(EF.with_(dropout=0.0), numbers=("ef",))
    with pytest.raises(ValueError, match=r"leaves out \(there are none\), got 'ef'"):
        tuned(CascadeSpec(name="hearts", stages=(never,)), Tuning(guidance=2.0))
