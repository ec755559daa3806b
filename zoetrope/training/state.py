"""The state of a training, and its checkpoint."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from zoetrope.config.errors import reason
from zoetrope.config.strict_json import is_deep
from zoetrope.files import write_text
from zoetrope.models.checkpoints import POSITION, Damaged, read_position
from zoetrope.networks import Network
from zoetrope.training.objectives import STUDENT
from zoetrope.training.pieces import Stored
from zoetrope.training.players import Learning, Player
from zoetrope.training.spec import TrainSpec

log = logging.getLogger(__name__)
LEVELS = 32  # equal parts of diffusion time, each with a typical error


class TypicalError:
    """The running mean of the error in each part of diffusion time."""

    def __init__(self) -> None:
        self.sums = torch.ones(LEVELS, dtype=torch.float64)
        self.counts = torch.ones(LEVELS, dtype=torch.float64)

    def at(self, t: Tensor) -> Tensor:
        """The typical error (B,) at times t (B,)."""
        return (self.sums / self.counts)[self._part(t)]

    def add(self, t: Tensor, errors: Tensor, memory: float = 0.998) -> None:
        """Add the errors (B,) at times t (B,); older ones fade by the factor `memory`."""
        self.sums = memory * self.sums + torch.zeros_like(self.sums).index_add_(0, self._part(t), errors.double())
        ones = torch.ones_like(errors, dtype=torch.float64)
        self.counts = memory * self.counts + torch.zeros_like(self.counts).index_add_(0, self._part(t), ones)

    def _part(self, t: Tensor) -> Tensor:
        return (t * LEVELS).long().clamp(max=LEVELS - 1)


class TrainState:
    """The players of a training, and how many examples they have seen."""

    def __init__(self, players: Mapping[str, Player], spec: TrainSpec):
        """`players` are from `zoetrope.training.players.players_of`."""
        self.players, self.spec = players, spec
        self.examples = 0
        self.typical = TypicalError()

    @classmethod
    def alone(cls, network: Network, spec: TrainSpec, dtype: torch.dtype = torch.float32) -> Self:
        """The state of a single network that learns in one process and computes in `dtype`."""
        return cls({STUDENT: Player(network, Learning.of_student(spec), dtype)}, spec)

    @property
    def student(self) -> Player:
        """The player that is trained to be sampled."""
        return self.players[STUDENT]

    @property
    def network(self) -> Network:
        """The student's network."""
        return self.student.network

    @property
    def average(self) -> Network:
        """The first moving average of the student's weights, with which to sample."""
        return self.student.averages.networks[0]

    def turns(self) -> list[str]:
        """The players that learn from the current batch, in order; the student comes last."""
        step = self.spec.steps_at(self.examples)
        learning = {name: player.learning for name, player in self.players.items()}
        others = [name for name, how in learning.items() if how is not None and step % how.every == 0]
        return [*(name for name in others if name != STUDENT), STUDENT]

    def gradient_norm(self, player: str = STUDENT) -> float:
        """The norm of a player's gradient; clips the gradient."""
        return self.players[player].gradient_norm(self.spec.clip)

    def update(self, player: str = STUDENT) -> None:
        """One optimizer step of a player."""
        self.players[player].update(self.spec.learning_rate(self.examples))

    def advance(self, batch: int) -> None:
        """Advance the position past a batch that was learnt from, and update the moving averages."""
        self.examples += batch
        for player in self.players.values():
            player.averages.update(player.network, batch, self.examples)

    def skip(self, batch: int) -> None:
        """Advance the position past a batch without learning from it."""
        for player in self.players.values():
            player.forget()
        self.examples += batch

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """Everything that a checkpoint stores, by part."""
        found = {part: tensors for name, player in self.players.items() for part, tensors in player.parts(name).items()}
        return {**found, "errors": {"sums": self.typical.sums, "counts": self.typical.counts}}

    def load(self, checkpoint: Path) -> None:
        """Load a checkpoint, whatever sharding it was written with.

        Raises ValueError that names the file if one is missing or damaged, or is not of these networks.
        """
        for name, player in self.players.items():
            player.load(name, checkpoint)
        stored = Stored(checkpoint, "errors")
        for name, own in (("sums", self.typical.sums), ("counts", self.typical.counts)):
            stored.fill(name, own)
        self.examples, threads = _position(checkpoint)
        if threads != torch.get_num_threads():
            here = torch.get_num_threads()
            log.warning("%s was written with %d threads, not %d: the last bits may differ", checkpoint, threads, here)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl, [] if there is none. An incomplete last line, of a killed training, is dropped.

    Raises ValueError that names the line if any other cannot be read, and if the file is not a regular file.
    """
    if not path.exists():
        return []
    if not path.is_file():  # reading a named pipe would block
        raise ValueError(f"{path}: expected a plain file")
    found: list[dict[str, Any]] = []
    lines = path.read_text("utf-8", errors="replace").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines, start=1):
        try:
            found.append(_metrics_in(line))
        except ValueError as error:
            if number < len(lines):
                raise ValueError(f"{path}:{number}: expected a line of JSON ({error})") from None
    return found


def _metrics_in(line: str) -> dict[str, Any]:
    """The values in a line of metrics. Raises ValueError for a line that no training wrote."""
    try:
        value = json.loads(line)
    except RecursionError:
        raise ValueError("too deeply nested") from None
    if is_deep(value):
        raise ValueError("too deeply nested")
    if not isinstance(value, dict) or not isinstance(value.get("examples"), int):
        raise ValueError("it tells no number of examples")
    for name in ("loss", "examples_per_second", "seconds"):
        if not isinstance(value.get(name, 0.0), int | float | None):
            raise ValueError(f"{name}: expected a number, got {str(value[name])[:40]!r}")
    return value


def cut_metrics(path: Path, examples: int) -> float:
    """Drop the metrics from after the checkpoint that a run resumes from: they will be measured again.

    Returns the seconds of training up to the checkpoint.
    """
    if not path.is_file():
        return 0.0
    lines = [line for line in read_metrics(path) if line["examples"] <= examples]
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
    return float(lines[-1].get("seconds") or 0.0) if lines else 0.0


def _position(checkpoint: Path) -> tuple[int, int]:
    """The examples that a checkpoint has seen, and the number of threads that it was written with."""
    value = read_position(checkpoint)
    try:
        return int(value["examples"]), int(value["threads"])
    except (ValueError, KeyError, TypeError) as error:
        message = f"expected the whole numbers examples and threads as JSON ({reason(error)})"
        raise Damaged(f"{checkpoint / POSITION}: {message}") from None
