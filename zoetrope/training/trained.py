"""Sources of a training or distillation: recipes of runs, and weights of models and runs."""

import os
from pathlib import Path
from typing import NamedTuple

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.codecs import DESCRIPTION
from zoetrope.codecs import FOLDER as CODEC
from zoetrope.config import unknown
from zoetrope.config.errors import reason
from zoetrope.data.encoded import Encoded
from zoetrope.files.plain import read_json
from zoetrope.models.alike import SILENT, expect_alike, other_maps, other_size
from zoetrope.models.description import described
from zoetrope.models.finding import find, find_run
from zoetrope.models.opening import contents
from zoetrope.models.runs import RECIPE, RUN
from zoetrope.models.weights import IfMissing, check_weights
from zoetrope.networks import Network
from zoetrope.training.inflation import WeightsOf
from zoetrope.training.latents import differs
from zoetrope.training.spec import Recipe


def weights_of(name: str | Path, stage: str) -> Path:
    """The file with a stage's weights to continue training, from a model, a run or a folder of runs.

    For a distilled stage these are its original's weights, because the distilled network differs.
    Raises ValueError if there is no such stage.
    """
    return initial_weights(name, stage).file


class InitialWeights(NamedTuple):
    """Weights to begin a training with.

    Attributes:
        name: as given; file: of the weights.
        cascade, stage: the description of the network that they are of; None for a file without one.
        codec: the folder of the codec of its latents, if it makes latents and the folder is there; of a file, that of
            the run or model in whose folder it lies.
    """

    name: str
    file: Path
    cascade: CascadeSpec | None = None
    stage: StageSpec | None = None
    codec: Path | None = None

    @property
    def source(self) -> WeightsOf | None:
        """The network that the weights are of, and their file; None: it is not known."""
        return None if self.stage is None else WeightsOf(self.stage.network, self.file)

    @property
    def concatenated(self) -> dict[str, int] | None:
        """The maps that the network of the weights is given, see `NetworkConfig.concatenated`; None: not known."""
        return None if self.stage is None else self.stage.network.concatenated

    def remark(self, recipe: Recipe, stage: str) -> str | None:
        """What a user should know of weights that can begin a recipe's stage, if anything."""
        own, data = recipe.cascade.stage(stage), recipe.train_spec(stage).data
        if self.codec is None or not differs(own, data, self.codec):
            return None
        told = f"{stage}: the weights of {self.name} are of another codec's latents, and have to learn these anew"
        if isinstance(data, Encoded):
            return f"{told}; zoetrope data encode --codec {self.codec} makes latents of that codec"
        return f"{told}; --codec {self.codec} names that codec"

    def check(self, recipe: Recipe, stage: str) -> None:
        """Raise ValueError, with what would be right, unless they can begin the network of a recipe's stage."""
        own, missing = recipe.cascade.stage(stage), recipe.train_spec(stage).init_missing
        if self.cascade is not None and self.stage is not None:
            expect_alike(self.name, self.cascade, self.stage, recipe.cascade, own)
            if (why := other_size(self.stage.network, own, SILENT)) is not None:
                raise ValueError(f"{self.file}: these are not the weights of this network: {why}")
        network = own.network.bare()
        try:
            check_weights(network, self.file, missing=missing, maps=self.concatenated)
        except ValueError as error:
            if self.stage is not None and (why := other_size(self.stage.network, own)) is not None:
                raise ValueError(f"{self.file}: these are not the weights of this network: {why}") from None
            if missing == "refuse" and self._fit(network):
                hint = f"; if it begins as theirs and has more, --set {stage}.training.init_missing=fresh"
                raise ValueError(f"{error}{hint}") from None
            raise
        self._expect_placed(network, own, stage, missing)

    def _expect_placed(self, network: Network, own: StageSpec, stage: str, missing: IfMissing) -> None:
        """Raise ValueError for weights that fit, but are of a network that is given other maps, or in another order."""
        if self.stage is None or (why := other_maps(self.stage.network, own.network)) is None:
            return
        theirs = self.stage.network
        some = theirs.concatenated.items() <= own.network.concatenated.items()
        places = some and bool(network.grown(theirs.bare().state_dict(), theirs.concatenated))
        if missing == "refuse" or not places:
            hint = f"; --set {stage}.training.init_missing=fresh gives each map its own" if places else ""
            raise ValueError(f"{self.file}: these are not the weights of this network: {why}{hint}")

    def _fit(self, network: Network) -> bool:
        """Whether all of the file's weights are the network's."""
        try:
            check_weights(network, self.file, missing="fresh", maps=self.concatenated)
        except ValueError:
            return False
        return True


def initial_weights(name: str | Path, stage: str, other: str | None = None) -> InitialWeights:
    """A stage's weights to begin with: of a model, a run, a folder of runs, or in a safetensors file; see `weights_of`.

    Where there are none of that name, those of the `other` stage are taken.

    Raises ValueError if there is no such stage.
    """
    path = Path(os.path.expanduser(name))
    if path.suffix == ".safetensors" and path.is_file():
        return InitialWeights(str(name), path, codec=codec_by(path))
    found = _stages_of(name)
    stage = stage if stage in found or other not in found else str(other)
    if stage not in found:
        raise ValueError(f"{name}: " + unknown("stage", stage, found))
    return found[stage]


def codec_by(file: Path) -> Path | None:
    """The folder of the codec of the run, or the model, in whose folder a file of weights lies; None: it has none."""
    near = (folder / CODEC for folder in file.absolute().parents[1:3])
    return next((folder for folder in near if (folder / DESCRIPTION).is_file()), None)


def begins_fresh(name: str | Path, recipe: Recipe, stage: str) -> bool:
    """Whether a model has weights of stages of a recipe, but not of this one, whose `init_missing` is "fresh"."""
    path = Path(os.path.expanduser(name))
    if recipe.train_spec(stage).init_missing != "fresh" or path.suffix == ".safetensors":
        return False
    found = _stages_of(name)
    known = stage in found or recipe.train_spec(stage).begins_as in found
    return not known and any(own.name in found for own in recipe.cascade.stages)


def _stages_of(name: str | Path) -> dict[str, InitialWeights]:
    """The weights of all stages of a model, a run or a folder of runs, by stage; originals of distilled ones."""
    found = dict[str, InitialWeights]()
    for part in (contents(one) for one in find(name)):
        spec, teachers = part.spec, {one.name: one for one in part.teachers}
        for own, file in {**part.weights, **part.teacher_weights}.items():
            of = teachers[own] if own in part.teacher_weights else spec.stage(own)
            codec = part.codec if of.codec.encodes and part.codec.exists() else None
            found[own] = InitialWeights(str(name), file, spec, of, codec)
    return found


def averaged_weights(name: str | Path, stage: StageSpec) -> Path:
    """The file of the weights that a stage samples with, from a run (a moving average), a folder of runs, or a model.

    Raises ValueError if there is none, or if it is not that of the stage's network.
    """
    parts = [contents(one) for one in find(name)]
    part = next((one for one in parts if stage.name in one.weights), None)
    if part is None:
        raise ValueError(f"{name}: " + unknown("stage", stage.name, (own for one in parts for own in one.weights)))
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
    run = Path(os.path.expanduser(name)) if found is None else found.folder
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
