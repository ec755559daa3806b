"""Which stage of a cascade reads which: a graph whose stages stand in an order in which they can run."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from zoetrope.config import unknown

if TYPE_CHECKING:
    from zoetrope.cascade.spec import StageSpec
    from zoetrope.inputs import Input

Made = TypeVar("Made")


def expect_graph(stages: Sequence["StageSpec"]) -> None:
    """Raise ValueError, by name, unless each stage reads stages before it, and what these make is what it expects."""
    previous: StageSpec | None = None
    for place, stage in enumerate(stages):
        named = {each.name: _maker(stages, place, each) for each in stage.inputs if each.stage is not None}
        for each in stage.inputs:
            if each.vector is not None and each.name in named:
                _expect_vector(stage, each, named[each.name])
        if stage.makes_vectors:
            continue
        maker = next((named.get(each.name) for each in stage.inputs if each.source is not None), None) or previous
        if stage.source != (maker.made if maker else None):
            made = f"{maker.name!r} makes {maker.made}" if maker else "it is the first stage"
            raise ValueError(f"stage {stage.name!r} expects {stage.source or 'nothing'}, but {made}")
        previous = stage


def video_for(stage: "StageSpec", made: Mapping[str, Made], previous: Made | None, start: Made | None) -> Made | None:
    """The video that a stage reads, None if it reads none: of those that stages have `made`, or the `previous` one.

    Where the stage that it names did not run, it is the `start`, which stands for that one's.
    """
    if stage.source is None:
        return None
    named = next((each.stage for each in stage.inputs if each.source is not None), None)
    return previous if named is None else made.get(named, start)


def drop_unread(made: dict[str, Made], stages: Sequence["StageSpec"], done: "StageSpec") -> None:
    """Drop what stages have `made` and none of those after `done` reads by name, to free its memory."""
    after = stages[list(stages).index(done) + 1 :]
    read = {each.stage for stage in after for each in stage.inputs}
    for name in made.keys() - read:
        del made[name]


def vectors_for(stage: "StageSpec", given: Collection[str] = ()) -> list["Input"]:
    """The inputs of a stage that are made from another stage's vectors, without those that are `given` by a user."""
    return [
        each for each in stage.inputs if each.vector is not None and each.stage is not None and each.name not in given
    ]


def with_vectors(
    stages: Sequence["StageSpec"], chosen: Sequence["StageSpec"], given: Collection[str] = ()
) -> tuple["StageSpec", ...]:
    """The `chosen` stages that make videos, and of all `stages` those that make the vectors that they read, in order.

    Stages of vectors that nobody reads are left out, as where a user gives the picture; if nothing else is chosen, they
    are what is wanted. `given` are the names of inputs that a user gives.
    """
    if all(stage.makes_vectors for stage in chosen):
        return tuple(chosen)
    wanted = {stage.name for stage in chosen if not stage.makes_vectors}
    for stage in reversed(stages):
        if stage.name in wanted:
            wanted |= {str(each.stage) for each in vectors_for(stage, given)}
    return tuple(stage for stage in stages if stage.name in wanted)


def expect_videos(stages: Sequence["StageSpec"]) -> None:
    """Raise ValueError unless the last of these stages makes videos."""
    last = stages[-1]
    if not last.network.denoises:
        raise ValueError(f"stage {last.name!r}: its network {last.network.kind()!r} makes no videos")
    if last.makes_vectors:
        raise ValueError(
            f"stage {last.name!r} makes vectors for other stages, and no videos; name a model or the run of a stage "
            "that reads them as well"
        )


def expect_chain(
    stages: Sequence["StageSpec"], what: str, given: Collection[str] = (), *, latents: bool = False
) -> None:
    """Raise ValueError unless each stage reads the previous one's video alone, and what is `given`, as `what` does.

    Stages of `latents` are refused, unless `what` takes them.
    """
    for stage in stages:
        if stage.codec.encodes and not latents:
            raise ValueError(f"{what}: expected stages of pixels, got {stage.name!r}, which makes latents")
        named = [each.name for each in stage.inputs if each.stage is not None and each.name not in given]
        if stage.makes_vectors or named:
            reads = (
                f"{stage.name!r}" if stage.makes_vectors else f"{stage.name!r}, whose {named[0]} another stage makes"
            )
            remedy = "; give it a picture" if named == ["picture"] or stage.makes_vectors else ""
            raise ValueError(f"{what}: expected stages that read the previous one's video alone, got {reads}{remedy}")


def _maker(stages: Sequence["StageSpec"], place: int, each: "Input") -> "StageSpec":
    """The stage that an input of the stage at this place names. Raises ValueError if it is not one before it."""
    stage, names = stages[place], [one.name for one in stages]
    where = f"stage {stage.name!r}: inputs.{each.name}.of"
    if each.stage not in names:
        raise ValueError(
            f"{where}: " + unknown("stage", str(each.stage), [name for name in names if name != stage.name])
        )
    maker = names.index(str(each.stage))
    if maker < place:
        return stages[maker]
    reads = {one.name: [other.stage for other in one.inputs if other.stage is not None] for one in stages}
    seen, left = set[str](), [str(each.stage)]
    while left:
        now = left.pop()
        if now not in seen:
            seen.add(now)
            left += reads.get(now, [])
    if stage.name in seen:
        raise ValueError(f"{where}: expected a stage that does not read {stage.name!r} itself, got {each.stage!r}")
    raise ValueError(f"{where}: expected a stage before it, got {each.stage!r}, which runs after it")


def _expect_vector(stage: "StageSpec", each: "Input", maker: "StageSpec") -> None:
    where = f"stage {stage.name!r}: inputs.{each.name}.of"
    if not maker.makes_vectors:
        raise ValueError(f"{where}: expected a stage that makes vectors of width {each.vector}, got {maker.name!r}, "
                         f"which makes {maker.shape}")  # fmt: skip
    if maker.network.channels != each.vector:
        raise ValueError(
            f"{where}: expected a stage that makes vectors of width {each.vector}, as its encoder does, got "
            f"{maker.name!r} of width {maker.network.channels}"
        )
