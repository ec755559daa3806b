"""A prior and its decoder on the command line: trained, gone on with, sampled, and given a picture instead."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.data.folder import Folder
from zoetrope.data.pictured import Pictured
from zoetrope.guidance.picture import PictureGuidance
from zoetrope.inputs.fps import FrameRate
from zoetrope.inputs.picture import Picture
from zoetrope.known.replacement import Replacement
from zoetrope.models.cascade import Cascade
from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.models.folder import write_model
from zoetrope.networks.vector import VectorConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.text.t5 import T5
from zoetrope.training.spec import Phase, Recipe, TrainSpec
from zoetrope.video import Video, probe, read

from .conftest import BASE, Cli

POINT = VideoShape(frames=1, height=1, width=1, fps=1)
WIDTH = 128


@pytest.fixture(scope="module")
def unclip(encoder: T5, films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe.json of a tiny prior, and a decoder that is told a picture and the frame rate, but no text."""
    prior = StageSpec(
        name="prior",
        shape=POINT,
        network=VectorConfig(channels=WIDTH, text_width=16, width=16, depth=1),
        sampling=SamplingSpec(steps=3, guidance=1.0, threshold=None),
    )
    decoder = StageSpec(
        name="base",
        shape=BASE,
        inputs=(Picture(of="prior", dropout=0.3), FrameRate()),
        network=VideoUNetConfig(
            text_width=None,
            picture_width=WIDTH,
            rate=True,
            embedding=16,
            head=8,
            levels=(Level(width=8, temporal=("convolution",)),),
        ),
        sampling=SamplingSpec(steps=2, guidance=PictureGuidance(weight=1.0)),
    )
    source = Folder(path=str(films))
    plan = TrainSpec(
        data=source,
        phases=(Phase(examples=16, batch=4, images=0.25, peak=1e-2),),
        warm_up=4,
        half_life=4,
        checkpoint_every=16,
        sample_every=8,
        log_every=8,
        precision="fp32",
    )
    made = Recipe(
        name="unclip",
        cascade=CascadeSpec(name="unclip", text=encoder, stages=(prior, decoder)),
        training={
            "prior": plan.with_(data=Pictured(source=source), phases=(Phase(examples=16, batch=4),)),
            "base": plan,
        },
    )
    path = tmp_path_factory.mktemp("recipes") / "unclip.json"
    path.write_text(json.dumps(made.to_json()))
    return path


def weights(run: str) -> bytes:
    return (find_checkpoints(Path(run) / "checkpoints")[-1] / "average.safetensors").read_bytes()


def test_it_trains_goes_on_and_samples(cli: Cli, unclip: Path) -> None:
    done = cli("train", unclip, "--out", "runs", "--quiet")
    assert done.code == 0, done.err
    # Half of it, then the rest: the same weights.
    for stage in ("prior", "base"):
        short = cli(
            "train", unclip, "--stage", stage, "--out", f"half/{stage}", "--quiet",
            "--set", f"{stage}.training.phases.0.examples=8",
        )  # fmt: skip
        assert short.code == 0, short.err
        longer = ("--set", f"{stage}.training.phases.0.examples=16", "--accept-changes", "--quiet")
        assert cli("train", "--out", f"half/{stage}", "--resume", *longer).code == 0
        assert weights(f"half/{stage}") == weights(f"runs/{stage}")
    assert not list(Path("runs/prior/samples").glob("*")) and len(list(Path("runs/base/samples").glob("*"))) == 2

    made = cli("generate", "fog", "--model", "runs", "-o", "a.mp4", "--save-stages", "stages", "--json")
    assert made.code == 0, made.err
    stages = [stage["name"] for stage in json.loads(made.out)["files"][0]["stages"]]
    assert stages == ["prior", "base"] and probe("a.mp4").frames == BASE.frames
    assert [path.name for path in Path("stages").iterdir()] == ["a-base.mp4"]

    # A picture instead of what the prior makes; the text, which the decoder does not read, changes nothing then.
    Video(np.full((1, 12, 16, 3), 200, np.uint8), 1).save("grey.png")
    seen = [cli("generate", text, "--model", "runs", "-o", f"{text}.mp4", "--picture", "grey.png", "--json")
            for text in ("fog", "rain")]  # fmt: skip
    assert [stage["name"] for stage in json.loads(seen[0].out)["files"][0]["stages"]] == ["base"]
    run = Cascade.from_pretrained("runs")
    by_file, by_array = (run.generate("fog", picture=x) for x in ("grey.png", np.full((12, 16, 3), 200, np.uint8)))
    faster = run.generate("fog", picture="grey.png", fps=4)
    assert (by_file.frames == by_array.frames).all()
    shown, imagined = (list(run.stream("fog", given=given))[-1].x_hat for given in ({"picture": "grey.png"}, {}))
    assert not torch.equal(shown, imagined)
    assert faster.fps == 4
    at_rates = [list(run.tuned(fps=fps).stream("fog", given={"picture": "grey.png"}))[-1].x_hat for fps in (2, 4)]
    assert not torch.equal(*at_rates)

    # One folder, opened again.
    run.save_pretrained("model")
    assert [stage.name for stage in Cascade.from_pretrained("model").spec.stages] == ["prior", "base"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--until", "prior"), "stage 'prior' makes vectors for other stages, and no videos"),
        (("--picture", "none.png"), "none.png"),
        (("--picture", "film.mp4"), "picture=film.mp4: expected one picture, got 3 frames; give one of them as a file"),
        (("--picture", "a.png", "--given", "picture=3"), "--picture: expected picture once, got it in --given too"),
        (("--given", "picture=3"), "picture: expected one picture"),
        (("--given", "fps=-2"), "fps: expected a positive number of frames per second, got -2"),
        (("--seconds", "30"), "stage 'base': expected a network that learnt to continue known frames"),
    ],
)
def test_bad_input(cli: Cli, unclip: Path, words: tuple[str, ...], message: str) -> None:
    spec = Recipe.from_json(unclip.read_text()).cascade
    torch.manual_seed(0)
    write_model(Path("model"), spec, {stage.name: stage.network.build() for stage in spec.stages}, "# unclip\n")
    Video(np.zeros((3, 12, 16, 3), np.uint8), 1).save("film.mp4")
    done = cli("generate", "fog", "--model", "model", "-o", "b.mp4", *words)
    assert done.code == 2 and message in done.err, done.err


def test_a_decoder_needs_its_prior(cli: Cli, unclip: Path) -> None:
    assert cli("train", unclip, "--out", "runs", "--stages", "base", "--quiet").code == 0
    done = cli("generate", "fog", "--model", "runs", "-o", "a.mp4")
    assert done.code == 2 and "stage 'base' reads what stage 'prior' makes; name the model or the run of" in done.err


def test_a_prior_that_learns_embeddings_of_another_encoder(unclip: Path) -> None:
    recipe = Recipe.from_json(unclip.read_text())
    other = recipe.training["prior"].data.to_json() | {"encoder": {"type": "small", "path": "other.safetensors"}}
    with pytest.raises(ValueError, match=r"training\.prior\.data: expected embeddings of .*which stage 'base' reads"):
        recipe.override("prior.training.data", other)


@pytest.fixture
def written(unclip: Path, tmp_path: Path) -> Path:
    """The model of the recipe with random weights."""
    spec = Recipe.from_json(unclip.read_text()).cascade
    torch.manual_seed(0)
    networks = {stage.name: stage.network.build() for stage in spec.stages}
    for network in networks.values():
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.1)
    write_model(tmp_path / "written", spec, networks, "# unclip\n")
    return tmp_path / "written"


def grey(path: str, level: int) -> None:
    Video(np.full((1, BASE.height, BASE.width, 3), level, np.uint8), 1).save(path)


def test_another_picture_of_the_same_name_is_not_resumed(cli: Cli, written: Path) -> None:
    grey("p.png", 200)
    words = ("generate", "fog", "--model", written, "--picture", "p.png", "-o", "a.mp4")
    assert cli(*words).code == 0
    assert "there already" in cli(*words, "--resume").err
    grey("p.png", 50)
    done = cli(*words, "--resume")
    assert done.code == 2 and "a.mp4: expected the video of 'fog' with these settings" in done.err


def test_known_frames_of_a_stage_that_reads_a_prior(cli: Cli, written: Path) -> None:
    grey("p.png", 200)
    words = ("generate", "fog", "--model", written, "--known", "0=p.png", "-o", "a/")
    assert cli(*words, "--known-method", "replacement").code == 0
    assert (read("a/").frames[0] == 200).all()
    done = cli(*words)
    assert (
        done.code == 2 and "stage 'base': expected no known frames, for it has not learnt to be given any" in done.err
    )


def test_long_videos_are_told_pictures_by_what_they_show(written: Path, tmp_path: Path) -> None:
    cascade, folder = Cascade.from_pretrained(written), tmp_path / "frames"
    picture = np.full((12, 16, 3), 200, np.uint8)

    def made(shown: np.ndarray, **how: Any) -> np.ndarray:
        way = {"seconds": 3, "prompt": "fog", "known": Replacement(), "given": {"picture": shown}}
        return np.stack(list(cascade.extend(None, folder=folder, **way, **how)))

    whole = made(picture)
    assert (made(picture, resume=True) == whole).all()
    with pytest.raises(ValueError, match="its video was begun with other settings: now given"):
        made(picture - 100, resume=True)
