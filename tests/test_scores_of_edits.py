"""The parts of the scores of edits, controls and structure that compute: distances, flicker, and what is asked for."""

import argparse
import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from zoetrope.data.toybox.scene import held_out_pairs
from zoetrope.models.opening import open_model
from zoetrope.recipes import load_recipe
from zoetrope.routines.hierarchical import Hierarchical
from zoetrope.routines.straight import Straight
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words
from zoetrope.video import Video

SHAPE = VideoShape(frames=16, height=24, width=40, fps=3)


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    return importlib.import_module(request.param)


of_edits = pytest.mark.parametrize("benchmark", ["score_edit"], indirect=True)
of_videos = pytest.mark.parametrize("benchmark", ["score_control_video"], indirect=True)
of_gen1 = pytest.mark.parametrize("benchmark", ["score_gen1"], indirect=True)


@of_edits
def test_an_edit_changes_one_thing_and_tells_the_rest_alike(benchmark: ModuleType) -> None:
    several = benchmark.edits(8, False)
    assert [one.kind for one in several] == ["recolour", "reshape"] * 4
    for one in several:
        before, after = one.source.things[0], one.told.things[0]
        changed = {name for name in ("colour", "shape") if getattr(before, name) != getattr(after, name)}
        assert changed == {benchmark.KINDS[one.kind]} and not held_out_pairs(one.told)
        assert one.told.with_(things=one.source.things) == one.source and one.caption != one.prompt
    assert len({one.name for one in several}) == 8 and benchmark.edits(4, False) == several[:4]


@of_edits
def test_the_true_edit_is_right_and_the_clip_is_not(benchmark: ModuleType) -> None:
    every = benchmark.edits(6, False)
    sources = [one.drawn(SHAPE, told=False) for one in every]
    true = [benchmark.judged(one.drawn(SHAPE, told=True), one, s) for one, s in zip(every, sources, strict=True)]
    own = [benchmark.judged(source, one, source) for one, source in zip(every, sources, strict=True)]
    assert sum(one.new for one in true) >= 5 and not any(one.new for one in own)
    assert all(one.path == 0 for one in own) and max(one.path for one in true) < 0.05
    told = benchmark.summary(true, every)
    assert told["edits"] == 6 and told["recolour"]["samples"] == told["reshape"]["samples"] == 3
    rows = {name: told for name in (benchmark.TUNED, benchmark.TRUE)}
    assert "new 80 % reached: " in benchmark.table(rows) and "path 5 % reached: yes" in benchmark.table(rows)


@of_edits
def test_distance_is_that_of_things_in_shares_of_the_width(benchmark: ModuleType) -> None:
    def moving(right: int, lost: int = 0) -> Video:
        frames = np.full((16, 24, 40, 3), 255, np.uint8)
        for number in range(16 - lost):
            frames[number, 6:18, 4 + number + right : 16 + number + right] = (230, 25, 25)
        return Video(frames, 3)

    assert benchmark.distance(moving(0), moving(0)) == 0
    assert benchmark.distance(moving(4), moving(0)) == pytest.approx(0.1, abs=0.01)
    assert benchmark.distance(moving(0, lost=8), moving(0)) is None
    told = benchmark.paths([0.02, 0.06, None])
    assert told["path"]["value"] == pytest.approx(0.04) and told["within 5 %"]["right"] == 1


@of_videos
def test_the_rows_of_controlled_videos(benchmark: ModuleType) -> None:
    options = argparse.Namespace(fields='{"most": 4}', steps=None, frames=8)
    ways = benchmark.ways_of(options)
    assert ways["not smoothed"][0] == Hierarchical(most=4, smoothed_at=()) and ways["without control"][1] == 0
    spec = load_recipe("controlnet@mini_image").cascade
    for name, looks, routine in (("smoothed", "all", Hierarchical(most=4)), ("frame by frame", "own", Straight())):
        made = benchmark.way_of(spec, ways[name][0], options)
        base, ssr = made.videos
        assert (base.shape.frames, ssr.shape.frames) == (8, 8) and base.sampling.routine == routine
        assert base.network.network.levels[1].looks == looks
        assert base.sampling.shared_noise and ssr.sampling.shared_noise
    assert all(one.start == 0 for one in benchmark.told(4))


@of_gen1
def test_the_rows_of_structure_and_content(benchmark: ModuleType) -> None:
    spec, options = load_recipe("gen1").cascade, argparse.Namespace(steps=3)
    assert list(benchmark.ways()) == [
        "picture", "t_s = 2", "t_s = 4", "t_s = 7", "w_t = 0.5", "w_t = 1.5", "text", "no structure",
    ]  # fmt: skip
    blurred = benchmark.way_of(spec, benchmark.ways()["t_s = 4"], options).stage("base")
    assert blurred.input("structure").blur == 4 and blurred.sampling.steps == 3
    guided = benchmark.way_of(spec, benchmark.ways()["w_t = 1.5"], options).stage("base")
    assert guided.sampling.guidance.temporal == 1.5 and guided.input("structure").blur == 0
    with pytest.raises(ValueError, match="expected a model that is told structure, got none"):
        benchmark.structured(load_recipe("mini_image").cascade)


@of_gen1
def test_true_videos_have_the_clips_structure_and_the_pictures_content(benchmark: ModuleType) -> None:
    each = benchmark.told(4)
    controls = [benchmark.silhouette(one.drawn(SHAPE, told=False)) for one in each]
    sources, true = ([one.drawn(SHAPE, told=new) for one in each] for new in (False, True))
    found, own = (benchmark.judged(each, several, controls) for several in (true, sources))
    assert found["iou"]["value"] > 0.8 and found["colour"]["right"] >= 3 and own["colour"]["right"] == 0
    changes = benchmark.falls({"picture": true, "t_s = 2": [video[::-1] for video in true]}, each, SHAPE)
    assert changes["IoU, from picture to t_s = 2"]["value"] < 0 and len(changes) == 1
    rows = {name: {**found, "flicker ratio": found["flicker"]} for name in ("picture", "true")}
    assert "IoU 0.7 reached with content changed" in benchmark.table(rows, changes)
    picture = benchmark.picture_of(each[0], load_recipe("gen1").cascade.stage("base"))
    assert picture.shape == (1, 48, 80, 3)


@of_videos
def test_flicker_is_told_in_relation_to_that_of_the_same_scenes(benchmark: ModuleType) -> None:
    """Scenes flicker by very different amounts: a video of half as much in each has that ratio, without doubt."""
    draw = np.random.default_rng(0)
    true = [draw.integers(100, 100 + most, (8, 12, 20, 3)).astype(np.uint8) for most in (4, 20, 80, 140)]
    half = [(100 + (video.astype(float) - 100) / 2).astype(np.uint8) for video in true]
    rows: dict[str, dict[str, object]] = {"smoothed": {}, "true": {}}
    benchmark.add_ratios(rows, {"smoothed": half, "true": true})
    assert rows["true"]["flicker ratio"]["low"] == rows["true"]["flicker ratio"]["high"] == 1
    found = rows["smoothed"]["flicker ratio"]
    assert found["value"] == pytest.approx(0.5, abs=0.02) and found["high"] - found["low"] < 0.1


@pytest.mark.parametrize("benchmark", ["_kept"], indirect=True)
def test_what_is_kept_is_of_the_same_text_noise_and_place(benchmark: ModuleType) -> None:
    model = open_model("mini")
    own = benchmark.settings_of(model, model.spec.stages[:1])
    others = [model.spec.with_(noise="mersenne" if model.spec.noise == "philox" else "philox")]
    others.append(model.spec.with_(text=Words(width=model.spec.text.width)))
    for spec in others:
        assert benchmark.settings_of(model._replace(spec=spec), model.spec.stages[:1]) != own
    assert {"cpu", "cuda"} & {*map(str, own)} and {"torch.float32", "torch.bfloat16"} & {*map(str, own)}
