"""What a batch is: clips, texts, noise and what a stage is made from, all of it a function of its position."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from zoetrope.diffusion.augmentation import augmentation_logsnr
from zoetrope.inputs.low_res import LowRes
from zoetrope.training.batch import Batch
from zoetrope.training.spec import Phase, Recipe, clip_shape
from zoetrope.video.resample import degrade, upsample

from .stages import TSR, batches, plan, recipe, stage


def tensors_of(batch: Batch) -> Iterator[Tensor]:
    yield from (batch.x, batch.t, batch.eps)
    found: list[Tensor] = []
    batch.conditioning.each(lambda value: found.append(value) or value)  # type: ignore[func-returns-value]
    yield from found


def test_phases_and_learning_rate() -> None:
    first, second = Phase(examples=10, batch=4, peak=1e-3), Phase(examples=20, batch=2, peak=1e-4)
    spec = plan(phases=(first, second), warm_up=4, cool_down=10)
    assert spec.examples == 30
    assert [spec.phase_at(n) for n in (0, 9, 10, 29)] == [(first, 10), (first, 1), (second, 20), (second, 1)]
    assert spec.phase_at(30) == (second, 0)
    assert spec.learning_rate(0) == pytest.approx(1e-3 / 4)
    assert spec.learning_rate(5) == pytest.approx(1e-3)
    assert spec.learning_rate(12) == pytest.approx(1e-4)
    assert spec.learning_rate(25) == pytest.approx(1e-4 / 2)
    assert 0 < spec.learning_rate(30) < 2e-6
    assert spec.reached == 1


def test_a_short_run_is_known_not_to_reach_its_learning_rate() -> None:
    spec = plan(phases=(Phase(examples=30, batch=1, peak=1.0),), warm_up=40, cool_down=60)
    assert spec.reached == pytest.approx(max(map(spec.learning_rate, range(30))), abs=0.01)
    assert plan(phases=(Phase(examples=1, batch=1),), warm_up=0, cool_down=0).reached == 1
    assert plan(phases=(Phase(examples=9, batch=1),), warm_up=6, cool_down=3).reached == 1


def test_fewer_frames_are_spread_over_the_same_seconds() -> None:
    shape = clip_shape(stage("tsr1"), Phase(examples=1, frames=2))
    assert (shape.frames, shape.fps) == (2, 3) and shape.seconds == TSR.seconds


@pytest.mark.parametrize("name", ["base", "tsr1", "ssr1"])
def test_a_batch_is_a_function_of_its_position(cache: Path, name: str) -> None:
    one, other = batches(cache, name), batches(cache, name)
    torch.manual_seed(5)
    one.at(8)
    first = list(tensors_of(one.at(4)))
    torch.manual_seed(6)
    second = list(tensors_of(other.at(4)))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], next(iter(tensors_of(one.at(8)))))
    assert first[0].shape == (4, 3, *(getattr(stage(name).shape, axis) for axis in ("frames", "height", "width")))
    assert first[0].abs().max() <= 1


def test_times_cover_the_whole_of_diffusion_in_each_batch(cache: Path) -> None:
    source = batches(cache, phases=(Phase(examples=40, batch=8),))
    for position in (0, 8, 16):
        t = source.at(position).t.sort().values
        assert t.min() >= 0 and t.max() < 1
        assert (t[1:] - t[:-1]).tolist() == pytest.approx([1 / 8] * 7, abs=1e-9)


def test_the_last_batch_of_a_phase_is_cut_to_fit(cache: Path) -> None:
    phases = (Phase(examples=6, batch=4), Phase(examples=4, batch=4, frames=1))
    source = batches(cache, phases=phases)
    assert [source.at(n).x.shape[0] for n in (0, 4, 6)] == [4, 2, 4]
    assert source.at(6).x.shape[2] == 1


def test_share_of_text_that_is_dropped(cache: Path) -> None:
    source = batches(cache, dropout=0.25, phases=(Phase(examples=1000, batch=40, frames=1),))
    hidden = torch.cat([~source.at(n).conditioning.tokens["text"].mask.any(-1) for n in range(0, 400, 40)])
    assert 0.25 - 0.065 < float(hidden.double().mean()) < 0.25 + 0.065  # three standard errors of 400
    always = batches(cache, dropout=0.0).at(0).conditioning
    assert always.tokens["text"].mask.any(-1).all()


def test_packs_of_images_have_a_text_for_each_frame(cache: Path) -> None:
    batch = batches(cache, dropout=0.0, phases=(Phase(examples=40, batch=4, images=1.0),)).at(0)
    given = batch.conditioning
    assert given.images is not None and given.images.all()
    assert given.tokens["text"].values.shape[:2] == (4, 2)
    assert not torch.equal(batch.x[:, :, 0], batch.x[:, :, 1])


def test_a_pair_is_the_same_picture_at_two_sizes(cache: Path) -> None:
    batch = batches(cache, "ssr1", phases=(Phase(examples=64, batch=48),)).at(0)
    low, levels = batch.conditioning.maps["low_res"], batch.conditioning.numbers["low_res_logsnr"]
    assert low.shape == batch.x.shape
    clean = levels > 3
    assert clean.any()
    pairs = (torch.stack([x.flatten(), seen.flatten()]) for x, seen in zip(batch.x[clean], low[clean], strict=True))
    alike = torch.stack([torch.corrcoef(pair)[0, 1] for pair in pairs])
    assert alike.min() > 0.3 and alike.mean() > 0.7  # a few clips are nearly flat: in them noise is most of it
    assert levels.min() < -1 < 1 < levels.max()


def test_without_augmentation_the_given_video_is_the_degraded_one(cache: Path) -> None:
    made = batches(cache, "ssr1", augment=0.0)
    batch, source = made.at(0), made.stage.source
    assert source is not None
    seen, level = batch.conditioning.maps["low_res"], batch.conditioning.numbers["low_res_logsnr"]
    assert torch.equal(seen, upsample(degrade(batch.x, source), made.stage.shape))
    assert (level == augmentation_logsnr(torch.zeros(1)).float()).all()
    with pytest.raises(ValueError, match=r"logsnr: expected null, for training adds no noise .*, got 1"):
        LowRes(shape=source, augment=0.0, logsnr=1.0)


def test_augmentation_reaches_as_far_as_the_recipe_says(cache: Path) -> None:
    made = batches(cache, "ssr1", augment=0.5)
    levels = torch.cat([made.at(i).conditioning.numbers["low_res_logsnr"] for i in range(8)])
    assert len(levels) == 32 and levels.min() >= -1e-6 and levels.max() > 2
    with pytest.raises(ValueError, match=r"logsnr: expected 0.00 or more, .* \(augment 0.5\), got -1"):
        LowRes(shape=TSR, augment=0.5, logsnr=-1.0)


def test_one_crop_for_a_clip_and_for_what_it_is_made_from(cache: Path) -> None:
    batch = batches(cache, "ssr1", crop=(4, 8)).at(0)
    assert batch.x.shape == (4, 3, 4, 4, 8)
    assert batch.conditioning.maps["low_res"].shape == batch.x.shape


def test_a_span_of_a_clip_and_what_it_is_made_from(cache: Path) -> None:
    whole, part = (batches(cache, "tsr1", span=span).at(0) for span in (None, 2))
    assert part.x.shape[2] == 2 and part.conditioning.maps["low_res"].shape == part.x.shape
    for clip, seen in zip(whole.x, part.x, strict=True):
        assert any(torch.equal(clip[:, k : k + 2], seen) for k in range(0, clip.shape[1], 2))
    with pytest.raises(ValueError, match=r"training.tsr1.span: frames 3 is no multiple of 2 up to"):
        recipe().override("training.tsr1.span", 3)


def test_recipes_name_what_they_lack() -> None:
    with pytest.raises(ValueError, match=r"unknown stage 'tsr2'; did you mean 'tsr1'\?"):
        recipe().train_spec("tsr2")
    with pytest.raises(ValueError, match=r"unknown stage 'bas'; did you mean 'base'\?"):
        Recipe(name="tiny", cascade=recipe().cascade, training={"bas": plan()})
