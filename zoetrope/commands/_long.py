"""Shared by the verbs that make videos of minutes: their options, and a video with its frames on disk meanwhile."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoetrope.commands._ending import interrupted_saying
from zoetrope.commands._options import at_least
from zoetrope.commands._provenance import sealing
from zoetrope.commands._sampling import about, tags_of, warn_of_cuts
from zoetrope.commands._talk import Bars, Talk
from zoetrope.config import parse_json
from zoetrope.wording import counted

if TYPE_CHECKING:
    from zoetrope.cascade.long.film import Made
    from zoetrope.commands._outputs import Outputs
    from zoetrope.fields import Look
    from zoetrope.known import Method
    from zoetrope.models.cascade import Cascade
    from zoetrope.models.long import Long, LongRun
    from zoetrope.schemes import SamplingScheme

Seconds = Annotated[
    float | None,
    typer.Option(
        metavar="S",
        help="Make a video of S seconds, longer than the model's clips, with its frames on disk meanwhile. "
        "[as long as the model's clips]",
    ),
]
SchemeName = Annotated[
    str | None,
    typer.Option(
        "--scheme",
        metavar="NAME",
        help="The order in which frames of a long video are made: autoregressive, long_range, hierarchy, adaptive, "
        'pyramid or interpolation, or JSON with its fields, {"type": "hierarchy", "levels": 3}. [autoregressive]',
    ),
]


class LongJob(NamedTuple):
    """One long video: what is wanted, the video that it begins with, and what its tags say beside how it is made."""

    wanted: "Long"
    source: str | None
    tags: dict[str, Any]


def scheme_named(text: str | None) -> "SamplingScheme":
    """The scheme of that name or JSON; None: autoregressive. Raises ValueError, with the nearest name, for others."""
    from zoetrope.schemes import SamplingScheme

    try:
        value = parse_json(text) if text is not None and text.lstrip().startswith("{") else text or "autoregressive"
        return SamplingScheme.from_json(value if isinstance(value, dict) else {"type": value})
    except ValueError as error:
        raise ValueError(f"--scheme: {str(error).removeprefix('SamplingScheme: ')}") from None


def method_named(name: str | None, weight: float | None) -> "Method | None":
    """The method for known frames of that name and weight; None: what the model learnt. Raises ValueError."""
    from zoetrope.known import Method

    at_least("--known-weight", weight, 0)
    if name is None:
        if weight is not None:
            raise ValueError("--known-weight: expected with --known-method reconstruction, got it alone")
        return None
    try:
        return Method.from_json({"type": name} | ({} if weight is None else {"weight": weight}))
    except ValueError as error:
        raise ValueError(f"--known-method: {str(error).removeprefix('Method: ')}") from None


def prepared(
    talk: Talk,
    cascade: "Cascade",
    jobs: Sequence[LongJob],
    out: str | None,
    titles: Sequence[str],
    resume: bool,
    look: "Look | None" = None,
) -> Callable[[], None]:
    """What makes and writes these videos, and prints the result.

    Without `out` they are named after `titles`, which are prompts, or of videos that go on, file names without endings.
    The frames of a video that is not finished lie in a folder beside it. With `resume` videos that are there already
    are kept, and one that was begun goes on. `look` is how pictures show videos of other channels than RGB.
    Raises ValueError for what is impossible.
    """
    from zoetrope.commands._look import look_of
    from zoetrope.commands._outputs import Kept, Outputs
    from zoetrope.models.long import long_run

    kept = Kept(cascade.spec.channels, look or look_of(cascade.spec, None, None, None))
    with _as_options():
        runs = [long_run(cascade, job.wanted, Path(), job.source) for job in jobs]
    last = runs[0].video.shape
    told = about(cascade, runs[0].film.stages, jobs[0].wanted.seed)
    every = [_tags(job, run, told) for job, run in zip(jobs, runs, strict=True)]

    def finished(path: str, number: int) -> bool:
        return _made_of(path) == runs[number].made

    stems = None if jobs[0].source is None else titles
    outputs = Outputs(out, titles, last.frames, finished if resume else None, kept, stems, fps=last.fps)
    warn_of_cuts(talk, cascade, [text for job in jobs for text in (job.wanted.prompt, job.wanted.negative) if text])
    return partial(_make_all, talk, jobs, runs, outputs, (told, every), resume)


def _make_all(
    talk: Talk,
    jobs: Sequence[LongJob],
    runs: "Sequence[LongRun]",
    outputs: "Outputs",
    tags: tuple[dict[str, Any], Sequence[dict[str, str]]],
    resume: bool,
) -> None:
    """Make and write the videos; `tags` are what all say in `--json`, and what each file says."""
    from zoetrope.cascade.long.film import folder_of

    told, every = tags
    files: list[dict[str, Any]] = []
    with talk.bars() as bars:
        for number, (job, run) in enumerate(zip(jobs, runs, strict=True)):
            path = outputs.paths[number]
            if outputs.finished[number]:
                files.append({"path": path, "prompt": job.wanted.prompt, "sample": job.wanted.sample, "skipped": True})
                continue
            label = f"{number + 1}/{len(jobs)} " if len(jobs) > 1 else ""
            with _resumable(folder_of(path)):
                stages = _sample(bars, label, run.at(folder_of(path)), resume)
                _write(talk, outputs, number, run.at(folder_of(path)), job, every[number])
            files.append(_told(path, job, run, stages))
    talk.result({"files": files, **told}, "" if talk.quiet else "\n".join(file["path"] for file in files))


def _sample(bars: Bars, label: str, run: "LongRun", resume: bool) -> list[dict[str, Any]]:
    """Make the frames, with a progress bar for each stage; the stages with their seconds in this process."""
    stages: list[dict[str, Any]] = []
    start = time.perf_counter()
    with _as_options(resume="--resume goes on with it"):
        running = _by_stage(run.run(resume=resume))
        for now, new in running:
            if new:
                bars.begin(label + now.stage, now.total)
            bars.advance(now.number)
            if now.done:
                seconds = time.perf_counter() - start
                bars.end(f"{label}{now.stage}: {now.shape}, {counted(now.total, 'block')}, the rest in {seconds:.1f} s")
                stages.append({"name": now.stage, "blocks": now.total, "seconds": round(seconds, 3)})
                start = time.perf_counter()
    return stages


def _by_stage(running: "Iterator[Made]") -> "Iterator[tuple[Made, bool]]":
    """Each finished block, and whether it is the first one here of its stage."""
    before = None
    for now in running:
        yield now, now.stage != before
        before = now.stage


def _write(talk: Talk, outputs: "Outputs", number: int, run: "LongRun", job: LongJob, tags: dict[str, str]) -> None:
    """Write the finished frames to the video's file, and remove them."""
    from zoetrope.commands._outputs import named
    from zoetrope.fields import holds_values
    from zoetrope.video import open_writer

    path, shape = outputs.paths[number], run.video.shape
    sound = None if outputs.kept.look is not None else job.source
    if holds_values(path):
        with named(path):
            run.fields().save(path, tags=tags)
        shutil.rmtree(run.film.folder)
        return
    told: dict[str, Any] = {"tags": tags, "sound_of": sound, "seal": sealing()}
    with named(path), open_writer(path, shape.fps, shape.height, shape.width, **told) as writer:
        for picture in run.pictures(outputs.kept.look):
            writer.write(picture)
    for note in writer.notes:
        talk.warn(f"{path}: {note}")
    shutil.rmtree(run.film.folder)


def _tags(job: LongJob, run: "LongRun", told: dict[str, Any]) -> dict[str, str]:
    return tags_of(job.wanted.prompt, job.tags, {**told, "long": run.made})


def _made_of(path: str) -> Any:
    """What a long video is made from, according to its tags; None if they do not say."""
    from zoetrope.fields import tags_in

    try:
        return parse_json(tags_in(path)["comment"])["long"]
    except (ValueError, OSError, KeyError, TypeError):
        return None


def _told(path: str, job: LongJob, run: "LongRun", stages: list[dict[str, Any]]) -> dict[str, Any]:
    """The entry of a video in `--json`."""
    shape = run.video.shape
    return {
        "path": path,
        "prompt": job.wanted.prompt,
        "sample": job.wanted.sample,
        "scheme": job.wanted.scheme.to_json(),
        "given": run.footage.frames,
        "seconds": job.wanted.seconds,
        "frames": shape.frames,
        "height": shape.height,
        "width": shape.width,
        "fps": shape.fps,
        "stages": stages,
    }


@contextmanager
def _as_options(resume: str = "") -> Iterator[None]:
    """Name options in messages as the command line does."""
    try:
        yield
    except ValueError as error:
        message = str(error)
        for name in ("seconds", "given"):
            message = f"--{message}" if message.startswith(f"{name}: ") else message
        raise ValueError(
            message.replace("resume it, or remove the folder", f"{resume}, or remove the folder")
        ) from None


@contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """Say, after an interruption and on a full disk, that what is finished stays."""
    more = "what is finished stays, and the same command with --resume goes on"
    try:
        with interrupted_saying(lambda: f"interrupted: {more}" if folder.is_dir() else "interrupted: nothing was made"):
            yield
    except OSError as error:
        if error.strerror is None or not folder.is_dir():
            raise
        raise OSError(error.errno, f"{error.strerror}; {more}", error.filename or os.fspath(folder)) from error
