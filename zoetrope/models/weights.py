"""Weights in safetensors files only: reading a pickle would run its code.

An 8-bit file stores each tensor of two or more axes as integers from -127 to 127, with a scale for each row (of the
first axis) as `<name>.scale`. Vectors are in bfloat16.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from zoetrope.cascade.spec import StageSpec
from zoetrope.files import whole
from zoetrope.files.tensors import save_tensors
from zoetrope.models.checkpoints import check_file
from zoetrope.networks import Network

SCALE = ".scale"  # no parameter has this name: its module would have the name of the tensor
FLOATS = ("F64", "F32", "F16", "BF16")
STORED = (torch.float32, torch.float16, torch.bfloat16, torch.int8)
SAMPLES, SAMPLE = 64, 2**14  # number of samples of a file in its fingerprint, and bytes of each
PICKLES = {".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle"}
IfMissing = Literal["refuse", "fresh"]
"""Tensors of a network that a file lacks: an error, or they keep their values."""
WhenMissing = IfMissing | Literal["leave"]
"""The same, or "leave": as "fresh", for files of networks that are given the same maps."""


class Style(NamedTuple):
    """Weights to interpolate a network's with: the given name of the model or run, the file, and their share."""

    name: str
    file: Path
    weight: float


class Origin(NamedTuple):
    """Where weights came from: the given name of the model or run, the file, and a style that is mixed in, if any."""

    name: str
    file: Path
    style: Style | None = None

    def fingerprint(self) -> str:
        """16 letters that identify the contents, from samples of the files: large ones need not be read whole."""
        found = hashlib.blake2b(digest_size=8)
        for path in (self.file,) if self.style is None else (self.file, self.style.file):
            size = path.stat().st_size
            found.update(str(size).encode())
            with path.open("rb") as file:
                for sample in range(SAMPLES):
                    file.seek(max(0, size - SAMPLE) * sample // (SAMPLES - 1))
                    found.update(file.read(SAMPLE))
        if self.style is not None:
            found.update(repr(self.style.weight).encode())
        return found.hexdigest()


def read_weights(
    module: nn.Module, path: Path, *, missing: WhenMissing = "refuse", maps: Mapping[str, int] | None = None
) -> list[str]:
    """Load a safetensors file into a module, in the module's own dtype.

    Returns the names of tensors that keep their values because the file lacks them, if `missing` allows that. If it is
    "fresh", the file may also be of a network that is given fewer maps, see `zoetrope.networks.Network.grown`: `maps`
    are that network's; None: not known.
    Raises ValueError that names the file and the fault: a pickle, damage, missing, unexpected or misshapen tensors, or
    values that are not finite. A file of a checkpoint must match its checksum there. On an error the module is
    unchanged. A module on the "meta" device gets its weights on the CPU.
    """
    check_weights(module, path, missing=missing, maps=maps)
    check_file(path)
    own = module.state_dict()
    with safe_open(path, framework="pt") as file:
        places = _places(module, file.keys())
        stored = {name: places[name].values(file) for name in own if name in places}
        scaled = {name for name in stored if name + SCALE in places}
        stored |= {name: _from_eight_bits(stored[name], places[name + SCALE].values(file)) for name in scaled}
    if missing == "fresh":
        stored |= _grown(module, path, stored, maps)
    bare = any(value.is_meta for value in own.values())
    found = {name: value.to(own[name].dtype) for name, value in stored.items()}
    _expect_finite(path, found)
    module.load_state_dict(found, assign=bare, strict=False)
    return sorted(own.keys() - stored.keys())


def read_network(stage: StageSpec, path: Path) -> Network:
    """A stage's network with the weights of a file, in float32, ready to sample; see `read_weights`."""
    network = stage.network.bare()
    read_weights(network, path)
    return network.eval().requires_grad_(False)


def blend(network: Network, other: Network, style: Style) -> None:
    """Make a network's weights (1 - a) W + a W_style [Bar-Tal et al. 2024, arXiv:2401.12945, Sec. 4].

    Tensors that the style lacks, as those of time in an image network, stay. `other` is the same network on the "meta"
    device, which takes the style's weights. Raises ValueError as `read_weights` does.
    """
    missing = set(read_weights(other, style.file, missing="leave"))
    theirs = {name: value for name, value in other.state_dict().items() if name not in missing}
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name in theirs and value.is_floating_point():
                value.lerp_(theirs[name], style.weight)


def check_weights(
    module: nn.Module, path: Path, *, missing: WhenMissing = "refuse", maps: Mapping[str, int] | None = None
) -> None:
    """Raise what `read_weights` would, from the file's header alone; the module may be on the "meta" device."""
    beside = [other.name for other in path.parent.glob("*") if other.suffix in PICKLES] if not path.is_file() else []
    if path.suffix in PICKLES or beside:
        raise ValueError(
            f"{path}: pickle files can run code and are never read; convert it to safetensors"
            + (f" (there is only {', '.join(sorted(beside))})" if beside else "")
        )
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    want = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    try:
        with safe_open(path, framework="pt") as file:
            places = _places(module, file.keys())
            shapes = {name: place.shape(file) for name, place in places.items()}
            types = {name: file.get_slice(place.name).get_dtype() for name, place in places.items()}
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error})") from None
    _expect_types(path, want, shapes, types)
    if missing == "fresh":
        known = {name: torch.empty(shape, device="meta") for name, shape in shapes.items() if name in want}
        shapes |= {name: tuple(value.shape) for name, value in _grown(module, path, known, maps).items()}
    if missing != "refuse":
        if want.keys().isdisjoint(shapes):
            raise ValueError(f"{path}: these are not the weights of this network: none of its tensors is there")
        want = {name: shape for name, shape in want.items() if name in shapes}
    scales = {name + SCALE for name in want if types.get(name) == "I8"}
    _expect_tensors(path, want, {name: shape for name, shape in shapes.items() if name not in scales})


def _grown(
    module: nn.Module, path: Path, stored: Mapping[str, Tensor], maps: Mapping[str, int] | None
) -> dict[str, Tensor]:
    """See `zoetrope.networks.Network.grown`. Raises ValueError with the path."""
    try:
        return module.grown(stored, maps) if isinstance(module, Network) else {}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


class _Place(NamedTuple):
    """Where a file stores a tensor: all of the tensor of that name, or some of its rows."""

    name: str
    first: int = 0
    end: int | None = None

    def values(self, file: Any) -> Tensor:
        """From an open file."""
        if self.end is None:
            return file.get_tensor(self.name)
        return file.get_slice(self.name)[self.first : self.end]

    def shape(self, file: Any) -> tuple[int, ...]:
        """From an open file."""
        shape = tuple(file.get_slice(self.name).get_shape())
        return shape if self.end is None else (len(range(*slice(self.first, self.end).indices(shape[0]))), *shape[1:])


def _places(module: nn.Module, names: Iterable[str]) -> dict[str, _Place]:
    """Today's name of each tensor -> where a file with tensors of these names stores it; see `Network.formerly`."""
    found = {name: _Place(name) for name in names}
    moved = {}
    for name, former in (module.formerly() if isinstance(module, Network) else {}).items():
        for part in ("", SCALE):
            if former.name + part in found and name + part not in found:
                moved[name + part] = _Place(former.name + part, former.first, former.end)
    gone = {place.name for place in moved.values()}
    return {name: place for name, place in found.items() if name not in gone} | moved


def write_weights(module: nn.Module, path: Path, dtype: torch.dtype | None = torch.bfloat16) -> None:
    """Write a module's weights in `dtype`, `torch.int8` with scales, or for None each tensor in the type that it has.

    The file appears whole or not at all.

    Raises ValueError that names the tensor for weights that are not finite in that type, such as numbers above 65504 in
    float16; OSError as on a full disk.
    """
    weights = {name: value.detach().cpu() for name, value in module.state_dict().items()}
    if dtype == torch.int8:
        weights = _in_eight_bits(weights)
    else:
        weights = {name: value.to(dtype or value.dtype).contiguous() for name, value in weights.items()}
    _expect_finite(path, weights, "" if dtype is None else f", as {dtype}")
    with whole(path) as partial:
        save_tensors(weights, partial)


def _expect_finite(path: Path, weights: Mapping[str, Tensor], what: str = "") -> None:
    """Raise ValueError, with the tensor, for NaN and infinity."""
    for name, value in weights.items():
        if value.is_floating_point() and value.numel() and not torch.stack(value.aminmax()).isfinite().all():
            raise ValueError(f"{path}: expected finite weights, got NaN or infinity in {name!r}{what}")


def expect_storable(where: str, dtype: torch.dtype) -> None:
    """Raise ValueError unless `write_weights` can write weights as `dtype`."""
    if dtype not in STORED:
        raise ValueError(f"{where}: expected {', '.join(map(str, STORED[:-1]))} or {STORED[-1]}, got {dtype}")


def _in_eight_bits(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor of two or more axes as integers and row scales, the others in bfloat16."""
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        if value.ndim < 2:
            found[name] = value.to(torch.bfloat16).contiguous()
            continue
        rows = value.float().flatten(1)
        scale = rows.abs().amax(1) / 127
        whole = (rows / scale.where(scale > 0, 1)[:, None]).round()
        found[name], found[name + SCALE] = whole.to(torch.int8).reshape(value.shape), scale
    return found


def _from_eight_bits(whole: Tensor, scale: Tensor) -> Tensor:
    return (whole.float().flatten(1) * scale.float()[:, None]).reshape(whole.shape)


def _expect_types(
    path: Path, want: dict[str, tuple[int, ...]], shapes: dict[str, tuple[int, ...]], types: dict[str, str]
) -> None:
    """Raise ValueError for tensors of the network that are neither floating-point nor 8-bit with row scales."""
    for name, stored in types.items():
        if name not in want and name.removesuffix(SCALE) not in want:
            continue
        if stored not in FLOATS and not (stored == "I8" and name in want and len(shapes[name]) >= 2):
            legal = f"{', '.join(FLOATS)}, or I8 for one of two or more axes"
            raise ValueError(f"{path}: {name!r}: expected {legal}, got {stored} of shape {shapes[name]}")
        if stored == "I8" and (got := shapes.get(name + SCALE)) != shapes[name][:1]:
            raise ValueError(
                f"{path}: {name!r} is in 8 bits; expected {name + SCALE!r} of {shapes[name][:1]}, got {got}"
            )


def _expect_tensors(path: Path, want: dict[str, tuple[int, ...]], got: dict[str, tuple[int, ...]]) -> None:
    problems = []
    if missing := sorted(want.keys() - got.keys()):
        problems.append(f"{len(missing)} tensors are missing, first {missing[0]!r}")
    if extra := sorted(got.keys() - want.keys()):
        problems.append(f"{len(extra)} tensors are unexpected, first {extra[0]!r}")
    for name in sorted(want.keys() & got.keys()):
        if want[name] != got[name]:
            problems.append(f"{name!r} has shape {got[name]}, expected {want[name]}")
            break
    if problems:
        raise ValueError(f"{path}: these are not the weights of this network: " + "; ".join(problems))
