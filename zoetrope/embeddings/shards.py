"""Text features in a folder beside data: shards that are written once, by rename, and read one text at a time.

A shard is a safetensors file with `tokens` (all tokens of all texts, D) float16, `offsets` (texts + 1) into them, and
`keys` (texts, 16), the hashes of the texts. It says which encoder they are of, and in what precision that computed. Any
number of processes may read and add at the same time.
"""

import itertools
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from zoetrope.config.errors import reason
from zoetrope.files import whole
from zoetrope.files.plain import expect_plain

KEY = 16  # bytes
TYPES = {"tokens": "F16", "offsets": "I64", "keys": "U8"}
"""Of the tensors of a shard."""
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
"""Of encoders, by the names that options give them."""


class FeatureShards:
    """The features in a folder of shards; what they say of the encoder's `width` is checked.

    Attributes:
        precisions: those that the encoder computed them in, as far as the shards say.
    """

    def __init__(self, folder: Path, width: int) -> None:
        """Read the shards' keys, and nothing else yet. Raises ValueError that names a damaged one."""
        self.folder, self.width = folder, width
        self._forget()
        self.refresh()

    def _forget(self) -> None:
        self._files: list[Any] = []
        self._seen: set[Path] = set()
        self._places: dict[bytes, tuple[int, int, int]] = {}
        self.precisions: set[torch.dtype] = set()

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs to open the folder itself."""
        return {"folder": self.folder, "width": self.width}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()
        self.refresh()

    def __len__(self) -> int:
        """How many texts have features."""
        return len(self._places)

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def refresh(self) -> None:
        """Open the shards that this or another process has added. Raises ValueError that names a damaged one."""
        for path in sorted(self.folder.glob("*.safetensors")):
            if path not in self._seen:
                self._take_in(path)
                self._seen.add(path)

    def _take_in(self, path: Path) -> None:
        expect_plain(path)
        try:
            file = safe_open(path, "pt")
            types = {name: file.get_slice(name).get_dtype() for name in TYPES}
            if types != TYPES:
                raise ValueError(f"{path}: expected a shard of text features, of {TYPES}, got {types}; encode anew")
            shape = file.get_slice("tokens").get_shape()
            offsets, keys = file.get_tensor("offsets"), file.get_tensor("keys").numpy().tobytes()
        except (SafetensorError, OSError) as error:
            raise ValueError(
                f"{path}: expected a shard of text features, got a damaged file ({reason(error)})"
            ) from None
        if len(shape) != 2 or shape[1] != self.width:
            raise ValueError(f"{path}: expected features of width {self.width}, got shape {tuple(shape)}")
        ends = offsets.tolist()
        whole = len(keys) == KEY * (len(ends) - 1) and ends[:1] == [0] and ends[-1:] == shape[:1]
        if not whole or any(start >= stop for start, stop in itertools.pairwise(ends)):
            raise ValueError(f"{path}: expected a shard of text features, got one whose texts do not fit its tokens")
        for number, (start, stop) in enumerate(itertools.pairwise(ends)):
            self._places.setdefault(keys[KEY * number : KEY * (number + 1)], (len(self._files), start, stop))
        self._files.append(file)
        if (precision := (file.metadata() or {}).get("precision")) in PRECISIONS:
            self.precisions.add(PRECISIONS[precision])

    def get(self, keys: Iterable[bytes]) -> dict[bytes, Tensor]:
        """The features (L, D) of the keys that have them. Raises ValueError for any that are not finite."""
        found = {}
        for key in keys:
            if key in self._places:
                file, start, stop = self._places[key]
                row = self._files[file].get_slice("tokens")[start:stop]
                if not row.isfinite().all():
                    raise ValueError(f"{self.folder}: expected finite features, got others; encode anew")
                found[key] = row
        return found

    def expect_precision(self, dtype: torch.dtype) -> None:
        """Raise ValueError if there are features of another precision, which would be rounded differently."""
        if self.precisions - {dtype}:
            there = " and ".join(sorted(map(_named, self.precisions)))
            raise ValueError(
                f"{self.folder}: expected further features in {there}, as those that are there, got {_named(dtype)}; "
                f"go on with --dtype {there.partition(' ')[0]}, or remove the folder to encode all captions anew"
            )

    def put(self, rows: Mapping[bytes, Tensor], identity: str, dtype: torch.dtype) -> None:
        """Write a shard, labelled with the encoder's `identity` and the precision that it computed in.

        Raises OSError if that fails.
        """
        arrays = {
            "tokens": torch.cat(list(rows.values())),
            "offsets": torch.tensor([0, *itertools.accumulate(map(len, rows.values()))]),
            "keys": torch.frombuffer(bytearray(b"".join(rows)), dtype=torch.uint8).reshape(-1, KEY),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole(self.folder / f"{uuid.uuid4().hex}.safetensors") as partial:
            partial.write_bytes(save(arrays, metadata={"encoder": identity, "precision": _named(dtype)}))
        self.refresh()


def _named(precision: torch.dtype) -> str:
    return next(name for name, dtype in PRECISIONS.items() if dtype == precision)


def encoders(folder: Path) -> set[str]:
    """The identities of the encoders with features in a folder; unreadable shards are skipped."""
    found = set()
    for shard in folder.glob("*/*.safetensors"):
        if not shard.is_file():
            continue
        try:
            with safe_open(shard, "pt") as file:
                found.add((file.metadata() or {}).get("encoder", "an unknown encoder"))
        except (SafetensorError, OSError):
            continue
    return found
