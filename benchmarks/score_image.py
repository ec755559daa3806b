"""What a text-to-image model of toybox makes of prompts that training never saw, judged by the analytic recogniser.

    python benchmarks/score_image.py --model mini_image --out runs/score_image

Three sets of prompts of one flat object each: those that combine a colour with a shape that no training picture shows
so ("unseen"), those as in training ("seen"), and those in words that training never used ("words"). A picture is right
if the recogniser names the colour, the shape or, where the prompt tells it, the background that the prompt says; of
prompts with new words only what these words tell is judged. Every picture has noise of its own: noise k of prompt n is
that of seed k and sample n.

Beside each stage there are two rows that no model makes: "true pictures" of the same prompts, on the last stage's grid,
which say how much the recogniser itself misses, and "another's picture", a true picture of another prompt of the set,
drawn at random for each, which says what is right by chance.

Intervals hold 95 % and are clustered by prompt: they are of further prompts like these. For unseen combinations and new
words a second one is clustered by combination or word: it is of further ones, of which there are few. An aim counts as
reached if all of the first interval reaches it.

Prints the tables; writes them as table.md, all numbers as scores.json, and a sheet of pictures for each set, a column
of all noises for each of the first twelve prompts. Sets that scores.json has of the same weights stay in it.
"""

import argparse
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from _options import least, positive
from _scores import counted, reached, write_scores, write_whole
from numpy.typing import NDArray

from zoetrope.data.toybox.captions import image_caption
from zoetrope.data.toybox.prompts import SEED
from zoetrope.data.toybox.render import render
from zoetrope.data.toybox.scene import SECONDS, Script, held_out_pairs, scene, script
from zoetrope.data.toybox.vocabulary import BACKGROUNDS, COLOURS, FLAT_SHAPES, HELD_OUT_COLOUR_SHAPE
from zoetrope.metrics.intervals import Proportion
from zoetrope.metrics.recogniser import recognise_picture
from zoetrope.models.cascade import Cascade
from zoetrope.models.opening import open_model
from zoetrope.models.precision import compute_dtype
from zoetrope.shapes import VideoShape
from zoetrope.video import save_image

BATCH = 32
TRUE, OTHER = "true pictures", "another's picture"
ASPECTS = ("colour", "shape", "background", "colour and shape")
AIMS = {"unseen": {"colour": 0.97, "shape": 0.97}}
SINGLE = ("combinations", "words", "classes")  # what is told one by one
Picture = NDArray[np.uint8]


class Asked(NamedTuple):
    """A prompt and what its picture should show.

    Attributes:
        aspects: which of "colour", "shape" and "background" are judged.
        words: of a prompt with new words, these, by aspect.
    """

    text: str
    script: Script
    aspects: tuple[str, ...]
    words: Mapping[str, str]

    @property
    def truth(self) -> dict[str, str]:
        """What is right of each aspect."""
        thing = self.script.things[0]
        every = {"colour": thing.colour, "shape": thing.shape, "background": self.script.background}
        return {aspect: every[aspect] for aspect in self.aspects}

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Its combinations of colour and shape that training never shows."""
        return tuple(pair for pair in held_out_pairs(self.script) if pair in HELD_OUT_COLOUR_SHAPE)


class Judged(NamedTuple):
    """A picture: the number of its prompt, of each aspect what is true and what is seen; and what is new in it.

    Attributes:
        pairs: combinations that training never shows; words: those that it never uses, by aspect.
    """

    prompt: int
    truth: dict[str, str]
    seen: dict[str, str | None]
    pairs: tuple[tuple[str, str], ...] = ()
    words: Mapping[str, str] = MappingProxyType({})


def asked(told: Script, new_words: bool = False) -> Asked:
    """The prompt of a script: its caption as a picture, and what that tells."""
    text = image_caption(told, held_out_words=new_words)
    thing = told.things[0]
    tables = {"colour": COLOURS[thing.colour].words, "shape": FLAT_SHAPES[thing.shape]}
    behind = BACKGROUNDS[told.background].words
    if new_words:
        found = {a: word for a, words in tables.items() for word in words.held_out if _has(text, word)}
        return Asked(text, told, tuple(found), found)
    shown = any(_has(text, phrase) for phrase in behind.train)
    return Asked(text, told, ("colour", "shape", "background") if shown else ("colour", "shape"), {})


def _has(text: str, phrase: str) -> bool:
    return re.search(rf"\b{re.escape(phrase)}\b", text) is not None


def unseen(number: int) -> list[Asked]:
    """Combinations of colour and shape that training never shows, the rarest as often as the others."""
    every = (one for one in _singles(held_out=True) if one.pairs)
    combinations = [pair for pair in HELD_OUT_COLOUR_SHAPE if pair[1] in FLAT_SHAPES]
    most = -(-number // len(combinations))
    chosen: dict[tuple[str, str], list[Asked]] = {pair: [] for pair in combinations}
    for one in every:
        if len(chosen[one.pairs[0]]) < most:
            chosen[one.pairs[0]].append(one)
        if all(len(several) == most for several in chosen.values()):
            break
    return [chosen[pair][turn] for turn in range(most) for pair in combinations][:number]


def seen(number: int) -> list[Asked]:
    """What training shows, told as training tells it, of scripts that it does not have."""
    return list(islice(_singles(), number))


def words(number: int) -> list[Asked]:
    """The same in words for a colour or a shape that training never uses."""
    return list(islice((one for one in _singles(new_words=True) if one.aspects), number))


def _singles(*, held_out: bool = False, new_words: bool = False) -> Iterator[Asked]:
    for seed in count(SEED):
        told = script(seed, held_out=held_out)
        if not told.relation and told.style == "flat" and told.things[0].shape in FLAT_SHAPES:
            yield asked(told, new_words)


SETS: dict[str, Callable[[int], list[Asked]]] = {"unseen": unseen, "seen": seen, "words": words}


def true_picture(one: Asked, number: int, shape: VideoShape) -> Picture:
    """A picture of the prompt as toybox draws it, at a moment of its own; `number` says which."""
    rng = np.random.default_rng(np.random.SeedSequence([SEED, number]))
    drawn = render(scene(one.script, int(rng.integers(2**63))), shape, float(rng.uniform(0, SECONDS)))
    return np.asarray((drawn[0] * 255).round(), np.uint8)


def judged(prompts: Sequence[Asked], pictures: Sequence[Sequence[Picture]]) -> list[Judged]:
    """What is seen in each picture of each prompt."""
    found = []
    for number, (one, several) in enumerate(zip(prompts, pictures, strict=True)):
        for picture in several:
            shown = recognise_picture(picture)
            saw = {aspect: getattr(shown, aspect) for aspect in one.aspects}
            found.append(Judged(number, one.truth, saw, one.pairs, one.words))
    return found


def summary(found: Sequence[Judged]) -> dict[str, Any]:
    """Shares with intervals: of each aspect by prompt and by what is new, of each class, combination and word.

    "colour and shape" is of pictures of which both are judged.
    """
    hits: dict[tuple[str, ...], list[tuple[bool, Hashable]]] = defaultdict(list)
    for one in found:
        right = {aspect: one.seen[aspect] == value for aspect, value in one.truth.items()}
        for aspect, value in one.truth.items():
            hits["classes", f"{aspect} {value}"].append((right[aspect], one.prompt))
        for aspect, word in one.words.items():
            hits["words", f"{aspect} {word}"].append((right[aspect], one.prompt))
        if {"colour", "shape"} <= right.keys():
            right["colour and shape"] = right["colour"] and right["shape"]
            for pair in one.pairs:
                hits["combinations", " ".join(pair)].append((right["colour and shape"], one.prompt))
        for aspect, hit in right.items():
            hits["aspects", aspect].append((hit, one.prompt))
            if new := one.pairs or one.words.get(aspect):
                hits["by what is new", aspect].append((hit, new))
    told: dict[str, Any] = {kind: {} for kind in ("aspects", "by what is new", *SINGLE)}
    for (kind, name), values in sorted(hits.items()):
        share = Proportion.of([hit for hit, _ in values], [cluster for _, cluster in values])
        told[kind][name] = share.to_json()
    return {"pictures": len(found), "prompts": len({one.prompt for one in found}), **told}


def made(cascade: Cascade, prompts: Sequence[Asked], noises: int) -> dict[str, list[list[Picture]]]:
    """`noises` pictures of each prompt after every stage."""
    found: dict[str, list[list[Picture]]] = {stage.name: [[] for _ in prompts] for stage in cascade.spec.stages}
    for noise in range(noises):
        for start in range(0, len(prompts), BATCH):
            part = range(start, min(start + BATCH, len(prompts)))
            for now in cascade.stream([prompts[i].text for i in part], seed=noise, samples=part):
                if now.done:
                    for number, video in zip(part, now.videos(), strict=True):
                        found[now.stage][number].append(video.frames[0])
    return found


def table(scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """All tables: aspects of each set and row, aims, what is new, and everything one by one."""
    rows = []
    for name, each in scores.items():
        for row, told in each.items():
            cells = (_share(told["aspects"].get(aspect)) for aspect in ASPECTS)
            rows.append((name, row, f"{told['prompts']} x {told['pictures'] // told['prompts']}", *cells))
    parts = [_lines(("prompts", "pictures", "number", *ASPECTS), rows)]
    if rows := list(_aims(scores)):
        parts.append(_lines(("prompts", "pictures", "aim", "measured", "reached"), rows))
    for name, each in scores.items():
        first = next(iter(each.values()))
        if first["by what is new"]:
            cells = [(row, *(_share(told["by what is new"].get(a)) for a in ASPECTS)) for row, told in each.items()]
            new = "combinations" if first["combinations"] else "words"
            parts.append(_lines((f"{name}: of further {new}", *ASPECTS), cells))
        for kind in SINGLE:
            if first[kind] and not (kind == "classes" and first["words"]):
                every = dict.fromkeys(one for told in each.values() for one in told[kind])
                counts = [(one, *(counted(told[kind].get(one)) for told in each.values())) for one in every]
                parts.append(_lines((f"{name}: {kind}", *each), counts))
    return "\n\n".join(parts)


def _aims(scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[tuple[str, ...]]:
    for name, each in scores.items():
        for aspect, aim in AIMS.get(name, {}).items():
            for row, told in each.items():
                if row not in (TRUE, OTHER) and (share := told["aspects"].get(aspect)) is not None:
                    yield name, row, f"{aspect} {100 * aim:.0f} %", _share(share), reached(share, aim)


def failures(scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> set[str]:
    """Combinations, words and classes of which a stage draws less than half right, as "words: colour greenish"."""
    return {
        f"{kind}: {name}"
        for each in scores.values()
        for row, told in each.items()
        if row not in (TRUE, OTHER)
        for kind in SINGLE
        if not (kind == "classes" and told["words"])
        for name, share in told[kind].items()
        if 2 * share["right"] < share["samples"]
    }


def _share(share: Mapping[str, Any] | None) -> str:
    if share is None:
        return "-"
    low, high = 100 * share["low"], 100 * share["high"]
    return f"{100 * share['right'] / share['samples']:.1f} % ({low:.0f} to {high:.0f})"


def _lines(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def sheet(pictures: Sequence[Sequence[Picture]]) -> Picture:
    """Pictures in rows, with white between them."""
    rows = [
        np.concatenate([np.pad(one, ((2, 2), (2, 2), (0, 0)), constant_values=255) for one in row], axis=1)
        for row in pictures
    ]
    return np.concatenate(rows)


def others(pictures: Sequence[Sequence[Picture]]) -> list[list[Picture]]:
    """For each picture of a prompt that of another prompt, any as likely. Raises ValueError for a single prompt."""
    if len(pictures) < 2:
        raise ValueError("prompts: expected at least 2, of which each has another, got 1")
    rng, total = np.random.default_rng(SEED), len(pictures)
    return [
        [pictures[(n + int(rng.integers(1, total))) % total][k] for k in range(len(several))]
        for n, several in enumerate(pictures)
    ]


def scored(cascade: Cascade, prompts: Sequence[Asked], noises: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The scores of every row of a set, and the pictures after every stage."""
    pictures = made(cascade, prompts, noises)
    last = cascade.spec.stages[-1].shape
    true = [[true_picture(one, noises * n + k, last) for k in range(noises)] for n, one in enumerate(prompts)]
    rows = {**pictures, TRUE: true, OTHER: others(true)}
    return {row: summary(judged(prompts, several)) for row, several in rows.items()}, pictures


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, judge, write. Raises ValueError for a model that makes videos."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True, help="a folder of a model, of runs, or the run of a single stage")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", choices=list(SETS), default=list(SETS))
    parser.add_argument("--prompts", type=least(2), default=180, help="of each set")
    parser.add_argument("--noises", type=positive, default=2, help="pictures of each prompt")
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = open_model([options.model])
    cascade = Cascade.of(model, device=device, dtype=compute_dtype(device))
    if (frames := cascade.spec.stages[-1].shape.frames) > 1:
        raise ValueError(f"{options.model}: expected a model of single pictures, got one of {frames} frames")
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.sets:
        prompts = SETS[name](options.prompts)
        scores, pictures = scored(cascade, prompts, options.noises)
        print(table({name: scores}), flush=True)
        shown = pictures[cascade.spec.stages[-1].name][:12]
        save_image(options.out / f"{name}.png", sheet(list(zip(*shown, strict=True))))
        every = write_scores(options.out, model, cascade.dtype, {name: scores})
        write_whole(options.out / "table.md", table(every) + "\n")


if __name__ == "__main__":
    main()
