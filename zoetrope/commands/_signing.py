"""Signing the files that a verb writes: `--sign` and `--certificate`, checked before anything is sampled."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from zoetrope.models.signing import Signer

Sign = Annotated[
    str | None,
    typer.Option(
        "--sign",
        metavar="KEY",
        help="Sign the files with this private key, PEM: a C2PA manifest in them says what made them.",
    ),
]
Certificate = Annotated[
    str | None,
    typer.Option(
        "--certificate",
        metavar="CHAIN",
        help="With --sign, the key's certificate, PEM, and after it those that vouch for it.",
    ),
]


def signer_of(key: str | None, chain: str | None, sources: Iterable[str]) -> "Signer | None":
    """The signer of a key and its certificates; None if none is asked for.

    `sources` are what the files are made from; of these, manifests list plain files. Raises ValueError for one of the
    two alone, for files that cannot sign, and where the packages are missing.
    """
    if key is None and chain is None:
        return None
    if key is None or chain is None:
        given, other = ("--certificate", "--sign KEY") if key is None else ("--sign", "--certificate CHAIN")
        raise ValueError(f"{given}: expected with {other}, got it alone")

    from zoetrope.models.signing import Signer

    files = [Path(path) for path in dict.fromkeys(sources) if os.path.isfile(path)]
    return Signer.of(Path(os.path.expanduser(key)), Path(os.path.expanduser(chain)), files)


def expect_signable(paths: Sequence[str], finished: Sequence[bool]) -> None:
    """Raise ValueError for names whose files cannot be signed, and for finished ones that are not."""
    from zoetrope.fields import holds_values
    from zoetrope.models.signatures import is_signed
    from zoetrope.models.signing import KINDS
    from zoetrope.video.naming import sequence_files, sequence_pattern

    for path, there in zip(paths, finished, strict=True):
        pattern = None if holds_values(path) else sequence_pattern(path)
        suffix = Path(path).suffix.lower() if pattern is None else ".png"
        if suffix not in KINDS:
            raise ValueError(
                f"{path}: --sign: expected a name ending in {', '.join(KINDS)}, or a folder/, got {suffix!r}"
            )
        files = [Path(path)] if pattern is None else sequence_files(pattern)
        if there and not all(map(is_signed, files)):
            raise ValueError(f"{path}: --sign: is there already without a signature; remove it to make it again")
