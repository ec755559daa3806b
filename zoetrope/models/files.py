"""Files of models and runs, which may come from anyone: only files within the folder and of a sane size are read."""

from pathlib import Path
from typing import Any

from zoetrope.config.errors import reason
from zoetrope.config.strict_json import parse_json

LARGEST = 2**24
"""The most bytes of a description or a card, a hundred times what a large cascade takes."""


def inside(folder: Path, name: str | Path) -> Path:
    """The path of a file, which need not exist, in the folder of a model or a run.

    Links may point to files of the same folder, and links of a snapshot in the cache of huggingface_hub to its blobs.
    Raises ValueError for a link that points elsewhere, and for a pipe, a device or a folder instead of a file.
    """
    path = folder / name
    try:
        real, root = path.resolve(), folder.resolve()
    except (OSError, RuntimeError) as error:  # circular links
        raise ValueError(f"{path}: cannot be followed ({reason(error, path)})") from None
    if any(one.is_symlink() for one in (real, *real.parents)):  # Python 3.13 leaves circular links as they are
        raise ValueError(f"{path}: cannot be followed (links in a circle)")
    homes = [root, root.parent.parent / "blobs"] if root.parent.name == "snapshots" else [root]
    if not any(real.is_relative_to(home) for home in homes):
        raise ValueError(f"{path}: expected a file in {folder}, got a link out of it; put a copy in its place")
    if real.exists() and not real.is_file():
        raise ValueError(f"{path}: expected a file, got {'a folder' if real.is_dir() else 'a pipe or a device'}")
    return path


def read_text(folder: Path, name: str) -> str:
    """The text of a file in the folder of a model or a run.

    Raises ValueError that names the file if it is missing, not UTF-8, larger than `LARGEST`, or not `inside`.
    """
    path = inside(folder, name)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"{path}: expected at most {LARGEST >> 20} MiB of text, got {path.stat().st_size} bytes")
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected UTF-8 text") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None


def read_json_of(folder: Path, name: str) -> Any:
    """The value of a JSON file in the folder of a model or a run.

    Raises ValueError that names the file if `read_text` refuses it, or if it is not JSON or too deeply nested.
    """
    text = read_text(folder, name)
    try:
        return parse_json(text)
    except ValueError as error:
        raise ValueError(f"{folder / name}: not readable as JSON ({error})") from None


def read_card(folder: Path) -> str:
    """A model's README.md, "" if it has none. Raises ValueError if `read_text` refuses it."""
    return read_text(folder, "README.md") if inside(folder, "README.md").exists() else ""
