"""Pictures in tiles, as phones write HEIC: FFmpeg gives the tiles one by one, and one of them is not the picture."""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoetrope.data.folder import Folder, scan
from zoetrope.video import probe, read

SIDE = 64


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """The boxes of an ISO file between two places: their kinds, and where what is in them starts and ends."""
    while start < end:
        size, kind = struct.unpack(">I4s", data[start : start + 8])
        yield kind.decode(), start + 8, start + size
        start += size


def box(kind: bytes, *parts: bytes, full: bytes = b"") -> bytes:
    body = full + b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def tile(folder: Path, level: int) -> tuple[bytes, bytes]:
    """The codec's box and the coded picture of a grey square."""
    path = folder / f"{level}.avif"
    Image.fromarray(np.full((SIDE, SIDE, 3), level, np.uint8)).save(path)
    data = path.read_bytes()
    places = {kind: (start, end) for kind, start, end in boxes(data, 0, len(data))}
    inner = {kind: (start, end) for kind, start, end in boxes(data, places["meta"][0] + 4, places["meta"][1])}
    properties = next((start, end) for kind, start, end in boxes(data, *inner["iprp"]) if kind == "ipco")
    codec = next(data[start - 8 : end] for kind, start, end in boxes(data, *properties) if kind == "av1C")
    return codec, data[slice(*places["mdat"])]


def tiled(folder: Path, path: Path) -> None:
    """Write a picture of two by two tiles."""
    tiles = [tile(folder, level) for level in (30, 90, 150, 210)]
    codec, coded, count = tiles[0][0], [data for _, data in tiles], len(tiles)
    grid = struct.pack(">BBBBHH", 0, 0, 1, 1, 2 * SIDE, 2 * SIDE)
    kinds = [b"av01"] * count + [b"grid"]
    items = [
        box(b"infe", struct.pack(">HH4s", n + 1, 0, kind), b"\0", full=b"\2\0\0\0") for n, kind in enumerate(kinds)
    ]
    uses = b"".join(struct.pack(">HBBB", n + 1, 2, 0x81, 2) for n in range(count)) + struct.pack(
        ">HBB", count + 1, 1, 3
    )
    sizes = [box(b"ispe", struct.pack(">II", side, side), full=bytes(4)) for side in (SIDE, 2 * SIDE)]
    properties = box(
        b"iprp",
        box(b"ipco", codec, *sizes),
        box(b"ipma", struct.pack(">I", count + 1), uses, full=bytes(4)),
    )

    def meta(first: int) -> bytes:
        places = [first + sum(map(len, coded[:n])) for n in range(count)]
        lie = [struct.pack(">HHHHII", n + 1, 0, 0, 1, places[n], len(coded[n])) for n in range(count)]
        lie.append(struct.pack(">HHHHII", count + 1, 1, 0, 1, 0, len(grid)))
        return box(
            b"meta",
            box(b"hdlr", struct.pack(">I4s", 0, b"pict"), bytes(13), full=bytes(4)),
            box(b"pitm", struct.pack(">H", count + 1), full=bytes(4)),
            box(b"iinf", struct.pack(">H", count + 1), *items, full=bytes(4)),
            box(b"iloc", bytes([0x44, 0]), struct.pack(">H", count + 1), *lie, full=b"\1\0\0\0"),
            box(b"iref", box(b"dimg", struct.pack(">6H", count + 1, count, 1, 2, 3, 4)), full=bytes(4)),
            properties,
            box(b"idat", grid),
            full=bytes(4),
        )

    kind = box(b"ftyp", b"avif", bytes(4), b"avifmif1")
    path.write_bytes(kind + meta(len(kind) + len(meta(0)) + 8) + box(b"mdat", *coded))


def test_a_picture_in_tiles_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    tiled(tmp_path, folder / "phone.avif")
    for reading in (probe, read):
        with pytest.raises(ValueError, match=r"phone\.avif: is a picture in tiles, as HEIC of phones; expected JPEG"):
            reading(folder / "phone.avif")
    (folder / "phone.txt").write_text("a phone")
    (dropped,) = scan(Folder(path=str(folder))).dropped
    assert dropped.name == "phone.avif" and "in tiles" in dropped.reason
    assert probe(tmp_path / "30.avif").still
