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
from zoetrope.training.codecs import begin_scale
from zoetrope.training.compiling import expect_blocks
from zoetrope.training.inflation import log_beginning
from zoetrope.training.objectives import STUDENT, TEACHER, PlayerSpec
from zoetrope.training.players import networks_of, players_of
from zoetrope.training.spec import TrainSpec
from zoetrope.training.trained import InitialWeights


def expect_parallel(stage: StageSpec, spec: TrainSpec, ranks: Ranks) -> None:
    """Raise ValueError unless the processes can train all networks that learn, as the spec says."""
    others = (player.optimizer for player in spec.objective.players(stage).values() if player.learns)
    for optimizer in (spec.optimizer, *(one for one in others if one is not None)):
        spec.parallel.check(optimizer, spec.lora is not None, ranks)


def expect_trackers(spec: TrainSpec, ranks: Ranks) -> None:
    """Raise ValueError for a service that a new run could not open; only the leading process sends it anything."""
    for tracker in spec.trackers if ranks.leads else ():
        tracker.check()


def expect_trainable(stage: StageSpec, spec: TrainSpec, folder: Path, ranks: Ranks) -> None:
    """Raise ValueError for what a training in the folder would refuse as it begins, without making its weights.

    Patterns that match no name, packages and files that are not there: of several trainings in a row it is then known
    before the first.
    """
    expect_parallel(stage, spec, ranks)
    if not find_checkpoints(folder / "checkpoints"):  # otherwise it goes on without a tracker
        expect_trackers(spec, ranks)
    for name, player in spec.objective.players(stage).items():
        _expect_file(stage, name, player, folder)
    networks = {name: config.bare() for name, config in networks_of(stage, spec).items()}
    if spec.compile:
        expect_blocks(networks[STUDENT])
    freeze(networks[STUDENT], spec.freeze, spec.learn)
    if spec.lora is not None:
        adapt(networks[STUDENT], spec.lora)
    players_of(networks, stage, spec)


def begin_networks(
    stage: StageSpec, spec: TrainSpec, folder: Path, device: torch.device, init: InitialWeights | None, ranks: Ranks
) -> dict[str, Network]:
    """The networks of a stage's training by name, on the device, with their initial weights.

    The student starts from the weights `init`, if any; a student with a teacher starts from the teacher. With adapters
    the base weights are written into the run's folder, or read from there.

    Raises ValueError for unfit weights.
    """
    networks = _others(stage, spec, folder, device)
    torch.manual_seed(seeded(spec.seed, "weights", stage.name))
    student = stage.network.build().to(device)
    if init is not None:
        fresh = read_weights(student, init.file, missing=spec.init_missing, maps=init.concatenated)
        if fresh:
            student.follow(fresh)
        if fresh and ranks.leads:
            log_beginning(student, stage, fresh, str(init.file), init.source)
    if TEACHER in networks:
        student.load_state_dict({**student.state_dict(), **networks[TEACHER].state_dict()})
    freeze(student, spec.freeze, spec.learn)
    if init is not None:
        begin_scale(student, init.file, leads=ranks.leads)
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
            _expect_file(stage, name, players[name], folder)
            read_weights(made[name], (folder / weights).resolve())
    return made


def _expect_file(stage: StageSpec, name: str, player: PlayerSpec, folder: Path) -> None:
    """Raise ValueError, with what a user can do, for weights of a player that are not there."""
    if not player.remedy or player.weights is None:
        return
    if not (file := (folder / player.weights).resolve()).is_file():
        where = f"training.{stage.name}.objective.{name}"
        raise ValueError(f"{where}: expected the file of its weights, got no file {file}; {player.remedy}")
