"""`zoetrope data`: inspect training data, preview examples, and prepare data for large trainings."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoetrope.commands._arrays import (
    Axes,
    Variables,
    check_arrays,
    expect_said,
    preview_arrays,
    source_named,
    tell_statistics,
    told_inventory,
)
from zoetrope.commands._datasets import encoder_named, grid_named, treating_short
from zoetrope.commands._latents import LatentsOptions, encode_latents
from zoetrope.commands._options import (
    MOST_MADE,
    Device,
    Json,
    Quiet,
    Short,
    Trust,
    at_least,
    bytes_named,
    device_named,
    dtype_named,
    new_folder,
)
from zoetrope.commands._sampling import DType
from zoetrope.commands._sources import source_json
from zoetrope.commands._talk import Talk
from zoetrope.commands._verb import Verb

if TYPE_CHECKING:
    import torch

    from zoetrope.data import Dataset, Unused

MOST_TOLD = 20  # scenes that are left out, on the terminal; the page has all
SMALL = ("minilm", "words")  # encoders that may be loaded to see how much they read of a caption

data = typer.Typer(help="Look at training data, shard it, encode its captions.", rich_markup_mode=None)

Folder = Annotated[str, typer.Argument(metavar="DIR", help="A folder of captioned videos and images.")]
Files = Annotated[
    str,
    typer.Argument(metavar="DATA", help="A folder of captioned media, shards by folder, pattern or URL, or arrays."),
]
Source = Annotated[
    str, typer.Argument(metavar="DATA|toybox", help="A folder of captioned media, shards, arrays, or toybox.")
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


@data.command(cls=Verb)
def check(
    folder: Files,
    shape: Shape = None,
    stage: Stage = None,
    recipe: Recipe = "mini",
    short: Short = None,
    variables: Variables = None,
    axes: Axes = None,
    trust: Trust = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tell what is usable and why the rest is not.

    Exit status 2 if nothing is usable.
    """
    from zoetrope.wording import counted, one_line

    talk = Talk(json, quiet)
    grid = grid_named(shape, recipe, stage) if shape or stage else None
    if (stored := source_named(folder, variables, axes)) is None:
        if told_inventory(talk, folder):
            return
        stored = _stored(folder)
    stored = treating_short(stored, short)
    if isinstance(stored, _arrays()):
        return check_arrays(talk, stored, grid)
    report = _scan(stored, grid)
    kept: list[dict[str, Any]] = [
        {"name": one_line(clip.name), "text": clip.text, "frames": clip.info.frames, "fps": clip.info.fps}
        | {"seconds": clip.info.seconds, "height": clip.info.height, "width": clip.info.width}
        for clip in report.kept
    ]
    dropped = [{"name": one_line(item.name), "reason": one_line(item.reason)} for item in report.dropped]
    notes = [*report.notes, *_long_captions(recipe, [clip.text for clip in report.kept])]
    videos = sum(not clip.info.still for clip in report.kept)
    seconds = sum(clip.info.seconds for clip in report.kept if not clip.info.still)
    images = counted(len(kept) - videos, "image")
    usable = f"{len(kept)} usable: {counted(videos, 'video')} of {seconds:.1f} s in all, {images}"
    lines = [usable, f"{len(dropped)} dropped" + (":" if dropped else "")]
    lines += [f"  {item['name']}: {item['reason']}" for item in dropped]
    lines += notes
    value = {"folder": folder, "kept": kept, "dropped": dropped, "notes": notes}
    talk.result(value, "" if quiet else "\n".join(lines))
    if not kept:
        raise ValueError(f"{folder}: no usable clip" + (f" for {grid}" if grid else ""))


@data.command(cls=Verb)
def preview(
    source: Source,
    out: Sheet,
    shape: Shape = None,
    stage: Stage = None,
    recipe: Recipe = "mini",
    count: Count = 8,
    short: Short = None,
    variables: Variables = None,
    axes: Axes = None,
    trust: Trust = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw the first clips, as training sees them, on one sheet."""
    at_least("--count", count, 1, MOST_MADE)
    out = os.path.expanduser(out)
    if Path(out).suffix.lower() != ".png":
        raise ValueError(f"--out {out}: expected the name of a .png file")

    from zoetrope.data import Source as AnySource
    from zoetrope.data import preview as drawn
    from zoetrope.video import check_output, save_image
    from zoetrope.wording import counted

    talk = Talk(json, quiet)
    check_output(out, 1)
    grid = grid_named(shape, recipe, stage)
    asked = source_named(source, variables, axes) or AnySource.from_json(source_json(source))
    opened = treating_short(asked, short).open()
    _say_unused(talk, opened)
    if isinstance(asked, _arrays()):
        return preview_arrays(talk, opened, grid, count, out)
    sheet, captions = drawn(opened, grid, count)
    save_image(out, sheet)
    lines = [f"{out}: {counted(count, 'clip')} of {grid}, in rows", *(f"  {text}" for text in captions)]
    value = {"path": out, "shape": grid.to_json(), "captions": captions}
    talk.result(value, "" if quiet else "\n".join(lines))


@data.command(cls=Verb)
def statistics(
    source: Annotated[str, typer.Argument(metavar="DATA", help="Arrays: a path, or a source as JSON.")],
    variables: Variables = None,
    axes: Axes = None,
    most: Annotated[int | None, typer.Option(metavar="N", help="The most frames that are read. [all]")] = None,
    trust: Trust = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tell what the values of arrays are like.

    Means, deviations, ends, quantiles and gaps of every variable, and scales for its channel.
    """
    if most is not None:
        at_least("--most", most, 1)
    asked = source_named(source, variables, axes)
    if not isinstance(asked, _arrays()):
        raise ValueError(f"{source}: expected arrays, with --variables and --axes, or a source of them as JSON")
    tell_statistics(Talk(json, quiet), asked, most)


@data.command(cls=Verb)
def shard(
    folder: Folder,
    out: Out,
    split: Split = None,
    size: Size = None,
    count: Samples = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write what is usable in a folder as tar shards.

    webdataset reads them too.
    """
    at_least("--count", count, 1)
    out = new_folder(out)
    limit = bytes_named(size or "500MB", "--size") if size is not None or count is None else None

    from zoetrope.data import Unused, pack, packable
    from zoetrope.data.folder import Folder as Captioned
    from zoetrope.wording import counted

    talk = Talk(json, quiet)
    opened = Captioned(path=folder, split=split).open()
    clips, left = packable(opened.report.kept)
    unused = Unused(folder, (*opened.report.dropped, *left), opened.report.notes)
    _say(talk, unused)
    if not clips:
        raise ValueError(f"{folder}: no clip for shards: {left[0].name} {left[0].reason}")
    with talk.bars() as bars:
        bars.begin("samples", len(clips))
        made = pack(
            opened.source.place, clips, out, size=limit, count=count, progress=lambda done, _: bars.advance(done)
        )
    value = {"folder": str(out), "shards": [path.name for path in made], "samples": len(clips)}
    samples, shards = counted(len(clips), "sample"), counted(len(made), "shard")
    message = f"{out}: {samples} in {shards}, {made[0].name}" + (f" to {made[-1].name}" if made[1:] else "")
    talk.result(value | {"dropped": len(unused.dropped)}, "" if quiet else message)


@data.command(cls=Verb)
def encode(
    source: Source,
    text: Text = None,
    recipe: OfRecipe = None,
    codec: Annotated[
        str | None, typer.Option(metavar="CODEC", help="Encode clips instead: a run that trained a codec, or a model.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="OUT", help="The folder of their latents.")] = None,
    shape: Annotated[
        str | None, typer.Option(metavar="FxHxW@FPS", help="Their grid in pixels. [that of --recipe's --stage]")
    ] = None,
    stage: Annotated[str | None, typer.Option(metavar="NAME", help="A stage of --recipe. [the first]")] = None,
    count: Annotated[int | None, typer.Option(help="How many clips. [all]", show_default=False)] = None,
    device: Device = None,
    dtype: DType = "auto",
    trust: Trust = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Encode all captions beforehand, or with --codec the clips.

    Features of captions are written beside the data; training then needs no text encoder in memory. Latents of clips
    are written to OUT, which --data of a model of latents names; an encoding that was interrupted goes on.
    """
    if codec is not None:
        if text is not None:
            raise ValueError("--text: captions and clips are encoded one after the other; leave out --codec or --text")
        if dtype != "auto":
            raise ValueError("--dtype: is for the features of captions; leave it out with --codec")
        asked = LatentsOptions(source, codec, out, shape, recipe, stage, count, device)
        return encode_latents(Talk(json, quiet), asked, quiet=quiet)
    for option, given in (("--out", out), ("--shape", shape), ("--stage", stage), ("--count", count)):
        if given is not None:
            raise ValueError(f"{option}: is for clips; name their --codec")
    encoder = encoder_named(text, recipe)
    place = device_named(device)

    from zoetrope.embeddings.cache import EmbeddingCache
    from zoetrope.embeddings.long import cut_short
    from zoetrope.wording import counted

    talk = Talk(json, quiet)
    stored = _stored(source)
    opened = stored.open()
    _say_unused(talk, opened)
    captions = opened.captions()
    precision = dtype_named(dtype, place)
    if (beside := stored.features_folder) is None:  # training looks for them in the common cache
        precision = _sought(source, dtype)
    cache = EmbeddingCache(encoder, None, place, precision, beside=beside, alike=dtype == "auto")
    with talk.bars() as bars:
        bars.begin("captions", len(captions))
        new = cache.prepare(captions, lambda done, total: bars.advance(done + len(captions) - total))
    value = {"folder": str(cache.folder), "encoder": encoder.identity, "captions": len(captions), "new": new}
    if (long := cut_short(captions, cache)) is not None:
        talk.warn(f"{source}: {long}")
    message = f"{cache.folder}: {counted(len(captions), 'caption')} by {encoder.kind()}, {new} of them new"
    talk.result(value, "" if quiet else message)


@data.command(cls=Verb)
def curate(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="OUT", help="A new folder, or one to resume.")],
    spec: Annotated[str, typer.Option(metavar="JSON", help="Thresholds that differ from the defaults.")] = "{}",
    captioner: Annotated[
        list[str] | None, typer.Option(metavar="MODEL", help="Hub id or folder of a model that captions. Repeatable.")
    ] = None,
    captions: Annotated[
        str, typer.Option(metavar="HOW", help="Captions that exist: keep them, add another, or replace them.")
    ] = "keep",
    clip: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A CLIP, to measure alignment and aesthetics.")
    ] = None,
    workers: Annotated[int, typer.Option(help="How many processes.")] = 1,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Cut videos into scenes and keep the good ones.

    OUT is a folder to train on. What was measured, and why a scene was left out, is in OUT/index.html and
    OUT/table.jsonl.
    """
    at_least("--workers", workers, 1)
    out = new_folder(out)

    from zoetrope.curation import asked_for
    from zoetrope.curation import curate as curated
    from zoetrope.wording import counted, one_line

    talk = Talk(json, quiet)
    asked = asked_for(spec, captioner or [], captions, clip)
    with talk.bars() as bars:
        begun = set[str]()

        def progress(what: str, done: int, of: int) -> None:
            if what not in begun:
                begun.add(what)
                bars.begin(what, of)
            bars.advance(done)

        scenes = curated(Path(os.path.expanduser(folder)), out, asked, workers, progress)
    left = [scene for scene in scenes if scene.reason is not None]
    lines = [f"{out}: {counted(len(scenes) - len(left), 'scene')} kept, {len(left)} left out"]
    lines += [
        f"  {one_line(item.name)} at {item.start:.2f} s: {one_line(item.reason or '')}" for item in left[:MOST_TOLD]
    ]
    lines += [f"  and {len(left) - MOST_TOLD} more"] if len(left) > MOST_TOLD else []
    lines.append(f"{out / 'index.html'} shows them")
    value = {"folder": str(out), "kept": len(scenes) - len(left), "left_out": len(left)}
    talk.result(value | {"page": str(out / "index.html")}, "" if quiet else "\n".join(lines))


def _say_unused(talk: Talk, dataset: "Dataset") -> None:
    """Report unused data."""
    for item in dataset.unused():
        _say(talk, item)


def _say(talk: Talk, unused: "Unused") -> None:
    if lines := unused.lines():
        talk.warn("\n".join(lines))


def _sought(source: str, dtype: str) -> "torch.dtype":
    """The precision in which training looks for features in the common cache. Raises ValueError for another one."""
    import torch

    if dtype == "bf16":
        what = "expected fp32 for data on the web, whose features training looks for in that precision"
        raise ValueError(f"--dtype: {what}, got {dtype} for {source}")
    return torch.float32


def _long_captions(recipe: str, captions: list[str]) -> list[str]:
    """A note on captions that the encoder of a recipe truncates."""
    from zoetrope.embeddings.cache import EmbeddingCache
    from zoetrope.embeddings.long import cut_short
    from zoetrope.recipes import load_recipe

    encoder = load_recipe(recipe).cascade.text
    if encoder is None or encoder.kind() not in SMALL:
        return []
    try:
        message = cut_short(captions, EmbeddingCache(encoder))
    except ValueError as error:
        message = f"whether all of the captions is read is not known: {error}"
    return [] if message is None else [message]


def _scan(source: Any, grid: Any) -> Any:
    """The report of a folder or of shards. Raises ValueError for another source."""
    from zoetrope.data import folder, shards

    if not isinstance(source, folder.Folder | shards.Shards):
        raise ValueError(f"expected a folder, shards or arrays, got a source {source.kind()!r}")
    return shards.scan(source, grid) if isinstance(source, shards.Shards) else folder.scan(source, grid)


def _arrays() -> Any:
    """The source of arrays."""
    from zoetrope.data.arrays import Arrays

    return Arrays


def _stored(data: str) -> Any:
    """The source of a folder or of shards. Raises ValueError for arrays of which nothing else is said."""
    from zoetrope.data import folder, shards

    expect_said(data)
    return shards.Shards(path=data) if shards.is_shards(data) else folder.Folder(path=data)
