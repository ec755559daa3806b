"""What the documentation says is true: its commands run, its code runs, its names and links exist.

A fenced block says by its info string what happens to it here:

    sh, console, python           is run, in a folder that all blocks of a document share, in their order
    sh long, console long,        takes too long, or needs what a test has not: every command must exist with its
    python long                   options, Python must compile and its imports from the package must work

In a console block the lines that begin with "$ " are commands and the others what they print. The guide needs clips of
its reader's: it finds a few of toybox in `my_clips`, and where the reference media are, it is run on real ones as well.
"""

import ast
import functools
import importlib
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from zoetrope.cascade.spec import CascadeSpec
from zoetrope.data.toybox import Toybox
from zoetrope.shapes import VideoShape
from zoetrope.video import Video

pytestmark = pytest.mark.first

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
GUIDE = ROOT / "docs/guide.md"
FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"`(zoetrope(?:\.\w+)+)`")
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")
LIMIT = 600  # seconds, for a block that is run
# Programs that blocks may use beside our own. What they do is not ours to check, beyond that nothing is misspelt.
FOREIGN = {"cd", "git", "ls", "mkdir", "cat", "tensorboard", "nvidia-smi", "ffprobe", "bash"}


class Block(NamedTuple):
    """A fenced block: where it stands, what it is written in, whether it is only checked, and its text."""

    document: Path
    line: int
    language: str
    long: bool
    text: str


def blocks() -> list[Block]:
    """Every block of the documentation that is in a language we check."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        for match in FENCE.finditer(text):
            language, _, mark = match["info"].strip().partition(" ")
            if language in ("sh", "console", "python"):
                assert mark in ("", "long"), f"{document.name}: unknown mark {mark!r}"
                line = text.count("\n", 0, match.start()) + 1
                found.append(Block(document, line, language, mark == "long", match["body"]))
            else:
                assert language in ("text", "json", "toml", "yaml", "bibtex", "csv"), f"{document.name}: {language!r}"
    return found


BLOCKS = blocks()


def test_the_cascade_of_channels_can_be_built() -> None:
    """A block that is the field of a recipe."""
    found = next(FENCE.finditer((ROOT / "docs/channels.md").read_text("utf-8")))
    spec = CascadeSpec.from_json(json.loads(f"{{{found['body']}}}")["cascade"])
    spec.stages[0].network.build()


def name_of(block: Block) -> str:
    """A block's name in a test report."""
    return f"{block.document.name}:{block.line}"


def shell(block: Block) -> str:
    """The commands of a block, as a script."""
    if block.language == "sh":
        return block.text
    return "\n".join(line.removeprefix("$ ") for line in block.text.splitlines() if line.startswith("$ "))


def commands(script: str) -> list[list[str]]:
    """The words of each command of a script, without comments, redirections and variables set before a command."""
    found: list[list[str]] = []
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set(";&|"):
                while command and re.fullmatch(r"[A-Za-z_]\w*=.*", command[0]):
                    command = command[1:]
                found += [command] if command else []
                command = []
            else:
                command = [*command, word]
    return found


@functools.cache
def help_of(verbs: tuple[str, ...]) -> str:
    """What `zoetrope VERB... --help` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "zoetrope", *verbs, "--help"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )
    assert done.returncode == 0, f"zoetrope {' '.join(verbs)}: {done.stderr}"
    return done.stdout


def expect_ours(words: list[str]) -> None:
    """Fail unless a command line of `zoetrope`, given without that word, has a verb and options that exist."""
    verbs: tuple[str, ...] = ()
    while "COMMAND [ARGS]" in help_of(verbs):
        if len(words) == len(verbs) or words[len(verbs)].startswith("-"):
            break
        verbs = (*verbs, words[len(verbs)])
    known = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", help_of(verbs)))
    for word in words[len(verbs) :]:
        option = word.partition("=")[0]
        if re.fullmatch(r"--?[a-zA-Z][\w-]*", option):
            assert option in known, f"zoetrope {' '.join(verbs)} has no option {option}"


def expect_command(words: list[str]) -> None:
    """Fail unless a command could run: its program is one we know, and what it names in this repository is there."""
    program, rest = words[0].removeprefix(".venv/bin/"), words[1:]
    if program in ("python", "python3", "torchrun"):
        while rest and rest[0].startswith("--"):
            rest = rest[1:]
        if rest[:2] == ["-m", "zoetrope"]:
            expect_ours(rest[2:])
        elif rest and rest[0].endswith(".py"):
            assert (ROOT / rest[0]).is_file(), f"{rest[0]}: no such file"
        else:
            assert rest[:2] in (["-m", "pytest"], ["-m", "pip"], ["-m", "venv"]), f"{program} {' '.join(rest)}"
    elif program == "zoetrope":
        expect_ours(rest)
    elif program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert [word for word in rest if "=" not in word and word not in targets] == []
    elif program == "pip":
        expect_extras(rest)
    elif program in ("pytest", "ruff", "mypy"):
        paths = [word.partition("::")[0] for word in rest if word.startswith(("tests", "zoetrope"))]
        assert [path for path in paths if not (ROOT / path).exists()] == []
    else:
        assert program in FOREIGN, f"{program}: a program that these tests do not know"


def expect_extras(words: list[str]) -> None:
    """Fail unless the extras of this package that a command installs exist."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in words:
        if match := re.fullmatch(r"(?:\.|zoetrope)\[([\w,-]+)\]", word):
            assert set(match[1].split(",")) <= set(project["optional-dependencies"]), word


def expect_imports(code: str) -> None:
    """Fail unless what a piece of Python imports from the package exists."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "zoetrope":
            for alias in node.names:
                resolve(f"{node.module}.{alias.name}")


def resolve(dotted: str) -> object:
    """The module, function, class or attribute of that dotted name."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError as error:
            if error.name is None or not dotted.startswith(error.name):
                raise
            continue
        for part in parts[count:]:
            fields = getattr(found, "model_fields", None) or getattr(found, "__dataclass_fields__", {})
            found = fields[part] if part in fields else getattr(found, part)
        return found
    raise AssertionError(f"{dotted}: no such module")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    """The folder that each document's blocks run in."""
    made = {document: tmp_path_factory.mktemp(document.stem) for document in DOCUMENTS}
    clips = made[GUIDE] / "my_clips"
    (clips / "clips").mkdir(parents=True)
    shape = VideoShape(frames=16, height=48, width=80, fps=8)
    lines = []
    for number in range(8):
        example = Toybox().open().example(number, shape)
        name, split = f"clips/{number:03d}.mp4", "test" if number % 4 == 3 else "train"
        Video.from_tensor(example.video, shape.fps).save(clips / name)
        lines.append(json.dumps({"file_name": name, "text": example.text, "split": split}))
    (clips / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return made


def run_block(block: Block, folder: Path) -> None:
    """Run a block in a folder. Fails, with what was printed, unless all of it succeeds."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    script = [sys.executable, "-c", block.text] if block.language == "python" else ["bash", "-euc", shell(block)]
    done = subprocess.run(
        script,
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=LIMIT,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, f"{name_of(block)}\n{done.stdout}{done.stderr}"


def test_the_documents_are_there() -> None:
    assert all(document.is_file() for document in DOCUMENTS)
    assert any(block.document.name == "README.md" and block.language != "python" for block in BLOCKS)
    assert "zoetrope" in help_of(())


@pytest.mark.parametrize("block", [block for block in BLOCKS if not block.long], ids=name_of)
def test_block_runs(block: Block, folders: dict[Path, Path]) -> None:
    run_block(block, folders[block.document])


@pytest.mark.long
@pytest.mark.shared
def test_the_guide_runs_on_real_clips(shared: Path, tmp_path: Path) -> None:
    source, clips = shared / "data/real_clips", tmp_path / "my_clips"
    (clips / "clips").mkdir(parents=True)
    lines = (source / "metadata.jsonl").read_text("utf-8").splitlines()
    chosen = [next(line for line in lines if json.loads(line)["split"] == split) for split in ("train", "test")]
    chosen += [line for line in lines[::12] if line not in chosen]
    for line in chosen:
        shutil.copyfile(source / json.loads(line)["file_name"], clips / json.loads(line)["file_name"])
    (clips / "metadata.jsonl").write_text("\n".join(chosen) + "\n", "utf-8")
    for block in BLOCKS:
        if block.document == GUIDE and not block.long:
            run_block(block, tmp_path)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.long], ids=name_of)
def test_long_block_could_run(block: Block) -> None:
    if block.language == "python":
        expect_imports(block.text)
        return
    found = commands(shell(block))
    assert found, "no command"
    for command in found:
        expect_command(command)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_names_and_links_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    for dotted in NAME.findall(text):
        resolve(dotted)
    prose = FENCE.sub("", text)
    assert [link for link in LINK.findall(prose) if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("page", ["fields.md", "python.md"])
def test_the_reference_is_that_of_the_code(page: str) -> None:
    made = runpy.run_path(str(ROOT / "docs/_reference.py"))["PAGES"][page]()
    assert (ROOT / "docs" / page).read_text("utf-8") == made, "write it anew with: python docs/_reference.py"


def test_every_field_has_a_meaning() -> None:
    page = runpy.run_path(str(ROOT / "docs/_reference.py"))["PAGES"]["fields.md"]()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) > 150
    assert [row for row in rows if not re.search(r"\w", re.split(r"(?<!\\) \| ", row)[-1])] == []


def test_the_paper_map_leads_to_code() -> None:
    rows = [line for line in (ROOT / "docs/paper-map.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    mapped = [row for row in rows if NAME.search(row)]
    assert len(mapped) > 30


@pytest.mark.parametrize(
    "wrong",
    [
        "zoetrope generat cat",
        "zoetrope generate cat --sede 3",
        "pip install zoetrope[moon]",
        "make dome",
        "python benchmarks/none.py",
        "zoetorpe generate cat",
    ],
)
def test_a_wrong_command_is_found(wrong: str) -> None:
    with pytest.raises(AssertionError):
        for command in commands(wrong):
            expect_command(command)
