"""`zoetrope data`: what is in training data, what training sees of it, and how it is made ready for large trainings."""

from pathlib import Path
from typing import Annotated, Any

import typer

from zoetrope.commands._options import (
    Device,
    Json,
    Quiet,
    at_least,
    bytes_named,
    device_named,
    dtype_named,
    shape_named,
)
from zoetrope.commands._sampling import DType
from zoetrope.commands._talk import Talk
from zoetrope.commands.train import source_json

data = typer.Typer(help="Look at training data, shard it, encode its captions.", rich_markup_mode=None)

Folder = Annotated[str, typer.Argument(metavar="DIR", help="A folder of captioned videos and images.")]
Files = Annotated[
    str,
    typer.Argument(metavar="DATA", help="A folder of captioned videos and images, or shards: folder, pattern, URL."),
]
Source = Annotated[
    str, typer.Argument(metavar="DATA|toybox", help="A folder of captioned videos and images, shards, or toybox.")
]
Shape = Annotated[
    str | None, typer.Option(metavar="FxHxW@FPS", help="The grid of clips, such as 16x24x40@3. [that of --stage]")
]
Recipe = Annotated[str, typer.Option(metavar="RECIPE", help="Where --stage is looked up.")]
Stage = Annotated[str | None, typer.Option(metavar="NAME", help="Clips as this stage of --recipe is trained on them.")]
Sheet = Annotated[str, typer.Option("--out", "-o", metavar="SHEET", help="A .png file.")]
Count = Annotated[int, typer.Option(help="How many clips.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="OUT", help="A new folder for the shards.")]
Size = Annotated[str | None, typer.Option(metavar="SIZE", help="The most bytes of a shard, such as 500MB. [500MB]")]
Samples = Annotated[int | None, typer.Option("--count", metavar="N", help="The most samples of a shard. [any]")]
Split = Annotated[str | None, typer.Option(metavar="NAME", help="Only what the metadata marks with this split. [all]")]
Text = Annotated[
    str | None,
    typer.Option(metavar="KIND|JSON", help='Which encoder: minilm, t5, clip, or {"type": "t5", "model": ...}.'),
]
OfRecipe = Annotated[str | None, typer.Option("--recipe", metavar="RECIPE", help="Or the encoder of this recipe.")]


@data.command()
def check(
    folder: Files,
    shape: Shape = None,
    stage: Stage = None,
    recipe: Recipe = "mini",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tell what is usable and why the rest is not; exit status 2 if nothing is."""
    talk = Talk(json, quiet)
    grid = _grid(shape, recipe, stage) if shape or stage else None
    report = _scan(folder, grid)
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


@data.command()
def shard(
    folder: Folder,
    out: Out,
    split: Split = None,
    size: Size = None,
    count: Samples = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write what is usable in a folder as tar shards, which webdataset reads too."""
    at_least("--count", count, 1)
    limit = bytes_named(size or "500MB", "--size") if size is not None or count is None else None

    from zoetrope.data._packing import pack
    from zoetrope.data.folder import Folder as Captioned
    from zoetrope.data.folder import scan

    talk = Talk(json, quiet)
    report = scan(Captioned(path=folder, split=split))
    if not report.kept:
        raise ValueError(f"{folder}: no usable clip")
    with talk.bars() as bars:
        bars.begin("samples", len(report.kept))
        made = pack(
            Path(folder), report.kept, out, size=limit, count=count, progress=lambda done, _: bars.advance(done)
        )
    for item in report.dropped:
        talk.say(f"left out: {item.name}: {item.reason}")
    value = {"folder": str(out), "shards": [path.name for path in made], "samples": len(report.kept)}
    said = f"{out}: {len(report.kept)} samples in {len(made)} shards, {made[0].name} to {made[-1].name}"
    talk.result(value | {"dropped": len(report.dropped)}, "" if quiet else said)


@data.command()
def encode(
    source: Files,
    text: Text = None,
    recipe: OfRecipe = None,
    device: Device = None,
    dtype: DType = "auto",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Encode all captions beforehand, to lie beside the data: training then needs no text encoder in memory."""
    encoder = _encoder(text, recipe)
    place = device_named(device)

    from zoetrope.text._cache import EmbeddingCache

    talk = Talk(json, quiet)
    stored = _stored(source)
    captions = stored.open().captions()
    cache = EmbeddingCache(encoder, None, place, dtype_named(dtype, place), beside=stored.features_folder)
    with talk.bars() as bars:
        bars.begin("captions", len(captions))
        new = cache.prepare(captions, lambda done, total: bars.advance(done + len(captions) - total))
    value = {"folder": str(cache.folder), "encoder": encoder.identity, "captions": len(captions), "new": new}
    said = f"{cache.folder}: {len(captions)} captions by {encoder.kind()}, {new} of them new"
    talk.result(value, "" if quiet else said)


def _scan(data: str, grid: Any) -> Any:
    """The report of a folder or of shards."""
    from zoetrope.data import folder, shards

    source = _stored(data)
    return shards.scan(source, grid) if isinstance(source, shards.Shards) else folder.scan(source, grid)


def _stored(data: str) -> Any:
    """The source of a folder or of shards."""
    from zoetrope.data import folder, shards

    return shards.Shards(path=data) if shards.is_shards(data) else folder.Folder(path=data)


def _encoder(text: str | None, recipe: str | None) -> Any:
    """The encoder that is asked for: by its kind, in full as JSON, or that of a recipe."""
    from zoetrope.recipes import load_recipe
    from zoetrope.text import TextEncoder

    if (text is None) == (recipe is None):
        raise ValueError("expected either --text or --recipe to say which encoder")
    if recipe is not None:
        return load_recipe(recipe).cascade.text
    assert text is not None
    return TextEncoder.from_json(text if text.lstrip().startswith("{") else {"type": text})


def _grid(shape: str | None, recipe: str, stage: str | None) -> Any:
    """The grid that is asked for: a shape, or that of a recipe's stage, its first unless named."""
    if shape is not None:
        return shape_named(shape)
    from zoetrope.recipes import load_recipe

    cascade = load_recipe(recipe).cascade
    return (cascade.stages[0] if stage is None else cascade.stage(stage)).shape
