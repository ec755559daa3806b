"""Codecs and stages of latents trained by two processes: as by one, and gone on with bit for bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from cascade.latent import recipe as latent_recipe
from torch import Tensor

from zoetrope.codecs import identity, load_codec
from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.training.codecs import write_codec
from zoetrope.training.known.prefix import Prefix
from zoetrope.training.loop import Run
from zoetrope.training.pieces import Stored
from zoetrope.training.spec import Recipe

from .test_codecs import recipe as codec_recipe
from .test_parallel import entry, losses, together

CPU = torch.device("cpu")
# Uneven shares: batches of five for two processes, and at the end one of a single example.
COMMON: dict[str, Any] = {"checkpoint_every": 10, "log_every": 5, "accumulate": 2}
PHASES = [{"examples": 11, "batch": 5, "peak": 1e-3}]
KINDS = ("replicated", "sharded")


def contents(run: Path) -> dict[str, Tensor]:
    """All tensors of the newest checkpoint, whole."""
    newest = find_checkpoints(run / "checkpoints")[-1]
    assert newest.name == "000000011"
    stored = {path.stem: Stored(newest, path.stem) for path in newest.iterdir() if path.suffix != ".json"}
    return {f"{part}.{name}": one.read(name) for part, one in stored.items() for name in one.names()}


def codec(parallel: str, **fields: Any) -> Recipe:
    """That of a codec, with a critic from its sixth example on."""
    made = codec_recipe(**COMMON | fields)
    json = made.to_json()
    json["cascade"]["stages"][0]["name"] = "base"
    json["training"] = {"base": {**json["training"]["clips"], "phases": PHASES, "parallel": {"type": parallel}}}
    json["training"]["base"]["objective"]["warm_up"] = 5
    return Recipe.from_json(json)


def latents(folder: Path, parallel: str) -> Recipe:
    """That of a stage of latents, some of whose frames are known."""
    made = latent_recipe(folder / "codec")
    spec = made.train_spec("base").with_(**COMMON, known=Prefix(), sample_every=0)
    told = {"base.training.phases": PHASES, "base.training.parallel": {"type": parallel}}
    known = {"base.sampling.known": {"type": "learnt"}}
    return made.with_(training={"base": spec}).overridden(told | known)


@pytest.mark.long
def test_two_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after another in one launch, for that is what takes the time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zoetrope.training.codecs.MEASURED", 4)
    torch.set_num_threads(1)
    recipes = {"codec-replicated": codec("replicated")}
    for kind in KINDS:
        recipes |= {f"plain-{kind}": codec(kind, critic=None), f"latents-{kind}": latents(tmp_path, kind)}
    killed = ("codec-replicated", "latents-replicated")
    plans = [entry(Path(name), recipe) for name, recipe in recipes.items()]
    plans += [entry(Path(f"{name}-again"), recipes[name], until) for name in killed for until in (5, 1000)]
    together(tmp_path, *plans)
    for run in ("plain", "latents"):
        for _ in Run(recipes[f"{run}-replicated"], "base", Path(f"{run}-alone"), CPU).train(tmp_path / "cache"):
            pass
        for kind in KINDS:
            assert losses(Path(f"{run}-{kind}")) == pytest.approx(losses(Path(f"{run}-alone")), rel=1e-4)
            ours, alone = contents(Path(f"{run}-{kind}")), contents(Path(f"{run}-alone"))
            assert ours.keys() == alone.keys()
            for name, value in ours.items():
                torch.testing.assert_close(value, alone[name], rtol=2e-3, atol=2e-3)
    for name in killed:
        whole, again = contents(Path(name)), contents(Path(f"{name}-again"))
        assert whole.keys() == again.keys() and whole
        assert [part for part, value in whole.items() if not torch.equal(value, again[part])] == []
    made = write_codec(recipes["codec-replicated"], "base", Path("codec-replicated"), CPU)
    assert made is not None and load_codec(made.folder).scale == pytest.approx(made.scale)
    assert identity(load_codec(Path("latents-replicated/codec"))) == identity(load_codec(tmp_path / "codec"))
    with pytest.raises(ValueError, match=r"base\.parallel: expected 'replicated' for an objective with a critic"):
        codec("sharded")
    assert any(name.startswith("critic") for name in contents(Path("codec-replicated")))
