"""What a training says of its data before it begins: what is not used, and what is not as it was."""

import json
import logging
from pathlib import Path

from zoetrope.data import Dataset
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.embeddings.long import cut_short
from zoetrope.files import write_text
from zoetrope.strict_json import read_json
from zoetrope.training.writing import unneeded
from zoetrope.wording import counted

log = logging.getLogger(__name__)
CONTENTS = "data.json"


def tell(folder: Path, dataset: Dataset, texts: EmbeddingCache | None) -> None:
    """Log what of the data is not learnt from, and whether they are others than when this run was last trained.

    What they are is written into the run, where that can be.
    """
    for item in dataset.unused():
        for line in item.lines():
            log.warning("%s", line)
    for said in (_cut(dataset, texts) if texts is not None else "", _changed(folder / CONTENTS, dataset)):
        if said:
            log.warning("%s", said)


def _cut(dataset: Dataset, texts: EmbeddingCache) -> str:
    """What to say of captions that are cut, "" if none is; as it was noted of them, where that is quicker."""
    listing = dataset.listing()
    if listing is not None and (known := texts.recall(listing)) is not None:
        return known
    said = cut_short(dataset.captions(), texts) or ""
    if listing is not None:
        texts.note(listing, said)
    return said


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
    told = f"{clip}, before there were {clips}" if clips != now.clips else "other names or captions"
    return f"{path.parent}: the data have changed since this run was last trained ({told}): other examples follow"
