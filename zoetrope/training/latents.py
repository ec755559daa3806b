"""Training on latents: the codec that they are of, and where a run keeps it."""

import logging
from collections.abc import Iterable, Mapping, Sequence
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


def learnt_codec(stage: StageSpec, data: Source, run: Path) -> CodecNetwork | None:
    """The codec of the latents that a run is to learn from, see `codec_of`.

    Raises ValueError if the latents are of another codec than those that the run has learnt from so far.
    """
    network, kept = codec_of(stage, data), run / FOLDER
    if network is not None and kept.exists() and latent_identity(load_codec(kept)) != latent_identity(network):
        raise ValueError(
            f"{data.codec_folder}: expected the codec that this run has learnt from so far, {kept}; to a network, "
            "latents of another codec are noise"
        )
    return network


def keep_codec(network: CodecNetwork, data: Source, run: Path) -> None:
    """Keep the codec of a run's latents, from `learnt_codec`, in its folder, so that it can be sampled.

    One with another decoder takes the place of the one kept so far, for latents are the same.
    """
    assert data.codec_folder is not None  # data of latents have one
    kept = run / FOLDER
    if kept.exists():
        if identity(load_codec(kept)) == identity(network):
            return
        log.info("%s: from now on has the decoder of %s; latents are the same", kept, data.codec_folder)
    copy_codec(data.codec_folder, kept, over=True)


def expect_same_latents(
    trainings: Sequence[tuple[StageSpec, Source, Path | None]], others: Iterable[Path] = ()
) -> None:
    """Raise ValueError unless the stages, each with its data and the run that goes on, learn latents of one codec.

    That is also the one of `others`, runs of other stages of their cascade, and of each run so far.
    """
    known = {run / FOLDER: latent_identity(load_codec(run / FOLDER)) for run in others if (run / FOLDER).exists()}
    for stage, data, run in trainings:
        network = codec_of(stage, data) if run is None else learnt_codec(stage, data, run)
        if network is None or data.codec_folder is None:
            continue
        own = latent_identity(network)
        if (first := next((folder for folder, other in known.items() if other != own), None)) is not None:
            raise ValueError(
                f"{data.codec_folder}: expected for stage {stage.name!r} the codec of the other stages' latents, "
                f"{first}; a cascade has one"
            )
        known[data.codec_folder] = own


def differs(stage: StageSpec, data: Source, other: Path) -> bool:
    """Whether a stage that makes latents learns them from another codec than that in a folder, if both can be read."""
    try:
        own, there = codec_of(stage, data), load_codec(other)
    except ValueError:
        return False
    return own is not None and latent_identity(own) != latent_identity(there)
