"""A cascade on disk: `cascade.json` and `<stage>/model.safetensors`, beside a README.md that is its card.

Where a stage is distilled, `<stage>/teacher.safetensors` holds the weights of the original, which may be in 8 bits.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType

import torch

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.config import Config, Kind, unknown
from zoetrope.explain import expect_path
from zoetrope.models.files import inside, read_json
from zoetrope.models.weights import PICKLES, read_weights, write_weights
from zoetrope.networks import Network

FORMAT = 3  # 2: noise is that of "mersenne"
FILE = "cascade.json"
WEIGHTS, TEACHER_WEIGHTS = "model.safetensors", "teacher.safetensors"


def shipped() -> dict[str, Path]:
    """The models that come with the package, by name."""
    root = Path(str(resources.files("zoetrope.models")))
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{FILE}"))}


def locate(name_or_path: str | Path) -> Path:
    """The folder of a model: a folder, a shipped name, or a hub id "owner/name", which is downloaded.

    Raises ValueError, with the nearest name, if there is no such model.
    """
    expect_path("model", name_or_path, "a folder, a shipped name or a hub id")
    path, name = Path(os.path.expanduser(name_or_path)), str(name_or_path)
    if (path / FILE).is_file():
        return path
    if path.is_dir():
        raise ValueError(f"{path}: not a model, the folder has no {FILE}, nor the checkpoints of a run")
    if path.suffix and path.exists():
        why = "; pickle files can run code and are never read" if path.suffix in PICKLES else ""
        raise ValueError(f"{path}: expected a model folder with a {FILE}, got a file{why}")
    if name in shipped():
        return shipped()[name]
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return _download(name)
    if path.exists():
        raise ValueError(f"{name}: expected the folder of a model or of a run, got a file")
    if "/" in name or os.sep in name:
        raise ValueError(f"{name}: expected the folder of a model or of a run, there is none of this name")
    raise ValueError(unknown("model", name, shipped()))


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
        return CascadeSpec.from_json(value)
    except RecursionError:
        raise ValueError(f"{file}: too deeply nested") from None
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{file}: {error}") from None


def weights_file(folder: Path, stage: str, *, teacher: bool = False) -> Path:
    """The file with a stage's weights, or its teacher's, which need not be there.

    Raises ValueError if links lead out of the folder, see `zoetrope.models.files.inside`.
    """
    return inside(folder, Path(stage) / (TEACHER_WEIGHTS if teacher else WEIGHTS))


def read_network(folder: Path, stage: StageSpec, *, teacher: bool = False) -> Network:
    """A stage's network with its weights, or that of its teacher, see `loaded`."""
    return loaded(stage, weights_file(folder, stage.name, teacher=teacher))


def loaded(stage: StageSpec, weights: Path) -> Network:
    """A stage's network with the weights of a file, in float32, ready to sample.

    Raises ValueError if the weights are missing, damaged, or those of another network.
    """
    network = stage.network.bare()
    read_weights(network, weights)
    return network.eval().requires_grad_(False)


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


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns = [FILE, "README.md", f"*/{WEIGHTS}", f"*/{TEACHER_WEIGHTS}"]
    try:
        folder = Path(snapshot_download(name, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{name}: no folder of this name, no shipped model, and not reachable on the hub ({reason})"
        ) from None
    if not (folder / FILE).is_file():
        raise ValueError(f"{name}: this hub repository is not a zoetrope model, it has no {FILE}")
    return folder
