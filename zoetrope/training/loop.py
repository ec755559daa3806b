"""The training loop of one stage: batch, loss, update; periodically metrics, a sheet of samples and a checkpoint.

A run is a folder: `recipe.json`, `run.json` (what was run, with what), `metrics.jsonl`, `checkpoints/`, `samples/`.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

from zoetrope.cascade.noise import seeded
from zoetrope.cascade.spec import StageSpec
from zoetrope.config import expect_importable
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.models.precision import compute_dtype
from zoetrope.networks import Network
from zoetrope.processes.ranks import ALONE, Ranks
from zoetrope.training.batch import Batch, Batches, BatchSlice
from zoetrope.training.building import begin_networks, expect_parallel
from zoetrope.training.checkpoints import Keeper, go_on, sweep
from zoetrope.training.compiling import compile_blocks
from zoetrope.training.data_notes import log_notes
from zoetrope.training.faults import FOLDER as FAULTS
from zoetrope.training.faults import all_names, write_fault
from zoetrope.training.latents import keep_codec, learnt_codec
from zoetrope.training.learner import Learner
from zoetrope.training.loading import Loader, encoded
from zoetrope.training.lock import Lock
from zoetrope.training.meters import Interval, Outcome, peak_memory
from zoetrope.training.objectives import STUDENT
from zoetrope.training.opened_data import grids_of, open_data
from zoetrope.training.packed import PackedBatch
from zoetrope.training.players import players_of
from zoetrope.training.preview import Subjects, sample_sheet, subjects
from zoetrope.training.record import begun_with, read_record, write_record
from zoetrope.training.spec import Recipe, TrainSpec
from zoetrope.training.state import TrainState, cut_metrics
from zoetrope.training.trackers import Connection, scalars_of, tracking
from zoetrope.training.trained import InitialWeights
from zoetrope.training.writing import append_text, expect_own, unneeded
from zoetrope.video import save_image

log = logging.getLogger(__name__)


class Metrics(NamedTuple):
    """The progress of a training, and its metrics since the last report.

    Attributes:
        examples, total: seen so far, and in all.
        loss: mean, None if nothing was learnt; loss_by_time: in equal parts of diffusion time, None for a part without
            examples.
        grad_norm: mean norm of the gradient before clipping, None if nothing was learnt.
        data_wait: share of time spent waiting for data.
        seconds: of training so far, by a monotonic clock, including those before the run was resumed.
        peak_memory: the most bytes held so far, see `zoetrope.training.meters.peak_memory`.
        losses_beside: mean losses of the other learning networks, by name.
    """

    examples: int
    total: int
    loss: float | None
    grad_norm: float | None
    learning_rate: float
    examples_per_second: float
    loss_by_time: tuple[float | None, ...]
    data_wait: float
    seconds: float
    peak_memory: int | None
    losses_beside: Mapping[str, float] = MappingProxyType({})

    def line(self) -> dict[str, Any]:
        """The entry in `metrics.jsonl`; other networks appear by name if there are any."""
        line = self._asdict()
        return line if self.losses_beside else {name: value for name, value in line.items() if name != "losses_beside"}


class Run:
    """A run on disk, new or continued."""

    def __init__(
        self,
        recipe: Recipe,
        stage: str,
        folder: Path,
        device: torch.device,
        init: Path | InitialWeights | None = None,
        ranks: Ranks = ALONE,
    ):
        """`init` is a safetensors file with the initial weights, or these and the description of the network that they
        are of, see `zoetrope.training.trained.initial_weights`; a run with a checkpoint goes on without it.

        Each of several processes, `ranks`, makes a `Run` of the same folder, where only the leading one writes.
        A network with a teacher starts from the teacher's weights instead.
        Raises ValueError if `folder` already holds a run of another recipe or stage, if another process trains in it,
        for weights that are unsuitable or not those that the run began with, and for a recipe with a class that could
        not be found again by name.
        """
        expect_importable(recipe)
        self.recipe, self.folder, self.device, self.ranks = recipe, folder, device, ranks
        self.stage: StageSpec = recipe.cascade.stage(stage)
        self.spec: TrainSpec = recipe.train_spec(stage)
        self.stopped = False
        self._learning = self._amid = self._ending = False
        self._streak = 0  # losses in a row that were not finite
        self._tracks: tuple[Connection, ...] = ()
        expect_own(folder)
        self._lock = Lock(folder)
        if ranks.leads:
            self._lock.take()
        with self._lock.used(note=False):
            known = read_record(folder, recipe, self.stage)
            # A resumed run keeps the dtype that it has always computed in; a new one takes it from the recipe.
            self.dtype = getattr(torch, known["dtype"]) if known else compute_dtype(device, self.spec.precision)
            self._codec = learnt_codec(self.stage, self.spec.data, folder)
            first = InitialWeights(str(init), init) if isinstance(init, Path) else init
            self._init = begun_with(folder, known, None if first is None else first.file)
            self.state = self._begin(first)
            self._go_on()
            self.learner = self._learner()
            ranks.meet()  # nothing is written before all processes have read the folder
            self._before = self._keep_record(known)  # seconds of training until here

    def _begin(self, init: InitialWeights | None) -> TrainState:
        """The initial state of a run."""
        spec, ranks = self.spec, self.ranks
        expect_parallel(self.stage, spec, ranks)
        networks = begin_networks(self.stage, spec, self.folder, self.device, init, ranks)

        def spread(network: Network) -> None:
            spec.parallel.spread(network, ranks, self.dtype)

        return TrainState(players_of(networks, self.stage, spec, self.dtype, spread), spec)

    def _go_on(self) -> None:
        """Continue from the newest checkpoint, if there is one."""
        if found := go_on(self.folder / "checkpoints", self.state, self.ranks):
            log.info("continuing from %s", found)
        if self.ranks.leads and self.spec.reached < 0.5:
            message = "%s: the learning rate gets to %.0f %% of its peak: %d examples, warm_up = %d and cool_down = %d"
            spec = self.spec
            log.warning(message, self.stage.name, 100 * spec.reached, spec.examples, spec.warm_up, spec.cool_down)
        if self.ranks.leads and self.spec.balance and self.spec.known is not None and not self.spec.known.one_level:
            message = "%s: balance has no effect, for every frame has a noise level of its own, and no example has one"
            log.warning(message, self.stage.name)

    def _learner(self) -> Learner:
        """The learner of the networks, which are compiled first if the spec says so."""
        if self.spec.compile:
            compile_blocks(self.state.network)
        return Learner(self.stage, self.spec, self.state.players, self.device, self.dtype, self.ranks)

    def _keep_record(self, known: dict[str, Any]) -> float:
        """Write the run's record and codec, and drop metrics from after its checkpoint.

        Returns the seconds of training before.
        """
        if not self.ranks.leads:
            return 0.0
        sweep(self.folder / "checkpoints")
        before = cut_metrics(self.folder / "metrics.jsonl", self.state.examples)
        about = {"stage": self.stage.name, "dtype": str(self.dtype).removeprefix("torch.")}
        about |= {"init": self._init} if self._init is not None else {}
        now = {"device": str(self.device), "examples": self.state.examples}
        self._written = write_record(self.folder, self.recipe, about, now, known)
        if self._codec is not None:
            keep_codec(self._codec, self.spec.data, self.folder)
        return before

    def train(self, cache: Path | None = None) -> Iterator[Metrics]:
        """Train to the end of the curriculum, yielding metrics every `log_every` examples; checkpoints are written.

        Closing the iterator, `stop`, and an interrupt write a last checkpoint, unless they come amid an update.
        Raises FloatingPointError after `patience` consecutive batches that are not finite, ValueError if another
        process trains in this folder, or has done so since this `Run` was made.
        """
        if not self.ranks.leads:
            yield from self._train(cache)
            return
        self._lock.take()
        if (self.folder / "run.json").read_text() != self._written:
            self._lock.release()
            raise ValueError(f"{self.folder}: has been gone on with elsewhere in the meantime; open the run again")
        with (
            self._lock.used(),
            tracking(self.spec.trackers, self.folder, self.state.examples, self.recipe.to_json()) as self._tracks,
        ):
            yield from self._train(cache)

    def _train(self, cache: Path | None) -> Iterator[Metrics]:
        state, spec = self.state, self.spec
        if not self.ranks.leads:
            self.ranks.meet()  # so that the others find the indices and text features that the leading process makes
        dataset = open_data(self.recipe, self.stage.name)
        encoder = self.recipe.cascade.text
        texts = None if encoder is None else encoded(dataset, EmbeddingCache(encoder, cache), _tell_encoding)
        if self.ranks.leads:
            log_notes(self.folder, dataset, texts, grids_of(self.stage, spec, dataset))
            self.ranks.meet()
        batches = Batches(stage=self.stage, spec=spec, dataset=dataset, texts=texts)
        if spec.known is not None and batches.known_in(self.stage.shape) != spec.known:
            length = max(spec.known.lengths(self.stage.shape.frames))
            log.warning("%s: no clip has %d frames; known frames are taken from shorter ones", self.stage.name, length)
        interval, begun = Interval(state.examples), time.perf_counter() - self._before
        keeper = Keeper(self.folder / "checkpoints", self.ranks, state, spec.keep, spec.keep_every)
        share = BatchSlice(self.ranks.rank, self.ranks.world)
        alone = self.ranks.world == 1  # several processes end together, after a step
        loader = Loader(batches, state.examples, spec.examples, share, spec.workers, lambda: alone and self.stopped)
        agreed = False
        try:
            self._learning = True
            for batch in loader:
                before = state.examples
                self._amid = True
                with self.ranks.together():
                    outcome = self._learn(batch)
                self._amid = False
                interval.add(outcome)
                if crossed(before, state.examples, spec.log_every) or state.examples >= spec.examples:
                    yield self._report(interval, loader.waited, time.perf_counter() - begun)
                    interval = Interval(state.examples, loader.waited)
                draws = self.ranks.leads or keeper.together  # sampling with sharded weights takes all processes
                if draws and self._sheets and crossed(before, state.examples, self._sheets):
                    self._sheet(loader.call(subjects, batches, state.examples))
                if crossed(before, state.examples, spec.checkpoint_step):
                    keeper.save(state)
                if self._ending or (self.stopped and alone):
                    break
            agreed = True
        except FloatingPointError:
            agreed = True
            raise
        finally:
            try:
                self._keep_last(keeper, agreed)
            finally:
                self._learning = False
                keeper.close()
                loader.close()

    def _keep_last(self, keeper: Keeper, agreed: bool) -> None:
        """Write a checkpoint at the end, unless there is one. Raises OSError if it cannot be written.

        `agreed` is whether all processes end here; if not, sharded weights cannot be gathered from the others.
        """
        if keeper.together and self.ranks.world > 1 and not agreed:
            return
        error: OSError | None = None
        try:
            keeper.settle("the training ends" if self._amid else "the training ends, and tries once more")
            if self.state.examples > keeper.reached and not self._amid:
                keeper.save(self.state)
            keeper.finish()
        except OSError as caught:
            error = caught
        if agreed and self.ranks.any(error is not None) and error is None:
            error = OSError(f"{self.folder}: the leading process could not write the last checkpoint")
        if error is not None:
            raise error

    @property
    def _sheets(self) -> int:
        """Examples between sample sheets; 0: there are none, as of vectors and of networks that do not denoise."""
        return 0 if self.stage.makes_vectors or not self.stage.network.denoises else self.spec.sample_every

    def stop(self) -> bool:
        """Request the end after the current step; False if no training is running. Safe in a signal handler."""
        self.stopped = self._learning
        return self.stopped

    def _learn(self, batch: Batch | PackedBatch) -> Outcome:
        """Let the players learn from a batch in turn, the student last; return the student's outcome.

        A loss that is not finite is counted and recorded; its player and those after it do not learn.
        """
        state, beside = self.state, {}
        if self.spec.lora is not None and self.spec.lora.dropout:
            torch.manual_seed(seeded(self.spec.seed, f"dropout {self.ranks.rank}", state.examples))
        for player in state.turns():
            outcome = self._turn(player, batch)
            if not outcome.finite:
                self._leave_out(batch, outcome)
                return outcome
            beside[player] = outcome.loss
            state.update(player)
        self._streak = 0
        single = slice(None) if batch.one_level is None else batch.one_level
        state.typical.add(batch.times[single], outcome.errors[single])
        state.advance(batch.size)
        del beside[STUDENT]
        return outcome._replace(beside=beside)

    def _turn(self, player: str, batch: Batch | PackedBatch) -> Outcome:
        """Compute a player's errors on a batch, and their gradient."""
        student = player == STUDENT
        typical = self.state.typical if student and self.spec.balance else None
        errors = self.learner.gradients(player, batch, self.ranks.world, typical).to(self.device)
        stop = torch.tensor([float(self.stopped or self.ranks.orphaned)], device=self.device)
        # The processes also agree on when to end: a signal may reach one of them a step before another.
        self.ranks.add_up([errors, stop])
        self._ending = bool(stop > 0)
        errors = errors.cpu()
        return Outcome(float(errors.mean()), self.state.gradient_norm(player), batch.times, errors, player)

    def _leave_out(self, batch: Batch | PackedBatch, outcome: Outcome) -> None:
        """Skip a batch. Raises FloatingPointError after too many in a row."""
        examples = self.state.examples
        names = all_names(batch, self.ranks)
        where: Path | None = None
        if self.ranks.leads:
            with unneeded(self.folder / FAULTS):
                where = write_fault(self.folder, examples, names, outcome)
        self._streak += 1
        message = "loss %s, gradient %s at %d examples: this step is left out%s"
        log.warning(message, outcome.loss, outcome.norm, examples, "" if where is None else f", see {where}")
        if self._streak >= self.spec.patience:
            raise FloatingPointError(f"not finite {self._streak} times in a row at {examples} examples")
        self.state.skip(batch.size)

    def _report(self, interval: Interval, waited: float, seconds: float) -> Metrics:
        state = self.state
        now = Metrics(
            examples=state.examples,
            total=self.spec.examples,
            loss=interval.mean_loss(),
            grad_norm=interval.mean_norm(),
            learning_rate=self.spec.learning_rate(state.examples),
            examples_per_second=interval.speed(state.examples),
            loss_by_time=interval.loss_by_time(),
            data_wait=interval.data_wait(waited),
            seconds=seconds,
            peak_memory=peak_memory(self.device),
            losses_beside=interval.mean_losses_beside(),
        )
        if self.ranks.leads:
            with unneeded(self.folder / "metrics.jsonl"):
                append_text(self.folder / "metrics.jsonl", json.dumps(now.line()) + "\n")
        for track in self._tracks:
            track.scalars(state.examples, scalars_of(now.line()))
        return now

    def _sheet(self, seen: Subjects) -> None:
        average: Network = self.state.average
        how = (self.device, self.dtype, self._codec, self.recipe.cascade.channels)
        sheet = sample_sheet(self.stage, seen, average, *how)
        if not self.ranks.leads:
            return
        picture = self.folder / f"samples/{self.state.examples:09d}.png"
        with unneeded(picture):
            picture.parent.mkdir(exist_ok=True)
            save_image(picture, sheet)
            for track in self._tracks:
                track.sheet(self.state.examples, picture)


def crossed(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` was reached between two positions."""
    return after // every > before // every


def _tell_encoding(done: int, total: int) -> None:
    if done % 1024 == 0 or done == total:
        log.info("encoded %d of %d captions, which are kept for later runs", done, total)
