"""Bases of mini, asked for videos that agree with known frames; and how well those do that."""

import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _arms import DEVICE
from _sampler import sampled_with, texts
from torch import Tensor

from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import StageSpec
from zoetrope.files import whole_folder
from zoetrope.known import Known
from zoetrope.layers.fused import fused
from zoetrope.metrics.psnr import decibels, squared_error_of_frames
from zoetrope.models.opening import OpenModel, open_model
from zoetrope.models.weights import read_weights
from zoetrope.networks import Network
from zoetrope.text import TextEncoder

MODEL: Sequence[str | Path] = ("mini",)
BEFORE = "24d513f"  # the commit with the weights of mini's base that never learnt known frames
DTYPE = torch.float32  # gradients on a CPU take longer in bfloat16
CEILING = 50.0  # decibels beyond which pictures are the same to anyone
LEVELS = 127.5  # steps of 8 bits in a unit of a video in [-1, 1]


class Base(NamedTuple):
    """A base stage with its network, in textbook form, which has gradients, and in fast form."""

    stage: StageSpec
    encoder: TextEncoder
    textbook: Network
    fast: Network

    @classmethod
    def of(cls, model: OpenModel) -> "Base":
        """The first stage of a model, or its original if it is distilled."""
        model = model.originals() if model.spec.teachers else model
        stage, encoder = model.spec.stages[0], model.spec.text
        assert encoder is not None
        network = stage.network.build()
        read_weights(network, model.weights[stage.name])
        network = network.eval().requires_grad_(False).to(DEVICE)
        return cls(stage, encoder, network, fused(network))

    @classmethod
    def before(cls, folder: Path) -> "Base":
        """That of mini before its base learnt known frames, from this repository's history, unpacked in a folder."""
        if not folder.exists():
            made = subprocess.run(["git", "archive", BEFORE, "zoetrope/models/mini"], capture_output=True, check=False)
            if made.returncode:
                raise SystemExit(f"{BEFORE}: expected a clone with this repository's history: {made.stderr.decode()}")
            with whole_folder(folder) as partial, tarfile.open(fileobj=BytesIO(made.stdout)) as packed:
                packed.extractall(partial, filter="data")
        return cls.of(open_model([folder / "zoetrope/models/mini"]))

    def __call__(
        self,
        prompts: Sequence[str],
        clips: Tensor,
        places: Sequence[int],
        *,
        seed: int = 0,
        batch: int = 8,
        **sampling: Any,
    ) -> Tensor:
        """Videos (B, C, F, H, W) in [-1, 1] of prompts, given the frames at these places of clips like them.

        `sampling` are fields of the stage's own, such as `known`, the method.
        """
        stage = sampled_with(self.stage, **sampling)
        method = stage.sampling.known
        assert method is not None
        network = self.textbook if method.differentiates else self.fast
        there = at(places, clips.shape[2])
        made = []
        for rows in torch.arange(len(prompts)).split(batch):
            given = texts(self.encoder, [prompts[row] for row in rows.tolist()]).to(DEVICE, torch.float32)
            known = Known(there, clips[rows])
            draw = Draw(seed=seed, samples=rows.tolist(), device=DEVICE, dtype=DTYPE, known=known)
            made.append(stage_video(stage, network, given, None, draw).float().clamp(-1, 1).cpu())
        return torch.cat(made)


def at(places: Sequence[int], frames: int) -> Tensor:
    """Which frames are known, (F,) bool."""
    there = torch.zeros(frames, dtype=torch.bool)
    there[list(places)] = True
    return there


def repeated(clips: Tensor, places: Sequence[int]) -> Tensor:
    """The known frames of clips (B, C, F, H, W), each shown until the next one."""
    return clips[:, :, [max(known for known in places if known <= frame) for frame in range(clips.shape[2])]]


def faded(clips: Tensor, places: Sequence[int]) -> Tensor:
    """The known frames of clips (B, C, F, H, W), each fading into the next one; after the last it is repeated."""
    made = repeated(clips, places)
    for first, last in pairwise(places):
        for frame in range(first + 1, last):
            made[:, :, frame] = torch.lerp(clips[:, :, first], clips[:, :, last], (frame - first) / (last - first))
    return made


def with_known(video: Tensor, clips: Tensor, places: Sequence[int]) -> Tensor:
    """A copy of a video with the known frames of the clips in it, (B, C, F, H, W)."""
    made = video.clone()
    made[:, :, list(places)] = clips[:, :, list(places)]
    return made


def apart(made: Tensor, clips: Tensor, places: Sequence[int]) -> Mapping[str, list[float]]:
    """How videos (B, C, F, H, W) that have the known frames of clips differ from these, clip by clip.

    psnr: decibels of the mean squared error of the frames that are not known, at most CEILING. step, true_step: the
    root mean squared difference of neighbouring frames of which one is known, of the video and of the clip, in steps of
    255.
    """
    there = at(places, clips.shape[2])
    error = squared_error_of_frames(made[:, :, ~there], clips[:, :, ~there]).mean(1)
    return {
        "psnr": decibels(error).clamp(max=CEILING).tolist(),
        "step": _borders(made, there).tolist(),
        "true_step": _borders(clips, there).tolist(),
    }


def _borders(video: Tensor, there: Tensor) -> Tensor:
    """The mean (B,) over the borders of known and other frames of how far they are apart."""
    pairs = [place for place in range(len(there) - 1) if there[place] != there[place + 1]]
    steps = [(video[:, :, place + 1] - video[:, :, place]).square().mean((1, 2, 3)).sqrt() for place in pairs]
    return torch.stack(steps).mean(0) * LEVELS
