"""The cascade on another grid: every stage keeps its factors, and what a network cannot do is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoetrope.cascade.grid import far_from, on_grid
from zoetrope.cascade.spec import CascadeSpec
from zoetrope.models.finding import locate
from zoetrope.models.folder import read_spec
from zoetrope.recipes import load_recipe
from zoetrope.shapes import VideoShape

MINI = read_spec(locate("mini"))


def shapes(spec: CascadeSpec) -> list[str]:
    return [str(stage.shape) for stage in spec.stages]


def test_every_stage_follows_the_first() -> None:
    assert shapes(MINI)[0] == "16x24x40@3fps"
    turned = on_grid(MINI, size=(40, 24), frames=8, fps=6)
    for old, new in zip(MINI.stages, turned.stages, strict=True):
        first = MINI.stages[0].shape
        assert new.shape.sizes == (
            8 * old.shape.frames // first.frames, 40 * old.shape.height // first.height,
            24 * old.shape.width // first.width,
        )  # fmt: skip
        assert new.shape.fps == pytest.approx(2 * old.shape.fps)
        assert new.network == old.network and new.sampling == old.sampling
    assert [(t.shape, t.source) for t in turned.teachers] == [
        (turned.stage(t.name).shape, turned.stage(t.name).source) for t in MINI.teachers
    ]
    assert on_grid(turned, size=(24, 40), frames=16, fps=3) == MINI == on_grid(MINI)
    assert CascadeSpec.from_json(turned.to_json()) == turned


@given(height=st.integers(1, 60), width=st.integers(1, 60))
def test_the_nearest_size_that_is_named_is_legal(height: int, width: int) -> None:
    try:
        made = on_grid(MINI, size=(height, width))
        assert (made.stages[0].shape.height, made.stages[0].shape.width) == (height, width)
    except ValueError as error:
        message = str(error)
        assert (
            message.startswith(f"size {height}x{width} of 16 frames: stage 'base' would make ") and "\n" not in message
        )
        near = [int(side) for side in message.rpartition(" ")[2].split("x")]
        on_grid(MINI, size=(near[0], near[1]))
        assert abs(near[0] - height) < 4 and abs(near[1] - width) < 4


def test_sizes_that_are_none() -> None:
    for options in ({"size": (0, 8)}, {"frames": 0}, {"fps": 0.0}, {"fps": float("inf")}):
        with pytest.raises(ValueError, match="expected "):
            on_grid(MINI, **options)  # type: ignore[arg-type]


def test_what_is_far_from_training() -> None:
    assert far_from(MINI, MINI) == far_from(MINI, on_grid(MINI, size=(28, 40), frames=18, fps=3.5)) == ""
    told = far_from(MINI, on_grid(MINI, size=(40, 24), frames=64))
    assert told == "64 frames instead of 16, 40 pixels high instead of 24, 24 pixels wide instead of 40"
    assert far_from(MINI, on_grid(MINI, fps=1.5)) == "1.5 frames a second instead of 3"
    told = load_recipe("svd").cascade  # which learns at 6 frames a second as well, and is told them
    assert far_from(told, on_grid(told, fps=6)) == ""


def test_a_model_of_several_grids_knows_what_is_between_them() -> None:
    grids = tuple(VideoShape(frames=f, height=h, width=w, fps=3) for f, h, w in ((16, 24, 40), (8, 40, 24)))
    base = MINI.stages[0].with_(grids=grids)
    alone = CascadeSpec(name="several", text=MINI.text, stages=(base,))
    assert CascadeSpec.from_json(alone.to_json()) == alone
    for size, frames in (((24, 40), 16), ((40, 24), 8), ((32, 32), 12), ((40, 24), 16), ((48, 28), 20)):
        assert far_from(alone, on_grid(alone, size=size, frames=frames)) == ""
    assert far_from(alone, on_grid(alone, size=(52, 24))) == "52 pixels high instead of 24 to 40"
    assert far_from(alone, on_grid(alone, frames=1)) == "1 frames instead of 8 to 16"
    assert far_from(alone, on_grid(alone, size=(48, 48))) == "2304 pixels a frame instead of 960"
    with pytest.raises(ValueError, match="the nearest that all stages can is 24x40"):
        on_grid(alone, size=(25, 40))
