"""What a study is: arms, trainings that differ in one thing, measurements, and a page that says what came of it.

A study compares arms, each of them trained once for every seed. A training is an ordinary run, `OUT/<arm>/<seed>`, so
an interrupted study goes on where it was; one that other studies train as well is `OUT/../common/<name>/<seed>`. Every
measurement is a JSON file under `OUT/measured`, made once. The page, with its plot, is written from these files alone,
and its verdicts from intervals alone.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from _arms import Arm, checkpoints
from _claims import Claim
from _measured import Json, Kept

from zoetrope.models.opening import open_model
from zoetrope.models.provenance import sha256_of

SEEDS = (0, 1, 2)
Folders = Mapping[str, Sequence[Path]]


class Page(NamedTuple):
    """What is told of the numbers: claims; tables of results, the first row of each its head; and a plot."""

    claims: Sequence[Claim]
    table: Sequence[Sequence[str]]
    draw: Callable[[Any], None]
    notes: str = ""
    limit: str = ""  # why nothing of the paper's finding is shown, where that is so


class Study(NamedTuple):
    """A finding of the paper, and how it is looked for at the size of toybox.

    Attributes:
        name: of the page and of the folder of its runs.
        finding: what the paper reports, and where.
        design: what was done, by what it concerns.
        arms: what is trained, by name, once for each seed.
        measure: from the folders of each arm, one a seed, and a keeper of measurements, to all numbers.
        page: from these numbers to what is told.
        doubts: what a reviewer would ask, and what the study has to say to it.
        moves: what would change the verdicts.
        given: what the command names first: the folder of data that do not come with the package; "" for none.
        models: shipped models whose first stage is measured as it is.
        prepare: makes the data that arms are trained on, where these do not come with the package.
    """

    name: str
    title: str
    finding: str
    design: Mapping[str, str]
    arms: Mapping[str, Arm]
    measure: Callable[[Folders, Kept], Json]
    page: Callable[[Json], Page]
    doubts: Mapping[str, str]
    moves: str
    seeds: Sequence[int] = SEEDS
    given: str = ""
    models: Sequence[str] = ()
    prepare: Callable[[], None] | None = None


def networks_of(study: Study, folders: Folders) -> Json:
    """The checksums of all weights that the study measures: of each arm's runs, and of shipped models' first stages."""
    found: Json = {
        name: [sha256_of(checkpoints(folder)[-1] / "average.safetensors") for folder in each]
        for name, each in folders.items()
    }
    for name in study.models:
        model = open_model([name])
        first = model.spec.stages[0].name
        files = [files[first] for files in (model.weights, model.teacher_weights) if first in files]
        found[f"model {name}"] = [sha256_of(file) for file in files]
    return found
