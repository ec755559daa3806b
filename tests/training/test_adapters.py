"""Fine-tuning of a part of a network: frozen parameters, and low-rank adapters through peft."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from zoetrope.inputs.text import text_given
from zoetrope.models.cascade import Cascade
from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.models.opening import open_model
from zoetrope.models.weights import read_weights, write_weights
from zoetrope.networks import Network
from zoetrope.training.adapters import BASE, Lora, adapt, adapters, freeze, merged
from zoetrope.training.loop import Run
from zoetrope.training.spec import Phase, Recipe
from zoetrope.training.state import read_metrics
from zoetrope.training.trained import weights_of

Tiny = Callable[..., Recipe]
Trained = Callable[..., Run]
CPU = torch.device("cpu")


def shaken(recipe: Recipe) -> Network:
    """A network that answers with something: a fresh one gives zeros."""
    torch.manual_seed(7)
    network = recipe.cascade.stage("base").network.build()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def answer(network: Network) -> torch.Tensor:
    torch.manual_seed(8)
    text = text_given(torch.randn(2, 2, 8), torch.ones(2, 2, dtype=torch.bool))
    with torch.no_grad():
        return network(torch.randn(2, 3, 2, 4, 8), torch.tensor([-1.0, 2.0]), text)


def newest(run: Run) -> Path:
    return find_checkpoints(run.folder / "checkpoints")[-1]


def test_what_is_frozen_stays_and_the_rest_learns(tiny: Tiny, trained: Trained) -> None:
    patterns = ("*attention*", "text_*")
    recipe = tiny(freeze=patterns, optimizer="muon")
    run = trained(recipe, "run")
    start = Run(recipe, "base", run.folder.parent / "start", CPU).state.network.state_dict()
    end = run.state.network.state_dict()
    frozen = {name for name in start if "attention" in name or name.startswith("text_")}
    assert 0 < len(frozen) < len(start)
    assert all(torch.equal(start[name], end[name]) for name in frozen)
    assert sum(not torch.equal(start[name], end[name]) for name in start.keys() - frozen) > 5
    average = load_file(newest(run) / "average.safetensors")
    assert all(torch.equal(start[name], average[name]) for name in frozen)


def test_refusals(tiny: Tiny) -> None:
    pytest.importorskip("peft")
    recipe = tiny()
    network = recipe.cascade.stage("base").network.build()
    with pytest.raises(ValueError, match=r"freeze: no parameter .*spatial_atention.*; nearest: .*spatial_attention"):
        freeze(network, ["*spatial_atention*"])
    with pytest.raises(ValueError, match="freeze: every parameter of the network is frozen"):
        freeze(network, ["*"])
    with pytest.raises(ValueError, match=r"lora\.targets: no linear map matches '\*\.qvk'; nearest: .*query"):
        adapt(network, Lora(targets=("*.qvk",)))
    with pytest.raises(ValueError, match="rank: expected above 0"):
        recipe.override("base.training.lora", {"rank": 0})


def test_adapters_alone_learn_and_merged_weights_answer_alike(tiny: Tiny) -> None:
    pytest.importorskip("peft")
    recipe = tiny()
    network = shaken(recipe)
    before, plain = answer(network), {name: value.clone() for name, value in network.state_dict().items()}
    adapt(network, Lora(rank=2, alpha=3))
    torch.testing.assert_close(answer(network), before, rtol=0, atol=1e-6)  # their product is zero at first
    learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert learning == set(adapters(network)) and all("attention" in name for name in learning)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name in learning:
                parameter.add_(0.3 * torch.randn_like(parameter))
    weights = merged(network)
    assert weights.keys() == plain.keys()
    changed = {name for name in plain if not torch.equal(plain[name], weights[name])}
    assert len(changed) == len(learning) / 2
    whole = recipe.cascade.stage("base").network.build()
    whole.load_state_dict(weights)
    assert float((answer(network) - before).abs().max()) > 1e-3
    torch.testing.assert_close(answer(whole), answer(network), rtol=1e-4, atol=1e-5)


def test_a_run_with_adapters(tiny: Tiny, trained: Trained, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    start = tmp_path / "start.safetensors"
    base = shaken(tiny())
    write_weights(base, start, torch.float32)
    recipe = tiny(
        lora=Lora(rank=4, alpha=8, dropout=0.2, targets=("*attention.*", "*feed_forward.*")),
        phases=(Phase(examples=64, batch=8, peak=2e-2),),
        log_every=16,
        half_life=(4, 16),
        checkpoint_every=32,
    )
    whole = trained(recipe, "whole", init=start)
    losses = [line["loss"] for line in read_metrics(whole.folder / "metrics.jsonl")]
    assert losses[-1] < 0.9 * losses[0]

    kept, plain = load_file(whole.folder / BASE), dict(base.state_dict())
    for weights in (kept, {n.replace(".base_layer.", "."): v for n, v in whole.state.network.state_dict().items()}):
        assert all(torch.equal(weights[name], value) for name, value in plain.items())

    start.unlink()  # a run that goes on has all that it needs
    trained(recipe, "parts", until=16, init=tmp_path / "whole" / BASE)
    torch.manual_seed(99)
    parts = trained(recipe, "parts")
    for file in sorted(newest(whole).glob("*.safetensors")):
        assert file.read_bytes() == (newest(parts) / file.name).read_bytes(), file.name
    assert {file.stem for file in newest(whole).glob("adapter*")} == {
        "adapter", "adapter-average", "adapter-average-16",
    }  # fmt: skip
    assert all(".lora_" in name for name in load_file(newest(whole) / "adapter.safetensors"))

    found = open_model([whole.folder])
    found.check(found.spec.stages)
    network = found.spec.stage("base").network.build()
    read_weights(network, weights_of(whole.folder, "base"))
    torch.testing.assert_close(answer(network), answer(whole.state.average), rtol=1e-4, atol=1e-5)
    assert Cascade.of(found).generate("noise").frames.shape == (2, 4, 8, 3)


def test_without_peft_its_name_is_told() -> None:
    program = (
        "import sys; sys.modules['peft'] = None\n"
        "from zoetrope.recipes import load_recipe\n"
        "from zoetrope.training.adapters import Lora, adapt\n"
        "import torch\n"
        "with torch.device('meta'): network = load_recipe('mini').cascade.stage('tsr1').network.build()\n"
        "try: adapt(network, Lora())\n"
        "except ValueError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "lora: expected the package peft to be installed" in done.stdout and "pip install peft" in done.stdout, done
