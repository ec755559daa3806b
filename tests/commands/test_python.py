"""What the commands do, from Python: `Cascade` on the tiny model of these tests."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from zoetrope import Cascade
from zoetrope.config import Config


def test_generate_is_the_end_of_stream(model: Path) -> None:
    cascade = Cascade.from_pretrained(model)
    seen = list(cascade.stream(["fog"], seed=3))
    assert [(p.stage, p.step) for p in seen if p.done] == [(s.name, s.sampling.steps) for s in cascade.spec.stages]
    video = cascade.generate("fog", seed=3)
    shape = cascade.spec.stages[-1].shape
    assert video.frames.shape == (shape.frames, shape.height, shape.width, 3) and video.fps == shape.fps
    assert np.array_equal(video.frames, seen[-1].videos()[0].frames)
    assert not np.array_equal(video.frames, cascade.generate("fog", seed=4).frames)


def test_a_video_does_not_depend_on_its_batch(model: Path) -> None:
    cascade = Cascade.from_pretrained(model)
    *_, together = cascade.stream(["fog", "rain", "fog"], samples=[0, 0, 1])
    *_, alone = cascade.stream(["fog"], samples=[1])
    assert torch.allclose(together.x_hat[2], alone.x_hat[0], atol=1e-4)
    with pytest.raises(ValueError, match="samples: expected one number for each of 2 prompts, got 1"):
        next(cascade.stream(["fog", "rain"], samples=[0]))


def test_saved_and_loaded_is_the_same(model: Path, tmp_path: Path) -> None:
    cascade = Cascade.from_pretrained(model)
    cascade.save_pretrained(tmp_path / "copy")
    copy = Cascade.from_pretrained(tmp_path / "copy")
    assert copy.spec == cascade.spec and copy.card == cascade.card
    assert np.array_equal(copy.generate("snow").frames, cascade.generate("snow").frames)


def test_tuned(model: Path) -> None:
    cascade = Cascade.from_pretrained(model)
    other = cascade.tuned(steps=2, sampler="heun")
    assert [stage.sampling.steps for stage in other.spec.stages] == [2] * len(cascade.spec.stages)
    assert all(stage.sampling.sampler.kind() == "heun" for stage in other.spec.stages)
    assert isinstance(other.spec, Config) and cascade.spec != other.spec
    with pytest.raises(ValueError, match="did you mean 'ddim'"):
        cascade.tuned(sampler="ddimm")


def test_what_is_cut_is_said(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    cascade = Cascade.from_pretrained(model)
    with caplog.at_level(logging.WARNING):
        cascade.generate(" ".join(["fog"] * cascade.spec.text.limit + ["unread"]), until="base")
    assert "unread" in caplog.text
