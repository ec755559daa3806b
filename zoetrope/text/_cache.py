"""Text features on disk: encoded once, then looked up at random as fast as training can read them.

A cache is a folder for each encoder identity. In it every call that had something to encode leaves one or more shards:
safetensors files with `tokens` (all tokens of all texts, D) float16, `offsets` (texts + 1) into them, and `keys`
(texts, 16), the hashes of the texts. A shard appears whole, by a rename, and never changes: any number of processes may
read and add at the same time.
"""

import hashlib
import itertools
import os
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from zoetrope.text import Embedding, Encode, TextEncoder
from zoetrope.text._frozen import expect_text

BATCH = 64
_SHOWN = 5
_ENCODE = "zoetrope data encode adds what is missing"
SHARD = 2**26  # bytes of features after which a shard is written, so that an interruption loses little


def default_folder() -> Path:
    """Where features are kept unless told otherwise: `text` in $ZOETROPE_CACHE, or in ~/.cache/zoetrope."""
    root = os.environ.get("ZOETROPE_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "zoetrope") / "text"


class EmbeddingCache:
    """The features of an encoder, from disk where they are there; the encoder is loaded only once one is missing.

    Features are kept in float16 and given as float32 on the CPU: a text's features are the same numbers on the first
    call and on every later one.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        folder: Path | str | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Open or begin the cache of `encoder` under `folder`; `device` and `dtype` are where and how it would encode.

        Raises ValueError if the folder holds a damaged shard.
        """
        self.encoder, self.device, self.dtype = encoder, device, dtype
        self.folder = (default_folder() if folder is None else Path(folder).expanduser()) / self._name
        self._beside: list[Path] = []
        self._forget()
        self._refresh()

    @property
    def _name(self) -> str:
        return f"{self.encoder.kind()}-{hashlib.sha256(self.encoder.identity.encode()).hexdigest()[:16]}"

    def _forget(self) -> None:
        self._encode: Encode | None = None
        self._rows: dict[bytes, Tensor] = {}
        self._seen: set[Path] = set()

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs to open the cache: the features stay on disk, where both read them."""
        return {name: value for name, value in vars(self).items() if name not in ("_encode", "_rows", "_seen")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()
        self._refresh()

    def __len__(self) -> int:
        """How many texts are known."""
        return len(self._rows)

    def take(self, folder: Path, texts: Iterable[str]) -> None:
        """Read features that lie beside data, in `folder`, too; nothing is written there.

        Raises ValueError if they are those of another encoder, or if one of these texts is not among them.
        """
        if not (folder / self._name).is_dir():
            found = ", ".join(sorted(_encoders(folder))) or "none"
            raise ValueError(f"{folder}: expected features of {self.encoder.identity}, got those of {found}; {_ENCODE}")
        self._beside.append(folder / self._name)
        self._refresh()
        missing = sorted({text for text in texts if _key(text) not in self._rows})
        if missing:
            shown = ", ".join(map(repr, missing[:_SHOWN])) + (", ..." if len(missing) > _SHOWN else "")
            raise ValueError(f"{folder}: {len(missing)} captions have no features there: {shown}; {_ENCODE}")

    def encode(self, texts: Sequence[str]) -> Embedding:
        """Features of the texts as one batch, float32 on the CPU, padded to its longest; missing ones are encoded.

        Raises ValueError for an empty text, or if the encoder is needed and cannot be loaded.
        """
        if not texts:
            raise ValueError("texts: expected at least one, got none")
        self.prepare(texts)
        rows = [self._rows[_key(text)] for text in texts]
        text = torch.zeros(len(rows), max(len(row) for row in rows), self.encoder.width)
        mask = torch.zeros(text.shape[:2], dtype=torch.bool)
        for i, row in enumerate(rows):
            text[i, : len(row)] = row
            mask[i, : len(row)] = True
        return Embedding(text, mask)

    def prepare(self, texts: Iterable[str], progress: Callable[[int, int], None] | None = None) -> int:
        """Encode and store the texts that are missing, in batches of similar length; how many there were.

        `progress(done, total)` is called after every batch. What was stored before an interruption stays.
        """
        wanted = {_key(text): text for text in texts}
        if not wanted.keys() <= self._rows.keys():
            self._refresh()
        missing = sorted((text for key, text in wanted.items() if key not in self._rows), key=len, reverse=True)
        done, keys, rows = 0, list[bytes](), list[Tensor]()
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            keys += map(_key, batch)
            rows += self._features(batch)
            done += len(batch)
            if sum(row.nbytes for row in rows) >= SHARD or done == len(missing):
                self._store(keys, rows)
                keys, rows = [], []
            if progress is not None:
                progress(done, len(missing))
        return done

    def cut(self, text: str) -> str:
        """The end of a text that exceeds the encoder's limit: see `zoetrope.text.Encode`."""
        if text.isascii() and len(text) + 3 <= self.encoder.limit:
            return ""  # no tokenizer makes more tokens of it than it has letters, beside the special ones
        return self._loaded().cut(text)

    def _loaded(self) -> Encode:
        if self._encode is None:
            self._encode = self.encoder.load(self.device, self.dtype)
        return self._encode

    def release(self) -> None:
        """Free the memory of the encoder, which is loaded again once another text is missing."""
        self._encode = None

    def _features(self, texts: Sequence[str]) -> list[Tensor]:
        text, mask = self._loaded()(texts)
        half = text.to("cpu", torch.float16)
        if not half.isfinite().all():
            raise ValueError(f"{self.encoder.identity}: expected features that fit float16, got larger or not finite")
        return [row[keep] for row, keep in zip(half, mask.cpu(), strict=True)]

    def _store(self, keys: list[bytes], rows: list[Tensor]) -> None:
        offsets = torch.tensor([0, *itertools.accumulate(len(row) for row in rows)])
        arrays = {
            "tokens": torch.cat(rows),
            "offsets": offsets,
            "keys": torch.frombuffer(bytearray(b"".join(keys)), dtype=torch.uint8).reshape(-1, 16),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f"{uuid.uuid4().hex}.partial"
        try:
            partial.write_bytes(save(arrays, metadata={"encoder": self.encoder.identity}))
            partial.rename(partial.with_suffix(".safetensors"))
        finally:
            partial.unlink(missing_ok=True)
        self._refresh()

    def _refresh(self) -> None:
        """Take in the shards that this or another process has added."""
        for path in (path for at in (self.folder, *self._beside) for path in sorted(at.glob("*.safetensors"))):
            if path in self._seen:
                continue
            try:
                shard = load_file(path)
            except SafetensorError as error:
                raise ValueError(f"{path}: expected a shard of text features, got a damaged file ({error})") from None
            tokens, width = shard["tokens"], self.encoder.width
            if tokens.shape[1:] != (width,):
                raise ValueError(f"{path}: expected features of width {width}, got shape {tuple(tokens.shape)}")
            ends = shard["offsets"].tolist()
            keys = shard["keys"].numpy().tobytes()
            for i, (start, stop) in enumerate(itertools.pairwise(ends)):
                self._rows.setdefault(keys[16 * i : 16 * i + 16], tokens[start:stop])
            self._seen.add(path)


def _encoders(folder: Path) -> set[str]:
    """The identities of the encoders of which there are features in a folder."""
    found = set()
    for shard in folder.glob("*/*.safetensors"):
        with safe_open(shard, "pt") as file:
            found.add((file.metadata() or {}).get("encoder", "an unknown encoder"))
    return found


def _key(text: str) -> bytes:
    expect_text(text)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
