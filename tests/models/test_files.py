"""Folders of models and runs that nobody vouches for: links, pipes, sizes and nesting."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import make_pipe

from zoetrope import Cascade
from zoetrope.models.files import LARGEST, inside, read_card, read_json_of
from zoetrope.models.folder import FILE, WEIGHTS, read_spec
from zoetrope.models.opening import open_model
from zoetrope.models.runs import read_run

from .test_model_folder import write

Damage = Callable[[Path, Path], None]


def leads_out(file: Path, outside: Path) -> None:
    """A link to the same content elsewhere: what is wrong with it is where it leads."""
    outside.write_bytes(file.read_bytes() if file.exists() else b"secret")
    file.unlink(missing_ok=True)
    file.symlink_to(outside)


def in_a_circle(file: Path, outside: Path) -> None:
    file.unlink(missing_ok=True)
    file.symlink_to(file.name)


def pipe(file: Path, outside: Path) -> None:
    """Whoever opens it waits for somebody who writes."""
    file.unlink(missing_ok=True)
    make_pipe(file)


@pytest.mark.parametrize("name", [FILE, "README.md", f"base/{WEIGHTS}"])
@pytest.mark.parametrize("damage", [leads_out, in_a_circle, pipe])
def test_what_is_not_a_file_of_the_model_is_refused(tmp_path: Path, name: str, damage: Damage) -> None:
    write(tmp_path / "model", "tiny")
    damage(tmp_path / "model" / name, tmp_path / "outside")
    with pytest.raises(ValueError) as refused:
        Cascade.from_pretrained(tmp_path / "model").save_pretrained(tmp_path / "copy")
    assert "model" in str(refused.value) and "\n" not in str(refused.value)
    assert damage is not leads_out or f"{name}: expected a file in" in str(refused.value)
    assert not (tmp_path / "copy").exists()


def test_a_stage_whose_folder_is_a_link_out_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "model", "tiny")
    (tmp_path / "model/base").rename(tmp_path / "elsewhere")
    (tmp_path / "model/base").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="got a link out of it"):
        Cascade.from_pretrained(tmp_path / "model")


def test_links_within_a_model_and_to_it_are_followed(tmp_path: Path) -> None:
    write(tmp_path / "model", "tiny")
    (tmp_path / "model/README.md").rename(tmp_path / "model/card.md")
    (tmp_path / "model/README.md").symlink_to("card.md")
    (tmp_path / "link").symlink_to(tmp_path / "model")
    assert Cascade.from_pretrained(tmp_path / "link").card == "# tiny\n"


def test_the_cache_of_the_hub_keeps_its_files_as_links(tmp_path: Path) -> None:
    home = tmp_path / "models--owner--tiny"
    snapshot = home / "snapshots/0123456789"
    write(tmp_path / "model", "tiny")
    (home / "blobs").mkdir(parents=True)
    for number, file in enumerate(path for path in (tmp_path / "model").rglob("*") if path.is_file()):
        place = snapshot / file.relative_to(tmp_path / "model")
        place.parent.mkdir(parents=True, exist_ok=True)
        file.rename(home / f"blobs/{number}")
        place.symlink_to(os.path.relpath(home / f"blobs/{number}", place.parent))
    Cascade.from_pretrained(snapshot).save_pretrained(tmp_path / "copy")
    assert Cascade.from_pretrained(tmp_path / "copy").card == "# tiny\n"
    assert not (tmp_path / "copy/README.md").is_symlink()
    (snapshot / "README.md").unlink()
    (tmp_path / "secret").write_text("secret")
    (snapshot / "README.md").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="got a link out of it"):
        read_card(snapshot)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 50_000 + "]" * 50_000, r".*is nested at most 64 deep"),
        ('{"n": ' + "9" * 5000 + "}", "not readable as JSON"),
        ("x" * (LARGEST + 1), "expected at most 16 MiB of text"),
        ("{", "not readable as JSON"),
        (b"\xff\xfe", "expected UTF-8 text"),
    ],
    ids=["nested", "a long number", "large", "cut off", "no text"],
)
def test_descriptions_are_bounded(tmp_path: Path, content: str | bytes, message: str) -> None:
    write(tmp_path / "model", "tiny")
    for name in (FILE, "run.json"):
        (tmp_path / "model" / name).write_bytes(content.encode() if isinstance(content, str) else content)
        with pytest.raises(ValueError, match=rf"{name}: {message}"):
            read_json_of(tmp_path / "model", name)
    with pytest.raises(ValueError, match=message):
        read_spec(tmp_path / "model")
    with pytest.raises(ValueError, match="not a run that can be read"):
        open_model(tmp_path / "model")


def test_files_that_are_not_there_yet_have_a_path(tmp_path: Path) -> None:
    assert inside(tmp_path, "a/b") == tmp_path / "a/b" and read_card(tmp_path) == ""
    with pytest.raises(ValueError, match=r"cascade.json: cannot be read \(No such file"):
        read_json_of(tmp_path, FILE)


def run_folder(folder: Path, *examples: str) -> None:
    """As much of a run as tells where its averages are."""
    write(folder, "tiny")
    cascade = json.loads((folder / FILE).read_text())
    del cascade["format"]
    (folder / "run.json").write_text('{"stage": "base"}')
    recipe = {"cascade": cascade, "training": {"base": {"half_life": [2, 9]}}}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    for name in examples:
        (folder / "checkpoints" / name).mkdir(parents=True)
        (folder / "checkpoints" / name / "state.json").write_text("{}")


def test_the_newest_checkpoint_is_that_of_most_examples(tmp_path: Path) -> None:
    run_folder(tmp_path / "run", "999999999", "1000000000", "000000048", "12ab")
    assert read_run(tmp_path / "run").average_file() == tmp_path / "run/checkpoints/1000000000/average.safetensors"
    assert read_run(tmp_path / "run").average_file(9).name == "average-9.safetensors"


def test_averages_that_are_links_out_of_a_run_are_refused(tmp_path: Path) -> None:
    run_folder(tmp_path / "run", "000000048")
    (tmp_path / "secret").touch()
    (tmp_path / "run/checkpoints/000000048/average.safetensors").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match=r"average.safetensors: expected a file in .*, got a link out of it"):
        open_model(tmp_path / "run")
    (tmp_path / "run/run.json").rename(tmp_path / "away.json")
    (tmp_path / "run/run.json").symlink_to(tmp_path / "away.json")
    with pytest.raises(ValueError, match="got a link out of it"):
        open_model(tmp_path / "run")
