"""A cascade on disk: `cascade.json` and `<stage>/model.safetensors`, beside a README.md that is its card.

Where a stage is distilled, `<stage>/teacher.safetensors` holds the weights of the original, which may be in 8 bits.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import torch

from zoetrope.cascade.spec import CascadeSpec
from zoetrope.config import Config, Kind
from zoetrope.models.description import described
from zoetrope.models.files import inside, read_json
from zoetrope.models.weights import write_weights
from zoetrope.networks import Network

FORMAT = 3  # 2: noise is that of "mersenne"
FILE = "cascade.json"
WEIGHTS, TEACHER_WEIGHTS = "model.safetensors", "teacher.safetensors"


def read_spec(folder: Path) -> CascadeSpec:
    """The cascade that a folder holds.

    Raises ValueError if cascade.json is damaged, has unknown keys, or was written by a newer version.
    """
    file, value = folder / FILE, read_json(folder, FILE)
    if not isinstance(value, dict) or not isinstance(value.get("format"), int):
        raise ValueError(f'{file}: expected an object with a whole number "format"')
    if value.pop("format") > FORMAT:
        raise ValueError(f"{file}: written by a newer version of zoetrope (this one reads format {FORMAT}); upgrade")
    try:
        return described(CascadeSpec, value)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def weights_file(folder: Path, stage: str, *, teacher: bool = False) -> Path:
    """The file with a stage's weights, or its teacher's, which need not be there.

    Raises ValueError if links lead out of the folder, see `zoetrope.models.files.inside`.
    """
    return inside(folder, Path(stage) / (TEACHER_WEIGHTS if teacher else WEIGHTS))


def write_model(
    folder: Path,
    spec: CascadeSpec,
    networks: Mapping[str, Network],
    card: str,
    teachers: Mapping[str, Network] = MappingProxyType({}),
    teacher_dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Write a whole model. It appears complete or not at all; an older one in its place is replaced at the end.

    `networks` and `teachers` hold the networks of spec.stages and spec.teachers by name. Weights are stored in
    bfloat16, those of teachers in `teacher_dtype`, see `zoetrope.models.weights.write_weights`.

    Raises ValueError if `folder` is a file, has no name of its own, or holds something that is not a model, and if
    `read_spec` would not give the description back; OSError if it cannot be written.
    """
    expect_readable(spec)
    if folder.name in ("", ".."):
        raise ValueError(f"{folder}: expected the name of a folder for the model, got one that cannot be replaced")
    folder = folder.resolve()  # a link stays, and the model goes where it leads
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected a new folder or one with a model, got a file")
    if folder.exists() and any(folder.iterdir()) and not (folder / FILE).exists():
        raise ValueError(f"{folder}: expected a new folder or one with a model, got one with other files")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for stage in spec.stages:
            (partial / stage.name).mkdir(parents=True)
            write_weights(networks[stage.name], partial / stage.name / WEIGHTS)
        for stage in spec.teachers:
            write_weights(teachers[stage.name], partial / stage.name / TEACHER_WEIGHTS, teacher_dtype)
        (partial / FILE).write_text(json.dumps({"format": FORMAT, **spec.to_json()}, indent=1) + "\n")
        (partial / "README.md").write_text(card)
        _put_in_place(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def expect_readable(spec: CascadeSpec) -> None:
    """Raise ValueError unless what is written of the cascade can be read again, as it is."""
    for where, value in _kinds(spec, ""):
        own = f"{type(value).__module__}.{type(value).__qualname__}"
        if value.kind() not in value.names() or type(value).named(value.kind()) is not type(value):
            file = f"{value.folder.replace('.', '/')}/{value.kind()}.py"
            raise ValueError(
                f"{where}: expected a kind that comes with zoetrope, got {own}; to be saved, make it {file}"
            )
    try:
        if CascadeSpec.from_json(json.dumps(spec.to_json())) == spec:
            return
        why = "it reads back as another one"
    except ValueError as error:
        why = str(error)
    raise ValueError(f"{spec.name}: expected a cascade that can be read again from its JSON ({why})")


def _kinds(value: object, where: str) -> Iterator[tuple[str, Kind]]:
    """Every schedule, sampler, network and text encoder in a description, by the path of its field."""
    if isinstance(value, Kind):
        yield where, value
    if isinstance(value, Config):
        for name in type(value).model_fields:
            yield from _kinds(getattr(value, name), f"{where}.{name}".lstrip("."))
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _kinds(item, f"{where}.{getattr(item, 'name', number)}")


def _put_in_place(new: Path, folder: Path) -> None:
    """Rename `new` to `folder`. What was there is moved aside first, and back again if that fails."""
    aside = folder.with_name(f".{folder.name}.old")
    if folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(folder, aside)
    try:
        os.replace(new, folder)
    except BaseException:
        if aside.exists() and not folder.exists():
            os.replace(aside, folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)
