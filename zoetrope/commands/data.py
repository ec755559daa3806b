"""`zoetrope data`: what is in a folder of training data, and what training sees of it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from zoetrope.commands._options import Json, Quiet, at_least, shape_named
from zoetrope.commands._talk import Talk
from zoetrope.commands.train import source_json

data = typer.Typer(help="Look at training data.", rich_markup_mode=None)

Folder = Annotated[str, typer.Argument(metavar="DIR", help="A folder of captioned videos and images.")]
Source = Annotated[
    str, typer.Argument(metavar="DIR|toybox", help="A folder of captioned videos and images, or toybox.")
]
Shape = Annotated[
    str | None, typer.Option(metavar="FxHxW@FPS", help="The grid of clips, such as 16x24x40@3. [that of --stage]")
]
Recipe = Annotated[str, typer.Option(metavar="RECIPE", help="Where --stage is looked up.")]
Stage = Annotated[str | None, typer.Option(metavar="NAME", help="Clips as this stage of --recipe is trained on them.")]
Sheet = Annotated[str, typer.Option("--out", "-o", metavar="SHEET", help="A .png file.")]
Count = Annotated[int, typer.Option(help="How many clips.")]


@data.command()
def check(
    folder: Folder,
    shape: Shape = None,
    stage: Stage = None,
    recipe: Recipe = "mini",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tell what is usable and why the rest is not; exit status 2 if nothing is."""
    from zoetrope.data.folder import Folder as Captioned
    from zoetrope.data.folder import scan

    talk = Talk(json, quiet)
    grid = _grid(shape, recipe, stage) if shape or stage else None
    report = scan(Captioned(path=folder), grid)
    kept: list[dict[str, Any]] = [
        {"name": clip.name, "text": clip.text, "frames": clip.info.frames, "fps": clip.info.fps}
        | {"seconds": clip.info.seconds, "height": clip.info.height, "width": clip.info.width}
        for clip in report.kept
    ]
    dropped = [{"name": item.name, "reason": item.reason} for item in report.dropped]
    videos = sum(not clip.info.still for clip in report.kept)
    seconds = sum(clip.info.seconds for clip in report.kept if not clip.info.still)
    usable = f"{len(kept)} usable: {videos} videos of {seconds:.1f} s in all, {len(kept) - videos} images"
    lines = [usable, f"{len(dropped)} dropped" + (":" if dropped else "")]
    lines += [f"  {item['name']}: {item['reason']}" for item in dropped]
    talk.result({"folder": folder, "kept": kept, "dropped": dropped}, "" if quiet else "\n".join(lines))
    if not kept:
        raise ValueError(f"{folder}: no usable clip" + (f" for {grid}" if grid else ""))


@data.command()
def preview(
    source: Source,
    out: Sheet,
    shape: Shape = None,
    stage: Stage = None,
    recipe: Recipe = "mini",
    count: Count = 8,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw the first clips, as training sees them, on one sheet."""
    at_least("--count", count, 1)
    if Path(out).suffix.lower() != ".png":
        raise ValueError(f"--out {out}: expected the name of a .png file")

    from zoetrope.data import Source as AnySource
    from zoetrope.data import preview as drawn
    from zoetrope.video import check_output, save_image

    check_output(out, 1)
    grid = _grid(shape, recipe, stage)
    sheet, captions = drawn(AnySource.from_json(source_json(source)).open(), grid, count)
    save_image(out, sheet)
    lines = [f"{out}: {count} clips of {grid}, in rows", *(f"  {text}" for text in captions)]
    value = {"path": out, "shape": grid.to_json(), "captions": captions}
    Talk(json, quiet).result(value, "" if quiet else "\n".join(lines))


def _grid(shape: str | None, recipe: str, stage: str | None) -> Any:
    """The grid that is asked for: a shape, or that of a recipe's stage, its first unless named."""
    if shape is not None:
        return shape_named(shape)
    from zoetrope.recipes import load_recipe

    cascade = load_recipe(recipe).cascade
    return (cascade.stages[0] if stage is None else cascade.stage(stage)).shape
