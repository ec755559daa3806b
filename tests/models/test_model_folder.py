"""Models as folders: one replaces another whole or not at all."""

import json
import os
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub.utils._paths import filter_repo_objects
from safetensors.torch import save_file

from zoetrope import Cascade
from zoetrope.cascade.spec import CascadeSpec, Distilled, StageSpec
from zoetrope.inputs.picture import Picture
from zoetrope.inputs.text import Text
from zoetrope.models.finding import locate
from zoetrope.models.folder import read_spec, weights_file, write_model
from zoetrope.models.long import digest_of
from zoetrope.models.opening import open_model
from zoetrope.models.weights import read_network
from zoetrope.networks import Network
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.pictures import PictureEncoder
from zoetrope.pictures.clip import CLIPPictures
from zoetrope.pictures.hub_clip import HubCLIPPictures
from zoetrope.samplers import Sampler
from zoetrope.shapes import VideoShape
from zoetrope.text import TextEncoder
from zoetrope.text.clip import CLIPText
from zoetrope.text.t5 import T5


def spec(name: str) -> CascadeSpec:
    network = VideoUNetConfig(text_width=8, embedding=16, head=8, levels=(Level(width=8, text_attention=True),))
    shape = VideoShape(frames=2, height=4, width=4, fps=2)
    stage = StageSpec(name="base", shape=shape, network=network)
    return CascadeSpec(name=name, text=T5(width=8, limit=16), stages=(stage,))


def write(folder: Path, name: str) -> dict[str, Network]:
    described = spec(name)
    networks = {stage.name: stage.network.build() for stage in described.stages}
    write_model(folder, described, networks, f"# {name}\n")
    return networks


def test_a_model_replaces_another_whole(tmp_path: Path) -> None:
    write(tmp_path / "model", "old")
    for name in ("scores.json", "base/teacher.safetensors"):
        (tmp_path / "model" / name).write_text("of the old one")
    (tmp_path / ".model.old").mkdir()  # of a process that was killed while it removed the one before
    networks = write(tmp_path / "model", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert sorted(str(p.relative_to(tmp_path / "model")) for p in (tmp_path / "model").rglob("*.*")) == [
        "README.md", "base/model.safetensors", "cascade.json",
    ]  # fmt: skip
    described = read_spec(tmp_path / "model")
    assert described == spec("new")
    stored = read_network(described.stages[0], weights_file(tmp_path / "model", "base")).state_dict()
    for name, value in networks["base"].state_dict().items():
        assert torch.equal(stored[name], value.bfloat16().float())


def test_the_old_model_is_back_if_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "model", "old")
    replace = os.replace

    def refusing(source: Path, target: Path) -> None:
        if Path(source).name.startswith(".model."):
            raise PermissionError(13, "Permission denied", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refusing)
    with pytest.raises(PermissionError):
        write(tmp_path / "model", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert read_spec(tmp_path / "model").name == "old"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    write(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and read_spec(tmp_path / "real").name == "new"


def test_targets_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for here in (Path("."), Path(".."), Path("/")):
        with pytest.raises(ValueError, match="expected the name of a folder for the model"):
            write(here, "new")
    Path("file").write_text("mine")
    with pytest.raises(ValueError, match="got a file"):
        write(Path("file"), "new")
    Path("full").mkdir()
    Path("full/thesis.tex").touch()
    with pytest.raises(ValueError, match="got one with other files"):
        write(Path("full"), "new")
    write(Path("model"), "old")
    told = json.loads(Path("model/cascade.json").read_text())
    Path("model/cascade.json").write_text(json.dumps({**told, "trained_on": "./clips"}))  # no encoder of its own
    for other in (".git/HEAD", "clips/a.json", "notes.txt"):
        Path("model", other).parent.mkdir(exist_ok=True)
        Path("model", other).write_text("mine")
        with pytest.raises(ValueError, match=f"that also holds {other.partition('/')[0]}$"):
            write(Path("model"), "new")
        assert Path("model", other).read_text() == "mine" and read_spec(Path("model")).name == "old"
        shutil.rmtree(Path("model", other).parent) if "/" in other else Path("model", other).unlink()
    Path("model/cascade.json").write_text("{")  # damaged: which folders are its own is not known
    with pytest.raises(ValueError, match="that also holds base"):
        write(Path("model"), "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full", "model"]


def test_what_could_not_be_loaded_again_is_not_saved(tmp_path: Path) -> None:
    class Foreign(VideoUNetConfig):
        """A network that cannot be found by its name."""

    class ForeignText(T5):
        """The same for a text encoder."""

    known = spec("tiny")
    stage = known.stages[0]
    network = Foreign(**{name: getattr(stage.network, name) for name in VideoUNetConfig.model_fields})
    foreign = CascadeSpec(
        name="x", text=known.text, stages=(StageSpec(name="base", shape=stage.shape, network=network),)
    )
    cascade = Cascade(foreign, lambda stage: stage.network.build())
    assert cascade.generate(None, size=(8, 4)).frames.shape == (2, 8, 4, 3)
    message = (
        r"stages.base.network: expected a class that can be imported by its name, .*<locals>.Foreign; move it into"
    )
    with pytest.raises(ValueError, match=message):
        cascade.save_pretrained(tmp_path / "model")
    other = CascadeSpec(name="x", text=ForeignText(width=8, limit=16), stages=known.stages)
    with pytest.raises(ValueError, match="text: expected a class that can be imported"):
        write_model(tmp_path / "model", other, {"base": stage.network.build()}, "# x")
    assert list(tmp_path.iterdir()) == []


def test_every_sampler_and_grid_that_is_saved_is_loaded_again(tmp_path: Path) -> None:
    for number, name in enumerate(Sampler.names()):
        own = Cascade(spec("tiny"), lambda stage: stage.network.build()).tuned(sampler=name, fps=0.1, guidance=1 / 3)
        own.save_pretrained(tmp_path / str(number))
        assert Cascade.from_pretrained(tmp_path / str(number)).spec == own.spec


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Cascade(spec("tiny"), lambda stage: stage.network.build()).save_pretrained("~/model")
    assert Cascade.from_pretrained("~/model").spec == spec("tiny") and (tmp_path / "model").is_dir()
    with pytest.raises(ValueError, match="there is none of this name"):
        Cascade.from_pretrained("~nobody-of-this-name/model")


def with_encoders(folder: Path, text: TextEncoder, pictures: PictureEncoder) -> None:
    """Write a distilled model with its teacher, and with two encoders in its folder, which it names "./"."""
    network = VideoUNetConfig(
        text_width=8, picture_width=8, embedding=16, head=8, levels=(Level(width=8, text_attention=True),)
    )
    inputs = (Text(), Picture(encoder=pictures))
    shape = VideoShape(frames=2, height=4, width=4, fps=2)
    taught = StageSpec(name="base", shape=shape, network=network, inputs=inputs)
    student = taught.with_(distilled=Distilled(steps=None))
    described = CascadeSpec(name="own", text=text, stages=(student,), teachers=(taught,))
    built = {"base": network.build()}
    write_model(folder, described, built, "#", built)
    (folder / "cascade.json").write_text(json.dumps({"format": 4, **described.to_json()}))
    for name in ("text", "pictures"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(f'{{"of": "{name}"}}')
        save_file({name: torch.ones(1)}, folder / name / "model.safetensors")
    (folder / "text/merges.txt").write_text("a b")


@pytest.mark.parametrize(
    "other",
    [
        "base/notes.txt",
        "base/old/a.safetensors",
        "codec/a.json",
        "text/thesis.tex",
        "pictures/.git/a.json",
        "text/a.py",
    ],
)
def test_files_of_a_user_in_a_folder_of_a_model_are_not_removed(other: str, tmp_path: Path) -> None:
    own = tmp_path / "own"
    with_encoders(own, T5(model="./text", width=8), CLIPPictures(model="./pictures", width=8))
    (own / other).parent.mkdir(exist_ok=True)
    (own / other).write_text("mine")
    with pytest.raises(ValueError, match=f"that also holds {'/'.join(Path(other).parts[:2])}$"):
        write(own, "new")
    assert (own / other).read_text() == "mine" and read_spec(own).name == "own"


@pytest.mark.parametrize("text", [CLIPText, T5])
@pytest.mark.parametrize("pictures", [CLIPPictures, HubCLIPPictures])
def test_encoders_in_its_folder_come_along(
    text: type[CLIPText | T5], pictures: type[CLIPPictures | HubCLIPPictures], tmp_path: Path
) -> None:
    """Teachers have them too, a copy needs no original, and a model may be saved where it lies."""
    own = tmp_path / "own"
    with_encoders(own, text(model="./text", width=8), pictures(model="./pictures", width=8))
    files = sorted(path.relative_to(own) for path in own.rglob("*.*"))
    opened = open_model(own)
    known = digest_of(opened.spec, opened.spec.stages)
    for stage in (*opened.spec.stages, *opened.spec.teachers):
        assert stage.inputs[1].to_json()["encoder"]["model"] == str(own.resolve() / "pictures")
    Cascade.from_pretrained(own).save_pretrained(tmp_path / "copy")
    Cascade.from_pretrained(own).save_pretrained(own)
    moved = shutil.move(own, tmp_path / "moved")
    for place in (moved, tmp_path / "copy"):
        assert sorted(path.relative_to(place) for path in Path(place).rglob("*.*")) == files
        found = open_model(place).spec
        assert found.text is not None and found.text.to_json()["model"] == str(Path(place).resolve() / "text")
        assert (Path(place) / "text/merges.txt").read_text() == "a b"
        assert digest_of(found, found.stages) == known


def test_encoders_are_only_copied_from_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others stay where they are, named by their whole paths; links out of a model are not followed."""
    monkeypatch.chdir(tmp_path)
    with_encoders(tmp_path / "own", CLIPText(model="./text", width=8), CLIPPictures(model="./pictures", width=8))
    shutil.move("own/text", "elsewhere")
    opened = open_model("own")
    described = opened.spec.with_(text=CLIPText(model="./elsewhere", width=8))
    built = {"base": described.stages[0].network.build()}
    write_model(tmp_path / "new", described, built, "#", built)
    found = read_spec(tmp_path / "new").text
    assert found is not None and found.to_json()["model"] == str(tmp_path / "elsewhere")
    (tmp_path / "secret.json").write_text("{}")
    (tmp_path / "own/pictures/more.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(ValueError, match=r"more\.json: expected a file in .*own, got a link out of it"):
        write_model(tmp_path / "new", described, built, "#", built)


@pytest.mark.parametrize("name", ["text", "pictures"])
def test_links_out_of_an_encoder_are_not_followed(name: str, tmp_path: Path) -> None:
    """A model may come from anyone, and so do its encoders; links within it are fine."""
    own = tmp_path / "own"
    with_encoders(own, CLIPText(model="./text", width=8), CLIPPictures(model="./pictures", width=8))
    file = own / name / "model.safetensors"
    file.rename(own / "shared.safetensors")
    file.symlink_to("../shared.safetensors")
    assert read_spec(own).name == "own"
    (own / "shared.safetensors").rename(tmp_path / "secret.safetensors")
    file.unlink()
    file.symlink_to(tmp_path / "secret.safetensors")
    with pytest.raises(ValueError, match=r"model\.safetensors: expected a file in .*own, got a link out of it"):
        read_spec(own)


def test_encoders_come_from_the_hub_with_their_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_encoders(tmp_path / "hub", CLIPText(model="./text", width=8), CLIPPictures(model="./pictures", width=8))
    wanted = sorted(path.relative_to(tmp_path / "hub") for path in (tmp_path / "hub").rglob("*.*"))
    for name in ("model.fp16.safetensors", "model-00001-of-00002.safetensors", "spiece.model"):
        (tmp_path / "hub/text" / name).write_bytes(b"")
        wanted = sorted([*wanted, Path("text") / name])
    (tmp_path / "hub/base/pickle.bin").write_bytes(b"")

    def downloaded(name: str, *, allow_patterns: list[str]) -> str:
        files = [str(path.relative_to(tmp_path / "hub")) for path in (tmp_path / "hub").rglob("*.*")]
        for file in filter_repo_objects(files, allow_patterns=allow_patterns):
            (tmp_path / "cache" / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(tmp_path / "hub" / file, tmp_path / "cache" / file)
        return str(tmp_path / "cache")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", downloaded)
    found = locate("somebody/own")
    assert sorted(path.relative_to(found) for path in found.rglob("*.*")) == wanted


def test_a_model_shares_stages_with_one_that_ships(tmp_path: Path) -> None:
    """Its later stages are read from there; saved anew, it holds all of them."""
    own, source = tmp_path / "model", locate("mini_image")
    own.mkdir()
    told = json.loads((source / "cascade.json").read_text())
    described = {**told, "name": "own", "shares": {"ssr": "mini_image"}}
    (own / "cascade.json").write_text(json.dumps(described))
    shutil.copytree(source / "base", own / "base")
    model = open_model(own)
    model.check(model.spec.stages)
    assert {name: file.parent.parent for name, file in model.weights.items()} == {"base": own, "ssr": source}
    Cascade.of(model).save_pretrained(tmp_path / "whole")
    whole = open_model(tmp_path / "whole")
    assert all(file.is_relative_to(tmp_path / "whole") for file in whole.weights.values())
    assert (tmp_path / "whole/ssr/model.safetensors").read_bytes() == (source / "ssr/model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ({"ssr": "mini_imag"}, "shares stages with 'mini_imag': unknown model 'mini_imag'; did you mean 'mini_image'"),
        ({"ssr": 3}, "shares: expected the names of shipped models by stage"),
        (["ssr"], "shares: expected the names of shipped models by stage"),
        ({"ssr2": "mini_image"}, "shares: expected stages of the cascade, got 'ssr2'"),
    ],
)
def test_stages_are_shared_with_models_that_ship_alone(told: object, wrong: str, tmp_path: Path) -> None:
    described = json.loads((locate("mini_image") / "cascade.json").read_text())
    (tmp_path / "cascade.json").write_text(json.dumps({**described, "shares": told}))
    with pytest.raises(ValueError, match=wrong):
        open_model(tmp_path)
