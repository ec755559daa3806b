"""A cascade ready to run: text in, video out."""

import copy
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, Unpack, overload

import numpy as np
import torch
from torch import Tensor

from zoetrope.cascade.execution.cost import differentiates
from zoetrope.cascade.execution.layout import expect_memory
from zoetrope.cascade.finite import expect_finite
from zoetrope.cascade.graph import drop_unread, vectors_for, video_for
from zoetrope.cascade.grid import far_from, on_grid
from zoetrope.cascade.long.film import Made
from zoetrope.cascade.sample import Draw, sample_stage, text_length
from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.cascade.start import Start, stages_after, start_from
from zoetrope.cascade.tuning import Tuning, routine_told, tuned
from zoetrope.cascade.windows import windows_told
from zoetrope.channels import are_rgb
from zoetrope.codecs import CodecNetwork
from zoetrope.conditioning import Conditioning
from zoetrope.config.errors import shown
from zoetrope.config.foreign import trusting
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.fields import Ensemble
from zoetrope.layers.fused import fused
from zoetrope.models.asking import conditioning_of, expect_askable, of_batch, setting_of
from zoetrope.models.coding import Coding
from zoetrope.models.folder import write_model
from zoetrope.models.known import GivenFrames, known_of
from zoetrope.models.long import Beginning, Long, pictures_of
from zoetrope.models.opening import OpenModel, open_model
from zoetrope.models.options import Options, checked, integer, known_and_asked, listed, with_picture
from zoetrope.models.places import device_named, expect_dtype, memory_told
from zoetrope.models.progress import Progress, colour_shifts
from zoetrope.models.texts import encoded
from zoetrope.models.weights import Origin
from zoetrope.networks import Network
from zoetrope.video import Video

__all__ = ["Cascade", "Progress"]

Prompts = list[str] | list[str | None] | tuple[str | None, ...]
log = logging.getLogger(__name__)


class Cascade:
    """Stages that run one after the other, with only one network in memory at a time.

    Attributes:
        spec: the stages and how they are sampled; see `zoetrope.cascade.tuning.tuned` for other sampling.
        origins: the model or run, and the file, that the weights of each stage come from, where known.
    """

    def __init__(
        self,
        spec: CascadeSpec,
        load: Callable[[StageSpec], Network],
        *,
        card: str = "",
        codec: Callable[[], CodecNetwork] | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        origins: Mapping[str, Origin] = MappingProxyType({}),
    ):
        """`load` gives a stage's network with its weights, `codec` the codec of stages that make latents; `dtype` is
        what networks compute in, codecs in float32.

        Raises ValueError for a device that is not here, for a type other than float32, bfloat16 and float16, and for
        stages of latents without a codec.
        """
        expect_dtype(dtype)
        if spec.codec is not None and codec is None:
            raise ValueError(f"{spec.name}: codec: expected the codec that its latents are of, got none")
        self.spec, self.card, self.origins = spec, card, origins
        self.device, self.dtype = device_named(device), dtype
        self._load, self._codec = load, codec
        self._drifted: set[str] = set()  # stages whose colours were warned about
        # Text is encoded in float32 for float16, which encoders exceed, and on a CPU: all runs get the same features.
        reading = torch.float32 if self.device.type == "cpu" or dtype == torch.float16 else dtype
        self._texts = None if spec.text is None else EmbeddingCache(spec.text, None, self.device, reading)

    def __repr__(self) -> str:
        stages = ", ".join(stage.name for stage in self.spec.stages)
        return f"Cascade({self.spec.name!r}: {stages}; {self.device}, {str(self.dtype).removeprefix('torch.')})"

    @classmethod
    def from_pretrained(
        cls,
        name_or_list: str | Path | Sequence[str | Path],
        *,
        teacher: bool = False,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        trust: Sequence[str] = (),
    ) -> Self:
        """Open a cascade by name: a folder, a shipped name, a hub id, or a run. Weights are read when a stage runs.

        The folder may be that of a model, of a run, of several runs, or of a distillation, which stands for its newest
        finished round. RUN@HALF_LIFE selects one of the run's moving averages, by default the first. Several names, in
        any order, are combined: a run replaces the model's stage of the same name, or follows the model's stages.

        `device` "auto" is the GPU, if there is one. `dtype` is what networks compute in: torch.float32, bfloat16 or
        float16. Distilled stages run by default; with `teacher`, the originals that they were distilled from.

        `trust` lists the packages whose classes the model may name, such as ("my_lab",): these are imported.

        Raises ValueError if there is no such model, or no teacher, if its description is invalid or names classes of
        untrusted packages, or if several do not fit each other.
        """
        if isinstance(trust, str) or not isinstance(trust, Iterable):
            raise ValueError(f"trust: expected a list of packages such as ('my_lab',), got {shown(trust)}")
        with trusting(*trust):
            model = open_model(name_or_list)
        return cls.of(model.originals() if teacher else model, device=device, dtype=dtype)

    @classmethod
    def of(cls, model: OpenModel, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Self:
        """The cascade of a model that was opened, see `from_pretrained`."""
        known = partial(cls, card=model.card, codec=model.codec, origins=model.origins())
        return known(model.spec, model.network, device=device, dtype=dtype)

    def tuned(
        self,
        *,
        steps: int | None = None,
        guidance: float | None = None,
        sampler: str | None = None,
        size: tuple[int, int] | None = None,
        frames: int | None = None,
        fps: float | None = None,
        windows: Any = None,
        routine: Any = None,
    ) -> Self:
        """The same weights, sampled in another way: denoising steps, guidance weight w, the name of a sampler.

        `size` (height, width), `frames`, `fps`, `windows`, `routine`, see `zoetrope.models.options.Options`, are those
        of the first stage's videos; the stages after it multiply them by their usual factors. For other fields, use
        `zoetrope.cascade.tuning.tuned` or `CascadeSpec.from_json`.

        Raises ValueError that names what is wrong, and the nearest size that the networks can process.
        """
        ways: dict[str, Any] = {"windows": windows_told(windows), "routine": routine_told(routine)}
        tuning = Tuning(steps=steps, guidance=guidance, sampler=sampler, **ways)
        spec = self.spec if tuning == Tuning() else tuned(self.spec, tuning)  # by JSON, which not every network has
        spec = on_grid(spec, size=size, frames=frames, fps=fps)
        if far := far_from(self.spec, spec):
            log.warning("%s: %s; it may look worse than what it was trained for", spec.name, far)
        other = copy.copy(self)
        other.spec = spec
        return other

    def save_pretrained(
        self, path: str | Path, *, dtype: torch.dtype = torch.bfloat16, teacher_dtype: torch.dtype = torch.bfloat16
    ) -> None:
        """Write the cascade as a folder that `from_pretrained` reads.

        Weights are stored in `dtype`, teachers' in `teacher_dtype`: `torch.float32`, `float16`, `bfloat16` or, half of
        that, `int8`. Raises ValueError for others, and for networks that could not be read, as of a local class.
        """
        networks = {stage.name: self._load(stage) for stage in self.spec.stages if stage.weights_of is None}
        teachers = {stage.name: self._load(stage) for stage in self.spec.teachers}
        codec, card = None if self._codec is None else self._codec(), self.card or f"# {self.spec.name}\n"
        write_model(Path(os.path.expanduser(path)), self.spec, networks, card, teachers, dtype, teacher_dtype, codec)

    @overload
    def generate(self, prompts: str | None = None, **options: Unpack[Options]) -> Video: ...

    @overload
    def generate(self, prompts: str | None = None, *, count: int, **options: Unpack[Options]) -> list[Video]: ...

    @overload
    def generate(self, prompts: Prompts, *, count: int | None = None, **options: Unpack[Options]) -> list[Video]: ...

    @overload
    def generate(self, prompts: str | None = None, *, members: int, **options: Unpack[Options]) -> Ensemble: ...

    def generate(
        self,
        prompts: str | Prompts | None = None,
        *,
        count: int | None = None,
        members: int | None = None,
        **options: Unpack[Options],
    ) -> Video | list[Video] | Ensemble:
        """The video for a prompt, or for None, without text; for a list of prompts, or with a `count`, a list.

        Of a model whose channels are not red, green and blue, each is a `zoetrope.fields.Fields`, with values in units.

        `count` is the number of videos per prompt, consecutive in the list; so many `members` of one prompt, the same
        videos, are a `zoetrope.fields.Ensemble`. The other options, all by keyword, are
        those of `zoetrope.models.options.Options`.

            cascade.generate("a red star moving down", steps=4, guidance=2.0, seed=3)
            cascade.generate(["fog", "rain"], count=2, until="ssr1", progress=lambda now: print(now.stage, now.step))
            cascade.generate("a red star", known={0: "first.png", -1: "last.png"})

        Raises ValueError that names the option for a value of another type or out of range, an empty prompt, an
        unknown stage, a size that the networks cannot process, a video of a shape that no stage accepts, or too little
        `memory`, see `stream`; MemoryError that names the stage if memory does not suffice.
        """
        asked, texts = with_picture(checked(options, count, members)), listed(prompts, members)
        if asked.video is None and asked.after is not None:
            raise ValueError(f"after: expected a video that stage {asked.after!r} would have made, got none")
        for text in {text: None for text in [*texts, asked.negative] if text is not None}:
            if lost := self.cut(text):
                limit = 0 if self.spec.text is None else self.spec.text.limit
                log.warning("the text encoder reads %d tokens; cut off: %r", limit, lost)
        grid = {name: getattr(asked, name) for name in ("size", "frames", "fps", "windows", "routine")}
        cascade = self.tuned(steps=asked.steps, guidance=asked.guidance, sampler=asked.sampler, **grid)
        known, asked = known_and_asked(cascade.spec, asked)
        jobs = [(text, number) for text in texts for number in range(asked.members or asked.count or 1)]
        videos: list[Video] = []
        while len(videos) < len(jobs):
            own = asked.with_(given=of_batch(cascade.spec.stages, asked.given, len(videos), asked.batch, len(jobs)))
            videos += cascade._generated_batch(jobs[len(videos) :][: asked.batch], len(videos), own, known)
        if members is not None:
            return Ensemble(tuple(videos))
        return videos[0] if count is None and (prompts is None or isinstance(prompts, str)) else videos

    def _generated_batch(
        self, jobs: Sequence[tuple[str | None, int]], place: int, asked: Any, known: GivenFrames | None
    ) -> list[Video]:
        """The videos of one batch of (prompt, sample number); `place` is the position of its first among all."""
        start = None
        if asked.video is not None:
            start = start_from(self.spec, asked.video, after=asked.after, until=asked.until)
            start = replace(start, video=start.video.expand(len(jobs), -1, -1, -1, -1))
        stream = self.stream(
            [text for text, _ in jobs],
            seed=asked.seed,
            samples=[number for _, number in jobs],
            until=asked.until,
            negative=asked.negative,
            start=start,
            memory=asked.memory,
            given=asked.given,
            known=known,
        )
        for now in stream:
            if asked.progress is not None:
                asked.progress(replace(now, place=place))
            if now.done:
                last = now
            del now
        return last.videos()

    def stream(
        self,
        prompts: str | Sequence[str | None] | None,
        *,
        seed: int = 0,
        samples: Sequence[int] | None = None,
        until: str | None = None,
        negative: str | None = None,
        start: Start | None = None,
        memory: int | None = None,
        given: Mapping[str, Any] = MappingProxyType({}),
        known: GivenFrames | None = None,
    ) -> Iterator[Progress]:
        """Sample one video per prompt, in one batch, and yield after each denoising step of each stage.

        A video depends on the seed and on its sample number in `samples` (default: 0 for all), not on its batch. A
        single prompt needs no list; None is no text. With a `start` only the stages after it run. `memory` is the
        largest peak of the process, in bytes: stages run in tiles to stay within it, provided that each Progress is
        dropped before the next. `given` are values for other inputs of the stages, by name. `known` is what is known of
        the videos of the last stage, see `zoetrope.models.known.known_frames`.

        Raises ValueError before sampling if `memory` does not suffice, with the bytes that all stages need. A large
        text encoder may exceed it while it encodes the prompts; it is freed before the stages run.
        Raises MemoryError that names the stage if the machine runs out of memory.
        """
        prompts = listed(prompts)
        stages = stages_after(self.spec, None if start is None else start.stage, until, given)
        if start is not None:
            start.check(self.spec, len(prompts))
        video = None if start is None else start.video
        run = partial(self.run, stages, prompts, seed=seed, samples=samples, negative=negative)
        yield from run(video=video, memory=memory, given=given, known=known)

    def extend(
        self,
        video: Beginning | None,
        *,
        folder: str | Path | None = None,
        resume: bool = False,
        progress: Callable[[Made], object] | None = None,
        **wanted: Any,
    ) -> Iterator[np.ndarray]:
        """The pictures (H, W, 3) uint8 of a video of minutes that begins with `video`, or for None with nothing.

        `video` is a file, read at the first stage's size and rate, or a `zoetrope.Video` of these; `wanted` are the
        fields of `zoetrope.models.long.Long`. Frames lie on disk, in `folder` or in a temporary one: memory grows with
        a `video` of values alone. With `resume` what `folder` holds is not made again. `progress` is told every block.

            pictures = cascade.extend("walk.mp4", seconds=60, prompt="a walk", scheme="long_range")

        Raises ValueError as `zoetrope.models.long.long_run` does, when the first picture is asked for.
        """
        return pictures_of(self, Long(**wanted), video, folder, resume, progress)

    def run(
        self,
        stages: Sequence[StageSpec],
        prompts: Sequence[str | None],
        *,
        seed: int = 0,
        samples: Sequence[int] | None = None,
        negative: str | None = None,
        video: Tensor | None = None,
        memory: int | None = None,
        given: Mapping[str, Any] = MappingProxyType({}),
        known: GivenFrames | None = None,
    ) -> Iterator[Progress]:
        """`stream` for given stages, on any grids, with the weights of this cascade's stages of the same names.

        `video` (B, C, f, h, w) in [-1, 1] is the input of the first stage; None if it starts from noise alone.
        `zoetrope.cascade.upscaling` makes such stages for videos of other shapes. Raises what `stream` raises.
        """
        expect_askable(stages, given, len(prompts))
        stages = known_of(known, stages, self.spec.teachers)
        for stage in stages:
            stage.check_sampling()
        if samples is not None and len(samples) != len(prompts):
            raise ValueError(f"samples: expected one number for each of {len(prompts)} prompts, got {len(samples)}")
        numbers = [integer("samples", number) for number in samples or [0] * len(prompts)]
        seed, memory = integer("seed", seed), memory if memory is None else integer("memory", memory, least=1)
        text, against = self._encode(prompts, negative)
        here = partial(Draw, device=self.device, dtype=self.dtype, memory=memory)
        draw = here(seed=seed, samples=numbers, negative=against, scheme=self.spec.noise)
        video = None if video is None else video.to(self.device)
        if memory is not None:  # fail before the first stage runs
            if self._texts is not None:
                self._texts.release()
            expect_memory(stages, len(prompts), text_length(text), memory, self.device)
        made, previous, latents = dict[str, Tensor](), video, None
        first = next((stage for stage in stages if not stage.makes_vectors), None)
        for stage in stages:
            frames = known.of(stage, len(prompts), first=stage is first) if known and not stage.makes_vectors else None
            read = (video_for(stage, made, previous, video), latents)
            coding = Coding.of(stage, self._codec, frames, read, self.device)
            asked = conditioning_of(stage, given, len(prompts), coding.known_z, setting_of(stage, draw, self._codec))
            for each in vectors_for(stage, given):
                asked = asked | each.of_output(made[str(each.stage)])
            asked = asked.to(self.device, torch.float32)
            for now in self._run(coding, text | asked, replace(draw, known=coding.known_z)):
                yield now
                if now.done:
                    made[stage.name] = now.x_hat
                    if not stage.makes_vectors:
                        previous, latents = now.x_hat, now.latents
                del now  # free this step's x_hat before the next is made
            drop_unread(made, stages, stage)

    def _run(self, coding: Coding, given: Conditioning, draw: Draw) -> Iterator[Progress]:
        """Sample one stage; its network is in memory only meanwhile. One of which all is known is not run."""
        stage, decode = coding.stage, coding.decode
        told = partial(Progress, stage=stage.name, shape=stage.made, channels=self.spec.channels)
        coloured = coding.seen if are_rgb(self.spec.channels) else None
        if coding.known is not None and coding.known.complete:
            yield told(step=1, steps=1, x_hat=coding.known.values)
            return
        with memory_told(f"stage {stage.name!r} ({stage.made})"):
            running = sample_stage(stage, self._network(stage), given, coding.source, draw)
            for number in range(1, stage.sampling.length + 1):  # `enumerate` would keep one alive meanwhile
                x_hat = next(running)
                last = number == stage.sampling.length
                if last:  # fail before the stages after it run
                    expect_finite(stage, x_hat, self.dtype)
                z, x_hat = (x_hat, decode(x_hat)) if last and decode is not None else (None, x_hat)
                steps, later = stage.sampling.length, None if last else decode
                colours = colour_shifts(stage.name, coloured, x_hat, self._drifted) if last else ()
                yield told(step=number, steps=steps, x_hat=x_hat, decode=later, colours=colours, latents=z)
                del x_hat, z

    def _network(self, stage: StageSpec) -> Network:
        """A stage's network with its weights, on the device."""
        try:
            network = self._load(stage).to(self.device)
        except ValueError as error:
            raise ValueError(f"stage {stage.name!r}: {error}") from None
        return network.requires_grad_(False) if differentiates(stage) else fused(network, channels_last=True)

    def cut(self, prompt: str) -> str:
        """The end of a prompt that is too long for the text encoder, which cuts it off; "" if all of it fits."""
        return "" if self._texts is None else self._texts.cut(prompt)

    def _encode(self, prompts: Sequence[str | None], negative: str | None) -> tuple[Conditioning, Conditioning | None]:
        """The text of the prompts and of the negative prompt."""
        return encoded(self.spec, self._texts, prompts, negative, self.device)
