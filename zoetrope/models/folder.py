"""A cascade on disk: `cascade.json` and `<stage>/model.safetensors`, beside a README.md that is its card.

Where stages make latents, `codec/` holds their codec, see `zoetrope.codecs`.

Where a stage is distilled, `<stage>/teacher.safetensors` holds the weights of the original, which may be in 8 bits.

A pretrained encoder may lie in a folder of the model's: `cascade.json` names it "./" and that folder's name.

A model that ships may share stages with another one: "shares" in `cascade.json` says whose weights each of these has.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.codecs import DESCRIPTION, CodecNetwork, save_codec
from zoetrope.codecs import FOLDER as CODEC
from zoetrope.codecs import WEIGHTS as CODEC_WEIGHTS
from zoetrope.config import expect_importable, packages_of, shown
from zoetrope.config.foreign import trusting
from zoetrope.files import whole_folder
from zoetrope.models.description import described
from zoetrope.models.files import inside, read_json_of
from zoetrope.models.weights import expect_storable, write_weights
from zoetrope.networks import Network
from zoetrope.pretrained import FILES, located

FORMAT = 4  # see `zoetrope.cascade.migration`
FILE, SHARES, CARD, SCORES = "cascade.json", "shares", "README.md", "scores.json"
WEIGHTS, TEACHER_WEIGHTS = "model.safetensors", "teacher.safetensors"


def read_spec(folder: Path) -> CascadeSpec:
    """The cascade that a folder holds.

    Raises ValueError if cascade.json is damaged, has unknown keys, was written by a newer version, or names classes of
    packages that are not trusted, see `zoetrope.config.foreign.trusting`.
    """
    file, value = folder / FILE, read_json_of(folder, FILE)
    if not isinstance(value, dict) or not isinstance(value.get("format"), int):
        raise ValueError(f'{file}: expected an object with a whole number "format"')
    if value.pop("format") > FORMAT:
        raise ValueError(f"{file}: written by a newer version of zoetrope (this one reads format {FORMAT}); upgrade")
    value.pop("requires", None)  # informative only
    value.pop(SHARES, None)  # see `shares`
    try:
        return with_encoders(described(CascadeSpec, value), partial(_encoder_in, folder=folder))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def shares(folder: Path, spec: CascadeSpec) -> dict[str, str]:
    """The names of the shipped models whose weights stages of a folder have, by stage; {} where none does.

    Raises ValueError for anything else under "shares", and for stages that the cascade `spec` has not.
    """
    told = read_json_of(folder, FILE).get(SHARES, {})
    if not isinstance(told, dict) or not all(isinstance(name, str) for name in told.values()):
        raise ValueError(f"{folder / FILE}: {SHARES}: expected the names of shipped models by stage, got {shown(told)}")
    if lost := sorted(told.keys() - {stage.name for stage in spec.stages}):
        raise ValueError(f"{folder / FILE}: {SHARES}: expected stages of the cascade, got {lost[0]!r}")
    return told


def with_encoders(spec: CascadeSpec, change: Callable[[str], str]) -> CascadeSpec:
    """The cascade whose pretrained encoders have the names that `change` makes of theirs. Raises what that raises."""

    def of(stage: StageSpec) -> StageSpec:
        inputs = tuple(each.renamed(change) for each in stage.inputs)
        return stage if inputs == stage.inputs else stage.with_(inputs=inputs)

    stages, teachers = tuple(map(of, spec.stages)), tuple(map(of, spec.teachers))
    if (stages, teachers) != (spec.stages, spec.teachers):
        spec = spec.with_(stages=stages, teachers=teachers)
    return spec if spec.text is None else spec.with_(text=spec.text.renamed(change))


def portable(spec: CascadeSpec) -> tuple[CascadeSpec, dict[str, Path]]:
    """The cascade whose encoders that lie in a model's folder are named as in one, and their folders by name."""
    found, taken = dict[Path, str](), {CODEC, *(stage.name for stage in spec.stages)}

    def name(model: str) -> str:
        path = Path(os.path.abspath(model))
        if not (Path(model).is_absolute() or model.startswith("./")):
            return model
        if _model_around(path) is None:
            return str(path)
        if path not in found:
            own = path.name
            while own in taken:
                own += "_"
            taken.add(own)
            found[path] = own
        return f"./{found[path]}"

    made = with_encoders(spec, name)
    return made, {own: path for path, own in found.items()}


def _model_around(path: Path) -> Path | None:
    """The folder of the model that a folder lies in; None: it lies in none."""
    return next((above for above in path.parents if (above / FILE).is_file()), None)


def _copy_encoder(source: Path, folder: Path) -> None:
    """Copy a pretrained encoder out of a model's folder. Raises ValueError as `_files_in` does."""
    root = _model_around(source)
    assert root is not None
    folder.mkdir()
    for path in _files_in(source, root):
        shutil.copyfile(path, folder / path.name)


def _encoder_in(model: str, folder: Path) -> str:
    """The name of an encoder, or its path if it lies in a model's `folder`.

    Raises ValueError for one that leads out of the folder, or has a file that does.
    """
    found = located(model, folder)
    if found != model:
        _files_in(Path(found), folder.resolve())
    return found


def _files_in(encoder: Path, root: Path) -> list[Path]:
    """The files of an encoder in a model's folder `root`. Raises ValueError for links that lead out of that."""
    found = sorted({path for pattern in FILES for path in encoder.glob(pattern)})
    return [inside(root, path.relative_to(root)) for path in found]


def weights_file(folder: Path, stage: str, *, teacher: bool = False) -> Path:
    """The path of a stage's weights, or its teacher's, which need not exist.

    Raises ValueError if links lead out of the folder, see `zoetrope.models.files.inside`.
    """
    return inside(folder, Path(stage) / (TEACHER_WEIGHTS if teacher else WEIGHTS))


def write_model(
    folder: Path,
    spec: CascadeSpec,
    networks: Mapping[str, Network],
    card: str,
    teachers: Mapping[str, Network] = MappingProxyType({}),
    dtype: torch.dtype = torch.bfloat16,
    teacher_dtype: torch.dtype = torch.bfloat16,
    codec: CodecNetwork | None = None,
) -> None:
    """Write a whole model. It appears complete or not at all; an older one at its path is replaced at the end.

    `networks` and `teachers` hold the networks of spec.stages and spec.teachers by name, those that stages share once,
    by the name of the stage that they are of. Weights are stored in `dtype`, those of teachers in `teacher_dtype`, see
    `zoetrope.models.weights.write_weights`. `codec` is that of stages that make latents. Pretrained encoders that lie
    in a model's folder are copied.

    Raises ValueError if `folder` is a file, has no name of its own, or holds something that is not a model, if
    `codec` is not the one that is described, and if `read_spec` would not give the description back; OSError if it
    cannot be written.
    """
    spec, encoders = portable(spec)
    expect_readable(spec)
    for name, kind in (("dtype", dtype), ("teacher_dtype", teacher_dtype)):
        expect_storable(name, kind)
    if (None if codec is None else codec.codec) != spec.codec:
        raise ValueError(f"{spec.name}: codec: expected {spec.codec!r}, got {codec and codec.codec!r}")
    folder = replaceable(folder)
    with whole_folder(folder, over=True) as begun:
        for stage in (each for each in spec.stages if each.weights_of is None):
            (begun / stage.name).mkdir()
            write_weights(networks[stage.name], begun / stage.name / WEIGHTS, dtype)
        if codec is not None:
            save_codec(codec, begun / CODEC)
        for stage in spec.teachers:
            write_weights(teachers[stage.name], begun / stage.name / TEACHER_WEIGHTS, teacher_dtype)
        for name, source in encoders.items():
            _copy_encoder(source, begun / name)
        describe(begun, spec, card)


def replaceable(folder: Path) -> Path:
    """Where a model is written whose name is `folder`. Raises ValueError unless it is a new or empty one, or a model's.

    All in it is replaced, so nothing may lie there, or in a folder of it, that no model has. A link is kept: it is that
    of its target.
    """
    if folder.name in ("", ".."):
        raise ValueError(f"{folder}: expected the name of a folder for the model, got one that cannot be replaced")
    folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected a new folder or one with a model, got a file")
    if folder.exists() and any(folder.iterdir()) and not (folder / FILE).is_file():
        raise ValueError(f"{folder}: expected a new folder or one with a model, got one with other files")
    if others := _others_in(folder) if folder.exists() else []:
        raise ValueError(
            f"{folder}: expected a new folder or one with a model alone, which would be replaced, got one that also "
            f"holds {others[0]}"
        )
    return folder


def _others_in(folder: Path) -> list[str]:
    """What does not belong to the model in a folder, sorted, as far as its description can be read."""
    own, found = _own_files(folder), list[str]()
    for path in folder.iterdir():
        if path.is_dir() and path.name in own:
            inner = [each for each in path.iterdir() if not each.is_file() or not any(map(each.match, own[path.name]))]
            found += [f"{path.name}/{each.name}" for each in inner]
        elif path.name not in (FILE, CARD, SCORES):
            found.append(path.name)
    return sorted(found)


def _own_files(folder: Path) -> dict[str, Sequence[str]]:
    """The folders in that of a model, and patterns for their files."""
    try:
        told = read_json_of(folder, FILE)
    except ValueError:
        told = None
    stages = told.get("stages") if isinstance(told, dict) else None
    named = [str(one.get("name")) for one in (stages if isinstance(stages, list) else ()) if isinstance(one, dict)]
    encoders = dict.fromkeys(name[2:].partition("/")[0] for name in _models(told) if name.startswith("./"))
    return {
        **dict.fromkeys(encoders, FILES),
        **dict.fromkeys(named, (WEIGHTS, TEACHER_WEIGHTS)),
        CODEC: (DESCRIPTION, CODEC_WEIGHTS),
    }


def _models(value: Any) -> Iterator[str]:
    """All fields "model" in a JSON value: those of a model's own encoders are "./NAME"."""
    if isinstance(value, dict) and isinstance(name := value.get("model"), str):
        yield name
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _models(each)


def describe(folder: Path, spec: CascadeSpec, card: str) -> None:
    """Write the description and the card of a model."""
    (folder / FILE).write_text(json.dumps(_description(spec), indent=1) + "\n")
    (folder / CARD).write_text(card, "utf-8", "backslashreplace")


def expect_readable(spec: CascadeSpec) -> None:
    """Raise ValueError unless the cascade's description can be written and read back unchanged."""
    expect_importable(spec)
    try:
        with trusting(*packages_of(spec)):
            if CascadeSpec.from_json(json.dumps(spec.to_json())) == spec:
                return
        why = "it reads back as another one"
    except ValueError as error:
        why = str(error)
    raise ValueError(f"{spec.name}: expected a cascade that can be read again from its JSON ({why})")


def _description(spec: CascadeSpec) -> dict[str, Any]:
    """The contents of cascade.json; "requires" are the other packages that the model needs."""
    requires = {"requires": packages} if (packages := packages_of(spec)) else {}
    return {"format": FORMAT, **requires, **spec.to_json()}
