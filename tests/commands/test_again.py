"""What made a file, in the file: `zoetrope show FILE`, and `--again FILE`."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.main import get_command

import zoetrope
from zoetrope.commands import application
from zoetrope.commands._provenance import UNRECORDED, RecordedCommand, _filled
from zoetrope.models.provenance import LONGEST, Provenance, of_input
from zoetrope.video import Video, read, read_tags

from .conftest import Cli, Done, other_codec, other_encoder, other_noise

QUICK = ["--until", "base", "--steps", "1"]


def refused(done: Done, *messages: str) -> None:
    """One line that says why."""
    assert done.code == 2 and done.err.count("error: ") == 1, done
    assert all(message in done.err for message in messages), done.err


def comment(path: str) -> Any:
    """The record of a file, by our own reader."""
    return json.loads(read_tags(path)["comment"])


def by_another_reader(path: str) -> Any:
    """The record of a file, by PyAV, Pillow or none: not by our code."""
    if path.endswith((".mp4", ".webm")):
        with av.open(path) as container:
            tags = {key.lower(): text for key, text in container.metadata.items()}
        return json.loads(tags["comment"])
    if path.endswith("/"):
        return json.loads(json.loads(Path(path, "frame.tags.json").read_text())["comment"])
    if path.endswith(".gif"):
        with Image.open(path) as film:
            return json.loads(json.loads(film.info["comment"])["comment"])
    with Image.open(path) as picture:
        return json.loads(str(picture.info["comment"]))


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video with options of many sorts, the second of two."""
    from zoetrope.__main__ import main

    file = tmp_path_factory.mktemp("made") / "v.mp4"
    words = ["a red ball", "fog", "--count", "2", "--seed", "5", "--guidance", "1.5", "--negative", "a ball"]
    words += ["--size", "8x8", "--size", "8x16", "--set", "base.sampling.threshold=0.9", "--dtype", "fp32", *QUICK]
    assert main(["generate", *words, "--model", str(model), "-o", str(file), "-q"]) == 0
    return file.with_name("v-8x16-004.mp4")


def test_the_record_says_all_that_made_a_file(made: Path, model: Path, cli: Cli) -> None:
    told = by_another_reader(str(made))
    weights = model / "base" / "model.safetensors"
    assert (told["format"], told["zoetrope"], told["command"]) == (1, zoetrope.__version__, "generate")
    assert (told["prompt"], told["negative"], told["seed"], told["sample"]) == ("fog", "a ball", 5, 1)
    assert told["weights"]["base"]["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (told["torch"], told["dtype"], told["device"]) == (torch.__version__, "float32", "cpu")
    assert told["settings"]["base"]["shape"] == "4x8x16@2fps" and told["settings"]["base"]["steps"] == 1
    assert told["options"] == {
        "model": [str(model)], "until": "base", "steps": 1, "guidance": 1.5, "negative": "a ball", "size": ["8x16"],
        "set": ["base.sampling.threshold=0.9"],
    }  # fmt: skip
    assert told["inputs"] == {}


def test_show(made: Path, cli: Cli) -> None:
    done = cli("show", made)
    assert done.code == 0
    for line in ("prompt: fog", "negative: a ball", "seed 5, sample 1", f"again: zoetrope generate --again {made}"):
        assert line in done.out.splitlines()
    assert comment(str(made))["weights"]["base"]["sha256"] in done.out
    value = json.loads(cli("show", made, "--json").out)
    assert value["record"] == comment(str(made)) and value["tags"] == read_tags(made)


def test_again_makes_the_same_file(made: Path, cli: Cli) -> None:
    done = cli("generate", "--again", made, "-o", "b.mp4", "--json")
    assert done.code == 0 and [file["path"] for file in json.loads(done.out)["files"]] == ["b.mp4"]
    assert Path("b.mp4").read_bytes() == made.read_bytes()
    assert cli("generate", "--again", "b.mp4", "-o", "c/").code == 0
    shutil.rmtree("c/frame.tags.json", ignore_errors=True)
    assert cli("generate", "--again", "c/", "-o", "d/").code == 0
    frames = read("c/").frames
    assert frames.shape == (4, 8, 16, 3) and np.array_equal(frames, read("d/").frames)
    assert "again, with model" in done.err


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif", "a.png", "a/"])
def test_the_record_survives_in_every_format(cli: Cli, model: Path, name: str) -> None:
    """Texts of any letters, and the same frames again."""
    one = ["--frames", "1"] if name.endswith(".png") else []
    text = 'a "red" star — 犬 \\ \N{BALLOON}'
    assert cli("generate", text, "--model", model, *QUICK, *one, "-o", name).code == 0
    told = by_another_reader(name)
    assert told["prompt"] == text and told == comment(name)
    again = f"b{name[1:]}"
    assert cli("generate", "--again", name, "-o", again).code == 0
    assert np.array_equal(read(name, fps=2).frames, read(again, fps=2).frames)
    assert by_another_reader(again) == told


def test_other_weights(cli: Cli, model: Path) -> None:
    shutil.copytree(model, "own")
    assert cli("generate", "fog", "--model", "own", *QUICK, "-o", "a.gif").code == 0
    file = Path("own/base/model.safetensors")
    tensors = load_file(file)
    name = max(tensors, key=lambda key: tensors[key].numel())
    tensors[name] = tensors[name] * 2
    save_file(tensors, file)
    refused(cli("generate", "--again", "a.gif", "-o", "b.gif"), "a.gif: the weights of stage 'base' had sha256")
    assert not Path("b.gif").exists()
    done = cli("generate", "--again", "a.gif", "-o", "b.gif", "--accept-changes")
    assert done.code == 0 and "warning: a.gif: the weights of stage 'base'" in done.err
    assert not np.array_equal(read("a.gif").frames, read("b.gif").frames)
    assert cli("generate", "--again", "a.gif", "-o", "c.gif", "--model", model).code == 0
    assert np.array_equal(read("a.gif").frames, read("c.gif").frames)
    shutil.rmtree("own")
    refused(cli("generate", "--again", "a.gif"), "a.gif: names model 'own', which is not here; --model")


def test_another_description(cli: Cli, model: Path) -> None:
    shutil.copytree(model, "own")
    assert cli("generate", "fog", "--model", "own", "--until", "base", "-o", "a.gif").code == 0
    file = Path("own/cascade.json")
    value = json.loads(file.read_text())
    value["stages"][0]["sampling"]["steps"] = 2
    file.write_text(json.dumps(value))
    refused(cli("generate", "--again", "a.gif"), "a.gif: stage 'base' had steps 3, and would have 2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_codec, "the codec is another one"),
        (other_encoder, "the text encoder is another one"),
        (other_noise, "the description of model 'latent' is another one"),
    ],
)
def test_what_is_beside_the_weights(cli: Cli, latent: Path, change: Callable[[Path], None], message: str) -> None:
    words = ["generate", "fog", "--model", latent, "--steps", "1", "-o", "a.gif"]
    assert cli(*words).code == 0
    before = Path("a.gif").read_bytes()
    assert cli(*words, "--resume").code == 0 and Path("a.gif").read_bytes() == before
    change(latent)
    refused(cli("generate", "--again", "a.gif", "-o", "b.gif"), f"a.gif: {message}")
    refused(cli(*words, "--resume"), "a.gif: expected the video of 'fog' with these settings")


def film(path: str, shade: int = 90, fps: float = 4) -> None:
    Video(np.full((8, 8, 8, 3), shade, np.uint8), fps).save(path)


def test_files_that_it_was_made_from(cli: Cli, model: Path) -> None:
    film("in.mp4")
    words = ["fog", "--from", "in.mp4", "--model", model, "--after", "tsr1"]
    assert cli("generate", *words, "-o", "a.gif").code == 0
    assert comment("a.gif")["inputs"] == {"from": hashlib.sha256(Path("in.mp4").read_bytes()).hexdigest()}
    done = cli("generate", "--again", "a.gif", "-o", "b.gif", "-q")
    assert done.code == 0 and "from in.mp4" in done.err  # named, although quiet
    assert Path("b.gif").read_bytes() == Path("a.gif").read_bytes()
    Path("in.mp4").rename("moved.mp4")
    refused(cli("generate", "--again", "a.gif"), "made with from 'in.mp4', which is not here")
    assert cli("generate", "--again", "a.gif", "--from", "moved.mp4", "-o", "c.gif").code == 0
    assert np.array_equal(read("a.gif").frames, read("c.gif").frames)
    film("in.mp4", 91)
    refused(cli("generate", "--again", "a.gif"), "a.gif: from is another file than it was made from")
    done = cli("generate", "--again", "a.gif", "-o", "d.gif", "--accept-changes")
    assert done.code == 0 and "warning: a.gif: from is another file" in done.err


def test_known_frames_and_a_folder_of_pictures(cli: Cli, model: Path) -> None:
    film("clip/", fps=2)
    Video(np.full((2, 8, 8, 3), 30, np.uint8), 2).save("part/")
    words = ["fog", "--known", "0=clip/frame_0000.png", "--known", "2:4=part/", "--known-method", "replacement"]
    done = cli("generate", *words, "--model", model, *QUICK, "-o", "a.gif")
    assert done.code == 0, done.err
    assert set(comment("a.gif")["inputs"]) == {"known 0", "known 2:4"}
    assert cli("generate", "--again", "a.gif", "-o", "b.gif").code == 0
    assert Path("b.gif").read_bytes() == Path("a.gif").read_bytes()
    before = of_input("part/")
    Video(np.zeros((1, 8, 8, 3), np.uint8), 2).save("other.png")
    shutil.copy("other.png", "part/frame_0001.png")
    assert of_input("part/") != before
    refused(cli("generate", "--again", "a.gif"), "known 2:4 is another file")


def test_upscale_and_extend(cli: Cli, model: Path) -> None:
    film("in.mp4")
    assert cli("upscale", "in.mp4", "--model", model, "--caption", "fog", "--no-compare", "-o", "big.webm").code == 0
    told = comment("big.webm")
    assert told["command"] == "upscale" and set(told["inputs"]) == {"source"}
    assert told["options"] == {"model": [str(model)], "source": "in.mp4", "caption": "fog", "compare": False}
    assert cli("upscale", "--again", "big.webm", "-o", "big2.webm").code == 0
    assert Path("big2.webm").read_bytes() == Path("big.webm").read_bytes()
    refused(cli("generate", "--again", "big.webm"), "was made by `zoetrope upscale`; `zoetrope upscale --again`")
    words = ["--seconds", "5", "--prompt", "fog", "--sample", "2", "--model", model, "--known-method", "replacement"]
    done = cli("extend", "in.mp4", *words, *QUICK, "-o", "long.gif")
    assert done.code == 0, done.err
    assert cli("extend", "--again", "long.gif", "-o", "long2.gif").code == 0
    assert Path("long2.gif").read_bytes() == Path("long.gif").read_bytes()


def test_the_prompt_left_out(cli: Cli, model: Path) -> None:
    words = ["--model", model, *QUICK, "--negative", "qwertz", "--no-prompt-in-file"]
    for name in ("a.mp4", "a.gif", "a.webm", "a/"):
        assert cli("generate", "zyxwvut", *words, "-o", name).code == 0
        for file in Path(name).iterdir() if name == "a/" else [Path(name)]:
            assert not any(text in file.read_bytes() for text in (b"zyxwvut", b"qwertz"))
        assert comment(name)["left_out"] == ["prompt", "negative"]
    assert "prompt: left out of the file" in cli("show", "a.gif").out
    refused(cli("generate", "--again", "a.gif"), "a.gif: its prompt was left out of it")
    refused(cli("generate", "zyxwvut", "--again", "a.gif"), "a.gif: its negative was left out of it")
    words = ["--again", "a.gif", "--negative", "qwertz", "--no-prompt-in-file", "-o", "b.gif"]
    assert cli("generate", "zyxwvut", *words).code == 0
    assert Path("b.gif").read_bytes() == Path("a.gif").read_bytes()
    refused(cli("generate", "fog", "zyxwvut", *words), "PROMPT: expected the one of a.gif, got 2")
    refused(cli("generate", "fog", "--resume", "--no-prompt-in-file", "-o", "c.gif"), "without --resume")
    long = ["zyxwvut", "--model", model, "--seconds", "3", "--known-method", "replacement", *QUICK]
    assert cli("generate", *long, "--no-prompt-in-file", "-o", "long.gif").code == 0
    assert b"zyxwvut" not in Path("long.gif").read_bytes()


def test_what_is_said_by_the_file_is_not_said_again(made: Path, cli: Cli) -> None:
    for option in (["--seed", "3"], ["--count", "2"], ["--steps", "2"], ["--prompts", "p.txt"], ["--size", "8x8"]):
        refused(cli("generate", "--again", made, *option), f"{option[0]}: expected without --again")
    refused(cli("generate", "fog", "--again", made), "PROMPT: expected without --again")
    assert cli("generate", "--again", made, "--set", "base.sampling.threshold=0.9", "-o", "c.mp4").code == 0
    refused(cli("generate", "--again", made, "--set", "base.sampling.threshold=0.8"), "had threshold 0.9, and would")
    refused(cli("generate", "fog", "--accept-changes"), "--accept-changes: expected with --again")


def test_a_file_of_a_stage_on_the_way(cli: Cli, model: Path) -> None:
    assert cli("generate", "fog", "--model", model, "--save-stages", "s", "-o", "a.gif").code == 0
    refused(cli("generate", "--again", "s/a-base.gif"), "is what a stage made on the way to a video")


def changed(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda record: record | fields


def option(**options: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda record: record | {"options": record["options"] | options}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: "{", "expected JSON"),
        (lambda record: [record], "expected a file that zoetrope wrote"),
        (lambda record: {"title": "mine"}, "expected a file that zoetrope wrote"),
        (lambda record: {"zoetrope": "0.0.1", "seed": 3}, "did not record all that made it"),
        (changed(format=2), "newer version"),
        (changed(format=True), "format: expected a whole number"),
        (changed(seed="3"), "seed: expected int"),
        (changed(seed=True), "seed: expected int"),
        (changed(sample=-1), "sample: expected"),
        (changed(prompt=["fog"]), "prompt: expected a text"),
        (changed(weights={"base": {"sha256": "1"}}), "weights.base"),
        (changed(inputs={"from": 3}), "inputs.from"),
        (changed(left_out=["all"]), "left_out"),
        (changed(command="train"), "was made by `zoetrope train`"),
        (changed(device="cuda:77"), "was made on device 'cuda:77', which is not here"),
        (changed(weights={}), "stage 'base' has weights in one of them alone"),
        (changed(settings={"base": {}}), "stage 'base' had shape None"),
        (changed(settings={}), "stage 'base' did not run, and would now"),
        (changed(cascade=""), "the description of model 'tiny' is another one"),
        (changed(text="other"), "the text encoder is another one"),
        (changed(dtype="float16"), "networks computed in float16, and would in"),
        (option(steps={"a": 1}), "options.steps"),
        (option(steps=[1]), "options: got 'steps'"),
        (option(model="mini"), "options: got 'model'"),
        (option(trust=["os"]), "options: got 'trust'"),
        (option(out="b.gif"), "options: got 'out'"),
        (option(**{"save-stages": "s"}), "options: got 'save-stages'"),
        (option(**{"no\x1b[31m": 1}), "options: got 'no\\x1b[31m'"),
        (option(steps="many"), "'--steps'"),
        (option(model=["owner/name"]), "names model 'owner/name', which is not here"),
        (option(model=["https://example.org/mini"]), "names model"),
        (option(set=["text.model=owner/name"]), "--set 'text.model=owner/name'; give every --set yourself"),
        (option(set=["base.sampling.steps=1", "base.inputs.picture.encoder.model=owner/name"]), "give every --set"),
        (option(set=["stages=[]"]), "give every --set yourself"),
        (option(set=["base.sampling.steps=2"]), "stage 'base' had "),
        (option(style="//server/share"), "names style '//server/share', which is not here"),
        (option(**{"from": "//server/share/a.mp4"}), "from '//server/share/a.mp4': expected a file on this machine"),
        (option(**{"from": "https://example.org/a.mp4"}), "expected a file on this machine"),
        (option(given=["picture=absent.png"]), "was made with given picture 'absent.png', which is not here"),
        (option(given=['picture="absent.png"']), "was made with given picture 'absent.png', which is not here"),
        (option(picture="absent.png"), "was made with picture 'absent.png', which is not here"),
        (option(known=["0=absent.png"]), "was made with known 0 'absent.png', which is not here"),
        (option(**{"from": "absent.mp4"}), "was made with from 'absent.mp4', which is not here"),
    ],
)
def test_records_of_other_people(cli: Cli, made: Path, change: Any, message: str) -> None:
    record = change(comment(str(made)))
    text = record if isinstance(record, str) else json.dumps(record)
    Video(np.zeros((2, 8, 8, 3), np.uint8), 2).save("x.gif", tags={"comment": text})
    refused(cli("generate", "--again", "x.gif"), message)
    assert sorted(path.name for path in Path().iterdir()) == ["x.gif"]
    shown = cli("show", "x.gif")
    assert shown.code == 0 and "\x1b" not in shown.out


@pytest.mark.parametrize("settings", [{"x": None}, {"x": []}, {"steps": None}])
def test_settings_of_any_form_are_compared(made: Path, settings: dict[str, Any]) -> None:
    told = Provenance.of("a.gif", read_tags(made))
    base = told.value["settings"]["base"]
    odd = Provenance("a.gif", {**told.value, "settings": {"base": base | settings}})
    assert odd.changes(told.value) and not told.changes(told.value)


def test_a_record_of_too_many_letters() -> None:
    with pytest.raises(ValueError, match="expected JSON of at most"):
        Provenance.of("a.gif", {"comment": json.dumps({"prompt": "x" * LONGEST})})


def test_a_file_from_elsewhere_that_it_names_is_compared_before_it_is_decoded(cli: Cli, made: Path) -> None:
    Path("secret").write_text("not a video")
    record = option(**{"from": "secret"})(comment(str(made)))
    Video(np.zeros((2, 8, 8, 3), np.uint8), 2).save("x.gif", tags={"comment": json.dumps(record)})
    done = cli("generate", "--again", "x.gif", "-q")
    refused(done, "of from no sha256 is told")
    assert done.err.index("from secret") < done.err.index("error:")


def test_no_record(cli: Cli) -> None:
    film("plain.mp4")
    refused(cli("show", "plain.mp4"), "plain.mp4: expected a file that says how it was made")
    refused(cli("generate", "--again", "plain.mp4"), "plain.mp4: expected a file that says how it was made")
    refused(cli("generate", "--again", "absent.mp4"), "absent.mp4")
    Video(np.zeros((2, 8, 8, 3), np.uint8), 2).save("t.gif", tags={"title": "mine\nx"})
    assert "title: mine\\nx" in cli("show", "t.gif").out.splitlines()


def test_every_option_that_names_a_file_is_known_as_one() -> None:
    """An option of a new file is hashed if its metavar ends as those of the others."""
    import typer

    from zoetrope.commands._provenance import FILES, UNRECORDED

    verbs = typer.main.get_command(application()).commands  # type: ignore[attr-defined]
    names = dict[str, set[str]]()
    for verb in ("generate", "extend", "upscale"):
        params = {str(param.name): str(param.metavar or "") for param in verbs[verb].params}
        names[verb] = {n for n, metavar in params.items() if metavar.rpartition("=")[2] in FILES} - UNRECORDED
    assert names["generate"] >= {"source", "known", "mask", "picture", "low_res"}
    assert names["extend"] == names["upscale"] == {"source"}


RECORDED = {
    "generate": ["a ball"],
    "extend": ["a.mp4", "--seconds", "1"],
    "upscale": ["a.mp4"],
    "edit": ["a.mp4", "a", "--caption", "b"],
}
COMMANDS = get_command(application()).commands  # type: ignore[attr-defined]
OPTIONS = [
    (verb, str(param.name))
    for verb in RECORDED
    for param in COMMANDS[verb].params
    if param.name not in UNRECORDED and param.param_type_name == "option"
]


@pytest.mark.parametrize(("verb", "name"), OPTIONS)
def test_every_option_of_a_record_is_filled_in_again(verb: str, name: str) -> None:
    command = COMMANDS[verb]
    param = next(param for param in command.params if param.name == name)
    told = "a=2" if "=" in str(param.metavar) else "2"
    value = [] if param.is_flag else [told] * param.nargs
    words = [*RECORDED[verb], (param.secondary_opts or param.opts)[0], *value]
    given = command.make_context(verb, words)
    assert given.params[name] != param.default
    own = {"seed": 0, "device": "cpu", "dtype": "float32", "model": "mini", "cascade": "", "weights": {}}
    made_by = RecordedCommand(given, False, False).told({"prompt": "a ball"}, {"settings": {}, **own})
    record = Provenance.of("a.mp4", {"comment": json.dumps(made_by)})
    again = command.make_context(verb, [], default_map=_filled(record, given))
    of_machine = {"device": "cpu", "dtype": "fp32", "model": again.params["model"]}
    assert again.params == {**given.params, **of_machine} and again.params[name] == given.params[name]
