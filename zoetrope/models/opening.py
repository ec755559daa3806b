"""Opening a model by its name or names: its description, put together of models and runs, and where its weights are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.explain import shown
from zoetrope.models.files import read_card
from zoetrope.models.finding import FoundModel, FoundRun, find
from zoetrope.models.folder import read_spec, weights_file
from zoetrope.models.runs import original_of, read_cascade, read_run
from zoetrope.models.weights import Origin, check_weights, read_network
from zoetrope.networks import Network


class OpenModel(NamedTuple):
    """A cascade's description, and the file with the weights of each stage, which is read when the stage runs.

    Attributes:
        weights, teacher_weights: the files of `spec.stages` and of `spec.teachers`, by name.
        card: the model's README.md; "" for runs.
        sources: the model or run that each stage comes from, as it was named.
    """

    spec: CascadeSpec
    weights: Mapping[str, Path]
    card: str
    teacher_weights: Mapping[str, Path] = MappingProxyType({})
    sources: Mapping[str, str] = MappingProxyType({})

    def originals(self) -> "OpenModel":
        """The same with teachers in the places of distilled stages. Raises ValueError where there are none."""
        weights = {**self.weights, **self.teacher_weights}
        return OpenModel(self.spec.originals(), weights, self.card, sources=self.sources)

    def file(self, stage: StageSpec) -> Path:
        """The file with the weights of one of `spec.stages` or `spec.teachers`, on whatever grid it is."""
        taught = stage.distilled is None and stage.name in self.teacher_weights
        return (self.teacher_weights if taught else self.weights)[stage.name]

    def network(self, stage: StageSpec) -> Network:
        """A stage's network with its weights, see `zoetrope.models.weights.read_network`."""
        return read_network(stage, self.file(stage))

    def origins(self) -> dict[str, Origin]:
        """Where the weights of each stage come from."""
        return {name: Origin(source, self.weights[name]) for name, source in self.sources.items()}

    def check(self, stages: Sequence[StageSpec]) -> None:
        """Raise ValueError if weights of these stages are missing, damaged, or those of another network.

        It also does so for a distilled stage that is sampled in a way that it was not distilled for.
        Only the files' headers are read: what a late stage lacks is known before the first one runs.
        """
        for stage in stages:
            stage.check_sampling()
            check_weights(stage.network.bare(), self.file(stage))


class Contents(NamedTuple):
    """What a single model or run holds.

    Attributes:
        name: as it was named.
        spec: the cascade that it describes; of a run, the whole one that its stage belongs to.
        weights, teacher_weights: the files of the stages and of the teachers that it has, by name.
        teachers: the originals of its distilled stages.
        trained: whether it is a run, which replaces a model's stage.
    """

    name: str
    spec: CascadeSpec
    weights: Mapping[str, Path]
    teachers: tuple[StageSpec, ...] = ()
    teacher_weights: Mapping[str, Path] = MappingProxyType({})
    card: str = ""
    trained: bool = False


def contents(found: FoundModel | FoundRun) -> Contents:
    """What a model or a run holds. Raises ValueError if that cannot be read, or if a run has no checkpoint yet."""
    if isinstance(found, FoundModel):
        folder, spec = found.folder, read_spec(found.folder)
        weights = {stage.name: weights_file(folder, stage.name) for stage in spec.stages}
        taught = {stage.name: weights_file(folder, stage.name, teacher=True) for stage in spec.teachers}
        return Contents(found.name, spec, weights, spec.teachers, taught, read_card(folder))
    run = read_run(found.folder)
    spec, weights = read_cascade(run), {run.stage: run.average_file(found.half_life)}
    original = original_of(run.folder)
    teachers, taught = ((), {}) if original is None else ((original[0],), {run.stage: original[1]})
    return Contents(found.name, spec, weights, teachers, taught, trained=True)


def open_model(names: str | Path | Sequence[str | Path]) -> OpenModel:
    """One cascade of models and runs, whatever their order; see `zoetrope.models.finding.find` for their names.

    Runs take the places of a model's stages of the same name, or follow them.
    Raises ValueError if one is not there, if two runs or two models are of one stage, if they read text with
    different encoders, or if the stages do not fit each other.
    """
    names = [names] if isinstance(names, str | Path) else names
    if not names or not isinstance(names, Sequence):
        raise ValueError(f"model: expected a name, a path, or a list of at least one, got {shown(names)}")
    every = dict.fromkeys(found for name in names for found in find(name))
    parts = {found.name: contents(found) for found in every}
    lead = next((part for part in parts.values() if not part.trained), next(iter(parts.values())))
    reading = [part for part in (lead, *parts.values()) if part.spec.text is not None]
    for part in reading:
        if part.spec.text != reading[0].spec.text:
            raise ValueError(f"{part.name}: reads text with another encoder than {reading[0].name}")
    by_stage = {**_by_stage(parts, trained=False), **_by_stage(parts, trained=True)}  # the runs have the last word
    stages = _in_a_row([part.spec.stage(stage) for stage, part in by_stage.items()])
    if stages[0].source is not None:
        raise ValueError(
            f"{by_stage[stages[0].name].name}: stage {stages[0].name!r} needs a video of {stages[0].source}; "
            "name the model or the runs of the stages before it as well"
        )
    return _together(lead, {stage.name: by_stage[stage.name] for stage in stages}, stages)


def _together(lead: Contents, used: Mapping[str, Contents], stages: tuple[StageSpec, ...]) -> OpenModel:
    """These stages, each of the part that it is used of; all else is as in the leading part."""
    teachers = {name: stage for name, part in used.items() for stage in part.teachers if stage.name == name}
    trained_on = {part.spec.trained_on for part in used.values()}
    encoders = [part.spec.text for part in (lead, *used.values()) if part.spec.text is not None]
    made = {
        "name": " + ".join(dict.fromkeys(part.spec.name for part in used.values())),
        "text": encoders[0] if encoders else None,
        "stages": stages,
        "teachers": tuple(teachers.values()),
        "default_until": lead.spec.default_until if lead.spec.default_until in used else None,
        "trained_on": trained_on.pop() if len(trained_on) == 1 else None,
    }
    return OpenModel(
        spec=CascadeSpec(**{**{field: getattr(lead.spec, field) for field in CascadeSpec.model_fields}, **made}),
        weights={stage: part.weights[stage] for stage, part in used.items()},
        card=lead.card,
        teacher_weights={stage: used[stage].teacher_weights[stage] for stage in teachers},
        sources={stage: part.name for stage, part in used.items()},
    )


def _by_stage(parts: Mapping[str, Contents], *, trained: bool) -> dict[str, Contents]:
    """The run, or the model, that each stage comes from. Raises ValueError if two are of one stage."""
    found: dict[str, Contents] = {}
    for part in parts.values():
        for stage in part.weights if part.trained == trained else ():
            if stage in found:
                raise ValueError(f"{found[stage].name} and {part.name} both have a stage {stage!r}; name one of them")
            found[stage] = part
    return found


def _in_a_row(stages: list[StageSpec]) -> tuple[StageSpec, ...]:
    """Each stage after the one that makes what it is made from; those that follow none are at the end."""
    row: list[StageSpec] = []
    while fitting := [stage for stage in stages if stage.source == (row[-1].shape if row else None)]:
        row.append(fitting[0])
        stages.remove(fitting[0])
    return (*row, *stages)
