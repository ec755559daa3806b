"""The page of a study, its plot, and the numbers that both are made from."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from _claims import markdown
from _measured import Json
from _study import Page, Study


def publish(study: Study, numbers: Json, out: Path) -> None:
    """Write the page, its plot and the numbers that both are made from."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    page = study.page(numbers)
    out.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
    page.draw(axes)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    figure.tight_layout()
    figure.savefig(out / f"{study.name}.png", dpi=110)
    (out / f"{study.name}.md").write_text(written(study, numbers, page))
    (out / f"{study.name}.json").write_text(json.dumps(numbers) + "\n")
    print(f"{out / study.name}.md")
    for claim in page.claims:
        print("  " + " | ".join(claim.row()))


def written(study: Study, numbers: Json, page: Page) -> str:
    """The page as text; numbers of an earlier design say themselves how they came about."""
    design: Mapping[str, str] = numbers.get("design", study.design)
    found = [
        f"**Here**: {page.limit}" if page.limit else "**Here**:",
        markdown([["claim", "estimate", "95 % interval", "verdict"], *(claim.row() for claim in page.claims)]),
        f"![{study.title}]({study.name}.png)",
        markdown(page.table),
        *([page.notes] if page.notes else []),
    ]
    return _told(study, found, "How it was done", {**design, **_costs(study, numbers)})


def planned(study: Study) -> str:
    """The page before anything is measured: what is asked, and how it is measured."""
    return _told(study, ["**Here**: not measured yet."], "How it is done", study.design)


def _told(study: Study, found: Sequence[str], how: str, design: Mapping[str, str]) -> str:
    command = f"python studies/{study.name}.py {study.given}".rstrip()
    parts = [
        f"# {study.title}",
        f"**The paper**: {study.finding}",
        *found,
        f"## {how}",
        markdown([["", ""], *([key, told] for key, told in design.items())]),
        "## What a reviewer would ask",
        "\n".join(f"- *{question}* {answer}" for question, answer in study.doubts.items()),
        f"**What would change this**: {study.moves}",
        f"`{command}` {'trains, measures' if study.arms else 'measures'} and writes this page.",
    ]
    return "\n\n".join(parts) + "\n"


def rounded(value: Any) -> Any:
    """Numbers as a page may need them, in fewer digits than they were computed with."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return round(value, 5) if isinstance(value, float) else value


def _costs(study: Study, numbers: Json) -> dict[str, str]:
    if "minutes" not in numbers:
        return {}
    told = (f"{name} {sum(each) / len(each):.1f}" for name, each in numbers["minutes"].items())
    seeds = f"{len(study.seeds)}; of one seed all arms have the same initial weights, data and noise where they can"
    return {"seeds": seeds, "minutes a training, on a share of a busy core": ", ".join(told)}
