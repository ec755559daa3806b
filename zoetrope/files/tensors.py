"""Files of tensors, in the safetensors format."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor


def save_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file. Raises OSError that names it if it cannot be written, as on a full disk."""
    path.touch()  # with the user's default permissions; safetensors would make it readable to its owner alone
    try:
        mode = path.stat().st_mode
        save_file(tensors, path, metadata=metadata)
        path.chmod(mode)
    except SafetensorError as error:
        raise OSError(f"{path}: cannot be written ({error})") from error
