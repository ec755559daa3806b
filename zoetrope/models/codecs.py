"""A codec in a folder: `codec.json`, its description, and `codec.safetensors`, its weights with their scale."""

import hashlib
import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from zoetrope.codecs import Codec, CodecNetwork
from zoetrope.files import whole_folder
from zoetrope.layers.bare import bare

DESCRIPTION, WEIGHTS = "codec.json", "codec.safetensors"


def identity(network: CodecNetwork) -> str:
    """What latents depend on, as a checksum: the description, the weights and the scale.

    Latents of one codec are noise to another of the same shape.
    """
    made = hashlib.sha256(json.dumps(network.codec.to_json(), sort_keys=True).encode())
    for name, value in sorted(network.state_dict().items()):
        made.update(name.encode())
        made.update(value.detach().cpu().contiguous().flatten().numpy().tobytes())
    return made.hexdigest()


def save_codec(network: CodecNetwork, folder: Path, *, over: bool = False) -> None:
    """Write the codec into the folder, whole or not at all; with `over` in place of what is there."""
    with whole_folder(folder, over=over) as partial:
        (partial / DESCRIPTION).write_text(json.dumps(network.codec.to_json(), indent=2) + "\n", "utf-8")
        tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
        save_file(tensors, partial / WEIGHTS)


def load_codec(folder: Path) -> CodecNetwork:
    """The codec in a folder, on the CPU, frozen, in the precision that it was written in.

    Raises ValueError, in one line, if a file is missing or damaged, or if the weights are not of the codec that is
    described: a decoder without its encoder, say.
    """
    path = folder / DESCRIPTION
    try:
        codec = Codec.from_json(path.read_text("utf-8"))
        path = folder / WEIGHTS
        tensors = load_file(path)
    except (SafetensorError, OSError, UnicodeDecodeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{path}: expected a file of a codec, {DESCRIPTION} and {WEIGHTS} ({reason})") from None
    with bare():
        network = codec.build()
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    parts = {name.partition(".")[0] for name in wanted}
    if lacking := sorted(parts - {name.partition(".")[0] for name in tensors}):
        raise ValueError(f"{path}: expected {', '.join(sorted(parts))}, but {', '.join(lacking)} is missing")
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise ValueError(
                f"{path}: expected {name} of shape {wanted.get(name, 'none')}, got {found.get(name, 'none')}: "
                f"not the weights of the codec that {DESCRIPTION} describes"
            )
    network.load_state_dict(tensors, assign=True)
    return network.eval().requires_grad_(False)
