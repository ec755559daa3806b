"""Code that comes with models is never run: said in every call, asked nobody, and refused in one line."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import zoetrope
from zoetrope.metrics.features.clip import CLIP
from zoetrope.metrics.features.transformers_video import TransformersVideo
from zoetrope.pretrained import expect_usable, tokenizer
from zoetrope.text.t5 import T5

PACKAGE = Path(zoetrope.__file__).parent
RUNS = {
    "torch.jit.load": "metrics/features/_script.py",
    "importlib.util.spec_from_file_location": "recipes/",
    "pickle.loads": "training/",
}
"""What runs code, and the only place that may call it: for files that a user names as programs, and for messages
between processes of one training."""
NEVER = {"torch.load", "pickle.load", "exec", "eval", "runpy.run_path", "torch.hub.load", "os.system"}
EVIL = """
open({mark!r}, "w").write("ran")
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizer
class C(PretrainedConfig): model_type = "evil"
class M(PreTrainedModel): config_class = C
class T(PreTrainedTokenizer): pass
"""


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """The file, the written name and the node of every call in the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                yield str(path.relative_to(PACKAGE)), ast.unparse(node.func), node


def said(node: ast.Call, name: str) -> object:
    """The literal that a call gives for a keyword, None if it gives none."""
    values = [word.value for word in node.keywords if word.arg == name]
    return values[0].value if values and isinstance(values[0], ast.Constant) else None


def test_every_call_says_that_no_code_is_trusted() -> None:
    found = [(file, node) for file, name, node in calls() if name.endswith(".from_pretrained")]
    assert len(found) >= 5
    assert [f"{file}:{node.lineno}" for file, node in found if said(node, "trust_remote_code") is not False] == []
    arrays = [(file, node) for file, name, node in calls() if name in ("np.load", "numpy.load")]
    assert [f"{file}:{node.lineno}" for file, node in arrays if said(node, "allow_pickle") is not False] == []


def test_code_is_run_in_no_other_place() -> None:
    assert [(file, name) for file, name, _ in calls() if name in NEVER] == []
    assert [(f, n) for f, n, _ in calls() if n in RUNS and not f.startswith(RUNS[n])] == []
    by_name = {file for file, name, _ in calls() if name.endswith(("import_module", "__import__", "resolve_name"))}
    checked = {"config/__init__.py", "config/foreign.py"}  # who is trusted
    packages = {"config/extras.py", "curation/measures/__init__.py", "data/arrays/reading.py"}  # by names in the code
    assert by_name == {"__init__.py", "recipes/__init__.py", *checked, *packages}


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A folder whose config and tokenizer name classes in a file of their own, which leaves a mark where it is run."""
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "evil.py").write_text(EVIL.format(mark=str(tmp_path / "ran")))
    sizes = {"num_frames": 16, "image_size": 32, "hidden_size": 8, "vocab_size": 8}
    own = {"AutoConfig": "evil.C", "AutoModel": "evil.M", "AutoTokenizer": ["evil.T", "evil.T"]}
    (folder / "config.json").write_text(json.dumps({"model_type": "evil", **sizes, "auto_map": own}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T", "auto_map": own}))
    (folder / "tokenizer.json").write_text("{}")
    save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
    return folder


CHILD = """
import sys
from pathlib import Path
from zoetrope.metrics.features.clip import CLIP
from zoetrope.metrics.features.transformers_video import TransformersVideo
from zoetrope.pretrained import tokenizer
from zoetrope.text.clip import CLIPText
from zoetrope.text.t5 import T5
folder = sys.argv[1]
for open in (
    TransformersVideo(model=folder).open, CLIP(model=folder).open, T5(model=folder, width=8).load,
    CLIPText(model=folder, width=8).load, lambda: tokenizer(Path(folder), ["tokenizer.json"]),
):
    try:
        open()
        print("opened")
    except ValueError as error:
        print(error)
"""


def test_a_folder_with_code(evil: Path) -> None:
    """Whoever says yes to everything is not even asked."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(evil)], input="y\n" * 20, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 5 and all(line.startswith(str(evil)) for line in lines), done
    assert "comes with code of its own, which is never run" in lines[0]
    assert not (evil.parent / "ran").exists()


def test_what_a_config_may_ask_for(tmp_path: Path) -> None:
    """Nothing is built of absurd sizes, and neither kernels nor adapters of others are fetched."""
    config = tmp_path / "config.json"
    for value, told in [
        ({"num_layers": 10**9}, "num_layers: expected at most 1,000, got 1,000,000,000"),
        ({"text_config": {"hidden_size": 10**12}}, "hidden_size: expected at most 10,000,000, got 1,000,000,000,000"),
        ({"attn_implementation": "owner/kernel"}, "expected one of transformers itself, got 'owner/kernel' of the hub"),
    ]:
        config.write_text(json.dumps(value))
        with pytest.raises(ValueError, match=told):
            expect_usable(tmp_path)
    for value in ([{"model_type": "t5"}], "t5", None):
        config.write_text(json.dumps(value))
        with pytest.raises(ValueError, match=r"config\.json: expected an object, got "):
            expect_usable(tmp_path)
        with pytest.raises(ValueError, match=r"config\.json: expected an object, got "):
            T5(model=str(tmp_path), width=8).load()
    config.write_text("[" * 50_000)
    with pytest.raises(ValueError, match=r"config\.json: not readable as JSON"):
        expect_usable(tmp_path)
    config.write_text("{}")
    expect_usable(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="expected a whole model, got an adapter of another one"):
        expect_usable(tmp_path)


def test_what_transformers_says_of_damaged_files_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "t5", "d_model": "many"}')
    (tmp_path / "tokenizer.json").write_text('{"model": 3}')
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    for attempt in (
        T5(model=str(tmp_path), width=8).load,
        TransformersVideo(model=str(tmp_path)).open,
        CLIP(model=str(tmp_path)).open,
        lambda: tokenizer(tmp_path, ["tokenizer.json"]),
    ):
        with pytest.raises(ValueError) as caught:
            attempt()
        assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
