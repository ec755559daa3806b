"""Schemes: the published index lists, and what holds for every scheme on every video."""

import re
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zoetrope.schemes import FrameBlock, LongVideo, SamplingScheme, spread
from zoetrope.schemes.adaptive import Adaptive, farthest
from zoetrope.schemes.autoregressive import Autoregressive
from zoetrope.schemes.hierarchy import Hierarchy
from zoetrope.schemes.interpolation import Interpolation
from zoetrope.schemes.long_range import LongRange
from zoetrope.schemes.pyramid import Pyramid, places

Lists = list[tuple[list[int], list[int]]]


def lists(scheme: SamplingScheme, video: LongVideo) -> Lists:
    return [(list(block.observed), list(block.latent)) for block in scheme.blocks(video)]


def four_of_twenty() -> LongVideo:
    return LongVideo(total=20, given=(0, 1, 2, 3), most=8)


# What the class of the authors' program gives, [Harvey et al. 2022, arXiv:2205.11495].
PUBLISHED: list[tuple[SamplingScheme, Lists]] = [
    (
        Autoregressive(step=4),
        [
            ([0, 1, 2, 3], [4, 5, 6, 7]),
            ([4, 5, 6, 7], [8, 9, 10, 11]),
            ([8, 9, 10, 11], [12, 13, 14, 15]),
            ([12, 13, 14, 15], [16, 17, 18, 19]),
        ],
    ),
    (
        LongRange(step=4),
        [
            ([0, 1, 2, 3], [4, 5, 6, 7]),
            ([2, 3, 6, 7], [8, 9, 10, 11]),
            ([2, 3, 10, 11], [12, 13, 14, 15]),
            ([2, 3, 14, 15], [16, 17, 18, 19]),
        ],
    ),
    (
        Hierarchy(step=4, levels=2),
        [
            ([0, 1, 2, 3], [4, 9, 14, 19]),
            ([9, 14, 4, 3], [5, 6, 7, 8]),
            ([14, 19, 9, 8], [10, 11, 12, 13]),
            ([19, 14, 13, 12], [15, 16, 17, 18]),
        ],
    ),
    (
        Hierarchy(step=4, levels=3),
        [
            ([0, 1, 2, 3], [4, 9, 14, 19]),
            ([9, 14, 4, 3], [6, 8, 10, 12]),
            ([19, 14, 12, 10], [15, 17]),
            ([6, 8, 9, 4, 3, 2], [5, 7]),
            ([12, 14, 15, 17, 10], [11, 13, 16]),
            ([19, 17, 16, 15], [18]),
        ],
    ),
]


@pytest.mark.parametrize(("scheme", "expected"), PUBLISHED)
def test_the_published_lists(scheme: SamplingScheme, expected: Lists) -> None:
    assert lists(scheme, four_of_twenty()) == expected
    assert lists(scheme.with_(step=None), four_of_twenty()) == expected  # half of 8 is 4


def test_the_published_list_without_given_frames() -> None:
    assert lists(Hierarchy(step=4), LongVideo(total=24, most=8)) == [
        ([], [0, 3, 6, 9, 13, 16, 19, 23]),
        ([3, 6, 0], [1, 2, 4, 5]),
        ([9, 13, 6, 5], [7, 8, 10, 11]),
        ([13, 16, 19, 11], [12, 14, 15, 17]),
        ([19, 23, 17, 16], [18, 20, 21, 22]),
    ]


def test_the_published_list_of_a_long_video() -> None:
    video = LongVideo(total=100, given=tuple(range(36)), most=20)
    assert lists(Hierarchy(step=10), video)[:2] == [
        ([0, 3, 7, 11, 15, 19, 23, 27, 31, 35], [36, 43, 50, 57, 64, 71, 78, 85, 92, 99]),
        ([43, 50, 57, 64, 71, 36, 35, 34, 33, 32], [*range(37, 43), *range(44, 48)]),
    ]


def test_without_given_frames_the_first_block_is_as_long_as_the_network_sees() -> None:
    for scheme in (Autoregressive(), LongRange()):
        found = lists(scheme, LongVideo(total=20, most=8))
        assert found[0] == ([], list(range(8))) and found[1][1] == [8, 9, 10, 11]
    assert lists(LongRange(), LongVideo(total=20, most=8))[-1] == ([6, 7, 14, 15], [16, 17, 18, 19])
    assert lists(Autoregressive(), LongVideo(total=5, most=8)) == [([], [0, 1, 2, 3, 4])]


def by_number(frame: int) -> Tensor:
    return torch.tensor([float(frame)])


def test_adaptive_observes_what_is_unlike() -> None:
    """Features 0 to 9 but for frame 9, which looks like frame 2: it observes 9, then the farthest from the chosen."""
    looks = [0.0, 1, 2, 3, 4, 5, 6, 7, 8, 2]
    video = LongVideo(total=12, given=tuple(range(10)), most=6, features=lambda n: torch.tensor([looks[n]]))
    [block] = Adaptive(step=2).blocks(video)
    assert block == FrameBlock(
        (9, 8, 5, 0), (10, 11)
    )  # distances: 8 is 6 from 2; then 5 is 3 from both; then 0 is 2 from 2
    asked: list[int] = []

    def counted(frame: int) -> Tensor:
        asked.append(frame)
        return by_number(frame)

    rest = list(Adaptive(step=2).blocks(LongVideo(total=20, given=(0, 1), most=6, features=counted)))
    assert len(rest) == 9 and asked == list(range(18))  # of every observable frame once
    assert rest[-1].observed == (17, 0, 9, 13)  # of 8 and 9, equally far, the later one; then 13, like 4 and 5


def test_farthest_points_are_those_of_a_search_by_hand() -> None:
    torch.manual_seed(0)
    features = {frame: torch.randn(3) for frame in range(12)}
    chosen = [11]
    while len(chosen) < 5:
        rest = [frame for frame in range(11, -1, -1) if frame not in chosen]
        chosen.append(max(rest, key=lambda f: min(float((features[f] - features[c]).norm()) for c in chosen)))
    assert farthest(features, [11], 5) == chosen


SCHEMES: list[SamplingScheme] = [
    *(kind(step=step) for kind in (Autoregressive, LongRange, Adaptive, Pyramid) for step in (None, 1, 3)),
    *(Hierarchy(step=step, levels=levels) for levels in (2, 3) for step in (None, 1, 2, 5)),
    *(Pyramid(delay=delay) for delay in (1, 2, 7)),
    *(Interpolation(skip=skip, step=step) for skip in (None, 2, 3, 5) for step in (None, 1, 3)),
]


@st.composite
def videos(draw: st.DrawFn) -> LongVideo:
    total = draw(st.integers(1, 60))
    prefix = tuple(range(draw(st.integers(0, total))))
    known = draw(st.one_of(st.just(prefix), st.sets(st.integers(0, total - 1)).map(lambda own: tuple(sorted(own)))))
    most, steps = draw(st.integers(2, 20)), draw(st.integers(1, 24))
    return LongVideo(total=total, given=known, most=most, steps=steps, features=by_number)


@pytest.mark.parametrize("scheme", SCHEMES)
@given(video=videos())
@settings(max_examples=60, deadline=None)
def test_every_missing_frame_is_made_once_of_frames_that_are_done(scheme: SamplingScheme, video: LongVideo) -> None:
    done, made = set(video.given), list[int]()
    try:
        for block in scheme.blocks(video):
            assert set(block.observed) <= done and not done.intersection(block.latent)
            assert len(set(block.frames)) == len(block.observed) + len(block.latent) <= video.most
            assert block.latent and list(block.latent) == sorted(block.latent)
            assert block.observed or not done
            made += block.finished(video.steps)
            done.update(block.finished(video.steps))
    except ValueError as error:  # too small a network for this scheme, which comes before any frame is made of others
        assert re.match(rf"{scheme.kind()}: (step: |delay: )?expected ", str(error))
        assert not made or (not video.given and len(made) <= video.most)
    else:
        assert sorted(made) == video.missing


@pytest.mark.parametrize("kind", SamplingScheme.every())
def test_every_kind_is_among_those_tested(kind: type[SamplingScheme]) -> None:
    assert any(type(scheme) is kind for scheme in SCHEMES)
    assert SamplingScheme.from_json(kind().to_json()) == kind()


@given(steps=st.integers(1, 20), delay=st.integers(1, 25), total=st.integers(1, 12))
def test_a_rolling_window_is_the_matrix_of_the_whole_video_cut_into_blocks(steps: int, delay: int, total: int) -> None:
    video = LongVideo(total=total, most=40, steps=steps)
    matrix = places(total, steps, delay)
    for number, block in enumerate(Pyramid(delay=delay).blocks(video)):
        assert block.places is not None and len(block.places) == delay + 1
        for row, own in enumerate(block.places):
            whole = matrix[min(number * delay + row, len(matrix) - 1)]
            assert own == tuple(whole[frame] for frame in block.latent)
    assert set(matrix[0]) == {0} and set(matrix[-1]) == {steps}


def test_matrices_of_levels() -> None:
    """The rows are equal in ordinary sampling; with the delay of all steps it is one column after the other."""
    assert places(3, 2, 0) == [[0, 0, 0], [1, 1, 1], [2, 2, 2]]
    assert places(2, 2, 2) == [[0, 0], [1, 0], [2, 0], [2, 1], [2, 2]]
    assert places(3, 3, 1) == [[0, 0, 0], [1, 0, 0], [2, 1, 0], [3, 2, 1], [3, 3, 2], [3, 3, 3]]
    assert places(4, 2, 1, known=[0, 2]) == [[2, 0, 2, 0], [2, 1, 2, 0], [2, 2, 2, 1], [2, 2, 2, 2]]


def test_a_pyramid_in_blocks() -> None:
    first, second, third, *_ = Pyramid(delay=2).blocks(LongVideo(total=9, given=(0,), most=4, steps=4))
    assert first == FrameBlock((0,), (1,), ((0,), (1,), (2,)))
    assert second == FrameBlock((0,), (1, 2), ((2, 0), (3, 1), (4, 2))) and second.finished(4) == (1,)
    assert third == FrameBlock((0, 1), (2, 3), ((2, 0), (3, 1), (4, 2)))


def test_sixteen_frames_become_seventy_six() -> None:
    """The frame skip of Make-A-Video: (16 - 1) x 5 + 1 frames, in windows that begin and end with key frames."""
    first, *others = lists(Interpolation(skip=5), LongVideo(total=76, most=16))
    assert first == ([], [*range(0, 76, 5)])
    assert [block[0] for block in others] == [[s, s + 5, s + 10, s + 15] for s in range(0, 75, 15)]
    assert lists(Interpolation(), LongVideo(total=76, most=16))[0] == first
    assert lists(Interpolation(), LongVideo(total=9, most=4))[0] == ([], [0, 3, 6])
    assert [block[1] for block in others] == [
        [own for own in range(s, s + 15) if own % 5] for s in range(0, 75, 15)
    ]  # fmt: skip


def test_key_frames_follow_given_ones_and_each_other() -> None:
    given_ones = LongVideo(total=13, given=(0, 1, 2, 3), most=4)
    assert lists(Interpolation(skip=3), given_ones) == [
        ([0, 3], [6, 9]), ([3, 6, 9], [12]), ([3, 6], [4, 5]), ([6, 9], [7, 8]), ([9, 12], [10, 11]),
    ]  # fmt: skip


@given(video=videos(), skip=st.integers(2, 6))
def test_the_frames_of_every_block_are_evenly_spaced(video: LongVideo, skip: int) -> None:
    if video.most > skip:
        for block in Interpolation(skip=skip).blocks(video):
            assert len({b - a for a, b in pairwise(block.frames)}) <= 1


BAD: list[tuple[SamplingScheme, dict[str, Any], str]] = [
    (Autoregressive(step=8), {}, "autoregressive: step: expected at most 7, for the network sees 8 frames"),
    (LongRange(step=7), {}, "long_range: step: expected at most 6, for the network sees 8 frames and 2 of them are"),
    (Hierarchy(), {"most": 2}, "hierarchy: expected a network of at least 3 frames, of which 2 are observed"),
    (Autoregressive(), {"most": 1}, "autoregressive: expected a network of at least 2 frames, of which 1 are observed"),
    (Adaptive(), {}, "adaptive: expected features of frames"),
    (Pyramid(delay=1), {"steps": 32}, "pyramid: delay: expected at least 5; with 1 there are 32 frames of 32 steps"),
    (Interpolation(skip=8), {}, "interpolation: expected a network of more frames than the skip of 8, got one of 8"),
    (Pyramid(delay=8, step=4), {"steps": 32}, "pyramid: expected either step or delay, got both"),
]  # fmt: skip


@pytest.mark.parametrize(("scheme", "changes", "message"), BAD)
def test_a_network_that_sees_too_little_is_refused(
    scheme: SamplingScheme, changes: dict[str, Any], message: str
) -> None:
    fields = {"total": 20, "given": (0, 1, 2, 3), "most": 8, **changes}
    with pytest.raises(ValueError, match=re.escape(message)):
        list(scheme.blocks(LongVideo(**fields)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"total": 0, "most": 4}, "total: expected at least 1, got 0"),
        ({"total": 4, "most": 0}, "most: expected at least 1, got 0"),
        ({"total": 4, "most": 4, "given": (0, 4)}, "given: expected frame numbers from 0 to 3, got 4"),
        ({"total": 4, "most": 4, "given": (-1, 2)}, "given: expected frame numbers from 0 to 3, got -1"),
        ({"total": 4, "most": 4, "given": (2, 1)}, "given: expected frame numbers in ascending order, each once"),
    ],
)
def test_impossible_videos_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        LongVideo(**fields)


@given(count=st.integers(1, 300), picks=st.integers(1, 40))
def test_places_are_spread_from_the_first_to_the_last(count: int, picks: int) -> None:
    found = spread(count, picks)
    assert found == sorted(set(found)) and found[0] == 0 and len(found) == min(picks, count)
    if picks > 1:
        assert found[-1] == count - 1
        gaps = [b - a for a, b in pairwise(found)]
        assert not gaps or max(gaps) - min(gaps) <= 1
