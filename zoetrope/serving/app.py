"""The interface for machines, JSON over HTTP, and the page that uses it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from zoetrope import __version__
from zoetrope.config.strict_json import parse_json
from zoetrope.serving.downloads import FORMATS, Downloads
from zoetrope.serving.engine import Engine, Listener
from zoetrope.serving.guard import Application, Guard
from zoetrope.serving.jobs import JOB_ID, ServedJob
from zoetrope.serving.requests import JobRequest
from zoetrope.serving.uploads import TYPES, Refusal
from zoetrope.serving.views import Views

PAGE = 50
"""Jobs of one answer, by default; at most four times as many."""
DRAWN = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; media-src 'self'; frame-ancestors 'none'"
"""What the pages of evaluations may do: they have styles of their own, and no scripts."""
Answer = Callable[[Request], Awaitable[Response]]


class Interface:
    """The answers to requests about one engine."""

    def __init__(self, engine: Engine, views: Views) -> None:
        self.engine, self.views = engine, views
        self.downloads = Downloads()

    def routes(self) -> list[Route]:
        """The addresses."""
        every: list[tuple[str, str, Answer]] = [
            ("/api", "GET", self.about),
            ("/api/models", "GET", self.models),
            ("/api/files", "POST", self.send_file),
            ("/api/files/{file}", "GET", self.file),
            ("/api/jobs", "POST", self.submit),
            ("/api/jobs", "GET", self.jobs),
            ("/api/jobs/{job}", "GET", self.job),
            ("/api/jobs/{job}", "DELETE", self.remove),
            ("/api/jobs/{job}/cancel", "POST", self.cancel),
            ("/api/jobs/{job}/events", "GET", self.events),
            ("/api/jobs/{job}/video.{format}", "GET", self.video),
            ("/api/jobs/{job}/previews/{number:int}.png", "GET", self.preview),
            ("/api/jobs/{job}/stages/{number:int}", "GET", self.stage),
            ("/api/events", "GET", self.events),
            ("/api/runs", "GET", self.runs),
            ("/api/runs/{number:int}", "GET", self.run),
            ("/api/runs/{number:int}/samples/{name}", "GET", self.sample),
            ("/api/reports", "GET", self.reports),
            ("/api/reports/{number:int}/{path:path}", "GET", self.report),
        ]
        return [Route(path, answer, methods=[method]) for path, method, answer in every]

    async def about(self, request: Request) -> Response:
        """What the server is, what it allows, and how its processes stand."""
        engine = self.engine
        told = {"zoetrope": __version__, "limits": engine.limits.to_json(), "waiting": len(engine.queue)}
        ready = [worker.pid is not None and worker.models is not None for worker in engine.workers]
        return JSONResponse({**told, "ready": ready, "trouble": engine.trouble, "formats": list(FORMATS)})

    async def models(self, request: Request) -> Response:
        """The models that the server offers, and what each can be told."""
        return JSONResponse(await self.engine.described())

    async def send_file(self, request: Request) -> Response:
        """Keep a file that the client sends as the body."""
        told = _length(request)
        kept = await self.engine.uploads.take(self._body(request), self.engine.used(), told)
        return JSONResponse({"id": kept.id, "type": kept.type, "bytes": kept.bytes}, status_code=201)

    async def file(self, request: Request) -> Response:
        """A file that a client sent."""
        path = self.engine.uploads.path(request.path_params["file"])
        if path is None:
            raise Refusal(404, "file: expected the id of a file that was sent, there is none of this id")
        return FileResponse(path, media_type=TYPES[path.suffix])

    async def submit(self, request: Request) -> Response:
        """Take a job."""
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refusal(415, "job: expected JSON, with the content type application/json")
        most, body = self.engine.limits.body, b""
        if (_length(request) or 0) > most:
            raise Refusal(413, f"job: expected at most {most:,} bytes, got more")
        async for chunk in self._body(request):
            body += chunk
            if len(body) > most:
                raise Refusal(413, f"job: expected at most {most:,} bytes, got more")
        try:
            value = parse_json(body)
            if not isinstance(value, dict):
                raise ValueError('job: expected an object, such as {"model": "mini", "prompt": "a red star"}')
            wanted = JobRequest.from_json(value)
        except ValueError as error:
            raise Refusal(422, str(error)[:1000]) from None
        return _job(await self.engine.submit(wanted), 201)

    async def jobs(self, request: Request) -> Response:
        """The newest jobs, or those before one."""
        before, count = request.query_params.get("before"), request.query_params.get("count", str(PAGE))
        if not count.isdecimal() or len(count) > 4 or not 1 <= int(count) <= 4 * PAGE:
            raise Refusal(422, f"count: expected a number from 1 to {4 * PAGE}")
        if before is not None and JOB_ID.fullmatch(before) is None:
            raise Refusal(422, "before: expected the id of a job")
        every = [
            job for name, job in sorted(self.engine.history.jobs.items(), reverse=True) if not before or name < before
        ]
        shown = every[: int(count)]
        more = {"more": len(every) > len(shown), "queue": list(self.engine.queue)}
        return JSONResponse({"jobs": [told(job) for job in shown], **more})

    async def job(self, request: Request) -> Response:
        """One job."""
        return _job(self._named(request))

    async def cancel(self, request: Request) -> Response:
        """Cancel a job."""
        return _job(await self.engine.cancel(self._named(request).id))

    async def remove(self, request: Request) -> Response:
        """Remove a job from the history, with its video."""
        await self.engine.remove(self._named(request).id)
        return Response(status_code=204)

    async def events(self, request: Request) -> Response:
        """Follow one job, or all, as server-sent events [WHATWG, HTML, Sec. 9.2]."""
        name = self._named(request).id if "job" in request.path_params else None
        return Events(self.engine, name)

    async def video(self, request: Request) -> Response:
        """What a job has made, in one of the formats."""
        job, wanted = self._named(request), request.path_params["format"]
        if wanted not in FORMATS:
            raise Refusal(404, f"video: expected one of {', '.join(FORMATS)}")
        if job.state != "done" or job.file is None:
            raise Refusal(409, f"video: expected a job that is done, it is {job.state}")
        path = await self.downloads.of(self.engine.history.place(job.id) / job.file, wanted)
        name = f"zoetrope-{job.id}.{wanted}"
        way = "attachment" if "download" in request.query_params else "inline"
        return FileResponse(path, filename=name, media_type=FORMATS[wanted], content_disposition_type=way)

    async def preview(self, request: Request) -> Response:
        """The last preview of a stage: its frames, one below the other."""
        job = self._named(request)
        path = self.engine.history.place(job.id) / f"preview-{request.path_params['number']}.png"
        try:
            content = path.read_bytes()  # whole: the next preview may take the file's place meanwhile
        except FileNotFoundError:
            raise Refusal(404, "preview: there is none of this stage, or not yet") from None
        return Response(content, media_type="image/png", headers={"cache-control": "no-cache"})

    async def stage(self, request: Request) -> Response:
        """What a stage has made on the way."""
        job, number = self._named(request), request.path_params["number"]
        kept = job.result.get("kept", [])
        if number >= len(kept):
            raise Refusal(404, "stage: expected the number of a stage of a job that is done")
        suffix = Path(kept[number]).suffix
        path = self.engine.history.place(job.id) / "stages" / Path(kept[number]).name
        return _present(path, TYPES.get(suffix, "application/octet-stream"))

    async def runs(self, request: Request) -> Response:
        """How the trainings stand that the server shows."""
        return JSONResponse(await asyncio.to_thread(self.views.runs))

    async def run(self, request: Request) -> Response:
        """The curves and the sheets of samples of a training."""
        return JSONResponse(await asyncio.to_thread(self.views.run, request.path_params["number"]))

    async def sample(self, request: Request) -> Response:
        """A sheet of samples."""
        path = self.views.sample(request.path_params["number"], request.path_params["name"])
        return _present(path, "image/png")

    async def reports(self, request: Request) -> Response:
        """The evaluations that the server shows."""
        return JSONResponse(await asyncio.to_thread(self.views.reports))

    async def report(self, request: Request) -> Response:
        """A file of an evaluation."""
        path, kind = self.views.report(request.path_params["number"], request.path_params["path"])
        return _present(path, kind, {"content-security-policy": DRAWN})

    def _named(self, request: Request) -> ServedJob:
        return self.engine.job(request.path_params["job"])

    async def _body(self, request: Request) -> AsyncIterator[bytes]:
        """The body, as it arrives, within the time that there is for it."""
        try:
            async with asyncio.timeout(self.engine.limits.patience):
                async for chunk in request.stream():
                    yield chunk
        except TimeoutError:
            raise Refusal(408, f"body: expected it within {self.engine.limits.patience} s") from None


class Events(Response):
    """News of jobs as server-sent events, for as long as the client listens."""

    def __init__(self, engine: Engine, name: str | None) -> None:
        """`name` is the job; None: all."""
        super().__init__(media_type="text/event-stream")
        self.engine, self.name = engine, name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take part in the listening while answering, not before and not longer."""
        with self.engine.listening() as mine:
            headers = {"cache-control": "no-store"}
            stream = StreamingResponse(self._lines(mine), media_type=self.media_type, headers=headers)
            await stream(scope, receive, send)

    async def _lines(self, mine: Listener) -> AsyncIterator[str]:
        yield ": here\n\n"
        async for news in self.engine.follow(mine, self.name):
            if news is None:
                yield ": still here\n\n"
            elif isinstance(news, str):
                yield f"event: removed\ndata: {json.dumps(news)}\n\n"
            else:
                yield f"event: job\ndata: {json.dumps(told(news))}\n\n"


def application(engine: Engine, views: Views, *, token: str | None, loopback: bool, page: bool) -> Application:
    """The server as an ASGI application: the interface, and with `page` the page; it starts and stops the engine."""

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        await engine.start()
        try:
            yield
        finally:
            await engine.stop()

    routes: list[BaseRoute] = list(Interface(engine, views).routes())
    if page:
        folder = Path(str(resources.files("zoetrope.serving"))) / "page"
        routes.append(Mount("/", StaticFiles(directory=folder, html=True)))
    app = Starlette(routes=routes, lifespan=life, exception_handlers=_handlers())
    app.router.redirect_slashes = False
    return Guard(cast(Application, app), token, loopback=loopback)


def told(job: ServedJob) -> dict[str, Any]:
    """A job for clients."""
    return job.to_json()


def _job(job: ServedJob, status: int = 200) -> Response:
    return JSONResponse(told(job), status_code=status, headers={"cache-control": "no-store"})


def _present(path: Path, kind: str, more: Mapping[str, str] = MappingProxyType({})) -> Response:
    """A file; without those headers by which browsers would keep an older one."""
    if not path.is_file():
        raise Refusal(404, "file: there is none of this name, or not yet")
    return FileResponse(path, media_type=kind, headers={"cache-control": "no-cache", **more})


def _length(request: Request) -> int | None:
    text = request.headers.get("content-length", "")
    return int(text) if text.isdecimal() and len(text) < 19 else None


def _handlers() -> dict[Any, Any]:
    async def refused(request: Request, error: Refusal) -> Response:
        return JSONResponse({"error": str(error)}, status_code=error.status, headers={"connection": "close"})

    async def unknown(request: Request, error: HTTPException) -> Response:
        return JSONResponse({"error": str(error.detail)}, status_code=error.status_code)

    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=400)

    async def full(request: Request, error: OSError) -> Response:
        reason = error.strerror or type(error).__name__
        return JSONResponse({"error": f"server: {reason}"}, status_code=507)

    async def wrong(request: Request, error: ValueError) -> Response:
        return JSONResponse({"error": str(error)[:1000]}, status_code=422)

    return {Refusal: refused, HTTPException: unknown, ClientDisconnect: gone, OSError: full, ValueError: wrong}
