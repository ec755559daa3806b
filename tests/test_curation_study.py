"""The study of curation: what is planted and what is kept of it, a training, and a page that follows from numbers."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zoetrope.data.folder import Folder
from zoetrope.models.finding import shipped

pytest.importorskip("cv2")
pytest.importorskip("scenedetect")
ROOT = Path(__file__).parents[1]
COUNT = 8


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "studies"))


def study() -> Any:
    return importlib.import_module("curation")


def clips() -> Any:
    return importlib.import_module("_planted")


@pytest.mark.long
def test_faults_are_planted_found_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "studies"))  # for the process that judges clips
    made = list(clips().planted(COUNT))
    assert [clip.fault for clip in made] == ["", "cuts", "", "static", "", "text", "", "caption"]
    assert all(clip.frames.shape == (24, 96, 160, 3) and clip.caption for clip in made)
    assert not made[3].frames.std(0).any() and made[2].frames.std(0).any()
    jumps = np.abs(np.diff(made[1].frames.astype(int), axis=0)).mean((1, 2, 3))
    assert sorted(np.argsort(jumps)[-2:]) == [7, 15]
    agreement = clips().Agreement()
    assert [agreement.of(made[number].frames, [made[number].caption]) == 1 for number in (0, 7)] == [True, False]
    clips().prepare(tmp_path, COUNT)
    told = clips().shares(tmp_path)
    assert told[""]["planted"] == 4 and sum(told[fault]["planted"] for fault in clips().FAULTS) == 4
    assert told[""]["curated"] == 4 and not any(told[fault]["curated"] for fault in clips().FAULTS)
    assert sum(each["random"] for each in told.values()) == 4
    clips().prepare(tmp_path, COUNT)  # all is there already
    for name in study().ARMS_OF.values():
        data = Folder(path=str(tmp_path / name)).open()
        assert data.gives(study().CLIP) and data.example(0, study().CLIP).video.shape == (3, 8, 24, 40)
    if "mini_image" in shipped():
        trained_and_measured(tmp_path, monkeypatch)


def trained_and_measured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two batches of an arm, and a measurement of two prompts, as if of all."""
    for name, value in (("PROMPTS", 2), ("STEPS", 1), ("DATA", folder)):
        monkeypatch.setattr(study(), name, value)
    folders = dict[str, list[Path]]()
    for name, kind in [("the curated half", "curated")]:
        few = {"base.training.data.path": str(folder / kind), "base.training.log_every": 2}
        few["base.training.phases"] = [{"examples": 4, "batch": 2, "peak": 1e-3}]
        arm = study().ARMS[name]
        short = arm._replace(recipe=arm.recipe.overridden({**few, "base.training.precision": "fp32"}))
        folders[name] = [folder / "runs" / kind]
        short.train(folders[name][0], 1.0, 0)
    folders = dict.fromkeys(study().ARMS_OF, folders["the curated half"])
    numbers = study().measure(folders, importlib.import_module("_measured").Kept(folder / "measured"))
    for each in numbers["arms"].values():
        assert all(torch.tensor(each[aspect]).shape == (1, 2) for aspect in (*study().ASPECTS, "jumps", "rests"))
    assert numbers["truth"]["all"] == [1, 1] and numbers["truth"]["jumps"] == numbers["truth"]["rests"] == [0, 0]
    text = importlib.import_module("_page").written(study().STUDY, numbers | {"minutes": {}}, study().page(numbers))
    assert "not testable" in text and "| wrong caption | 1 | 0 |" in text


def numbers(whole: float, curated: float, jumps: float) -> dict[str, Any]:
    """Shares of prompts that are right from the whole and the curated half, of three seeds."""

    def table(share: float) -> list[list[float]]:
        return [[float(number < 20 * share + (seed == number == 19)) for number in range(20)] for seed in range(3)]

    found = {}
    for name, right in zip(study().ARMS, (whole, curated, whole), strict=True):
        spoilt = jumps if study().ARMS_OF[name] != "curated" else 0.0
        found[name] = {**dict.fromkeys(study().ASPECTS, table(right)), "jumps": table(spoilt), "rests": table(0.0)}
    counts = {fault: {"planted": 2, "curated": 1, "random": 1} for fault in ("", *clips().FAULTS)}
    truth = {**dict.fromkeys(study().ASPECTS, [1.0] * 20), "jumps": [0.0] * 20, "rests": [0.0] * 20}
    return {"arms": found, "truth": truth, "clips": counts}


@pytest.mark.parametrize(
    ("whole", "curated", "jumps", "right", "jump"),
    [
        (0.4, 0.9, 0.5, "shown", "shown"),
        (0.9, 0.4, 0.0, "the opposite", "not shown"),
        (0.5, 0.5, 0.0, "not shown", "not shown"),
        (0.1, 0.1, 0.5, "not testable", "shown"),
    ],
)
def test_the_page_decides_by_the_interval(whole: float, curated: float, jumps: float, right: str, jump: str) -> None:
    claims = study().page(numbers(whole, curated, jumps)).claims
    assert [claim.precondition for claim in claims].count(True) == 3
    planned = [claim for claim in claims if not claim.exploratory]
    assert [claim.told for claim in planned if "right: more" in claim.text] == [right] * 4
    assert [claim.told for claim in planned[-2:]] == [jump, "not shown"]
    later = "not shown" if right == "shown" else right
    assert [claim.told for claim in claims if claim.exploratory] == [f"{later} (exploratory)"] * 4
