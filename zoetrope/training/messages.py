"""Values with tensors as plain bytes, for pipes between processes.

PyTorch would pass tensors in shared memory, which containers often lack; a pipe needs none.
"""

import io
import pickle
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return NotImplemented
        flat = value.detach().cpu().contiguous().flatten().view(torch.uint8)
        return _tensor, (pickle.PickleBuffer(flat.numpy().data), value.dtype, value.shape)


def packed(value: Any) -> list[bytes]:
    """A value as pieces of bytes: a pickle of its structure, and the contents of its tensors and arrays, not copied.

    Because it is a pickle, unpack only what trusted processes packed.
    """
    contents: list[pickle.PickleBuffer] = []
    file = io.BytesIO()
    _Pickler(file, protocol=5, buffer_callback=contents.append).dump(value)
    return [file.getvalue(), *(piece.raw() for piece in contents)]  # type: ignore[list-item]


def unpacked(pieces: Sequence[bytes | bytearray]) -> Any:
    """The inverse of `packed`; tensors share the memory of the pieces, which must not change afterwards."""
    return pickle.loads(pieces[0], buffers=pieces[1:])


def send(line: Connection, pieces: Sequence[bytes]) -> None:
    """Send pieces through a pipe; an empty list is a heartbeat."""
    line.send(len(pieces))
    for piece in pieces:
        line.send_bytes(piece)


def receive(line: Connection) -> list[bytearray]:
    """The pieces that were sent. Raises EOFError or OSError if the other end is gone."""
    return [bytearray(line.recv_bytes()) for _ in range(line.recv())]


def _tensor(contents: bytearray, dtype: torch.dtype, shape: torch.Size) -> Tensor:
    return torch.frombuffer(contents, dtype=dtype).reshape(shape) if len(contents) else torch.empty(shape, dtype=dtype)
