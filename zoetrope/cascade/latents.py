"""Which stages can make latents instead of videos, and of which codec."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zoetrope.codecs import FOLDER

if TYPE_CHECKING:
    from zoetrope.cascade.spec import StageSpec


def expect_latents(stage: "StageSpec") -> None:
    """Raise ValueError if the stage has a codec whose latents it cannot make."""
    if not stage.codec.encodes:
        return
    where = f"stage {stage.name!r}"
    if stage.makes_vectors:
        raise ValueError(f"{where}: codec: expected 'pixels', for it makes vectors, got {stage.codec.kind()!r}")
    if stage.network.channels != stage.codec.channels:
        wanted = f"expected {stage.codec.channels}, those of its codec's latents"
        raise ValueError(f"{where}: network.channels: {wanted}, got {stage.network.channels}")
    if (threshold := stage.sampling.threshold) is not None:
        raise ValueError(f"{where}: sampling.threshold: expected null, latents have no range, got {threshold!r}")
    if wrong := [each.name for each in stage.inputs if each.of_pixels]:
        raise ValueError(f"{where}: inputs: expected none that are made from pixels, for z is latents, got {wrong}")


def expect_one_codec(stages: Sequence["StageSpec"]) -> None:
    """Raise ValueError if stages make latents of several codecs, or if one has the name of the codec's folder."""
    latent = [stage for stage in stages if stage.codec.encodes]
    for stage in latent:
        if stage.codec != latent[0].codec:
            wanted = f"expected that of {latent[0].name!r}, {latent[0].codec!r}, for a cascade has one"
            raise ValueError(f"stages.{stage.name}.codec: {wanted}, got {stage.codec!r}")
    if latent and any(stage.name == FOLDER for stage in stages):
        raise ValueError(f"stages: expected another name than {FOLDER!r}, that of the codec's folder")
