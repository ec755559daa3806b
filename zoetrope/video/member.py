"""A media file stored uncompressed inside another file: a member of a tar shard."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Member(os.PathLike[str]):
    """`size` bytes from byte `offset` on of the file `archive`, called `name` in messages.

    It stands wherever `probe`, `read_probed` and `read_track` take a path.
    """

    archive: Path
    name: str
    offset: int
    size: int

    def __fspath__(self) -> str:
        return self.name

    def read(self) -> bytes:
        """What is in it. Raises ValueError if the archive is gone or ends before."""
        try:
            with self.archive.open("rb") as file:
                file.seek(self.offset)
                content = file.read(self.size)
        except OSError as error:
            raise ValueError(f"{self.name}: cannot be read from {self.archive} ({error.strerror})") from None
        if len(content) < self.size:
            raise ValueError(f"{self.name}: expected {self.size} bytes of {self.archive}, got {len(content)}")
        return content
