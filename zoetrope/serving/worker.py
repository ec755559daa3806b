"""A process that works on jobs: commands come as lines of JSON, and what happens goes out as such.

It ends when its input does, so it never outlives the server. Lines that come in are `{"do": "run", "job", "folder",
"words"}` and `{"do": "cancel", "job"}`; those that go out are `{"event": "ready" | "stages" | "step" | "ended", ...}`.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from zoetrope.serving.previews import Previews
from zoetrope.serving.remaining import Remaining, predicted, prepare
from zoetrope.serving.watching import Watcher, watched

if TYPE_CHECKING:
    from zoetrope.cascade.spec import StageSpec
    from zoetrope.models.progress import Progress

PAUSE = 0.1
"""Seconds between events about steps, but for the first and the last of a stage."""
LAST = 2.0
"""Seconds for a step to end once the server is gone."""


class Ended(NamedTuple):
    """How a command ended: the status that it would exit with, its result, its error, and its warnings."""

    code: int
    result: dict[str, Any]
    error: str | None
    notes: list[str]


RunCommand = Callable[[Sequence[str]], Ended]
"""Runs one command of Zoetrope, given its words, in the current folder."""


class WorkPlace(NamedTuple):
    """What the process computes on, for predictions: a device and a type, as `zoetrope.models.places` names them."""

    device: Any
    dtype: Any


class JobWatcher(Watcher):
    """Tells of a job's progress, and ends it once it is cancelled."""

    def __init__(self, job: str, folder: Path, place: Callable[[], WorkPlace], tell: Callable[..., None]) -> None:
        self.job, self.place, self.tell = job, place, tell
        self.cancelled = threading.Event()
        self.previews = Previews(folder)
        self.stages: list[str] = []
        self.remaining: Remaining | None = None
        self.round, self.number, self.spoke = 0, -1, 0.0

    def begin(self, stages: "Sequence[StageSpec]") -> None:
        """Tell of the stages, with the seconds that each is predicted to take."""
        self._end_if_cancelled()
        self.stages = [stage.name for stage in stages]
        here = self.place()
        seconds = predicted(stages, here.device, here.dtype)
        told = [
            {"name": stage.name, "shape": str(stage.made), "steps": stage.sampling.length, "seconds": round(each, 6)}
            for stage, each in zip(stages, seconds, strict=True)
        ]
        self.tell(event="stages", job=self.job, stages=told)
        self.remaining = Remaining(seconds)

    def repeat(self, times: int) -> None:
        """Expect so many rounds."""
        if self.remaining is not None:
            self.remaining.times = times

    def step(self, now: "Progress") -> None:
        """Tell of a step, with a preview if it is time for one. Raises KeyboardInterrupt for a cancelled job."""
        self._end_if_cancelled()
        number = self.stages.index(now.stage) if now.stage in self.stages else 0
        if now.step == 1 and number <= self.number:
            self.round += 1
        self.number = number
        preview, moment = self.previews.take(number, now), time.monotonic()
        if preview is None and moment < self.spoke + PAUSE and 1 < now.step < now.steps:
            return
        self.spoke = moment
        share, left = (None, None) if self.remaining is None else self._left(number, now)
        place = {"stage": number, "step": now.step, "steps": now.steps, "round": self.round}
        self.tell(event="step", job=self.job, **place, share=share, left=left, preview=preview)

    def _left(self, number: int, now: "Progress") -> tuple[float, float]:
        assert self.remaining is not None
        share, left = self.remaining.at(self.round, number, now.step / now.steps)
        return round(share, 4), round(left, 2)

    def _end_if_cancelled(self) -> None:
        if self.cancelled.is_set():
            raise KeyboardInterrupt("cancelled")


class Desk:
    """Works on the jobs that come in, one after the other."""

    def __init__(self, run: RunCommand, place: Callable[[], WorkPlace], source: Iterable[str], sink: TextIO) -> None:
        self.run, self.place, self.source, self.sink = run, place, source, sink
        self.waiting: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self.current: JobWatcher | None = None
        self.cancelled = set[str]()  # jobs that had not begun when they were cancelled
        self.lock = threading.Lock()

    def work(self, models: Callable[[], Sequence[dict[str, Any]]]) -> None:
        """Say that it is ready, with the descriptions of the models, and work until the input ends.

        Raises ValueError, instead of being ready, for a device or a type that no job could have.
        """
        here = self.place()
        threading.Thread(target=self._listen, daemon=True).start()
        self.tell(event="ready", models=list(models()))
        prepare(here.device, here.dtype)  # while nobody waits for it
        while True:
            wanted = self.waiting.get()
            self._do(str(wanted["job"]), Path(wanted["folder"]), [str(word) for word in wanted["words"]])

    def tell(self, **event: Any) -> None:
        """Send one event."""
        line = json.dumps(event)
        with self.lock:
            self.sink.write(line + "\n")
            self.sink.flush()

    def _do(self, job: str, folder: Path, words: Sequence[str]) -> None:
        watcher = self.current = JobWatcher(job, folder, self.place, self.tell)
        if job in self.cancelled:
            watcher.cancelled.set()
        self.cancelled.clear()
        os.chdir(folder)  # names in the tags of files are those in this folder
        with watched(watcher):
            ended = self.run(words)
        self.current = None
        os.chdir(folder.anchor)
        code = 130 if watcher.cancelled.is_set() and ended.code else ended.code
        self.tell(event="ended", job=job, **ended._replace(code=code)._asdict())

    def _listen(self) -> None:
        """Take what comes in; at its end the process ends, whatever it does."""
        for line in self.source:
            wanted = json.loads(line)
            if wanted["do"] == "run":
                self.waiting.put(wanted)
            elif (current := self.current) is not None and current.job == wanted["job"]:
                current.cancelled.set()
            else:
                self.cancelled.add(str(wanted["job"]))
        if (current := self.current) is not None:
            current.cancelled.set()
            time.sleep(LAST)
        sys.stderr.flush()
        os._exit(0)
