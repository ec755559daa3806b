"""The training of one stage: batch, loss, update, and now and then a line of metrics, a sheet of samples, a checkpoint.

A run is a folder: `recipe.json`, `run.json` (what was run, with what), `metrics.jsonl`, `checkpoints/`, `samples/`.
"""

import copy
import json
import logging
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from zoetrope import __version__
from zoetrope.cascade.noise import seeded
from zoetrope.cascade.spec import StageSpec
from zoetrope.config import expect_importable, packages_of
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.files import write_text
from zoetrope.foreign import trusting
from zoetrope.layers.fused import fused
from zoetrope.models.precision import compute_dtype
from zoetrope.models.weights import read_weights
from zoetrope.networks import Network
from zoetrope.strict_json import read_json
from zoetrope.training.adapters import BASE, adapt, freeze, keep_base
from zoetrope.training.batch import Batch, Batches, Share
from zoetrope.training.checkpoints import Keeper, go_on, sweep
from zoetrope.training.compiling import compile_blocks
from zoetrope.training.faults import FOLDER as FAULTS
from zoetrope.training.faults import all_names, write_fault
from zoetrope.training.learner import Learner
from zoetrope.training.loading import Loader, encoded
from zoetrope.training.lock import Lock
from zoetrope.training.meters import Step, Window, peak_memory
from zoetrope.training.preview import Subjects, sample_sheet, subjects
from zoetrope.training.ranks import ALONE, Ranks
from zoetrope.training.spec import Recipe, TrainSpec
from zoetrope.training.state import TrainState, cut_metrics
from zoetrope.training.told import tell
from zoetrope.training.trackers import Track, scalars_of, tracking
from zoetrope.training.writing import append_text, expect_own, unneeded
from zoetrope.video import save_image

log = logging.getLogger(__name__)


class Progress(NamedTuple):
    """Where a training is, and what it measured of itself since the last report.

    Attributes:
        examples, total: seen so far, and in all.
        loss: mean, None if nothing was learnt; loss_by_time: in equal parts of diffusion time, None for one without an
            example.
        grad_norm: mean norm of the gradient before it is clipped, None if nothing was learnt.
        data_wait: share of the time in which the training waited for data.
        seconds: of training so far, by a clock that never jumps; those of the runs that it goes on from count.
        peak_memory: the most bytes held so far, see `zoetrope.training.meters.peak_memory`.
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


class Run:
    """A run on disk, new or continued."""

    def __init__(
        self,
        recipe: Recipe,
        stage: str,
        folder: Path,
        device: torch.device,
        init: Path | None = None,
        ranks: Ranks = ALONE,
    ):
        """`init` is a safetensors file whose weights a new run starts from; a continued one has its own.

        Of several processes, `ranks`, each has a `Run` of the same folder, in which the leading one alone writes.

        A network that has a teacher starts as that one instead.

        Raises ValueError if `folder` already holds a run of another recipe or stage, if another process trains in it,
        for unfit weights, and for a recipe with a class that could not be found again by its name.
        """
        expect_importable(recipe)
        self.recipe, self.folder, self.device, self.ranks = recipe, folder, device, ranks
        self.stage: StageSpec = recipe.cascade.stage(stage)
        self.spec: TrainSpec = recipe.train_spec(stage)
        self.stopped = False
        self._learning = self._amid = self._ending = False
        self._streak = 0  # losses in a row that were not finite
        self._tracks: tuple[Track, ...] = ()
        expect_own(folder)
        self._lock = Lock(folder)
        if ranks.leads:
            self._lock.take()
        with self._lock.used(note=False):
            self._open(init)

    def _open(self, init: Path | None) -> None:
        """Find or make the weights, go to the newest checkpoint, and write down what the run is."""
        known, folder = self._known(), self.folder
        self.dtype = self._settled(known)
        torch.manual_seed(seeded(self.spec.seed, "weights", self.stage.name))
        network = self.stage.network.build().to(self.device)
        if init is not None and (fresh := read_weights(network, init, missing=self.spec.init_missing)):
            log.info("%s does not have %d tensors, which begin fresh: %s", init, len(fresh), ", ".join(fresh))
        self.teacher = self._taught()
        if self.teacher is not None:
            network.load_state_dict({**network.state_dict(), **self.teacher.state_dict()})
        freeze(network, self.spec.freeze, self.spec.learn)
        if self.spec.lora is not None:
            keep_base(network, folder / BASE, self.ranks.leads)
            adapt(network, self.spec.lora)
        spec, ranks = self.spec, self.ranks
        spec.parallel.check(spec.optimizer, spec.lora is not None, ranks)
        self.state = TrainState(network, fused(copy.deepcopy(network).eval()), spec, self.dtype, ranks)
        if self.teacher is not None:
            spec.parallel.spread(self.teacher, ranks, self.dtype)
        if found := go_on(folder / "checkpoints", self.state, ranks):
            log.info("continuing from %s", found)
        if ranks.leads and spec.reached < 0.5:
            told = "%s: the learning rate gets to %.0f %% of its peak: %d examples, warm_up = %d and cool_down = %d"
            log.warning(told, self.stage.name, 100 * spec.reached, spec.examples, spec.warm_up, spec.cool_down)
        if spec.compile:
            compile_blocks(network)
        student = spec.parallel.student(network, ranks)
        self.learner = Learner(self.stage, spec, student, self.teacher, self.device, self.dtype)
        self._before = 0.0  # seconds of training until here
        if self.ranks.leads:
            sweep(folder / "checkpoints")
            self._before = cut_metrics(folder / "metrics.jsonl", self.state.examples)
            self._record(known)

    def _taught(self) -> Network | None:
        """The network that the objective learns from, if any. Raises ValueError if its weights cannot be read."""
        teacher = self.spec.objective.teacher
        if teacher is None:
            return None
        network = teacher.network.build().to(self.device)
        read_weights(network, (self.folder / teacher.weights).resolve())
        return fused(network.eval())

    def _known(self) -> dict[str, Any]:
        """What the folder's run.json says, {} without one. Raises ValueError if it is not of this stage and network."""
        settings, recipe = self.folder / "run.json", self.folder / "recipe.json"
        if not settings.exists():
            return {}
        known: dict[str, Any] = read_json(settings)
        if known["stage"] != self.stage.name:
            raise ValueError(f"{self.folder}: is a run of stage {known['stage']!r}, not of {self.stage.name!r}")
        with trusting(*packages_of(self.recipe)):
            written = Recipe.from_json(read_json(recipe)).cascade.stage(self.stage.name)
        if written.network != self.stage.network:
            raise ValueError(f"{self.folder}: holds weights of another network than the recipe's; use another --out")
        return known

    def _settled(self, known: dict[str, Any]) -> torch.dtype:
        """The type that the run computes in: what it always was, or for a new run what its recipe says."""
        return getattr(torch, known["dtype"]) if known else compute_dtype(self.device, self.spec.precision)

    def _record(self, known: dict[str, Any]) -> None:
        """Write down what the run is, with a line of history for each time that it was begun or gone on with."""
        now = {
            "command": sys.argv,
            "versions": {"zoetrope": __version__, "torch": torch.__version__, "python": platform.python_version()},
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "examples": self.state.examples,
        }
        about = {"stage": self.stage.name, "dtype": str(self.dtype).removeprefix("torch.")}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.folder / "recipe.json", json.dumps(self.recipe.to_json(), indent=1))
        # Once more the recipe, so that what is changed in recipe.json by hand is noticed.
        value = {**about, "history": [*known.get("history", []), now], "recipe": self.recipe.to_json()}
        self._written = json.dumps(value, indent=1)
        write_text(self.folder / "run.json", self._written)

    def train(self, cache: Path | None = None) -> Iterator[Progress]:
        """Train to the end of the curriculum, reporting every `log_every` examples; checkpoints are kept on the way.

        Closing the iterator, `stop`, or an interrupt writes a checkpoint first, unless it came amid an update.
        Raises FloatingPointError after `patience` batches in a row that are not finite, ValueError if another process
        trains in this folder, or has begun to since this value was made.
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

    def _train(self, cache: Path | None) -> Iterator[Progress]:
        state, spec = self.state, self.spec
        if not self.ranks.leads:
            self.ranks.meet()  # indices and text features that the leading process makes are found by the others
        dataset = spec.data.open()
        encoder = self.recipe.cascade.text
        texts = None if encoder is None else encoded(dataset, EmbeddingCache(encoder, cache), _tell_encoding)
        if self.ranks.leads:
            tell(self.folder, dataset, texts)
            self.ranks.meet()
        batches = Batches(stage=self.stage, spec=spec, dataset=dataset, texts=texts)
        window, begun = Window(state.examples), time.perf_counter() - self._before
        keeper = Keeper(self.folder / "checkpoints", self.ranks, state, spec.keep, spec.keep_every)
        share = Share(self.ranks.rank, self.ranks.world)
        alone = self.ranks.world == 1  # several end together, after a step
        loader = Loader(batches, state.examples, spec.examples, share, spec.workers, lambda: alone and self.stopped)
        agreed = False
        try:
            self._learning = True
            for batch in loader:
                before = state.examples
                self._amid = True
                with self.ranks.together():
                    step = self._learn(batch)
                self._amid = False
                window.add(step)
                if crossed(before, state.examples, spec.log_every) or state.examples >= spec.examples:
                    yield self._report(window, loader.waited, time.perf_counter() - begun)
                    window = Window(state.examples, loader.waited)
                draws = self.ranks.leads or keeper.together  # divided weights take all processes to sample with
                if draws and spec.sample_every and crossed(before, state.examples, spec.sample_every):
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
        """Write a checkpoint of the end, unless there is one. Raises OSError if it cannot be written.

        `agreed` is whether all processes end here; if not, those with parts of the weights cannot be waited for.
        """
        if keeper.together and self.ranks.world > 1 and not agreed:
            return
        error: OSError | None = None
        try:
            keeper.settle()
            if self.state.examples > keeper.reached and not self._amid:
                keeper.save(self.state)
            keeper.finish()
        except OSError as caught:
            error = caught
        if agreed and self.ranks.any(error is not None) and error is None:
            error = OSError(f"{self.folder}: the leading process could not write the last checkpoint")
        if error is not None:
            raise error

    def stop(self) -> bool:
        """Ask for the end after the current step; False if no training is under way. Safe in a signal handler."""
        self.stopped = self._learning
        return self.stopped

    def _learn(self, batch: Batch) -> Step:
        """One step on a batch; a loss that is not finite is counted, written down, and its update left out."""
        state, stop = self.state, torch.tensor([float(self.stopped or self.ranks.orphaned)], device=self.device)
        if self.spec.lora is not None and self.spec.lora.dropout:
            torch.manual_seed(seeded(self.spec.seed, f"dropout {self.ranks.rank}", state.examples))
        errors = self.learner.gradients(batch, self.ranks.world, state.typical).to(self.device)
        # The processes also agree when to end: a signal may reach one of them a step before another.
        self.ranks.add_up([errors, stop])
        errors, self._ending = errors.cpu(), bool(stop > 0)
        step = Step(float(errors.mean()), state.gradient_norm(), batch.times, errors)
        if step.finite:
            self._streak = 0
            state.typical.add(batch.times, errors)
            state.update(batch.size)
            return step
        self._leave_out(batch, step)
        return step

    def _leave_out(self, batch: Batch, step: Step) -> None:
        """Go on without learning from a batch. Raises FloatingPointError after too many in a row."""
        examples = self.state.examples
        names = all_names(batch, self.ranks)
        where: Path | None = None
        if self.ranks.leads:
            with unneeded(self.folder / FAULTS):
                where = write_fault(self.folder, examples, names, step)
        self._streak += 1
        told = "loss %s, gradient %s at %d examples: this step is left out%s"
        log.warning(told, step.loss, step.norm, examples, "" if where is None else f", see {where}")
        if self._streak >= self.spec.patience:
            raise FloatingPointError(f"not finite {self._streak} times in a row at {examples} examples")
        self.state.skip(batch.size)

    def _report(self, window: Window, waited: float, seconds: float) -> Progress:
        state = self.state
        now = Progress(
            examples=state.examples,
            total=self.spec.examples,
            loss=window.mean_loss(),
            grad_norm=window.mean_norm(),
            learning_rate=self.spec.learning_rate(state.examples),
            examples_per_second=window.speed(state.examples),
            loss_by_time=window.loss_by_time(),
            data_wait=window.data_wait(waited),
            seconds=seconds,
            peak_memory=peak_memory(self.device),
        )
        if self.ranks.leads:
            with unneeded(self.folder / "metrics.jsonl"):
                append_text(self.folder / "metrics.jsonl", json.dumps(now._asdict()) + "\n")
        for track in self._tracks:
            track.scalars(state.examples, scalars_of(now._asdict()))
        return now

    def _sheet(self, seen: Subjects) -> None:
        average: Network = self.state.average
        sheet = sample_sheet(self.stage, seen, average, self.device, self.dtype)
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
