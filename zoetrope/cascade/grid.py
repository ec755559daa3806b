"""A cascade on another grid: videos of another size, length or frame rate from the same networks."""

from collections.abc import Callable, Iterator, Sequence

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.inputs.fps import NUMBER
from zoetrope.shapes import VideoShape

FAR = 1.25
"""The factor by which a size, length or rate may differ from the one in training before it is worth a warning."""
AROUND = 32  # pixels in each direction to search for the nearest size


def on_grid(
    spec: CascadeSpec, *, size: tuple[int, int] | None = None, frames: int | None = None, fps: float | None = None
) -> CascadeSpec:
    """The cascade whose first stage makes videos of this size (height, width), length and rate; None: unchanged.

    The stages after it multiply frames and pixels by the same factors as before.
    Raises ValueError, with the nearest legal size, for one that a network cannot process.
    """
    if not spec.videos:
        return spec
    first = spec.videos[0].made
    height, width = (first.height, first.width) if size is None else size
    begun = VideoShape(
        frames=first.frames if frames is None else frames,
        height=height,
        width=width,
        fps=first.fps if fps is None else fps,
    )
    if begun == first:
        return spec
    if (reason := _refusal(spec, first, begun)) is not None:
        near = next((own for own in _sizes_around(begun) if _refusal(spec, first, own) is None), None)
        hint = "" if near is None else f"; the nearest that all stages can is {near.height}x{near.width}"
        raise ValueError(f"size {height}x{width} of {begun.frames} frames: {reason}{hint}")

    def moved(stages: tuple[StageSpec, ...]) -> tuple[StageSpec, ...]:
        return tuple(_moved(stage, lambda shape: _grown(shape, first, begun)) for stage in stages)

    return spec.with_(stages=moved(spec.stages), teachers=moved(spec.teachers))


def far_from(trained: CascadeSpec, asked: CascadeSpec) -> str:
    """How the first stage's grid differs from its grids in training, where by more than a factor of `FAR`; else "".

    What its network sees at once counts, so a longer video in windows does not differ.
    The frames of a network of single pictures are as many as its routine makes, and one that is told the frame rate has
    learnt several.
    With several grids it may lie anywhere between them, but its frames should not have many more pixels than theirs.
    """
    if not trained.videos:
        return ""
    stage, now = trained.videos[0], asked.videos[0]
    new = now.codec.pixels(now.seen)
    known, differences = [stage.codec.pixels(shape) for shape in stage.grids or (stage.shape,)], list[str]()
    names = {"frames": "frames", "height": "pixels high", "width": "pixels wide", "fps": "frames a second"}
    if asked.videos[0].sampling.routine.looks is not None:  # of single pictures
        del names["frames"], names["fps"]
    elif NUMBER in now.network.reads:
        del names["fps"]
    for field, what in names.items():
        differences += _beyond(what, getattr(new, field), [getattr(shape, field) for shape in known], FAR)
    if len(known) > 1 and not differences:
        areas = [shape.height * shape.width for shape in known]
        differences += _beyond("pixels a frame", new.height * new.width, areas, FAR**2)
    return ", ".join(differences)


def _beyond(what: str, now: float, known: Sequence[float], factor: float) -> Iterator[str]:
    """In words, how a number differs from those in training if it lies beyond them by more than a factor."""
    low, high = min(known), max(known)
    if not low / factor <= now <= high * factor:
        yield f"{now:g} {what} instead of {low:g}" + (f" to {high:g}" if high > low else "")


def _refusal(spec: CascadeSpec, first: VideoShape, begun: VideoShape) -> str | None:
    """Why a stage cannot process its grid if the cascade begins with `begun`; None if all stages can."""
    for stage in spec.videos:
        shape = _grown(stage.made, first, begun)
        try:
            stage.network.check(*stage.sampling.seen(stage.codec.latents(shape)).sizes)
        except ValueError as error:
            return f"stage {stage.name!r} would make {shape}: {str(error).partition(';')[0]}"
    return None


def _grown(shape: VideoShape, first: VideoShape, begun: VideoShape) -> VideoShape:
    """A stage's shape if the cascade begins with `begun` instead of `first`: the same multiple of it."""
    axes = ("frames", "height", "width")
    sizes = {axis: getattr(begun, axis) * (getattr(shape, axis) // getattr(first, axis)) for axis in axes}
    return VideoShape(**sizes, fps=begun.fps * shape.fps / first.fps)


def _moved(stage: StageSpec, moved: Callable[[VideoShape], VideoShape]) -> StageSpec:
    if stage.makes_vectors:
        return stage
    shape = stage.codec.latents(moved(stage.made))
    return stage.on(shape, None if stage.source is None else moved(stage.source))


def _sizes_around(shape: VideoShape) -> Iterator[VideoShape]:
    """Grids of other sizes, the nearest first."""
    steps = range(-AROUND, AROUND + 1)
    for down, right in sorted(((y, x) for y in steps for x in steps), key=lambda step: abs(step[0]) + abs(step[1])):
        if shape.height + down > 0 and shape.width + right > 0:
            yield shape.with_(height=shape.height + down, width=shape.width + right)
