"""What measures take of their material: which frames, which real clips, which networks."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from zoetrope.channels import RGB, Channel
from zoetrope.data.toybox.held_out import held_out, held_out_script
from zoetrope.metrics.choice import choose
from zoetrope.metrics.clips import Clips, Material, Seen
from zoetrope.metrics.evaluation import measured
from zoetrope.metrics.features import ClipNetwork, FeatureNetwork, Matcher
from zoetrope.metrics.measures import Measure, Result
from zoetrope.metrics.measures.attributes import Attributes
from zoetrope.metrics.measures.clip_score import ClipScore
from zoetrope.metrics.measures.csi import CriticalSuccess
from zoetrope.metrics.measures.frechet_changes import FrechetChanges
from zoetrope.metrics.measures.fvd import FVD
from zoetrope.metrics.measures.r_precision import RPrecision
from zoetrope.scales.range import Range
from zoetrope.shapes import VideoShape

SHAPE = VideoShape(frames=8, height=16, width=16, fps=8)
RAIN = (Channel(name="rain", unit="mm h-1", scale=Range(lo=0, hi=10)),)


def videos(count: int, seed: int, frames: int = 8, channels: int = 3) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(count, channels, frames, 16, 16, generator=draw) - 1


def clips(x: Tensor, channels: tuple[Channel, ...] = RGB, fps: float = 8, **told: Any) -> Clips:
    shape = SHAPE.with_(frames=x.shape[2], fps=fps)
    return Clips(shape, len(x), lambda number: x[number], channels=channels, **told)


MADE, REAL = videos(8, 0), videos(8, 1)
WITHOUT = sorted(
    kind.kind() for kind in Measure.every() if not kind.extractors and kind.kind() not in ("csi", "attributes")
)


def all_of(material: Material, names: list[str] = WITHOUT) -> dict[str, Result]:
    found = measured(choose(names, {}), material)
    assert all(isinstance(one, Result) for one in found), found
    return {one.name: one for one in found if isinstance(one, Result)}


def strided(material: Material, stride: int) -> Material:
    """The same with frames that were left out beforehand."""
    made, real = (
        clips(torch.stack([clip[:, ::stride] for clip in each]), fps=8 / stride, told=each.told)
        for each in (material.made, material.real)
        if each is not None
    )
    return replace(material, made=made, real=real, stride=1, known=())


@pytest.mark.parametrize("stride", [2, 3])
def test_only_every_nth_frame_counts_in_any_measure(stride: int) -> None:
    """As many as the protocol says."""
    real = clips(REAL, told=lambda number: {"length": float(number)})
    own = Material(clips(MADE), real, paired=True)
    whole = all_of(
        replace(own, stride=stride), [name for name in WITHOUT if "members" not in Measure.named(name).needs]
    )
    for name, one in all_of(strided(own, stride), list(whole)).items():
        assert whole[name].value == pytest.approx(one.value, rel=1e-9), name
        assert whole[name].protocol.frames == one.protocol.frames == -(-8 // stride), name
    assert {"psnr", "ssim", "flicker", "colour", "values", "answered", "spectrum", "mae"} <= whole.keys()


def test_attributes_of_every_second_frame_have_half_the_rate() -> None:
    shape = VideoShape(frames=32, height=24, width=40, fps=6)
    scripts = tuple(held_out_script(number) for number in range(6))
    x = torch.stack([held_out(number, shape).video for number in range(6)])
    x[:, :, 1::2] = 0  # of which nothing is seen
    every = Clips(shape, 6, lambda number: x[number])
    half = Clips(shape.with_(frames=16, fps=3), 6, lambda number: x[number, :, ::2])
    prompts = tuple(map(str, range(6)))
    one = Attributes().measure(Material(every, every, prompts, scripts, stride=2), None)
    other = Attributes().measure(Material(half, half, prompts, scripts), None)
    assert one.details == other.details and one.protocol.frames == other.protocol.frames == 16
    assert one.value == other.value > 0 == Attributes().measure(Material(every, None, prompts, scripts), None).value


def test_a_protocol_tells_how_many_frames_that_were_not_given_count() -> None:
    own = Material(clips(MADE), clips(REAL), paired=True, known=(0, 1, 3), stride=2)
    frames = {
        name: one.protocol.frames for name, one in all_of(own, ["psnr", "ssim", "spectrum", "mae", "flicker"]).items()
    }
    assert frames == dict.fromkeys(("psnr", "ssim", "spectrum", "mae", "flicker"), 3)  # 2, 4, 6; of all: 0, 2, 4, 6


def test_nothing_is_measured_where_all_was_given() -> None:
    names = [kind.kind() for kind in Measure.every() if kind.kind() not in ("csi", "attributes")]
    prompts = tuple("aabbccdd")
    own = Material(clips(MADE), clips(REAL[:4]), prompts, paired=True, members=2, known=tuple(range(8)))
    reasons = {one.name: getattr(one, "reason", None) for one in measured(choose(names, {}), own)}
    assert set(reasons.values()) == {"expected a frame that was not given, got all of 8x16x16@8fps"}, reasons


def matcher() -> Matcher:
    """Pictures are their mean colours, and texts colours that are spelt."""

    def unit(x: Tensor) -> Tensor:
        return x / x.norm(dim=-1, keepdim=True)

    def of_texts(texts: Any) -> Tensor:
        return unit(torch.stack([torch.tensor([float(part) for part in text.split()]) for text in texts]))

    return Matcher("matcher", "0" * 64, "means", 3, lambda x: unit(x.mean((2, 3))), of_texts=of_texts)


def test_a_real_clip_is_compared_with_the_prompt_of_its_case() -> None:
    """Of two members of four cases and eight real clips, these are of no case; four real clips are of the cases."""
    colours = torch.eye(3)[[0, 1, 2, 0]] - 0.25 * torch.eye(3)[[1, 2, 0, 2]]
    prompts = tuple(" ".join(map(str, one.tolist())) for one in colours)
    real = clips(colours[:, :, None, None, None].expand(4, 3, 2, 2, 2).contiguous())
    made = replace(real, count=8, read=lambda number: real.read(number // 2))
    more = replace(real, count=8, read=lambda number: real.read(number % 4))
    twice = tuple(prompt for prompt in prompts for _ in range(2))
    for measure in (ClipScore(), RPrecision()):
        exact = measure.measure(Material(made, real, twice, members=2), matcher())
        assert exact.value == pytest.approx(100) and exact.reference == pytest.approx(100)
        assert measure.measure(Material(made, more, twice, members=2), matcher()).reference is None
    shape = VideoShape(frames=16, height=24, width=40, fps=3)
    x = torch.stack([held_out(number, shape).video for number in range(4)])
    shown = Clips(shape, 4, lambda number: x[number])
    doubled = replace(shown, count=8, read=lambda number: x[number // 2])
    scripts = tuple(held_out_script(number // 2) for number in range(8))
    told = Attributes().measure(Material(doubled, shown, twice, scripts, members=2), None)
    assert told.value == told.reference and told.value > 0
    assert Attributes().measure(Material(doubled, doubled, twice, scripts, members=2), None).reference is None


@pytest.mark.parametrize("kind", [kind for kind in Measure.every() if "pairs" in kind.needs], ids=lambda k: k.kind())
def test_each_case_needs_its_truth_before_anything_is_made(kind: type[Measure]) -> None:
    own = Material(clips(MADE), clips(REAL[:3]), paired=True, members=2)
    measure = kind(thresholds=(1.0,)) if kind is CriticalSuccess else kind()
    with pytest.raises(ValueError, match=f"{measure.name}: expected the truth of each of 4 cases, got 3"):
        measure.expect(own)
    measure.expect(replace(own, real=clips(REAL[:4])))


def test_colours_are_not_compared_with_values_that_are_missing() -> None:
    there = torch.rand(1, 8, 16, 16, generator=torch.Generator().manual_seed(2)) > 0.5
    made, real = clips(videos(4, 2, channels=1), RAIN), clips(videos(4, 3, channels=1), RAIN, present=lambda _: there)
    [told] = measured(choose(["colour"], {}), Material(made, real))
    assert getattr(told, "reason", None) == "expected real clips without missing values"


def test_real_clips_have_the_channels_of_what_was_made() -> None:
    other = (RAIN[0].with_(unit="m s-1"),)
    names = [name for name in WITHOUT if Measure.named(name).takes == "any"]
    own = Material(clips(videos(4, 2, channels=1), RAIN), clips(videos(4, 3, channels=1), other), paired=True)
    for told in measured(choose(names, {}), own):
        wanted = (
            "several videos"
            if "members" in Measure.named(told.name).needs
            else "expected the unit 'mm h-1', got 'm s-1'"
        )
        assert wanted in getattr(told, "reason", ""), told


def test_features_are_those_of_the_network_that_is_asked() -> None:
    """Two of one file differ in how they resize pictures, or in how many frames they look at."""
    means = FeatureNetwork("clip", "0" * 64, "one", 1, lambda x: x.mean((1, 2, 3))[:, None], "cut out")
    most = replace(means, of_pictures=lambda x: x.amax((1, 2, 3))[:, None], resize="squashed")
    seen, made = Seen(), clips(MADE)
    first, second = (seen.frames(network, made, 1) for network in (means, most))
    assert (second > first).all() and seen.frames(means, made, 1) is first
    looks = [
        ClipNetwork("any", "0" * 64, "one", 1, 1, count, lambda x: x.mean((1, 2, 3, 4))[:, None]) for count in (4, 8)
    ]
    four, eight = (seen.clips(network, made, 1) for network in looks)
    assert not torch.equal(four, eight) and torch.allclose(
        four[:, 0].double(), MADE[:, :, :4].double().mean((1, 2, 3, 4))
    )


def test_a_window_that_the_network_cannot_take_is_refused_before_anything_is_made() -> None:
    network = ClipNetwork("i3d", "0" * 64, "any", 4, 6, None, lambda x: x.mean((3, 4)).flatten(1)[:, :4])
    with pytest.raises(ValueError, match="fvd: window: i3d: expected clips of at least 6 frames, got 5"):
        FVD(window=5).expect_network(network, Material(clips(MADE), clips(REAL)))


def test_changes_are_compared_at_one_rate_and_where_there_are_some() -> None:
    network = FeatureNetwork("means", "0" * 64, "one", 3, lambda x: x.mean((2, 3)))
    with pytest.raises(ValueError, match=r"frechet_changes.*: expected both sets at one frame rate, got 8 and 24"):
        FrechetChanges().expect_network(network, Material(clips(MADE), clips(REAL, fps=24)))
    with pytest.raises(ValueError, match="at least two frames, got one"):
        FrechetChanges().expect_network(network, Material(clips(MADE), clips(REAL[:, :, :1])))
    FrechetChanges().expect_network(network, Material(clips(MADE), clips(REAL)))
