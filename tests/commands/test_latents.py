"""Models of latents on the command line: trained, resumed, planned, sampled, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cascade.latent import BASE, CODEC, SPEC, codec, random_network, recipe
from cascade.test_between import TSR1

from zoetrope.codecs import identity, latent_identity, load_codec, save_codec
from zoetrope.models.codecs import find_codec
from zoetrope.models.folder import write_model
from zoetrope.training.known.every import EveryNth
from zoetrope.training.spec import Phase, Recipe
from zoetrope.training.trained import averaged_weights
from zoetrope.video import probe, read, save_image

from .conftest import Cli


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe.json whose data name a codec that is not there."""
    folder = tmp_path_factory.mktemp("recipes")
    known = {"type": "mixture", "parts": [{"known": {"type": "prefix"}}, {"known": {"type": "none"}}]}
    changes = {"base.training.known": known, "base.sampling.known": {"type": "learnt", "without": "noised"}}
    made = recipe(folder / "codec").overridden(changes)
    shutil.rmtree(folder / "codec")
    (folder / "recipe.json").write_text(json.dumps(made.to_json()))
    return folder / "recipe.json"


def test_a_model_of_latents_is_trained_resumed_planned_and_sampled(cli: Cli, told: Path, tmp_path: Path) -> None:
    save_codec(codec(), tmp_path / "mine/codec")  # as the run of a codec has it
    train = ("train", told, "--stage", "base", "--out", "run")
    lost = cli(*train)
    assert lost.code == 2 and "codec.json: expected a file of a codec" in lost.err and "--codec" in lost.err
    none = cli(*train, "--codec", tmp_path / "nowhere")
    assert none.code == 2 and "expected a codec, or a model or run with one, got nothing of this name" in none.err
    assert not (tmp_path / "run").exists()
    assert cli(*train, "--codec", "mine", "--set", "base.training.phases.0.examples=16").code == 0
    assert identity(load_codec(tmp_path / "run/codec")) == identity(codec())
    longer = ("--set", "base.training.phases.0.examples=24")
    gone_on = cli("train", "--resume", "--stage", "base", "--out", "run", *longer)
    assert gone_on.code == 0, gone_on.err
    save_codec(codec(seed=3), tmp_path / "other")
    other = cli("train", "--resume", "--stage", "base", "--out", "run", "--codec", "other", *longer, "--accept-changes")
    assert other.code == 2 and "expected the codec that this run has learnt from so far" in other.err
    plan = cli("plan", told, "--json")
    assert plan.code == 0 and "2x8x12@3fps" in plan.out
    made = cli("generate", "fog", "--model", "run", "--out", "fog.mp4", "--seed", "2")
    assert made.code == 0, made.err
    info = probe(tmp_path / "fog.mp4")
    assert (info.frames, info.height, info.width, info.fps) == (2, 8, 12, 3)
    picture = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    save_image(tmp_path / "a.png", picture)
    guided = ("--known", "0=a.png", "--set", "base.sampling.known.history=0.5")
    known = cli("generate", "fog", "--model", "run", "--out", "a/", *guided)
    assert known.code == 0 and np.array_equal(read(tmp_path / "a", fps=3).frames[0], picture), known.err
    sized = cli("generate", "fog", "--model", "run", "--out", "wide.mp4", "--size", "8x16")
    assert sized.code == 0 and probe(tmp_path / "wide.mp4").width == 16
    odd = cli("generate", "fog", "--model", "run", "--out", "odd.mp4", "--size", "9x16")
    assert odd.code == 2 and "codec's factor 2, got 9" in odd.err
    assert cli("show", "run").code == 0


def test_codecs_that_are_no_use(cli: Cli, told: Path, tmp_path: Path) -> None:
    save_codec(codec(codec=CODEC.with_(f=4)), tmp_path / "four")
    done = cli("train", told, "--stage", "base", "--out", "run", "--codec", "four")
    assert done.code == 2 and "expected the codec of stage 'base'" in done.err and "'f': 4" in done.err
    for seed, name in enumerate(("one", "two")):
        save_codec(codec(seed), tmp_path / "both" / name / "codec")
        save_codec(codec(), tmp_path / "alike" / name / "codec")  # as the stages of a training keep it
    assert find_codec(tmp_path / "alike") == tmp_path / "alike/one/codec"
    save_codec(codec(), tmp_path / "alike/two/codec", over=True)
    save_codec(codec(seed=1), tmp_path / "alike/zoo/codec")
    with pytest.raises(ValueError, match=r"got several, .*alike/one/codec and .*alike/zoo/codec; name one"):
        find_codec(tmp_path / "alike")
    (tmp_path / "begun/autoencoder").mkdir(parents=True)
    (tmp_path / "begun/autoencoder/recipe.json").write_text("{}")
    for name in ("begun", "begun/autoencoder"):
        with pytest.raises(ValueError, match="the training of a codec writes it at its end"):
            find_codec(tmp_path / name)
    both = cli("train", told, "--stage", "base", "--out", "run", "--codec", "both")
    assert both.code == 2 and "expected the folder of one codec, got several" in both.err
    needless = cli("train", "mini", "--stage", "base", "--out", "run", "--codec", "four")
    assert needless.code == 2 and "--codec: expected none, for no stage of the recipe makes latents" in needless.err


def test_latents_are_encoded_and_trained_on(cli: Cli, told: Path, films: Path, tmp_path: Path) -> None:
    save_codec(codec(), tmp_path / "mine/codec")
    done = cli("data", "encode", films, "--codec", "mine", "--recipe", told, "--out", "latents", "--json")
    assert done.code == 0 and json.loads(done.out)["clips"] == 3, done.err
    assert cli("train", told, "--stage", "base", "--out", "run", "--data", "latents").code == 0
    assert identity(load_codec(tmp_path / "run/codec")) == identity(codec())
    both = cli("train", told, "--stage", "base", "--out", "two", "--data", "latents", "--codec", "mine")
    assert both.code == 2 and "latents on disk lie beside their codec" in both.err
    for words, message in (
        ((films, "--codec", "mine", "--out", "x"), "expected either --shape or --recipe"),
        ((films, "--codec", "mine", "--shape", "2x8x12@3"), "--out: expected a folder for the latents"),
        ((films, "--out", "x", "--text", "minilm"), "--out: is for clips; name their --codec"),
        ((films, "--codec", "mine", "--text", "minilm"), "--text: captions and clips are encoded one after the other"),
        (("toybox", "--codec", "mine", "--shape", "2x8x12@3", "--out", "x"), "--count: expected how many clips"),
    ):
        refused = cli("data", "encode", *words)
        assert refused.code == 2 and message in refused.err


def test_a_decoder_of_videos_takes_the_place_of_that_of_pictures(cli: Cli, told: Path, tmp_path: Path) -> None:
    """What the recipe does not say of the codec that is named, but for the grid of its latents."""
    own = CODEC.with_(temporal=True, width=8)
    save_codec(codec(codec=own), tmp_path / "mine")
    done = cli("train", told, "--stage", "base", "--out", "run", "--codec", "mine")
    assert done.code == 0, done.err
    made = json.loads((tmp_path / "run/recipe.json").read_text())
    assert made["cascade"]["stages"][0]["codec"] == own.to_json()
    assert cli("generate", "fog", "--model", "run", "--out", "fog.mp4").code == 0
    on = cli("train", "--resume", "--stage", "base", "--out", "run", "--set", "base.training.phases.0.examples=24")
    assert on.code == 0, on.err
    encoded = cli("data", "encode", "toybox", "--count", "3", "--codec", "mine", "--shape", "2x8x12@3", "--out", "kept")
    assert encoded.code == 0, encoded.err
    assert cli("train", told, "--stage", "base", "--out", "two", "--data", "kept").code == 0
    stated = cli("train", told, "--stage", "base", "--out", "no", "--codec", "mine", "--set", "base.codec.width=16")
    assert stated.code == 2 and "expected the codec of stage 'base'" in stated.err


def test_a_codec_that_is_named_on_resuming_is_found_from_any_folder(
    cli: Cli, told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_codec(codec(), tmp_path / "mine")
    save_codec(codec(), tmp_path / "same")
    train = ("train", "--stage", "base", "--out", tmp_path / "run")
    assert cli(*train, told, "--codec", "mine").code == 0
    again = cli(*train, "--resume", "--codec", "same")
    assert again.code == 0 and "decoder" not in again.err, again.err
    own, other = codec(), codec(seed=3)
    other.load_state_dict({name: x for name, x in own.state_dict().items() if name[:7] != "decoder"}, strict=False)
    save_codec(other, tmp_path / "another")
    replaced = cli(*train, "--resume", "--codec", "another")
    assert replaced.code == 0 and f"run/codec: from now on has the decoder of {tmp_path / 'another'}" in replaced.err
    monkeypatch.chdir("/")
    on = cli(*train, "--resume", "--set", "base.training.phases.0.examples=28")
    assert on.code == 0 and "training.data.codec" not in on.err, on.err


def test_stages_that_are_trained_together_have_one_codec(cli: Cli, tmp_path: Path) -> None:
    data = json.loads(two_stages(tmp_path).read_text())["training"]["base"]["data"]
    save_codec(codec(seed=3), tmp_path / "other")
    own, other = codec(), codec(seed=4)
    other.load_state_dict({name: x for name, x in own.state_dict().items() if name[:7] != "decoder"}, strict=False)
    save_codec(other, tmp_path / "decoder")
    mixed = ("--set", f"tsr1.training.data={json.dumps(data | {'codec': str(tmp_path / 'other')})}")
    refused = cli("train", "both.json", "--out", "all", *mixed)
    message = "expected for stage 'tsr1' the codec of the other stages' latents, "
    assert refused.code == 2 and f"{message}{tmp_path / 'own'};" in refused.err and not (tmp_path / "all").exists()
    assert cli("train", "both.json", "--out", "all", "--stages", "base").code == 0
    for words in (("--stages", "tsr1"), ("--stages", "base,tsr1")):
        later = cli("train", "both.json", "--out", "all", "--resume", "--codec", "other", *words)
        assert later.code == 2 and ("all/base/codec" in later.err) and not (tmp_path / "all/tsr1").exists(), later.err
    done = cli("train", "--out", "all", "--resume", "--codec", "decoder", "--stages", "base,tsr1")
    assert done.code == 0 and "stays without it, unless --out all/base names it alone" in done.err, done.err
    assert identity(load_codec(tmp_path / "all/base/codec")) == identity(own)
    assert identity(load_codec(tmp_path / "all/tsr1/codec")) == identity(other)
    assert cli("generate", "fog", "--model", "all", "--out", "a.mp4").code == 2
    assert cli("generate", "fog", "--model", "all", "--model", "decoder", "--out", "a.mp4").code == 0
    assert cli("generate", "--again", "a.mp4", "--out", "b.mp4").code == 0
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


ROUND = json.dumps({"examples": 4, "batch": 4, "peak": 1e-3})
DISTIL = ("--steps", 1, "--start", 2, "--set", f"base.distillation.last={ROUND}", "--set", "base.training.warm_up=0")


@pytest.mark.parametrize("words", ["--recipe told", "--recipe told --data toybox", "--data toybox"])
def test_a_model_is_distilled_with_latents_of_its_own_codec(cli: Cli, told: Path, tmp_path: Path, words: str) -> None:
    """Whatever codec the recipe names, of which there may be nothing left."""
    own = codec(seed=3, codec=CODEC.with_(temporal=True))
    cascade = SPEC.with_(stages=(BASE.with_(codec=own.codec),))
    write_model(tmp_path / "model", cascade, {"base": random_network(BASE)}, "", codec=own)
    options = [str(told) if word == "told" else word for word in words.split()]
    done = cli("distill", "model", "--stage", "base", "--out", "quick", *DISTIL, *options)
    assert done.code == 0, done.err
    assert identity(load_codec(tmp_path / "quick/steps-1/codec")) == identity(own)
    made = cli("generate", "fog", "--model", "model", "--model", "quick", "--out", "a.mp4")
    assert made.code == 0, made.err


def test_latents_of_another_codec_than_the_teachers_are_refused(cli: Cli, told: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(("own", "other")):
        save_codec(codec(seed), tmp_path / name)
        options = ("--codec", name, "--shape", "2x8x12@3", "--out", f"of_{name}")
        assert cli("data", "encode", "toybox", "--count", "4", *options).code == 0
    assert cli("train", told, "--stage", "base", "--out", "run", "--codec", "own").code == 0
    shutil.rmtree(tmp_path / "own")  # the run has a copy
    for words in (("--data", "of_other"), ("--set", "base.training.data.codec=other")):
        refused = cli("distill", "run", "--out", "no", *DISTIL, *words)
        assert refused.code == 2 and "expected latents of the teacher's codec" in refused.err, refused.err
        assert not (tmp_path / "no").exists()
    for number, more in enumerate(([], ["--data", "of_own"], ["--data", "toybox"])):
        done = cli("distill", "run", "--out", f"quick{number}", *DISTIL, *more)
        assert done.code == 0, done.err


def test_a_later_stage_of_a_folder_of_runs_is_distilled(cli: Cli, tmp_path: Path) -> None:
    file = two_stages(tmp_path)
    assert cli("train", file, "--out", "all").code == 0
    changes = [word.replace("base.", "tsr1.") if isinstance(word, str) else word for word in DISTIL]
    done = cli("distill", "all", "--stage", "tsr1", "--recipe", file, "--out", "quick", *changes)
    assert done.code == 0, done.err
    with pytest.raises(ValueError, match="unknown stage 'ssr1'"):
        averaged_weights(tmp_path / "all", SPEC.stages[1])


def two_stages(folder: Path) -> Path:
    """A recipe of two stages that make latents, of the codec in `own`."""
    made = recipe(folder / "own")
    phases = (Phase(examples=4, batch=4, peak=1e-3),)
    between = made.training["base"].with_(known=EveryNth(skips=(2,)), phases=phases)
    training = {"base": made.training["base"], "tsr1": between}
    both = Recipe(name="both", cascade=made.cascade.with_(stages=(BASE, TSR1)), training=training)
    (folder / "both.json").write_text(json.dumps(both.to_json()))
    return folder / "both.json"


def test_clips_are_encoded_on_by_a_codec_with_another_decoder(cli: Cli, tmp_path: Path) -> None:
    """The folder keeps its own, and says so."""
    own, other = codec(), codec(seed=3)
    save_codec(own, tmp_path / "own")
    other.load_state_dict({name: x for name, x in own.state_dict().items() if name[:7] != "decoder"}, strict=False)
    save_codec(other, tmp_path / "decoder")
    encode = ("data", "encode", "toybox", "--count", "3", "--shape", "2x8x12@3", "--out", "latents", "--codec")
    assert "keeps its own decoder" not in cli(*encode, "own").err
    about = json.loads((tmp_path / "latents/latents.json").read_text())
    for name in (latent_identity(own), identity(own)):  # as earlier versions name it
        (tmp_path / "latents/latents.json").write_text(json.dumps(about | {"codec": name}))
        done = cli(*encode, "decoder")
        assert done.code == 0 and "latents/codec: keeps its own decoder, not that of decoder" in done.err, done.err
    assert identity(load_codec(tmp_path / "latents/codec")) == identity(own)


def test_weights_of_another_codecs_latents_are_told(cli: Cli, told: Path, tmp_path: Path) -> None:
    own, other = codec(), codec(seed=3)
    save_codec(own, tmp_path / "own")
    save_codec(other, tmp_path / "other")
    other.load_state_dict({name: x for name, x in own.state_dict().items() if name[:7] != "decoder"}, strict=False)
    save_codec(other, tmp_path / "decoder")  # alone differs
    train = ("train", told, "--stage", "base", "--set", "base.training.phases.0.examples=4", "--codec")
    assert cli(*train, "own", "--out", "run").code == 0
    for name, differs in (("own", False), ("decoder", False), ("other", True)):
        done = cli(*train, name, "--init", "run", "--out", f"on_{name}")
        assert done.code == 0 and ("are of another codec's latents" in done.err) == differs, done.err
    assert f"--codec {tmp_path / 'run/codec'} names that codec" in done.err or "--codec run/codec names" in done.err
    file = next((tmp_path / "run/checkpoints").glob("*/average.safetensors"))
    done = cli(*train, "other", "--init", file, "--out", "on_file")
    assert done.code == 0 and f"--codec {tmp_path / 'run/codec'} names that codec" in done.err, done.err
    encode = ("data", "encode", "toybox", "--count", "4", "--codec", "other", "--shape", "2x8x12@3", "--out", "latents")
    assert cli(*encode).code == 0
    done = cli(*train[:-1], "--data", "latents", "--init", "run", "--out", "on_latents")
    assert done.code == 0 and "zoetrope data encode --codec run/codec makes latents of that codec" in done.err
    assert "--codec run/codec names" not in done.err


def test_what_is_left_of_a_training_that_learnt_nothing_makes_room(cli: Cli, told: Path, tmp_path: Path) -> None:
    """With another codec too; the codec of one that learnt stays what it is."""
    for name, seed in (("one", 0), ("two", 3)):
        save_codec(codec(seed=seed), tmp_path / name)
    train = ("train", told, "--stage", "base", "--out", "run")
    assert cli(*train, "--codec", "one").code == 0
    again = cli(*train, "--codec", "two")
    assert again.code == 2 and "run: already holds a run; go on with it by --resume" in again.err
    for made in ("metrics.jsonl", "checkpoints", "samples"):
        path = tmp_path / "run" / made
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    done = cli(*train, "--codec", "two")
    assert done.code == 0 and identity(load_codec(tmp_path / "run/codec")) == identity(codec(seed=3)), done.err


def test_data_of_latents_in_json_name_their_codec(cli: Cli, told: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 3)):
        save_codec(codec(seed=seed), tmp_path / name)
    data = json.dumps({"type": "latents", "source": {"type": "toybox", "scripts": 2}, "codec": str(tmp_path / "one")})
    for out, words, seed in (("a", (), 0), ("b", ("--codec", "two"), 3)):
        done = cli("train", told, "--stage", "base", "--out", out, "--data", data, *words)
        assert done.code == 0 and identity(load_codec(tmp_path / out / "codec")) == identity(codec(seed=seed)), done.err
        learnt = json.loads((tmp_path / out / "recipe.json").read_text())["training"]["base"]["data"]
        assert learnt["source"] | {"type": "toybox", "scripts": 2} == learnt["source"]
