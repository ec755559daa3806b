"""The notebooks of the documentation run from top to bottom, and are kept without what they printed."""

import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="the packages of the extra `dev` are not here")
nbclient = pytest.importorskip("nbclient", reason="the packages of the extra `dev` are not here")
ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")
LIMIT = 300  # seconds of a cell


def test_the_notebooks_are_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["first-video", "train-on-your-clips"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    """Of the newest format, with the kernel that every installation has, and links that lead somewhere."""
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and all(cell.outputs == [] and cell.execution_count is None for cell in code)
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert prose[0].startswith("# ")
    links = [link for text in prose for link in LINK.findall(text)]
    assert links and [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, without a network for weights; its videos show themselves."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    here = tmp_path / "here"
    here.mkdir()
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbclient.NotebookClient(notebook, timeout=LIMIT, resources={"metadata": {"path": str(here)}}).execute()
    shown = [output["data"] for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output]
    videos = [data["text/html"] for data in shown if "<video" in data.get("text/html", "")]
    assert len(videos) >= 3 and all("data:video/webm;base64," in video for video in videos)
