"""A model that is told what data know of each clip: from an index file to videos and ensembles of asked values."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoetrope import Cascade
from zoetrope.fields import Ensemble, tags_in
from zoetrope.training.opened_data import open_data
from zoetrope.training.spec import Recipe

from .conftest import Cli

SHAPE = {"frames": 2, "height": 4, "width": 4, "fps": 1}
INPUTS = [
    {"type": "number", "told": "ef", "lo": 0.1, "hi": 0.9},
    {"type": "label", "told": "view", "classes": ["apical", "parasternal"]},
    {"type": "action", "entries": 2},
    {"type": "map", "told": "land"},
]
LEVEL = {"width": 8, "temporal": ["convolution"]}
GREY = {"name": "grey", "unit": "K", "scale": {"type": "range", "lo": 0, "hi": 1}}
TOLD = {"ef": "number", "view": "label"}
BESIDE = {"action": {"kind": "action", "array": "keys"}, "land": {"kind": "map", "array": "land"}}
ASKED = ("--given", "ef=0.55", "--given", "view=apical", "--given", "action=keys.csv", "--map", "land=land.npy")
CPU = ("--device", "cpu", "--dtype", "fp32")


def recipe(told: dict[str, str]) -> dict[str, object]:
    network = {
        "type": "video_unet", "channels": 1, "text_width": None, "embedding": 8, "head": 8, "levels": [LEVEL],
        "numbers": ["ef"], "labels": [{"name": "view", "size": 2}], "actions": [{"name": "action", "size": 2}],
        "aligned": [{"name": "land", "size": 1}],
    }  # fmt: skip
    stage = {"name": "base", "shape": SHAPE, "inputs": INPUTS, "network": network, "sampling": {"steps": 2}}
    variables = {"grey": GREY}
    data = {"type": "arrays", "path": "index.csv", "variables": variables, "told": told, "beside": BESIDE, "rate": 1}
    learning = {
        "data": data, "phases": [{"examples": 4, "batch": 2}], "warm_up": 0, "precision": "fp32",
        "checkpoint_every": 4, "sample_every": 4, "log_every": 4,
    }  # fmt: skip
    cascade = {"name": "hearts", "text": None, "channels": [GREY], "stages": [stage]}
    return Recipe.from_json({"name": "hearts", "cascade": cascade, "training": {"base": learning}}).to_json()


@pytest.fixture(scope="module")
def hearts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips with actions and a map in their files, and an index of them with a number and a label."""
    folder = tmp_path_factory.mktemp("hearts")
    with (folder / "index.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "ef", "view"])
        for number in range(4):
            arrays = {"grey": np.full((2, 4, 4), 0.2 * (number + 1)), "land": np.eye(2), "keys": np.ones((2, 2))}
            np.savez(folder / f"{number}.npz", **arrays)
            known = ["", ""] if number == 3 else [0.2 * (number + 1), "apical"]
            rows.writerow([f"{number}.npz", *known])
    (folder / "keys.csv").write_text("1,0\n0,-1\n")
    np.save(folder / "land.npy", np.eye(2))
    (folder / "hearts.json").write_text(json.dumps(recipe(TOLD)))
    return folder


@pytest.fixture(scope="module")
def run(hearts: Path, request: pytest.FixtureRequest) -> Path:
    """The model, trained and resumed."""
    from zoetrope.__main__ import main  # in this process

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(hearts)
        for words in (
            ("train", "hearts.json", "--out", "run", "--device", "cpu", "--quiet"),
            ("train", "--out", "run", "--resume", "--quiet", "--set", "base.training.phases.0.examples=6"),
        ):
            patch.setattr("sys.argv", ["zoetrope", *words])
            assert main() in (0, None)
    return hearts / "run"


def comment(path: str) -> dict[str, Any]:
    """What a file says of how it was made."""
    found: dict[str, Any] = json.loads(tags_in(path)["comment"])
    return found


def test_it_is_planned_shown_and_asked(hearts: Path, run: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(hearts)
    assert cli("plan", "run", "--device", "cpu").code == 0
    shown = cli("show", "run").out
    assert "base is told: ef (a number from 0.1 to 0.9), view (a label: apical, parasternal), action" in shown
    made = cli("generate", "--model", "run", *ASKED, "--guidance", "1.5", "-o", "a.npz", *CPU)
    assert made.code == 0, made.err
    given = comment("a.npz")["given"]
    assert given["ef"] == 0.55 and given["view"] == "apical" and given["action"]["file"] == "keys.csv"
    asked = {"ef": 0.55, "view": "apical", "action": [[1, 0], [0, -1]], "land": np.eye(2)}
    same = Cascade.from_pretrained("run").generate(given=asked, guidance=1.5)
    with np.load("a.npz") as file:
        np.testing.assert_allclose(file["grey"], same["grey"], atol=1e-6)  # type: ignore[index]
    again = cli("generate", "--again", "a.npz", "-o", "c.npz")
    assert again.code == 0, again.err
    with np.load("a.npz") as first, np.load("c.npz") as second:
        np.testing.assert_array_equal(first["grey"], second["grey"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--given", "ef=2"), "ef: expected a number from 0.1 to 0.9, as in its training, got 2"),
        (("--given", "ef=NaN"), "got nan"),
        (("--given", "eff=0.5"), "given: unknown input 'eff'; did you mean 'ef'?"),
        (("--given", "view=apicl"), "view: unknown label 'apicl'; did you mean 'apical'?"),
        (("--given", "action=[[1,2]]"), "action: expected 2 frames of 2 numbers, (2, 2), got (1, 2)"),
        (("--map", "land=none.npy"), "land=none.npy: cannot be read"),
        (("--map", "land"), "--map land: expected NAME=FILE, such as land=mask.npy"),
        (("--map", "land=a", "--given", "land=b"), "--map: expected land once, got it in --given too"),
        (("--members", "2", "--count", "2"), "--count: expected without --members"),
        (("--members", "0"), "--members: expected a finite number of 1 or more, got 0"),
        (("--members", "2", "--seconds", "9"), "--members: expected without --seconds"),
    ],
)
def test_what_is_wrong_is_said(
    hearts: Path, run: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(hearts)
    refused = cli("generate", "--model", "run", *words, "-o", "x.npz", "--device", "cpu")
    assert refused.code == 2 and told in refused.err, refused.err


def test_data_that_do_not_tell_an_input_are_refused(hearts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(hearts)
    assert open_data(Recipe.from_json(recipe(TOLD)), "base").tells()["land"] == "map"
    with pytest.raises(ValueError, match=r"input 'ef': unknown number 'ef'.*; the data tell action, land, view"):
        open_data(Recipe.from_json(recipe({"view": "label"})), "base")
    with pytest.raises(ValueError, match="expected a number, got 'ef', which the data tell as a label"):
        open_data(Recipe.from_json(recipe({"view": "label", "ef": "label"})), "base")


def test_an_ensemble_is_one_file_and_goes_on_after_an_interruption(
    hearts: Path, run: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(hearts)
    asked = ("generate", "--model", "run", "--given", "ef=0.3", *CPU)
    made = cli(*asked, "--members", "3", "-o", "e.npz")
    assert made.code == 0 and not Path("e.npz.members").exists(), made.err
    ensemble = Cascade.from_pretrained("run").generate(members=3, given={"ef": 0.3})
    assert isinstance(ensemble, Ensemble) and ensemble["grey"].shape == (3, 2, 4, 4)
    assert np.abs(ensemble["grey"][0] - ensemble["grey"][1]).max() > 1e-3
    with np.load("e.npz") as file:
        np.testing.assert_allclose(file["grey"], ensemble["grey"], atol=1e-6)
    Path("f.npz.members").mkdir()
    assert cli(*asked, "--sample", "1", "-o", "f.npz.members/002.npz").code == 0
    refused = cli(*asked, "--members", "3", "-o", "f.npz")
    assert refused.code == 2 and "f.npz.members: already holds members; --resume goes on" in refused.err
    resumed = cli(*asked, "--members", "3", "-o", "f.npz", "--resume")
    assert resumed.code == 0 and "1 of 3 videos are there already" in resumed.err, resumed.err
    with np.load("e.npz") as file, np.load("f.npz") as other:
        np.testing.assert_array_equal(file["grey"], other["grey"])
    done = cli(*asked, "--members", "3", "-o", "f.npz", "--resume", "--json")
    assert json.loads(done.out)["files"][0]["skipped"] is True
    assert comment("f.npz")["members"] == 3
    again = cli("generate", "--again", "f.npz", "-o", "g.npz")
    assert again.code == 0, again.err
    with np.load("f.npz") as file, np.load("g.npz") as other:
        np.testing.assert_array_equal(file["grey"], other["grey"])


def test_of_pictures_each_member_has_a_file(hearts: Path, run: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(hearts)
    made = cli("generate", "--model", "run", "--members", "2", "-o", "e.gif", "--quiet", *CPU)
    assert made.code == 0 and Path("e-001.gif").is_file() and Path("e-002.gif").is_file(), made.err


def test_a_value_for_each_video_in_batches_of_any_size(run: Path) -> None:
    cascade = Cascade.from_pretrained(run)
    actions = np.stack([np.full((2, 2), float(number)) for number in range(3)])
    each = {"ef": [0.2, 0.5, 0.8], "view": ["apical", "parasternal", "apical"], "action": actions}
    one, two, three = (cascade.generate(count=3, batch=batch, given=each) for batch in (1, 2, 3))
    for first, second, third in zip(one, two, three, strict=True):
        np.testing.assert_allclose(first["grey"], second["grey"], atol=1e-5)  # type: ignore[index]
        np.testing.assert_allclose(first["grey"], third["grey"], atol=1e-5)  # type: ignore[index]
    alone = cascade.generate(count=3, given={"ef": 0.8, "view": "apical", "action": actions[2]})
    np.testing.assert_allclose(alone[2]["grey"], one[2]["grey"], atol=1e-5)  # type: ignore[index]
    with pytest.raises(ValueError, match="ef: expected one for all, or one for each of 2 videos, got 3"):
        cascade.generate(count=2, given={"ef": [0.2, 0.5, 0.8]})


def test_an_ensemble_in_python_is_checked(run: Path) -> None:
    cascade = Cascade.from_pretrained(run)
    with pytest.raises(ValueError, match="members: expected without count"):
        cascade.generate(members=2, count=2)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="members: expected one prompt"):
        cascade.generate([None, None], members=2)  # type: ignore[call-overload]
