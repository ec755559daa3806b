"""One training at a time in a run's folder: a file that is locked as long as a process trains there.

The lock is the system's and ends with the process, so a killed training leaves nothing that stands in the way. What the
file says, who trains or how the last training ended, is for people. Files are locked across the machines that share a
folder where their file system does so.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from zoetrope.strict_json import read_json
from zoetrope.training.writing import open_own, unneeded

FILE = "lock.json"
BEHIND = 1 << 30  # where in the file a byte is locked, on systems that keep others from reading it


class Holder(NamedTuple):
    """Who trains in a folder: a process and its host."""

    pid: int
    host: str


class Lock:
    """The right to train in a folder, once it is taken; it ends with `release`, or with the process."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Take the right, unless it is held already. Raises ValueError that names who has it, if another process has.

        What a dead process has left is taken over.
        """
        if self._file is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / FILE
        glances = 0
        while True:
            file = os.fdopen(open_own(path), "r+")
            if not _seized(file, path, alone=True):
                file.close()
                known = _read(path)
                if "pid" not in known and glances < 20:  # who only looks, as `holder` does, is gone in a moment
                    glances += 1
                    time.sleep(0.05)
                    continue
                self._refuse(known)
                path.unlink(missing_ok=True)  # only children of the dead process have it still
                continue
            if _same(file, path):  # or else it was removed between opening and locking
                break
            file.close()
        self._file = file
        self._write({"pid": os.getpid(), "host": socket.gethostname()})

    def release(self, error: str | None = None) -> None:
        """Give the right back; `error` is why the training could not go on, if it failed."""
        if self._file is not None:
            self._write({} if error is None else {"error": error})
            self._file.close()
            self._file = None

    @contextmanager
    def used(self, note: bool = True) -> Iterator[None]:
        """Give the right back after what is done meanwhile, and note why it failed, if it did and that matters."""
        try:
            yield
        except Exception as error:
            self.release((str(error) or type(error).__name__) if note else None)
            raise
        except BaseException:  # interrupted, or closed: no failure
            self.release()
            raise
        self.release()

    def _write(self, value: dict[str, Any]) -> None:
        assert self._file is not None
        with unneeded(self.folder / FILE):  # the lock holds without it
            os.ftruncate(self._file.fileno(), 0)
            os.lseek(self._file.fileno(), 0, os.SEEK_SET)
            os.write(self._file.fileno(), json.dumps(value).encode())

    def _refuse(self, known: dict[str, Any]) -> None:
        """Raise ValueError, unless the process that the file names is of this host and dead."""
        pid, host = known.get("pid"), known.get("host")
        if host == socket.gethostname() and isinstance(pid, int) and not _alive(pid):
            return
        who = f"process {pid} on {host}" if pid is not None else "another process"
        raise ValueError(f"{self.folder}: {who} is training here; wait for it, end it, or choose another --out")


def holder(folder: Path) -> Holder | None:
    """Who trains in a folder now, None if nobody does."""
    path = folder / FILE
    if path.is_symlink() or not path.is_file():
        return None
    with path.open("r") as file:
        if _seized(file, path, alone=False):
            return None
    known = _read(path)
    return Holder(int(known.get("pid", 0)), str(known.get("host", "")))


def failure(folder: Path) -> str | None:
    """Why the last training in a folder could not go on, None if it ended well or was killed."""
    error = _read(folder / FILE).get("error")
    return error if isinstance(error, str) else None


def _read(path: Path) -> dict[str, Any]:
    """What a lock file says; {} while it is being written."""
    for _ in range(3):
        try:
            value = read_json(path)
        except (OSError, ValueError):
            time.sleep(0.01)
        else:
            return value if isinstance(value, dict) else {}
    return {}


def _seized(file: IO[str], path: Path, alone: bool) -> bool:
    """Lock an open file, alone or beside others who only look; whether that was possible."""
    try:
        import fcntl
    except ImportError:
        return _seized_byte(file, path)
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _seized_byte(file: IO[str], path: Path) -> bool:
    """The same on Windows, by a byte behind the text; on systems that lock no files, whom the text names decides."""
    try:
        import msvcrt
    except ImportError:
        known = _read(path)
        pid = known.get("pid")
        return not (isinstance(pid, int) and known.get("host") == socket.gethostname() and _alive(pid))
    os.lseek(file.fileno(), BEHIND, os.SEEK_SET)
    try:
        getattr(msvcrt, "locking")(file.fileno(), getattr(msvcrt, "LK_NBLCK"), 1)  # noqa: B009
    except OSError:
        return False
    return True


def _same(file: IO[str], path: Path) -> bool:
    try:
        there, here = path.stat(), os.fstat(file.fileno())
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def _alive(pid: int) -> bool:
    if os.name == "nt":  # where a signal of 0 is Ctrl-C
        return _alive_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _alive_on_windows(pid: int) -> bool:
    import ctypes

    kernel, code = getattr(ctypes, "windll").kernel32, ctypes.c_uint32()  # noqa: B009
    handle = kernel.OpenProcess(0x1000, False, pid)  # to ask for what it ended with
    if not handle:
        return False
    known = kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return bool(known) and code.value == 259  # not ended yet
