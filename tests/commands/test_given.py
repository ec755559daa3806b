"""A model that is told what data know of each clip: from an index file to videos of an asked number."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from zoetrope import Cascade
from zoetrope.training.spec import Recipe

from .conftest import Cli

SHAPE = {"frames": 2, "height": 4, "width": 4, "fps": 1}
INPUTS = [{"type": "number", "told": "ef", "lo": 0.1, "hi": 0.9}]
LEVEL = {"width": 8, "temporal": ["convolution"]}
GREY = {"name": "grey", "scale": {"type": "range", "lo": 0, "hi": 1}}


def recipe(told: dict[str, str], **fields: object) -> dict[str, object]:
    network = {"type": "video_unet", "channels": 1, "text_width": None, "embedding": 8, "head": 8, "levels": [LEVEL]}
    network |= {"numbers": ["ef"]}
    stage = {"name": "base", "shape": SHAPE, "inputs": INPUTS, "network": network, "sampling": {"steps": 2}}
    data = {"type": "arrays", "path": "index.csv", "variables": {"grey": GREY}, "told": told}
    learning = {
        "data": data, "phases": [{"examples": 4, "batch": 2}], "warm_up": 0, "precision": "fp32",
        "checkpoint_every": 4, "sample_every": 4, "log_every": 4,
    }  # fmt: skip
    cascade = {"name": "hearts", "text": None, "channels": [GREY], "stages": [stage]}
    return Recipe.from_json({"name": "hearts", "cascade": cascade, "training": {"base": learning}} | fields).to_json()


@pytest.fixture(scope="module")
def hearts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips whose brightness is their number, and an index of them."""
    folder = tmp_path_factory.mktemp("hearts")
    with (folder / "index.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "ef"])
        for number in range(4):
            np.save(folder / f"{number}.npy", np.full((2, 4, 4), 0.2 * (number + 1)))
            rows.writerow([f"{number}.npy", "" if number == 3 else 0.2 * (number + 1)])
    return folder


def test_it_is_trained_resumed_shown_and_asked(hearts: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(hearts)
    Path("hearts.json").write_text(json.dumps(recipe({"ef": "number"})))
    for words in (
        ("train", "hearts.json", "--out", "run", "--quiet"),
        ("train", "--out", "run", "--resume", "--quiet", "--set", "base.training.phases.0.examples=6"),
        ("generate", "--model", "run", "--given", "ef=0.55", "--guidance", "1.5", "-o", "a.npz", "--dtype", "fp32"),
        ("generate", "--model", "run", "--given", "ef=0.2", "-o", "b.npz", "--quiet"),
        ("plan", "run"),
    ):
        done = cli(*words, "--device", "cpu")
        assert done.code == 0, (words, done.err)
    shown = cli("show", "run")
    assert "base is told: ef (a number from 0.1 to 0.9)" in shown.out, shown.out
    with np.load("a.npz") as file:
        about = json.loads(json.loads(file["about.json"])["tags"]["comment"])
    assert about["given"] == {"ef": 0.55}
    made = Cascade.from_pretrained("run").generate(given={"ef": 0.55}, guidance=1.5)
    with np.load("a.npz") as file:
        np.testing.assert_allclose(file["grey"], made["grey"], atol=1e-6)  # type: ignore[index]
    for value, told in (
        ("ef=2", "ef: expected a number from 0.1 to 0.9, as in its training, got 2"),
        ("ef=NaN", "got nan"),
        ("eff=0.5", "given: unknown input 'eff'; did you mean 'ef'?"),
    ):
        refused = cli("generate", "--model", "run", "--given", value, "-o", "c.npz", "--device", "cpu")
        assert refused.code == 2 and told in refused.err, refused.err
    Path("other.json").write_text(json.dumps(recipe({})))
    untold = cli("train", "other.json", "--out", "other", "--device", "cpu")
    assert untold.code == 2 and "expected a number 'ef'; the data tell nothing" in untold.err, untold.err
