"""Sheets of samples during training: look at frames before you trust a loss."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoetrope.cascade.between import source_grid, source_of
from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import StageSpec
from zoetrope.channels import RGB, Channel, are_rgb
from zoetrope.codecs import CodecNetwork, decoded
from zoetrope.conditioning import Conditioning
from zoetrope.data import Dataset, Example, joined, masks
from zoetrope.fields import views
from zoetrope.inputs.low_res import paired
from zoetrope.inputs.text import text_given
from zoetrope.models.asking import conditioning_of
from zoetrope.networks import Network
from zoetrope.shapes import VideoShape
from zoetrope.training.batch import Batches
from zoetrope.training.grids import clip_shapes
from zoetrope.video import contact_sheet

COUNT = 8
FIRST = 10**9  # number of a sheet's first example; only a training this long would learn from it


class Subjects(NamedTuple):
    """The subjects of a sheet: the grid of its clips, their conditioning, and their low-res videos, if any.

    The conditioning is the text, the controls, and what the data tell of each; other inputs are unknown.
    """

    shape: VideoShape
    given: Conditioning
    low_res: Tensor | None


def subjects(batches: Batches, examples: int) -> Subjects:
    """Fixed prompts of the data set, on the first grid of the phase at `examples`; on the CPU.

    It reads the data set and the texts, which only one thread may use at a time.
    """
    stage, spec = batches.stage, batches.spec
    shape: VideoShape = clip_shapes(stage, spec, spec.phase_at(max(0, examples - 1))[0])[0]
    longer = _longer(batches)
    real = [on_grid(batches.dataset, FIRST + index, shape, longer) for index in range(COUNT)]
    given = conditioning_of(stage.with_(shape=shape), {}, COUNT)
    if batches.texts is not None:
        texts = [example.text or _of_picture(batches, shape, FIRST + index) for index, example in enumerate(real)]
        if all(texts):
            given = given | text_given(*batches.texts.encode(texts))
    videos = torch.stack([example.video for example in real])
    for each in stage.inputs:
        given = given | each.of_told(real)
        if each.aligned:
            given = given | each.of_clips(videos)
    return Subjects(shape, given, _low_res(stage, real, videos))


def on_grid(dataset: Dataset, number: int, shape: VideoShape, longer: Sequence[VideoShape] = ()) -> Example:
    """An example on a grid; of data that have no clips of it the beginning of a `longer` one, or single pictures."""
    if dataset.gives(shape):
        return dataset.example(number, shape)
    for clip in longer:
        if clip.frames >= shape.frames and dataset.gives(clip):
            return dataset.frames(number, clip, range(shape.frames))
    still = shape.with_(frames=1)
    return joined([dataset.example(number + frame, still) for frame in range(shape.frames)])


def _longer(batches: Batches) -> list[VideoShape]:
    """The clips that frames are taken from where some are known."""
    own = batches.spec.grids[0].shape(batches.stage.shape) if batches.spec.grids else batches.stage.shape
    known = batches.known_in(own)
    return [] if known is None else [own.with_(frames=length) for length in sorted(known.lengths(own.frames))]


def _low_res(stage: StageSpec, real: Sequence[Example], videos: Tensor) -> Tensor | None:
    """What the stage reads of another one, made of these examples, whose `videos` are; None: it reads nothing."""
    grid, beside = source_grid(stage), paired(stage.inputs)
    if grid is None:
        return None
    if beside is None:
        present = masks([(one.video, one.present) for one in real])
        return source_of(stage, videos, None if present is None else torch.stack(present))
    return torch.stack([beside.beside([one], grid, one.video.shape[1]) for one in real])


def _of_picture(batches: Batches, shape: VideoShape, number: int) -> str:
    """The caption of a picture, for data whose clips have none; "" if there is none either."""
    still = shape.with_(frames=1)
    return batches.dataset.example(number, still).text if batches.dataset.gives(still) else ""


def sample_sheet(
    stage: StageSpec,
    seen: Subjects,
    network: Network,
    device: torch.device,
    dtype: torch.dtype,
    codec: CodecNetwork | None = None,
    channels: Sequence[Channel] = RGB,
) -> np.ndarray:
    """Sample these subjects, one row of frames each, into a picture (H, W, 3) uint8; `codec` decodes latents.

    Of channels other than red, green and blue each has a row of its own.
    """
    shape, given = seen.shape, seen.given.to(device, torch.float32)
    low = None if seen.low_res is None else seen.low_res.to(device)
    draw = Draw(seed=0, samples=range(COUNT), device=device, dtype=dtype)
    x_hat = stage_video(stage.with_(shape=shape), network, given, low, draw)
    x_hat = x_hat if codec is None else decoded(codec.to(device), x_hat)
    videos = [view for x in x_hat for view in views(x.float().cpu(), channels, shape.fps)]
    return np.asarray(contact_sheet(videos, columns=4 if shape.frames == 1 and are_rgb(channels) else 1))
