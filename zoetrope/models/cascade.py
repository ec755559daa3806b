"""A cascade ready to run: text in, video out."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from zoetrope.cascade.colour import Colour
from zoetrope.cascade.memory import expect_memory
from zoetrope.cascade.sample import Draw, sample_stage, text_length
from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.cascade.start import Start, stages_after, start_from
from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.conditioning import Conditioning
from zoetrope.models.folder import locate, read_network, read_spec, write_model
from zoetrope.models.runs import Trained, is_run, named, read_runs, within
from zoetrope.models.weights import read_weights
from zoetrope.networks import Network
from zoetrope.shapes import VideoShape
from zoetrope.text._cache import EmbeddingCache
from zoetrope.video import Video

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One finished denoising step.

    Attributes:
        stage: its name; step: from 1 to steps.
        shape: the grid of x_hat.
        x_hat: the estimate so far, (B, C, F, H, W) in [-1, 1]; on the stage's last step, what it made.
        colours: on the last step of a stage that was given a video, what became of each sample's colours.
    """

    stage: str
    step: int
    steps: int
    shape: VideoShape
    x_hat: Tensor
    colours: Sequence[Colour] = ()

    @property
    def done(self) -> bool:
        """Whether the stage is finished."""
        return self.step == self.steps

    def videos(self) -> list[Video]:
        """The estimate as videos, one for each sample."""
        return [Video.from_tensor(x, self.shape.fps) for x in self.x_hat]


class Cascade:
    """Stages that run one after the other; at any moment one network is in memory.

    Attributes:
        spec: what the stages are and how they are sampled; see `zoetrope.cascade.tuning.tuned` for other sampling.
    """

    def __init__(
        self,
        spec: CascadeSpec,
        load: Callable[[StageSpec], Network],
        *,
        card: str = "",
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ):
        self.spec, self.card = spec, card
        self.device, self.dtype = torch.device(device), dtype
        self._load = load
        # On a CPU text is always read in float32: it is quick there, and every run then finds the same features.
        self._texts = EmbeddingCache(
            spec.text, None, self.device, torch.float32 if self.device.type == "cpu" else dtype
        )

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        teacher: bool = False,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Self:
        """A cascade from a folder, a shipped name or a hub id. Weights are read when a stage runs.

        The folder may also be that of a training, or one with the trainings of several stages in it; RUN@HALF_LIFE
        takes another than the first of the moving averages that these have kept.
        Distilled stages run where there are some, or with `teacher` the originals that they were distilled from.
        Raises ValueError if there is no such model, or no teacher, or if its description cannot be used.
        """
        runs = [name_or_path] if is_run(named(name_or_path)[0]) else within(name_or_path)
        if runs:
            return cls._of_runs(read_runs(runs), teacher, device, dtype)
        folder = locate(name_or_path)
        card = folder / "README.md"
        spec = read_spec(folder)
        taught = {original.name for original in spec.teachers}
        return cls(
            spec.originals() if teacher else spec,
            lambda stage: read_network(folder, stage, teacher=stage.distilled is None and stage.name in taught),
            card=card.read_text() if card.exists() else "",
            device=device,
            dtype=dtype,
        )

    @classmethod
    def _of_runs(cls, trained: Trained, teacher: bool, device: torch.device | str, dtype: torch.dtype) -> Self:
        """A cascade from the folders of trainings."""

        def load(stage: StageSpec) -> Network:
            network = stage.network.bare()
            read_weights(network, trained.weights[stage.name])
            return network.eval().requires_grad_(False)

        return cls(trained.spec.originals() if teacher else trained.spec, load, device=device, dtype=dtype)

    def tuned(self, *, steps: int | None = None, guidance: float | None = None, sampler: str | None = None) -> Self:
        """The same weights, sampled in another way: denoising steps, guidance weight w, the name of a sampler.

        Any other field is changed by giving `CascadeSpec.from_json` or `zoetrope.cascade.tuning.tuned` what is wanted.
        Raises ValueError that names what is wrong.
        """
        spec = tuned(self.spec, Tuning(steps=steps, guidance=guidance, sampler=sampler))
        return type(self)(spec, self._load, card=self.card, device=self.device, dtype=self.dtype)

    def save_pretrained(self, path: str | Path, *, teacher_dtype: torch.dtype = torch.bfloat16) -> None:
        """Write the cascade as a folder that `from_pretrained` reads. Weights are stored in bfloat16.

        Those of teachers are stored in `teacher_dtype`: `torch.int8` halves their size.
        """
        networks = {stage.name: self._load(stage) for stage in self.spec.stages}
        teachers = {stage.name: self._load(stage) for stage in self.spec.teachers}
        write_model(Path(path), self.spec, networks, self.card or f"# {self.spec.name}\n", teachers, teacher_dtype)

    def generate(
        self,
        prompt: str | None,
        *,
        seed: int = 0,
        until: str | None = None,
        negative: str | None = None,
        video: Video | None = None,
        after: str | None = None,
        memory: int | None = None,
    ) -> Video:
        """The video of a prompt, or of None, no text. `until` is the last stage, `negative` what to lead away from.

        With a `video` of the shape of what a stage makes, only the stages after that one run, which `after` may name.

        Raises ValueError for an empty prompt, an unknown stage, a video of a shape that no stage accepts, or too little
        `memory`, see `stream`.
        """
        if video is None and after is not None:
            raise ValueError(f"after: expected a video that stage {after!r} would have made, got none")
        if prompt is not None and (lost := self.cut(prompt)):
            log.warning("the text encoder reads %d tokens; cut off: %r", self.spec.text.limit, lost)
        start = None if video is None else start_from(self.spec, video, after=after, until=until)
        for now in self.stream([prompt], seed=seed, until=until, negative=negative, start=start, memory=memory):
            if now.done:
                last = now
            del now
        return last.videos()[0]

    def stream(
        self,
        prompts: Sequence[str | None],
        *,
        seed: int = 0,
        samples: Sequence[int] | None = None,
        until: str | None = None,
        negative: str | None = None,
        start: Start | None = None,
        memory: int | None = None,
    ) -> Iterator[Progress]:
        """Sample one video for each prompt, together, and yield after each denoising step of each stage.

        A video depends on the seed and on its own number in `samples` (0 for all, unless given), not on its batch.
        The prompt None is no text. From a `start` only the stages after it run. `memory` is the most that the process
        may hold, in bytes: stages that can do so work in tiles to keep to it, if each Progress is let go of in time.
        Raises ValueError before anything is sampled if that does not suffice, with what does for all stages to run.
        A text encoder that is not small may exceed it while it reads the prompts; it is let go of before the stages.
        """
        stages = stages_after(self.spec, None if start is None else start.stage, until)
        for stage in stages:
            stage.check_sampling()
        if samples is not None and len(samples) != len(prompts):
            raise ValueError(f"samples: expected one number for each of {len(prompts)} prompts, got {len(samples)}")
        numbers = [0] * len(prompts) if samples is None else samples
        if start is not None:
            start.check(self.spec, len(prompts))
        text, against = self._encode(prompts, negative)
        draw = Draw(
            seed=seed,
            samples=numbers,
            negative=against,
            device=self.device,
            dtype=self.dtype,
            memory=memory,
            scheme=self.spec.noise,
        )
        video = None if start is None else start.video.to(self.device)
        if memory is not None:  # better now than when the stages before have run
            self._texts.release()
            expect_memory(stages, len(prompts), text_length(text), memory, self.device)
        for stage in stages:
            for now in self._run(stage, text, video, draw):
                yield now
                if now.done:
                    video = now.x_hat
                del now  # a step that nobody holds any more makes room for the next

    def _run(self, stage: StageSpec, text: Conditioning, video: Tensor | None, draw: Draw) -> Iterator[Progress]:
        """One stage, whose network is in memory as long as this runs."""
        network = self._load(stage).to(self.device)
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):  # it would bring its weights into this format in every call
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        running = sample_stage(stage, network, text, video, draw)
        for number in range(1, stage.sampling.steps + 1):  # `enumerate` would hold one while the next is made
            x_hat = next(running)
            last = number == stage.sampling.steps
            yield Progress(
                stage=stage.name,
                step=number,
                steps=stage.sampling.steps,
                shape=stage.shape,
                x_hat=x_hat,
                colours=_colours(stage, video, x_hat) if last and video is not None else (),
            )
            del x_hat

    def cut(self, prompt: str) -> str:
        """The end of a prompt that the text encoder cannot read because it is too long; "" if all of it fits."""
        return self._texts.cut(prompt)

    def _encode(self, prompts: Sequence[str | None], negative: str | None) -> tuple[Conditioning, Conditioning | None]:
        """The prompts' text, and the negative prompt's, padded to equal length; no token of it is real where None."""
        texts = [*prompts] if negative is None else [*prompts, negative]
        known = [row for row, text in enumerate(texts) if text is not None]
        text, mask = torch.zeros(len(texts), 1, self.spec.text.width), torch.zeros(len(texts), 1, dtype=torch.bool)
        if known:
            some = self._texts.encode([text for text in texts if text is not None])
            length = some.mask.shape[1]
            text, mask = text.repeat(1, length, 1), mask.repeat(1, length)
            text[known], mask[known] = some.text, some.mask
        text, mask = text.to(self.device), mask.to(self.device)
        count = len(prompts)
        against = None if negative is None else Conditioning(text=text[count:], text_mask=mask[count:])
        return Conditioning(text=text[:count], text_mask=mask[:count]), against


def _colours(stage: StageSpec, given: Tensor, made: Tensor) -> list[Colour]:
    """What a stage did to the colours of each video, told in the log."""
    colours = [Colour.between(*pair) for pair in zip(given, made, strict=True)]
    for colour in colours:
        if colour.drifts:
            log.warning("%s: its colours drift from those it was given by %s of the range", stage.name, colour)
        else:
            log.info("%s: colours against those it was given: %s", stage.name, colour)
    return colours
