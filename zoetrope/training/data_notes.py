"""Log messages about a training's data before it starts: what is unused, and what has changed."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from zoetrope.data import Dataset
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.embeddings.long import cut_short
from zoetrope.files import write_text
from zoetrope.files.plain import read_json
from zoetrope.shapes import VideoShape
from zoetrope.training.writing import unneeded
from zoetrope.wording import counted

log = logging.getLogger(__name__)
CONTENTS = "data.json"


def log_notes(folder: Path, dataset: Dataset, texts: EmbeddingCache | None, grids: Sequence[VideoShape] = ()) -> None:
    """Log which data are unused, and whether the data have changed since this run was last trained.

    Of the `grids` that the training takes, the data set itself logs which clips are too short, when it counts them.
    The data's description is recorded in the run, if that is writable.
    """
    for grid in grids:
        if dataset.gives(grid):
            dataset.count(grid)
    for item in dataset.unused():
        for line in item.lines():
            log.warning("%s", line)
    for message in (_cut(dataset, texts) if texts is not None else "", _changed(folder / CONTENTS, dataset)):
        if message:
            log.warning("%s", message)


def _cut(dataset: Dataset, texts: EmbeddingCache) -> str:
    """The message about truncated captions, "" if there are none; from a note in the cache where there is one."""
    listing = dataset.listing()
    if listing is not None and (known := texts.recall(listing)) is not None:
        return known
    message = cut_short(dataset.captions(), texts) or ""
    if listing is not None:
        texts.note(listing, message)
    return message


def _changed(path: Path, dataset: Dataset) -> str | None:
    now = dataset.contents()
    if now is None:
        return None
    try:
        before = read_json(path)
        clips, digest = int(before["clips"]), str(before["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        clips, digest = now
    with unneeded(path):
        write_text(path, json.dumps(now._asdict()))
    if digest == now.digest:
        return None
    clip = counted(now.clips, "clip")
    change = f"{clip}, before there were {clips}" if clips != now.clips else "other names or captions"
    return f"{path.parent}: the data have changed since this run was last trained ({change}): other examples follow"
