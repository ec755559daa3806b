"""The recipes of pictures: published sizes, narrow passes, and small ones that train, resume and make pictures."""

import json
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from zoetrope.cascade.grid import on_grid
from zoetrope.cascade.spec import StageSpec
from zoetrope.commands._options import changes
from zoetrope.conditioning import Conditioning
from zoetrope.data.toybox import Toybox
from zoetrope.data.toybox.vocabulary import HELD_OUT_COLOUR_SHAPE, MOTIONS
from zoetrope.data.toybox.world import numbered_script
from zoetrope.inputs.low_res import LowRes, low_res_given
from zoetrope.inputs.text import text_given
from zoetrope.layers.attention import SpatialAttention, TextAttention
from zoetrope.networks import Network
from zoetrope.networks.video_unet import VideoUNetConfig
from zoetrope.recipes import cascaded_diffusion, imagen, load_recipe, mini_image
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.schedules.cosine import Cosine
from zoetrope.text.minilm import MiniLM
from zoetrope.text.t5 import T5
from zoetrope.training.spec import Recipe
from zoetrope.video import read

MODULES = {"cascaded_diffusion": cascaded_diffusion, "imagen": imagen, "mini_image": mini_image}
PAPERS = ("cascaded_diffusion", "imagen")
# The side of each stage's pictures; the sides of a level at which pixels attend to each other and to text.
SIDES = {"cascaded_diffusion": (64, 128, 256), "imagen": (64, 256, 1024)}
SPACE = {"cascaded_diffusion": ({32, 16, 8}, {16}, {16}), "imagen": ({32, 16, 8}, {16}, set())}
TEXT = {"cascaded_diffusion": (set(), set(), set()), "imagen": ({32, 16, 8}, {16}, {64})}
PUBLISHED = (2e9, 600e6, 400e6)  # parameters [Saharia et al. 2022, arXiv:2205.11487, App. F.1]


def config_of(stage: StageSpec) -> VideoUNetConfig:
    """Its network."""
    assert isinstance(stage.network, VideoUNetConfig)
    return stage.network


def count(network: nn.Module) -> int:
    """How many parameters it has."""
    return sum(parameter.numel() for parameter in network.parameters())


def bare(stage: StageSpec) -> Network:
    """Its network without values."""
    with torch.device("meta"):
        return stage.network.build()


@pytest.mark.parametrize("name", PAPERS)
def test_sizes_and_attention_are_the_published_ones(name: str) -> None:
    stages = load_recipe(name).cascade.stages
    assert [stage.shape.sizes for stage in stages] == [(1, side, side) for side in SIDES[name]]
    assert [stage.kind for stage in stages] == ["base", "ssr", "ssr"]
    for stage, space, text in zip(stages, SPACE[name], TEXT[name], strict=True):
        config = config_of(stage)
        sides = [stage.shape.height // config.patch >> index for index in range(len(config.levels))]
        assert {side for side, level in zip(sides, config.levels, strict=True) if level.spatial_attention} == space
        assert {side for side, level in zip(sides, config.levels, strict=True) if level.text_attention} == text
        assert all(level.temporal == () for level in config.levels)
        kinds = {type(module) for module in bare(stage).modules()}
        assert (SpatialAttention in kinds, TextAttention in kinds) == (bool(space), bool(text))


@pytest.mark.parametrize("name", PAPERS)
def test_the_table_of_the_recipe_is_true(name: str) -> None:
    """Each row of it: the count here and, of Imagen, the paper's and how far that is off."""
    rows = [line.split() for line in (MODULES[name].__doc__ or "").splitlines() if line.startswith("    ")]
    counts = {stage.name: count(bare(stage)) for stage in load_recipe(name).cascade.stages}
    if name == "cascaded_diffusion":
        told = {row[0]: int(row[2].replace(",", "")) for row in rows if row[0] in counts}
        assert told == counts
        return
    counts["all"] = sum(counts.values())
    published = dict(zip(counts, (*PUBLISHED, sum(PUBLISHED)), strict=True))
    table = {row[0]: row[1:] for row in rows if row[0] in counts}
    assert table.keys() == counts.keys()
    for stage, (here, number, unit, sign, off, _) in table.items():
        assert int(here.replace(",", "")) == counts[stage] == pytest.approx(published[stage], rel=0.03)
        assert float(number) * {"B": 1e9, "M": 1e6}[unit] == published[stage]
        assert float(sign + off) == pytest.approx(100 * (counts[stage] / published[stage] - 1), abs=0.05)


def test_the_papers_ways() -> None:
    cdm, whole = load_recipe("cascaded_diffusion"), load_recipe("imagen")
    assert isinstance(cdm.cascade.text, MiniLM) and whole.cascade.text == T5()
    for made in (cdm, whole):
        for stage in made.cascade.stages:
            training = made.train_spec(stage.name)
            assert (stage.prediction, training.weight) == ("eps", "eps")
            assert isinstance(stage.sampling.sampler, Ancestral) and training.phases[0].peak == 1e-4
    first, second = (stage.input("low_res") for stage in cdm.cascade.stages[1:])
    assert isinstance(first, LowRes) and isinstance(second, LowRes)
    assert {(one.augment, one.blur, one.logsnr) for one in (first, second)} == {(0.0, 0.5, None)}
    for stage in whole.cascade.stages[1:]:
        low_res = stage.input("low_res")
        assert isinstance(low_res, LowRes) and (low_res.augment, low_res.blur) == (1.0, 0.0)
    assert [{*stage.sampling.weights()} for stage in whole.cascade.stages] == [{0.35}, {7.0}, {7.0}]
    assert [whole.train_spec(stage.name).crop for stage in whole.cascade.stages] == [None, None, (256, 256)]
    last = whole.cascade.stages[-1]
    reach = last.network.reach().pixels
    assert reach is not None and reach < last.shape.height  # trained on parts, run in tiles
    # The linear schedule of betas: alpha^2 = exp(-(0.1 t + 9.95 t^2)).
    middle = -torch.log(torch.expm1(torch.tensor(0.1 * 0.5 + 9.95 * 0.25, dtype=torch.float64)))
    assert isinstance(last.schedule, Cosine) and last.schedule.shift == pytest.approx(float(middle), abs=0.01)


def commands(name: str) -> list[list[str]]:
    """The words of the commands in a recipe's docstring."""
    text = (MODULES[name].__doc__ or "").replace("\\\n", " ").replace("torchrun ... ", "")
    return [shlex.split(line) for line in text.splitlines() if line.startswith("    zoetrope ")]


@pytest.mark.parametrize("name", MODULES)
def test_commands_of_the_docstring_fit_the_recipe(name: str) -> None:
    found = commands(name)
    assert found
    for words in found:
        if words[1] == "generate":
            continue
        made = load_recipe(words[2])
        sets = [value for option, value in pairwise(words) if option == "--set"]
        changed: Recipe = made.overridden(dict(changes(sets)))
        stages = dict(pairwise(words)).get("--stage")
        assert stages is None or changed.cascade.stage(stages)
        if "--size" in words:
            width, height = (int(value) for value in words[words.index("--size") + 1].split("x"))
            smaller = on_grid(changed.cascade, size=(height, width))
            assert count(bare(smaller.stages[0])) < 25_000_000


@pytest.mark.parametrize("name", PAPERS)
@pytest.mark.parametrize("factor", [0, -1, 1.5])
def test_factors_that_are_refused(name: str, factor: float) -> None:
    with pytest.raises(ValueError, match="width: expected a factor above 0 and at most 1"):
        MODULES[name].recipe(factor)


@pytest.mark.parametrize("name", PAPERS)
@pytest.mark.parametrize("index", range(3))
def test_every_narrow_stage_learns_with_all_its_parameters(name: str, index: int) -> None:
    stage = load_recipe(f"{name}@0.0625").cascade.stages[index]
    config, draw = config_of(stage), torch.Generator().manual_seed(0)
    network: nn.Module = config.build()
    with torch.no_grad():
        for parameter in network.parameters():  # nothing rests at zero, where it would keep gradients from others
            parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=0.02)
    side = config.patch * 2 ** len(config.levels)  # two pixels of the coarsest level
    z = torch.randn(2, 3, 1, side, side, generator=draw)
    given: Any = text_given(
        torch.randn(2, 2, config.text_width or 1, generator=draw), torch.tensor([[1, 1], [0, 0]]) > 0
    )
    given = given | Conditioning(images=torch.tensor([True, True]))
    if config.low_res:
        given = given | low_res_given(torch.randn(z.shape, generator=draw), torch.tensor([1.0, -1.0]))
    out = network(z, torch.tensor([-1.0, 2.0]), given)
    assert out.shape == z.shape and out.isfinite().all()
    (out * torch.randn(out.shape, generator=draw)).sum().backward()
    for label, weight in network.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all() and weight.grad.any(), label


def small(name: str, made: Recipe) -> dict[str, Any]:
    """Changes that make a recipe one of seconds."""
    found: dict[str, Any] = {"cascade.text": {"type": "words", "width": 8, "limit": 16}}
    for stage in made.cascade.stages:
        network = {**config_of(stage).to_json(), "text_width": 8, "embedding": 16, "head": 8}
        for level in network["levels"]:
            level.update(width=8, blocks=1)
        training = {
            "data": {"type": "toybox", "scripts": 20, "pictures": True},
            "phases": [{"examples": 8, "batch": 4}],
            "crop": None,
            "accumulate": 1,
            "warm_up": 0,
            "cool_down": 0,
            "log_every": 4,
            "sample_every": 0,
            "checkpoint_every": 8,
            "precision": "fp32",
        }
        found |= {f"{stage.name}.training.{field}": value for field, value in training.items()}
        found |= {f"{stage.name}.network": network, f"{stage.name}.sampling.steps": 2}
    return found


# Width and height of a base, which makes all sizes small.
BASES = {"cascaded_diffusion": (8, 8), "imagen": (8, 8), "mini_image": (40, 24)}


@pytest.mark.parametrize("name", MODULES)
def test_a_small_one_is_planned_trained_resumed_and_makes_pictures(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from zoetrope.__main__ import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = load_recipe(name)
    width, height = BASES[name]
    changed = made.overridden(small(name, made))
    changed = changed.with_(cascade=on_grid(changed.cascade, size=(height, width)))
    Path("small.json").write_text(json.dumps(changed.to_json()))

    def cli(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["zoetrope", *words])
        assert not main(), capsys.readouterr().err
        return capsys.readouterr().out

    planned = cli("plan", "small.json", "--device", "h100")
    assert all(stage.name in planned for stage in made.cascade.stages)
    for stage in made.cascade.stages:
        cli("train", "small.json", "--stage", stage.name, "--out", f"runs/{stage.name}")
    longer = 'base.training.phases=[{"examples": 16, "batch": 4}]'
    cli("train", "--out", "runs/base", "--resume", "--set", longer)
    lines = Path("runs/base/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["examples"] for line in lines] == [4, 8, 12, 16]
    cli("generate", "a red star", "--model", "runs", "-o", "star.png", "--quiet")
    frames = read("star.png").frames
    factor = made.cascade.stages[-1].shape.height // made.cascade.stages[0].shape.height
    assert frames.shape == (1, factor * height, factor * width, 3)


def test_mini_images_pictures_tell_no_motion_and_show_nothing_held_out() -> None:
    made = load_recipe("mini_image")
    [data] = {made.train_spec(stage.name).data for stage in made.cascade.stages}
    assert isinstance(data, Toybox) and data.pictures
    shape = made.cascade.stages[0].shape
    world = data.open()
    assert world.gives(shape) and not world.gives(shape.with_(frames=16))
    texts = [world.example(index, shape).text for index in range(300)]
    told = {phrase for motion in MOTIONS.values() for phrase in (*motion.train, *motion.held_out)}
    assert [text for text in texts if any(phrase in text for phrase in told)] == []
    shown = {(thing.colour, thing.shape) for number in range(3000) for thing in numbered_script(number).things}
    assert not shown & set(HELD_OUT_COLOUR_SHAPE) and len(shown) > 80


def test_mini_images_base_is_laid_out_as_one_of_clips() -> None:
    """With temporal layers its network is one of 16x24x40 that has all of its weights and new ones for motion alone."""
    stage = load_recipe("mini_image").cascade.stages[0]
    config = config_of(stage)
    levels = [{**level.to_json(), "temporal": ["attention"]} for level in config.levels]
    video = VideoUNetConfig.from_json({**config.to_json(), "levels": levels})
    video.check(16, 24, 40)
    picture, clip = (dict(one.bare().state_dict()) for one in (config, video))
    assert {name: value.shape for name, value in picture.items()}.items() <= {
        name: value.shape for name, value in clip.items()
    }.items()
    new = clip.keys() - picture.keys()
    # A level without any attention gets a feed-forward with its first.
    assert new and all("temporal" in name or "feed_forward" in name for name in new)
