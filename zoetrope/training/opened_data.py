"""The data of a training, opened: they must give the channels of the model."""

from zoetrope.channels import difference
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
    return opened
