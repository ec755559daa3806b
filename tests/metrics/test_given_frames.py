"""Frames of real clips that the model was given are no work of its own: what measures make of them."""

from typing import Any

import pytest
import torch
from torch import Tensor

from zoetrope.metrics.clips import Clips, Material
from zoetrope.metrics.evaluation import measured
from zoetrope.metrics.features import Classifier, ClipNetwork, FeatureNetwork, Matcher
from zoetrope.metrics.measures import Measure, Result, Unavailable
from zoetrope.metrics.measures.clip_score import ClipScore
from zoetrope.metrics.measures.colour import ColourDrift
from zoetrope.metrics.measures.csi import CriticalSuccess
from zoetrope.metrics.measures.flicker import Flicker
from zoetrope.metrics.measures.frechet import Frechet
from zoetrope.metrics.measures.fvd import FVD
from zoetrope.metrics.measures.psnr import PSNR
from zoetrope.shapes import VideoShape

SHAPE = VideoShape(frames=10, height=16, width=16, fps=8)
KNOWN = (0, 1, 2, 7)
COLOURS = ("1 0 0", "0 1 0", "0 0 1", "1 1 0")
WHOLE = {"fvd", "attributes"}  # that look at whole clips


def means(x: Tensor) -> Tensor:
    return torch.cat([x.mean((2, 3)), x.std((2, 3))], 1)


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


FRAMES = FeatureNetwork("means", "0" * 64, "one", 6, means)
WINDOW = ClipNetwork("course", "0" * 64, "one", 3, 2, None, lambda x: x.mean((2, 3, 4)))
NETWORKS: dict[str, FeatureNetwork] = {
    "inception_score": Classifier(
        "classes", "0" * 64, "one", 6, means, probabilities=lambda x: torch.softmax(99 * x.mean((2, 3)), 1)
    ),
    "clip_score": Matcher(
        "matcher", "0" * 64, "one", 3, lambda x: unit(x.mean((2, 3))),
        of_texts=lambda texts: unit(torch.tensor([[float(one) for one in text.split()] for text in texts])),
    ),
}  # fmt: skip
NETWORKS["r_precision"] = NETWORKS["clip_score"]


def videos(count: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    colours = 0.4 * torch.rand(count, 3, 1, 1, 1, generator=draw)
    return torch.rand(count, 3, *SHAPE.sizes, generator=draw) - 0.5 + colours


def material(made: Tensor, real: Tensor, known: tuple[int, ...], **fields: Any) -> Material:
    """Two videos of each case."""
    shape = SHAPE.with_(frames=made.shape[2])
    own, true = (Clips(shape, len(x), x.__getitem__, told=lambda n: {"n": float(n % 5)}) for x in (made, real))
    prompts = tuple(COLOURS[number // 2 % 4] for number in range(len(made)))
    return Material(own, true, prompts, paired=True, members=2, known=known, **fields)


def result_of(kind: type[Measure], own: Material) -> Result:
    measure = kind(thresholds=(100.0,)) if kind is CriticalSuccess else kind()
    measure.expect(own)
    return measure.measure(own, NETWORKS.get(kind.kind(), FRAMES) if kind.extractors else None)


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize(
    "kind", [kind for kind in Measure.every() if kind.kind() not in WHOLE], ids=lambda kind: kind.kind()
)
def test_given_frames_are_nothing_to_be_judged(kind: type[Measure], stride: int) -> None:
    """The change from frame 2 to 3 counts, and frame 7 is between two that were made; others change no number."""
    made, real = videos(16, 0), videos(8, 1)
    before = result_of(kind, material(made, real, KNOWN, stride=stride))
    for x in (made, real):
        x[:, :, 1] = 0.9
        x[:, :, 0] = 0.5 if stride == 1 else x[:, :, 0]
    after = result_of(kind, material(made, real, KNOWN, stride=stride))
    assert after == before
    new = [number for number in range(0, 10, stride) if number not in KNOWN]
    assert before.protocol.frames == len(new) and before.protocol.known == KNOWN
    assert not any("given" in note for note in before.notes)


@pytest.mark.parametrize("kind", ["frechet", "fid", "clip_score", "r_precision", "inception_score", "values", "colour"])
def test_it_is_the_number_of_the_frames_that_were_made(kind: str) -> None:
    made, real = videos(16, 0), videos(8, 1)
    new = [number for number in range(10) if number not in KNOWN]
    whole, cut = material(made, real, KNOWN), material(made[:, :, new], real[:, :, new], ())
    one, other = (result_of(Measure.named(kind), own) for own in (whole, cut))
    assert (one.value, one.reference, one.details) == (other.value, other.reference, other.details)
    assert one.value != result_of(Measure.named(kind), material(made, real, ())).value


def test_equally_bad_frames_are_equally_bad_however_many_are_given() -> None:
    real = videos(8, 1)
    bad = (0.5 * real + 0.5 * videos(8, 3)).repeat_interleave(2, 0)

    def numbers(known: tuple[int, ...]) -> list[float]:
        made = bad.clone()
        made[:, :, list(known)] = real.repeat_interleave(2, 0)[:, :, list(known)]
        return [result_of(kind, material(made, real, known)).value for kind in (PSNR, Frechet, Flicker)]

    none, some, most = (numbers(tuple(range(given))) for given in (0, 4, 9))
    assert none[0] == pytest.approx(some[0], abs=0.1) == pytest.approx(most[0], abs=0.1)
    assert none[1] == pytest.approx(some[1], rel=0.2) == pytest.approx(most[1], rel=0.2)
    assert none[2] == pytest.approx(some[2], rel=0.1)
    assert none[2] == pytest.approx(most[2] * 2**0.5, rel=0.1)  # the one change is of a true frame and a bad one


def test_flicker_is_of_changes_with_a_frame_that_was_made() -> None:
    real = torch.zeros(4, 3, *SHAPE.sizes)
    made = real.repeat_interleave(2, 0)
    made[:, :, 3:5] = 0.2  # 5 changes have such a frame with frame 2, of which two are wrong
    known = (0, 1, 2, 6, 7, 8, 9)
    assert result_of(Flicker, material(made, real, known)).value == pytest.approx(100 * 2 * 0.1 / 4)
    assert result_of(Flicker, material(made, real, ())).value == pytest.approx(100 * 2 * 0.1 / 9)


def test_a_single_frame_that_was_made_has_no_drift() -> None:
    with pytest.raises(ValueError, match="colour: expected videos of at least two frames that were not given, got one"):
        ColourDrift().expect(material(videos(4, 0), videos(2, 1), tuple(range(9))))


def test_a_network_of_whole_clips_sees_given_frames_and_a_note_says_so() -> None:
    made, real = videos(16, 0), videos(8, 1)
    told = FVD(window=4).measure(own := material(made, real, KNOWN), WINDOW)
    assert "whole clips are measured: 3 of 4 frames of each were given" in told.notes
    assert told.protocol.frames == 4 and told.protocol.known == KNOWN
    free = FVD(window=4).measure(material(made, real, ()), WINDOW)
    assert told.value == free.value and told.protocol != free.protocol
    assert not any("given" in note for note in free.notes)
    FVD(window=4).expect_network(WINDOW, own)
    with pytest.raises(ValueError, match="fvd: expected a frame that was not given, got the first 3, all given"):
        FVD(window=3).expect_network(WINDOW, own)


class Brightness(Measure):
    """A measure of somebody else's, which knows nothing of given frames."""

    title, better = "Brightness", "higher"

    def measure(self, material: Material, network: Any) -> Result:
        return self.averaged(material, None, [float(video.mean()) for video in material.made])


def test_a_measure_that_counts_given_frames_says_so() -> None:
    told = Brightness().measure(material(videos(4, 0), videos(2, 1), KNOWN), None)
    assert "whole clips are measured: 4 of 10 frames of each were given" in told.notes
    assert told.protocol.frames == 10


def test_real_clips_of_another_length_lose_the_same_frames() -> None:
    """Those that are compared without a partner."""
    longer = torch.cat([videos(8, 1), videos(8, 2)], 2)
    clips = [Clips(SHAPE.with_(frames=x.shape[2]), len(x), x.__getitem__) for x in (videos(8, 0), longer)]
    own = Material(clips[0], clips[1], known=KNOWN)
    assert Frechet().measure(own, FRAMES).details["samples_real"] == 8 * 16
    shown = own.new(clips[1])
    assert shown.shape.frames == 16 and torch.equal(shown.read(3)[:, 0], longer[3, :, 3])


def test_what_was_all_given_is_not_measured() -> None:
    own = material(videos(16, 0), videos(8, 1), tuple(range(10)))
    for told in measured([ClipScore(), Flicker(), ColourDrift()], own):
        assert isinstance(told, Unavailable)
