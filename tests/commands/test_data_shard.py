"""`zoetrope data shard` and `encode`: from a folder of films to a training on shards with features beside them."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from zoetrope.data.shards import Shards
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.text.t5 import T5
from zoetrope.training.state import read_metrics

from .conftest import WORDS, Cli

STEPS = ["--set", 'base.training.phases=[{"examples": 12, "batch": 4, "images": 0.25}]']


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder on the web."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def shards(cli: Cli, films: Path) -> Path:
    """The three films in two shards."""
    done = cli("data", "shard", films, "-o", "shards", "--count", "2", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["shards"] == ["zoetrope-000000.tar", "zoetrope-000001.tar"]
    return Path("shards")


def test_shards_of_a_folder(cli: Cli, shards: Path, films: Path) -> None:
    assert sorted(path.name for path in shards.iterdir()) == [
        f"zoetrope-00000{k}.tar{end}" for k in (0, 1) for end in ("", ".index.json")
    ]
    done = cli("data", "check", shards, "--json")
    assert done.code == 0 and sorted(clip["text"] for clip in json.loads(done.out)["kept"]) == sorted(WORDS)
    assert cli("data", "preview", "shards/zoetrope-{000000..000001}.tar", "-o", "sheet.png", "--count", "2").code == 0
    assert Path("sheet.png").stat().st_size > 100
    done = cli("data", "shard", films, "-o", "shards")
    assert (done.code, done.err) == (
        2,
        "error: shards: expected a new or an empty folder, something is there already\n",
    )
    done = cli("data", "shard", films, "-o", "large", "--size", "1GB")
    assert done.code == 0 and done.out == "large: 3 samples in 1 shard, zoetrope-000000.tar\n"


def test_shards_of_one_split(cli: Cli, films: Path) -> None:
    Path("own").mkdir()
    lines = []
    for number, (text, split) in enumerate(zip(WORDS, ("train", "test", "train"), strict=True)):
        shutil.copy(films / f"film{number}.mp4", "own")
        lines.append(json.dumps({"file_name": f"film{number}.mp4", "text": text, "split": split}))
    Path("own/metadata.jsonl").write_text("\n".join(lines))
    done = cli("data", "shard", "own", "-o", "part", "--split", "train", "--json")
    assert done.code == 0 and json.loads(done.out)["samples"] == 2
    assert sorted(Shards(path="part").open().captions()) == sorted([WORDS[0], WORDS[2]])
    done = cli("data", "shard", "own", "-o", "none", "--split", "trian")
    assert done.code == 2 and "unknown split 'trian'; did you mean 'train'?" in done.err
    assert not Path("none").exists()


def test_a_file_that_shards_do_not_know_is_listed(cli: Cli, films: Path) -> None:
    Path("own").mkdir()
    names = ("a.mp4", "b.film")
    for name in names:
        shutil.copy(films / "film0.mp4", f"own/{name}")
    lines = [json.dumps({"file_name": name, "text": name}) for name in names]
    Path("own/metadata.jsonl").write_text("\n".join(lines))
    done = cli("data", "shard", "own", "-o", "out", "--json")
    assert done.code == 0, done.err
    assert (json.loads(done.out)["samples"], json.loads(done.out)["dropped"]) == (1, 1)
    assert "own: 1 dropped:\n  b.film: has the ending .film; expected one that shards know" in done.err
    assert Shards(path="out").open().captions() == ["a.mp4"]
    Path("own/metadata.jsonl").write_text(lines[1])
    done = cli("data", "shard", "own", "-o", "none")
    assert done.code == 2 and "error: own: no clip for shards: b.film has the ending .film" in done.err
    assert not Path("none").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--size", "many"], "--size: expected a size such as 4GB, 512MB or 2GiB, got 'many'"),
        (["--count", "0"], "--count: expected a finite number of 1 or more, got 0"),
    ],
)
def test_sizes_that_are_none(cli: Cli, films: Path, words: list[str], said: str) -> None:
    done = cli("data", "shard", films, "-o", "out", *words)
    assert (done.code, done.err) == (2, f"error: {said}\n")
    assert not Path("out").exists()


def test_damage_is_listed_by_check_and_refused_by_train(cli: Cli, shards: Path, recipe: Path) -> None:
    shard = shards / "zoetrope-000001.tar"
    shard.write_bytes(shard.read_bytes()[:1500])
    done = cli("data", "check", shards)
    assert done.code == 0 and "zoetrope-000001.tar: is cut off at byte 1500, in the middle of '000002.mp4'" in done.out
    done = cli("train", recipe, "--stage", "base", "--out", "run", "--data", shards, *STEPS)
    assert done.code == 2 and "zoetrope-000001.tar: is cut off at byte 1500" in done.err
    assert not Path("run").exists()
    skip = ["--set", "base.training.data.damaged=skip"]
    assert cli("train", recipe, "--stage", "base", "--out", "run", "--data", shards, *STEPS, *skip).code == 0


def test_training_on_shards_without_the_encoder(
    cli: Cli, shards: Path, recipe: Path, encoder: T5, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done = cli("data", "encode", shards, "--text", json.dumps(encoder.to_json()), "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out) | {"folder": ""} == {
        "folder": "", "encoder": encoder.identity, "captions": 3, "new": 3
    }  # fmt: skip
    assert cli("data", "encode", shards, "--recipe", recipe).out.endswith("3 captions by t5, 0 of them new\n")
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path / "empty"))

    def load(self: T5, *_: object) -> None:
        raise AssertionError("the encoder was loaded")

    monkeypatch.setattr(T5, "load", load)
    more = ["--set", "base.training.workers=1", "--set", "base.training.log_every=4"]
    done = cli("train", recipe, "--stage", "base", "--out", "run", "--data", "shards/*.tar", *STEPS, *more)
    assert done.code == 0, done.err
    assert read_metrics(Path("run/metrics.jsonl"))[-1]["examples"] == 12


def test_features_of_another_encoder_or_of_other_captions(
    cli: Cli, shards: Path, films: Path, recipe: Path, encoder: T5
) -> None:
    other = encoder.with_(limit=8)
    assert cli("data", "encode", shards, "--text", json.dumps(other.to_json())).code == 0
    steps = ["train", recipe, "--stage", "base", *STEPS]
    done = cli(*steps, "--out", "one", "--data", shards)
    assert done.code == 2
    assert f"embeddings: expected features of {encoder.identity}, got those of {other.identity}" in done.err
    shutil.copytree(films, "films")
    assert cli("data", "encode", "films", "--recipe", recipe).code == 0
    shutil.copy("films/film0.mp4", "films/new.mp4")
    Path("films/new.txt").write_text("a caption that came later")
    done = cli(*steps, "--out", "two", "--data", "films")
    assert done.code == 2
    # The features of all captions that other tests have encoded may be in the common cache, but not of this one.
    assert "embeddings: 1 caption has no features there: 'a caption that came later'; zoetrope data encode" in done.err
    assert cli("data", "encode", "films", "--recipe", recipe).out.endswith("4 captions by t5, 1 of them new\n")
    assert cli(*steps, "--out", "three", "--data", "films").code == 0


def test_an_encoding_goes_on_in_its_precision(cli: Cli, films: Path, recipe: Path) -> None:
    """Whatever is fastest on the machine that goes on with it."""
    shutil.copytree(films, "films")
    Path("films/film0.txt").rename("films/kept.txt")
    for dtype, other in (("bf16", "fp32"), ("fp32", "bf16")):
        words = ["data", "encode", "films", "--recipe", recipe]
        shutil.rmtree("films/embeddings", ignore_errors=True)
        assert "2 captions by t5, 2 of them new" in cli(*words, "--dtype", dtype).out
        Path("films/kept.txt").rename("films/film0.txt")
        refused = cli(*words, "--dtype", other)
        said = f"expected further features in {dtype}, as those that are there, got {other}; go on with --dtype {dtype}"
        assert refused.code == 2 and said in refused.err
        assert "3 captions by t5, 1 of them new" in cli(*words).out
        Path("films/film0.txt").rename("films/kept.txt")


def test_features_of_web_shards_are_those_that_training_looks_for(
    cli: Cli, films: Path, recipe: Path, encoder: T5, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("zoetrope.models.precision._gains", lambda features: True)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": True})
    assert cli("data", "shard", films, "-o", "web").code == 0
    with served(Path("web")) as address:
        words = ["data", "encode", f"{address}/zoetrope-000000.tar", "--recipe", recipe]
        refused = cli(*words, "--dtype", "bf16")
        assert refused.code == 2 and "--dtype: expected fp32 for data on the web" in refused.err
        assert "3 captions by t5, 3 of them new" in cli(*words).out
    assert EmbeddingCache(encoder).prepare(WORDS) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "expected either --text or --recipe to say which encoder"),
        (["--text", "minillm"], "unknown text encoder 'minillm'; did you mean 'minilm'?"),
        (["--text", '{"type": "t5", "widht": 8}'], "unknown field 'widht'"),
    ],
)
def test_encoders_that_are_none(cli: Cli, shards: Path, words: list[str], said: str) -> None:
    done = cli("data", "encode", shards, *words)
    assert done.code == 2 and said in done.err


def test_shards_in_a_recipe(shards: Path) -> None:
    assert Shards(path=str(shards)).open().captions() == sorted(WORDS)
