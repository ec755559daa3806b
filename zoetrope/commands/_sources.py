"""The data that options name, as JSON."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoetrope.data import Source
    from zoetrope.training.spec import Recipe


def source_json(data: str) -> dict[str, Any]:
    """The data source that `--data` names, as JSON: toybox, latents, tar shards (folder, pattern, URL), or a folder.

    Any source may be given as JSON itself, or in a .json file.
    """
    from zoetrope.commands._arrays import expect_said, source_named

    if (described := source_named(data)) is not None:
        return described.located().to_json()
    expect_said(data)
    from zoetrope.data.encoded import Encoded, is_encoded
    from zoetrope.data.folder import Folder
    from zoetrope.data.shards import Shards, is_shards
    from zoetrope.data.toybox import Toybox

    if data == "toybox" and not Path(data).is_dir():
        return Toybox().to_json()
    if is_encoded(data):
        return Encoded(path=data).located().to_json()
    return (Shards(path=data) if is_shards(data) else Folder(path=data)).located().to_json()


def data_json(own: "Source", data: str | None, codec: str | None, *, latents: bool) -> dict[str, Any]:
    """The data of a stage that `--data` and `--codec` name, as JSON, instead of its `own`: as latents if these are.

    Where `--data` is a path, or toybox, and its own data are of that kind, their other fields stay, such as `split`.
    Raises ValueError for a codec that it has no use for; `latents` is whether any stage of the recipe makes latents.
    """
    from zoetrope.data.latents import Latents
    from zoetrope.models.codecs import find_codec

    videos = own.source if isinstance(own, Latents) else own
    named = own.to_json() if data is None else _instead(videos, data)
    if data is not None and named["type"] == "latents" and own.codec_folder is not None:
        return named if codec is None else named | {"codec": str(find_codec(codec))}
    if own.codec_folder is None:
        if codec is not None and not latents:
            raise ValueError("--codec: expected none, for no stage of the recipe makes latents")
        return named
    if named["type"] == "encoded":
        if codec is not None:
            raise ValueError("--codec: expected none, for latents on disk lie beside their codec")
        return named
    folder = find_codec(codec or own.codec_folder)
    source = named if data is not None else videos.to_json()
    return {"type": "latents", "source": source, "codec": str(folder)}


def _instead(own: "Source", data: str) -> dict[str, Any]:
    """The source that `--data` names, as JSON; by a path or a name alone it has the other fields of its `own` kind."""
    from zoetrope.commands._arrays import source_named

    named, known = source_json(data), own.to_json()
    if named["type"] != known["type"] or source_named(data) is not None:
        return named
    return known | {"path": named["path"]} if "path" in named else known


def codec_json(recipe: "Recipe", data: dict[str, Any], codec: str | None) -> dict[str, Any]:
    """The codec that `--codec` names, or that lies beside the latents of `data`, as that of all stages of latents.

    As JSON by the paths of these in the recipe: so a decoder of videos takes the place of that of pictures. A codec
    whose latents have another grid or other channels is none for the recipe; training refuses it.
    """
    from zoetrope.codecs import DESCRIPTION, Codec
    from zoetrope.data import Source
    from zoetrope.models.codecs import find_codec

    folder = Source.from_json(data).codec_folder if codec is None else find_codec(codec)
    if folder is None:
        return {}
    try:
        named = Codec.from_json((folder / DESCRIPTION).read_text("utf-8"))
    except (OSError, ValueError):  # which training names
        return {}
    latents = [stage for stage in recipe.cascade.stages if stage.codec.encodes]
    if any((each.codec.factor, each.codec.channels) != (named.factor, named.channels) for each in latents):
        return {}
    return {f"{stage.name}.codec": named.to_json() for stage in latents}
