"""The queue: takes jobs, lets a process for each device work on them, and tells those who follow."""

import asyncio
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoetrope.serving.checking import asks, expect_taken
from zoetrope.serving.jobs import ENDED, History, ServedJob, said
from zoetrope.serving.limits import Limits
from zoetrope.serving.offers import Offer
from zoetrope.serving.process import GRACE, Lost, WorkerProcess
from zoetrope.serving.requests import JobRequest
from zoetrope.serving.uploads import ARRAY, Refusal, Uploads

log = logging.getLogger(__name__)
AGAIN = 5.0
"""Seconds until a process that could not start is tried again."""
News = ServedJob | str | None
"""A job as it stands now, the id of one that was removed, and None at the end."""
PATIENCE = 60.0
"""Seconds that a question about models waits for the first process."""
QUIET = 15.0
"""Seconds without news after which those who follow are told that the server is there."""


class Listener:
    """The last news of each job that were not taken yet: as many as there are jobs, however slowly they are taken."""

    def __init__(self) -> None:
        self._last: dict[str, News] = {}
        self._here = asyncio.Event()

    def put(self, news: News) -> None:
        """Keep news, instead of older ones of the same job."""
        self._last[news if isinstance(news, str) else "" if news is None else news.id] = news
        self._here.set()

    async def take(self) -> dict[str, News]:
        """Wait for news, and take all, by the ids of their jobs; the end is under "", after all that came before it."""
        await self._here.wait()
        self._here.clear()
        taken, self._last = self._last, {}
        return taken


class Engine:
    """Jobs, files and processes of one folder. All methods are for one event loop.

    Attributes:
        history, uploads: what lies in the folder.
        offers: the models that clients may use, by name.
        workers: one process a device.
        trouble: why no process starts; None: they do, or have not been tried.
    """

    def __init__(
        self, folder: Path, offers: Sequence[Offer], commands: Sequence[Sequence[str]], limits: Limits | None = None
    ) -> None:
        """`commands` start a worker each. Jobs of an earlier server that had not ended wait again."""
        self.limits = limits or Limits()
        self.folder = folder = folder.absolute()  # workers stand elsewhere
        self.history = History(folder / "jobs")
        self.uploads = Uploads(folder / "files", self.limits)
        self.offers = {offer.name: offer for offer in offers}
        self.workers = [WorkerProcess(command) for command in commands]
        self.trouble: str | None = None
        self.queue: list[str] = []
        self._running: dict[str, WorkerProcess] = {}
        self._wanted: set[str] = set()  # running jobs that were cancelled
        self._changed = asyncio.Condition()
        self._listeners: list[Listener] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = asyncio.Event()
        for job in list(self.history.jobs.values()):
            if job.state not in ENDED:
                self._again(job)

    @property
    def models(self) -> list[dict[str, Any]] | None:
        """What is known of the models that are offered; None before the first process is ready."""
        return next((worker.models for worker in self.workers if worker.models is not None), None)

    async def described(self) -> list[dict[str, Any]]:
        """The models, after some waiting for the first process. Raises Refusal where it has not told of them then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._ready.wait()
        if self.models is None:
            raise Refusal(503, self.trouble or "models: the first process is still starting; ask again")
        return self.models

    async def start(self) -> None:
        """Start the processes; they are ready a few seconds later."""
        self._tasks = [asyncio.create_task(self._serve(worker)) for worker in self.workers]

    async def stop(self) -> None:
        """End the processes and whoever follows. Jobs that run wait for the next server."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.close()
        await asyncio.gather(*(worker.end() for worker in self.workers))

    def close(self) -> None:
        """Tell whoever follows that nothing comes any more."""
        for listener in self._listeners:
            listener.put(None)

    async def submit(self, request: JobRequest) -> ServedJob:
        """Take a job. Raises Refusal for what cannot be made here, and where queue or disk are full."""
        if request.model not in self.offers:
            raise Refusal(422, f"model: expected one of {', '.join(self.offers)}, got {request.model[:60]!r}")
        for name, file in request.files():
            self._expect_file(name, file)
        if asks(request):
            try:
                expect_taken(request, _offered(await self.described(), request.model))
            except ValueError as error:
                raise Refusal(422, str(error)[:1000]) from None
        self._expect_place()
        if await asyncio.to_thread(self.history.bytes) >= self.limits.disk:
            raise Refusal(507, f"history: holds {self.limits.disk:,} bytes, as many as it may; remove some jobs")
        self._expect_place()  # others may have come meanwhile
        job = self.history.put(ServedJob.new(request))
        self.queue.append(job.id)
        await self._notify(job)
        return job

    def _expect_place(self) -> None:
        """Raise Refusal where as many jobs wait as may."""
        if len(self.queue) >= self.limits.queue:
            raise Refusal(429, f"queue: {len(self.queue)} jobs wait, as many as may; try again later")

    def _expect_file(self, name: str, file: str) -> None:
        """Raise Refusal for a file that was not sent, or is of another type than what `JobRequest.files` names."""
        path = self.uploads.path(file)
        if path is None:
            raise Refusal(422, f"{name}: expected a file that was sent before, there is none of this id")
        is_map, is_array = name.startswith("map_"), path.suffix == ARRAY
        if is_map != is_array:
            wanted = f"an array, {ARRAY}" if is_map else "a picture or a video"
            raise Refusal(422, f"{name}: expected {wanted}, got a file {path.suffix}")

    def job(self, name: str) -> ServedJob:
        """A job by id. Raises Refusal for an unknown one."""
        found = self.history.jobs.get(name)
        if found is None:
            raise Refusal(404, "job: expected the id of a job, there is none of this id")
        return found

    async def cancel(self, name: str) -> ServedJob:
        """Cancel a job that waits or runs; one that has ended stays as it is."""
        job = self.job(name)
        if job.id in self.queue:
            self.queue.remove(job.id)
            job = self._put(replace(job, state="cancelled", ended=time.time()))
            await self._notify(job)
        elif (worker := self._running.get(job.id)) is not None and job.id not in self._wanted:
            self._wanted.add(job.id)
            await worker.cancel(job.id)
            task = asyncio.create_task(self._insist(job.id, worker))
            self._tasks = [*(each for each in self._tasks if not each.done()), task]
        return self.job(name)

    async def remove(self, name: str) -> None:
        """Remove a job that has ended. Raises Refusal for one that has not."""
        job = self.job(name)
        if job.state not in ENDED:
            raise Refusal(409, f"job: expected one that has ended, it is {job.state}; cancel it first")
        del self.history.jobs[job.id]
        await asyncio.to_thread(self.history.erase, job.id)
        self._tell(job.id)

    def used(self) -> set[str]:
        """The files that jobs name."""
        return {file for job in self.history.jobs.values() for _, file in job.request.files()}

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """What hears all news while the block runs, for `follow`. Raises Refusal where as many follow as may."""
        if len(self._listeners) >= self.limits.listeners:
            raise Refusal(429, f"events: {len(self._listeners)} connections follow, as many as may")
        mine = Listener()
        self._listeners.append(mine)
        try:
            yield mine
        finally:
            self._listeners.remove(mine)

    async def follow(self, mine: Listener, name: str | None = None) -> AsyncIterator[News]:
        """Every change of a job, beginning with how it stands and ending as it does; of None, of all, without end.

        A job that was removed is told by its id. None comes when nothing has come for `QUIET` seconds. Raises Refusal
        for an unknown job.
        """
        if name is not None:
            yield (job := self.job(name))
            if job.state in ENDED:
                return
        while True:
            try:
                async with asyncio.timeout(QUIET):
                    news = await mine.take()
            except TimeoutError:
                yield None
                continue
            for key, one in news.items():
                if one is None:
                    return
                if name in (None, key):
                    yield one
                    if name is not None and (isinstance(one, str) or one.state in ENDED):
                        return

    async def _serve(self, worker: WorkerProcess) -> None:
        """Let a process work on what waits, for ever."""
        while True:
            try:
                await worker.start()
            except (Lost, OSError) as error:
                self.trouble = f"no process to work on jobs starts: {error}"
                log.error("%s", self.trouble)
                await asyncio.sleep(AGAIN)
                continue
            self.trouble = None
            self._ready.set()
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self.queue))
                if worker.pid is None:  # it ended while nobody asked for anything: the job waits for the next one
                    continue
                job = self.history.jobs[self.queue.pop(0)]
                self._running[job.id] = worker
            try:
                await self._work(worker, job)
            except asyncio.CancelledError:
                now = self.history.jobs[job.id]
                if job.id in self._wanted:
                    self._put(replace(now, state="cancelled", ended=time.time()))
                else:
                    self._again(now)
                raise
            except Exception as error:  # a fault of ours ends one job, and not the queue
                log.exception("%s", job.id)
                worker.kill()
                told = said(f"the server failed: {type(error).__name__}: {error}")
                failed = replace(self.history.jobs[job.id], state="failed", error=told, ended=time.time())
                self._tell(self._put(failed))
            finally:
                self._running.pop(job.id, None)
                self._wanted.discard(job.id)

    async def _work(self, worker: WorkerProcess, job: ServedJob) -> None:
        """Work on one job, to its end."""
        place = self.history.place(job.id)
        begun = time.time()
        job = self._put(replace(job, state="running", started=begun, stages=(), progress={}))
        self._tell(job)

        def told(event: Mapping[str, Any]) -> None:
            now = _changed(self.history.jobs[job.id], event)
            self._tell(self.history.put(now, keep=False))

        try:
            self.history.clear(job.id)
            words = await asyncio.to_thread(self._prepare, job, worker)
            event = await worker.run(job.id, place, words, told, self.limits.seconds)
            ended = _ended(self.history.jobs[job.id], event)
        except TimeoutError:
            error = f"it took longer than {self.limits.seconds} s, the most that a job may take here"
            ended = replace(self.history.jobs[job.id], state="failed", error=error)
        except (Lost, OSError) as error:
            ended = replace(self.history.jobs[job.id], state="failed", error=said(str(error)))
        if job.id in self._wanted and ended.state != "done":
            ended = replace(ended, state="cancelled", error=None)
        await asyncio.to_thread(self._tidy, ended)
        self._tell(self._put(replace(ended, ended=time.time())))

    def _prepare(self, job: ServedJob, worker: WorkerProcess) -> list[str]:
        """Lay the files of a job into its folder, under names that tell nothing of the server; its words."""
        place, names = self.history.place(job.id), dict[str, str]()
        (place / "stages").mkdir(exist_ok=True)
        for name, file in job.request.files():
            path = self.uploads.path(file)
            if path is None:
                raise OSError(f"{name}: the file that was sent is no longer there")
            names[name] = f"given_{name}{path.suffix}"
            shutil.copyfile(path, place / names[name])
        offer = self.offers.get(job.request.model)
        if offer is None:
            raise OSError(f"model: {job.request.model!r} is no longer offered here")
        told = _offered(worker.models or [], offer.name)
        if asks(job.request):  # again, for another model may have had this name when the job came
            try:
                expect_taken(job.request, told)
            except ValueError as error:
                raise OSError(str(error)) from None
        return job.request.words(offer.laid(place), names, _output(job.request, told))

    def _tidy(self, job: ServedJob) -> None:
        """Remove what was laid into a job's folder, and remains of files that were not finished."""
        place, laid = self.history.place(job.id), [f"given_{name}" for name, _ in job.request.files()]
        with suppress(OSError):  # the folder may be gone
            for path in [*place.iterdir(), *place.rglob(".*.part*")]:
                if path.is_symlink() or path.stem in laid or ".part" in path.suffix:
                    path.unlink(missing_ok=True)

    async def _insist(self, name: str, worker: WorkerProcess) -> None:
        """End the process if a cancelled job does not end."""
        await asyncio.sleep(GRACE)
        if self._running.get(name) is worker and name in self._wanted:
            worker.kill()

    def _again(self, job: ServedJob) -> None:
        waiting = replace(job, state="queued", started=None, stages=(), progress={})
        with suppress(OSError):
            self.history.put(waiting)
        self.queue.insert(0 if job.state == "running" else len(self.queue), job.id)

    def _put(self, job: ServedJob) -> ServedJob:
        """Keep a change, at least in memory if the disk is full."""
        try:
            return self.history.put(job)
        except OSError as error:
            log.error("%s: %s", job.id, error)
            return self.history.put(job, keep=False)

    async def _notify(self, job: ServedJob) -> None:
        self._tell(job)
        async with self._changed:
            self._changed.notify_all()

    def _tell(self, news: News) -> None:
        for listener in self._listeners:
            listener.put(news)


def _offered(models: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """What is told of the model that is offered by this name; empty: nothing."""
    return next((one for one in models if one.get("offer") == name), {})


def _changed(job: ServedJob, event: Mapping[str, Any]) -> ServedJob:
    """A job after an event of its process."""
    if event["event"] == "stages":
        return replace(job, stages=tuple({**stage, "preview": None} for stage in event["stages"]))
    number, stages = int(event["stage"]), list(job.stages)
    if event["preview"] is not None and number < len(stages):
        stages[number] = {**stages[number], "preview": event["preview"]}
    progress = {name: event[name] for name in ("stage", "step", "steps", "round", "share", "left")}
    return replace(job, stages=tuple(stages), progress=progress)


def _ended(job: ServedJob, event: Mapping[str, Any]) -> ServedJob:
    """A job after its command ended."""
    notes = tuple(said(note) for note in event["notes"])
    if event["code"] != 0:
        state: Any = "cancelled" if event["code"] == 130 else "failed"
        return replace(
            job, state=state, error=None if state == "cancelled" else said(event["error"] or ""), notes=notes
        )
    files = event["result"].get("files") or [{}]
    names = ("frames", "height", "width", "fps", "stages")
    result = {name: files[0][name] for name in names if name in files[0]}
    result |= {name: event["result"][name] for name in ("device", "dtype") if name in event["result"]}
    name = os.path.basename(str(files[0].get("path", "")))
    kept = [os.path.basename(str(path)) for path in files[0].get("stage_files", [])]
    return replace(job, state="done", file=name, result={**result, "kept": kept}, notes=notes, progress={})


def _output(request: JobRequest, told: Mapping[str, Any]) -> str:
    """The name of the video: a picture, if that is what the last stage makes."""
    stages = {stage["name"]: stage for stage in told.get("stages", [])}
    last = stages.get(request.until or told.get("until"), {})
    still = last.get("frames") == 1 and (request.frames or 1) == 1 and request.kind == "generate"
    return "video.png" if still else "video.mp4"
