"""`--sign`: C2PA manifests in files, read back by c2pa-python itself, and `zoetrope show`, which checks them."""

import json
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import c2pa
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import zoetrope
from zoetrope.models.signatures import Signature, is_signed, read_signature, worst
from zoetrope.models.signing import Signer
from zoetrope.video import Video, probe, read, read_tags

from .conftest import Cli, Done
from .test_again import QUICK, comment, refused

Key = Any
NOW = datetime.now(UTC)
PEM = serialization.Encoding.PEM
SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def named(name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


def usage(*uses: str) -> x509.KeyUsage:
    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{use: use in uses for use in every})


def certificate(name: str, key: Key, by: str, by_key: Key, *, use: Any = None, days: int = 30) -> x509.Certificate:
    """A certificate of `key`, from the first of `days` ago; an authority's without `use`."""
    built = (
        x509.CertificateBuilder(named(by), named(name), key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=abs(days)))
        .not_valid_after(NOW + timedelta(days=days // 2))
        .add_extension(x509.BasicConstraints(use is None, None), critical=True)
        .add_extension(usage(*(("key_cert_sign",) if use is None else ("digital_signature",))), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by_key.public_key()), critical=False)
    )
    if use is not None:
        built = built.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
    return built.sign(by_key, hashes.SHA256())


def private(key: Key, password: bytes | None = None, form: str = "PKCS8") -> bytes:
    how = serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
    return bytes(key.private_bytes(PEM, getattr(serialization.PrivateFormat, form), how))


class Papers(NamedTuple):
    """A folder of keys and certificates, and the words that sign with the first of them."""

    folder: Path

    @property
    def words(self) -> list[str]:
        return ["--sign", str(self.folder / "key.pem"), "--certificate", str(self.folder / "chain.pem")]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """An authority, and what it signed: for a signer, too late, for another use, and the signer's own."""
    folder = tmp_path_factory.mktemp("papers")
    root, key, mail = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    use = ExtendedKeyUsageOID.EMAIL_PROTECTION
    authority = certificate("Authority", root, "Authority", root).public_bytes(PEM)
    made = {
        "chain": certificate("Signer", key, "Authority", root, use=use),
        "late": certificate("Signer", key, "Authority", root, use=use, days=-30),
        "server": certificate("Signer", key, "Authority", root, use=ExtendedKeyUsageOID.SERVER_AUTH),
        "own": certificate("Signer", key, "Signer", key),
    }
    for name, one in made.items():
        (folder / f"{name}.pem").write_bytes(one.public_bytes(PEM) + authority)
    (folder / "turned.pem").write_bytes(authority + made["chain"].public_bytes(PEM))
    (folder / "authority.pem").write_bytes(authority)
    other = certificate("Other", mail, "Other", mail).public_bytes(PEM)
    (folder / "other.pem").write_bytes(other)
    (folder / "key.pem").write_bytes(private(key))
    (folder / "old.pem").write_bytes(private(key, form="TraditionalOpenSSL"))
    (folder / "locked.pem").write_bytes(private(key, b"secret"))
    (folder / "short.pem").write_bytes(private(rsa.generate_private_key(65537, 1024)))
    (folder / "mail.pem").write_bytes(private(mail))
    (folder / "text.pem").write_text("hello")
    return Papers(folder)


@pytest.fixture
def signed(cli: Cli, model: Path, papers: Papers) -> Callable[..., Done]:
    """`generate` in a moment, with a signature."""
    return lambda *words: cli("generate", "a red ball", "--model", model, *QUICK, *papers.words, *words)


def manifest(path: str, authority: Path | None = None) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The active manifest of a file with its assertions, and how it was validated: by c2pa-python, not by our code."""
    trust = {} if authority is None else {"trust": {"user_anchors": authority.read_text()}}
    with c2pa.Context.from_dict(trust) as context, c2pa.Reader(path, context=context) as reader:
        active = reader.get_active_manifest()
        state = reader.get_validation_state()
    assert active is not None and state is not None
    return active, {one["label"]: one["data"] for one in active["assertions"] if one.get("created")}, state


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.png"])
def test_a_signed_file(signed: Callable[..., Done], papers: Papers, name: str, cli: Cli, model: Path) -> None:
    """What the manifest says, that it is believed, and that pictures, tags and `--again` are as without it."""
    one = ["--frames", "1"] if name == "a.png" else []
    assert signed("-o", name, *one).code == 0
    active, said, state = manifest(name, papers.folder / "authority.pem")
    assert state == "Trusted" and manifest(name)[2] == "Valid"
    assert active["title"] == name and active["claim_generator_info"][0]["version"] == zoetrope.__version__
    assert active["signature_info"]["common_name"] == "Signer" and "time" not in active["signature_info"]
    (action,) = said["c2pa.actions.v2"]["actions"]
    assert action == {
        "action": "c2pa.created",
        "softwareAgent": {"name": "zoetrope", "version": zoetrope.__version__},
        "digitalSourceType": f"{SOURCE}trainedAlgorithmicMedia",
    }
    told = said["zoetrope.record"]
    assert told == comment(name) and (told["prompt"], told["seed"], told["model"]) == ("a red ball", 0, "tiny")
    assert len(told["weights"]["base"]["sha256"]) == 64

    bare = f"b{name[1:]}"
    assert cli("generate", "--again", name, "-o", bare).code == 0
    assert not is_signed(Path(bare)) and read_tags(name) == read_tags(bare)
    assert np.array_equal(read(name).frames, read(bare).frames)
    info, other = probe(name), probe(bare)
    assert (info.frames, info.fps, info.seconds, info.codec) == (other.frames, other.fps, other.seconds, other.codec)
    assert cli("generate", "--again", bare, "-o", f"c{name[1:]}", *papers.words).code == 0
    assert manifest(f"c{name[1:]}")[2] == "Valid" and len(list(Path().iterdir())) == 3  # nothing is left over


def test_show_tells_valid_untrusted_and_tampered(signed: Callable[..., Done], papers: Papers, cli: Cli) -> None:
    assert signed("-o", "a.mp4").code == 0
    assert "signature: untrusted: signed by Signer of Tests, they say" in cli("show", "a.mp4").out
    good = cli("show", "a.mp4", "--authorities", papers.folder / "authority.pem").out
    assert "signature: valid, signed by Signer of Tests" in good
    assert "  says: c2pa.created trainedAlgorithmicMedia by zoetrope" in good
    other = cli("show", "a.mp4", "--authorities", papers.folder / "other.pem").out
    assert "none of the --authorities vouches for that" in other
    content = bytearray(Path("a.mp4").read_bytes())
    for place in (content.rindex(b"mdat") + 40, content.rindex(b"a red ball")):  # a picture, and the prompt in the tags
        changed = content.copy()
        changed[place] ^= 1
        Path("b.mp4").write_bytes(changed)
        done = cli("show", "b.mp4", "--authorities", papers.folder / "authority.pem")
        assert "TAMPERED" in done.out and "assertion.bmffHash.mismatch" in done.out, done
        assert json.loads(cli("show", "b.mp4", "--json").out)["signature"]["state"] == "tampered"
    changed = content.copy()
    changed[content.index(b"c2pa.created") + 3] ^= 1  # the manifest itself
    Path("b.mp4").write_bytes(changed)
    assert "TAMPERED" in cli("show", "b.mp4").out
    refused(cli("show", "a.mp4", "--authorities", papers.folder / "text.pem"), "text.pem: expected certificates in PEM")
    refused(cli("show", "mini", "--authorities", papers.folder / "authority.pem"), "--authorities: expected a video")


def test_every_byte_of_a_picture_is_signed(papers: Papers) -> None:
    """Of a PNG, any changed byte is seen; but for filling in the manifest, which says nothing."""
    Video(np.zeros((1, 4, 4, 3), np.uint8), 1.0).save("a.png", seal=signer(papers), tags={"comment": "{}"})
    content = Path("a.png").read_bytes()
    own, manifest_at = read_signature(Path("a.png")), content.index(b"caBX")
    manifest_end = manifest_at + int.from_bytes(content[manifest_at - 4 : manifest_at])
    assert own is not None and own.state == "untrusted"
    for place in range(0, len(content), 1 + len(content) // 60):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        Path("b.png").write_bytes(changed)
        found = read_signature(Path("b.png"))
        inside = manifest_at < place < manifest_end
        assert found is None or found.state in ("tampered", "invalid") or (inside and found == own), place


def signer(papers: Papers) -> Signer:
    return Signer.of(papers.folder / "key.pem", papers.folder / "chain.pem")


def test_pictures_of_a_sequence(signed: Callable[..., Done], cli: Cli) -> None:
    assert signed("-o", "s/").code == 0
    assert [manifest(str(file))[0]["title"] for file in sorted(Path("s").glob("*.png"))] == [
        f"frame_{number:04d}.png" for number in range(4)
    ]
    assert "signature: untrusted" in cli("show", "s/").out
    tags = Path("s/frame.tags.json")
    tags.write_text(tags.read_text().replace("a red ball", "a red bull"))
    assert "the record in the tags is another one" in cli("show", "s/").out
    Video(np.zeros((1, 8, 8, 3), np.uint8), 2.0).save("bare.png")
    shutil.move("bare.png", "s/frame_0002.png")
    assert "1 of 4 pictures have no signature" in cli("show", "s/").out
    assert worst([Signature("valid"), Signature("untrusted")]) == Signature("untrusted") and worst([None]) is None


def test_the_prompt_is_left_out(signed: Callable[..., Done]) -> None:
    assert signed("-o", "a.gif", "--no-prompt-in-file").code == 0
    assert b"red ball" not in Path("a.gif").read_bytes()
    assert manifest("a.gif")[1]["zoetrope.record"]["left_out"] == ["prompt"]


def test_other_verbs_and_stages(signed: Callable[..., Done], papers: Papers, cli: Cli, model: Path) -> None:
    """What is made from a file lists it, with its own manifest, and is called a composite."""
    assert signed("-o", "a.mp4", "--save-stages", "stages").code == 0
    assert manifest("stages/a-base.mp4")[2] == "Valid"
    assert cli("upscale", "a.mp4", "--model", model, "-o", "b.mp4", "--no-compare", *papers.words).code == 0
    words = ["--seconds", "3", "--until", "base", "--steps", "1", "--known-method", "replacement"]
    assert cli("extend", "a.mp4", "--model", model, "-o", "c.mp4", *words, *papers.words).code == 0
    for name in ("b.mp4", "c.mp4"):
        active, said, state = manifest(name)
        (action,) = said["c2pa.actions.v2"]["actions"]
        assert action["digitalSourceType"] == f"{SOURCE}compositeWithTrainedAlgorithmicMedia"
        (source,) = active["ingredients"]
        assert (source["title"], source["relationship"], state) == ("a.mp4", "inputTo", "Valid")
        assert "active_manifest" in source
        assert "  made from: a.mp4" in cli("show", name).out


def test_edits_are_signed(papers: Papers, cli: Cli) -> None:
    """The options are those of `edit` too; the rest of it is tested elsewhere."""
    refused(cli("edit", "a.mp4", "x", "--caption", "y", "--sign", "k.pem"), "--sign: expected with --certificate CHAIN")


@pytest.mark.parametrize(
    ("key", "chain", "message"),
    [
        ("text", "chain", "text.pem: expected a private key in PEM, got something else"),
        ("none", "chain", "none.pem: no such file"),
        ("locked", "chain", "locked.pem: expected a key without a password; openssl pkey"),
        ("short", "chain", "short.pem: expected a key of curve secp256r1, secp384r1, secp521r1 or Ed25519"),
        ("chain", "chain", "chain.pem: expected a private key in PEM"),
        ("key", "text", "text.pem: expected certificates in PEM"),
        ("key", "none", "none.pem: no such file"),
        ("mail", "chain", "mail.pem as the first one; it is not there"),
        ("key", "turned", "as the first one; it is number 2 there; put it first"),
        ("key", "late", "late.pem: expected a certificate that is valid today"),
        ("key", "own", "own.pem: cannot sign with it (the certificate was self-signed"),
        ("key", "server", "server.pem: cannot sign with it"),
    ],
)
def test_what_cannot_sign(papers: Papers, cli: Cli, key: str, chain: str, message: str) -> None:
    words = ["--sign", papers.folder / f"{key}.pem", "--certificate", papers.folder / f"{chain}.pem"]
    refused(cli("generate", "fog", "--model", "there is none", *words), message)


def test_what_cannot_be_signed(signed: Callable[..., Done], papers: Papers, cli: Cli, model: Path) -> None:
    """Before anything is sampled."""
    refused(signed("-o", "a.webm"), "a.webm: --sign: expected a name ending in .gif, .mp4, .png, or a folder/")
    refused(cli("generate", "fog", "--model", model, "--sign", "key.pem"), "--sign: expected with --certificate CHAIN")
    refused(cli("generate", "fog", "--model", model, "--certificate", "k.pem"), "--certificate: expected with --sign")
    assert cli("generate", "a red ball", "--model", model, *QUICK, "-o", "a.gif").code == 0
    refused(signed("-o", "a.gif", "--resume"), "a.gif: --sign: is there already without a signature")
    assert signed("-o", "b.gif").code == 0 and signed("-o", "b.gif", "--resume").code == 0
    assert sorted(file.name for file in Path().iterdir()) == ["a.gif", "b.gif"]


def test_without_the_package(
    signed: Callable[..., Done], papers: Papers, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert signed("-o", "a.mp4").code == 0
    monkeypatch.setitem(sys.modules, "c2pa", None)
    refused(signed("-o", "b.mp4"), "signatures: expected the package c2pa", "pip install 'zoetrope[sign]'")
    assert "signature: there is one, not checked" in cli("show", "a.mp4").out


@pytest.mark.parametrize("kind", ["ed25519", "secp384r1", "rsa", "old"])
def test_keys_of_all_sorts(papers: Papers, tmp_path: Path, kind: str) -> None:
    root = ec.generate_private_key(ec.SECP256R1())
    key: Key
    if kind == "rsa":
        key = rsa.generate_private_key(65537, 2048)
    else:
        key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP384R1())
    use = ExtendedKeyUsageOID.EMAIL_PROTECTION
    Path("chain.pem").write_bytes(certificate("S", key, "A", root, use=use).public_bytes(PEM))
    Path("key.pem").write_bytes(private(key, form="TraditionalOpenSSL" if kind == "old" else "PKCS8"))
    seal = Signer.of(Path("key.pem"), Path("chain.pem"))
    assert "PRIVATE" not in repr(seal)
    Video(np.zeros((1, 4, 4, 3), np.uint8), 1.0).save("a.png", seal=seal)
    assert manifest("a.png")[2] == "Valid"


def test_a_full_disk_says_so(papers: Papers) -> None:
    """The file would fit, but not with its manifest."""
    resource = pytest.importorskip("resource")
    seal, limits = signer(papers), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            Video(np.zeros((1, 4, 4, 3), np.uint8), 1.0).save("a.png", seal=seal)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(Path().iterdir()) == []
