"""Everything a training is at one moment, and how it is kept: a folder for each checkpoint, safetensors and JSON."""

import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer

from zoetrope.models.weights import read_weights, save_tensors
from zoetrope.networks import Network
from zoetrope.training.optimizers import optimizers, state_shapes
from zoetrope.training.spec import TrainSpec

log = logging.getLogger(__name__)
LEVELS = 32  # parts of [0, 1] that the typical error is known for


class TypicalError:
    """The running mean of the error in each part of diffusion time."""

    def __init__(self) -> None:
        self.sums = torch.ones(LEVELS, dtype=torch.float64)
        self.counts = torch.ones(LEVELS, dtype=torch.float64)

    def at(self, t: Tensor) -> Tensor:
        """The typical error (B,) at times t (B,)."""
        return (self.sums / self.counts)[self._part(t)]

    def add(self, t: Tensor, errors: Tensor, memory: float = 0.998) -> None:
        """Take in the errors (B,) seen at times t (B,)."""
        self.sums = memory * self.sums + torch.zeros_like(self.sums).index_add_(0, self._part(t), errors.double())
        ones = torch.ones_like(errors, dtype=torch.float64)
        self.counts = memory * self.counts + torch.zeros_like(self.counts).index_add_(0, self._part(t), ones)

    def _part(self, t: Tensor) -> Tensor:
        return (t * LEVELS).long().clamp(max=LEVELS - 1)


class TrainState:
    """The network, the moving average of its weights, the optimizer, and how many examples they have seen."""

    def __init__(self, network: Network, average: Network, spec: TrainSpec, dtype: torch.dtype = torch.float32):
        """`dtype` is what the training computes in."""
        self.network = network
        self.average = average.requires_grad_(False)
        self.spec = spec
        self.examples = 0
        self.typical = TypicalError()
        self.optimizers = optimizers(
            network, spec.optimizer, betas=spec.betas, weight_decay=spec.weight_decay, dtype=dtype
        )

    def gradient_norm(self) -> float:
        """The norm of the gradient, which is then clipped."""
        return float(nn.utils.clip_grad_norm_(self.network.parameters(), self.spec.clip))

    def skip(self, batch: int) -> None:
        """Go on without learning from a batch."""
        self.network.zero_grad(set_to_none=True)
        self.examples += batch

    def update(self, batch: int) -> None:
        """One optimizer step, and the moving average after it."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.spec.learning_rate(self.examples)
            optimizer.step()
        self.network.zero_grad(set_to_none=True)
        self.examples += batch
        # Early weights are worth forgetting quickly [Karras et al. 2022, arXiv:2206.00364, App. F.2].
        half_life = max(1.0, min(self.spec.half_life, 0.1 * self.examples))
        with torch.no_grad():
            ours: list[Tensor] = list(self.average.parameters())
            theirs: list[Tensor] = list(self.network.parameters())
            torch._foreach_lerp_(ours, theirs, 1 - 0.5 ** (batch / half_life))

    def save(self, checkpoints: Path, keep: int) -> Path:
        """Write a checkpoint that is whole or not there, and remove all but the newest `keep`.

        Raises OSError that names the checkpoint or its file if it cannot be written, as on a full disk.
        """
        checkpoints.mkdir(parents=True, exist_ok=True)
        final = checkpoints / f"{self.examples:09d}"
        partial = checkpoints / f".{final.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir()
            self._write(partial)
        except BaseException as error:
            shutil.rmtree(partial, ignore_errors=True)
            if isinstance(error, OSError) and error.strerror and error.filename is None:
                raise OSError(error.errno, error.strerror, str(final)) from error
            raise
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        for old in find_checkpoints(checkpoints)[:-keep]:
            shutil.rmtree(old)
        return final

    def _write(self, folder: Path) -> None:
        save_tensors(tensors(self.network), folder / "model.safetensors")
        save_tensors(tensors(self.average), folder / "average.safetensors")
        save_tensors(self._optimizer_tensors(), folder / "optimizer.safetensors")
        save_tensors({"sums": self.typical.sums, "counts": self.typical.counts}, folder / "errors.safetensors")
        (folder / "state.json").write_text(json.dumps({"examples": self.examples, "threads": torch.get_num_threads()}))
        for file in folder.iterdir():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())

    def load(self, checkpoint: Path) -> None:
        """Continue from a checkpoint.

        Raises ValueError that names the file if one is missing or damaged, or is not of this network.
        """
        for module, name in ((self.network, "model"), (self.average, "average")):
            read_weights(module, checkpoint / f"{name}.safetensors")
        path = checkpoint / "optimizer.safetensors"
        stored = _read_tensors(path)
        for name, parameter, optimizer in self._optimized():
            shapes = {f"{key}.{name}": shape for key, shape in state_shapes(optimizer, parameter).items()}
            if any(key in stored for key in shapes):  # a parameter that never had a gradient has no state
                own = {key: _expect_tensor(path, stored, key, shape).to(parameter) for key, shape in shapes.items()}
                optimizer.state[parameter] = {key.partition(".")[0]: value for key, value in own.items()}
                stored = {key: value for key, value in stored.items() if key not in own}
        if stored:
            raise ValueError(f"{path}: holds {min(stored)!r}, which {self.spec.optimizer!r} has no use for")
        path = checkpoint / "errors.safetensors"
        stored = _read_tensors(path)
        self.typical.sums, self.typical.counts = (
            _expect_tensor(path, stored, name, torch.Size([LEVELS])) for name in ("sums", "counts")
        )
        self.examples, threads = _read_position(checkpoint / "state.json")
        if threads != torch.get_num_threads():
            here = torch.get_num_threads()
            log.warning("%s was written with %d threads, not %d: the last bits may differ", checkpoint, threads, here)

    def _optimized(self) -> Iterator[tuple[str, nn.Parameter, Optimizer]]:
        """Every parameter with its name and its optimizer."""
        owners = {id(p): own for own in self.optimizers for group in own.param_groups for p in group["params"]}
        for name, parameter in self.network.named_parameters():
            yield name, parameter, owners[id(parameter)]

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        return {
            f"{key}.{name}": value.contiguous()
            for name, parameter, optimizer in self._optimized()
            for key, value in optimizer.state.get(parameter, {}).items()
        }


def find_checkpoints(checkpoints: Path) -> list[Path]:
    """The complete checkpoints of a folder, oldest first."""
    return sorted(path for path in checkpoints.glob("[0-9]*") if (path / "state.json").exists())


def sweep(checkpoints: Path) -> None:
    """Remove what a training that was killed while it wrote a checkpoint has left of it."""
    for stale in checkpoints.glob(".*.partial"):
        shutil.rmtree(stale)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl. A torn last one, of a training that was killed as it wrote, is left out.

    Raises ValueError that names the line if another one cannot be read.
    """
    found: list[dict[str, Any]] = []
    lines = path.read_text(errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise ValueError(f"{path}:{number}: expected a line of JSON ({error})") from None
    return found


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error})") from None


def _expect_tensor(path: Path, stored: dict[str, Tensor], name: str, shape: torch.Size) -> Tensor:
    if name not in stored or stored[name].shape != shape:
        got = f"shape {tuple(stored[name].shape)}" if name in stored else "none"
        raise ValueError(f"{path}: expected a tensor {name!r} of shape {tuple(shape)}, got {got}")
    return stored[name]


def _read_position(path: Path) -> tuple[int, int]:
    """The examples seen and the number of threads."""
    try:
        value = json.loads(path.read_text())
        return int(value["examples"]), int(value["threads"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected the whole numbers examples and threads as JSON ({error!r})") from None


def tensors(module: nn.Module) -> dict[str, Tensor]:
    """A module's weights, ready for a safetensors file."""
    return {name: value.detach().contiguous() for name, value in module.state_dict().items()}
