"""Text features: encoded once, then looked up as fast as training reads them.

They are looked up in memory, beside data (`zoetrope.embeddings.shards`), and in the user's cache
(`zoetrope.files.store`), where new ones are stored. All are filed under the encoder's identity, see
`zoetrope.text.TextEncoder`.
"""

import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoetrope.embeddings.shards import KEY, FeatureShards, encoders
from zoetrope.files import cache_folder
from zoetrope.files.store import Store
from zoetrope.text import Embedding, Encode, TextEncoder, expect_text

BATCH = 64
_SHOWN = 5
_ENCODE = "zoetrope data encode adds what is missing"
_BY_AGE = re.compile(r"^(t5|clip) .*:\d+:\d+ \d+$")  # older identities were paths, sizes and times
PART = 2**26  # bytes of new features to store at a time, so that an interruption loses little
NEAR = 2**26  # bytes of features that also stay in memory


class EmbeddingCache:
    """The cached features of an encoder, which is loaded only when one is missing.

    Features are stored in float16 and returned in float32 on the CPU, always rounded: a text's features are equal on
    the first and every later call. What cannot be stored stays in memory.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        folder: Path | str | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        beside: Path | None = None,
        alike: bool = False,
    ) -> None:
        """Features of `encoder` in the cache at `folder`; `device` and `dtype` are where and how it would encode.

        With a folder `beside` data they are read and written there, and nowhere else; with `alike` they are computed
        in the precision of those that are there, whatever `dtype` is.

        Raises ValueError if that folder holds a damaged shard.
        """
        self.encoder, self.device = encoder, device
        name = hashlib.sha256(encoder.identity.encode()).hexdigest()[:16]
        self._name = f"{encoder.kind()}-{name}"
        own = cache_folder("text") if folder is None else Path(os.path.expanduser(folder))
        self._store = None if beside else Store(own)
        self._into = FeatureShards(beside / self._name, encoder.width) if beside else None
        self._beside = [self._into] if self._into else []
        there = self._into.precisions if self._into and alike else set()
        self.dtype = next(iter(there)) if len(there) == 1 else dtype
        rounded = "" if self.dtype is torch.float32 else f"-{str(self.dtype).removeprefix('torch.')}"
        self._stored_as = self._name + rounded
        self._unstored: dict[bytes, Tensor] = {}
        self._forget()

    def _forget(self) -> None:
        self._encode: Encode | None = None
        self._near: dict[bytes, Tensor] = {}
        self._near_bytes = 0

    def __getstate__(self) -> dict[str, Any]:
        """The state for another process, including features that could not be stored."""
        return {name: value for name, value in vars(self).items() if name not in ("_encode", "_near", "_near_bytes")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    @property
    def folder(self) -> Path:
        """Where new features go."""
        if self._into is not None:
            return self._into.folder
        assert self._store is not None
        return self._store.path.parent

    def __len__(self) -> int:
        """How many texts are known, at least."""
        stored = self._store.count(self._stored_as) if self._store is not None else 0
        return max([stored, len(self._unstored), *map(len, self._beside)])

    def take(self, folder: Path, texts: Iterable[str]) -> None:
        """Also read features stored beside data, in `folder`; nothing is written there.

        Raises ValueError if they are another encoder's, or if one of these texts is not among them.
        """
        if not (folder / self._name).is_dir():
            raise ValueError(f"{folder}: expected features of {self.encoder.identity}, got {_got(folder)}")
        shards = FeatureShards(folder / self._name, self.encoder.width)
        self._beside.append(shards)
        missing = sorted({text for text in texts if _key(text) not in shards})
        if missing:
            shown = ", ".join(map(repr, missing[:_SHOWN])) + (", ..." if len(missing) > _SHOWN else "")
            count = "1 caption has" if len(missing) == 1 else f"{len(missing)} captions have"
            raise ValueError(f"{folder}: {count} no features there: {shown}; {_ENCODE}")

    def encode(self, texts: Sequence[str]) -> Embedding:
        """Features of the texts as one batch, float32 on the CPU, padded to its longest; missing ones are encoded.

        Raises ValueError for an empty text, or if the encoder is needed and cannot be loaded.
        """
        if not texts:
            raise ValueError("texts: expected at least one, got none")
        wanted = {_key(text): text for text in texts}
        found = self._find(wanted)
        for made in self._make([text for key, text in wanted.items() if key not in found]):
            found |= made
        self._bring_near(found)
        rows = [found[_key(text)] for text in texts]
        text = torch.zeros(len(rows), max(len(row) for row in rows), self.encoder.width)
        mask = torch.zeros(text.shape[:2], dtype=torch.bool)
        for i, row in enumerate(rows):
            text[i, : len(row)] = row
            mask[i, : len(row)] = True
        return Embedding(text, mask)

    def prepare(self, texts: Iterable[str], progress: Callable[[int, int], None] | None = None) -> int:
        """Encode and store missing texts, in batches of similar length; return how many there were.

        `progress(done, total)` is called after every batch. An interruption keeps what is already stored.

        Raises ValueError if some are missing and those beside the data are of another precision.
        """
        wanted = {_key(text): text for text in texts}
        for shards in self._beside:
            shards.refresh()
        rest = [key for key in wanted if not self._holds(key)]
        known = self._store.known(self._stored_as, rest) if self._store is not None else set[bytes]()
        missing = [wanted[key] for key in rest if key not in known]
        for _ in self._make(missing, progress):
            pass
        return len(missing)

    def recall(self, listing: str) -> str | None:
        """The note about a named set of captions, made when all of them had been prepared; None without one."""
        return self._store.recall(self._stored_as, listing) if self._store is not None else None

    def note(self, listing: str, said: str) -> None:
        """Store a note, which may be "", about a named set of captions that have all been prepared, for later runs."""
        if self._store is not None and not self._unstored:
            self._store.note(self._stored_as, listing, said)

    def cut(self, text: str) -> str:
        """The end of a text that exceeds the encoder's limit: see `zoetrope.text.Encode`."""
        if text.isascii() and len(text) + 3 <= self.encoder.limit:
            return ""  # no tokenizer makes more tokens than letters, beside special ones
        return self._loaded().cut(text)

    def _loaded(self) -> Encode:
        if self._encode is None:
            self._encode = self.encoder.load(self.device, self.dtype)
        return self._encode

    def release(self) -> None:
        """Free the encoder's memory; it is loaded again when another text is missing."""
        self._encode = None

    def _holds(self, key: bytes) -> bool:
        return key in self._unstored or any(key in shards for shards in self._beside)

    def _find(self, keys: Collection[bytes]) -> dict[bytes, Tensor]:
        """The features of those keys that have some."""
        found = {key: row for key in keys for row in [self._near.get(key, self._unstored.get(key))] if row is not None}
        for shards in self._beside:
            found |= shards.get(key for key in keys if key not in found)
        rest = [key for key in keys if key not in found]
        if rest and self._store is not None:
            found |= self._store.get(self._stored_as, rest, self.encoder.width)
        return found

    def _bring_near(self, found: Mapping[bytes, Tensor]) -> None:
        """Keep features in memory, which is emptied when it exceeds `NEAR`."""
        new = {key: row for key, row in found.items() if key not in self._near and key not in self._unstored}
        self._near |= new
        self._near_bytes += sum(row.nbytes for row in new.values())
        if self._near_bytes > NEAR:
            self._near, self._near_bytes = {}, 0

    def _make(
        self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> Iterator[dict[bytes, Tensor]]:
        """Encode texts, the longest first, and store their features, a part at a time."""
        if texts and self._into is not None:
            self._into.expect_precision(self.dtype)
        ordered, rows = sorted(texts, key=len, reverse=True), dict[bytes, Tensor]()
        for start in range(0, len(ordered), BATCH):
            batch = ordered[start : start + BATCH]
            rows |= zip(map(_key, batch), self._features(batch), strict=True)
            done = start + len(batch)
            if sum(row.nbytes for row in rows.values()) >= PART or done == len(ordered):
                self._keep(rows)
                yield rows
                rows = {}
            if progress is not None:
                progress(done, len(ordered))

    def _features(self, texts: Sequence[str]) -> list[Tensor]:
        text, mask = self._loaded()(texts)
        half = text.to("cpu", torch.float16)
        if not half.isfinite().all():
            raise ValueError(f"{self.encoder.identity}: expected features that fit float16, got larger or not finite")
        return [row[keep] for row, keep in zip(half, mask.cpu(), strict=True)]

    def _keep(self, rows: Mapping[bytes, Tensor]) -> None:
        if self._into is not None:
            self._into.put(rows, self.encoder.identity, self.dtype)
        elif self._store is None or not self._store.put(self._stored_as, rows):
            self._unstored |= rows


def _got(folder: Path) -> str:
    """The message about a folder that should hold an encoder's features: what it holds, and the remedy."""
    found = sorted(encoders(folder))
    others = f"those of {', '.join(found) or 'none'}"
    if any(map(_BY_AGE.match, found)):
        others += ", from a version that told encoders apart by place and time"
    return f"{others}; {_ENCODE}"


def _key(text: str) -> bytes:
    expect_text(text)
    return hashlib.blake2b(text.encode(), digest_size=KEY).digest()
