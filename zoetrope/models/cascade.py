"""A cascade ready to run: text in, video out."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from zoetrope.cascade.sample import Draw, sample_stage
from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.conditioning import Conditioning
from zoetrope.models.folder import locate, read_network, read_spec, write_model
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
    """

    stage: str
    step: int
    steps: int
    shape: VideoShape
    x_hat: Tensor

    @property
    def done(self) -> bool:
        """Whether the stage is finished."""
        return self.step == self.steps

    def videos(self) -> list[Video]:
        """The estimate as videos, one for each sample."""
        return [Video.from_tensor(x.float().cpu(), self.shape.fps) for x in self.x_hat.clamp(-1, 1)]


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
        cls, name_or_path: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> Self:
        """A cascade from a folder, a shipped name or a hub id. Weights are read when a stage runs.

        Raises ValueError if there is no such model, or if its description cannot be used.
        """
        folder = locate(name_or_path)
        card = folder / "README.md"
        return cls(
            read_spec(folder),
            lambda stage: read_network(folder, stage),
            card=card.read_text() if card.exists() else "",
            device=device,
            dtype=dtype,
        )

    def tuned(self, *, steps: int | None = None, guidance: float | None = None, sampler: str | None = None) -> Self:
        """The same weights, sampled in another way: denoising steps, guidance weight w, the name of a sampler.

        Any other field is changed by giving `CascadeSpec.from_json` or `zoetrope.cascade.tuning.tuned` what is wanted.
        Raises ValueError that names what is wrong.
        """
        spec = tuned(self.spec, Tuning(steps=steps, guidance=guidance, sampler=sampler))
        return type(self)(spec, self._load, card=self.card, device=self.device, dtype=self.dtype)

    def save_pretrained(self, path: str | Path) -> None:
        """Write the cascade as a folder that `from_pretrained` reads. Weights are stored in bfloat16."""
        networks = {stage.name: self._load(stage) for stage in self.spec.stages}
        write_model(Path(path), self.spec, networks, self.card or f"# {self.spec.name}\n")

    def generate(self, prompt: str, *, seed: int = 0, until: str | None = None, negative: str | None = None) -> Video:
        """The video of a prompt. `until` names the last stage to run; `negative` says what to lead away from.

        Raises ValueError for an empty prompt or an unknown stage.
        """
        if lost := self.cut(prompt):
            log.warning("the text encoder reads %d tokens; cut off: %r", self.spec.text.limit, lost)
        [last] = deque(self.stream([prompt], seed=seed, until=until, negative=negative), maxlen=1)
        return last.videos()[0]

    def stream(
        self,
        prompts: Sequence[str],
        *,
        seed: int = 0,
        samples: Sequence[int] | None = None,
        until: str | None = None,
        negative: str | None = None,
    ) -> Iterator[Progress]:
        """Sample one video for each prompt, together, and yield after each denoising step of each stage.

        A video depends on the seed and on its own number in `samples` (0 for all, unless given), not on its batch.
        """
        stages = self.spec.until(until)
        if samples is not None and len(samples) != len(prompts):
            raise ValueError(f"samples: expected one number for each of {len(prompts)} prompts, got {len(samples)}")
        numbers = [0] * len(prompts) if samples is None else samples
        text, against = self._encode(prompts, negative)
        draw = Draw(seed=seed, samples=numbers, negative=against, device=self.device, dtype=self.dtype)
        video: Tensor | None = None
        for stage in stages:
            network = self._load(stage).to(self.device)
            for number, step in enumerate(sample_stage(stage, network, text, video, draw), start=1):
                video_now = step.x_hat
                yield Progress(
                    stage=stage.name, step=number, steps=stage.sampling.steps, shape=stage.shape, x_hat=video_now
                )
            video = video_now.clamp(-1, 1)

    def cut(self, prompt: str) -> str:
        """The end of a prompt that the text encoder cannot read because it is too long; "" if all of it fits."""
        return self._texts.cut(prompt)

    def _encode(self, prompts: Sequence[str], negative: str | None) -> tuple[Conditioning, Conditioning | None]:
        """The prompts' text, and the negative prompt's, padded to equal length."""
        texts = [*prompts] if negative is None else [*prompts, negative]
        text, mask = self._texts.encode(texts)
        text, mask = text.to(self.device), mask.to(self.device)
        count = len(prompts)
        against = None if negative is None else Conditioning(text=text[count:], text_mask=mask[count:])
        return Conditioning(text=text[:count], text_mask=mask[:count]), against
