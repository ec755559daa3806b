"""The networks of a training, each with optimizers and moving averages of its weights, and their files.

A checkpoint has the student's as `model`, `average`, `average-HALF_LIFE`, `optimizer` and, with adapters, `adapter` and
`adapter-average`; those of another player, say a critic, as `critic`, `critic-average` and `critic-optimizer`.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from zoetrope.cascade.spec import StageSpec
from zoetrope.layers.fused import fused
from zoetrope.models.weights import read_weights
from zoetrope.networks import Former, Network, NetworkConfig
from zoetrope.training.adapters import adapters, formerly, is_adapted, merged, read_adapters
from zoetrope.training.averages import Averages
from zoetrope.training.objectives import AVERAGE, STUDENT, PlayerSpec
from zoetrope.training.optimizers import Muon, OptimizerName, optimizers, remembered, state_shapes
from zoetrope.training.pieces import Stored, divided, gathered, is_divided
from zoetrope.training.spec import TrainSpec

log = logging.getLogger(__name__)
TAKEN = (STUDENT, AVERAGE, "model", "adapter", "optimizer", "errors")  # reserved: names of files or fixed players


class Learning(NamedTuple):
    """How a player learns: see `PlayerSpec` and `TrainSpec`."""

    optimizer: OptimizerName
    betas: tuple[float, float]
    weight_decay: float
    half_lives: tuple[int, ...]
    rate: float = 1.0
    every: int = 1

    @classmethod
    def of_student(cls, spec: TrainSpec) -> "Learning":
        """How the student of a training learns."""
        return cls(spec.optimizer, spec.betas, spec.weight_decay, spec.half_lives)

    @classmethod
    def of_player(cls, player: PlayerSpec, spec: TrainSpec) -> "Learning | None":
        """How another player learns, None if it does not."""
        if not player.learns:
            return None
        optimizer, betas = player.optimizer or spec.optimizer, player.betas or spec.betas
        return cls(optimizer, betas, spec.weight_decay, player.half_life, player.rate, player.every)


class Player:
    """A network that takes part in a training.

    Attributes:
        learning: how it learns; None if it does not, like a teacher.
        passes: whether gradients pass through it to z although it does not learn.
        averages: of its weights.
        parameters: those that learn.
    """

    def __init__(
        self,
        network: Network,
        learning: Learning | None,
        dtype: torch.dtype = torch.float32,
        spread: Callable[[Network], None] | None = None,
        *,
        passes: bool = False,
    ):
        """`dtype` is what the training computes in; `spread` shards a network over processes, in place.

        A network that does not learn has gradients with respect to z if it `passes`.
        """
        if learning is None:
            network = network.eval().requires_grad_(False) if passes else fused(network.eval())
        self.network, self.learning, self.passes = network, learning, passes
        self.averages = Averages(network, () if learning is None else learning.half_lives)
        if spread is not None:
            for module in (network, *self.averages.networks):
                spread(module)
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimizers: tuple[Optimizer, ...] = ()
        if learning is not None:
            name, betas, weight_decay = learning[:3]
            self.optimizers = optimizers(network, name, betas=betas, weight_decay=weight_decay, dtype=dtype)

    def gradient_norm(self, most: float) -> float:
        """The norm of the gradient; clips the gradient to at most `most`."""
        return float(gathered(nn.utils.clip_grad_norm_(self.network.parameters(), most)))

    def update(self, rate: float) -> None:
        """One optimizer step; `rate` is the student's learning rate."""
        assert self.learning is not None
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * self.learning.rate
            optimizer.step()
        self.forget()

    def forget(self) -> None:
        """Drop the gradient."""
        self.network.zero_grad(set_to_none=True)

    def parts(self, name: str) -> dict[str, dict[str, Tensor]]:
        """Everything that a checkpoint stores for the player, under this name, by part."""
        found: dict[str, dict[str, Tensor]] = {}
        if self.learning is None:
            return found
        for part, module in self._networks(name):
            found[part] = merged(module)
            if is_adapted(module):
                found[_adapter_of(part)] = adapters(module)
        found[_prefix(name) + "optimizer"] = {
            f"{key}.{own}": torch.as_tensor(value).contiguous()
            for own, parameter, optimizer in self._optimized()
            for key, value in optimizer.state.get(parameter, {}).items()
        }
        return found

    def load(self, name: str, checkpoint: Path) -> None:
        """Load the player of this name from a checkpoint, whatever sharding it was written with.

        Raises ValueError that names the file if one is missing or damaged, or is not of this network.
        """
        if self.learning is None:
            return
        if name != STUDENT and not any((checkpoint / own).exists() for own in (f"{name}.safetensors", name)):
            raise ValueError(f"{checkpoint}: expected {name!r}, which the objective trains too; this is of another one")
        for part, module in self._networks(name):
            self._load_network(module, checkpoint, part, first=part.endswith(AVERAGE))
        self._load_optimizers(Stored(checkpoint, _prefix(name) + "optimizer", self._formerly()))

    def _networks(self, name: str) -> Iterator[tuple[str, Network]]:
        """(part of a checkpoint, network) of its network and the averages."""
        yield ("model" if name == STUDENT else name), self.network
        for part, average in self.averages.named():
            yield _prefix(name) + part, average

    def _load_network(self, module: Network, checkpoint: Path, part: str, *, first: bool) -> None:
        """Load one network from its part of a checkpoint; a further average that is missing copies the first one."""
        file = f"{_adapter_of(part) if is_adapted(module) else part}.safetensors"
        there = (checkpoint / file).exists() or (checkpoint / part).is_dir()
        if module is not self.network and not first and not there:
            log.warning("%s has no %s: that average begins as the first one is", checkpoint, file)
            module.load_state_dict(self.averages.networks[0].state_dict())
        elif is_adapted(module):
            read_adapters(module, checkpoint / file)
        elif (checkpoint / part).is_dir() or divided(module.state_dict()):
            stored, own = Stored(checkpoint, part, module.formerly()), module.state_dict()
            for key, target in own.items():
                stored.fill(key, target)
            if extra := stored.names() - own.keys():
                raise ValueError(f"{stored.path}: holds {min(extra)!r}, which this network has no use for")
        else:
            read_weights(module, checkpoint / file)

    def _load_optimizers(self, stored: Stored) -> None:
        assert self.learning is not None
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
            raise ValueError(f"{stored.path}: holds {min(left)!r}, which {self.learning.optimizer!r} has no use for")

    def _formerly(self) -> dict[str, Former]:
        """Where older checkpoints store the optimizer state of each parameter. 8-bit states cannot be split."""
        known = formerly(self.network)
        return {
            f"{key}.{name}": old._replace(name=f"{key}.{old.name}")
            for name, parameter, optimizer in self._optimized()
            if (old := known.get(name)) is not None and isinstance(optimizer, AdamW | Muon)
            for key in state_shapes(optimizer, parameter)
        }

    def _optimized(self) -> Iterator[tuple[str, nn.Parameter, Optimizer]]:
        """Every learning parameter, with its name and its optimizer."""
        owners = {id(p): own for own in self.optimizers for group in own.param_groups for p in group["params"]}
        for name, parameter in self.network.named_parameters():
            if id(parameter) in owners:
                yield name, parameter, owners[id(parameter)]


def networks_of(stage: StageSpec, spec: TrainSpec) -> dict[str, NetworkConfig]:
    """The networks of a stage's training by name, the student's first.

    Raises ValueError if a name from the objective cannot be used in the file names of checkpoints.
    """
    others = spec.objective.players(stage)
    for name in others:
        if not name.isidentifier() or any(name.startswith(taken) for taken in TAKEN):
            message = f"expected a player whose name does not begin with one of {', '.join(TAKEN)}, got {name!r}"
            raise ValueError(f"training.{stage.name}.objective: {message}")
    return {STUDENT: stage.network, **{name: player.network for name, player in others.items()}}


def players_of(
    networks: Mapping[str, Network],
    stage: StageSpec,
    spec: TrainSpec,
    dtype: torch.dtype = torch.float32,
    spread: Callable[[Network], None] | None = None,
) -> dict[str, Player]:
    """The players of a stage's training, with networks built from `networks_of`; `spread` as for `Player`."""
    made = {STUDENT: Player(networks[STUDENT], Learning.of_student(spec), dtype, spread)}
    for name, player in spec.objective.players(stage).items():
        learning = Learning.of_player(player, spec)
        made[name] = Player(networks[name], learning, dtype, spread, passes=player.passes)
    return made


def _prefix(name: str) -> str:
    return "" if name == STUDENT else f"{name}-"


def _adapter_of(part: str) -> str:
    """The file name, without suffix, of a network's adapters; `part` is that of its merged weights."""
    return "adapter" if part == "model" else f"adapter-{part}"
