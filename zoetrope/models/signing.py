"""Signing files: a C2PA manifest says what made a file, and its readers see any change of the file.

A manifest names its signer by a certificate. No other machine is asked, so none says when a file was signed. The
format is that of the C2PA specification 2; the package c2pa-python writes it.
"""

import io
import json
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from zoetrope import __version__
from zoetrope.config import parse_json
from zoetrope.config.extras import needed
from zoetrope.files import whole
from zoetrope.files.plain import read_plain
from zoetrope.models.provenance import LONGEST, TAG

KINDS = {".gif": "image/gif", ".mp4": "video/mp4", ".png": "image/png"}
"""The files that are signed, by their endings."""
RECORD = "zoetrope.record"
"""The label of the assertion that holds the record in the tags of the file, see `zoetrope.models.provenance`."""
EXTRA = ("sign", "signatures")
"""The extra that installs the packages, and what they are for."""
SETTINGS: dict[str, Any] = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}
"""How c2pa-python works here: it asks no other machine."""

_WANTED = (
    "C2PA takes the certificate of a signer, not of an authority, issued by another (not self-signed), for the use "
)
_WANTED += "digitalSignature and the extended use emailProtection or documentSigning"
_SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_LONGEST = 2**20  # bytes of a file of keys or certificates
_MODULES = ("ec", "ed25519", "rsa")  # of cryptography's kinds of keys
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c636000000002000148afa4710000000049454e44ae426082"
)  # a PNG of one pixel


@dataclass(frozen=True)
class Signer:
    """What signs files, and is called with each: it is a `zoetrope.video.writing.Seal`.

    Attributes:
        key: a private key, PEM of PKCS#8; chain: its certificate, PEM, then those that vouch for it.
        algorithm: as C2PA names it.
        sources: files that others are made from, which manifests list with the manifests that they have themselves.
    """

    key: bytes = field(repr=False)
    chain: bytes = field(repr=False)
    algorithm: str
    sources: tuple[Path, ...] = ()

    @classmethod
    def of(cls, key: Path, chain: Path, sources: Sequence[Path] = ()) -> Self:
        """The signer of a private key, PEM without a password, and its chain of certificates, PEM.

        Raises ValueError, with the path, for a file that is neither, for a key and a certificate that do not belong
        together, and for certificates that C2PA does not take, which is tried on a pixel.
        """
        package: Any = needed("c2pa", *EXTRA)
        plain, algorithm = _key_in(key)
        made = cls(plain, _chain_in(chain, plain, key), algorithm, tuple(sources))
        try:
            made._sign((io.BytesIO(_PIXEL), io.BytesIO()), "image/png", manifest_of("pixel", {}), ())
        except package.C2paError as error:
            raise ValueError(f"{chain}: cannot sign with it ({message_of(error)}); {_WANTED}") from None
        return made

    def __call__(self, part: Path, target: Path, tags: Mapping[str, str]) -> None:
        """Sign the file `part`, in its place, which gets the name `target`; its pictures and tags stay as they are.

        Raises OSError where it cannot be written.
        """
        package: Any = needed("c2pa", *EXTRA)
        record = parse_json(tags[TAG], longest=LONGEST) if TAG in tags else {}
        manifest = manifest_of(target.name, record)
        with whole(part) as signed, part.open("rb") as source, _Noting(signed, "x+") as file:
            try:
                self._sign((source, file), KINDS[target.suffix.lower()], manifest, self.sources)
            except package.C2paError as error:
                raise file.error or OSError(f"{target}: cannot be signed ({message_of(error)})") from None

    def _sign(self, files: tuple[Any, Any], kind: str, manifest: Mapping[str, Any], sources: Sequence[Path]) -> None:
        package: Any = needed("c2pa", *EXTRA)
        told = package.C2paSignerInfo(self.algorithm, self.chain, self.key, None)
        with (
            package.Context.from_dict(SETTINGS) as context,
            package.Signer.from_info(told) as signer,
            package.Builder(json.dumps(manifest), context=context) as builder,
        ):
            for path in sources:
                _add_source(builder, path, package.C2paError)
            builder.sign(signer, kind, *files)


def manifest_of(title: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """The definition of a manifest: a trained model made the file, and how, as its record says.

    Where parts of the pictures are given, as those of a clip that is extended, the file is called a composite.
    """
    composite = record.get("command") in ("edit", "extend", "upscale") or "from" in record or "known" in record
    software = {"name": "zoetrope", "version": __version__}
    action = {
        "action": "c2pa.created",
        "digitalSourceType": _SOURCES + ("compositeWithTrained" if composite else "trained") + "AlgorithmicMedia",
        "softwareAgent": software,
    }
    assertions = [{"label": "c2pa.actions.v2", "created": True, "data": {"actions": [action]}}]
    if record:
        assertions.append({"label": RECORD, "created": True, "data": dict(record)})
    return {"claim_generator_info": [software], "title": title, "assertions": assertions}


def content_of(path: Path) -> bytes:
    """What a file of keys or certificates holds. Raises ValueError, with the path, if there is none, or it is large."""
    try:
        return read_plain(path, _LONGEST)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None


def message_of(error: Exception) -> str:
    """What c2pa-python says, without the name that it begins with."""
    head, _, rest = str(error).partition(": ")
    return rest if rest and " " not in head else str(error)


class _Noting(io.FileIO):
    """A file that keeps the error of writing to it, which the package hides."""

    error: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            self.error = error
            raise


def _add_source(builder: Any, path: Path, wrong: type[Exception]) -> None:
    """List a file that another is made from; as mere bytes if it is not what its name says."""
    told = {"title": path.name, "relationship": "inputTo"}
    kind = mimetypes.guess_type(path.name)[0]
    with path.open("rb") as file:
        try:
            builder.add_ingredient(told, kind or "application/octet-stream", file)
        except wrong:
            file.seek(0)
            builder.add_ingredient(told, "application/octet-stream", file)


def _key_in(path: Path) -> tuple[bytes, str]:
    """A private key, PEM of PKCS#8, and the algorithm that it signs by."""
    serialization: Any = needed("cryptography.hazmat.primitives.serialization", *EXTRA)
    other: Any = needed("cryptography.exceptions", *EXTRA).UnsupportedAlgorithm
    content = content_of(path)
    try:
        key = serialization.load_pem_private_key(content, None)
    except TypeError:
        new = "openssl pkey -in KEY -out NEW writes it without one"
        raise ValueError(f"{path}: expected a key without a password; {new}") from None
    except (ValueError, other):
        raise ValueError(f"{path}: expected a private key in PEM, got something else") from None
    if (algorithm := _algorithm(key)) is None:
        curves = ", ".join(_CURVES)
        raise ValueError(f"{path}: expected a key of curve {curves} or Ed25519, or of RSA with 2048 bits or more")
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*form), algorithm


def _algorithm(key: Any) -> str | None:
    """The algorithm by which C2PA signs with a key; None for one that it does not take."""
    kinds: Any = {name: needed(f"cryptography.hazmat.primitives.asymmetric.{name}", *EXTRA) for name in _MODULES}
    if isinstance(key, kinds["ec"].EllipticCurvePrivateKey):
        return _CURVES.get(key.curve.name)
    if isinstance(key, kinds["ed25519"].Ed25519PrivateKey):
        return "ed25519"
    return "ps256" if isinstance(key, kinds["rsa"].RSAPrivateKey) and key.key_size >= 2048 else None


def _chain_in(path: Path, key: bytes, key_path: Path) -> bytes:
    """The certificates of a file, of which the first is that of the key, and valid today."""
    certificates: Any = needed("cryptography.x509", *EXTRA)
    serialization: Any = needed("cryptography.hazmat.primitives.serialization", *EXTRA)
    content = content_of(path)
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    own = serialization.load_pem_private_key(key, None).public_key().public_bytes(*form)
    try:
        chain = certificates.load_pem_x509_certificates(content)
        places = [place for place, one in enumerate(chain, start=1) if one.public_key().public_bytes(*form) == own]
    except ValueError:
        raise ValueError(f"{path}: expected certificates in PEM, got something else") from None
    if 1 not in places:
        where = f"it is number {places[0]} there; put it first" if places else "it is not there"
        raise ValueError(f"{path}: expected the certificate of {key_path} as the first one; {where}")
    begins, ends = chain[0].not_valid_before_utc, chain[0].not_valid_after_utc
    if not begins <= datetime.now(UTC) <= ends:
        raise ValueError(f"{path}: expected a certificate that is valid today, got one from {begins:%F} to {ends:%F}")
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain)
