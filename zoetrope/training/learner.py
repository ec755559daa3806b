"""What the players of a training are wrong by on a batch, and the gradients of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.training.batch import Batch
from zoetrope.training.objectives import AVERAGE, STUDENT, Lesson, Players, errors_of
from zoetrope.training.parallel import Call
from zoetrope.training.players import Player
from zoetrope.training.ranks import ALONE, Ranks
from zoetrope.training.spec import TrainSpec
from zoetrope.training.state import TypicalError


class Learner:
    """The objective of a stage's training, on the device and in the type that it computes in."""

    def __init__(
        self,
        stage: StageSpec,
        spec: TrainSpec,
        players: Mapping[str, Player],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        ranks: Ranks = ALONE,
    ):
        """The players' networks were spread among `ranks` as the spec says."""
        self.stage, self.spec, self.players = stage, spec, players
        self.device, self.dtype = device, dtype
        learning = {name: player.network for name, player in players.items() if player.learning is not None}
        self._synced = {name: spec.parallel.synced(network, ranks) for name, network in learning.items()}

    def gradients(self, player: str, batch: Batch, world: int, typical: TypicalError | None = None) -> Tensor:
        """Add the gradient of a player's mean error on the batch to its parameters', that of all processes together.

        The error of each example is divided by the `typical` one at its time, if that is told.
        Returns the errors (size,) of the batch's examples; those that other processes have are 0.
        """
        errors = torch.zeros(batch.size)
        # Every process runs equally many backward passes, for the gradients of all add up in each: one without examples
        # runs on zeros.
        passes = min(self.spec.accumulate, -(-batch.size // world))
        with self.others_still(player):
            for number, part in enumerate(torch.arange(len(batch.x)).tensor_split(passes), start=1):
                with self._synced[player].alone() if number < passes else nullcontext():
                    if not len(part):
                        (0 * self._on(player, batch.blank()).sum()).backward()
                        continue
                    own = self._on(player, batch.select(part))
                    errors[batch.part[part]] = own.detach().cpu()
                    if typical is not None:
                        own = own / typical.at(batch.t[part]).to(own)
                    (own.sum() / batch.size).backward()
        return errors

    def errors(self, player: str, lesson: Lesson) -> Tensor:
        """The error (b,) of a player on each of these examples, with a graph."""
        average = self.players[STUDENT].averages.networks[0]
        calls = {AVERAGE: frozen(average, self.dtype)}
        for name, other in self.players.items():
            calls[name] = (frozen if other.learning is None else computing)(other.network, self.dtype)
        calls[player] = computing(self._synced[player].call, self.dtype, learns=True)
        return errors_of(self.spec.objective, player, self.stage, lesson, calls)

    def _on(self, player: str, batch: Batch) -> Tensor:
        return self.errors(player, lesson_of(batch, self.spec, self.device))

    @contextmanager
    def others_still(self, player: str) -> Iterator[None]:
        """Let gradients pass through other players, but not reach their weights."""
        weights = [weight for name, other in self.players.items() if name != player for weight in other.parameters]
        for weight in weights:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in weights:
                weight.requires_grad_(True)


def loss_of(
    network: Call,
    batch: Batch,
    stage: StageSpec,
    spec: TrainSpec,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    others: Players | None = None,
) -> Tensor:
    """The loss (b,) of a network on each example of a batch, as a training of the stage has it; with a graph.

    `network` lies on `device` and computes in `dtype`; `others` are the teacher, and whoever else the objective asks.
    What a training tells as its loss is the mean; `balance` is no part of it.
    """
    players = {**(others or {}), STUDENT: computing(network, dtype, learns=True)}
    return spec.objective(stage, lesson_of(batch, spec, device), players)


def lesson_of(batch: Batch, spec: TrainSpec, device: torch.device) -> Lesson:
    """The examples of a batch on the device, as a training sees them."""
    x, eps, u = (value.to(device) for value in (batch.x, batch.eps, batch.t))
    given = batch.conditioning.to(device, torch.float32)
    counted = None if batch.counted is None or bool(batch.counted.all()) else batch.counted.to(device)
    return Lesson(x, eps, u, given, spec.times, spec.weight, counted)


def computing(network: Call, dtype: torch.dtype, *, learns: bool = False) -> Call:
    """A network that computes in a type. Unless it `learns`, it has a graph only for a z that has one."""

    def call(z: Tensor, logsnr: Tensor, given: Conditioning) -> Tensor:
        graph = nullcontext() if learns or z.requires_grad else torch.no_grad()
        with graph, torch.autocast(z.device.type, dtype, enabled=dtype != torch.float32):
            return network(z, logsnr.float(), given)

    return call


def frozen(network: Call, dtype: torch.dtype) -> Call:
    """A network that never learns and has no gradients, since it is fused, computing in a type."""
    computed = computing(network, dtype)

    def call(z: Tensor, logsnr: Tensor, given: Conditioning) -> Tensor:
        if z.requires_grad:
            raise ValueError("z: expected a tensor without a graph for a network that does not learn; detach it")
        return computed(z, logsnr, given)

    return call
