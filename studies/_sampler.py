"""Sampling a stage of a run, or of a model, in other ways than its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from _arms import DEVICE, checkpoints
from torch import Tensor

from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.inputs.text import text_given
from zoetrope.layers.fused import fused
from zoetrope.models.weights import read_weights
from zoetrope.text import TextEncoder
from zoetrope.training.trained import run_recipe

DTYPE = torch.bfloat16  # of networks, never chosen by how fast the machine is at the moment


def texts(encoder: TextEncoder, prompts: Sequence[str]) -> Conditioning:
    """Prompts as conditioning."""
    text, mask = EmbeddingCache(encoder).encode(prompts)
    return text_given(text, mask)


class Sampler:
    """A stage of a run, or of a model's folder of weights, ready to sample in other ways than its own."""

    def __init__(self, stage: StageSpec, encoder: TextEncoder, weights: Path):
        self.stage, self.encoder = stage, encoder
        network = stage.network.build()
        read_weights(network, weights)
        self.network = fused(network.eval().to(DEVICE))

    @classmethod
    def of_run(cls, folder: Path, checkpoint: Path | None = None) -> "Sampler":
        """That of a run's newest checkpoint, or of another one; with the averaged weights."""
        recipe, stage = run_recipe(folder)
        at = checkpoint or checkpoints(folder)[-1]
        return cls(recipe.cascade.stage(stage), recipe.cascade.text, at / "average.safetensors")

    def __call__(
        self,
        prompts: Sequence[str],
        video: Tensor | None = None,
        *,
        seed: int = 0,
        batch: int = 16,
        stage: StageSpec | None = None,
        dtype: torch.dtype = DTYPE,
    ) -> Tensor:
        """Videos (B, C, F, H, W) of prompts, in [-1, 1]; the number of a prompt is that of its noise.

        `stage` is the stage's description with other sampling, a shape of its own or more frames.
        """
        made = []
        for start in range(0, len(prompts), batch):
            part = range(start, min(len(prompts), start + batch))
            given = texts(self.encoder, [prompts[i] for i in part]).to(DEVICE, torch.float32)
            source = None if video is None else video[part.start : part.stop].to(DEVICE)
            draw = Draw(seed=seed, samples=list(part), device=DEVICE, dtype=dtype)
            last = stage_video(stage or self.stage, self.network, given, source, draw)
            made.append(last.float().clamp(-1, 1).cpu())
        return torch.cat(made)


def sampled_with(stage: StageSpec, **fields: Any) -> StageSpec:
    """A stage with other sampling."""
    sampling = {**stage.sampling.to_json(), **fields}
    return stage.with_(sampling=type(stage.sampling).from_json(sampling))
