"""Codecs on the command line: trained, killed and gone on with bitwise, and used by a model of latents."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from cascade.latent import BASE, network

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.codecs.autoencoder import Autoencoder
from zoetrope.data.latents import Latents
from zoetrope.data.toybox import Toybox
from zoetrope.models.weights import write_weights
from zoetrope.networks.mobilenet_v2 import MobileNetV2Config
from zoetrope.networks.patch_critic import PatchCriticConfig
from zoetrope.networks.reconstruction import ReconstructionConfig
from zoetrope.text.words import Words
from zoetrope.training.objectives.reconstruct import Reconstruct
from zoetrope.training.spec import Phase, Recipe, TrainSpec
from zoetrope.video import probe

from .conftest import Cli, start

CODEC = Autoencoder(f=2, channels=2, width=4, blocks=1)
RUNS = {"warm_up": 0, "precision": "fp32", "sample_every": 0, "log_every": 8, "checkpoint_every": 16}


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """A recipe.json of a tiny codec."""
    shape = BASE.made.with_(frames=1)
    stage = StageSpec(
        name="pictures",
        shape=shape,
        inputs=(),
        network=ReconstructionConfig(codec=CODEC),
        sampling=SamplingSpec(steps=1),
    )
    objective = Reconstruct(critic=PatchCriticConfig(width=4, depth=1), warm_up=64)
    phases = (Phase(examples=192, batch=4, peak=1e-3),)
    spec = TrainSpec(data=Toybox(scripts=3), phases=phases, objective=objective, **RUNS)
    made = Recipe(name="codec", cascade=CascadeSpec(name="codec", stages=(stage,)), training={"pictures": spec})
    (tmp_path / "codec.json").write_text(json.dumps(made.to_json()))
    return tmp_path / "codec.json"


def files(run: Path) -> dict[str, bytes]:
    """The files that two runs must have in common, bit for bit."""
    found = [*(run / "codec").iterdir(), *(run / "checkpoints/000000192").glob("*.safetensors")]
    return {str(path.relative_to(run)): path.read_bytes() for path in found}


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many threads as `start` gives: sums of more are rounded in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_codec_goes_on_bitwise_and_a_model_is_made_of_its_latents(
    cli: Cli, told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoetrope.training.codecs.MEASURED", 8)
    train = ("train", told, "--stage", "pictures", "--out")
    whole = cli(*train, "whole")
    assert whole.code == 0 and "dB, deviation" in whole.err + whole.out, whole.err
    child = start(*train, "killed", at=tmp_path)
    for _ in range(6000):
        if list((tmp_path / "killed/checkpoints").glob("0*")):
            break
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    begun = sorted(path.name for path in (tmp_path / "killed/checkpoints").glob("0*"))
    assert begun and "000000192" not in begun and not (tmp_path / "killed/codec").exists()
    early = cli("train", "mini", "--stage", "base", "--out", "none", "--codec", "killed")
    assert early.code == 2
    gone_on = cli("train", "--resume", "--stage", "pictures", "--out", "killed")
    assert gone_on.code == 0, gone_on.err
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert "critic.safetensors" in " ".join(files(tmp_path / "whole"))
    monkeypatch.setattr("zoetrope.training.codecs.MEASURED", 4)  # as data that have changed since
    again = cli("train", "--resume", "--stage", "pictures", "--out", "killed")  # finished: models have its scale
    assert again.code == 0 and files(tmp_path / "killed") == files(tmp_path / "whole")
    assert cli("plan", told, "--json").code == 0
    refused = cli("generate", "--model", "whole", "--out", "none.mp4")
    assert refused.code == 2 and "makes no videos" in refused.err

    stage = StageSpec(**{**dict(BASE), "network": network(2, False), "codec": CODEC})
    spec = TrainSpec(
        data=Latents(source=Toybox(scripts=3), codec="nowhere"), phases=(Phase(examples=16, batch=4),), **RUNS
    )
    cascade = CascadeSpec(name="ldm", text=Words(width=8, limit=16), stages=(stage,))
    recipe = Recipe(name="ldm", cascade=cascade, training={"base": spec})
    (tmp_path / "ldm.json").write_text(json.dumps(recipe.to_json()))
    assert cli("train", "ldm.json", "--stage", "base", "--out", "ldm", "--codec", "whole").code == 0
    assert cli("generate", "fog", "--model", "ldm", "--out", "fog.mp4").code == 0
    assert probe(tmp_path / "fog.mp4").width == 12


def test_a_perceptual_distance_needs_a_file_of_weights(
    cli: Cli, told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoetrope.training.codecs.MEASURED", 4)
    fields = ("shape.height=16", "shape.width=24", "training.phases.0.examples=8", "training.objective.critic=null")
    short = [word for field in fields for word in ("--set", f"pictures.{field}")]
    named = ("--set", 'pictures.training.objective.perceptual={"weights": "judge.safetensors"}')
    lost = cli("train", told, "--stage", "pictures", "--out", "run", *short, *named)
    assert lost.code == 2 and "expected the file of its weights" in lost.err and "perceptual=null" in lost.err
    torch.manual_seed(0)
    judge = MobileNetV2Config().build()
    write_weights(judge, tmp_path / "judge.safetensors", torch.float32)
    done = cli("train", told, "--stage", "pictures", "--out", "run", *short, *named)
    assert done.code == 0 and "without a perceptual distance" not in done.err, done.err
    kept = json.loads((tmp_path / "run/recipe.json").read_text())["training"]["pictures"]["objective"]
    assert kept["perceptual"]["weights"] == str(tmp_path / "judge.safetensors")
    longer = ("--set", "pictures.training.phases.0.examples=16")
    assert cli("train", "--resume", "--stage", "pictures", "--out", "run", *longer).code == 0
    without = cli("train", told, "--stage", "pictures", "--out", "two", *short)
    assert without.code == 0 and "learns without a perceptual distance" in without.err
