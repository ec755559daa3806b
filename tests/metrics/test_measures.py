"""Every measure: what it says of real, damaged and perfect videos, and of what it cannot be taken of."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from zoetrope.data.toybox.held_out import held_out, held_out_script
from zoetrope.metrics.choice import choose, usual
from zoetrope.metrics.clips import Clips, Material, Seen
from zoetrope.metrics.evaluation import PreparedMeasure, prepare, take
from zoetrope.metrics.features import Classifier, ClipNetwork, Extractor, FeatureNetwork, Matcher
from zoetrope.metrics.features.mobilenet_v2 import MobileNetV2
from zoetrope.metrics.frechet import Gaussian, frechet_distance
from zoetrope.metrics.intervals import Mean
from zoetrope.metrics.measures import Measure, Result, Unavailable
from zoetrope.metrics.measures.attributes import Attributes
from zoetrope.metrics.measures.clip_score import ClipScore
from zoetrope.metrics.measures.colour import ColourDrift
from zoetrope.metrics.measures.flicker import Flicker
from zoetrope.metrics.measures.frechet import Frechet
from zoetrope.metrics.measures.frechet_changes import FrechetChanges, _directions
from zoetrope.metrics.measures.fvd import FVD
from zoetrope.metrics.measures.inception_score import InceptionScore, inception_score
from zoetrope.metrics.measures.psnr import PSNR
from zoetrope.metrics.measures.r_precision import RPrecision
from zoetrope.metrics.psnr import psnr
from zoetrope.shapes import VideoShape

SHAPE = VideoShape(frames=6, height=24, width=40, fps=1.125)


def pooled(pictures: Tensor) -> Tensor:
    """Where edges are (N, 16)."""
    across, along = (10 * pictures.diff(dim=axis).abs().mean(1) for axis in (3, 2))
    return torch.cat([adaptive_avg_pool2d(edges, (2, 4)).flatten(1) for edges in (across, along)], 1)


COARSE = FeatureNetwork("coarse", "0" * 64, "edges", 16, pooled)
COURSE = ClipNetwork("course", "0" * 64, "means", 48, 4, 4, lambda x: x[:, :, 0:4:3].mean(3).flatten(1)[:, :48])


def clips(videos: Tensor, shape: VideoShape = SHAPE) -> Clips:
    """Videos (N, 3, F, H, W) in memory."""
    return Clips(shape, len(videos), lambda number: videos[number])


@pytest.fixture(scope="module")
def real() -> Tensor:
    """Toybox clips (24, 3, F, H, W)."""
    return world(24)


def world(count: int) -> Tensor:
    """The first `count` toybox clips that training never saw."""
    return torch.stack([held_out(number, SHAPE).video for number in range(count)])


def damage(videos: Tensor) -> dict[str, Tensor]:
    """The same videos with noise, standing still, and with their frames out of order."""
    random = torch.Generator().manual_seed(0)
    order = torch.tensor([3, 0, 4, 1, 5, 2]) if videos.shape[2] == 6 else torch.tensor([2, 0, 3, 1])
    return {
        "noised": (videos + 0.2 * torch.randn(videos.shape, generator=random)).clamp(-1, 1),
        "frozen": videos[:, :, :1].expand_as(videos),
        "shuffled": videos[:, :, order],
    }


def distances(network: Any, real: Tensor) -> dict[str, dict[str, float]]:
    """Of half of the clips, as they are and damaged, to the other half: by measure and damage, means over 12 lots."""
    sets, seen = {"halves": real, **damage(real)}, Seen()
    random = torch.Generator().manual_seed(0)
    draws = [torch.randperm(len(real), generator=random) < len(real) // 2 for _ in range(12)]
    found: dict[str, dict[str, float]] = {}
    for measure in (Frechet(), FrechetChanges()):
        if type(measure) is FrechetChanges and not isinstance(network, FeatureNetwork):
            continue
        every = {name: clips(made, shape_of(real)) for name, made in sets.items()}
        with torch.no_grad():
            features = {name: measure.features(Material(own, seen=seen), own, network) for name, own in every.items()}
        for name, own in features.items():
            apart = [(own[~first].flatten(0, 1), features["halves"][first].flatten(0, 1)) for first in draws]
            told = [frechet_distance(Gaussian.of(made), Gaussian.of(truth)) for made, truth in apart]
            found.setdefault(measure.kind(), {})[name] = sum(told) / len(told)
    return found


def shape_of(videos: Tensor) -> VideoShape:
    """`SHAPE` with as many frames as the videos have."""
    return SHAPE.with_(frames=videos.shape[2])


def expect_seen(found: dict[str, dict[str, float]], factor: float) -> None:
    """What a distance on frames sees, and what only one on changes does."""
    still, moving = found["frechet"], found["frechet_changes"]
    assert still["noised"] > factor * still["halves"]
    assert math.isclose(still["shuffled"], still["halves"], rel_tol=1e-6)  # blind to order
    assert moving["shuffled"] > factor * moving["halves"] and moving["frozen"] > factor * moving["halves"]


def test_halves_are_nearer_than_damaged_copies(real: Tensor) -> None:
    expect_seen(distances(COARSE, world(96)), 2)


@pytest.mark.shared
def test_halves_are_nearer_than_damaged_copies_for_mobilenet(shared: Path, real: Tensor) -> None:
    path = shared / "data/weights/mobilenet_v2/mobilenet_v2_1.0_backbone.safetensors"
    network = MobileNetV2(weights=str(path)).open()
    expect_seen(distances(network, real[:, :, 1:5]), 1.1)


def test_a_network_of_clips_sees_the_order(real: Tensor) -> None:
    found = distances(COURSE, world(96))["frechet"]
    assert found["shuffled"] > found["halves"]


def test_a_frechet_distance_tells_its_bias_and_protocol(real: Tensor) -> None:
    material = Material(clips(real[::2]), clips(real[1::2]), stride=2, seed=3)
    result = Frechet().measure(material, COARSE)
    told = result.details
    assert told["samples_made"] == 36 and told["features"] == 16
    assert told["halves"] > result.value > 0 and math.isclose(told["endless"], 2 * result.value - told["halves"])
    assert result.notes[0].startswith("biased upwards")
    own = result.protocol
    assert (own.made, own.real, own.frames, own.stride, own.seed) == (12, 12, 3, 2, 3)
    assert (own.extractor, own.sha256, own.shape) == ("coarse", "0" * 64, str(SHAPE))
    again = Frechet().measure(Material(clips(real[::2]), clips(real[1::2]), stride=2, seed=3), COARSE)
    assert again == result  # to the last digit
    pair = (clips(real[n : n + 4, :, :2], shape_of(real[:, :, :2])) for n in (0, 4))
    few = Frechet().measure(Material(*pair), COARSE)
    assert "fewer samples (8) than features (16)" in few.notes[1]


def test_names_tell_the_network() -> None:
    named = {kind: Extractor.named(kind).at("x") for kind in Extractor.names()}
    assert [m.name for m in choose(["frechet[mobilenet_v2]", "fid", "fvd"], named)] == [
        "frechet[mobilenet_v2]", "fid", "fvd",
    ]  # fmt: skip
    every = [measure.name for measure in usual(named)]
    assert len(every) == len(set(every)) and {"frechet[i3d]", "clip_score", "psnr"} <= set(every)
    assert [m.name for m in choose(["frechet"], {"clip": named["clip"]})] == ["frechet[clip]"]
    for name, told in (("fidd", "did you mean 'fid'"), ("frechet[mobilnet]", "mobilenet_v2"), ("fvd[clip]", "i3d")):
        with pytest.raises(ValueError, match=told):
            choose([name], named)


@pytest.mark.parametrize("measure", Measure.every(), ids=lambda kind: kind.kind())
def test_every_measure_survives_json_and_wants_its_network(measure: type[Measure]) -> None:
    made = measure()
    assert Measure.from_json(made.to_json()) == made
    video, other = (clips(2 * torch.rand(8, 3, 6, 24, 40) - 1) for _ in range(2))
    other = replace(other, told=lambda number: {"length": float(number)})
    members = 2 if "members" in measure.needs else 1
    material = Material(video, other, tuple("abcdefgh"), (held_out_script(0),) * 8, True, members)
    (ready,) = prepare([made], [material], strict=True)
    wanted = "--thresholds" if measure.kind() == "csi" else next(iter(measure.extractors), None)
    if wanted is not None:
        assert ready.unavailable is not None and wanted in ready.unavailable.remedy
    else:
        (result,) = take([ready], material)
        assert isinstance(result, Result)
        assert Result.from_json(result.to_json()) == result


def matcher(texts: dict[str, Tensor]) -> Matcher:
    """Pictures are their mean colours, texts those that are given."""

    def unit(x: Tensor) -> Tensor:
        return x / x.norm(dim=-1, keepdim=True)

    def of_pictures(x: Tensor) -> Tensor:
        return unit(x.mean((2, 3)))

    return Matcher(
        "matcher", "0" * 64, "means", 3, of_pictures, of_texts=lambda t: unit(torch.stack([texts[one] for one in t]))
    )


def coloured(count: int, seed: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
    """Plain videos, and for each a text of its very colour."""
    colours = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    colours = colours / colours.norm(dim=1, keepdim=True)
    videos = colours[:, :, None, None, None].expand(count, 3, 4, 2, 2).contiguous()
    return videos, {f"colour {k}": colours[k] for k in range(count)}


PLAIN = VideoShape(frames=4, height=2, width=2, fps=1)


def test_r_precision_is_all_for_perfect_videos_and_chance_for_others() -> None:
    videos, texts = coloured(50)
    network, prompts = matcher(texts), tuple(texts)
    result = RPrecision().measure(Material(clips(videos, PLAIN), clips(videos, PLAIN), prompts), network)
    assert result.value == 100 == result.reference and result.details["chance"] == 2 and result.protocol.made == 50
    found = []
    for seed in range(1, 9):
        others = Material(clips(coloured(50, seed)[0], PLAIN), None, prompts)
        found.append(RPrecision().measure(others, network).value)
    assert 0.5 < sum(found) / 8 < 4 and max(found) <= 8
    blind = torch.ones_like(videos)  # all alike: what is nearest to one prompt is so for all
    assert RPrecision().measure(Material(clips(blind, PLAIN), None, prompts), network).value == pytest.approx(2)
    ties = matcher({name: torch.ones(3) for name in texts})
    assert RPrecision().measure(Material(clips(videos, PLAIN), None, prompts), ties).value == 0


def test_equal_prompts_are_one() -> None:
    videos, texts = coloured(3)
    prompts = ("colour 0", "colour 0", "colour 2")
    result = RPrecision().measure(Material(clips(videos[[0, 0, 2]], PLAIN), None, prompts), matcher(texts))
    assert result.value == 100 and result.details["prompts"] == 2
    with pytest.raises(ValueError, match="two different prompts"):
        RPrecision().expect(Material(clips(videos, PLAIN), None, ("a", "a", "a")))


def test_clip_score_is_a_hundred_times_the_cosine() -> None:
    videos, texts = coloured(6)
    network, prompts = matcher(texts), tuple(texts)
    result = ClipScore().measure(Material(clips(videos, PLAIN), None, prompts), network)
    assert result.value == pytest.approx(100) and result.details["by_frame"] == pytest.approx([100] * 4)
    half = videos.clone()
    half[:, :, 2:] *= -1  # the last two frames show the opposite
    result = ClipScore().measure(Material(clips(half, PLAIN), clips(videos, PLAIN), prompts), network)
    assert result.value == pytest.approx(0, abs=1e-4) and result.reference == pytest.approx(100)
    assert result.details["by_frame"] == pytest.approx([100, 100, -100, -100])


def test_inception_score() -> None:
    sure = torch.eye(5, dtype=torch.float64).repeat(4, 1)
    assert inception_score(sure).item() == pytest.approx(5)
    assert inception_score(torch.full((7, 5), 0.2)).item() == pytest.approx(1)
    p = torch.tensor([[0.7, 0.3], [0.2, 0.8]], dtype=torch.float64)
    q = p.mean(0)
    assert inception_score(p).item() == pytest.approx(math.exp(float((p * (p / q).log()).sum(1).mean())))
    classes = Classifier(
        "classes", "0" * 64, "means", 3, pooled, probabilities=lambda x: torch.softmax(50 * x.mean((2, 3)), 1)
    )
    videos = torch.eye(3)[:, :, None, None, None].expand(3, 3, 4, 2, 2)
    result = InceptionScore().measure(Material(clips(videos, PLAIN)), classes)
    assert result.value == pytest.approx(3, abs=1e-3) and result.details["classes"] == 3 and result.error is None
    many = clips(videos.repeat_interleave(40, 0), PLAIN)  # 40 members of three cases: no part is of one alone
    result = InceptionScore().measure(Material(many, members=40), classes)
    assert result.value == pytest.approx(3, abs=1e-3) and result.details["splits"] == 1


def test_what_cannot_be_measured_is_no_perfect_number(real: Tensor) -> None:
    """One frame neither drifts nor flickers; that is no measurement of drift or flicker."""
    single = clips(real[:, :, :1], shape_of(real[:, :, :1]))
    material = Material(single, single, paired=True)
    for measure in (ColourDrift(), Flicker(), FrechetChanges()):
        with pytest.raises(ValueError, match="at least two frames, got one"):
            measure.expect(material)
            measure.expect_network(COARSE, material)


def test_videos_of_one_prompt_belong_together() -> None:
    videos, texts = coloured(6)
    network = matcher(texts)
    made = videos[[0, 0, 0, 1, 1, 1]] * torch.tensor([1.0, -1, 1, 1, 1, -1])[:, None, None, None, None]
    apart = Material(clips(made, PLAIN), None, tuple(texts))
    several = Material(clips(made, PLAIN), None, tuple(["colour 0"] * 3 + ["colour 1"] * 3))
    alone = Material(clips(made[:3], PLAIN), None, ("colour 0",) * 3)
    assert (apart.clusters, several.clusters, alone.clusters) == (None, several.prompts, None)
    result = ClipScore().measure(several, network)
    mean = Mean.of([100, -100, 100, 100, 100, -100], several.prompts)
    assert (result.value, result.error) == pytest.approx((mean.value, mean.half), abs=1e-3)
    assert result.interval == pytest.approx((mean.value - mean.half, mean.value + mean.half), abs=1e-3)
    assert ClipScore().measure(alone, network).error == pytest.approx(Mean.of([100, -100, 100]).half, abs=1e-3)


def test_fvd_looks_at_sixteen_frames(real: Tensor) -> None:
    lengths: list[int] = []

    def of_clips(video: Tensor) -> Tensor:
        lengths.append(video.shape[2])
        return video.mean((3, 4)).flatten(1)[:, :4]

    network = ClipNetwork("i3d", "0" * 64, "any", 4, 10, None, of_clips)
    long = real[:, :, [k % 6 for k in range(40)]]
    material = Material(clips(long, shape_of(long)), clips(long.flip(0), shape_of(long)), stride=2)
    assert FVD().measure(material, network).protocol.frames == 16 and set(lengths) == {16}
    assert FVD(window=12).measure(material, network).protocol.frames == 12 and set(lengths) == {16, 12}
    assert FVD(window=None).measure(material, network).protocol.frames == 20
    short = Material(clips(long[:, :, :24], shape_of(long[:, :, :24])), material.real, stride=2)
    with pytest.raises(ValueError, match=r"fvd: expected clips of at least 16 frames, got 12 \(--window 12"):
        FVD().expect_network(network, short)
    FVD(window=12).expect_network(network, short)


def test_colour_drift(real: Tensor) -> None:
    fading = real.clone()
    fading += torch.linspace(0, -0.4, 6)[:, None, None]
    held = ColourDrift().measure(Material(clips(real), clips(real)), None)
    result = ColourDrift().measure(Material(clips(fading.clamp(-1, 1)), clips(real)), None)
    assert held.value == held.reference == result.reference and held.details["mean_shift"] == [0, 0, 0]
    assert result.value > held.value + 8
    assert all(-0.12 < shift < -0.05 for shift in result.details["mean_shift"])


def test_real_toybox_clips_have_their_attributes_and_others_not() -> None:
    shape = VideoShape(frames=16, height=24, width=40, fps=3)
    videos = torch.stack([held_out(number, shape).video for number in range(12)])
    scripts = tuple(held_out_script(number) for number in range(12))
    prompts = tuple(map(str, range(12)))
    right = Attributes().measure(Material(clips(videos, shape), clips(videos, shape), prompts, scripts), None)
    assert right.value == right.reference and right.value >= 80
    spins = right.details["classes"]["motion"]
    assert sum(share["videos"] for share in spins.values()) == right.details["judged"] == right.samples
    assert sum(share["right"] for share in spins.values()) == pytest.approx(
        right.details["motion"] * right.details["judged"] / 100
    )
    assert right.interval[0] < right.value <= right.interval[1] <= 100 and right.error is None
    assert right.details["colour"] >= 90 and 6 <= right.details["judged"] <= 12
    wrong = Material(clips(videos.roll(1, 0), shape), clips(videos, shape), prompts, scripts)
    assert Attributes().measure(wrong, None).value < 15
    grey = Attributes().measure(Material(clips(videos * 0, shape), None, prompts, scripts), None)
    assert grey.value == 0 and any(name.endswith("seen as nothing") for name in grey.details["confusions"])


def test_measures_of_pairs(real: Tensor) -> None:
    made = (real + 0.1 * torch.randn(real.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)
    measures = [measure for measure in Measure.every() if "pairs" in measure.needs and not measure.masks]
    assert {measure.kind() for measure in measures} == {"psnr", "ssim", "flicker"}
    good, same = (
        list(take([PreparedMeasure(m()) for m in measures], Material(clips(x), clips(real), paired=True)))
        for x in (made, real)
    )
    exact = {result.name: result for result in same}
    assert isinstance(exact["psnr"], Unavailable) and "infinite decibels" in exact["psnr"].reason
    told = {result.name: (result.value, getattr(exact[result.name], "value", None)) for result in good}
    squared = (made - real).double().square().mean()
    assert told["psnr"][0] == pytest.approx(float(10 * torch.log10(4 / squared)))
    assert told["ssim"][0] < told["ssim"][1] == pytest.approx(1)
    assert told["flicker"][0] > told["flicker"][1] == 0
    assert 0 < abs(told["psnr"][0] - float(psnr(made, real).mean())) < 1  # not the mean of decibels
    made[:, :, 2] = real[:, :, 2]
    by_frame = PSNR().measure(Material(clips(made), clips(real), paired=True), None).details["by_frame"]
    assert [value is None for value in by_frame] == [k == 2 for k in range(6)]
    with pytest.raises(ValueError, match="made from real ones"):
        PSNR().expect(Material(clips(real), clips(real)))


Change = Callable[[Tensor], Material]


@pytest.mark.parametrize(
    ("material", "told"),
    [
        (lambda x: Material(clips(x[:3]), clips(x)), "at least 4 generated videos, got 3"),
        (lambda x: Material(clips(x), clips(x[:2])), "at least 4 real videos, got 2"),
        (lambda x: Material(clips(x)), "videos to compare with"),
    ],
)
def test_too_few_videos(material: Change, told: str, real: Tensor, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        prepare([Frechet()], [material(real)], strict=True)
    (ready,) = prepare([Frechet()], [material(real)], strict=False)
    assert isinstance(ready.unavailable, Unavailable)


def test_clips_that_are_too_short_or_of_another_rate(real: Tensor) -> None:
    faster = SHAPE.with_(fps=9.0)
    with pytest.raises(ValueError, match="at least 4 frames, got 3"):
        Frechet().expect_network(COURSE, Material(clips(real), clips(real), stride=2))
    with pytest.raises(ValueError, match=r"one frame rate, got 1\.125 and 9"):
        Frechet().expect_network(COURSE, Material(clips(real), clips(real, faster)))
    smaller = VideoShape(frames=6, height=12, width=20, fps=1.125)
    material = Material(clips(real), clips(real[:20, :, :, ::2, ::2], smaller))
    notes = Frechet().measure(material, COARSE).notes
    assert any("24 generated and 20 real videos" in note for note in notes)
    assert any("6x12x20@1.125fps" in note for note in notes)


def test_changes_are_projected_the_same_way_every_time(real: Tensor) -> None:
    material = Material(clips(real[::2]), clips(real[1::2]))
    narrow, whole = (FrechetChanges(dimensions=n).measure(material, COARSE) for n in (5, None))
    assert narrow == FrechetChanges(dimensions=5).measure(material, COARSE)
    assert narrow.details["features"] == 5 and "5 fixed random directions" in str(narrow.protocol.layer)
    assert whole.details["features"] == 16 and whole.protocol.layer == "edges" and narrow.value < whole.value
    basis = _directions(16, 5)
    torch.testing.assert_close(basis.T @ basis, torch.eye(5, dtype=torch.float64))
