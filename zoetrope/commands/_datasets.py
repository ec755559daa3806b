"""What the options of `zoetrope data` name: encoders, grids, and sources that treat short videos in some way."""

from typing import Any

from zoetrope.commands._options import shape_named, short_named


def treating_short(source: Any, how: str | None) -> Any:
    """The source of media files with this treatment of short ones; None: its own.

    Raises ValueError for an unknown one, and for another source, which has no such files.
    """
    from zoetrope.config import override
    from zoetrope.data import folder, shards

    if how is None:
        return source
    if not isinstance(source, folder.Folder | shards.Shards):
        raise ValueError(f"--short {how}: expected a folder or shards, whose videos may be short, got {source.kind()}")
    return override(source, "short", short_named(how))


def encoder_named(text: str | None, recipe: str | None) -> Any:
    """The requested encoder: by its kind, as JSON, or that of a recipe."""
    from zoetrope.recipes import load_recipe
    from zoetrope.text import TextEncoder

    if (text is None) == (recipe is None):
        raise ValueError("expected either --text or --recipe to say which encoder")
    if recipe is not None:
        encoder = load_recipe(recipe).cascade.text
        if encoder is None:
            raise ValueError(f"--recipe: {recipe} is told no text")
        return encoder
    assert text is not None
    return TextEncoder.from_json(text if text.lstrip().startswith("{") else {"type": text})


def grid_named(shape: str | None, recipe: str, stage: str | None) -> Any:
    """The requested grid: a shape, or that of a recipe's stage, by default the first."""
    if shape is not None and stage is not None:
        raise ValueError("--stage: expected either this or --shape, for each says the grid, got both")
    if shape is not None:
        return shape_named(shape)
    from zoetrope.recipes import load_recipe

    cascade = load_recipe(recipe).cascade
    return ((cascade.videos or cascade.stages)[0] if stage is None else cascade.stage(stage)).shape
