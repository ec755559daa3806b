"""`zoetrope data encode --codec`: latents of clips, kept as files to train on."""

from pathlib import Path
from typing import NamedTuple

from zoetrope.commands._options import at_least, device_named, new_folder, shape_named
from zoetrope.commands._talk import Talk


class LatentsOptions(NamedTuple):
    """The options of what to encode, as given."""

    source: str
    codec: str
    out: Path | None
    shape: str | None
    recipe: str | None
    stage: str | None
    clips: int | None
    device: str | None


def encode_latents(talk: Talk, asked: LatentsOptions, *, quiet: bool) -> None:
    """Encode clips into a new folder, or go on with one. Raises ValueError for options that do not fit."""
    at_least("--count", asked.clips, 1)
    if asked.out is None:
        raise ValueError("--out: expected a folder for the latents, got none")
    if (asked.shape is None) == (asked.recipe is None):
        raise ValueError("expected either --shape or --recipe, with --stage, to say which clips")
    if asked.stage is not None and asked.recipe is None:
        raise ValueError("--stage: expected with --recipe, of which it is a stage, got it with --shape")
    out, place = new_folder(asked.out), device_named(asked.device)

    from zoetrope.commands._sources import source_json
    from zoetrope.data import Source
    from zoetrope.data.encoded import encode
    from zoetrope.models.codecs import find_codec
    from zoetrope.recipes import load_recipe
    from zoetrope.wording import counted

    if asked.shape is not None:
        clips = shape_named(asked.shape)
    else:
        cascade = load_recipe(str(asked.recipe)).cascade
        clips = (cascade.videos[0] if asked.stage is None else cascade.stage(asked.stage)).made
    source, codec = Source.from_json(source_json(asked.source)), find_codec(asked.codec)
    with talk.bars() as bars:
        begun = False

        def progress(done: int, total: int) -> None:
            nonlocal begun
            if not begun:
                bars.begin("clips", total)
                begun = True
            bars.advance(done)

        made = encode(source, codec, clips, asked.clips, out, progress, place)
    value = {"folder": str(out), "clips": made.count, "shape": made.shape.to_json(), "codec": made.codec}
    talk.result(value, "" if quiet else f"{out}: {counted(made.count, 'clip')} as latents of {made.shape}")
