"""`Cascade.generate` with known frames: they come back exactly, through all stages; and what may not be asked."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoetrope.cascade.spec import CascadeSpec
from zoetrope.known import Method
from zoetrope.known.learnt import Learnt
from zoetrope.known.reconstruction import Reconstruction
from zoetrope.known.replacement import Replacement
from zoetrope.models.cascade import Cascade, Progress
from zoetrope.models.known import known_frames
from zoetrope.models.known_places import numbers_of
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.discrete import Discrete
from zoetrope.video import Video
from zoetrope.video.resample import resize

from .test_cascade import random_network, same, spec

FRAMES, SIZE = 8, (16, 16)  # of the last stage's videos, at 4 fps; the base makes half of the frames


def learning(method: Method | None = None, **sampling: Any) -> CascadeSpec:
    """The cascade, whose base has a method for known frames."""
    base, *others = spec(**sampling).stages
    own = base.with_(sampling=base.sampling.with_(known=method))
    return spec(**sampling).with_(stages=(own, *others))


LEARNT = Cascade(learning(Learnt(), guidance=1.0), random_network)
UNLEARNT = Cascade(learning(guidance=1.0), random_network)


def noise(count: int, height: int = 16, width: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def reports(cascade: Cascade, **options: Any) -> dict[str, Progress]:
    """The last report of each stage."""
    last: dict[str, Progress] = {}
    cascade.generate("fog", progress=lambda now: last.update({now.stage: now}), **options)
    return last


@pytest.mark.parametrize("threshold", ["static", 0.9, None])
@pytest.mark.parametrize("options", [{}, {"known_method": "reconstruction"}, {"known_method": "replacement"}])
def test_known_frames_come_back_exactly(threshold: object, options: dict[str, Any]) -> None:
    cascade = Cascade(learning(Learnt(), threshold=threshold), random_network)
    first, last = noise(2)
    made = cascade.generate("fog", known={0: first, -1: last}, **options)
    assert made.frames.shape == (8, 16, 16, 3)
    assert np.array_equal(made.frames[0], first) and np.array_equal(made.frames[-1], last)
    plain = cascade.generate("fog")
    assert not np.array_equal(made.frames[1:-1], plain.frames[1:-1]), "the others do not look at them"


@pytest.mark.parametrize("options", [{}, {"known_method": "replacement"}])
def test_known_frames_come_back_exactly_where_the_sample_is_z(options: dict[str, Any]) -> None:
    """At the end of a discrete schedule z has noise, which known frames have not."""
    cascade = learning(Learnt(), threshold=None, sampler=DDIM(sample="z"))
    stages = tuple(stage.with_(schedule=Discrete()) for stage in cascade.stages)
    first, last = noise(2)
    made = Cascade(cascade.with_(stages=stages), random_network).generate("fog", known={0: first, -1: last}, **options)
    assert np.array_equal(made.frames[0], first) and np.array_equal(made.frames[-1], last)


def test_every_stage_knows_them_at_its_own_size() -> None:
    """The base, with half as many frames, knows frame 4 as its frame 2, and frame 7 as its frame 3."""
    first, last = noise(2)
    made = reports(LEARNT, known={4: first, 7: last})
    large = Video(noise(2), 4).to_tensor()[None]
    small = resize(large, 8, 8)
    assert np.array_equal(made["base"].x_hat[:, :, 2:].numpy(), small.numpy())
    assert np.array_equal(made["tsr1"].x_hat[:, :, [4, 7]].numpy(), small.numpy())
    assert np.array_equal(made["ssr1"].x_hat[:, :, [4, 7]].numpy(), large.numpy())


def test_the_frame_itself_goes_before_the_next_one() -> None:
    """Of frames 4 and 5 the base takes frame 4, and of frame 5 alone that."""
    pictures = noise(2)
    both, alone = reports(LEARNT, known={4: pictures[0], 5: pictures[1]}), reports(LEARNT, known={5: pictures[1]})
    small = resize(Video(pictures, 4).to_tensor()[None], 8, 8)
    assert np.array_equal(both["base"].x_hat[:, :, 2].numpy(), small[:, :, 0].numpy())
    assert np.array_equal(alone["base"].x_hat[:, :, 2].numpy(), small[:, :, 1].numpy())


def test_a_stage_all_of_whose_frames_are_known_does_not_run() -> None:
    pictures = noise(4)
    steps: list[tuple[str, int]] = []
    known = {2 * place: picture for place, picture in enumerate(pictures)}
    made = LEARNT.generate("fog", known=known, progress=lambda now: steps.append((now.stage, now.steps)))
    assert steps == [("base", 1), ("tsr1", 2), ("tsr1", 2), ("ssr1", 2), ("ssr1", 2)]
    assert np.array_equal(made.frames[::2], pictures)


def test_several_prompts_and_a_count_share_them() -> None:
    first = noise(1)[0]
    videos = LEARNT.generate(["fog", "rain"], count=2, known={0: first})
    together = LEARNT.generate(["fog", "rain"], count=2, known={0: first}, batch=3)
    assert all(np.array_equal(video.frames[0], first) for video in [*videos, *together])
    assert not any(same(videos[0], other) for other in videos[1:])
    for one, other in zip(videos, together, strict=True):
        assert np.abs(one.frames.astype(int) - other.frames).max() <= 1


def test_places_values_and_files_say_the_same(tmp_path: Path) -> None:
    clip = noise(3)
    Video(clip[:1], 1).save(tmp_path / "a.png")
    Video(clip, 4).save(tmp_path / "clip_%03d.png")
    plain = LEARNT.generate("fog", known={0: clip[0], 1: clip[1], 2: clip[2]})
    for known in (
        {"0:3": Video(clip, 4)}, {range(3): clip}, {":3": clip}, {"-8:-5": clip},
        {0: Video(clip[:1], 99), "1:3": clip[1:]},
        {0: tmp_path / "a.png", "1:3": clip[1:]}, {"0": str(tmp_path / "a.png"), range(1, 3): clip[1:]},
        {"0:3": tmp_path / "clip_%03d.png"},
    ):  # fmt: skip
        assert same(LEARNT.generate("fog", known=known), plain), known


def test_the_last_stage_to_run_counts_the_frames() -> None:
    first = noise(1, 8, 8)[0]
    made = LEARNT.generate("fog", known={-1: first}, until="base")
    assert made.frames.shape == (4, 8, 8, 3) and np.array_equal(made.frames[3], first)


def test_a_start_from_a_video_knows_frames_of_the_stages_after_it() -> None:
    picture = noise(1)[0]
    made = UNLEARNT.generate("fog", video=Video(noise(4, 8, 8), 2), known={3: picture})
    assert np.array_equal(made.frames[3], picture)


def test_crop_resizes_and_cuts_out_the_middle() -> None:
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:, 16:48] = 200
    made = LEARNT.generate("fog", known={0: picture}, fit="crop")
    assert made.frames[0].shape == (16, 16, 3) and (made.frames[0][:, 1:-1] == 200).all()


def test_a_known_video_of_lower_resolution() -> None:
    """The heavier the weight, the nearer the base's video is to it."""
    small = Video(noise(2, 4, 4), 1)
    distances = []
    for weight in (0.0, 20.0):
        made = reports(
            UNLEARNT, low_res=small, known_method="reconstruction", known_weight=weight, until="base", steps=16
        )
        x_hat = made["base"].x_hat[:, :, ::2]
        distances.append(float((resize(x_hat, 4, 4) - small.to_tensor()).norm()))
    assert distances[1] < 0.8 * distances[0]


def test_stages_after_the_first_replace_frames() -> None:
    known = known_frames(UNLEARNT.spec.stages, {0: noise(1)[0]}, method="reconstruction", weight=3)
    assert known is not None
    methods = [stage.sampling.known for stage in known.stages(UNLEARNT.spec.stages)]
    assert methods == [Reconstruction(weight=3), Replacement(redraw=False), Replacement(redraw=False)]
    own = learning(Learnt(history=1.0))
    known = known_frames(own.stages, {0: noise(1)[0]})
    assert known is not None and known.stages(own.stages)[0].sampling.known == Learnt(history=1.0)


def test_memory_of_known_frames_is_planned() -> None:
    first = noise(1)[0]
    with pytest.raises(ValueError, match=r"memory: stage '\w+' .* needs \d+ MB"):
        LEARNT.generate("fog", known={0: first}, memory=10**8)
    whole = LEARNT.generate("fog", known={0: first}, known_method="reconstruction")
    tight = LEARNT.generate("fog", known={0: first}, known_method="reconstruction", memory=800_000_000)
    assert np.abs(whole.frames.astype(int) - tight.frames).max() <= 1


ONE, RECONSTRUCTION = noise(1)[0], "reconstruction"


def small(height: int, fps: float) -> Video:
    return Video(noise(2, height, 4), fps)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"known": {}}, "known: expected at least one frame, got none"),
        ({"known": {8: ONE}}, "known 8: expected a frame from 0 to 7, or from the end, -8 to -1, got 8"),
        ({"known": {-9: ONE}}, "known -9: expected a frame from 0 to 7"),
        ({"known": {"6:9": noise(3)}}, "known 6:9: expected a frame from 0 to 7"),
        ({"known": {range(6, 9): noise(3)}}, "known 6:9: expected a frame from 0 to 7"),
        ({"known": {"3:3": noise(1)}}, "known 3:3: expected a last frame after the first"),
        ({"known": {"a": noise(1)}}, "known a: expected the number of a frame, or of frames such as 0:8"),
        ({"known": {1.5: noise(1)}}, "known 1.5: expected the number of a frame, a range"),
        ({"known": {True: noise(1)}}, "known True: expected the number of a frame, a range"),
        ({"known": {7: ONE, -1: ONE}}, "known -1: frame 7 is given twice"),
        ({"known": {"0:3": noise(3), 2: ONE}}, "known 2: frame 2 is given twice"),
        ({"known": {"0:8": noise(8)}}, "known: expected a frame that is not known, for the model to make, got all 8"),
        ({"known": {"0:3": noise(2)}}, "known 0:3: expected 3 frames, got 2"),
        ({"known": {0: noise(2)}}, "known 0: expected one picture, got 2"),
        (
            {"known": {0: noise(1, 32, 64)[0]}},
            "known 0: expected a size of 16x16, as ssr1 makes, got 32x64; "
            r"the fit 'crop' \(--fit crop\) resizes it to 16x32 and cuts out the middle",
        ),
        ({"known": {"0:2": Video(noise(2), 5)}}, "known 0:2: expected 4 frames a second, as ssr1 makes, got 5"),
        (
            {"known": {0: ONE.astype(float)}},
            r"known 0: expected a picture \(H, W, 3\) uint8, .* got \(16, 16, 3\) float64",
        ),
        ({"known": {0: 3}}, r"known 0: expected a picture .*, got int"),
        ({"known": {0: "no-such.png"}}, "no-such.png"),
        ({"known": [ONE]}, "known: "),
        ({"known_method": RECONSTRUCTION}, "known_method: expected known frames that it is about"),
        ({"known": {0: ONE}, "known_method": "recontruction"}, "known_method: .*'reconstruction'"),
        ({"known": {0: ONE}, "known_weight": 3.0}, "known_weight: expected with a known_method that has one"),
        ({"known": {0: ONE}, "known_method": "replacement", "known_weight": 3.0}, "known_weight: expected with a"),
        ({"known": {0: ONE}, "known_weight": -1.0}, "known_weight"),
        ({"known": {0: ONE}, "fit": "squeeze"}, "fit"),
        (
            {"low_res": small(4, 1)},
            "stage 'base': expected no low_res, for it has not learnt to be given one; "
            r"--known-method reconstruction .*more than twice the time",
        ),
        ({"low_res": small(3, 1), "known_method": RECONSTRUCTION}, "low_res: height: expected a divisor of 8"),
        ({"low_res": small(4, 2), "known_method": RECONSTRUCTION}, "low_res: expected 1 frames a second"),
    ],
)
def test_bad_input_says_what_is_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LEARNT.generate("fog", **options)


def test_a_model_that_never_learnt_them_says_what_else_there_is() -> None:
    with pytest.raises(
        ValueError,
        match=r"stage 'base': expected no known frames, for it has not learnt to be given any; "
        r"--known-method reconstruction \(known_method\) makes it agree .* more than twice the time of a step",
    ):
        UNLEARNT.generate("fog", known={0: noise(1)[0]})


def test_a_weight_that_is_too_large_is_named() -> None:
    cascade = Cascade(learning(threshold=None), random_network)
    options: dict[str, Any] = {"known": {0: noise(1)[0]}, "known_method": "reconstruction", "steps": 8}
    with pytest.raises(
        ValueError, match=r"stage 'base': step \d+: x_hat is not finite: .* weight 1e\+25 is too strong"
    ):
        cascade.generate("fog", known_weight=1e25, **options)


def test_files_of_another_kind_are_told(tmp_path: Path) -> None:
    Video(noise(6), 4).save(tmp_path / "a.mp4")
    Video(noise(6), 8).save(tmp_path / "fast.mp4")
    Video(noise(2), 4).save(tmp_path / "short.mp4")
    Video(noise(1), 1).save(tmp_path / "a.png")

    def known(place: str, name: str, fit: Any = "exact") -> np.ndarray:
        found = known_frames(LEARNT.spec.stages, {place: tmp_path / name}, fit=fit)
        assert found is not None
        return found.pictures

    assert len(known("0:4", "a.mp4")) == 4
    assert len(known("0:3", "fast.mp4", "crop")) == 3
    for place, name, message in (
        ("0", "a.mp4", "expected a picture, got 6 frames; say which frames they are, such as 0:8"),
        ("0:2", "a.png", "expected 2 frames, got one picture"),
        ("0:3", "short.mp4", "expected 3 frames, got 2"),
        (
            "0:3",
            "fast.mp4",
            r"expected 4 frames a second, as ssr1 makes, got 8; the fit 'crop' \(--fit crop\) drops frames",
        ),
    ):
        with pytest.raises(ValueError, match=f"known {place}=.*{name}: {message}"):
            known(place, name)


PLACES: list[tuple[Any, list[int]]] = [
    (0, [0]), (-1, [7]), ("2", [2]), ("-2:", [6, 7]), (":2", [0, 1]), ("6:8", [6, 7]), (" 1:3 ", [1, 2]),
    (range(0, 8, 3), [0, 3, 6]), (np.int64(3), [3]),
]  # fmt: skip


@pytest.mark.parametrize(("place", "numbers"), PLACES)
def test_places(place: Any, numbers: list[int]) -> None:
    assert numbers_of(place, 8) == numbers
