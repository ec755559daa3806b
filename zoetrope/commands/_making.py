"""Makes the videos that `zoetrope generate` is asked for, one by one, and writes each as soon as it is finished."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from zoetrope.commands._ending import interrupted_saying
from zoetrope.commands._jobs import Job
from zoetrope.commands._provenance import is_same
from zoetrope.commands._sampling import finished, tags_of
from zoetrope.commands._talk import Bars, Talk

if TYPE_CHECKING:
    from zoetrope.cascade.spec import StageSpec
    from zoetrope.cascade.start import Start
    from zoetrope.commands._outputs import Outputs, StageOutputs
    from zoetrope.models.cascade import Cascade
    from zoetrope.models.known import GivenFrames


class Making(NamedTuple):
    """Everything needed to make the videos.

    `about` describes how they are made, which is the same for all of them.
    """

    cascade: "Cascade"
    stages: "Sequence[StageSpec]"
    jobs: Sequence[Job]
    seed: int
    until: str | None
    start: "Start | None"
    memory: int | None
    given: dict[str, Any]
    known: "GivenFrames | None"
    about: dict[str, Any]

    def tags(self, job: Job) -> dict[str, str]:
        """The tags of the file."""
        return {**tags_of(job.prompt, job._asdict(), self.about), "sample": str(job.sample)}

    @property
    def ensemble_tags(self) -> dict[str, str]:
        """The tags of the file of all, where they are the members of an ensemble."""
        job, members = self.jobs[0], len(self.jobs)
        own = {"prompt": job.prompt, "negative": job.negative, "members": members}
        return {**tags_of(job.prompt, own, self.about), "members": str(members)}

    def finished(self, path: str, number: int) -> bool:
        """Whether a file is this same video, according to its tags, whatever version made it; -1 is the ensemble."""
        from zoetrope.config.strict_json import parse_json
        from zoetrope.fields import tags_in

        try:
            expected = self.ensemble_tags if number < 0 else self.tags(self.jobs[number])
            own, other = (parse_json(t["comment"]) for t in (expected, tags_in(path)))
            return is_same(own, other)
        except (ValueError, OSError, KeyError, TypeError, AttributeError):
            return False


def run(talk: Talk, making: Making, outputs: "Outputs", stage_outputs: "StageOutputs") -> list[dict[str, Any]]:
    """Make and write the videos one by one, each as soon as it is finished."""
    files: list[dict[str, Any]] = []
    total, kept = len(making.jobs), sum(outputs.finished)
    if kept:
        talk.say(f"{kept} of {total} videos are there already")

    def told() -> str:
        written = [file["path"] for file in files if "skipped" not in file]
        more = "; the same command with --resume goes on" if total > 1 else ""
        names = ", ".join(written) or "nothing"
        return f"interrupted: {len(written)} of {total - kept} videos were written ({names}){more}"

    with interrupted_saying(told), talk.bars() as bars:
        for number, job in enumerate(making.jobs):
            if outputs.finished[number]:
                made: dict[str, Any] = {"path": outputs.paths[number], "prompt": job.prompt, "sample": job.sample}
                files.append({**made, "skipped": True})
            else:
                files.append(made_one(bars, making, number, outputs, stage_outputs))
    return files


def made_one(
    bars: Bars, making: Making, number: int, outputs: "Outputs", stage_outputs: "StageOutputs"
) -> dict[str, Any]:
    """Make and write one video; return its summary."""
    job, path, tags = making.jobs[number], outputs.paths[number], making.tags(making.jobs[number])
    label = f"{number + 1}/{len(making.jobs)} " if len(making.jobs) > 1 else ""
    stages, kept = list[dict[str, Any]](), list[str]()
    stream = making.cascade.stream(
        [job.prompt],
        seed=making.seed,
        samples=[job.sample],
        until=making.until,
        negative=job.negative,
        start=making.start,
        memory=making.memory,
        given=making.given,
        known=making.known,
    )
    for stage in finished(bars, label, stream):
        stages.append(stage.record.to_json())
        name, made, fps = stage.progress.stage, stage.progress.x_hat[0], stage.progress.shape.fps
        vectors = making.cascade.spec.stage(name).makes_vectors
        if not vectors and (file := stage_outputs.save(path, name, made, fps, {**tags, "stage": name})):
            kept.append(file)
        del stage
    saved = outputs.save(number, made, fps, tags)
    summary = {"path": saved, "prompt": job.prompt, "sample": job.sample, "fps": fps, "stages": stages}
    summary |= dict(zip(("frames", "height", "width"), made.shape[1:], strict=True))
    return summary | ({"stage_files": kept} if kept else {})
