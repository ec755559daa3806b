"""Tensors sharded over several processes, and files of such pieces.

A part of a checkpoint, such as `model`, is one file, `model.safetensors`, or a folder with a file from each process,
whose header says where each piece belongs. This is the safetensors format of `torch.distributed.checkpoint`, whose
reader reads both. The reader here needs no other process, and reads any sharding into any other.
"""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zoetrope.config.errors import reason, shown
from zoetrope.config.strict_json import parse_json
from zoetrope.files.tensors import save_tensors
from zoetrope.models.checkpoints import Damaged
from zoetrope.networks import Former

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

HEAD, OFFSETS = "DCP_SHARDING_INFO", "saved_offsets"  # the names that torch.distributed.checkpoint gives them

LARGEST = 2**40  # positions in a tensor


class Piece(NamedTuple):
    """A box of a tensor: its values, on the CPU, and the index of its first element in the whole tensor."""

    values: Tensor
    first: tuple[int, ...]


def is_divided(tensor: Tensor) -> "TypeGuard[DTensor]":
    """Whether a tensor is sharded over several processes."""
    module = sys.modules.get("torch.distributed.tensor")  # its import takes a second; before it, no such tensor exists
    return module is not None and isinstance(tensor, module.DTensor)


def local(tensor: Tensor) -> Tensor:
    """This process's part of a tensor, in the same memory: its piece, or all of a tensor that is not sharded."""
    return tensor.to_local() if is_divided(tensor) else tensor


def gathered(tensor: Tensor) -> Tensor:
    """All of a tensor; for a sharded one every process must call this."""
    return tensor.full_tensor() if is_divided(tensor) else tensor


def divided(tensors: Mapping[str, Tensor]) -> bool:
    """Whether any of these is sharded over several processes."""
    return any(is_divided(tensor) for tensor in tensors.values())


def first_index(tensor: Tensor) -> tuple[int, ...]:
    """The index of this process's piece in the whole tensor."""
    if not is_divided(tensor):
        return (0,) * tensor.ndim
    [chunk] = tensor.__create_chunk_list__()
    return tuple(chunk.offsets)


def pieces(tensors: Mapping[str, Tensor]) -> dict[str, Piece]:
    """A copy of this process's pieces on the CPU, so that training can continue while they are written."""
    return {
        name: Piece(torch.empty_like(own, device="cpu").copy_(own), first_index(tensor))
        for name, tensor in tensors.items()
        for own in (local(tensor.detach()).contiguous(),)
    }


def write_pieces(own: Mapping[str, Piece], path: Path) -> None:
    """Write one process's pieces. Raises OSError that names the file if it cannot be written, as on a full disk."""
    own = {name: piece for name, piece in own.items() if piece.values.numel()}
    head = {HEAD: json.dumps({name: {OFFSETS: piece.first} for name, piece in own.items()}), "format": "pt"}
    save_tensors({name: piece.values for name, piece in own.items()}, path, head)


class _Box(NamedTuple):
    """A piece in a file, by name, and the index of its first element in the whole; it may extend beyond the whole."""

    file: Path
    name: str
    first: tuple[int, ...]
    shape: tuple[int, ...]


class Stored:
    """The tensors of one part of a checkpoint; only file headers are read until values are needed."""

    def __init__(self, checkpoint: Path, part: str, formerly: Mapping[str, Former] = MappingProxyType({})):
        """`formerly` says where older checkpoints store tensors, see `Network.formerly`.

        Raises Damaged if there is no such part, or if a file of it cannot be read.
        """
        plain, folder = checkpoint / f"{part}.safetensors", checkpoint / part
        self.path = folder if folder.is_dir() else plain
        files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else [plain]
        self._boxes: dict[str, list[_Box]] = {}
        for file in files:
            for name, box in _boxes(file):
                others = self._boxes.setdefault(name, [])
                if others and len(others[0].shape) != len(box.shape):
                    raise Damaged(f"{file}: {name!r} has {len(box.shape)} axes, elsewhere {len(others[0].shape)}")
                others.append(box)
        self._rows: dict[str, int] = {}  # first row, for tensors that are stored as rows of another
        moved = {name: old for name, old in formerly.items() if old.name in self._boxes and name not in self._boxes}
        for name, old in moved.items():
            boxes = self._boxes[old.name]
            if boxes[0].shape:  # a scalar is the same everywhere
                boxes = [box._replace(first=(box.first[0] - old.first, *box.first[1:])) for box in boxes]
                self._rows[name] = old.end - old.first
            self._boxes[name] = boxes
        for gone in {old.name for old in moved.values()}:
            del self._boxes[gone]

    def names(self) -> set[str]:
        """The names of the tensors."""
        return set(self._boxes)

    def shape(self, name: str) -> torch.Size:
        """The shape of a whole tensor."""
        boxes = self._boxes[name]
        ends = zip(*([a + n for a, n in zip(box.first, box.shape, strict=True)] for box in boxes), strict=True)
        shape = [max(end) for end in ends]
        return torch.Size([min(shape[0], self._rows[name]), *shape[1:]] if name in self._rows else shape)

    def expect(self, name: str, shape: torch.Size) -> None:
        """Raise ValueError that names the file unless there is a tensor of this name and shape."""
        if name not in self._boxes or self.shape(name) != shape:
            got = f"shape {tuple(self.shape(name))}" if name in self._boxes else "none"
            raise ValueError(f"{self.path}: expected a tensor {name!r} of shape {tuple(shape)}, got {got}")

    def fill(self, name: str, target: Tensor) -> None:
        """Copy the values into a tensor, or into this process's piece of it.

        Raises ValueError that names the file if there is no such tensor of this shape, Damaged if it has holes.
        """
        self.expect(name, target.shape)
        own, start = local(target.detach()), first_index(target)
        filled = 0
        for box in self._boxes[name]:
            low = [max(a, b) for a, b in zip(start, box.first, strict=True)]
            ends = zip(start, own.shape, box.first, box.shape, strict=True)
            high = [min(a + n, b + m) for a, n, b, m in ends]
            if any(a >= b for a, b in zip(low, high, strict=True)):
                continue
            there = tuple(slice(a - b, e - b) for a, e, b in zip(low, high, box.first, strict=True))
            here = tuple(slice(a - b, e - b) for a, e, b in zip(low, high, start, strict=True))
            with safe_open(box.file, framework="pt") as file:
                values = file.get_slice(box.name)[there] if there else file.get_tensor(box.name)
            own[here].copy_(values)
            filled += values.numel()
        if filled != own.numel():
            raise Damaged(f"{self.path}: {name!r} has {filled} of the {own.numel()} numbers that belong here")

    def read(self, name: str) -> Tensor:
        """A whole tensor, on the CPU. Raises Damaged that names the file if it has holes."""
        box = self._boxes[name][0]
        with safe_open(box.file, framework="pt") as file:
            values: Tensor = file.get_tensor(box.name)
        if values.shape == self.shape(name) and name not in self._rows:
            return values
        there, total = sum(math.prod(box.shape) for box in self._boxes[name]), math.prod(self.shape(name))
        if there < total:
            raise Damaged(f"{self.path}: {name!r} has {there} of the {total} numbers that belong here")
        found = values.new_empty(self.shape(name))
        self.fill(name, found)
        return found


def _boxes(path: Path) -> Iterator[tuple[str, _Box]]:
    """The pieces in a file. Raises Damaged that names it if it is missing or no whole safetensors file."""
    if not path.is_file():
        raise Damaged(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            places = parse_json((file.metadata() or {}).get(HEAD, "{}"))
            if not isinstance(places, dict):
                raise TypeError
            for name in file.keys():  # noqa: SIM118
                shape = tuple(file.get_slice(name).get_shape())
                first = tuple(places[name][OFFSETS]) if name in places else (0,) * len(shape)
                if len(first) != len(shape) or not all(type(one) is int and 0 <= one < LARGEST for one in first):
                    raise ValueError(f"expected {len(shape)} positions for {name!r}, got {shown(first)}")
                yield name, _Box(path, name, first, shape)
    except SafetensorError as error:
        raise Damaged(f"{path}: not a whole safetensors file ({error})") from None
    except (ValueError, TypeError, KeyError) as error:
        raise Damaged(f"{path}: does not tell where its pieces are ({reason(error)})") from None
