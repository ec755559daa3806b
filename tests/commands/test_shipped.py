"""The models that come with the package: each opens by its name, has its weights and a card, and is in the wheel."""

import tomllib
from pathlib import Path

import pytest

from zoetrope.metrics.recogniser import recognise_picture
from zoetrope.models.finding import FoundModel, find, locate, shipped
from zoetrope.models.opening import open_model
from zoetrope.recipes import load_recipe
from zoetrope.video import read

from .conftest import Cli

ROOT = Path(__file__).parents[2]
NAMES = sorted(shipped())
LICENCES = {"emoji": "CC-BY-4.0. Credit: Google, Noto Animated Emoji"}


def test_what_is_shipped() -> None:
    assert NAMES == ["emoji", "mini", "mini_image"]
    assert find("mini-image") == (FoundModel("mini-image", shipped()["mini_image"]),)
    assert locate("mini_image") == locate("mini-image")
    with pytest.raises(ValueError, match="unknown model 'mini_imaeg'; did you mean 'mini_image'"):
        locate("mini_imaeg")


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_model_is_whole_and_of_its_recipe(name: str) -> None:
    model, recipe = open_model(name), load_recipe(name).cascade
    model.check(model.spec.stages)
    assert model.spec.name == name and model.spec.trained_on is not None
    assert model.card.startswith(f"# {name}\n") and f"Weights: {LICENCES.get(name, 'Apache-2.0')}" in model.card
    assert [stage.name for stage in model.spec.stages] == [stage.name for stage in recipe.stages]
    for stage, own in zip(model.spec.stages, recipe.stages, strict=True):
        if stage.distilled is None:
            assert stage == own


@pytest.mark.parametrize("name", NAMES)
def test_the_wheel_holds_all_of_a_model_but_its_scores(name: str) -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["zoetrope"]
    packed = {path for pattern in told for path in (ROOT / "zoetrope").glob(pattern)}
    files = {path for path in (ROOT / "zoetrope/models" / name).rglob("*") if path.is_file()}
    assert {path.name for path in files - packed} == {"scores.json"}


def test_a_picture_by_name(cli: Cli) -> None:
    """Of the shipped weights, on prompts as in training: the recogniser reads both of each."""
    prompts = {"a blue circle on a white background": ("blue", "circle"), "a yellow heart": ("yellow", "heart")}
    done = cli("generate", *prompts, "--model", "mini-image")
    assert done.code == 0, done.err
    for prompt, asked in prompts.items():
        made = read(prompt.replace(" ", "-") + ".png")
        assert made.frames.shape == (1, 48, 80, 3)
        seen = recognise_picture(made.frames[0])
        assert (seen.colour, seen.shape) == asked


def test_an_emoji_by_name(cli: Cli) -> None:
    """Of the shipped weights: hearts in the colours of their captions, on white."""
    colours = {"green": 1, "blue": 2}
    done = cli("generate", *(f"an animated emoji of {name} heart" for name in colours), "--model", "emoji")
    assert done.code == 0, done.err
    for name, channel in colours.items():
        made = read(f"an-animated-emoji-of-{name}-heart.mp4")
        assert made.frames.shape == (16, 96, 96, 3) and made.fps == 12.5
        drawn = (made.frames < 200).any(-1)
        assert not drawn[:, :4, :4].any() and 0.1 < drawn.mean() < 0.9
        assert made.frames[drawn].mean(0).argmax() == channel


def test_a_shipped_model_is_shown_with_its_recipe(cli: Cli) -> None:
    told = cli("show", "mini_image").out
    assert "mini_image, a recipe" in told and "Its weights come with the package: " in told
    assert cli("show", "mini-image").out.startswith("mini_image, a model in ")
