"""A hook of mkdocs: the documentation as a site, with pages that lie beside docs/ in the repository.

    make docs

The README becomes the first page, and each model's card and each notebook a page of its own. Links of Markdown files
are those of the repository, so that they work there too: here they are turned into those of the site. A link to a file
of the repository that is no page becomes its text; one to nothing is left, and mkdocs refuses it.
"""

import json
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```\w+) .*$", re.MULTILINE)  # what tests are told after the language
OUTSIDE = re.compile(r"[a-z]+:|#|//")


def beside() -> dict[str, str]:
    """The pages that lie outside of docs/: their files in the repository, and what they are called on the site."""
    cards = {
        path.relative_to(ROOT).as_posix(): f"models/{path.parent.name}.md"
        for path in sorted(ROOT.glob("zoetrope/models/*/README.md"))
    }
    notebooks = {
        path.relative_to(ROOT).as_posix(): f"notebooks/{path.stem}.md"
        for path in sorted(ROOT.glob("docs/notebooks/*.ipynb"))
    }
    return {
        **cards,
        **notebooks,
        "README.md": "index.md",
        "CHANGELOG.md": "changelog.md",
        "CONTRIBUTING.md": "contributing.md",
        "benchmarks/README.md": "benchmarks.md",
        "studies/README.md": "studies.md",
    }


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of docs/."""
    for path, name in beside().items():
        files.append(File.generated(config, name, content=_content(ROOT / path)))
    return files


def _content(path: Path) -> str:
    """The Markdown of a page; of a notebook its cells, below a link to the file itself, which the site has too."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    title, *cells = (_cell(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"])
    heading, _, rest = title.partition("\n")
    note = f'This page is a notebook: <a href="{path.name}" download>{path.name}</a>.'
    return "\n\n".join([heading, note, rest.strip(), *cells]) + "\n"


def _cell(kind: str, source: str) -> str:
    return f"```python\n{source}\n```" if kind == "code" else source


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The text of a page with the site's links."""
    return for_site(markdown, page.file.src_uri)


def for_site(markdown: str, name: str) -> str:
    """The text of the page called `name` on the site: its links lead there, code that is marked for tests is plain."""
    return FENCE.sub(r"\1", LINK.sub(lambda found: _link(found, name), markdown))


def _link(found: re.Match[str], name: str) -> str:
    mark, text, target = found.groups()
    if OUTSIDE.match(target):
        return found[0]
    path, hash_mark, anchor = target.partition("#")
    source = {value: key for key, value in beside().items()}.get(name, f"docs/{name}")
    there = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    page = beside().get(there, there.removeprefix("docs/") if there.startswith("docs/") else None)
    if page is None:
        return text if (ROOT / there).exists() else found[0]
    return f"{mark}[{text}]({posixpath.relpath(page, posixpath.dirname(name) or '.')}{hash_mark}{anchor})"
