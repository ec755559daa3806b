"""The data of a training, opened: they must give the channels of the model."""

from zoetrope.cascade.spec import StageSpec
from zoetrope.channels import difference
from zoetrope.config import unknown
from zoetrope.data import Dataset
from zoetrope.shapes import VideoShape
from zoetrope.training.grids import at_rates, clip_shapes
from zoetrope.training.known import fitted_to
from zoetrope.training.latents import codec_of
from zoetrope.training.spec import Recipe, TrainSpec


def open_data(recipe: Recipe, stage: str) -> Dataset:
    """The data of a stage's training. Raises ValueError for unusable ones, and for those of other channels."""
    data, own = recipe.train_spec(stage).data, recipe.cascade.stage(stage)
    codec_of(own, data)
    opened = data.open()
    if not own.makes_vectors:
        wrong = difference(recipe.cascade.channels, opened.channels())
        if wrong is not None:
            raise ValueError(f"training.{stage}.data: {wrong}; cascade.channels of the recipe and the data must agree")
    _expect_told(own, opened)
    return opened


def grids_of(stage: StageSpec, spec: TrainSpec, dataset: Dataset) -> list[VideoShape]:
    """The grids of all clips and pictures that a stage's training takes from its data."""
    grids = [(phase, shape) for phase in spec.phases for shape in clip_shapes(stage, spec, phase)]
    grids = [(phase, grid if phase.images < 1 else grid.with_(frames=1)) for phase, grid in grids]  # no clips at all
    shapes = [shape for phase, grid in grids for shape in at_rates(stage, grid, phase)]
    if spec.known is not None:  # which takes clips of its own lengths
        clips = [grid.shape(stage.shape) for grid in spec.grids if grid.frames > 1] if spec.grids else [stage.shape]
        clips = [clip for phase in spec.phases for grid in clips for clip in at_rates(stage, grid, phase)]
        shapes = [shape for shape in shapes if shape.frames == 1]
        for clip in dict.fromkeys(clips):
            lengths = fitted_to(spec.known, dataset, clip).lengths(clip.frames)
            shapes += [clip.with_(frames=length) for length in lengths]
    alone = [phase for phase in spec.phases if phase.images or phase.appended]  # takes single pictures besides
    shapes += [grid.with_(frames=1) for phase in alone for grid in clip_shapes(stage, spec, phase)]
    return list(dict.fromkeys(shapes))


def _expect_told(stage: StageSpec, data: Dataset) -> None:
    """Raise ValueError, with the nearest name, for an input made from what the data tell of no example."""
    known = data.tells()
    for each in stage.inputs:
        for name, kind in each.tells.items():
            where = f"training.{stage.name}.data: input {each.name!r}"
            if name not in known:
                told = ", ".join(sorted(known)) or "nothing"
                wrong = unknown(kind, name, known) if known else f"expected a {kind} {name!r}"
                raise ValueError(f"{where}: {wrong}; the data tell {told}")
            if known[name] != kind:
                raise ValueError(f"{where}: expected a {kind}, got {name!r}, which the data tell as a {known[name]}")
