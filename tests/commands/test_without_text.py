"""A cascade that is told no text, from its recipe to a report: no encoder, and no prompt."""

import json
from pathlib import Path

import pytest

from zoetrope.models.cascade import Cascade
from zoetrope.training.spec import Recipe

from .conftest import Cli

SMALL = {"frames": 2, "height": 4, "width": 4, "fps": 2}
LARGE = {"frames": 2, "height": 8, "width": 8, "fps": 2}
PHASE = {"examples": 4, "batch": 2}
LEARNING = {
    "data": {"type": "toybox"},
    "phases": [PHASE],
    "warm_up": 0,
    "precision": "fp32",
    "checkpoint_every": 4,
    "sample_every": 4,
    "log_every": 4,
}
DISTILLING = {"start": 2, "steps": 1, "guidance": PHASE, "halving": PHASE, "last": PHASE}


def network(*, low_res: bool) -> dict[str, object]:
    level = {"width": 8, "temporal": ["convolution"]}
    return {"type": "video_unet", "text_width": None, "embedding": 8, "head": 8, "low_res": low_res, "levels": [level]}


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    sampling = {"steps": 2}
    base = {"name": "base", "shape": SMALL, "inputs": [], "network": network(low_res=False), "sampling": sampling}
    inputs = [{"type": "low_res", "shape": SMALL}]
    ssr = {"name": "ssr", "shape": LARGE, "inputs": inputs, "network": network(low_res=True), "sampling": sampling}
    made = Recipe.from_json(
        {
            "name": "silent",
            "cascade": {"name": "silent", "text": None, "stages": [base, ssr]},
            "training": {"base": LEARNING, "ssr": LEARNING},
            "distillation": {"base": DISTILLING},
        }
    )
    Path("silent.json").write_text(json.dumps(made.to_json()))
    return "silent.json"


def test_it_is_trained_distilled_sampled_planned_and_judged(recipe: str, cli: Cli) -> None:
    judged = ("--data", "toybox", "--count", "2", "--after", "base", "--metrics", "psnr", "--out", "report")
    for words in (
        ("train", recipe, "--out", "runs", "--quiet"),
        ("train", "--out", "runs", "--resume", "--quiet"),
        ("distill", "runs/base", "--out", "few", "--quiet"),
        ("generate", "--model", "runs", "-o", "a.mp4", "--quiet"),
        ("generate", "--model", "few", "-o", "b.mp4", "--quiet"),
        ("evaluate", "runs", *judged),
    ):
        done = cli(*words, "--device", "cpu")
        assert done.code == 0, (words, done.err)
    refused = cli("generate", "fog", "--model", "runs", "-o", "c.mp4", "--device", "cpu")
    assert refused.code == 2 and "silent is told no text; expected no prompt, got 'fog'" in refused.err
    for name, stages in (
        ("runs", ["base", "ssr"]),
        ("runs/base", ["base"]),
        ("few", ["base"]),
        (recipe, ["base", "ssr"]),
    ):
        planned = cli("plan", name, "--device", "cpu", "--json")
        assert planned.code == 0, planned.err
        assert [stage["name"] for stage in json.loads(planned.out)["stages"]] == stages
    assert Cascade.from_pretrained("runs").generate(None).frames.shape == (2, 8, 8, 3)
