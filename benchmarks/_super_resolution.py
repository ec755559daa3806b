"""What the measurements of super-resolution stages share: inputs whose truth is known, outputs, and kept scores.

A stage is given one of two inputs. "truth": the true clip, degraded to what the stage is made for. "generated": what
the stage before it made of the true clip, degraded to what that one is made for. Where the stage before it makes videos
from noise, the true clip is noised to REGENERATED and made anew from there, so that truth exists here too.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from zoetrope.cascade.noise import video_noise
from zoetrope.cascade.spec import StageSpec
from zoetrope.cascade.start import Start
from zoetrope.conditioning import stacked
from zoetrope.config import override, unknown
from zoetrope.data.toybox.held_out import held_out
from zoetrope.diffusion.denoise import denoiser, per_step, statically_thresholded
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.process import diffuse
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.guidance import combined
from zoetrope.guidance.text import with_and_without_text
from zoetrope.inputs.text import text_given
from zoetrope.layers.fused import fused
from zoetrope.metrics.features import FeatureNetwork
from zoetrope.metrics.features.mobilenet_v2 import MobileNetV2
from zoetrope.metrics.super_resolution import StageFidelity, TrueVideo, compare
from zoetrope.models.beside import beside
from zoetrope.models.cascade import Cascade
from zoetrope.models.opening import OpenModel, open_model
from zoetrope.models.precision import compute_dtype
from zoetrope.models.weights import read_weights
from zoetrope.video.resample import degrade

Given = Literal["truth", "generated"]
GIVEN: tuple[Given, ...] = ("truth", "generated")
REGENERATED = -2.0  # logsnr


class Clip(NamedTuple):
    """A held-out clip on a stage's grid: its number, what the stage should make (1, C, F, H, W), and its caption."""

    number: int
    video: Tensor
    text: str


class Cascades:
    """A model and its stages, run one at a time on videos that are given to them."""

    def __init__(self, models: Sequence[str], seed: int) -> None:
        self.model, self.seed = open_model(models), seed
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = compute_dtype(self.device)
        self._cascade = Cascade.of(self.model, device=self.device, dtype=self.dtype)

    @cached_property
    def _texts(self) -> EmbeddingCache:
        return EmbeddingCache(self.model.spec.text, None, self.device)

    @cached_property
    def _beside(self) -> dict[str, str]:
        return beside(self.model.spec, self.model.spec.stages, self.model.codec)

    def stages(self, names: Sequence[str] | None) -> list[StageSpec]:
        """The super-resolution stages of these names, or all. Raises ValueError, with the nearest, for another name."""
        every = [stage for stage in self.model.spec.stages if stage.source is not None]
        for name in names or ():
            if name not in [stage.name for stage in every]:
                raise ValueError(unknown("super-resolution stage", name, [stage.name for stage in every]))
        return [stage for stage in every if not names or stage.name in names]

    def before(self, stage: StageSpec) -> StageSpec:
        """The stage whose videos this one is given."""
        stages = self.model.spec.stages
        return stages[stages.index(stage) - 1]

    def clip(self, number: int, stage: StageSpec) -> Clip:
        """Held-out clip `number` as the stage should make it."""
        example = held_out(number, stage.shape)
        return Clip(number, example.video[None], example.text)

    def given(self, stage: StageSpec, clip: Clip, kind: Given) -> Tensor:
        """What a stage is given of a true clip: (1, C, f, h, w)."""
        before = self.before(stage)
        if kind == "truth":
            return degrade(clip.video, before.shape)
        if before.source is None:
            return self._regenerated(before, degrade(clip.video, before.shape), clip)
        return self.run(before, degrade(clip.video, before.source), clip)

    def run(
        self, stage: StageSpec, given: Tensor, clip: Clip, changes: Mapping[str, float | None] = MappingProxyType({})
    ) -> Tensor:
        """What a stage makes of a video (1, C, f, h, w): (1, C, F, H, W). `changes`: fields of the stage, by path."""
        cascade = copy(self._cascade)  # what it knows of texts is large, and stays one
        for path, value in changes.items():
            cascade.spec = override(cascade.spec, f"stages.{stage.name}.{path}", value)
        start = Start(stage=self.before(stage).name, video=given)
        for progress in cascade.stream(
            [clip.text], seed=self.seed, samples=[clip.number], start=start, until=stage.name
        ):
            if progress.done:
                made = progress.x_hat
            del progress  # before the next step is asked for: two videos less in memory
        return made.clamp(-1, 1).float().cpu()

    def _regenerated(self, stage: StageSpec, video: Tensor, clip: Clip) -> Tensor:
        """A true video, noised to REGENERATED and sampled from there on by the stage that makes videos from noise.

        A distilled stage knows its own few levels alone: its teacher is in its place.
        """
        model = self.model if stage.distilled is None else self.model.originals()
        stage = model.spec.stage(stage.name)
        network = stage.network.build()
        read_weights(network, model.weights[stage.name])
        network = fused(network.eval().to(self.device))
        text, mask = self._texts.encode([clip.text])
        seen = stacked(with_and_without_text(text_given(text.to(self.device), mask.to(self.device)), None))

        def call(z: Tensor, logsnr: Tensor) -> Tensor:
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                return network(z, logsnr, seen)

        times = torch.linspace(1, 0, stage.sampling.steps + 1, dtype=torch.float64, device=self.device)
        every = [stage.schedule(t.expand(1)) for t in times]
        first = next(i for i, level in enumerate(every) if level.logsnr.item() >= REGENERATED)
        levels, steps = every[first:], stage.sampling.steps
        both, step_at = denoiser(call, stage.prediction), per_step(levels, range(first, steps))

        def guided(z: Tensor, level: NoiseLevel) -> Tensor:
            answers = both(torch.cat([z, z]), level.repeated(2)).chunk(2)
            return combined(answers, stage.sampling.guidance.shares(int(step_at(level)), steps))

        denoise = statically_thresholded(guided)

        def noise(purpose: str) -> Tensor:
            what = f"{stage.name} {purpose}"
            scheme = self.model.spec.noise
            drawn = video_noise(self.seed, clip.number, what, stage.shape, stage.network.channels, scheme)
            return drawn[None].to(self.device)

        z = diffuse(video.to(self.device), noise("regenerated"), levels[0])
        for step in stage.sampling.sampler(denoise, z, levels, noise=lambda number: noise(f"step {number}")):
            last = step.x_hat
        return last.clamp(-1, 1).float().cpu()

    def key(self, number: int, *stages: StageSpec, **also: Any) -> str:
        """A name for all that decides what stages make of clip `number`, and for what `also` tells."""
        spec = self.model.spec
        small = held_out(number, spec.stages[0].shape)
        clip = hashlib.sha256(small.video.numpy().tobytes()).hexdigest()
        told = [clip, small.text, self.seed, REGENERATED, str(self.device), str(self.dtype), spec.text.to_json(), also]
        told.append(spec.noise)
        for stage in stages:
            told += [stage.to_json(), _digest(self.model.weights[stage.name])]
        names = [stage.name for stage in stages]
        for teacher in spec.teachers:  # which regenerates in the place of a distilled stage
            if teacher.name in names:
                told += [teacher.to_json(), _digest(self.model.teacher_weights[teacher.name])]
        if self._beside:
            told.append(self._beside)
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


@cache
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def feature_network(weights: Path | None) -> FeatureNetwork | None:
    """The network of a file with the weights of MobileNetV2; None without one."""
    return None if weights is None else MobileNetV2(weights=str(weights)).open()


def measured(
    stage: StageSpec, clip: Clip, methods: Iterable[tuple[str, Callable[[], Tensor]]], network: FeatureNetwork | None
) -> dict[str, Any]:
    """The fidelity and the seconds of every method, run and measured one after the other, as JSON values."""
    assert stage.source is not None
    truth, scores = TrueVideo.seen(clip.video, network), {}
    for name, method in methods:
        start = time.perf_counter()
        made = method()
        seconds = time.perf_counter() - start
        scores[name] = {"seconds": seconds, **compare(made, truth, stage.source).to_json()}
    return {"clip": clip.number, "caption": clip.text, "methods": scores}


def fidelity(scores: Sequence[dict[str, Any]], method: str) -> StageFidelity:
    """The mean over clips of what `measured` gave for a method."""
    fields = StageFidelity.model_fields
    return StageFidelity.mean(
        [StageFidelity.from_json({name: score["methods"][method][name] for name in fields}) for score in scores]
    )


def clip_counts(words: Sequence[str], stages: Sequence[StageSpec], usual: int) -> dict[str, int]:
    """How many clips each stage is measured on: a number for all, or `usual`, and STAGE=NUMBER for one of them."""
    plain = [word for word in words if "=" not in word]
    named = dict(word.split("=", 1) for word in words if "=" in word)
    for name in named:
        if name not in [stage.name for stage in stages]:
            raise ValueError("--clips: " + unknown("stage", name, [stage.name for stage in stages]))
    numbers = [*plain, *named.values()]
    if len(plain) > 1 or not all(number.isdigit() and int(number) > 0 for number in numbers):
        raise ValueError(f"--clips: expected a number above 0, and STAGE=NUMBER for single stages, got {words}")
    return {stage.name: int(named.get(stage.name, plain[0] if plain else usual)) for stage in stages}


def describe(model: OpenModel, network: FeatureNetwork | None, seed: int) -> dict[str, Any]:
    """What was measured and with what, for the head of a JSON file."""
    about = None if network is None else {"name": network.name, "sha256": network.sha256, "layer": network.layer}
    return {"model": model.spec.name, "seed": seed, "regenerated_logsnr": REGENERATED, "features": about}
