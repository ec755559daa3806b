"""The shape of the house: what may import what, how long things may be, and that an import does nothing else."""

import ast
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import zoetrope

PACKAGE = Path(zoetrope.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(path.relative_to(PACKAGE)) for path in FILES]

# From the ground up: a module imports from its own folder and from lower ranks, and those of a rank not each other.
RANKS = [
    {"config", "diffusion", "layers", "processes", "wording"},
    {"files", "interpolators", "samplers", "scales", "schedules", "schemes", "shapes"},
    {"channels", "codecs", "conditioning", "known", "pretrained", "video"},
    {"fields", "guidance", "networks", "pictures", "routines", "text"},
    {"data", "embeddings", "inputs"},
    {"cascade", "curation"},
    {"models"},
    {"interop", "metrics", "training"},
    {"planning", "recipes"},
    {"serving"},
    {"commands"},
    {"__main__"},
]
RANK = {name: number for number, names in enumerate(RANKS) for name in names}
LONGEST_FILE, LONGEST_FUNCTION = 400, 60
HEAVY = ["torch", "transformers", "av", "diffusers", "numpy"]


def layer(module: str) -> str:
    """The folder or file right under the package that a module belongs to; "" is the package itself."""
    return module.removeprefix("zoetrope").removeprefix(".").partition(".")[0]


def tree(path: Path) -> ast.Module:
    """A file's syntax."""
    return ast.parse(path.read_text("utf-8"), str(path))


def own_imports(path: Path) -> Iterator[str]:
    """Every module of the package that a file imports anywhere, inside functions and for type checkers too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == "zoetrope")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: line {node.lineno}: imports are written in full"
            if node.module == "zoetrope":
                names = [alias.name for alias in node.names]
                yield from (f"zoetrope.{name}" if name in RANK else "zoetrope" for name in names)
            elif node.module and node.module.startswith("zoetrope."):
                yield node.module


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """The name and number of lines of every function in a file."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def python(program: str, *arguments: str) -> Any:
    """What a program, run by a fresh interpreter, prints as JSON on its last line."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_folder_has_its_place() -> None:
    assert [path.parent for path in FILES if not (path.parent / "__init__.py").is_file()] == []
    found = sorted(module.name for module in pkgutil.iter_modules([str(PACKAGE)]))
    assert found == sorted(name for names in RANKS for name in names)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "__init__.py"])
def test_imports_point_down(name: str) -> None:
    own = layer("zoetrope." + name.removesuffix(".py").replace("/", "."))
    targets = {layer(target) for target in own_imports(PACKAGE / name)} - {own, ""}
    above = sorted(target for target in targets if RANK[target] >= RANK[own])
    assert not above, f"{name} belongs to {own!r} and imports from {above}, which are not below it"


def test_every_folder_is_just_above_what_it_imports() -> None:
    """A name that could stand lower does: the ranks are the longest chain of imports."""
    needs = {name: -1 for name in RANK}
    for path in FILES:
        own = layer("zoetrope." + str(path.relative_to(PACKAGE)).removesuffix(".py").replace(os.sep, "."))
        below = [RANK[layer(target)] for target in own_imports(path) if layer(target) not in (own, "")]
        if own in RANK:
            needs[own] = max([needs[own], *below])
    assert {name: highest + 1 for name, highest in needs.items()} == RANK


@pytest.mark.parametrize("name", [name for name in NAMES if name != "__main__.py"])
def test_private_modules_are_their_folders_own(name: str) -> None:
    own = ".".join(("zoetrope", *Path(name).parent.parts))
    private = [target for target in own_imports(PACKAGE / name) if "._" in target]
    assert [target for target in private if not f"{own}.".startswith(target[: target.index("._") + 1])] == []


@pytest.mark.parametrize("name", NAMES)
def test_files_and_functions_are_short_and_explained(name: str) -> None:
    path = PACKAGE / name
    assert ast.get_docstring(tree(path)), "the module has no docstring"
    assert len(path.read_text("utf-8").splitlines()) < LONGEST_FILE
    assert [found for found in functions(path) if found[1] >= LONGEST_FUNCTION] == []


@pytest.mark.parametrize("name", [name for name in NAMES if name != "files/__init__.py"])
def test_names_of_homes_are_read_without_errors(name: str) -> None:
    """`Path.expanduser` raises a RuntimeError for the home of nobody, `os.path.expanduser` gives the name back."""
    calls = [node for node in ast.walk(tree(PACKAGE / name)) if isinstance(node, ast.Attribute)]
    found = [ast.unparse(node) for node in calls if node.attr == "expanduser"]
    assert [call for call in found if call != "os.path.expanduser"] == []


def public_types(path: Path) -> Iterator[str]:
    """The public classes and type aliases of a file, but for the options of commands, which are each command's own."""
    for node in tree(path).body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value, name = ast.unparse(node.value), node.targets[0].id
            is_type = isinstance(node.value, ast.Subscript | ast.BinOp) or value in ("int", "float", "str")
            if is_type and not name.isupper() and "typer." not in value:
                yield name


def test_public_names_of_types_are_each_of_one_module() -> None:
    homes = dict[str, list[str]]()
    for name in NAMES:
        for found in public_types(PACKAGE / name):
            if not found.startswith("_"):
                homes.setdefault(found, []).append(name)
    assert len(homes) > 300 and "Weight" in homes and "VideoShape" in homes
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}


FAMILIES = {"tokens", "maps", "numbers"}
# Who moves a family whole, whatever inputs it is of: the maps of a part of a video, and the length of the longest text.
MOVERS = {"cascade/execution/call.py": "maps", "cascade/execution/streamed.py": "maps", "cascade/sample.py": "tokens"}
HOME = ("conditioning", "inputs", "guidance", "networks")


def families(path: Path) -> Iterator[str]:
    """Which families of conditioning a file reads or fills, each time that it does."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute):
            yield from FAMILIES & {node.attr}
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Conditioning", "replace"):
            yield from (word.arg for word in node.keywords if word.arg in FAMILIES)


@pytest.mark.parametrize(
    "name", [name for name in NAMES if layer("zoetrope." + name[:-3].replace("/", ".")) not in HOME]
)
def test_what_networks_are_told_is_named_by_inputs_guidance_and_networks_alone(name: str) -> None:
    assert set(families(PACKAGE / name)) <= {MOVERS.get(name)}


def test_grad_mode_is_asked_for_in_one_place_alone() -> None:
    """Checkpoints of activations need it: nothing else takes it for a sign of inference."""
    asked = ("is_grad_enabled", "is_inference_mode_enabled")
    found = [name for name in NAMES if any(word in (PACKAGE / name).read_text("utf-8") for word in asked)]
    assert found == ["networks/_checkpointing.py"]
    assert (PACKAGE / found[0]).read_text("utf-8").count("is_grad_enabled") == 1


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("commands")])
def test_only_commands_print(name: str) -> None:
    calls = [node for node in ast.walk(tree(PACKAGE / name)) if isinstance(node, ast.Call)]
    assert [c.lineno for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"] == []


LACKING = {"curses", "fcntl", "grp", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
"""Modules, and below signals and functions, that not all systems have."""
ABSENT = {"AF_UNIX", "SIGALRM", "SIGHUP", "SIGKILL", "SIGSTOP", "SIGUSR1", "mkfifo", "sysconf"}


def at_collection(node: ast.AST) -> Iterator[ast.AST]:
    """What Python runs to find tests: all but the bodies of functions, with their decorators."""
    yield node
    inner = ast.iter_child_nodes(node)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        inner = iter(getattr(node, "decorator_list", []))
    for child in inner:
        yield from at_collection(child)


def test_tests_can_be_collected_on_every_system() -> None:
    """What a system lacks is asked for in the test that needs it, which is skipped there."""
    found = list[str]()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        for node in at_collection(tree(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            wanted = LACKING.intersection(names) | (ABSENT & {node.attr} if isinstance(node, ast.Attribute) else set())
            found += [f"{path.name}:{getattr(node, 'lineno', 0)}: {name}" for name in wanted]
    assert found == []


RARER = ABSENT | {"fork", "forkpty", "getgid", "geteuid", "getloadavg", "getuid", "killpg", "nice", "posix_fadvise"}
RARER |= {"pread", "pwrite", "sched_getaffinity", "setsid", "statvfs", "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW"}
RARER |= {"O_NONBLOCK", "SIGCHLD", "SIGCONT", "SIGPIPE", "SIGQUIT", "SIGUSR2", "clock_gettime", "setitimer", "WNOHANG"}


def unguarded(node: ast.AST, guarded: bool = False, near: str = "") -> Iterator[tuple[int, str]]:
    """What a system may lack and code takes for given, with its line.

    A module has to be imported in a `try` that catches ImportError, and of anything else the function has to ask with
    `hasattr` whether it is there.
    """
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [str(node.module)] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        yield from ((node.lineno, name) for name in LACKING.intersection(names) if not guarded)
    elif isinstance(node, ast.Attribute) and node.attr in RARER:
        owner = ast.unparse(node.value)
        if owner in ("os", "signal", "socket", "time") and f"hasattr({owner}, {node.attr!r})" not in near:
            yield node.lineno, f"{owner}.{node.attr}"
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        near = ast.unparse(node)
    handlers = node.handlers if isinstance(node, ast.Try) else []
    caught = any(one.type is not None and "ImportError" in ast.unparse(one.type) for one in handlers)
    for child in ast.iter_child_nodes(node):
        yield from unguarded(child, guarded or caught, near)


@pytest.mark.parametrize("name", NAMES)
def test_what_not_all_systems_have_is_asked_for(name: str) -> None:
    assert list(unguarded(tree(PACKAGE / name))) == []


def test_what_is_not_asked_for_is_found() -> None:
    wrong = "import fcntl\ndef f():\n  import pwd\n  return os.sysconf('SC') if hasattr(os, 'nice') else os.nice(1)"
    assert list(unguarded(ast.parse(wrong))) == [(1, "fcntl"), (3, "pwd"), (4, "os.sysconf")]


STARTING = {"Process", "Pool", "Pipe", "Queue", "SimpleQueue", "Manager", "Lock", "Event", "Value", "Array"}
"""What starts processes, or is made for them, in the way that a Python of that version and system prefers."""


def started_somehow(node: ast.AST) -> Iterator[str]:
    """Calls that leave to Python how a process is started: a fork on some systems and up to 3.13, none on others."""
    for call in (node for node in ast.walk(node) if isinstance(node, ast.Call)):
        owner, _, name = ast.unparse(call.func).rpartition(".")
        words = {word.arg for word in call.keywords}
        left = owner in ("multiprocessing", "torch.multiprocessing", "mp") and name in STARTING
        left |= name == "get_context" and not call.args and not words
        left |= name == "ProcessPoolExecutor" and "mp_context" not in words
        left |= name == "DataLoader" and "num_workers" in words and "multiprocessing_context" not in words
        if left:
            yield f"{call.lineno}: {ast.unparse(call.func)}"


@pytest.mark.parametrize("name", NAMES)
def test_how_processes_start_is_said(name: str) -> None:
    assert list(started_somehow(tree(PACKAGE / name))) == []


def test_processes_that_start_somehow_are_found() -> None:
    wrong = "multiprocessing.Pool(2)\nget_context()\nProcessPoolExecutor(2)\nDataLoader(x, num_workers=2)"
    right = "get_context('spawn').Pool(2)\nProcessPoolExecutor(2, mp_context=spawn)\nqueue.SimpleQueue()\nDataLoader(x)"
    assert [found[0] for found in started_somehow(ast.parse(wrong))] == list("1234")
    assert list(started_somehow(ast.parse(right))) == []


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = "import json, sys, zoetrope; print(json.dumps(sorted(sys.modules)))"
    assert set(HEAVY).isdisjoint(python(program))


HELP = """
import json, sys
from zoetrope.__main__ import main
sys.argv = ["zoetrope", *sys.argv[1:]]
try:
    status = main()
except SystemExit as end:
    status = end.code
print()
print(json.dumps([status, sorted(sys.modules)]))
"""


def test_help_loads_nothing_heavy() -> None:
    status, modules = python(HELP, "--help")
    assert not status
    assert set(HEAVY).isdisjoint(modules)


# The interpreter reports to an audit hook what a module does while it is imported. What third parties do on their own
# import is theirs, so those that every part needs are loaded first.
IMPORT_ALL = """
import importlib, json, os, sys, threading
import numpy, pydantic, safetensors.torch, torch, torch.utils.checkpoint, typer
acts, watching = [], True
DEEDS = ("socket.", "subprocess.", "os.putenv", "os.unsetenv", "os.mkdir", "os.rename", "os.remove", "os.system")
def watch(event, arguments):
    if watching and event.startswith("socket."):
        acts.append(event)
        raise OSError("no network while modules are imported")
    wrote = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if watching and (wrote or event.startswith(DEEDS)):
        acts.append(f"{event} {arguments[:1]}")
sys.addaudithook(watch)
def state():
    return [
        torch.random.get_rng_state().sum().item(), str(numpy.random.get_state()[1].sum()), torch.get_num_threads(),
        str(torch.get_default_dtype()), torch.is_grad_enabled(), threading.active_count(), len(os.environ), os.getcwd(),
    ]
before = state()
for name in sys.argv[1:]:
    importlib.import_module(name)
same = state() == before
watching = False
print(json.dumps({"acts": acts, "same": same, "modules": sorted(sys.modules)}))
"""


def test_importing_every_module_does_nothing_else() -> None:
    modules = ["zoetrope" + name.removesuffix(".py").removesuffix("__init__") for name in ("/" + n for n in NAMES)]
    report = python(IMPORT_ALL, *(name.replace("/", ".").rstrip(".") for name in modules))
    assert report["acts"] == []
    assert report["same"], "a module changed random state, threads, defaults or the environment when it was imported"
    assert {"transformers", "av", "diffusers"}.isdisjoint(report["modules"])


@pytest.mark.parametrize("folder", ["zoetrope", "studies", "benchmarks", "tests", "docs"])
def test_configs_are_changed_by_what_validates(folder: str) -> None:
    """`with_` refuses a misspelt field, which pydantic's own copy takes."""
    unchecked = "model_" + "copy("
    files = [path for path in (PACKAGE.parent / folder).rglob("*") if path.suffix in (".py", ".md")]
    assert files and [str(path) for path in files if unchecked in path.read_text("utf-8")] == []
