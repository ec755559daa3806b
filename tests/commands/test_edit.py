"""`edit`: a model is tuned to one clip, the clip is inverted, and another text makes it anew."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from zoetrope.cascade.spec import CascadeSpec, Distilled, SamplingSpec, StageSpec
from zoetrope.data.clip import OneClip
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.models.cascade import Cascade
from zoetrope.models.editing import edited
from zoetrope.models.folder import write_model
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.recipes.tune_a_video import tuning
from zoetrope.samplers.ddim import DDIM
from zoetrope.shapes import VideoShape
from zoetrope.text.t5 import T5
from zoetrope.video import Video, read, read_tags

from .conftest import Cli

BASE = VideoShape(frames=1, height=8, width=8, fps=2)
SSR = VideoShape(frames=1, height=16, width=16, fps=2)
ARGUMENTS = ("a blue square rises slowly", "--caption", "a red ball rolls left", "--tuning-steps", 6)


@pytest.fixture(scope="module")
def image_model(encoder: T5, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of pictures, with random weights: a base with attention, and a stage that enlarges."""
    level = Level(width=16, spatial_attention=True, text_attention=True)
    base = VideoUNetConfig(text_width=16, embedding=16, head=8, levels=(level,))
    ssr = VideoUNetConfig(low_res=True, text_width=16, embedding=16, head=8, levels=(Level(width=8),))
    guided, plain = SamplingSpec(steps=4, guidance=1.0), SamplingSpec(steps=2)
    stages = (
        StageSpec(name="base", shape=BASE, network=base, sampling=guided),
        StageSpec(name="ssr", shape=SSR, inputs=usual_inputs(BASE), network=ssr, sampling=plain),
    )
    spec = CascadeSpec(name="pictures", text=encoder, stages=stages)
    torch.manual_seed(0)
    networks = {stage.name: stage.network.build() for stage in stages}
    for network in networks.values():
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.2)
    folder = tmp_path_factory.mktemp("models") / "pictures"
    write_model(folder, spec, networks, "# pictures\n")
    return folder


def test_a_clip_is_edited_and_its_tuned_network_used_again(image_model: Path, films: Path, cli: Cli) -> None:
    clip = films / "film0.mp4"
    done = cli("edit", clip, *ARGUMENTS, "--model", image_model, "--tuned", "tuned", "--json", "-o", "a.mp4")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert [stage["name"] for stage in told["files"][0]["stages"]] == ["inversion", "base", "ssr"]
    made = read("a.mp4")
    assert made.frames.shape == (6, 16, 16, 3) and made.fps == 2  # the three seconds of the clip at the model's rate
    assert "a blue square" in read_tags("a.mp4")["title"]
    recipe = json.loads(Path("tuned/recipe.json").read_text())
    level = recipe["cascade"]["stages"][0]["network"]["levels"][0]
    assert level["looks"] == "first_and_previous" and level["temporal"] == ["attention"]
    assert "tuned to" in done.err
    again = cli("edit", clip, *ARGUMENTS, "--model", image_model, "--tuned", "tuned", "-o", "b.mp4")
    assert again.code == 0 and "tuned to" not in again.err
    assert (read("b.mp4").frames == made.frames).all()
    other = cli("edit", films / "film1.mp4", *ARGUMENTS, "--model", image_model, "--tuned", "tuned", "-o", "c.mp4")
    assert other.code == 2 and "tuned: was tuned to something else: base.training.data.path" in other.err
    shutil.copytree(image_model, "alike")
    weights = load_file("alike/base/model.safetensors")
    save_file({name: 1.1 * value for name, value in weights.items()}, "alike/base/model.safetensors")
    other = cli("edit", clip, *ARGUMENTS, "--model", "alike", "--tuned", "tuned", "-o", "d.mp4")
    assert other.code == 2 and "tuned: was tuned from other weights than those of --model" in other.err
    assert not Path("c.mp4").exists()


def test_only_queries_and_attention_over_time_learn(image_model: Path, films: Path, cli: Cli) -> None:
    done = cli("edit", films / "film0.mp4", *ARGUMENTS, "--model", image_model, "--tuned", "t", "--until", "base")
    assert done.code == 0, done.err
    before = Cascade.from_pretrained(image_model)
    after = Cascade.from_pretrained("t")
    old = before._network(before.spec.stages[0]).state_dict()
    new = after._network(after.spec.stages[0]).state_dict()
    changed = {name for name, value in old.items() if not torch.equal(value, new[name])}
    assert changed and all(".query." in name for name in changed)
    fresh = new.keys() - old.keys()
    assert fresh and all("temporal_attention" in name for name in fresh)


def test_the_unchanged_caption_brings_the_clip_back(image_model: Path) -> None:
    """Without guidance the way back is the way there: in more steps the error falls."""
    recipe = tuning(Cascade.from_pretrained(image_model).spec, OneClip(path="-", text="fog"), frames=3)
    stage = recipe.cascade.stages[0]
    torch.manual_seed(1)
    network = stage.network.build()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    spec = recipe.cascade.with_(stages=(stage,))
    video = 0.5 * torch.sin(torch.arange(3 * 3 * 64.0)).view(1, 3, 3, 8, 8)
    errors = []
    for steps in (8, 32):
        cascade = Cascade(spec, lambda _: network).tuned(steps=steps, guidance=0.0)
        *_, last = edited(cascade, video, "fog", caption="fog")
        errors.append((last.x_hat - video).square().mean().sqrt().item())
    assert errors[1] < errors[0] / 2 and errors[1] < 0.05


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("fog", "--caption", "fog"), "PROMPT: expected another text than --caption"),
        (("", "--caption", "fog"), "PROMPT: expected some text"),
        (("ice", "--caption", "fog", "--frames", 1), "expected two frames or more at 2 fps"),
        (("ice", "--caption", "fog", "--frames", 40), "expected 40 frames at 2 fps, got 6: the clip ends"),
        (("ice", "--caption", "fog", "--tuning-steps", 0), "--tuning-steps"),
    ],
)
def test_what_cannot_be_edited_is_told(
    changes: tuple[object, ...], message: str, image_model: Path, films: Path, cli: Cli
) -> None:
    done = cli("edit", films / "film0.mp4", *changes, "--model", image_model)
    assert done.code == 2 and message in done.err
    assert not list(Path().glob("*.mp4"))


def test_a_picture_a_distilled_and_an_enlarging_model_are_refused(image_model: Path, cli: Cli) -> None:
    Video(np.zeros((1, 16, 16, 3), np.uint8), 1).save("one.png")
    done = cli("edit", "one.png", *ARGUMENTS, "--model", image_model)
    assert done.code == 2 and "whose motion stays, got 1" in done.err
    Video(np.zeros((16, 16, 16, 3), np.uint8), 3).save("still.mp4")
    done = cli("edit", "still.mp4", *ARGUMENTS, "--model", "mini")
    assert done.code == 2 and "--teacher" in done.err


def test_the_original_of_a_distilled_model_is_tuned(encoder: T5, films: Path, cli: Cli) -> None:
    """A model of videos, distilled to two steps: its teacher can be inverted, and edits with the teacher's steps."""
    shape = VideoShape(frames=4, height=8, width=8, fps=2)
    level = Level(width=16, spatial_attention=True, text_attention=True, temporal=("attention",))
    network = VideoUNetConfig(text_width=16, embedding=16, head=8, levels=(level,))
    teacher = StageSpec(name="base", shape=shape, network=network, sampling=SamplingSpec(steps=4, guidance=1.0))
    few = SamplingSpec(sampler=DDIM(), steps=2, guidance=0.0)
    student = teacher.with_(sampling=few, distilled=Distilled(steps=2))
    spec = CascadeSpec(name="quick", text=encoder, stages=(student,), teachers=(teacher,))
    torch.manual_seed(0)
    write_model(Path("quick"), spec, {"base": network.build()}, "# quick\n", {"base": network.build()})
    words = ("edit", films / "film0.mp4", *ARGUMENTS, "--model", "quick", "-o", "a.mp4")
    done = cli(*words)
    assert done.code == 2 and "can be used with --teacher" in done.err
    done = cli(*words, "--teacher", "--tuned", "tuned", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["settings"]["base"]["steps"] == 4
    assert read("a.mp4").frames.shape == (4, 8, 8, 3)


def test_again_edits_the_same_clip(image_model: Path, films: Path, cli: Cli) -> None:
    """Without the tuned network: the tuning, too, is made again, bit for bit."""
    Path("own").symlink_to(image_model)
    words = ("edit", films / "film0.mp4", *ARGUMENTS, "--model", "own", "--seed", 3, "--steps", 3, "-o", "a.mp4")
    assert cli(*words, "--tuned", "tuned").code == 0
    told = json.loads(read_tags("a.mp4")["comment"])
    assert set(told["inputs"]) == {"source"} and "tuned" not in told["options"]
    done = cli("edit", "--again", "a.mp4", "-o", "b.mp4")
    assert done.code == 0 and f"source {films / 'film0.mp4'}" in done.err, done.err
    assert Path("b.mp4").read_bytes() == Path("a.mp4").read_bytes()
    done = cli("edit", "--again", "a.mp4", "--tuned", "tuned", "-o", "c.mp4")
    assert done.code == 0 and "tuned to" not in done.err
    assert Path("c.mp4").read_bytes() == Path("a.mp4").read_bytes()
    other = cli("edit", films / "film1.mp4", "--again", "a.mp4", "-o", "d.mp4")
    assert other.code == 2 and "source is another file than it was made from" in other.err
    assert "--steps: expected without --again" in cli("edit", "--again", "a.mp4", "--steps", 2).err
    assert "was made by `zoetrope edit`" in cli("generate", "--again", "a.mp4").err
    assert "again: zoetrope edit --again a.mp4" in cli("show", "a.mp4").out
    assert cli(*words, "--no-prompt-in-file").code == 0 and b"a blue square" not in Path("a.mp4").read_bytes()
    assert "Missing argument 'PROMPT'" in cli("edit", "--again", "a.mp4").err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--memory", "4XB"), "--memory: expected a size such as 4GB"),
        (("--memory", "1MB"), "memory: stage"),
        (("--dtype", "fp8"), "--dtype: unknown dtype 'fp8'"),
        (("--negative", "fog", "--guidance", "0"), "--negative: expected a stage that is guided"),
        (("--negative", "fog", "--set", "base.sampling.guidance=0"), "--negative: expected a stage that is guided"),
        (("--set", "base.sampling.sampler=heun"), "--set base.sampling.sampler: expected ddim, by which a clip is"),
        (("--set", "stages.base.sampling.routine=zero_shot"), "--set base.sampling.routine: expected straight"),
        (("--set", "base.network.levels.0.looks=all"), "--set base.network.levels.0.looks: expected without it"),
        (("--set", "base.inputs.text.dropout=0.1"), "--set base.inputs.text.dropout: expected without it"),
    ],
)
def test_what_sampling_refuses_is_refused_before_tuning(
    image_model: Path, films: Path, cli: Cli, words: tuple[str, ...], message: str
) -> None:
    done = cli("edit", films / "film0.mp4", *ARGUMENTS, "--model", image_model, "--tuned", "tuned", *words)
    assert done.code == 2 and message in done.err, done.err
    assert not Path("tuned").exists()


def test_what_made_an_edit_is_compared_before_it_is_made_again(image_model: Path, films: Path, cli: Cli) -> None:
    words = ("edit", films / "film0.mp4", *ARGUMENTS, "--model", image_model, "-o", "a.mp4", "--quiet")
    assert cli(*words).code == 0
    done = cli("edit", "--again", "a.mp4", "--set", "ssr.sampling.steps=1", "-o", "b.mp4")
    assert done.code == 2 and "stage 'ssr' had steps 2" in done.err
    assert "inversion" not in done.err and not Path("b.mp4").exists()


def test_a_users_folder_is_no_place_for_a_tuned_network(image_model: Path, films: Path, cli: Cli) -> None:
    mine = {"recipe.json": "{}", "metrics.jsonl": '{"examples": 3}\n', "notes.txt": "mine"}
    for name in mine:
        Path("project").mkdir(exist_ok=True)
        for old in Path("project").iterdir():
            old.unlink()
        Path("project", name).write_text(mine[name])
        done = cli("edit", films / "film0.mp4", *ARGUMENTS, "--model", image_model, "--tuned", "project", "-o", "a.mp4")
        assert done.code == 2 and "choose another --tuned" in done.err and "--resume" not in done.err, done.err
        assert [path.name for path in Path("project").iterdir()] == [name]
        assert Path("project", name).read_text() == mine[name] and not Path("a.mp4").exists()


def test_fields_of_sampling_are_those_of_the_edit(image_model: Path, films: Path, cli: Cli) -> None:
    """As `--steps` and `--guidance` are: the tuned network is the same, and can be used again with others."""
    words = ("edit", films / "film0.mp4", *ARGUMENTS, "--model", image_model, "--tuned", "tuned", "--until", "base")
    sets = ("--set", "base.sampling.guidance=5", "--set", "base.sampling.steps=3")
    done = cli(*words, *sets, "--set", "base.network.checkpointing=true", "--json", "-o", "a.mp4")
    assert done.code == 0, done.err
    told = json.loads(done.out)["settings"]["base"]
    assert told["guidance"]["weight"] == 5 and told["steps"] == 3
    more = ("--guidance", 5, "--steps", 3, "--set", "base.network.checkpointing=true", "--json", "-o", "b.mp4")
    done = cli(*words, *more)
    assert done.code == 0 and "is tuned to" not in done.err, done.err
    assert json.loads(done.out)["settings"]["base"] == told
