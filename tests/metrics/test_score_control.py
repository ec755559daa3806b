"""The scores of controlled models: what is asked, what overlaps, and the whole script on a small model."""

import importlib
import json
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.data.toybox.scene import is_held_out
from zoetrope.inputs.edges import Edges
from zoetrope.inputs.text import Text
from zoetrope.models.folder import write_model
from zoetrope.networks.controlled import Control, ControlledConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words
from zoetrope.video import read

SHAPE = VideoShape(frames=1, height=24, width=40, fps=3)


@pytest.fixture
def scoring(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("score_control")


def test_what_is_asked_has_the_outlines_of_the_control_in_other_colours(scoring: ModuleType) -> None:
    each = scoring.samples(24, 1)
    for one in each:
        assert one.source.things[0].shape == one.told.things[0].shape and one.source.motion == one.told.motion
        assert one.source.things[0].colour != one.told.things[0].colour and not is_held_out(one.told)
    assert {one.tells_background for one in each} == {False, True}
    assert each[:5] == scoring.samples(5, 1)
    masks = [[scoring.silhouette(one.drawn(SHAPE, told)) for told in (False, True)] for one in each]
    same = [scoring.overlap(*pair) for pair in masks]
    others = [scoring.overlap(pair[0], other[0]) for pair, other in pairwise(masks)]
    assert np.mean(same) > 0.9 and np.mean(others) < 0.4
    true = scoring.judged(each, [one.drawn(SHAPE, True) for one in each], [pair[0] for pair in masks])
    assert true["colour"]["right"] >= 23 and true["iou"]["value"] == pytest.approx(np.mean(same))
    assert 0 < true["background"]["samples"] < 24


def test_overlap_is_intersection_over_union(scoring: ModuleType) -> None:
    one, other = np.zeros((2, 1, 4, 4), bool)
    assert scoring.overlap(one, other) == 0
    one[:, :2], other[:, 1:3] = True, True
    assert scoring.overlap(one, other) == pytest.approx(1 / 3)


def test_the_whole_script(scoring: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = VideoUNetConfig(text_width=8, embedding=16, head=8, levels=(Level(width=8, text_attention=True),))
    stage = StageSpec(
        name="base",
        shape=SHAPE,
        inputs=(Text(), Edges()),
        network=ControlledConfig(network=network, controls=(Control(name="edges", width=8),)),
        sampling=SamplingSpec(steps=1),
    )
    spec = CascadeSpec(name="tiny", text=Words(width=8, limit=16), stages=(stage,))
    built = stage.network.build()
    for weight in built.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    write_model(tmp_path / "model", spec, {"base": built}, "# tiny\n")
    scoring.main(["--model", str(tmp_path / "model"), "--out", str(tmp_path / "out"), "--samples", "3"])
    told = json.loads((tmp_path / "out" / "scores.json").read_text())["rows"]
    assert list(told) == ["controlled", "half strength", "without control", "true", "another's control"]
    assert told["true"]["iou"]["value"] > 0.85 and told["true"]["samples"] == 3
    assert (tmp_path / "out" / "table.md").read_text() in capsys.readouterr().out
    assert read(tmp_path / "out" / "sheet.png").frames.shape == (1, 3 * 28, 4 * 44, 3)
    scoring.main(["--model", str(tmp_path / "model"), "--out", str(tmp_path / "one"), "--samples", "1"])
    told = json.loads((tmp_path / "one" / "scores.json").read_text())["rows"]
    assert list(told) == ["controlled", "half strength", "without control", "true"]  # there is no other's control
    assert "IoU 0.7 reached: not decided" in capsys.readouterr().out  # one sample decides nothing


def test_a_model_without_control_is_refused(scoring: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a model that edges control"):
        scoring.main(["--model", "mini", "--out", str(tmp_path / "out")])
