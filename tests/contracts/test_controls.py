"""Edges and luma: what they are of known pictures, in training, and of clips of other sizes."""

import pytest
import torch
from torch import Tensor

from zoetrope.data import Example
from zoetrope.inputs import ControlClip, Examples, Extent, Input
from zoetrope.inputs.edges import Edges, edges_of
from zoetrope.inputs.luma import Luma, luma_of
from zoetrope.inputs.structure import Structure
from zoetrope.shapes import VideoShape

SHAPE = VideoShape(frames=2, height=6, width=8, fps=4)
CONTROLS = [kind() for kind in Input.every() if not any(f.is_required() for f in kind.model_fields.values())]
CONTROLS = [each for each in CONTROLS if each.aligned and "dropout" in type(each).model_fields]
CONTROLS = [each.with_(most=0) if isinstance(each, Structure) else each for each in CONTROLS]  # none is blurred
every_control = pytest.mark.parametrize("control", CONTROLS, ids=[each.name for each in CONTROLS])


def step(height: float, colour: int = 0, other: float = 0.0) -> Tensor:
    """A picture (1, 3, 1, 6, 8) that steps up by a share of the range in one colour, right of column 4."""
    x = torch.full((1, 3, 1, 6, 8), -0.8)
    x[:, colour, ..., 4:] += 2 * height
    x[:, (colour + 1) % 3, ..., 4:] += 2 * other
    return x


def test_a_step_is_an_edge_on_both_sides_from_the_threshold_on() -> None:
    for colour in range(3):
        edges = edges_of(step(0.21, colour), 0.2)
        assert edges.shape == (1, 1, 1, 6, 8)
        assert edges[0, 0, 0].tolist() == [[0, 0, 0, 1, 1, 0, 0, 0]] * 6
        assert not edges_of(step(0.19, colour), 0.2).any()
    assert not edges_of(step(0.0), 0.01).any()


def test_colours_of_one_brightness_have_an_edge_between_them() -> None:
    lower = -0.5 * 0.2126 / 0.7152  # as much less green as more red, to the eye
    x = step(0.5, 0, lower) + 0.5
    assert luma_of(x).std() < 1e-6 and edges_of(x, 0.2).any()


def test_edges_turn_with_the_picture() -> None:
    x = torch.rand(2, 3, 3, 9, 7, generator=torch.Generator().manual_seed(0)) * 2 - 1
    edges = edges_of(x, 0.4)
    assert 0.2 < edges.mean() < 0.9
    assert torch.equal(edges_of(x.transpose(3, 4), 0.4), edges.transpose(3, 4))
    assert torch.equal(edges_of(x.flip(3, 4), 0.4), edges.flip(3, 4))
    assert torch.equal(edges_of(x[:, :, 1:2], 0.4), edges[:, :, 1:2])


def test_luma_is_that_of_bt709() -> None:
    white, red = torch.ones(1, 3, 1, 2, 2), torch.full((1, 3, 1, 2, 2), -1.0)
    red[:, 0] = 1
    torch.testing.assert_close(luma_of(white), torch.ones(1, 1, 1, 2, 2))
    torch.testing.assert_close(luma_of(red), torch.full((1, 1, 1, 2, 2), 2 * 0.2126 - 1))


@every_control
def test_some_examples_are_told_nothing(control: Input) -> None:
    draws = [torch.Generator().manual_seed(row) for row in range(64)]
    x = torch.rand(64, 3, *SHAPE.sizes)
    samples = [[Example(one, "", "")] for one in x]
    batch = Examples(x=x, samples=samples, draws=draws, packed=None, encode=lambda texts: None)  # type: ignore[arg-type,return-value]
    given = control.with_(dropout=0.5).of_examples(SHAPE, batch)
    scale, maps = given.numbers[f"{control.name}_scale"], given.maps[control.name]
    assert 16 < scale.sum() < 48 and set(scale.tolist()) == {0.0, 1.0}
    assert not maps[scale == 0].any() and maps[scale == 1].flatten(1).any(1).all()
    assert torch.equal(maps[scale == 1], control.of_clips(x).maps[control.name][scale == 1])


@every_control
def test_nothing_is_known_unless_it_is_asked_for(control: Input) -> None:
    given = control.unknown(Extent(3, SHAPE.sizes, 0, 0))
    assert given.numbers[f"{control.name}_scale"].tolist() == [0, 0, 0] and not given.maps[control.name].any()


@every_control
def test_clips_come_onto_the_grid(control: Input) -> None:
    still = ControlClip(video=torch.rand(3, 1, 6, 8))
    assert torch.equal(control.fitted(still, SHAPE).video, still.video.expand(-1, 2, -1, -1))
    large = ControlClip(video=torch.rand(3, 2, 18, 24))
    assert control.fitted(large, SHAPE).video.shape == (3, 2, 6, 8)
    for size, told in (
        ((2, 9, 8), "expected a size of 6x8 or a multiple of it, such as 12x16, got 9x8"),
        ((2, 12, 24), "expected a size of 6x8 or a multiple of it, such as 12x16, got 12x24; the fit 'crop'"),
        ((1, 12, 8), "expected a size of 6x8 or a multiple of it, such as 12x16, got 12x8; the fit 'crop'"),
        ((1, 6, 16), "expected a size of 6x8 or a multiple of it, such as 12x16, got 6x16; the fit 'crop'"),
        ((2, 3, 4), "expected a size of 6x8 or a multiple of it, such as 12x16, got 3x4; the fit 'crop'"),
        ((3, 6, 8), "expected 2 frames, or one picture for all, got 3 frames"),
    ):
        other = ControlClip(video=torch.rand(3, *size))
        with pytest.raises(ValueError, match=told):
            control.fitted(other, SHAPE)
        assert control.fitted(ControlClip(video=other.video, crop=True), SHAPE).video.shape == (3, 2, 6, 8)
    for value, told in ((0.5, "expected a clip"), (ControlClip(video=still.video, scale=11.0), "from 0 to 10, got 11")):
        with pytest.raises(ValueError, match=rf"{control.name}: .*{told}"):
            control.of_request(value, 1)


def test_thin_lines_stay_and_brightness_is_averaged() -> None:
    line = torch.full((3, 2, 12, 16), -1.0)
    line[..., 5] = 1
    fitted = {each.name: each.fitted(ControlClip(video=line), SHAPE) for each in (Edges(), Luma())}
    edges = Edges().of_request(fitted["edges"], 1).maps["edges"]
    assert edges[0, 0, 0].tolist() == [[0, 0, 1, 0, 0, 0, 0, 0]] * 6
    luma = Luma().of_request(fitted["luma"], 1).maps["luma"]
    torch.testing.assert_close(luma[0, 0, 0, 0], torch.tensor([-1.0, -1, 0, -1, -1, -1, -1, -1]))


@pytest.mark.parametrize("size", [(12, 8), (6, 24), (24, 16)])
def test_a_clip_that_is_cropped_is_not_squeezed(size: tuple[int, int]) -> None:
    """Also where each side is a multiple of the grid's: its middle is cut out."""
    rows, columns = (torch.arange(side).float() for side in size)
    middle = ((rows - (size[0] - 1) / 2).abs() <= 1.5)[:, None] & ((columns - (size[1] - 1) / 2).abs() <= 1.5)
    video = torch.where(middle, 1.0, -1.0).expand(3, 1, *size)
    for control in (Luma(), Edges()):
        shown = control.fitted(ControlClip(video=video, crop=True), SHAPE).video[0, 0]
        light = (shown + 1) / 2
        spread = [float((light.sum(axis) > 0.5).sum()) for axis in (0, 1)]
        assert spread[0] == spread[1]  # a square stays one
