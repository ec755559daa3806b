"""Weights of components: safetensors alone, checked against the module that they are for."""

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from zoetrope.interop.folder import Component
from zoetrope.models.weights import FLOATS, PICKLES
from zoetrope.pretrained import files_of, variant_in

FORMER = re.compile(r"(attentions\.\d+\.)(query|key|value|proj_attn)(\.)")
"""Former names of an autoencoder's attention, in which Stable Diffusion's was published."""
TODAY = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def weights_in(part: Component, stem: str = "diffusion_pytorch_model") -> Path:
    """The file of a component's weights: the one without a variant, or else that of one such as "fp16".

    Raises ValueError, with what is there instead, if there is none: pickles are never read.
    """
    folder = part.root / part.below
    name, index = files_of(stem, variant_in(folder, stem))
    if (path := part.inside(name)).is_file():
        return path
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if part.inside(index).is_file():
        got = f"weights in several files ({index}), which are not read; save it with a larger max_shard_size"
    elif pickles:
        got = f"only pickled weights ({', '.join(pickles)}), which can run code and are never read; convert them"
    else:
        got = "none"
    raise ValueError(f"{folder}: expected the weights of {part.name} in {stem}.safetensors, got {got}")


def filled(module: nn.Module, path: Path) -> None:
    """Load a file into a module on the meta device. Each tensor keeps its type, except that 64 bits become 32.

    Raises ValueError that names the file and the fault: damage, missing, unexpected or misshapen tensors, two of one
    name, types that are no weights, or values that are not finite.
    """
    want = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    try:
        with safe_open(path, framework="pt") as file:
            stored = _named_today(path, file.keys())
            slices = {name: file.get_slice(own) for name, own in stored.items()}
            shapes = {name: _squared(tuple(part.get_shape()), want.get(name)) for name, part in slices.items()}
            _expect_alike(path, want, shapes)
            types = {part.get_dtype() for part in slices.values()}
            if not types <= set(FLOATS):
                raise ValueError(f"{path}: expected weights in {', '.join(FLOATS)}, got {sorted(types - set(FLOATS))}")
            found = {name: _of_32_bits(file.get_tensor(own)).reshape(want[name]) for name, own in stored.items()}
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error})") from None
    for name, value in found.items():
        if not torch.stack(value.aminmax()).isfinite().all():
            raise ValueError(f"{path}: expected finite weights, got NaN or infinity in {name!r}")
    module.load_state_dict(found, assign=True)


def _of_32_bits(value: Tensor) -> Tensor:
    """The same, in at most 32 bits."""
    return value.float() if value.dtype == torch.float64 else value


def _named_today(path: Path, names: Iterable[str]) -> dict[str, str]:
    """Today's names of tensors, and their own. Raises ValueError for two that are one today."""
    found = dict[str, str]()
    for name in names:
        if (today := _today(name)) in found:
            raise ValueError(f"{path}: {today}: expected one tensor, got two, {found[today]!r} and {name!r}")
        found[today] = name
    return found


def _today(name: str) -> str:
    """Today's name of a tensor."""
    return FORMER.sub(lambda found: f"{found[1]}{TODAY[found[2]]}{found[3]}", name)


def _squared(shape: tuple[int, ...], want: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape that is wanted for one that differs by trailing ones: a convolution of a pixel is a matrix."""
    return want if want is not None and shape in (want, (*want, 1, 1)) else shape


def _expect_alike(path: Path, want: dict[str, tuple[int, ...]], got: dict[str, tuple[int, ...]]) -> None:
    for name in sorted(want.keys() | got.keys()):
        if want.get(name) != got.get(name):
            wanted, here = (str(shapes.get(name, "none")) for shapes in (want, got))
            raise ValueError(
                f"{path}: {name}: expected {wanted}, got {here}: not the weights that its configuration describes"
            )
