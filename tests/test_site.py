"""The documentation is built as a site, strictly, and has every page."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="the packages of the extra `docs` are not here")
ROOT = Path(__file__).resolve().parents[1]


def built(configuration: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """mkdocs on a configuration, in a process of its own: it sets up logging for itself."""
    command = [sys.executable, "-m", "mkdocs", "build", "-f", str(configuration), "-d", str(out)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_site_has_every_page_and_no_link_to_nothing(tmp_path: Path) -> None:
    done = built(ROOT / "mkdocs.yml", tmp_path)
    assert done.returncode == 0, done.stderr
    pages = {path.relative_to(tmp_path).with_suffix("").as_posix() for path in tmp_path.rglob("*.html")}
    docs = ROOT / "docs"
    expected = {path.relative_to(docs).with_suffix("").as_posix() for path in docs.rglob("*.md")}
    cards = {f"models/{path.parent.name}" for path in ROOT.glob("zoetrope/models/*/README.md")}
    notebooks = {f"notebooks/{path.stem}" for path in docs.glob("notebooks/*.ipynb")}
    assert notebooks and all((tmp_path / f"{name}.ipynb").is_file() for name in notebooks)
    assert expected | cards | notebooks | {"index", "changelog", "contributing", "studies", "benchmarks"} <= pages
    assert "README.md" not in (tmp_path / "index.html").read_text().replace("README.md</code>", "")
    assert 'href="models/mini.html"' in (tmp_path / "index.html").read_text()
    assert "fonts.googleapis" not in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize("link", ["nothing.md", "data.md#nowhere", "../zoetrope/nothing.py"])
def test_a_link_to_nothing_is_refused(link: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "data.md").write_text("# Data\n")
    (tmp_path / "docs" / "some.md").write_text(f"# Some\n\n[a page]({link})\n")
    settings = (ROOT / "mkdocs.yml").read_text().split("theme:")[0]
    settings = settings.replace("docs/_site.py", str(ROOT / "docs" / "_site.py"))
    (tmp_path / "mkdocs.yml").write_text(settings)
    done = built(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode != 0
    assert link.partition("#")[0] in done.stderr or "nowhere" in done.stderr
