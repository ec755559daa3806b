"""A whole system, very small: text encoder, cascade, recipe and films, all on disk as a user would have them."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from cascade.latent import BASE as LATENT
from cascade.latent import codec, random_network
from safetensors.torch import load_file, save_file

from zoetrope.__main__ import main
from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.codecs import save_codec
from zoetrope.data.folder import Folder
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.models.folder import write_model
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.text.t5 import T5
from zoetrope.training.spec import Phase, Recipe, TrainSpec
from zoetrope.video import Video

BASE = VideoShape(frames=4, height=8, width=8, fps=2)
TSR = VideoShape(frames=8, height=8, width=8, fps=4)
SSR = VideoShape(frames=8, height=16, width=16, fps=4)
WORDS = ["a red ball rolls left", "a blue square rises slowly", "fog"]


class Done(NamedTuple):
    """A finished command."""

    code: int
    out: str
    err: str


Cli = Callable[..., Done]


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> T5:
    """A T5 of 16 features with random weights and a vocabulary from a few sentences."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    folder = tmp_path_factory.mktemp("t5")
    words = Tokenizer(models.Unigram())
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    names = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=60, special_tokens=names, unk_token="<unk>", show_progress=False)
    words.train_from_iterator(WORDS * 20, trainer)
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    T5EncoderModel(
        T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu")
    ).save_pretrained(folder)
    return T5(model=str(folder), width=16, limit=32)


def network(low_res: bool) -> VideoUNetConfig:
    """A few thousand weights."""
    level = Level(width=8, text_attention=True, temporal="convolution")
    return VideoUNetConfig(low_res=low_res, text_width=16, embedding=16, head=8, levels=(level,))


@pytest.fixture(scope="session")
def spec(encoder: T5) -> CascadeSpec:
    """Base, temporal and spatial super-resolution."""
    guided = SamplingSpec(steps=3, guidance=1.0)
    plain = SamplingSpec(steps=2)
    of_base, of_tsr = (usual_inputs(shape, logsnr=math.log(3.0)) for shape in (BASE, TSR))
    return CascadeSpec(
        name="tiny",
        text=encoder,
        stages=(
            StageSpec(name="base", shape=BASE, network=network(False), sampling=guided),
            StageSpec(
                name="tsr1",
                shape=TSR,
                inputs=of_base,
                network=network(True),
                sampling=plain,
            ),
            StageSpec(
                name="ssr1",
                shape=SSR,
                inputs=of_tsr,
                network=network(True),
                sampling=plain,
            ),
        ),
    )


@pytest.fixture(scope="session")
def model(spec: CascadeSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cascade with random weights in a folder. Tests that damage it copy it first."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    networks = {stage.name: stage.network.build() for stage in spec.stages}
    for built in networks.values():
        for weight in built.parameters():  # fresh networks give zeros, whatever they are asked for
            torch.nn.init.normal_(weight, std=0.3)
    write_model(folder, spec, networks, "# tiny\n\nFor tests.\n")
    return folder


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three captioned films of three seconds."""
    folder = tmp_path_factory.mktemp("films")
    for number, text in enumerate(WORDS):
        frames = np.zeros((12, 16, 24, 3), np.uint8)
        for k in range(12):
            frames[k, 4:10, k : k + 6, number] = 250
        Video(frames, 4).save(folder / f"film{number}.mp4")
        (folder / f"film{number}.txt").write_text(text)
    return folder


@pytest.fixture(scope="session")
def recipe(spec: CascadeSpec, films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe.json that trains base and tsr1 on the films for 320 examples, 80 steps."""
    plan = TrainSpec(
        data=Folder(path=str(films)),
        phases=(Phase(examples=160, batch=4, frames=1), Phase(examples=160, batch=4, images=0.25)),
        warm_up=16,
        checkpoint_every=32,
        sample_every=0,
        log_every=16,
        precision="fp32",
    )
    clips = plan.with_(phases=(Phase(examples=320, batch=4),))
    made = Recipe(name="tiny", cascade=spec, training={"base": plan, "tsr1": clips})
    path = tmp_path_factory.mktemp("recipes") / "recipe.json"
    path.write_text(json.dumps(made.to_json()))
    return path


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run the command line in this process, in an empty folder: cli("generate", "fog", ...)."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path) -> Done:
        capfd.readouterr()
        code = main([str(word) for word in words])
        return Done(code, *capfd.readouterr())

    return run


def start(*words: str | Path, at: Path) -> subprocess.Popen[str]:
    """Begin a command in a process of its own, as a user would, in the folder `at`."""
    return subprocess.Popen(
        [sys.executable, "-m", "zoetrope", *map(str, words)],
        cwd=at,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible if os.name == "posix" else None,
    )


def interruptible() -> None:
    """Undo what a shell does to background jobs, should the tests be one: they and their children ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def latent(encoder: T5, tmp_path: Path) -> Path:
    """A model of latents, with a codec and a text encoder of its own beside it."""
    text = encoder.with_(model=str(shutil.copytree(encoder.model, tmp_path / "t5")))
    stage = LATENT.with_(network=LATENT.network.with_(text_width=text.width))
    spec = CascadeSpec(name="latent", text=text, stages=(stage,))
    write_model(tmp_path / "latent", spec, {"base": random_network(stage)}, "# x", codec=codec())
    return tmp_path / "latent"


def other_codec(folder: Path) -> None:
    """Put another codec into a model's folder."""
    save_codec(codec(seed=3), folder / "codec", over=True)


def other_encoder(folder: Path) -> None:
    """Change the weights of the text encoder beside the folder of `latent`."""
    file = folder.parent / "t5/model.safetensors"
    save_file({name: value + 0.1 for name, value in load_file(file).items()}, file, {"format": "pt"})


def other_noise(folder: Path) -> None:
    """Change the scheme of noise of the model in a folder."""
    file = folder / "cascade.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "noise": "mersenne"}))
