"""The end of a codec's training: its scale is measured, and the run's folder then holds the codec itself."""

import copy
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.codecs import FOLDER, CodecNetwork, decoded, latent_identity, load_codec, measure, save_codec
from zoetrope.models.checkpoints import FOLDER as CHECKPOINTS
from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.models.weights import read_network
from zoetrope.networks import Network
from zoetrope.networks.reconstruction import ReconstructionConfig
from zoetrope.training.adapters import freeze
from zoetrope.training.grids import clip_shapes
from zoetrope.training.preview import FIRST, on_grid
from zoetrope.training.spec import Recipe, TrainSpec
from zoetrope.training.writing import unneeded
from zoetrope.video import Video, contact_sheet, save_image

log = logging.getLogger(__name__)
MEASURED = 256
"""Examples of the training that the scale is measured on, and others that quality is measured on."""
SHOWN = 8


class MeasuredCodec(NamedTuple):
    """What a finished codec is like.

    Attributes:
        folder: where it is.
        scale: of its latents, see `zoetrope.codecs.CodecNetwork`.
        others: whether quality is of videos that it was not trained on; not of data that have an end.
        psnr: of these videos, in dB, the mean over videos.
        spread: the standard deviation of their scaled latents, 1 at best.
        flicker: the mean error of their changes from frame to frame, on pixels in [-1, 1]; None of single pictures.
    """

    folder: Path
    scale: float
    others: bool
    psnr: float
    spread: float
    flicker: float | None

    def __str__(self) -> str:
        flicker = "" if self.flicker is None else f", flicker {self.flicker:.4f}"
        seen = "other examples" if self.others else "examples of its training"
        what = f"scale {self.scale:.4f}; on {seen} {self.psnr:.2f} dB, deviation {self.spread:.3f}{flicker}"
        return f"{self.folder}: {what}"


def begin_scale(network: Network, init: Path, *, leads: bool = True) -> None:
    """Give a codec that begins as a finished one, a checkpoint's file, the scale of that, if its latents are the same.

    With the encoder frozen they remain the same, and the new decoder fits models that learnt them. The leading process
    warns of a frozen encoder without a finished codec beside the file: its scale is then measured, as of a new one.
    """
    if not isinstance(network.config, ReconstructionConfig):
        return
    coder, parents = _coder(network), init.absolute().parents
    found = _read(parents[2] / FOLDER) if len(parents) > 2 else None
    if found is not None:
        own = _rounded(coder)
        own.scale.fill_(float(found.scale))
        if latent_identity(own) == latent_identity(found):
            coder.scale.fill_(float(found.scale))
            return
    if leads and _frozen(coder):
        log.warning(
            "%s: no finished codec with this encoder lies beside these weights, so the scale is measured anew: models "
            "of other latents cannot use this codec's decoder",
            init,
        )


def write_codec(recipe: Recipe, stage: str, run: Path, device: torch.device) -> MeasuredCodec | None:
    """Write `codec/` into the folder of a finished run of a codec; None: it trained no codec.

    The weights are the first moving average, in bfloat16, and the scale is measured with these, unless the encoder is
    frozen and began with one. A codec of these weights that is there already stays as it is, for models have learnt
    from its latents. A sheet of pictures beside their reconstructions goes to `samples/codec.png`.
    """
    own, spec = recipe.cascade.stage(stage), recipe.train_spec(stage)
    if not isinstance(own.network, ReconstructionConfig):
        return None
    newest = find_checkpoints(run / CHECKPOINTS)[-1]
    network = _rounded(_coder(read_network(own, newest / "average.safetensors"))).to(device)
    dataset, shape = spec.data.open(), clip_shapes(own, spec, spec.phases[-1])[0]

    def videos(first: int) -> Iterator[Tensor]:
        return (on_grid(dataset, first + number, shape).video[None].to(device) for number in range(MEASURED))

    if (scale := _scale_there(network, run / FOLDER)) is None:
        begun = float(network.scale)
        scale = begun if begun != 1 and _encoder_frozen(own, spec) else measure(network, videos(0))
        save_codec(network, run / FOLDER, over=True)
    network.scale.fill_(scale)
    found = _measured(network, videos(FIRST))
    shown = [x for x, _ in zip(videos(FIRST), range(SHOWN), strict=False)]
    with unneeded(run / "samples/codec.png"):
        (run / "samples").mkdir(exist_ok=True)
        save_image(run / "samples/codec.png", _sheet(network, shown, shape.fps))
    return MeasuredCodec(run / FOLDER, scale, dataset.count(shape) is None, *found)


def _read(folder: Path) -> CodecNetwork | None:
    """The codec in a folder; None: there is none that can be read."""
    try:
        return load_codec(folder)
    except ValueError:
        return None


def _encoder_frozen(stage: StageSpec, spec: TrainSpec) -> bool:
    """Whether no weight that latents depend on has learnt."""
    network = stage.network.bare()
    freeze(network, spec.freeze, spec.learn)
    return _frozen(_coder(network))


def _frozen(coder: CodecNetwork) -> bool:
    """Whether no weight learns that latents depend on."""
    return not any(
        weight.requires_grad for name, weight in coder.named_parameters() if not name.startswith(coder.decoding)
    )


def _scale_there(network: CodecNetwork, folder: Path) -> float | None:
    """The scale of the codec in a folder; None: there is none, or one of other weights."""
    if (there := _read(folder)) is None:
        return None
    own, other = dict(network.named_parameters()), dict(there.named_parameters())
    alike = there.codec == network.codec and all(torch.equal(own[name].cpu(), other[name]) for name in own)
    return float(there.scale) if alike else None


def _rounded(coder: CodecNetwork) -> CodecNetwork:
    """A copy of a codec, all but the scale in bfloat16's precision."""
    network = copy.deepcopy(coder)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(weight.to(torch.bfloat16))
    return network


def _coder(network: Network) -> CodecNetwork:
    """The codec that a network trains."""
    coder = network.get_submodule("coder")
    assert isinstance(coder, CodecNetwork)
    return coder


@torch.no_grad()
def _measured(network: CodecNetwork, videos: Iterator[Tensor]) -> tuple[float, float, float | None]:
    """PSNR, the deviation of the latents, and flicker."""
    decibels, moments, flicker = list[float](), list[tuple[float, float]](), list[float]()
    for x in videos:
        z = network.encode(x)
        made = decoded(network, z)
        decibels.append(float(-10 * ((made - x).square().mean() / 4).clamp(min=1e-10).log10()))
        moments.append((float(z.mean()), float(z.square().mean())))
        if x.shape[2] > 1:
            flicker.append(float((made.diff(dim=2) - x.diff(dim=2)).abs().mean()))
    mean, square = np.mean(moments, axis=0)
    spread = float((square - mean**2) ** 0.5)
    return float(np.mean(decibels)), spread, float(np.mean(flicker)) if flicker else None


def _sheet(network: CodecNetwork, videos: list[Tensor], fps: float) -> np.ndarray:
    """Each video above its reconstruction."""
    rows = [row for x in videos for row in (x, decoded(network, network.encode(x)))]
    return np.asarray(contact_sheet([Video.from_tensor(row[0].cpu(), fps) for row in rows], columns=2))
