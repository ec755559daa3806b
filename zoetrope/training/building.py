"""The initial networks of a run: with fresh weights, from a file, or from the teacher."""

from pathlib import Path

import torch

from zoetrope.cascade.noise import seeded
from zoetrope.cascade.spec import StageSpec
from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.models.weights import read_weights
from zoetrope.networks import Network
from zoetrope.processes.ranks import Ranks
from zoetrope.training.adapters import BASE, adapt, freeze, keep_base
from zoetrope.training.inflation import log_beginning
from zoetrope.training.objectives import STUDENT, TEACHER
from zoetrope.training.players import networks_of
from zoetrope.training.spec import TrainSpec


def begin_networks(
    stage: StageSpec, spec: TrainSpec, folder: Path, device: torch.device, init: Path | None, ranks: Ranks
) -> dict[str, Network]:
    """The networks of a stage's training by name, on the device, with their initial weights.

    The student starts from the file `init`, if any; a student with a teacher starts from the teacher. With adapters the
    base weights are written into the run's folder, or read from there.

    Raises ValueError for unfit weights.
    """
    networks = _others(stage, spec, folder, device)
    torch.manual_seed(seeded(spec.seed, "weights", stage.name))
    student = stage.network.build().to(device)
    if init is not None and (fresh := read_weights(student, init, missing=spec.init_missing)):
        student.follow(fresh)
        if ranks.leads:
            log_beginning(student, stage, fresh, str(init))
    if TEACHER in networks:
        student.load_state_dict({**student.state_dict(), **networks[TEACHER].state_dict()})
    freeze(student, spec.freeze, spec.learn)
    if spec.lora is not None:
        keep_base(student, folder / BASE, ranks.leads)
        adapt(student, spec.lora)
    return {STUDENT: student, **networks}


def _others(stage: StageSpec, spec: TrainSpec, folder: Path, device: torch.device) -> dict[str, Network]:
    """The networks beside the student."""
    begun = bool(find_checkpoints(folder / "checkpoints"))
    made: dict[str, Network] = {}
    players = spec.objective.players(stage)
    for name, config in networks_of(stage, spec).items():
        if name == STUDENT:
            continue
        torch.manual_seed(seeded(spec.seed, f"weights of {name}", stage.name))
        made[name] = config.build().to(device)
        weights = players[name].weights
        if weights is not None and not (begun and players[name].learns):
            file, remedy = (folder / weights).resolve(), players[name].remedy
            if remedy and not file.is_file():
                where = f"training.{stage.name}.objective.{name}"
                raise ValueError(f"{where}: expected the file of its weights, got no file {file}; {remedy}")
            read_weights(made[name], file)
    return made
