"""What `zoetrope show` tells about a video: what made it, as its tags say, and who signed it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoetrope.wording import one_line

if TYPE_CHECKING:
    from zoetrope.models.provenance import Provenance
    from zoetrope.models.signatures import Signature

LONGEST = 400
"""Characters of a text that are shown; --json has all of them."""
VIDEOS = (".gif", ".m4v", ".mkv", ".mov", ".mp4", ".png", ".webm")


def is_video(what: str) -> bool:
    """Whether a name means a video: a file named as one, of pictures or values, or pictures with tags beside them."""
    from zoetrope.fields import holds_values
    from zoetrope.video.naming import is_address, sequence_pattern
    from zoetrope.video.tags import beside

    path = os.path.expanduser(what)
    if is_address(path):
        return False
    pattern = sequence_pattern(path)
    if holds_values(path):
        return True
    return beside(pattern).is_file() if pattern is not None else Path(path).suffix.lower() in VIDEOS


def described(what: str, authorities: str | None = None) -> tuple[dict[str, Any], list[str]]:
    """What made a video and who signed it, as a value and as lines. Raises ValueError for a file that says neither.

    `authorities` is a file of the certificates of those who are believed about signers.
    """
    from zoetrope.fields import holds_values, tags_in
    from zoetrope.models.provenance import Provenance
    from zoetrope.models.signatures import authorities_in

    path = os.path.expanduser(what)
    trusted = None if authorities is None else authorities_in(Path(os.path.expanduser(authorities)))
    tags, signature = tags_in(path), None if holds_values(path) else _signature(path, trusted)
    value = {"file": path, "record": None, "tags": tags, "signature": signature and signature.to_json()}
    signed = [_short(line) for line in _signed(signature, believed=trusted is not None)]
    if not tags and signature is None:
        raise ValueError(f"{path}: expected a file that says how it was made, got one that says nothing")
    try:
        record = Provenance.of(path, tags)
    except ValueError as error:
        lines = [f"{key}: {_short(text)}" for key, text in tags.items()]
        why = str(error).removeprefix(f"{path}: ") if tags else "says nothing but its signature"
        return value, [one_line(f"{path}: {why}" + ("; its tags:" if tags else "")), *lines, *signed]
    lines = [one_line(line) for line in _lines(record)]
    if signature is not None and signature.record is not None and dict(signature.record) != record.value:
        signed.append("  the record in the tags is another one than the one that is signed")
    return {**value, "record": dict(record.value)}, [*lines, *signed]


def _signature(path: str, trusted: str | None) -> "Signature | None":
    """The signature of a file, or of a sequence the worst of its pictures."""
    from zoetrope.models.signatures import read_signature, worst
    from zoetrope.video.naming import sequence_files, sequence_pattern

    pattern = sequence_pattern(path)
    files = [Path(path)] if pattern is None else sequence_files(pattern)
    return worst([read_signature(file, trusted) for file in files])


def _signed(signature: "Signature | None", *, believed: bool) -> Iterator[str]:
    """A signature for people."""
    if signature is None:
        yield "signature: none"
        return
    by = f"signed by {signature.signer} of {signature.organization}"
    authority = "none of the --authorities vouches for that" if believed else "--authorities FILE tells whom to believe"
    yield (
        "signature: "
        + {
            "valid": f"valid, {by}",
            "untrusted": f"untrusted: {by}, they say, and unchanged since; {authority}",
            "tampered": "TAMPERED: the file is not what was signed",
            "invalid": f"invalid, {by}, they say",
            "unchecked": "there is one, not checked: pip install 'zoetrope[sign]'",
        }[signature.state]
    )
    yield from (f"  {problem}" for problem in signature.problems)
    yield from (f"  says: {text}" for text in signature.says)
    if signature.sources:
        yield f"  made from: {', '.join(signature.sources)}"


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
