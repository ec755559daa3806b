"""Checkpoints of before query was apart from key and value are gone on with, bit for bit."""

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoetrope.models.weights import read_weights, write_weights
from zoetrope.networks import Network
from zoetrope.training.adapters import Lora, adapt, formerly, freeze
from zoetrope.training.checkpoints import find_checkpoints
from zoetrope.training.loop import Run
from zoetrope.training.pieces import Piece, Stored, write_pieces
from zoetrope.training.spec import Phase, Recipe

Tiny = Callable[..., Recipe]
Trained = Callable[..., Run]
CPU = torch.device("cpu")


def older(tensors: dict[str, Tensor], network: Network) -> dict[str, Tensor]:
    """Tensors by name, after "" or a prefix of what an optimizer remembers, as they were when the matrix was one."""
    known, found = formerly(network), dict(tensors)
    for name, former in known.items():
        for key in [key for key in found if key == name or key.endswith(f".{name}")]:
            value, old = found.pop(key), key.removesuffix(name) + former.name
            if value.ndim == 0 or ".lora_A." in key or old not in found:
                found[old] = value
            else:  # queries come first in `formerly`
                found[old] = torch.cat([found[old], value])
    assert found.keys() != tensors.keys() and any("qkv" in name for name in found)
    return found


def make_older(run: Run) -> None:
    """Rewrite a run's newest checkpoint as an older version would have written it."""
    folder = find_checkpoints(run.folder / "checkpoints")[-1]
    for file in folder.glob("*.safetensors"):
        if file.stem != "errors":
            save_file(older(load_file(file), run.state.network), file)
    position = json.loads((folder / "state.json").read_text())
    position.pop("files", None)  # whose checksums are of what was there
    (folder / "state.json").write_text(json.dumps(position))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_what_optimizers_remember_is_divided_too(tiny: Tiny, trained: Trained, optimizer: str) -> None:
    recipe = tiny(optimizer=optimizer, half_life=(20, 9))
    run = trained(recipe, "run", until=16)
    with_it = Run(recipe, "base", run.folder, CPU).state.parts()
    make_older(run)
    again = Run(recipe, "base", run.folder, CPU).state.parts()
    assert with_it.keys() == again.keys()
    for part, tensors in with_it.items():
        assert tensors.keys() == again[part].keys()
        assert all(torch.equal(value, again[part][name]) for name, value in tensors.items()), part
    kinds = {name.partition(".")[0] for name in again["optimizer"] if ".query." in name}
    assert kinds == ({"momentum"} if optimizer == "muon" else {"exp_avg", "exp_avg_sq", "step"})
    trained(recipe, "run")


def test_adapters_of_the_one_matrix_become_adapters_of_both(tiny: Tiny, trained: Trained, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    lora = Lora(rank=2, targets=("*.qkv",))
    recipe = tiny(lora=lora, phases=(Phase(examples=24, batch=4, peak=1e-2),))
    run = trained(recipe, "run", until=16)
    # Adapters of one matrix share what goes in.
    network = run.state.network
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if ".query.lora_A." in name:
                network.get_parameter(name.replace("query", "key_value")).copy_(weight)
    folder = find_checkpoints(run.folder / "checkpoints")[-1]
    adapter = {name: value.clone() for name, value in network.state_dict().items() if ".lora_" in name}
    save_file(adapter, folder / "adapter.safetensors")
    make_older(run)
    assert {name.rpartition(".lora_")[0].rpartition(".")[2] for name in load_file(folder / "adapter.safetensors")} == {
        "qkv"
    }
    again = Run(recipe, "base", run.folder, CPU).state.network.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in adapter.items())


def test_patterns_may_name_the_one_matrix(tiny: Tiny) -> None:
    network = tiny().cascade.stage("base").network.build()
    freeze(network, ["*qkv*"])
    frozen = {name for name, weight in network.named_parameters() if not weight.requires_grad}
    assert frozen == {
        f"down.0.0.{way}_attention.{part}.weight" for way in ("spatial", "temporal") for part in ("query", "key_value")
    }
    with pytest.raises(ValueError, match=r"lora\.targets: no linear map matches '\*\.qvk'"):
        pytest.importorskip("peft")
        adapt(network, Lora(targets=("*.qvk",)))


@pytest.mark.parametrize("cuts", [(5,), (16,), (20, 40), ()])
def test_pieces_of_the_one_matrix_become_pieces_of_both(tiny: Tiny, tmp_path: Path, cuts: tuple[int, ...]) -> None:
    """Several processes wrote it, of whose rows each had some."""
    network = tiny().cascade.stage("base").network.build()
    tensors = dict(network.state_dict())
    once = older(tensors, network)
    (tmp_path / "model").mkdir()
    for rank, (start, stop) in enumerate(pairwise((0, *cuts, 1000))):
        own = {
            name: Piece(value[start:stop].contiguous(), (start, *[0] * (value.ndim - 1)))
            for name, value in once.items()
            if len(value) > start
        }
        write_pieces(own, tmp_path / "model" / f"{rank}.safetensors")
    stored = Stored(tmp_path, "model", network.formerly())
    assert stored.names() == tensors.keys()
    for name, value in tensors.items():
        assert stored.shape(name) == value.shape
        filled = torch.zeros_like(value)
        stored.fill(name, filled)
        assert torch.equal(filled, value) and torch.equal(stored.read(name), value), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
def test_weights_of_older_models_are_read(tiny: Tiny, tmp_path: Path, dtype: torch.dtype) -> None:
    network = tiny().cascade.stage("base").network.build()
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn_like(weight))
    path = tmp_path / "model.safetensors"
    write_weights(network, path, dtype)
    whole = network.state_dict()
    read_weights(network, path)
    today = {name: value.clone() for name, value in whole.items()}
    stored = load_file(path)
    for name, former in network.formerly().items():
        for part in ("", ".scale"):
            if name + part in stored:
                value, old = stored.pop(name + part), former.name + part
                stored[old] = torch.cat([stored[old], value]) if old in stored else value
    save_file(stored, path)
    other = tiny().cascade.stage("base").network.bare()
    assert read_weights(other, path) == []
    assert all(torch.equal(value, today[name]) for name, value in other.state_dict().items())
    wrong = next(name for name in stored if "qkv" in name and not name.endswith(".scale"))
    stored[wrong] = stored[wrong][:40].contiguous()
    stored |= {name: value[:40].contiguous() for name, value in stored.items() if name == f"{wrong}.scale"}
    save_file(stored, path)
    with pytest.raises(ValueError, match=r"key_value.weight' has shape \(24, 16\), expected \(32, 16\)"):
        read_weights(other, path)


def test_what_is_in_eight_bits_is_refused(tiny: Tiny, trained: Trained) -> None:
    pytest.importorskip("bitsandbytes")
    recipe = tiny(optimizer="adamw8bit")
    run = trained(recipe, "run", until=16)
    make_older(run)
    with pytest.raises(ValueError, match="cannot be divided; begin a new run from its weights with --init"):
        Run(recipe, "base", run.folder, CPU)


def test_weights_of_images_begin_a_network_of_videos(
    tiny: Tiny, trained: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = tiny(init_missing="fresh", learn=("*temporal*",))
    levels: list[Any] = [x.to_json() | {"temporal": []} for x in video.cascade.stage("base").network.levels]  # type: ignore[attr-defined]
    image = video.override("base.network.levels", levels).cascade.stage("base").network.build()
    with torch.no_grad():
        for weight in image.parameters():  # a fresh network answers zero, from which nothing inside is learnt
            weight.add_(0.1 * torch.randn_like(weight))
    start = tmp_path / "image.safetensors"
    write_weights(image, start, torch.float32)
    with caplog.at_level("INFO"):
        run = trained(video, "run", init=start)
    assert "60 tensors taken from it, 7 begin fresh: down.0.0.temporal_attention.bias.weight" in caplog.text
    kept, learnt = image.state_dict(), run.state.network.state_dict()
    assert all(torch.equal(value, learnt[name]) for name, value in kept.items())
    assert learnt["down.0.0.temporal_attention.out.weight"].abs().max() > 0
    assert {n for n, p in run.state.network.named_parameters() if p.requires_grad} == learnt.keys() - kept.keys()
    refusing = video.override("base.training.init_missing", "refuse")
    with pytest.raises(ValueError, match=r"7 tensors are missing, first 'down.0.0.temporal_attention.bias.weight'"):
        trained(refusing, "other", init=start)
    shutil.copy(start, other := tmp_path / "more.safetensors")
    save_file({**load_file(start), "extra.weight": torch.zeros(2)}, other)
    with pytest.raises(ValueError, match=r"1 tensors are unexpected, first 'extra.weight'"):
        trained(video, "other", init=other)
    with pytest.raises(ValueError, match="learn: no parameter matches"):
        trained(tiny(learn=("*tempral*",)), "none")
    with pytest.raises(ValueError, match="learn: with lora all but the adapters is frozen"):
        tiny(learn=("*temporal*",), lora=Lora())
