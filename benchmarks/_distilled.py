"""The ways to sample a stage that are compared: its original in many steps, and what was distilled from it in few."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.guidance.oscillating import Oscillating
from zoetrope.inputs.text import text_given
from zoetrope.layers.fused import fused
from zoetrope.models.opening import open_model
from zoetrope.models.precision import compute_dtype
from zoetrope.models.runs import is_distillation, is_run, original_in, read_run
from zoetrope.models.weights import read_weights
from zoetrope.samplers import Sampler
from zoetrope.samplers.ddim import DDIM
from zoetrope.text import TextEncoder
from zoetrope.training.distil import Distillation
from zoetrope.training.trained import run_recipe

CONSTANT = 0.2  # share of the steps for which oscillating guidance is constant


class Way(NamedTuple):
    """A network of a stage, the text that it reads, and the file with its weights; how it is sampled is `stage`'s."""

    stage: StageSpec
    text: TextEncoder
    weights: Path

    @property
    def who(self) -> str:
        """What the network is, in a word."""
        distilled = self.stage.distilled
        if distilled is None:
            return "original"
        return "guided" if distilled.steps is None else "distilled"

    @property
    def guidance(self) -> str:
        """The guidance, in words."""
        weight = self.stage.sampling.guidance
        if isinstance(weight, Oscillating):
            return f"{weight.high:g} and {weight.low:g}"
        return f"{self.stage.sampling.weights()[0]:g}"

    def told(self) -> dict[str, str | int]:
        """What tells it from others, for people."""
        sampling = self.stage.sampling
        return {
            "stage": self.stage.name,
            "network": self.who,
            "steps": sampling.steps,
            "sampler": sampling.sampler.kind(),
            "guidance": self.guidance,
        }

    def key(self, *also: object) -> str:
        """A name for all that decides what becomes of a prompt, and how long that takes, and for what `also` tells."""
        device = _device()
        here = [str(device), str(compute_dtype(device)), torch.get_num_threads()]
        told = [self.stage.to_json(), self.text.to_json(), *here, also]
        told += [self.text.identity] if self.text.local else []
        return hashlib.sha256((json.dumps(told) + _digest(self.weights)).encode()).hexdigest()[:12]


@cache
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def networks_of(name: str) -> Iterator[Way]:
    """The distilled networks behind a name and the originals that they come from, sampled as their descriptions say.

    The name is that of a distillation, which stands for all of its finished rounds, of a single round, or of a model.
    """
    folder = Path(name)
    if is_distillation(folder):
        found = Distillation.open(folder)
        text = found.recipe.cascade.text
        if (original := original_in(folder)) is not None:
            stage, weights = original
            yield Way(stage, text, weights)
        for part in found.rounds():
            if part.finished:
                yield Way(part.recipe.cascade.stage(part.stage), text, read_run(part.folder).average_file())
    elif is_run(folder):
        recipe, trained = run_recipe(folder)
        yield Way(recipe.cascade.stage(trained), recipe.cascade.text, read_run(folder).average_file())
    else:
        model = open_model([name])
        for stage in model.spec.teachers:
            yield Way(stage, model.spec.text, model.teacher_weights[stage.name])
        for stage in model.spec.stages:
            if stage.distilled is not None:
                yield Way(stage, model.spec.text, model.weights[stage.name])


def ways(
    names: Sequence[str], *, steps: Sequence[int], enlarging_steps: Sequence[int], high: float | None
) -> list[Way]:
    """The ways to compare, each once.

    Originals are sampled with DDIM in `steps` steps, those of super-resolution in `enlarging_steps`; distilled networks
    as they can be. With `high`, all that can be are also sampled with guidance that oscillates between it and 1.
    """
    found: dict[str, Way] = {}
    for network in (network for name in names for network in networks_of(name)):
        counts = steps if network.stage.source is None else enlarging_steps
        for sampling in _samplings(network.stage, counts):
            for guided in _guided(network.stage, sampling, high):
                way = network._replace(stage=network.stage.with_(sampling=guided))
                way.stage.check_sampling()
                found.setdefault(way.key(), way)
    return list(found.values())


def _samplings(stage: StageSpec, counts: Sequence[int]) -> Iterator[SamplingSpec]:
    distilled = stage.distilled
    if distilled is None:
        for count in counts:
            yield with_steps(stage.sampling, count, DDIM())
        return
    yield stage.sampling
    if distilled.stochastic and distilled.steps is not None:
        yield with_steps(stage.sampling, distilled.steps, DDIM())


def with_steps(sampling: SamplingSpec, steps: int, sampler: Sampler) -> SamplingSpec:
    """The same in so many steps; guidance that oscillates is held constant for the same share of the way."""
    update: dict[str, object] = {"steps": steps, "sampler": sampler}
    if isinstance(sampling.guidance, Oscillating):
        constant = round(sampling.guidance.constant * steps / sampling.steps)
        update["guidance"] = sampling.guidance.with_(constant=constant)
    return sampling.with_(**update)


def _guided(stage: StageSpec, sampling: SamplingSpec, high: float | None) -> Iterator[SamplingSpec]:
    """The sampling as it is, and with oscillating guidance if the network takes it and is guided at all."""
    yield sampling
    if high is None or not any(sampling.weights()) or isinstance(sampling.guidance, Oscillating):
        return
    wave = Oscillating(high=high, low=1.0, constant=max(1, round(CONSTANT * sampling.steps)))
    waving = sampling.with_(guidance=wave)
    low, top = (0.0, high) if stage.distilled is None else stage.distilled.weights
    if all(low <= weight <= top for weight in waving.weights()):
        yield waving


class Sampled(NamedTuple):
    """Videos (B, C, F, H, W) in [-1, 1], and the seconds that sampling them took."""

    videos: Tensor
    seconds: float


class Sampling:
    """Runs ways on the device that there is; texts are encoded once."""

    def __init__(self) -> None:
        self.device = _device()
        self.dtype = compute_dtype(self.device)
        self._texts: dict[str, EmbeddingCache] = {}

    def __call__(
        self, way: Way, prompts: Sequence[str], numbers: Sequence[int], seed: int, video: Tensor | None = None
    ) -> Sampled:
        """What a way makes of prompts and, in super-resolution, of a video; `numbers` are those of the noise."""
        network = way.stage.network.build()
        read_weights(network, way.weights)
        network = fused(network.eval().to(self.device))
        cached = self._texts.setdefault(json.dumps(way.text.to_json()), EmbeddingCache(way.text))
        text, mask = cached.encode(prompts)
        given = text_given(text, mask).to(self.device, torch.float32)
        draw = Draw(seed=seed, samples=list(numbers), device=self.device, dtype=self.dtype)
        source = None if video is None else video.to(self.device)
        start = time.perf_counter()
        made = stage_video(way.stage, network, given, source, draw)
        videos = made.float().clamp(-1, 1).cpu()
        return Sampled(videos, time.perf_counter() - start)
