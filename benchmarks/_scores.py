"""Scores of a model as tables: shares with intervals, of sets of prompts, of classes and of words; and as a file."""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from zoetrope.cascade.spec import StageSpec
from zoetrope.models.beside import left_open
from zoetrope.models.opening import OpenModel

AIMS = {
    "combinations": {"colour": 0.95, "shape": 0.90, "motion": 0.85},
    "wordings": {"colour": 0.80, "shape": 0.80, "motion": 0.80},
}
TOLD = {
    "combinations": "held-out combinations",
    "wordings": "held-out words",
    "familiar": "as in training",
    "hues": "remote names of colours",
    "pairs": "two objects",
    "letters": "letters",
    "solids": "3-D objects",
    "styles": "drawn styles",
}
ASPECTS = ("colour", "shape", "motion", "relation", "all")
Scores = Mapping[str, Mapping[str, Mapping[str, Any]]]


def table(scores: Scores) -> str:
    """All tables, of sets, stages and what was seen."""
    there = {aspect for stages in scores.values() for told in stages.values() for aspect in told["aspects"]}
    aspects = tuple(aspect for aspect in ASPECTS if aspect in there)
    parts = [lines(("prompts", "after", "number", *aspects), _shares(scores, aspects))]
    if rows := list(_aims(scores)):
        parts.append(lines(("prompts", "after", "aim", "measured", "reached"), rows))
    for name, stages in scores.items():
        if kind := _kind(next(iter(stages.values()))):
            heads = (TOLD[name], "prompts", *(f"after {stage}" for stage in stages))
            parts.append(lines(heads, _each(stages, kind)))
    return "\n\n".join(parts)


def zeros(scores: Scores) -> set[str]:
    """Classes and words of which not one video is right after some stage, as "motion spin"."""
    return {
        f"{aspect} {name}"
        for stages in scores.values()
        for told in stages.values()
        if _kind(told)
        for aspect, shares in told[_kind(told)].items()
        for name, share in shares.items()
        if share["right"] == 0
    }


def _kind(told: Mapping[str, Any]) -> str:
    """What single values are told of: words, where prompts have unseen ones, else classes."""
    return "words" if told["words"] else "classes" if told["classes"] else ""


def _shares(scores: Scores, aspects: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, stages in scores.items():
        for stage, told in stages.items():
            cells = [share_told(told["aspects"].get(aspect), told["videos"]) for aspect in aspects]
            yield TOLD[name], stage, f"{told['prompts']} x {told['videos'] // told['prompts']}", *cells


def _aims(scores: Scores) -> Iterator[tuple[str, ...]]:
    for name, stages in scores.items():
        for aspect, aim in AIMS.get(name, {}).items():
            for stage, told in stages.items():
                if (share := told["aspects"].get(aspect)) is None:
                    continue
                yield TOLD[name], stage, f"{aspect} {100 * aim:.0f} %", share_told(share), reached(share, aim)


def reached(share: Mapping[str, Any], aim: float) -> str:
    """Whether an aim is reached: "yes" if the whole interval reaches it, "no" if none of it does."""
    return "yes" if share["low"] >= aim else "no" if share["high"] < aim else "not decided"


def mean_reached(mean: Mapping[str, Any], aim: float) -> str:
    """Whether a mean reaches an aim, as `reached`; of a single value it is not decided."""
    half = math.inf if mean["half"] is None else mean["half"]
    return reached({"low": mean["value"] - half, "high": mean["value"] + half}, aim)


def _each(stages: Mapping[str, Mapping[str, Any]], kind: str) -> Iterator[tuple[str, ...]]:
    """A line for each class or word: right of how many, after every stage; a stage may have been asked for fewer."""
    every: dict[str, dict[str, None]] = {}
    for told in stages.values():
        for aspect, shares in told[kind].items():
            every.setdefault(aspect, {}).update(dict.fromkeys(shares))
    for aspect, names in every.items():
        for name in names:
            cells = [told[kind].get(aspect, {}).get(name) for told in stages.values()]
            clusters = max(cell["clusters"] for cell in cells if cell is not None)
            yield f"{aspect} {name}", str(clusters), *map(counted, cells)


def counted(share: Mapping[str, Any] | None) -> str:
    """ "3 of 4"; "-" of what was not asked for."""
    return "-" if share is None else f"{share['right']} of {share['samples']}"


def share_told(share: Mapping[str, Any] | None, videos: int | None = None) -> str:
    """ "88.3 % (82 to 93)", or "88.3 % of 60 (82 to 93)" where not all `videos` are judged."""
    if share is None:
        return "-"
    value = share["right"] / share["samples"]
    count = "" if videos in (None, share["samples"]) else f" of {share['samples']}"
    return f"{100 * value:.1f} %{count} ({100 * share['low']:.0f} to {100 * share['high']:.0f})"


def lines(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    every = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in every)


def weights_of(model: OpenModel, stage: StageSpec) -> str:
    """The SHA-256 of a stage's weights."""
    return hashlib.sha256(model.weights[stage.name].read_bytes()).hexdigest()


def write_scores(folder: Path, model: OpenModel, dtype: Any, sets: Scores) -> Scores:
    """Write scores.json with the scores of some sets, and return all: those there of the same weights stay in it.

    Scores of other weights, or sampled in another way, are moved to a file of their own, which is told.
    """
    path = folder / "scores.json"
    told: dict[str, Any] = {
        "model": model.spec.name,
        "weights": {stage.name: weights_of(model, stage) for stage in model.spec.stages},
        "dtype": str(dtype).removeprefix("torch."),
        "beside": left_open(model, model.spec.stages),
        "sampling": {stage.name: stage.sampling.to_json() for stage in model.spec.stages},
    }
    there = json.loads(path.read_text()) if path.exists() else {}
    known = {}
    if all(there.get(name, value) == value for name, value in told.items()):  # some were not always told
        known = there.get("sets", {})
    elif there:
        other = folder / f"scores-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.json"
        os.replace(path, other)
        print(f"{path}: had scores of another model, or sampled in another way; these are in {other.name} now")
    every = known | {name: {**known.get(name, {}), **stages} for name, stages in sets.items()}
    write_whole(path, json.dumps({**told, "sets": every}, indent=1) + "\n")
    return every


def write_whole(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    os.replace(partial, path)
