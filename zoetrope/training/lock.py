"""One training at a time in a run's folder: a file that stays locked while a process trains there.

The operating system releases the lock when the process ends, so a killed training does not block the next. The contents
of the file, who trains or how the last training ended, are for people. The lock works across machines that share a
folder if their file system supports that; where it supports no locks at all, the process that the file names decides.
"""

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from zoetrope.files.plain import read_json
from zoetrope.training.writing import open_own, unneeded

FILE = "lock.json"
UNLOCKABLE = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)  # of file systems without locks, as some of clusters
BEHIND = 1 << 30  # offset of the locked byte, on systems where a locked byte cannot be read


class Holder(NamedTuple):
    """Who trains in a folder: a process and its host."""

    pid: int
    host: str


class Lock:
    """The right to train in a folder, from `take` to `release` or the end of the process."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Take the lock, unless it is already held. Raises ValueError that names the holder if another process has it.

        The lock of a dead process is taken over.
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
                known = _contents(path)
                if "pid" not in known and glances < 20:  # one that only looks, as in `holder`, is soon gone
                    glances += 1
                    time.sleep(0.05)
                    continue
                self._refuse(known)
                path.unlink(missing_ok=True)  # only children of the dead process still hold it
                continue
            if _same(file, path):  # otherwise it was removed between opening and locking
                break
            file.close()
        self._file = file
        self._write({"pid": os.getpid(), "host": socket.gethostname()})

    def release(self, error: str | None = None) -> None:
        """Release the lock; `error` is why the training failed, if it did."""
        if self._file is not None:
            self._write({} if error is None else {"error": error})
            self._file.close()
            self._file = None

    @contextmanager
    def used(self, note: bool = True) -> Iterator[None]:
        """Release the lock at the end of the context, and with `note` record why it failed, if it did."""
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
    """The process that trains in a folder now; None if there is none."""
    path = folder / FILE
    if path.is_symlink() or not path.is_file():
        return None
    with path.open("r") as file:
        if _seized(file, path, alone=False):
            return None
    known = _contents(path)
    return Holder(int(known.get("pid", 0)), str(known.get("host", "")))


def failure(folder: Path) -> str | None:
    """Why the last training in a folder failed; None if it ended well or was killed."""
    error = _contents(folder / FILE).get("error")
    return error if isinstance(error, str) else None


def _contents(path: Path) -> dict[str, Any]:
    """The contents of a lock file; {} while it is being written."""
    for _ in range(3):
        try:
            value = read_json(path)
        except (OSError, ValueError):
            time.sleep(0.01)
        else:
            return value if isinstance(value, dict) else {}
    return {}


def _seized(file: IO[str], path: Path, alone: bool) -> bool:
    """Lock an open file, exclusively if `alone`, otherwise shared; return whether that succeeded."""
    try:
        import fcntl
    except ImportError:
        return _seized_byte(file, path)
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNLOCKABLE:
            raise
        return _unclaimed(path)
    return True


def _seized_byte(file: IO[str], path: Path) -> bool:
    """The same on Windows, by a byte beyond the text."""
    try:
        import msvcrt
    except ImportError:
        return _unclaimed(path)
    os.lseek(file.fileno(), BEHIND, os.SEEK_SET)
    try:
        getattr(msvcrt, "locking")(file.fileno(), getattr(msvcrt, "LK_NBLCK"), 1)  # noqa: B009
    except OSError:
        return False
    return True


def _unclaimed(path: Path) -> bool:
    """The same where files cannot be locked: whether the process that the text names is gone, or on another host."""
    known = _contents(path)
    pid = known.get("pid")
    return not (isinstance(pid, int) and known.get("host") == socket.gethostname() and _alive(pid))


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
    handle = kernel.OpenProcess(0x1000, False, pid)  # the right to query its exit code
    if not handle:
        return False
    known = kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return bool(known) and code.value == 259  # still running
