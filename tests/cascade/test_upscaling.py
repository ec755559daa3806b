"""Which stages enlarge a video of one's own, and on which grids."""

import pytest

from zoetrope.cascade.upscaling import UpscalingFit, upscaling
from zoetrope.models.finding import locate
from zoetrope.models.folder import read_spec
from zoetrope.shapes import VideoShape

MINI = read_spec(locate("mini"))


def shape(height: int, width: int, fps: float = 25, frames: int = 50) -> VideoShape:
    return VideoShape(frames=frames, height=height, width=width, fps=fps)


@pytest.mark.parametrize(
    ("own", "after", "until", "fit", "add_frames", "entry", "stages", "made"),
    [
        (shape(24, 40), None, None, "exact", False, "tsr1", ["ssr1", "ssr2", "ssr3"], "32x768x1280@25fps"),
        (shape(24, 40, fps=3), None, "ssr1", "exact", False, "base", ["ssr1"], "16x48x80@3fps"),
        (shape(24, 40, fps=3), None, "ssr1", "exact", True, "base", ["tsr1", "ssr1"], "32x48x80@6fps"),
        (shape(192, 320, fps=6), None, None, "exact", False, "ssr2", ["ssr3"], "32x768x1280@6fps"),
        (shape(192, 320, fps=6), None, "tsr3", "exact", False, "ssr2", ["tsr2", "tsr3"], "128x192x320@24fps"),
        (shape(192, 320, fps=60), None, None, "exact", True, "tsr3", ["ssr3"], "128x768x1280@60fps"),
        (shape(192, 320), "ssr2", None, "exact", False, "ssr2", ["ssr3"], "32x768x1280@25fps"),
        (shape(180, 320), None, None, "own", False, "tsr3", ["ssr3"], "128x720x1280@25fps"),
        (shape(180, 320), None, None, "crop", False, "tsr3", ["ssr3"], "128x768x1280@25fps"),
        (shape(100, 100), "ssr1", "ssr2", "crop", False, "ssr1", ["ssr2"], "32x192x320@25fps"),
    ],
)
def test_the_stages_that_run(
    own: VideoShape,
    after: str | None,
    until: str | None,
    fit: UpscalingFit,
    add_frames: bool,
    entry: str,
    stages: list[str],
    made: str,
) -> None:
    """Frame rates are those of the video, times what stages that add frames add."""
    how = upscaling(MINI, own, after=after, until=until, fit=fit, add_frames=add_frames)
    assert (how.entry.name, [stage.name for stage in how.stages]) == (entry, stages)
    assert str(how.stages[-1].shape) == made and how.given.fps == own.fps
    assert how.frames == how.stages[-1].shape.frames // how.given.frames
    source = how.given
    for stage in how.stages:
        assert stage.source == source
        source = stage.shape


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a size of 24x40 .* or 48x80 .* or 192x320 .*, got 100x100;"):
        upscaling(MINI, shape(100, 100), after=None, until=None, fit="exact", add_frames=False)
    with pytest.raises(ValueError, match="no stage that adds pixels is left to run after 'ssr3'"):
        upscaling(MINI, shape(768, 1280), after="ssr3", until=None, fit="exact", add_frames=False)
    short = MINI.with_(stages=MINI.stages[:5], teachers=())
    with pytest.raises(ValueError, match="left to run after 'ssr2': the last is 'tsr2'; --add-frames lets 'tsr2' run"):
        upscaling(short, shape(192, 320), after="ssr2", until=None, fit="exact", add_frames=False)
    with pytest.raises(
        ValueError,
        match="stage 'tsr1', which would make 32x181x321@50fps: height: expected a multiple of 4, got 181; the nea",
    ):
        upscaling(MINI, shape(181, 321), after="base", until=None, fit="own", add_frames=True)
    with pytest.raises(
        ValueError, match=r"width: expected a multiple of 8, got 340; .*; cut to 96x168 the video itself"
    ):
        upscaling(MINI, shape(96, 170), after="base", until="ssr1", fit="own", add_frames=False)
    assert upscaling(MINI, shape(96, 168), after="base", until="ssr1", fit="own", add_frames=False).stages
