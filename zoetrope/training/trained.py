"""Sources of a training or distillation: recipes of runs, and weights of models and runs."""

from pathlib import Path

from zoetrope.cascade.spec import StageSpec
from zoetrope.config import unknown
from zoetrope.config.errors import reason
from zoetrope.files.plain import read_json
from zoetrope.models.description import described
from zoetrope.models.finding import find, find_run
from zoetrope.models.opening import contents
from zoetrope.models.runs import RECIPE, RUN
from zoetrope.models.weights import check_weights
from zoetrope.training.spec import Recipe


def weights_of(name: str | Path, stage: str) -> Path:
    """The file with a stage's weights to continue training, from a model, a run or a folder of runs.

    For a distilled stage these are its original's weights, because the distilled network differs.
    Raises ValueError if there is no such stage.
    """
    parts = [contents(found) for found in find(name)]
    weights = {own: file for part in parts for own, file in {**part.weights, **part.teacher_weights}.items()}
    if stage not in weights:
        raise ValueError(f"{name}: " + unknown("stage", stage, weights))
    return weights[stage]


def averaged_weights(name: str | Path, stage: StageSpec) -> Path:
    """The file of the weights that a stage samples with, from a run (a moving average) or a model.

    Raises ValueError if there is none, or if it is not that of the stage's network.
    """
    part = contents(find(name)[0])
    path = (part.teacher_weights if stage in part.teachers else part.weights)[stage.name]
    if part.trained and not path.is_file():
        raise ValueError(
            f"{path}: expected the moving average (EMA) of the weights, which is what is sampled with and distilled; "
            "this checkpoint has none"
        )
    check_weights(stage.network.bare(), path)
    return path


def run_recipe(name: str | Path) -> tuple[Recipe, str]:
    """The recipe of a run and the stage that it trains; of a distillation, those of its newest finished round.

    Raises ValueError if the folder is not that of a run, or if it names classes of packages that are not trusted: a
    run may come from anyone.
    """
    found = find_run(name)
    run = Path(name).expanduser() if found is None else found.folder
    try:
        about = read_json(run / RUN)
        recipe = described(Recipe, read_json(run / RECIPE))
    except FileNotFoundError as error:
        raise ValueError(f"{run}: not a run, it has no {Path(error.filename).name}") from None
    except ValueError as error:
        raise ValueError(f"{run}: its recipe.json or run.json cannot be read ({reason(error, run)})") from None
    stage = about.get("stage") if isinstance(about, dict) else None
    if not isinstance(stage, str):
        raise ValueError(f"{run}: its run.json cannot be read (it names no stage)")
    recipe.train_spec(stage)
    return recipe, stage


def begun_recipe(run: Path) -> Recipe:
    """The recipe with which a run was last started or resumed, whatever its recipe.json says now.

    Raises ValueError if the folder is not that of a run.
    """
    recipe, _ = run_recipe(run)
    known = read_json(run / RUN).get("recipe")  # missing in runs of older versions
    return recipe if known is None else described(Recipe, known)
