"""What `zoetrope show` tells about a video: what made it, as its tags say."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoetrope.wording import one_line

if TYPE_CHECKING:
    from zoetrope.models.provenance import Provenance

LONGEST = 400
"""Characters of a text that are shown; --json has all of them."""
VIDEOS = (".gif", ".m4v", ".mkv", ".mov", ".mp4", ".png", ".webm")


def is_video(what: str) -> bool:
    """Whether a name means a video: a file named as one, or a sequence of pictures with tags beside it."""
    from zoetrope.video.naming import is_address, sequence_pattern
    from zoetrope.video.tags import beside

    path = os.path.expanduser(what)
    if is_address(path):
        return False
    pattern = sequence_pattern(path)
    return beside(pattern).is_file() if pattern is not None else Path(path).suffix.lower() in VIDEOS


def described(what: str) -> tuple[dict[str, Any], list[str]]:
    """What made a video, as a value and as lines. Raises ValueError for a file without tags."""
    from zoetrope.models.provenance import Provenance
    from zoetrope.video import read_tags

    path = os.path.expanduser(what)
    tags = read_tags(path)
    if not tags:
        raise ValueError(f"{path}: expected a file that says how it was made, got one that says nothing")
    try:
        record = Provenance.of(path, tags)
    except ValueError as error:
        lines = [f"{key}: {_short(text)}" for key, text in tags.items()]
        why = str(error).removeprefix(f"{path}: ")
        return {"file": path, "record": None, "tags": tags}, [one_line(f"{path}: {why}; its tags:"), *lines]
    lines = [one_line(line) for line in _lines(record)]
    return {"file": path, "record": dict(record.value), "tags": tags}, lines


def _lines(record: "Provenance") -> Iterator[str]:
    """A record for people."""
    value = record.value
    yield f"{record.path}: made by `zoetrope {record.command}` {value['zoetrope']}"
    texts = {**record.options, **value}
    for name in ("prompt", "negative", "caption"):
        if name in record.left_out:
            yield f"{name}: left out of the file"
        elif texts.get(name) is not None:
            yield f"{name}: {_short(texts[name])}"
    yield f"seed {value['seed']}" + (f", sample {value['sample']}" if "sample" in value else "")
    yield f"computed in {value['dtype']} on {value['device']}, torch {value['torch']}"
    yield f"model: {value['model']}"
    for stage, settings in value["settings"].items():
        guidance = settings.get("guidance")
        kind, weight = (guidance.get("type"), guidance.get("weight")) if isinstance(guidance, dict) else (guidance, "")
        sampler = settings.get("sampler")
        way = sampler.get("type") if isinstance(sampler, dict) else sampler
        yield _short(f"  {stage}: {settings.get('shape')}, {way}, steps {settings.get('steps')}, "
                     f"guidance {kind} {weight}")  # fmt: skip
    yield "weights, sha256:"
    for stage, one in value["weights"].items():
        yield _short(f"  {stage}: {one['sha256']}, from {one.get('from')}")
        if isinstance(style := one.get("style"), dict):
            yield _short(f"  {stage}: {style.get('sha256')}, {style.get('weight')} of style {style.get('from')}")
    if record.inputs:
        yield "files that it was made from, sha256:"
        yield from (_short(f"  {name}: {told}") for name, told in record.inputs.items())
    given = [(name, one) for name, one in record.options.items() if name not in ("prompt", "negative", "caption")]
    if given:
        yield "options: " + _short(", ".join(f"{name} {json.dumps(one, ensure_ascii=False)}" for name, one in given))
    if record.stage is not None:
        yield _short(f"what stage {record.stage} made on the way to a video")
    else:
        yield f"again: zoetrope {record.command} --again {record.path}"


def _short(value: Any) -> str:
    """A text of one line, shortened."""
    text = one_line(str(value))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
