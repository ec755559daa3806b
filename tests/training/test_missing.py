"""Values that are missing have no loss, and whatever stands there in the file changes no gradient."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.channels import Channel
from zoetrope.data import Dataset, Example, joined
from zoetrope.data.arrays import Arrays
from zoetrope.diffusion.loss import frame_errors, mean_over_frames, squared_error
from zoetrope.inputs.low_res import LowRes
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.scales.deviation import Deviation
from zoetrope.shapes import VideoShape
from zoetrope.training.batch import Batch, Batches
from zoetrope.training.known import KnownFrames
from zoetrope.training.known.prefix import Prefix
from zoetrope.training.learner import loss_of
from zoetrope.training.loading import Loader
from zoetrope.training.preview import subjects
from zoetrope.training.spec import Phase, TrainSpec
from zoetrope.video.resample import upsample

SHAPE = VideoShape(frames=4, height=4, width=4, fps=1)
CPU = torch.device("cpu")
NAMES = ("u", "v", "w")
VALUES = np.random.default_rng(5).normal(size=(9, 3, 4, 4)).astype(np.float32)
ABSENT = np.random.default_rng(6).random(VALUES.shape) < 0.3
ABSENT[2] = True  # a whole frame


def source(folder: Path, standing: float) -> Arrays:
    """A recording in which something stands where there is no value, shorter than two clips."""
    values = np.where(ABSENT, np.float32(standing), VALUES)
    np.save(folder / f"{standing}.npy", values)
    variables = {name: Channel(name=name, scale=Deviation(deviation=1.5)) for name in NAMES}
    path, fill = str(folder / f"{standing}.npy"), () if np.isnan(standing) else (standing,)
    return Arrays(path=path, variables=variables, axes="tcyx", missing="mask", fill=fill, short="mask")


def batches(folder: Path, standing: float = np.nan, known: KnownFrames | None = None) -> Batches:
    data = source(folder, standing)
    network = VideoUNetConfig(text_width=None, embedding=8, head=8, levels=(Level(width=8, temporal=("attention",)),))
    stage = StageSpec(name="base", shape=SHAPE, inputs=(), network=network)
    phases = (Phase(examples=12, batch=3),)
    spec = TrainSpec(data=data, phases=phases, weight="v", precision="fp32", known=known, accumulate=2)
    return Batches(stage=stage, spec=spec, dataset=data.open(), texts=None)


def gradients(made: Batches, batch: Batch) -> list[Tensor]:
    """The gradients of a network whose weights are all drawn, on a batch, and the loss of every example."""
    torch.manual_seed(0)
    network = made.stage.network.build()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    loss = loss_of(network, batch, made.stage, made.spec, CPU)
    loss.sum().backward()
    return [loss.detach(), *(weight.grad for weight in network.parameters() if weight.grad is not None)]


@pytest.mark.parametrize("known", [None, Prefix(most=2)], ids=["one level", "a level per frame"])
def test_what_stands_in_a_file_where_a_value_is_missing_changes_no_gradient(
    tmp_path: Path, known: KnownFrames | None
) -> None:
    usual = gradients(first := batches(tmp_path, known=known), first.at(0))
    other = gradients(second := batches(tmp_path, standing=-9e9, known=known), second.at(0))
    assert all(torch.equal(one, two) for one, two in zip(usual, other, strict=True))
    assert all(torch.isfinite(one).all() for one in usual) and any(one.abs().max() > 1e-3 for one in usual[1:])


@pytest.mark.parametrize("known", [None, Prefix(most=2)], ids=["one level", "a level per frame"])
@pytest.mark.parametrize("standing", [float("nan"), 1e30, -3.0])
def test_what_stands_in_a_batch_where_a_value_is_missing_changes_no_gradient(
    tmp_path: Path, known: KnownFrames | None, standing: float
) -> None:
    made = batches(tmp_path, known=known)
    batch = made.at(0)
    assert isinstance(batch, Batch) and batch.present is not None
    assert not batch.present.all() and batch.present.shape == batch.x.shape
    soiled = replace(batch, x=torch.where(batch.present, batch.x, standing))
    usual, other = gradients(made, batch), gradients(made, soiled)
    assert all(torch.equal(one, two) for one, two in zip(usual, other, strict=True))
    all_there = gradients(made, replace(batch, present=None))
    assert not torch.allclose(usual[0], all_there[0])


def test_the_loss_is_the_mean_over_the_values_that_are_present() -> None:
    draw = torch.Generator().manual_seed(1)
    output, target = (torch.randn(2, 3, 4, 5, 6, generator=draw) for _ in range(2))
    present = torch.rand(2, 3, 4, 5, 6, generator=draw) < 0.4
    present[1, :, 2] = False
    counted = torch.tensor([[True, True, False, True], [True, True, True, True]])
    squares = (output - target).square()
    for frames in (None, counted):
        there = present if frames is None else present & frames[:, None, :, None, None]
        expected = [(squares[row][there[row]]).mean() for row in range(2)]
        got = squared_error(output, target, None, frames, present)
        assert got.tolist() == pytest.approx([float(value) for value in expected], rel=1e-5)
        weight = torch.tensor([2.0, 3.0])
        assert squared_error(output, target, weight, frames, present).tolist() == pytest.approx((weight * got).tolist())
        of_frames = frame_errors(output, target, weight[:, None].expand(2, 4), frames, present)
        assert mean_over_frames(of_frames, frames).tolist() == pytest.approx((weight * got).tolist(), rel=1e-5)
        assert of_frames[1, 2] == 0
    everywhere = torch.ones_like(present)
    assert torch.allclose(
        squared_error(output, target, None, counted, everywhere), squared_error(output, target, None, counted)
    )
    assert squared_error(output, target, None, None, ~everywhere).tolist() == [0, 0]


def test_no_gradient_where_nothing_is_present() -> None:
    output = torch.randn(1, 1, 2, 2, 2, requires_grad=True)
    target, present = torch.full((1, 1, 2, 2, 2), float("nan")), torch.zeros(1, 1, 2, 2, 2, dtype=torch.bool)
    target[0, 0, 0, 0, 0], present[0, 0, 0, 0, 0] = 1.0, True
    squared_error(output, target, None, None, present).sum().backward()
    assert output.grad is not None
    assert output.grad.isfinite().all() and (output.grad != 0).tolist() == present.tolist()


def test_parts_of_batches_and_workers(tmp_path: Path) -> None:
    """What is present goes with its examples: into parts, and through worker processes, bit for bit."""
    made = batches(tmp_path)
    alone, apart = (list(Loader(made, 0, 6, workers=workers)) for workers in (0, 2))
    for one, two in zip(alone, apart, strict=True):
        assert isinstance(one, Batch) and isinstance(two, Batch)
        assert one.present is not None and two.present is not None
        assert torch.equal(one.x, two.x) and torch.equal(one.present, two.present)
    batch = alone[1]
    assert isinstance(batch, Batch) and batch.present is not None
    assert torch.equal(made.at(3).x, batch.x)  # type: ignore[union-attr]
    some = batch.select(torch.tensor([2]))
    assert some.present is not None and torch.equal(some.present[0], batch.present[2])
    assert batch.blank().present is None


def test_examples_joined_and_cut() -> None:
    class Plain(Dataset):
        def example(self, index: int, shape: VideoShape) -> Example:
            values = torch.arange(float(shape.frames)).reshape(1, -1, 1, 1).expand(1, -1, shape.height, shape.width)
            return Example(values, "", str(index), present=values != 1 if index else None)

        def captions(self) -> list[str]:
            return []

    data = Plain()
    whole, part = data.example(1, SHAPE), data.frames(1, SHAPE, [1, 3])
    assert part.present is not None and part.present[0, :, 0, 0].tolist() == [False, True]
    both = joined([data.example(0, SHAPE), whole])
    assert both.present is not None and both.video.shape[1] == 8 and both.name == "0"
    assert both.present[0, :, 0, 0].tolist() == [True] * 4 + [True, False, True, True]
    assert joined([data.example(0, SHAPE)] * 2).present is None


def test_what_a_stage_reads_is_made_of_the_values_that_are_there(tmp_path: Path) -> None:
    """A sea of equal values is as warm at its coast, as the previous stage learns it from the same file."""
    sea = np.full((4, 1, 8, 8), 3.0, np.float32)
    sea[..., 3:] = np.nan  # land, which begins within a pixel of the previous stage
    np.save(tmp_path / "sea.npy", sea)
    channel = Channel(name="t", scale=Deviation(deviation=1.5))
    data = Arrays(path=str(tmp_path / "sea.npy"), variables={"t": channel}, axes="tcyx", rate=1.0, missing="mask")
    large, small = SHAPE.with_(height=8, width=8), SHAPE.with_(frames=2, fps=0.5)
    network = VideoUNetConfig(channels=1, text_width=None, low_res=True, levels=(Level(width=8),))
    stage = StageSpec(name="sr", shape=large, inputs=(LowRes(of="base", shape=small, augment=0),), network=network)
    spec = TrainSpec(data=data, phases=(Phase(examples=4, batch=2),), weight="v", precision="fp32")
    made = Batches(stage=stage, spec=spec, dataset=(opened := data.open()), texts=None)
    read = made.at(0).conditioning.maps["low_res"]
    learnt = opened.example(0, small).video
    assert learnt[0, 0, 0].tolist() == [2, 2, 0, 0] or learnt[0, 0, 0].tolist() == [2, 2, 2, 0]
    expected = upsample(learnt[None], large)
    torch.testing.assert_close(read, expected.expand_as(read))
    of_sheet = subjects(made, 4).low_res
    assert of_sheet is not None
    torch.testing.assert_close(of_sheet, learnt[None].expand_as(of_sheet))
