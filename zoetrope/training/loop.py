"""The training of one stage: batch, loss, update, and now and then a line of metrics, a sheet of samples, a checkpoint.

A run is a folder: `recipe.json`, `run.json` (what was run, with what), `metrics.jsonl`, `checkpoints/`, `samples/`.
"""

import copy
import json
import logging
import math
import os
import platform
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoetrope import __version__
from zoetrope.cascade.noise import seeded
from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.loss import output_weight, squared_error
from zoetrope.models.weights import read_weights
from zoetrope.networks import Network
from zoetrope.text._cache import EmbeddingCache
from zoetrope.training.batch import Batch, Batches
from zoetrope.training.objectives import Lesson
from zoetrope.training.precision import compute_dtype
from zoetrope.training.preview import Subjects, sample_sheet, subjects
from zoetrope.training.ranks import ALONE, Ranks
from zoetrope.training.spec import Recipe, TrainSpec
from zoetrope.training.state import TrainState, find_checkpoints, read_metrics, sweep

log = logging.getLogger(__name__)
LARGEST_STREAK = 10


class Progress(NamedTuple):
    """Where a training is: examples seen of all, the loss and gradient norm since the last report, and its speed."""

    examples: int
    total: int
    loss: float
    grad_norm: float
    learning_rate: float
    examples_per_second: float


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

        Raises ValueError if `folder` already holds a run of another recipe or stage, or for unfit weights.
        """
        self.recipe, self.folder, self.device, self.ranks = recipe, folder, device, ranks
        self.stage: StageSpec = recipe.cascade.stage(stage)
        self.spec: TrainSpec = recipe.train_spec(stage)
        self.stopped = False
        self._learning = self._amid = self._ending = False
        known = self._known()
        self.dtype = self._settled(known)
        self._streak = 0  # losses in a row that were not finite
        torch.manual_seed(seeded(self.spec.seed, "weights", stage))
        network = self.stage.network.build().to(device)
        if init is not None:
            read_weights(network, init)
        self.teacher = self._taught()
        if self.teacher is not None:
            network.load_state_dict({**network.state_dict(), **self.teacher.state_dict()})
        self.state = TrainState(network, copy.deepcopy(network), self.spec, self.dtype)
        if found := find_checkpoints(folder / "checkpoints"):
            self.state.load(found[-1])
            log.info("continuing from %s", found[-1])
        if ranks.leads:
            sweep(folder / "checkpoints")
            _cut_metrics(folder / "metrics.jsonl", self.state.examples)
            self._record(known)

    def _taught(self) -> Network | None:
        """The network that the objective learns from, if any. Raises ValueError if its weights cannot be read."""
        teacher = self.spec.objective.teacher
        if teacher is None:
            return None
        network = teacher.network.build().to(self.device)
        read_weights(network, (self.folder / teacher.weights).resolve())
        return network.eval().requires_grad_(False)

    def _known(self) -> dict[str, Any]:
        """What the folder's run.json says, {} without one. Raises ValueError if it is not of this stage and network."""
        settings, recipe = self.folder / "run.json", self.folder / "recipe.json"
        if not settings.exists():
            return {}
        known: dict[str, Any] = json.loads(settings.read_text())
        if known["stage"] != self.stage.name:
            raise ValueError(f"{self.folder}: is a run of stage {known['stage']!r}, not of {self.stage.name!r}")
        written = Recipe.from_json(recipe.read_text()).cascade.stage(self.stage.name)
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
        history = [*known.get("history", []), now]
        write_text(self.folder / "run.json", json.dumps({**about, "history": history}, indent=1))

    def train(self, cache: Path | None = None) -> Iterator[Progress]:
        """Train to the end of the curriculum, reporting every `log_every` examples; checkpoints are kept on the way.

        Closing the iterator, `stop`, or an interrupt writes a checkpoint first, unless it came amid an update.
        Raises FloatingPointError after many losses in a row that are not finite.
        """
        state, spec = self.state, self.spec
        dataset = spec.data.open()
        if self.ranks.leads:
            EmbeddingCache(self.recipe.cascade.text, cache).prepare(dataset.captions(), _tell_encoding)
        self.ranks.meet()
        texts = EmbeddingCache(self.recipe.cascade.text, cache)
        texts.prepare(dataset.captions())
        batches = Batches(stage=self.stage, spec=spec, dataset=dataset, texts=texts)
        window = Window(state.examples)
        saved = state.examples
        worker = ThreadPoolExecutor(1)  # the only thread that reads data and texts
        try:
            self._learning = True
            for batch in self._prefetched(batches, worker):
                before = state.examples
                self._amid = True
                loss, norm = self._learn(batch)
                self._amid = False
                window.add(loss, norm)
                if crossed(before, state.examples, spec.log_every) or state.examples >= spec.examples:
                    yield self._report(window)
                    window = Window(state.examples)
                if self.ranks.leads and spec.sample_every and crossed(before, state.examples, spec.sample_every):
                    self._sheet(worker.submit(subjects, batches, state.examples).result())
                if crossed(before, state.examples, spec.checkpoint_every):
                    saved = state.examples  # even if that fails: it is not tried a second time
                    self._save()
                if self._ending or (self.stopped and self.ranks.world == 1):
                    break
        finally:
            try:
                if state.examples > saved and not self._amid:
                    self._save()
            finally:
                self._learning = False
                worker.shutdown()

    def _save(self) -> None:
        if self.ranks.leads:
            self.state.save(self.folder / "checkpoints", self.spec.keep)

    def stop(self) -> bool:
        """Ask for the end after the current step; False if no training is under way. Safe in a signal handler."""
        self.stopped = self._learning
        return self.stopped

    def _prefetched(self, batches: Batches, worker: ThreadPoolExecutor) -> Iterator[Batch]:
        """Batches from here to the end, the next one made while this one is learnt from."""
        position, total = self.state.examples, self.spec.examples
        coming = worker.submit(batches.at, position) if position < total else None
        while coming is not None:
            batch = coming.result()
            position += len(batch.x)
            coming = worker.submit(batches.at, position) if position < total else None
            yield batch

    def _learn(self, batch: Batch) -> tuple[float, float]:
        """One step on a batch; a loss that is not finite is counted, and its update left out."""
        state, share = self.state, self.ranks.share(len(batch.x))
        errors, stop = torch.zeros(len(batch.x)), torch.tensor([float(self.stopped)])
        for part in share.tensor_split(min(self.spec.accumulate, len(share))) if len(share) else ():
            losses = self._loss(batch, part)
            errors[part] = losses.detach().cpu()
            if self.spec.balance:
                losses = losses / state.typical.at(batch.t[part]).to(losses)
            (losses.sum() / len(batch.x)).backward()
        # The processes also agree when to end: a signal may reach one of them a step before another.
        messages = errors.to(self.device), stop.to(self.device)
        self.ranks.add_up_gradients(list(state.network.parameters()), *messages)
        errors, self._ending = messages[0].cpu(), bool(messages[1] > 0)
        total = float(errors.mean())
        norm = state.gradient_norm()
        if math.isfinite(total) and math.isfinite(norm):
            self._streak = 0
            state.typical.add(batch.t, errors)
            state.update(len(batch.x))
            return total, norm
        self._streak += 1
        log.warning("loss %s, gradient %s at %d examples: this step is left out", total, norm, state.examples)
        if self._streak >= LARGEST_STREAK:
            raise FloatingPointError(f"not finite {self._streak} times in a row at {state.examples} examples")
        state.skip(len(batch.x))
        return total, norm

    def _loss(self, batch: Batch, part: Tensor) -> Tensor:
        """The weighted error (b,) of some examples of a batch."""
        stage, device = self.stage, self.device
        given = batch.conditioning.select(part).to(device, torch.float32)
        x, eps, u = (value[part].to(device) for value in (batch.x, batch.eps, batch.t))
        ask = None if self.teacher is None else self._ask
        question = self.spec.objective(stage, Lesson(x, eps, u, given), ask)
        output = self._call(self.state.network, question.z, question.level.logsnr.float(), given)
        weight = output_weight(self.spec.weight, stage.prediction, question.level).float()
        return weight * squared_error(output, question.answer)

    def _ask(self, z: Tensor, logsnr: Tensor, given: Conditioning) -> Tensor:
        """What the teacher says."""
        assert self.teacher is not None
        with torch.no_grad():
            return self._call(self.teacher, z, logsnr, given)

    def _call(self, network: Network, z: Tensor, logsnr: Tensor, given: Conditioning) -> Tensor:
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            output: Tensor = network(z, logsnr, given)
        return output

    def _report(self, window: "Window") -> Progress:
        state = self.state
        now = Progress(
            examples=state.examples,
            total=self.spec.examples,
            loss=window.mean_loss(),
            grad_norm=window.mean_norm(),
            learning_rate=self.spec.learning_rate(state.examples),
            examples_per_second=window.speed(state.examples),
        )
        if self.ranks.leads:
            with (self.folder / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(now._asdict()) + "\n")
        return now

    def _sheet(self, seen: Subjects) -> None:
        folder = self.folder / "samples"
        folder.mkdir(exist_ok=True)
        average: Network = self.state.average
        sample_sheet(self.stage, seen, average, folder / f"{self.state.examples:09d}.png", self.device, self.dtype)


class Window:
    """What happened since the last report."""

    def __init__(self, examples: int):
        self.first, self.start = examples, time.perf_counter()
        self.losses: list[float] = []
        self.norms: list[float] = []

    def add(self, loss: float, norm: float) -> None:
        """Take in one step; one that was left out does not count."""
        if math.isfinite(loss) and math.isfinite(norm):
            self.losses.append(loss)
            self.norms.append(norm)

    def mean_loss(self) -> float:
        """The mean of the losses."""
        return sum(self.losses) / max(1, len(self.losses))

    def mean_norm(self) -> float:
        """The mean of the gradient's norms."""
        return sum(self.norms) / max(1, len(self.norms))

    def speed(self, examples: int) -> float:
        """Examples a second."""
        return (examples - self.first) / (time.perf_counter() - self.start)


def crossed(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` was reached between two positions."""
    return after // every > before // every


def write_text(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    os.replace(partial, path)


def _cut_metrics(path: Path, examples: int) -> None:
    """Forget what was measured after the checkpoint that the run continues from: it will be measured again."""
    if path.exists():
        lines = [json.dumps(line) for line in read_metrics(path) if line["examples"] <= examples]
        write_text(path, "".join(line + "\n" for line in lines))


def _tell_encoding(done: int, total: int) -> None:
    if done % 4096 == 0 or done == total:
        log.info("encoded %d of %d captions", done, total)
