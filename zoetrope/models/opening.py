"""Opening a model by name: its description, combined from models and runs, and the files of its weights."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.channels import difference
from zoetrope.codecs import DESCRIPTION, WEIGHTS, Codec, CodecNetwork, identity, latent_identity, load_codec
from zoetrope.codecs import FOLDER as CODEC
from zoetrope.config import unknown
from zoetrope.config.errors import expect_path, shown
from zoetrope.models.files import inside, read_card
from zoetrope.models.finding import FoundModel, FoundRun, find, shipped
from zoetrope.models.folder import read_spec, shares, weights_file
from zoetrope.models.runs import original_of, read_cascade, read_run
from zoetrope.models.weights import Origin, Style, blend, check_weights, read_network
from zoetrope.networks import Network
from zoetrope.networks.reconstruction import ReconstructionConfig


class OpenModel(NamedTuple):
    """A cascade's description, and the file with each stage's weights, which is read when the stage runs.

    Attributes:
        weights, teacher_weights: the files of `spec.stages` and of `spec.teachers`, by stage name.
        card: the model's README.md; "" for runs.
        sources: the given name of the model or run that each stage comes from.
        styles: what the weights of a stage are interpolated with, by its name.
        codec_folder: that of the codec of stages that make latents; None: none does.
    """

    spec: CascadeSpec
    weights: Mapping[str, Path]
    card: str
    teacher_weights: Mapping[str, Path] = MappingProxyType({})
    sources: Mapping[str, str] = MappingProxyType({})
    styles: Mapping[str, Style] = MappingProxyType({})
    codec_folder: Path | None = None

    @property
    def codec(self) -> Callable[[], CodecNetwork] | None:
        """What loads the codec of stages that make latents; None: none does."""
        return None if self.codec_folder is None else partial(load_codec, self.codec_folder)

    def originals(self) -> "OpenModel":
        """The same with teachers instead of distilled stages.

        Raises ValueError if there are none, and where a style is mixed into a distilled stage.
        """
        if mixed := sorted(self.styles.keys() & self.teacher_weights.keys()):
            style, instead = self.styles[mixed[0]].name, "mix it into the originals instead"
            raise ValueError(f"{style}: is mixed into the distilled stage {mixed[0]!r}; {instead}")
        weights = {**self.weights, **self.teacher_weights}
        return self._replace(spec=self.spec.originals(), weights=weights, teacher_weights=MappingProxyType({}))

    def file(self, stage: StageSpec) -> Path:
        """The file with the weights of one of `spec.stages` or `spec.teachers`, on whatever grid it is."""
        return (self.teacher_weights if self._teaches(stage) else self.weights)[stage.name]

    def style(self, stage: StageSpec) -> Style | None:
        """What is mixed into the weights of one of `spec.stages`; None: nothing, as in those of a teacher."""
        return None if self._teaches(stage) else self.styles.get(stage.name)

    def _teaches(self, stage: StageSpec) -> bool:
        return stage.distilled is None and stage.name in self.teacher_weights

    def network(self, stage: StageSpec) -> Network:
        """A stage's network with its weights, see `zoetrope.models.weights.read_network`."""
        network = read_network(stage, self.file(stage))
        if (style := self.style(stage)) is not None:
            blend(network, stage.network.bare(), style)
        return network

    def origins(self) -> dict[str, Origin]:
        """Where the weights of each stage come from."""
        return {name: Origin(own, self.weights[name], self.styles.get(name)) for name, own in self.sources.items()}

    def check(self, stages: Sequence[StageSpec]) -> None:
        """Raise ValueError if weights of these stages are missing, damaged, or of another network.

        Likewise for a distilled stage that is sampled in a way that it was not distilled for. Only the headers of files
        are read, so that faults of late stages show before the first one runs.
        """
        if self.codec_folder is not None and any(stage.codec.encodes for stage in stages):
            expect_codec(self.codec_folder, self.spec.codec)
        for stage in stages:
            stage.check_sampling()
            check_weights(stage.network.bare(), self.file(stage))
            if (style := self.style(stage)) is not None:
                check_weights(stage.network.bare(), style.file, missing="leave")


class NamedCodec(NamedTuple):
    """A codec that is named beside models of latents, to decode these: its name as given, and its folder."""

    name: str
    folder: Path


class ModelContents(NamedTuple):
    """The contents of a single model or run.

    Attributes:
        name: as given.
        spec: the cascade that it describes; for a run, the whole cascade of its stage.
        weights, teacher_weights: the files of the stages and teachers that it holds, by stage name.
        teachers: the originals of its distilled stages.
        trained: whether it is a run, which replaces a model's stage.
        codec: the folder of the codec of stages that make latents, which may be missing where none does.
        average: the half-life of the moving average of a run, if one was named.
    """

    name: str
    spec: CascadeSpec
    weights: Mapping[str, Path]
    teachers: tuple[StageSpec, ...] = ()
    teacher_weights: Mapping[str, Path] = MappingProxyType({})
    card: str = ""
    trained: bool = False
    codec: Path = Path(CODEC)
    average: int | None = None


def contents(found: FoundModel | FoundRun) -> ModelContents:
    """The contents of a model or run. Raises ValueError if they cannot be read, or if a run has no checkpoint yet."""
    if isinstance(found, FoundModel):
        folder, spec = found.folder, read_spec(found.folder)
        home = _homes(folder, spec)
        weights = {stage.name: weights_file(home(stage), stage.weights_of or stage.name) for stage in spec.stages}
        taught = {stage.name: weights_file(home(stage), stage.name, teacher=True) for stage in spec.teachers}
        card, codec = read_card(folder), _codec_in(folder)
        return ModelContents(found.name, spec, weights, spec.teachers, taught, card, codec=codec)
    run = read_run(found.folder)
    spec, file = read_cascade(run), run.average_file(found.half_life)
    weights = {stage.name: file for stage in spec.stages if run.stage in (stage.name, stage.weights_of)}
    original = original_of(run.folder)
    teachers, taught = ((), {}) if original is None else ((original[0],), {run.stage: original[1]})
    codec, average = _codec_in(run.folder), found.half_life
    return ModelContents(found.name, spec, weights, teachers, taught, trained=True, codec=codec, average=average)


def _homes(folder: Path, spec: CascadeSpec) -> Callable[[StageSpec], Path]:
    """The folder that holds the weights of a stage: `folder`, or that of the shipped model that it is shared with.

    Raises ValueError as `zoetrope.models.folder.shares` does, and for a model that does not ship.
    """
    shared, known = shares(folder, spec), shipped()
    for name in shared.values():
        if name not in known:
            raise ValueError(f"{folder}: shares stages with {name!r}: {unknown('model', name, known)}")
    homes = {stage: known[name] for stage, name in shared.items()}
    return lambda stage: homes.get(stage.weights_of or stage.name, folder)


def _codec_in(folder: Path) -> Path:
    """Where the folder of a model or a run keeps a codec. Raises ValueError if links lead out of it."""
    for name in (DESCRIPTION, WEIGHTS):
        inside(folder, Path(CODEC) / name)
    return folder / CODEC


def open_model(names: str | Path | Sequence[str | Path]) -> OpenModel:
    """One cascade from models and runs, in any order; see `zoetrope.models.finding.find` for names.

    Runs replace a model's stages of the same name, or follow them. A run that trained a codec, or a codec's own folder,
    named beside a model of latents, decodes them.

    Raises ValueError if one does not exist, if two runs or two models have the same stage, if they use different text
    encoders or channels, if the stages do not fit each other, or if latents are not those of the codec.
    """
    names = [names] if isinstance(names, str | Path) else names
    if not names or not isinstance(names, Sequence):
        raise ValueError(f"model: expected a name, a path, or a list of at least one, got {shown(names)}")
    codecs = [NamedCodec(str(name), found) for name in names if (found := codec_folder(name)) is not None]
    every = dict.fromkeys(found for name in names if codec_folder(name) is None for found in find(name))
    parts, decoder = _with_decoder({found.name: contents(found) for found in every}, codecs)
    lead = next((part for part in parts.values() if not part.trained), next(iter(parts.values())))
    reading = [part for part in (lead, *parts.values()) if part.spec.text is not None]
    for part in reading:
        if part.spec.text != reading[0].spec.text:
            raise ValueError(f"{part.name}: reads text with another encoder than {reading[0].name}")
    for part in parts.values():
        if (wrong := difference(lead.spec.channels, part.spec.channels)) is not None:
            raise ValueError(f"{part.name}: {wrong}; those of {lead.name}")
    by_stage = {**_by_stage(parts, trained=False), **_by_stage(parts, trained=True)}  # runs take precedence
    stages = _in_a_row([part.spec.stage(stage) for stage, part in by_stage.items()])
    first = next((stage for stage in stages if not stage.makes_vectors), stages[0])
    if first.source is not None:
        raise ValueError(
            f"{by_stage[first.name].name}: stage {first.name!r} needs a video of {first.source}; "
            "name the model or the runs of the stages before it as well"
        )
    named = ((stage, each.stage) for stage in stages for each in stage.inputs if each.stage is not None)
    if lost := next((one for one in named if one[1] not in by_stage), None):
        raise ValueError(
            f"{by_stage[lost[0].name].name}: stage {lost[0].name!r} reads what stage {lost[1]!r} makes; name the model "
            "or the run of that one as well"
        )
    return _together(lead, {stage.name: by_stage[stage.name] for stage in stages}, stages, decoder)


def codec_folder(name: str | Path) -> Path | None:
    """The folder of this name if it is a codec's own, as that which a run keeps; None for a model, a run or no folder.

    Raises ValueError for what is no name.
    """
    expect_path("model", name, "a folder, a shipped name or a hub id")
    path = Path(os.path.expanduser(name))
    return path if (path / DESCRIPTION).is_file() else None


def _with_decoder(
    parts: Mapping[str, ModelContents], codecs: Sequence[NamedCodec]
) -> tuple[dict[str, ModelContents], NamedCodec | None]:
    """The models and runs of latents, and the codec that is named beside them, if any: among `codecs`, or by its run.

    Raises ValueError if several are, and for one that is not there.
    """
    runs = {name: part for name, part in parts.items() if all(_is_codec(stage) for stage in part.spec.stages)}
    if not codecs and len(runs) in (0, len(parts)):
        return dict(parts), None
    codecs = [*codecs, *(NamedCodec(name, _trained(part)) for name, part in runs.items())]
    first = codecs[0]
    if second := next((one for one in codecs if one.folder.resolve() != first.folder.resolve()), None):
        raise ValueError(f"{second.name}: expected one codec to decode latents, got two, with that of {first.name}")
    others = {name: part for name, part in parts.items() if name not in runs}
    if not any(stage.codec.encodes for part in others.values() for stage in part.spec.stages):
        raise ValueError(f"{first.name}: is a codec, but nothing that is named with it makes latents")
    return others, first


def _trained(part: ModelContents) -> Path:
    """The folder of the codec that a run has trained. Raises ValueError if it is not there yet, or for an average."""
    if part.average is not None:
        raise ValueError(f"{part.name}: a codec has the first moving average; name its run without @HALF_LIFE")
    if not (part.codec / DESCRIPTION).is_file():
        raise ValueError(
            f"{part.name}: expected a codec whose training has ended, got no {CODEC}/ in it; "
            "--resume goes on with its training, which writes it at its end"
        )
    return part.codec


def _is_codec(stage: StageSpec) -> bool:
    return isinstance(stage.network, ReconstructionConfig)


def _decoded_by(stages: Iterable[StageSpec], decoder: NamedCodec | None) -> tuple[StageSpec, ...]:
    """The stages, of which those of latents have the codec of `decoder`, if any."""
    if decoder is None:
        return tuple(stages)
    codec = load_codec(decoder.folder).codec
    return tuple(stage.with_(codec=codec) if stage.codec.encodes else stage for stage in stages)


def _together(
    lead: ModelContents, used: Mapping[str, ModelContents], stages: tuple[StageSpec, ...], decoder: NamedCodec | None
) -> OpenModel:
    """The model of these stages, each from its part in `used`; everything else but the `decoder` comes from `lead`.

    A stage that runs another's network has the weights of that one, wherever these come from.
    """
    owners = {stage.name: stage.weights_of or stage.name for stage in stages}
    teachers = {name: stage for name, part in used.items() for stage in part.teachers if stage.name == name}
    codec = _codec_of([part for name, part in used.items() if part.spec.stage(name).codec.encodes], decoder)
    trained_on = {part.spec.trained_on for part in used.values()}
    encoders = [part.spec.text for part in (lead, *used.values()) if part.spec.text is not None]
    made = {
        "name": " + ".join(dict.fromkeys(part.spec.name for part in used.values())),
        "text": encoders[0] if encoders else None,
        "stages": _decoded_by(stages, decoder),
        "teachers": _decoded_by(teachers.values(), decoder),
        "default_until": lead.spec.default_until if lead.spec.default_until in used else None,
        "trained_on": trained_on.pop() if len(trained_on) == 1 else None,
    }
    spec = CascadeSpec(**{**{field: getattr(lead.spec, field) for field in CascadeSpec.model_fields}, **made})
    return OpenModel(
        spec=spec,
        weights={stage: used[owner].weights[owner] for stage, owner in owners.items()},
        card=lead.card,
        teacher_weights={stage: used[stage].teacher_weights[stage] for stage in teachers},
        sources={stage: used[owner].name for stage, owner in owners.items()},
        codec_folder=codec,
    )


def _codec_of(parts: Sequence[ModelContents], decoder: NamedCodec | None) -> Path | None:
    """The folder of the codec of these parts, whose stages make latents: that of `decoder`, if any; None for no parts.

    Raises ValueError if they have several: to the one, latents of the other are noise. Likewise if their decoders
    differ, unless `decoder` is given.
    """
    named = {} if decoder is None else {decoder.folder: decoder.name}
    folders = {**named, **{part.codec: part.name for part in parts}}
    first, *others = folders or [None]
    for other in others:
        assert first is not None and other is not None
        one, two = load_codec(first), load_codec(other)
        if latent_identity(one) != latent_identity(two):
            raise ValueError(
                f"{folders[other]}: expected stages that make latents of one codec, got those of another codec than "
                f"that of {folders[first]}"
            )
        if decoder is None and identity(one) != identity(two):
            raise ValueError(
                f"{folders[other]}: has another decoder of these latents than {folders[first]}; name the codec that is "
                f"to decode them as well, such as {other}"
            )
    return first


def expect_codec(folder: Path, codec: Codec | None) -> None:
    """Raise ValueError unless the folder holds a whole codec of this description."""
    if (got := load_codec(folder).codec) != codec:
        raise ValueError(f"{folder}: expected {codec!r}, the codec of the model's latents, got {got!r}")


def _by_stage(parts: Mapping[str, ModelContents], *, trained: bool) -> dict[str, ModelContents]:
    """The run, or the model, that has each stage. Raises ValueError if two have the same one."""
    found: dict[str, ModelContents] = {}
    for part in parts.values():
        for stage in part.weights if part.trained == trained else ():
            if stage in found:
                raise ValueError(f"{found[stage].name} and {part.name} both have a stage {stage!r}; name one of them")
            found[stage] = part
    return found


def _in_a_row(stages: list[StageSpec]) -> tuple[StageSpec, ...]:
    """The stages in order: those of vectors, then each after the one that makes its video; those after none last."""
    vectors = [stage for stage in stages if stage.makes_vectors]
    stages = [stage for stage in stages if not stage.makes_vectors]
    row: list[StageSpec] = []
    while fitting := [stage for stage in stages if stage.source == (row[-1].made if row else None)]:
        row.append(fitting[0])
        stages.remove(fitting[0])
    return (*vectors, *row, *stages)
