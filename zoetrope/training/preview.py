"""Sheets of samples during training: look at frames before believing a loss."""

from pathlib import Path

import numpy as np
import torch

from zoetrope.cascade.resample import degrade
from zoetrope.cascade.sample import Draw, sample_stage
from zoetrope.conditioning import Conditioning
from zoetrope.networks import Network
from zoetrope.shapes import VideoShape
from zoetrope.training.batch import Batches
from zoetrope.training.spec import clip_shape
from zoetrope.video import Video, contact_sheet, save_image

COUNT = 8
FIRST = 10**9  # examples that a training of any length has not come to


def sample_sheet(batches: Batches, network: Network, path: Path, device: torch.device, dtype: torch.dtype) -> None:
    """Sample fixed prompts of the data set, one row of frames each, into a PNG."""
    stage, spec = batches.stage, batches.spec
    phase = spec.phase_at(max(0, int(path.stem) - 1))[0] if path.stem.isdigit() else spec.phases[-1]
    shape: VideoShape = clip_shape(stage, phase)
    real = [batches.dataset.example(FIRST + index, shape) for index in range(COUNT)]
    text, mask = batches.texts.encode([example.text for example in real])
    given = Conditioning(text=text, text_mask=mask).to(device, torch.float32)
    low = None
    if stage.source is not None:
        low = degrade(torch.stack([example.video for example in real]), stage.source).to(device)
    draw = Draw(seed=0, samples=range(COUNT), device=device, dtype=dtype)
    for step in sample_stage(stage.model_copy(update={"shape": shape}), network, given, low, draw):
        x_hat = step.x_hat
    videos = [Video.from_tensor(x.float().cpu(), shape.fps) for x in x_hat]
    save_image(path, np.asarray(contact_sheet(videos, columns=4 if shape.frames == 1 else 1)))
