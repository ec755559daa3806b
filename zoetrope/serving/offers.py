"""The models that a server offers, by names that tell nothing of where they lie."""

import os
import re
from importlib import resources
from pathlib import Path
from typing import NamedTuple


def shipped_names() -> list[str]:
    """The names of the models that come with the package, without loading what reads them."""
    folder = Path(str(resources.files("zoetrope"))) / "models"
    return sorted(path.parent.name for path in folder.glob("*/cascade.json"))


class Offer(NamedTuple):
    """A model that clients may use: by this name, and where it is found: a shipped name, a hub id, or a path."""

    name: str
    target: str

    @classmethod
    def of(cls, text: str) -> "Offer":
        """The offer that "NAME=MODEL" or MODEL says; of a path the name is its last part.

        Raises ValueError for a name of odd letters.
        """
        name, sign, target = text.partition("=")
        if not sign or os.path.exists(os.path.expanduser(text)):
            name, target = "", text
        path = os.path.expanduser(target)
        head = _head(path)
        if head is not None:
            target = os.path.abspath(path)
            name = name or Path(target).name
        name = name or target
        if not re.fullmatch(r"[\w.@+-]+(/[\w.@+-]+)?", name) or name.startswith((".", "-")):
            raise ValueError(f"--model {text}: expected a name of letters, digits, '-', '_' and '.', as NAME=MODEL")
        return cls(name, target)

    def laid(self, folder: Path) -> str:
        """The model's name for a command that runs in `folder`: for a path, that of a link there, if links can be."""
        head = _head(self.target)
        if head is None:
            return self.target
        name = self.name.replace("/", "-").partition("@")[0]
        tail, link = self.target.removeprefix(head), folder / (f"{name}-model" if _is_taken(name) else name)
        try:
            link.unlink(missing_ok=True)
            link.symlink_to(head, target_is_directory=True)
        except OSError:
            return self.target
        return link.name + tail


def _is_taken(name: str) -> bool:
    """Whether a name may be that of something else in a job's folder."""
    return name.startswith(("job.", "stages", "video", "preview-", "given_"))


def _head(path: str) -> str | None:
    """The existing folder in a path, or in RUN@HALF_LIFE; None: it is no path."""
    head, sign, tail = path.rpartition("@")
    if os.path.exists(path):
        return path
    return head if sign and tail.isdigit() and os.path.exists(head) else None
