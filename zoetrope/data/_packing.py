"""Writing tar shards from a folder of captioned files."""

import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from zoetrope.data._listing import MEDIA, Clip
from zoetrope.data._tar import Index, index_of
from zoetrope.data._unused import Dropped
from zoetrope.files import whole_folder

NAME = "zoetrope-{:06d}.tar"
_BLOCK = 512
_SEED = 0


def packable(clips: Sequence[Clip]) -> tuple[list[Clip], list[Dropped]]:
    """The clips of a folder that a shard gives again, and others, which metadata may name, with the reason."""
    kept, left = list[Clip](), list[Dropped]()
    for clip in clips:
        kind = Path(clip.name).suffix
        if kind.lower() in MEDIA:
            kept.append(clip)
        else:
            got = f"the ending {kind}" if kind else "no ending"
            left.append(Dropped(clip.name, f"has {got}; expected one that shards know, such as .mp4 or .png"))
    return kept, left


def pack(
    folder: Path,
    clips: Sequence[Clip],
    out: Path,
    *,
    size: int | None = None,
    count: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write the clips of a folder into shards in the new folder `out`, each with its index; their names.

    A shard ends before it has more than `size` bytes or `count` samples, but holds one at least. The order is random,
    because neighbours in a folder are often alike, and always the same: so are the shards, byte for byte. `out`
    appears whole or not at all. `progress(done, total)` is called after every sample.

    Raises ValueError if `out` is there already, for clips that are not `packable`, and for others that the shards do
    not give again, such as those without a caption.
    """
    if left := packable(clips)[1]:
        raise ValueError(f"{folder / left[0].name}: {left[0].reason}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: expected a new or an empty folder, something is there already")
    with whole_folder(out) as partial:
        order = [clips[k] for k in np.random.default_rng(_SEED).permutation(len(clips))]
        number, names = 0, list[str]()
        for own in _shards(folder, order, size, count):
            path = partial / NAME.format(len(names))
            with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
                for clip in own:
                    _add(tar, folder / clip.name, clip.text, _named(number))
                    number += 1
                    if progress is not None:
                        progress(number, len(order))
            _expect_all(folder, own, number - len(own), index_of(path), path.name)
            names.append(path.name)
    return [out / name for name in names]


def _shards(folder: Path, clips: Sequence[Clip], size: int | None, count: int | None) -> Iterator[list[Clip]]:
    """The clips of each shard."""
    own: list[Clip] = []
    held = 0
    for clip in clips:
        text = clip.text.encode()
        more = 2 * _BLOCK + sum(-(-length // _BLOCK) * _BLOCK for length in (len(text), _size(folder / clip.name)))
        if own and ((size is not None and held + more > size) or len(own) == count):
            yield own
            own, held = [], 0
        own.append(clip)
        held += more
    if own:
        yield own


def _add(tar: tarfile.TarFile, media: Path, text: str, name: str) -> None:
    """Add a sample: the unchanged file and its caption, without times and owners."""
    content = text.encode()
    about = tarfile.TarInfo(f"{name}{media.suffix.lower()}")
    about.size = _size(media)
    with media.open("rb") as file:
        tar.addfile(about, file)
    about = tarfile.TarInfo(f"{name}.txt")
    about.size = len(content)
    tar.addfile(about, io.BytesIO(content))


def _named(number: int) -> str:
    return f"{number:06d}"


def _expect_all(folder: Path, clips: Sequence[Clip], first: int, index: Index, shard: str) -> None:
    """Raise ValueError unless the index has a sample for each clip of a shard, which are numbered from `first` on."""
    there = {sample.name for sample in index.samples}
    for number, clip in enumerate(clips, first):
        if (name := _named(number)) not in there:
            told = {item.name: item.reason for item in (*index.faults, *index.dropped)}
            why = told.get(f"{shard}/{name}", "is not there")
            raise ValueError(f"{folder / clip.name}: expected a sample that is read again, got one that {why}")


def _size(path: Path) -> int:
    return path.stat().st_size
