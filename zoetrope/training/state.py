"""Everything a training is at one moment, and how it is kept: a folder for each checkpoint, safetensors and JSON."""

import json
import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zoetrope.models.weights import read_weights
from zoetrope.networks import Network
from zoetrope.training.spec import TrainSpec

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

    def __init__(self, network: Network, average: Network, spec: TrainSpec):
        self.network = network
        self.average = average.requires_grad_(False)
        self.spec = spec
        self.examples = 0
        self.typical = TypicalError()
        decayed = [p for p in network.parameters() if p.ndim > 1]
        rest = [p for p in network.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": spec.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, betas=spec.betas, eps=1e-8, fused=True)

    def gradient_norm(self) -> float:
        """The norm of the gradient, which is then clipped."""
        return float(nn.utils.clip_grad_norm_(self.network.parameters(), self.spec.clip))

    def skip(self, batch: int) -> None:
        """Go on without learning from a batch."""
        self.optimizer.zero_grad(set_to_none=True)
        self.examples += batch

    def update(self, batch: int) -> None:
        """One optimizer step, and the moving average after it."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.spec.learning_rate(self.examples)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.examples += batch
        # Early weights are worth forgetting quickly [Karras et al. 2022, arXiv:2206.00364, App. F.2].
        half_life = max(1.0, min(self.spec.half_life, 0.1 * self.examples))
        with torch.no_grad():
            ours: list[Tensor] = list(self.average.parameters())
            theirs: list[Tensor] = list(self.network.parameters())
            torch._foreach_lerp_(ours, theirs, 1 - 0.5 ** (batch / half_life))

    def save(self, checkpoints: Path, keep: int) -> Path:
        """Write a checkpoint that is whole or not there, and remove all but the newest `keep`."""
        checkpoints.mkdir(parents=True, exist_ok=True)
        final = checkpoints / f"{self.examples:09d}"
        partial = checkpoints / f".{final.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        save_file(tensors(self.network), partial / "model.safetensors")
        save_file(tensors(self.average), partial / "average.safetensors")
        save_file(self._optimizer_tensors(), partial / "optimizer.safetensors")
        save_file({"sums": self.typical.sums, "counts": self.typical.counts}, partial / "errors.safetensors")
        (partial / "state.json").write_text(json.dumps({"examples": self.examples, "threads": torch.get_num_threads()}))
        for file in partial.iterdir():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        for old in find_checkpoints(checkpoints)[:-keep]:
            shutil.rmtree(old)
        return final

    def load(self, checkpoint: Path) -> None:
        """Continue from a checkpoint. Raises ValueError if its tensors are not those of this network."""
        for module, name in ((self.network, "model"), (self.average, "average")):
            read_weights(module, checkpoint / f"{name}.safetensors")
        stored = load_file(checkpoint / "optimizer.safetensors")
        for name, parameter in self.network.named_parameters():
            if f"step.{name}" in stored:  # a parameter that never had a gradient has no state
                keys = ("step", "exp_avg", "exp_avg_sq")
                self.optimizer.state[parameter] = {key: stored[f"{key}.{name}"].to(parameter.device) for key in keys}
        errors = load_file(checkpoint / "errors.safetensors")
        self.typical.sums, self.typical.counts = errors["sums"], errors["counts"]
        self.examples = int(json.loads((checkpoint / "state.json").read_text())["examples"])

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        return {
            f"{key}.{name}": value.contiguous()
            for name, parameter in self.network.named_parameters()
            for key, value in self.optimizer.state.get(parameter, {}).items()
        }


def find_checkpoints(checkpoints: Path) -> list[Path]:
    """The complete checkpoints of a folder, oldest first."""
    return sorted(path for path in checkpoints.glob("[0-9]*") if (path / "state.json").exists())


def tensors(module: nn.Module) -> dict[str, Tensor]:
    """A module's weights, ready for a safetensors file."""
    return {name: value.detach().contiguous() for name, value in module.state_dict().items()}
