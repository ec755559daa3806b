"""What the studies of known frames measure, against closed forms and true clips; and how they ask networks."""

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "studies"))


def known() -> Any:
    return importlib.import_module("_known")


def films() -> Any:
    return importlib.import_module("long_videos")


def ramps(slopes: list[float], frames: int = 4) -> torch.Tensor:
    """Videos (B, 3, F, 2, 2) whose frame k is k times a slope everywhere."""
    steps = torch.tensor(slopes)[:, None] * torch.arange(frames)
    return steps[:, None, :, None, None].expand(-1, 3, -1, 2, 2).clone()


def test_a_ramp_is_faded_exactly_and_repeated_in_steps() -> None:
    clips = ramps([0.1, -0.2])
    torch.testing.assert_close(known().faded(clips, (0, 3)), clips)
    assert torch.equal(known().repeated(clips, (0, 3)), clips[:, :, [0, 0, 0, 3]])
    assert torch.equal(known().repeated(clips, (0, 1)), clips[:, :, [0, 1, 1, 1]])
    assert torch.equal(known().faded(clips, (0, 1)), known().repeated(clips, (0, 1)))
    mixed = known().with_known(ramps([0.0, 0.0]), clips, (1, 3))
    assert torch.equal(mixed[:, :, [1, 3]], clips[:, :, [1, 3]]) and not mixed[:, :, [0, 2]].any()


def test_known_frames_count_neither_for_psnr_nor_as_steps() -> None:
    clips = ramps([0.1, 0.2])
    made = clips + 0.02
    made[:, :, 0] = clips[:, :, 0]
    found = known().apart(made, clips, (0,))
    assert found["psnr"] == pytest.approx([20 * math.log10(2 / 0.02)] * 2, rel=1e-5)
    assert found["step"] == pytest.approx([0.12 * 127.5, 0.22 * 127.5], rel=1e-5)
    assert found["true_step"] == pytest.approx([0.1 * 127.5, 0.2 * 127.5], rel=1e-5)
    same = known().apart(clips, clips, (0, 3))
    assert same["psnr"] == [known().CEILING] * 2 and same["step"] == same["true_step"]
    still = known().apart(known().repeated(clips, (0, 3)), clips, (0, 3))
    assert still["step"] == pytest.approx([1.5 * 12.75, 3 * 12.75], rel=1e-5)  # 0 at the first border, 3 slopes after


def test_every_method_keeps_the_known_frames(tmp_path: Path) -> None:
    """Of the network as it ships: in both of its forms, by methods that it need not have learnt."""
    from zoetrope.data.toybox.prompts import combinations
    from zoetrope.models.opening import open_model

    judge, base = importlib.import_module("_judge"), known().Base.of(open_model("mini"))
    prompts = combinations(1)
    clips = judge.filmed(prompts, base.stage.shape)
    study = importlib.import_module("known_frames")
    for name, method in study.METHODS.items():
        if name in ("replacement", study.RECONSTRUCTION):
            made = base([prompts[0].text], clips, (0, 15), known=method, guidance=0.0, steps=2)
            assert torch.equal(made[:, :, [0, 15]], clips[:, :, [0, 15]])
            assert (made - clips)[:, :, 1:15].abs().mean() > 1e-3


def test_every_way_is_compared_with_what_its_network_can_do() -> None:
    study = importlib.import_module("known_frames")
    assert len(study.ways()) == 2 * len(study.METHODS) - 1
    assert (study.NEVER, "learnt") not in study.ways() and (study.LEARNT, "learnt") in study.ways()
    assert {weight for weight in study.WEIGHTS} == {1, 2, 5, 10} and study.RECONSTRUCTION in study.METHODS


def test_true_long_clips_are_right_and_repeated_ones_forget() -> None:
    study = films()
    for prompt in study._prompts()[:4]:
        frames = study._filmed(prompt)
        assert frames.shape == (180, 24, 40, 3)
        true = study.judged(frames, prompt, 3.0)
        assert [true[key] for key in study.ASPECTS] == [1, 1, 1, 1]
        assert len(true["behind"]) == 12 and max(*true["behind"], *true["thing"]) < 1
        again = study.judged(frames[np.arange(180) % study.GIVEN], prompt, 3.0)
        assert again["both"] == again["told"] == (not prompt.story.becomes)


def test_colours_that_come_back_or_drift_are_noticed() -> None:
    study = films()
    prompt = study._prompts()[0]
    assert prompt.story.becomes
    frames = study._filmed(prompt)
    back = np.concatenate([frames, frames[:15]])
    assert study.judged(back, prompt, 3.0)["told"] == 0
    darker = (frames[:, :, :, :] * np.linspace(1, 0.9, 180)[:, None, None, None]).astype(np.uint8)
    behind = study.judged(darker, prompt, 3.0)["behind"]
    assert behind[0] < 3 and behind[-1] > 15 and behind == sorted(behind)
    empty = np.broadcast_to(frames[:, :1, :1], frames.shape).copy()
    lost = study.judged(empty, prompt, 3.0)
    assert lost["colour"] == lost["shape"] == lost["told"] == 0 and min(lost["thing"]) == study.LOST


def test_scores_of_long_videos_are_those_of_their_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    score, study = importlib.import_module("score_known"), films()
    rows = []
    for prompt in study._prompts()[:2]:
        frames = study._filmed(prompt)
        rows.append(score.Long(prompt, frames, [frames, frames[::-1]]))  # backwards it ends in the first colour
    told = score.judged_ends(rows, 3.0)
    shares = {name: value["right"] / value["samples"] for name, value in told.items()}
    assert [shares[f"clip, {aspect}"] for aspect in ("colour", "shape", "both")] == [1, 1, 1]
    assert shares["video, colour"] == 0.75 and shares["colour, turns"] == 0.5 and shares["video, shape"] == 1
    assert told["video, both"]["clusters"] == 2


def test_half_of_the_long_stories_turn() -> None:
    prompts = films()._prompts()
    assert [bool(one.story.becomes) for one in prompts] == [True, False] * (len(prompts) // 2)
    assert all(film.course.moment is None or 15 <= film.course.moment <= 45 for film in prompts)
    assert len({one.text for one in prompts}) == len(prompts) == films().PROMPTS
