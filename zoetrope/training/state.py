"""Everything a training is at one moment, and how it is found again in a checkpoint."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from zoetrope.explain import reason
from zoetrope.files import write_text
from zoetrope.models.checkpoints import POSITION, Damaged, read_position
from zoetrope.models.weights import read_weights
from zoetrope.networks import Former, Network
from zoetrope.training.adapters import adapters, formerly, is_adapted, merged, read_adapters
from zoetrope.training.averages import Averages
from zoetrope.training.optimizers import Muon, optimizers, remembered, state_shapes
from zoetrope.training.pieces import Stored, divided, is_divided, whole
from zoetrope.training.ranks import Ranks
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

    def __init__(
        self,
        network: Network,
        average: Network,
        spec: TrainSpec,
        dtype: torch.dtype = torch.float32,
        ranks: Ranks | None = None,
    ):
        """`average` learns nothing and is sampled from: it may be fused. `dtype` is what the training computes in.

        Among `ranks`, if any, the weights are divided as the spec says.
        """
        self.network = network
        self.average = average
        self.averages = Averages(average, spec.half_lives)
        if ranks is not None:
            for module in (network, *self.averages.networks):
                spec.parallel.spread(module, ranks, dtype)
        self.spec = spec
        self.examples = 0
        self.typical = TypicalError()
        self.optimizers = optimizers(
            network, spec.optimizer, betas=spec.betas, weight_decay=spec.weight_decay, dtype=dtype
        )

    def gradient_norm(self) -> float:
        """The norm of the gradient, which is then clipped."""
        return float(whole(nn.utils.clip_grad_norm_(self.network.parameters(), self.spec.clip)))

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
        self.averages.update(self.network, batch, self.examples)

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """Everything that a checkpoint keeps, by the names of its parts."""
        found: dict[str, dict[str, Tensor]] = {}
        for name, module in (("model", self.network), *self.averages.named()):
            found[name] = merged(module)
            if is_adapted(module):
                found[_adapter_of(name)] = adapters(module)
        found["optimizer"] = self._optimizer_tensors()
        found["errors"] = {"sums": self.typical.sums, "counts": self.typical.counts}
        return found

    def load(self, checkpoint: Path) -> None:
        """Continue from a checkpoint, whatever division among processes it was written with.

        Raises ValueError that names the file if one is missing or damaged, or is not of this network.
        """
        for name, module in (("model", self.network), *self.averages.named()):
            self._read(module, checkpoint, name)
        self._read_optimizers(Stored(checkpoint, "optimizer", self._formerly()))
        stored = Stored(checkpoint, "errors")
        for name, own in (("sums", self.typical.sums), ("counts", self.typical.counts)):
            stored.fill(name, own)
        self.examples, threads = _seen(checkpoint)
        if threads != torch.get_num_threads():
            here = torch.get_num_threads()
            log.warning("%s was written with %d threads, not %d: the last bits may differ", checkpoint, threads, here)

    def _formerly(self) -> dict[str, Former]:
        """Where older checkpoints have what is remembered of each parameter. What is in 8 bits cannot be divided."""
        known = formerly(self.network)
        return {
            f"{key}.{name}": old._replace(name=f"{key}.{old.name}")
            for name, parameter, optimizer in self._optimized()
            if (old := known.get(name)) is not None and isinstance(optimizer, AdamW | Muon)
            for key in state_shapes(optimizer, parameter)
        }

    def _read_optimizers(self, stored: Stored) -> None:
        left = stored.names()
        for name, parameter, optimizer in self._optimized():
            optimizer.state.pop(parameter, None)
            shapes = {f"{key}.{name}": shape for key, shape in state_shapes(optimizer, parameter).items()}
            if not any(key in left for key in shapes):  # a parameter that never had a gradient has no state
                continue
            own: dict[str, Tensor] = {}
            for key, shape in shapes.items():
                stored.expect(key, shape)
                bare = key.partition(".")[0]
                if is_divided(parameter) and shape == parameter.shape:
                    own[bare] = torch.zeros_like(parameter, requires_grad=False)
                    stored.fill(key, own[bare])
                else:
                    own[bare] = stored.read(key)
            optimizer.state[parameter] = remembered(optimizer, parameter, own)
            left -= shapes.keys()
        older = {old.name for old in formerly(self.network).values()}
        if left and min(left).partition(".")[2] in older:
            why = "was written when query, key and value were one matrix, of which what is in 8 bits cannot be divided"
            raise ValueError(f"{stored.path}: {why}; begin a new run from its weights with --init")
        if left:
            raise ValueError(f"{stored.path}: holds {min(left)!r}, which {self.spec.optimizer!r} has no use for")

    def _read(self, module: Network, checkpoint: Path, name: str) -> None:
        """Fill one network from its part of a checkpoint, or from the first average's if it is another that is new."""
        file = f"{_adapter_of(name) if is_adapted(module) else name}.safetensors"
        if name not in ("model", "average") and not (checkpoint / file).exists():
            log.warning("%s has no %s: that average begins as the first one is", checkpoint, file)
            module.load_state_dict(self.average.state_dict())
        elif is_adapted(module):
            read_adapters(module, checkpoint / file)
        elif (checkpoint / name).is_dir() or divided(module.state_dict()):
            stored, own = Stored(checkpoint, name, module.formerly()), module.state_dict()
            for key, target in own.items():
                stored.fill(key, target)
            if extra := stored.names() - own.keys():
                raise ValueError(f"{stored.path}: holds {min(extra)!r}, which this network has no use for")
        else:
            read_weights(module, checkpoint / file)

    def _optimized(self) -> Iterator[tuple[str, nn.Parameter, Optimizer]]:
        """Every parameter that learns, with its name and its optimizer."""
        owners = {id(p): own for own in self.optimizers for group in own.param_groups for p in group["params"]}
        for name, parameter in self.network.named_parameters():
            if id(parameter) in owners:
                yield name, parameter, owners[id(parameter)]

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        return {
            f"{key}.{name}": torch.as_tensor(value).contiguous()
            for name, parameter, optimizer in self._optimized()
            for key, value in optimizer.state.get(parameter, {}).items()
        }


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl, [] if there is none. A torn last one, of a training that was killed, is left out.

    Raises ValueError that names the line if another one cannot be read, and if the file is no plain file.
    """
    if not path.exists():
        return []
    if not path.is_file():  # a named pipe would be waited for
        raise ValueError(f"{path}: expected a plain file")
    found: list[dict[str, Any]] = []
    lines = path.read_text("utf-8", errors="replace").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines, start=1):
        try:
            found.append(_measured(line))
        except ValueError as error:
            if number < len(lines):
                raise ValueError(f"{path}:{number}: expected a line of JSON ({error})") from None
    return found


def _measured(line: str) -> dict[str, Any]:
    """What a line of metrics says. Raises ValueError for one that no training wrote."""
    try:
        value = json.loads(line)
    except RecursionError:
        raise ValueError("too deeply nested") from None
    if not isinstance(value, dict) or not isinstance(value.get("examples"), int):
        raise ValueError("it tells no number of examples")
    for name in ("loss", "examples_per_second", "seconds"):
        if not isinstance(value.get(name, 0.0), int | float | None):
            raise ValueError(f"{name}: expected a number, got {str(value[name])[:40]!r}")
    return value


def cut_metrics(path: Path, examples: int) -> float:
    """Forget what was measured after the checkpoint that a run continues from: it will be measured again.

    Returns the seconds of training until there.
    """
    if not path.is_file():
        return 0.0
    lines = [line for line in read_metrics(path) if line["examples"] <= examples]
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
    return float(lines[-1].get("seconds") or 0.0) if lines else 0.0


def _seen(checkpoint: Path) -> tuple[int, int]:
    """The examples that a checkpoint has seen, and the number of threads that it was written with."""
    value = read_position(checkpoint)
    try:
        return int(value["examples"]), int(value["threads"])
    except (ValueError, KeyError, TypeError) as error:
        told = f"expected the whole numbers examples and threads as JSON ({reason(error)})"
        raise Damaged(f"{checkpoint / POSITION}: {told}") from None


def _adapter_of(name: str) -> str:
    """The name of the file with a network's adapters beside that of its merged weights."""
    return "adapter" if name == "model" else f"adapter-{name}"
