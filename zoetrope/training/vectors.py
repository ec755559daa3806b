"""Trainings beside those of videos: of priors, which make vectors, and of picture encoders, which denoise nothing."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.data.pictured import Pictured
from zoetrope.inputs.picture import Picture

if TYPE_CHECKING:
    from zoetrope.training.spec import TrainSpec


def check_vectors(cascade: CascadeSpec, training: Mapping[str, "TrainSpec"]) -> None:
    """Raise ValueError unless priors learn the embeddings that their decoders read, and each network its objective."""
    for name, spec in training.items():
        stage, where = cascade.stage(name), f"training.{name}"
        _check_objective(where, stage, spec)
        if stage.makes_vectors:
            _check_prior(cascade, stage, spec)
        elif isinstance(spec.data, Pictured):
            raise ValueError(
                f"{where}.data: expected pictures or clips, got embeddings ('pictured'), which are vectors"
            )


def _check_objective(where: str, stage: StageSpec, spec: "TrainSpec") -> None:
    network, got = stage.network, spec.objective.kind()
    if network.denoises:
        if not spec.objective.denoises:
            raise ValueError(f"{where}.objective: expected another, for its network denoises, got {got!r}")
    elif network.objective is None:
        raise ValueError(f"{where}: expected no training, for {network.kind()!r} is trained beside another network")
    elif got != network.objective:
        wanted = f"{network.objective!r}, for its network {network.kind()!r} does not denoise"
        raise ValueError(f"{where}.objective: expected {wanted}, got {got!r}")


def _check_prior(cascade: CascadeSpec, stage: StageSpec, spec: "TrainSpec") -> None:
    where, data = f"training.{stage.name}", spec.data
    if any(phase.images or phase.appended for phase in spec.phases):
        raise ValueError(f"{where}.phases: vectors are no frames; set images and appended to 0")
    if not isinstance(data, Pictured):
        if data.is_foreign():
            return
        raise ValueError(f"{where}.data: expected 'pictured', embeddings of pictures, got {data.kind()!r}")
    if data.encoder.width != stage.network.channels:
        got = f"{data.encoder.kind()!r} of width {data.encoder.width}"
        raise ValueError(f"{where}.data: expected an encoder of width {stage.network.channels}, got {got}")
    for other in cascade.stages:
        for each in other.inputs:
            if isinstance(each, Picture) and each.of == stage.name and each.encoder != data.encoder:
                legal = f"expected embeddings of {each.encoder.to_json()}, which stage {other.name!r} reads"
                raise ValueError(f"{where}.data: {legal}, got those of {data.encoder.to_json()}")
