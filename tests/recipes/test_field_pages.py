"""The pages of flow, nowcasting and ultrasound, from their files to their scores: every block, in miniature."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from zoetrope.__main__ import main
from zoetrope.recipes import load_recipe

DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(r"^```(python|sh)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SMALLER = {"--count": "2", "--members": "2", "--seconds": "14"}
SMALL = ['base.training.phases=[{"examples": 8, "batch": 4}]', "base.training.sample_every=0"]
SMALL += ["base.training.warm_up=0", "base.training.cool_down=0", "base.training.log_every=4"]
SMALL += [f"base.network.levels.{level}.width=32" for level in (0, 1)]


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """The blocks of a page in order: their languages and texts."""
    for match in FENCE.finditer((DOCS / f"{page}.md").read_text("utf-8")):
        yield match[1], match[2]


def miniature(words: list[str]) -> list[str]:
    """A command with small numbers."""
    made = [SMALLER.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    if words[0] == "train":
        return [*made, "--device", "cpu", "--quiet", *(word for change in SMALL for word in ("--set", change))]
    if words[0] == "evaluate" and "answered" in " ".join(words):
        made[made.index("--count") + 1] = "8"
    steps = ["--steps", "1"] if words[0] in ("generate", "extend", "evaluate") else []
    return [*made, *steps, *(["--device", "cpu", "--quiet"] if steps else [])]


def run(page: str) -> list[list[str]]:
    """Run all blocks of a page here; the commands, in miniature."""
    done = list[list[str]]()
    for language, text in blocks(page):
        if language == "python":
            exec(compile(text, page, "exec"), {"__name__": page})
            continue
        for line in text.replace("\\\n", " ").splitlines():
            program, *words = shlex.split(line)
            assert program == "zoetrope", line
            done.append(miniature(words))
            assert main(done[-1]) == 0, line
    return done


@pytest.mark.parametrize("page", ["flow", "nowcasting", "ultrasound"])
def test_a_page_runs_from_files_to_scores(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_recipe(page).cascade.text is None
    done = run(page)
    verbs = [words[0] for words in done]
    assert verbs.count("train") == 2 and {"data", "generate", "evaluate"} <= set(verbs)
    for words in done:
        if words[0] == "evaluate":
            report = Path(words[words.index("--out") + 1])
            (entry,) = json.loads((report / "results.json").read_text())["entries"]
            numbers = {one["name"]: one.get("value") for one in entry["results"]}
            asked = words[words.index("--metrics") + 1].split(",")
            assert list(numbers) == asked and all(np.isfinite(list(numbers.values()))), numbers
            assert (report / "index.html").is_file()
