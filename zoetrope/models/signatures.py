"""Signatures that are found in files: who signed, and whether the file is still what was signed.

A file may come from anyone: of its manifest only what the signer's certificate and the hashes prove is taken for true.
Nothing here asks another machine: no list of revoked certificates, no manifest that lies elsewhere.
"""

import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoetrope.config.extras import needed
from zoetrope.models.signing import EXTRA, KINDS, RECORD, SETTINGS, content_of, message_of
from zoetrope.wording import counted

STATES = ("tampered", "invalid", "unchecked", "untrusted", "valid")
"""What a signature can be, the worst first."""

_MARK = b"jumdc2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71"  # the description of a manifest store's JUMBF box


@dataclass(frozen=True)
class Signature:
    """What is known of a file's signature.

    Attributes:
        state: "valid": as it was signed, by someone whom a given authority vouches for; "untrusted": as it was signed,
            but nobody here vouches for the signer; "tampered": changed since; "invalid": for `problems` of another
            sort; "unchecked": c2pa-python is not installed.
        signer: the name in the certificate; organization: its organization.
        problems: codes of C2PA with explanations.
        record: what the manifest says that made the file; None if it does not say.
        says: how the file came to be: action, kind of source, software; sources: what it was made from.
    """

    state: str
    signer: str | None = None
    organization: str | None = None
    problems: tuple[str, ...] = ()
    record: Mapping[str, Any] | None = None
    says: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The signature as a value of JSON."""
        return {name: list(part) if isinstance(part, tuple) else part for name, part in vars(self).items()}


def is_signed(path: Path) -> bool:
    """Whether a file holds a C2PA manifest, whatever it is worth; needs no package."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(_MARK) >= 0


def read_signature(path: Path, authorities: str | None = None) -> Signature | None:
    """The signature of a file; None if it has none. `authorities` are certificates, PEM, see `authorities_in`.

    Raises OSError if the file cannot be read.
    """
    try:
        package: Any = needed("c2pa", *EXTRA)
    except ValueError:
        return Signature("unchecked") if is_signed(path) else None
    settings = SETTINGS if authorities is None else {**SETTINGS, "trust": {"user_anchors": authorities}}
    try:
        with package.Context.from_dict(settings) as context, path.open("rb") as file:
            reader = package.Reader.try_create(KINDS.get(path.suffix.lower()), file, context=context)
            if reader is None:
                return None
            with reader:
                return _found(json.loads(reader.json()))
    except package.C2paError as error:
        return Signature("tampered", problems=(message_of(error),)) if is_signed(path) else None


def worst(signatures: Sequence[Signature | None]) -> Signature | None:
    """The signature that is worth least, of the pictures of a sequence; one without is called tampered among others."""
    found = [one for one in signatures if one is not None]
    if found and len(found) < len(signatures):
        missing = f"{len(signatures) - len(found)} of {counted(len(signatures), 'picture')} have no signature"
        return replace(found[0], state="tampered", problems=(missing,))
    return min(found, key=lambda one: STATES.index(one.state), default=None)


def authorities_in(path: Path) -> str:
    """The certificates of authorities in a file, PEM. Raises ValueError, with the path, if it holds none."""
    certificates: Any = needed("cryptography.x509", *EXTRA)
    content = content_of(path)
    try:
        certificates.load_pem_x509_certificates(content)
    except ValueError:
        raise ValueError(f"{path}: expected certificates in PEM, got none that can be read") from None
    return content.decode("utf-8", "replace")


def _found(store: Mapping[str, Any]) -> Signature:
    """The signature that a report of c2pa-python describes."""
    active = store.get("manifests", {}).get(store.get("active_manifest"), {})
    failures = store.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    codes = [str(one.get("code")) for one in failures]
    serious = [code for code in codes if code != "signingCredential.untrusted"]
    if any(code.endswith((".mismatch", ".missing")) for code in serious):
        state = "tampered"
    elif serious or store.get("validation_state") not in ("Valid", "Trusted"):
        state = "invalid"
    else:
        state = "valid" if store["validation_state"] == "Trusted" else "untrusted"
    assertions = {one.get("label"): one.get("data") for one in active.get("assertions", [])}
    record = assertions.get(RECORD)
    signed = active.get("signature_info", {})
    return Signature(
        state,
        signed.get("common_name"),
        signed.get("issuer"),
        tuple(f"{one.get('code')}: {one.get('explanation')}" for one in failures if one.get("code") in serious),
        record if isinstance(record, dict) else None,
        tuple(_actions(assertions.get("c2pa.actions.v2") or assertions.get("c2pa.actions"))),
        tuple(str(one.get("title")) for one in active.get("ingredients", [])),
    )


def _actions(told: Any) -> Iterator[str]:
    for one in told.get("actions", []) if isinstance(told, dict) else []:
        agent = one.get("softwareAgent", "")
        by = f"{agent.get('name')} {agent.get('version', '')}" if isinstance(agent, dict) else str(agent)
        kind = str(one.get("digitalSourceType", "")).rpartition("/")[2]
        yield " ".join(part for part in (str(one.get("action")), kind, by and f"by {by}") if part).rstrip()
