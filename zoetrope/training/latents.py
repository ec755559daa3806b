"""Training on latents: the codec that they are of, and where a run keeps it."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.codecs import FOLDER, CodecNetwork, copy_codec, identity, latent_identity, load_codec
from zoetrope.data import Source

if TYPE_CHECKING:
    from zoetrope.training.spec import TrainSpec

log = logging.getLogger(__name__)


def check_latents(cascade: CascadeSpec, training: Mapping[str, "TrainSpec"]) -> None:
    """Raise ValueError unless stages that make latents, and no others, learn from latents."""
    for name, spec in training.items():
        if (spec.data.codec_folder is None) == cascade.stage(name).codec.encodes:
            latents, pixels = "latents ('latents', 'encoded'), which the stage makes", "videos in pixels"
            wanted, got = (latents, pixels) if spec.data.codec_folder is None else (pixels, "latents")
            raise ValueError(f"training.{name}.data: expected {wanted}, got {got}, {spec.data.kind()!r}")


def codec_of(stage: StageSpec, data: Source) -> CodecNetwork | None:
    """The codec of the latents that a stage learns from; None: it learns from pixels.

    Raises ValueError if it is not the stage's, or cannot be read.
    """
    folder = data.codec_folder
    if folder is None:
        return None
    try:
        network = load_codec(folder)
    except ValueError as error:
        raise ValueError(f"training.{stage.name}.data: {error}; name the codec by --codec") from None
    if network.codec != stage.codec:
        wanted, got = stage.codec.to_json(), network.codec.to_json()
        raise ValueError(f"{folder}: expected the codec of stage {stage.name!r}, {wanted}, got {got}")
    return network


def keep_codec(stage: StageSpec, data: Source, run: Path, *, leads: bool = True) -> CodecNetwork | None:
    """The codec of a run's latents, which its folder keeps, so that it can be sampled; None: it learns from pixels.

    One with another decoder takes the place of the one kept so far, for latents are the same.

    Raises ValueError if the latents are of another codec than those that the run has learnt from so far.
    """
    network = codec_of(stage, data)
    if network is None or data.codec_folder is None:
        return None
    kept = run / FOLDER
    if kept.exists():
        before = load_codec(kept)
        if latent_identity(before) != latent_identity(network):
            raise ValueError(
                f"{data.codec_folder}: expected the codec that this run has learnt from so far, {kept}; to a network, "
                "latents of another codec are noise"
            )
        if leads and identity(before) != identity(network):
            log.info("%s: from now on has the decoder of %s; latents are the same", kept, data.codec_folder)
            copy_codec(data.codec_folder, kept, over=True)
    elif leads:
        copy_codec(data.codec_folder, kept)
    return network


def differs(stage: StageSpec, data: Source, other: Path) -> bool:
    """Whether a stage that makes latents learns them from another codec than that in a folder, if both can be read."""
    try:
        own, there = codec_of(stage, data), load_codec(other)
    except ValueError:
        return False
    return own is not None and latent_identity(own) != latent_identity(there)
