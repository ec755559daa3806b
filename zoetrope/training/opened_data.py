"""The data of a training, opened: they must give the channels of the model."""

from zoetrope.cascade.spec import StageSpec
from zoetrope.channels import difference
from zoetrope.config import unknown
from zoetrope.data import Dataset
from zoetrope.training.latents import codec_of
from zoetrope.training.spec import Recipe


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
