"""A job as a value, and the history of jobs on disk: a folder for each, with `job.json` and what was made."""

import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from zoetrope.files import write_text
from zoetrope.files.plain import read_json
from zoetrope.serving.requests import JobRequest

JobState = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED = ("done", "failed", "cancelled")
JOB_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{10}")
LARGEST = 2**20  # bytes of a job.json
MOST_SAID = 2000  # letters of an error or a note


@dataclass(frozen=True)
class ServedJob:
    """A job and how it stands.

    Attributes:
        id: by which jobs are sorted as they came.
        state: "queued", "running", or how it ended.
        created, started, ended: seconds since 1970; None: not yet.
        stages: the stages that run, in their order: name, shape, steps, the predicted seconds, and the last preview.
        progress: number of the running stage, its step, the finished share of all work, and the seconds that are left.
        file: the name of the video in the job's folder.
        result: what the command told of the video: frames, height, width, fps, and seconds of every stage.
        error: why it failed. notes: what the command warned of.
    """

    id: str
    request: JobRequest
    state: JobState = "queued"
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    stages: tuple[dict[str, Any], ...] = ()
    progress: dict[str, Any] = field(default_factory=dict)
    file: str | None = None
    result: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def new(cls, request: JobRequest) -> "ServedJob":
        """A job that waits, with an id that no other has."""
        now = time.time()
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
        return cls(f"{stamp}-{int(now * 1000) % 1000:03x}{secrets.token_hex(4)[:7]}", request, created=now)

    def to_json(self) -> dict[str, Any]:
        """The job as plain values."""
        value = asdict(replace(self, request=None))  # type: ignore[arg-type]
        return {**value, "request": self.request.to_json()}

    @classmethod
    def from_json(cls, value: Any) -> "ServedJob":
        """A job from what `to_json` gave. Raises ValueError for anything else."""
        try:
            fields = {**value, "request": JobRequest.from_json(value["request"])}
            job = cls(**{**fields, "stages": tuple(value["stages"]), "notes": tuple(value["notes"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"expected a job, got something else: {error}") from None
        if (
            not isinstance(job.id, str)
            or JOB_ID.fullmatch(job.id) is None
            or job.state not in ("queued", "running", *ENDED)
        ):
            raise ValueError("expected a job with an id and a state")
        return job


class History:
    """The jobs in a folder, oldest first.

    Attributes:
        unreadable: folders of jobs that could not be read, with the reason; they stay as they are.
    """

    def __init__(self, folder: Path) -> None:
        """Reads what is there. Raises OSError where the folder cannot be made."""
        self.folder = folder
        self.jobs: dict[str, ServedJob] = {}
        self.unreadable: dict[str, str] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for place in sorted(path for path in folder.iterdir() if JOB_ID.fullmatch(path.name)):
            try:
                job = ServedJob.from_json(read_json(place / "job.json", longest=LARGEST))
                if job.id != place.name:
                    raise ValueError(f"expected the job {place.name}, got {job.id}")
                self.jobs[job.id] = job
            except (OSError, ValueError) as error:
                self.unreadable[place.name] = str(error)

    def place(self, job: str) -> Path:
        """The folder of a job."""
        assert JOB_ID.fullmatch(job)
        return self.folder / job

    def put(self, job: ServedJob, *, keep: bool = True) -> ServedJob:
        """Take a new or a changed job; with `keep` onto the disk too. Raises OSError where the disk is full."""
        if keep:
            place = self.place(job.id)
            place.mkdir(exist_ok=True)
            try:
                write_text(place / "job.json", json.dumps(job.to_json(), indent=1))
            except OSError:
                with suppress(OSError):
                    place.rmdir()  # empty, of a job that is not taken
                raise
        self.jobs[job.id] = job
        return job

    def erase(self, job: str) -> None:
        """Remove the files of a job from the disk; `jobs` is left to the caller, for this may run in a thread."""
        shutil.rmtree(self.place(job), ignore_errors=True)

    def clear(self, job: str) -> None:
        """Remove what a job has made so far."""
        for path in self.place(job).iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != "job.json":
                path.unlink(missing_ok=True)

    def bytes(self) -> int:
        """The bytes of all jobs on disk."""
        return sum(_sizes(self.folder))


def _sizes(folder: Path) -> Iterator[int]:
    """The bytes of each file in a folder; files may come and go meanwhile."""
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                status = os.lstat(os.path.join(place, name))
                if stat.S_ISREG(status.st_mode):
                    yield status.st_size


def said(text: str) -> str:
    """An error or a note of bounded length."""
    return text if len(text) <= MOST_SAID else f"{text[:MOST_SAID]}..."
