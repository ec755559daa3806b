"""The errors of a training's players on a batch, and their gradients."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.loss import mean_over_frames
from zoetrope.diffusion.tensors import sent
from zoetrope.networks import ClipBatch
from zoetrope.processes.ranks import ALONE, Ranks
from zoetrope.training.batch import Batch
from zoetrope.training.objectives import AVERAGE, STUDENT, Lesson, Players, packed_errors_of
from zoetrope.training.packed import PackedBatch
from zoetrope.training.parallel import Call, LastLayerCall, Pack, PackingCall
from zoetrope.training.players import Player
from zoetrope.training.spec import TrainSpec
from zoetrope.training.state import TypicalError


class Learner:
    """Applies the objective of a stage's training, on a device and in a dtype."""

    def __init__(
        self,
        stage: StageSpec,
        spec: TrainSpec,
        players: Mapping[str, Player],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        ranks: Ranks = ALONE,
    ):
        """The players' networks must already be spread among `ranks` as the spec says."""
        self.stage, self.spec, self.players = stage, spec, players
        self.device, self.dtype = device, dtype
        learning = {name: player.network for name, player in players.items() if player.learning is not None}
        self._synced = {name: spec.parallel.synced(network, ranks) for name, network in learning.items()}

    def gradients(
        self, player: str, batch: Batch | PackedBatch, world: int, typical: TypicalError | None = None
    ) -> Tensor:
        """Accumulate the gradient of a player's mean error on the batch, over all processes, in its parameters.

        Each example's error is divided by the `typical` error at its time, if given.

        Returns the errors (size,) of the batch's examples, 0 for those of other processes.
        """
        errors = torch.zeros(batch.size)
        # All ranks must run equally many backward passes, which sum gradients over ranks; a rank without examples runs
        # one on zeros.
        passes = min(self.spec.accumulate, -(-batch.size // world))
        with self.others_still(player):
            for number, part in enumerate(torch.arange(batch.count).tensor_split(passes), start=1):
                with self._synced[player].alone() if number < passes else nullcontext():
                    if not len(part):
                        (0 * self._batch_errors(player, batch.blank())[0].sum()).backward()
                        continue
                    some, losses = batch.select(part), list[Tensor]()
                    for each, own in zip(some.parts, self._batch_errors(player, some), strict=True):
                        errors[each.part] = per_example(own, each.counted).detach().cpu()
                        if typical is not None:
                            own = own / typical.at(each.t if own.ndim == 1 else each.frame_t).to(own)
                        losses.append(per_example(own, each.counted).sum())
                    (torch.stack(losses).sum() / batch.size).backward()
        return errors

    def errors(self, player: str, lesson: Lesson) -> Tensor:
        """The error of a player on each example (b,), or frame (b, F), with a graph.

        Raises ValueError for errors of another shape.
        """
        return self.packed_errors(player, [lesson])[0]

    def packed_errors(self, player: str, lessons: Sequence[Lesson]) -> list[Tensor]:
        """The errors of a player on several lessons, whose videos differ in size, together; see `errors`."""
        average = self.players[STUDENT].averages.networks[0]
        calls = {AVERAGE: frozen(average, self.dtype)}
        for name, other in self.players.items():
            still = other.learning is None and not other.passes
            calls[name] = (frozen if still else computing)(other.network, self.dtype)
        calls[player] = computing(self._synced[player].call, self.dtype, learns=True)
        if len(lessons) > 1 and (pack := self._synced[player].pack) is not None:
            calls[player] = PackingCall(calls[player], packing(pack, self.device, self.dtype))
        if (last := self.players[player].network.last()) is not None:
            calls[player] = LastLayerCall(calls[player], last)
        found = packed_errors_of(self.spec.objective, player, self.stage, lessons, calls)
        for lesson, errors in zip(lessons, found, strict=True):
            if errors.shape not in ((len(lesson.x),), (len(lesson.x), lesson.x.shape[2])):
                where, got = f"training.{self.stage.name}.objective", tuple(errors.shape)
                legal = f"({len(lesson.x)},)"
                raise ValueError(f"{where}: expected one error of {player!r} per example, {legal}, got {got}")
        return found

    def _batch_errors(self, player: str, batch: Batch | PackedBatch) -> list[Tensor]:
        return self.packed_errors(player, [lesson_of(each, self.spec, self.device) for each in batch.parts])

    @contextmanager
    def others_still(self, player: str) -> Iterator[None]:
        """Let gradients pass through other players without reaching their weights."""
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
    """The loss (b,) of a network on each example of a batch, as in the stage's training; with a graph.

    `network` is on `device` and computes in `dtype`; `others` are the teacher and any other networks of the objective.
    The mean is what a training reports as its loss; `balance` does not affect it.
    """
    players = {**(others or {}), STUDENT: computing(network, dtype, learns=True)}
    return per_example(spec.objective(stage, lesson_of(batch, spec, device), players), batch.counted)


def per_example(errors: Tensor, counted: Tensor | None) -> Tensor:
    """Errors (b,), or the mean of errors (b, F) over the frames that count, (b, F) bool."""
    if errors.ndim == 1:
        return errors
    return mean_over_frames(errors, None if counted is None else counted.to(errors.device))


def lesson_of(batch: Batch, spec: TrainSpec, device: torch.device) -> Lesson:
    """The examples of a batch on the device, as objectives take them."""
    x, eps, u = (sent(each, device) for each in (batch.x, batch.eps, batch.t if batch.known is None else batch.frame_t))
    known = None if batch.known is None else sent(batch.known, device)
    given = batch.conditioning.to(device, torch.float32)
    counted = None if batch.counted is None or bool(batch.counted.all()) else sent(batch.counted, device)
    present = None if batch.present is None else sent(batch.present, device)
    x = x if present is None else torch.where(present, x, 0)
    return Lesson(x, eps, u, given, spec.times, spec.weight, counted, known, present, batch.position)


def computing(network: Call, dtype: torch.dtype, *, learns: bool = False) -> Call:
    """A network that computes in `dtype`. Unless it `learns`, it has a graph only for a z that requires a gradient."""

    def call(z: Tensor, logsnr: Tensor, given: Conditioning) -> Tensor:
        graph = nullcontext() if learns or z.requires_grad else torch.no_grad()
        with graph, torch.autocast(z.device.type, dtype, enabled=dtype != torch.float32):
            return network(z, logsnr.float(), given)

    return call


def packing(pack: Pack, device: torch.device, dtype: torch.dtype) -> Pack:
    """A network's `pack` that learns and computes in `dtype`."""

    def call(videos: Sequence[ClipBatch]) -> list[Tensor]:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            return pack([each._replace(logsnr=each.logsnr.float()) for each in videos])

    return call


def frozen(network: Call, dtype: torch.dtype) -> Call:
    """A fused network, which never learns and has no gradients, computing in `dtype`."""
    computed = computing(network, dtype)

    def call(z: Tensor, logsnr: Tensor, given: Conditioning) -> Tensor:
        if z.requires_grad:
            raise ValueError("z: expected a tensor without a graph for a network that does not learn; detach it")
        return computed(z, logsnr, given)

    return call
