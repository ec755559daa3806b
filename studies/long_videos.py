"""Long videos: in which order a base that sees 16 frames makes the 180 of a minute.

python studies/long_videos.py
"""

import math
import time
from collections.abc import Sequence
from functools import cache, partial
from itertools import groupby
from typing import Any

import _known
import numpy as np
import torch
from _arms import DEVICE
from _claims import Claim, clustered, discordant, markdown, of_shares, share, share_interval, unit
from _intervals import Interval, by_prompt, over_prompts
from _judge import put_together
from _main import main
from _measured import Json, Kept
from _sampler import DTYPE
from _study import Folders, Page, Study

from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.data.toybox.course import draw as drawn
from zoetrope.data.toybox.long import LongPrompt, long_prompts
from zoetrope.data.toybox.story import DAYS, Rgb
from zoetrope.data.toybox.vocabulary import BACKGROUNDS, COLOURS, FLAT_SHAPES
from zoetrope.metrics.recogniser import foreground, recognise
from zoetrope.models.cascade import Cascade
from zoetrope.models.opening import open_model
from zoetrope.shapes import VideoShape
from zoetrope.video import Video

SECONDS, PROMPTS, NOISES, SEED = 60.0, 16, 1, 5
GIVEN = 16  # frames: a clip
WINDOW, LAST = 5, 15  # frames in which colours are looked at, and those of the last five seconds
LOST = 255.0  # how far the colour of a thing counts as being that is not seen
STABLE = 6.0  # logsnr that known frames are told to be at: noise of about 6 steps of 255
AGREE = 0.55
PLAIN, BEST = "autoregressive", "hierarchy, 2 levels"
WAYS: dict[str, tuple[Json, Json]] = {  # the scheme, and fields of the method for known frames
    PLAIN: ({"type": "autoregressive"}, {}),
    "long range": ({"type": "long_range"}, {}),
    BEST: ({"type": "hierarchy", "levels": 2}, {}),
    "hierarchy, 3 levels": ({"type": "hierarchy", "levels": 3}, {}),
    "adaptive": ({"type": "adaptive"}, {}),
    "pyramid": ({"type": "pyramid"}, {}),
    "autoregressive, history 1": ({"type": "autoregressive"}, {"history": 1.0}),
    "autoregressive, stabilised": ({"type": "autoregressive"}, {"level": STABLE}),
}
SCHEMES = [way for way in WAYS if way != PLAIN and not way.startswith(PLAIN)]
TRUE, REPEATED = "true clips", "the clip repeated"
ASPECTS = ("colour", "shape", "both", "told")
HEAD = ("colour", "shape", "both", "colours as told")
Frames = np.ndarray


@cache
def _cascade(history: float = 0.0, level: float | None = None) -> Cascade:
    """The model with these fields of its base's method for known frames."""
    model = open_model(_known.MODEL)
    known = {"type": "learnt", "history": history, "level": level}
    spec = tuned(model.spec, Tuning(fields=[(f"{model.spec.stages[0].name}.sampling.known", known)]))
    return Cascade.of(model._replace(spec=spec), device=DEVICE, dtype=DTYPE)


def _shape() -> VideoShape:
    return _cascade().spec.stages[0].shape


@cache
def _prompts() -> list[LongPrompt]:
    """Flat things on backgrounds that stay as they are; every second one turns into another colour."""
    found = [one for one in long_prompts(12 * PROMPTS, SECONDS, seed=SEED) if _is_plain(one)]
    turning, staying = ([one for one in found if bool(one.story.becomes) == turns] for turns in (True, False))
    return [one for pair in zip(turning[: PROMPTS // 2], staying[: PROMPTS // 2], strict=True) for one in pair]


def _is_plain(one: LongPrompt) -> bool:
    return one.story.thing.shape in FLAT_SHAPES and one.story.background != DAYS


def _filmed(prompt: LongPrompt) -> Frames:
    """The true clip of a prompt, (F, H, W, 3) uint8."""
    shape = _shape().with_(frames=round(SECONDS * _shape().fps))
    return (drawn(prompt.course, shape) * 255).round().astype(np.uint8)


def judged(frames: Frames, prompt: LongPrompt, fps: float) -> Json:
    """What a long video (F, H, W, 3) uint8 shows of its prompt.

    colour, shape, both: 1 or 0 in its last five seconds. told: whether the thing has each of the colours that are told
    once, one after the other, and no other. behind, thing: how far the colour of the background, and of the thing from
    the nearest that is told, are from the truth in steps of 255, each five seconds (the root mean square).
    """
    story, seen = prompt.story, recognise(frames[-LAST:], fps)
    colour, shape = seen.colour == story.colours[-1], seen.shape == story.thing.shape
    palette = [prompt.course.item.rgb, *(COLOURS[name].rgb for name in story.colours[1:])]
    behind, thing, names = list[float](), list[float](), list[str]()
    for start in range(0, len(frames), WINDOW):
        video = foreground.working(frames[start : start + WINDOW])
        back = foreground.backdrop(video)
        paint = foreground.paint(video, back, foreground.largest_blob(foreground.foreground(video, back)).core)
        truth = BACKGROUNDS[story.background]
        behind.append(_distance([*back.top, *back.bottom], [*truth.top, *truth.bottom]))
        lost = paint.name is None
        thing.append(LOST if lost else min(_distance(paint.rgb, rgb) for rgb in palette))
        names += [] if paint.name is None or paint.share < AGREE else [paint.name]
    told = [name for name, _ in groupby(names)] == list(story.colours)
    steps = LAST // WINDOW
    return {
        "colour": float(colour),
        "shape": float(shape),
        "both": float(colour and shape),
        "told": float(told),
        "behind": _means(behind, steps),
        "thing": _means(thing, steps),
    }


def _distance(one: Sequence[float] | Frames, other: Sequence[float] | Rgb) -> float:
    """The root mean square of the differences of colours, in steps of 255."""
    return 255 * math.sqrt(float(np.square(np.asarray(one, float) - np.asarray(other, float)).mean()))


def _means(values: Sequence[float], count: int) -> list[float]:
    """The mean of each `count` values."""
    return np.asarray(values, float).reshape(-1, count).mean(1).tolist()  # type: ignore[no-any-return]


def _together(each: Sequence[Json]) -> Json:
    return {key: [one[key] for one in each] for key in each[0]}


def _true() -> Json:
    return _together([judged(_filmed(prompt), prompt, _shape().fps) for prompt in _prompts()])


def _repeated() -> Json:
    """The given clip again and again."""
    made = []
    for prompt in _prompts():
        frames = _filmed(prompt)
        made.append(judged(frames[np.arange(len(frames)) % GIVEN], prompt, _shape().fps))
    return _together(made)


def _one(way: str, number: int, noise: int) -> Json:
    """What the video of one prompt shows, and how long it took."""
    (scheme, fields), prompt, began = WAYS[way], _prompts()[number], time.process_time()
    given = Video(_filmed(prompt)[:GIVEN], _shape().fps)
    wanted = {"seconds": SECONDS, "prompt": prompt.text, "scheme": scheme, "seed": noise, "sample": number}
    first = _cascade().spec.stages[0].name
    with torch.inference_mode():
        made = np.stack(list(_cascade(**fields).extend(given, until=first, **wanted)))
    seconds = time.process_time() - began
    return {**judged(made, prompt, _shape().fps), "seconds": seconds}


def measure(folders: Folders, kept: Kept) -> Json:
    """What the videos of every scheme show, beside true ones and a clip repeated."""
    stories = [prompt.story for prompt in _prompts()]
    numbers: Json = {
        "kinds": [[f"motion {story.motion}", "turns" if story.becomes else "keeps its colour"] for story in stories],
        TRUE: put_together([kept("true", _true)]),
        REPEATED: put_together([kept("repeated", _repeated)]),
    }
    for way in WAYS:
        tables = []
        for noise in range(NOISES):
            name = way.replace(", ", "-").replace(" ", "-")
            tables.append(
                _together([kept(f"{name}-{n}-{noise}", partial(_one, way, n, noise)) for n in range(PROMPTS)])
            )
        numbers[way] = put_together(tables)
    return numbers


def page(numbers: Json) -> Page:
    """The findings and the plot."""
    claims = [of_shares(f"{way}: right more often than autoregressive", *_of(numbers, way, "both")) for way in SCHEMES]
    claims += [_steadier(f"{way}: less drift of the background than autoregressive", numbers, way) for way in SCHEMES]
    claims.append(of_shares(f"{BEST}: colours as told more often than autoregressive", *_of(numbers, BEST, "told")))
    for way in (PLAIN, BEST):
        told = f"{way}: right more often than the clip repeated"
        claims.append(of_shares(told, *_of(numbers, way, "both", REPEATED)))
    for way in ("autoregressive, history 1", "autoregressive, stabilised"):
        claims.append(_steadier(f"{way}: less drift of the background than without", numbers, way))
    ways = [TRUE, REPEATED, *WAYS]
    rows = [["way", *HEAD, "both: 95 % interval", "background off", "thing off", "seconds a video"]]
    for way in ways:
        one = numbers[way]
        seconds = f"{sum(map(sum, one['seconds'])) / sum(map(len, one['seconds'])):.0f}" if "seconds" in one else ""
        drift = [_told(over_prompts(by_prompt(_last(one[key])))) for key in ("behind", "thing")]
        rows.append([way, *(share(one[key]) for key in ASPECTS), share_interval(one["both"]), *drift, seconds])
    chance = (1 / len(COLOURS), 1 / len(FLAT_SHAPES))
    rows.append(["by chance", *(f"{each:.1%}" for each in (*chance, chance[0] * chance[1])), "", "", "", "", ""])

    def draw(axes: Any) -> None:
        for axis, key in zip(axes, ("behind", "thing"), strict=True):
            for way in [TRUE, PLAIN, *SCHEMES]:
                means = np.asarray(numbers[way][key]).mean((0, 1))
                axis.plot((np.arange(len(means)) + 0.5) * LAST / 3, means, label=way)
            axis.set(xlabel="seconds", ylim=(0, None))
        axes[0].set(ylabel="background's colour off, of 255")
        axes[1].set(ylabel="thing's colour off, of 255")
        axes[0].legend(frameon=False, fontsize=7)

    notes = "\n\n".join([discordant(claims), "Colour and shape right by kind of story:", _kinds(numbers, ways)])
    return Page(claims, rows, draw, notes)


def _of(numbers: Json, way: str, key: str, other: str = PLAIN) -> tuple[Any, Any]:
    """The tables of a way and of another, each with as many noises as the first."""
    one, less = numbers[way][key], numbers[other][key]
    return one, less * len(one) if len(less) == 1 else less


def _steadier(text: str, numbers: Json, way: str) -> Claim:
    """That the background is nearer to the truth in the last five seconds than that of autoregression."""
    return Claim(text, over_prompts(by_prompt(*map(_last, _of(numbers, PLAIN, "behind", way)))), unit("of 255", 1))


def _last(table: Sequence[Sequence[Sequence[float]]]) -> list[list[float]]:
    """Of what is known of each five seconds (R, C, N), that of the last ones."""
    return [[each[-1] for each in row] for row in table]


def _told(found: Interval) -> str:
    return f"{found.value:.1f} ({found.low:.1f} to {found.high:.1f})"


def _kinds(numbers: Json, ways: Sequence[str]) -> str:
    """The share that is right of every kind of story, as a table."""
    rows = [["story", "prompts", *ways]]
    for kind in sorted({kind for kinds in numbers["kinds"] for kind in kinds}):
        own = [number for number, kinds in enumerate(numbers["kinds"]) if kind in kinds]
        tables = [[[row[k] for k in own] for row in numbers[way]["both"]] for way in ways]
        rows.append([kind, str(len(own)), *(f"{clustered(table).value:.0%}" for table in tables)])
    return markdown(rows)


STUDY = Study(
    name="long_videos",
    title="Long videos: in which order frames are made",
    finding="a video that is made stretch by stretch, each given the frames right before it, forgets what was earlier; "
    "schemes that also observe frames from long ago, or that make frames far apart first, remember it, and which is "
    "best depends on the data (Harvey et al. 2022, arXiv:2205.11495, Sec. 4 and 5). Frames of different noise levels, "
    "a little noise told of frames that were made (Chen et al. 2024, arXiv:2407.01392) and guidance by history (Song "
    "et al. 2025, arXiv:2502.06764) make long videos steadier.",
    design={
        "network": "mini's base as it ships, which learnt frames given frames of up to a minute; nothing is trained",
        "videos": f"{PROMPTS} prompts of toybox's long world, of sentences and stories that training never tells, on "
        "backgrounds that stay as they are and of flat shapes, half of which turn into another colour once; the first "
        f"{GIVEN} frames of a true clip and the words are given, and a minute, 180 frames of 24x40, is made; {NOISES} "
        "noise, bfloat16",
        "schemes": "half of the 16 frames of a call are made, the rest is observed; adaptive chooses by mean colours "
        "on a grid of 8 x 8",
        "right": "what the recogniser sees in the last five seconds; no true clip changes its colour in them",
        "colours as told": f"looked at every {WINDOW} frames: each colour that is told once, one after the other, and "
        "no other",
        "off": "how far colours are from the truth, in steps of 255, in the last five seconds; of a thing from the "
        "nearest colour that is told, and 255 where none is seen",
        "history, stabilised": "guidance by history of weight 1, which takes twice as many calls; known frames told to "
        f"be at a logsnr of {STABLE:g}",
        "baselines": "the given clip repeated, true clips, chance",
        "seconds": "of one core, which other work shared; no verdict",
        "intervals": "of shares Wilson's; of differences Student's over prompts (`studies/README.md`). With "
        f"{PROMPTS} prompts about 30 points for shares were expected",
    },
    arms={},
    measure=measure,
    page=page,
    doubts={
        "Can a repeated clip be right?": "Of the half of the stories whose thing keeps its colour, always, and its "
        "colours never drift: a scheme is of use if it is right where the colour changes, and no worse elsewhere. The "
        "table by kind of story tells the two apart.",
        "Does the network know when the colour is to change?": "No: it knows how far apart frames are, not when the "
        "video began. A scheme that goes stretch by stretch must let it happen by chance, at about the rate of "
        "training, and may never do so in a minute; one that makes the whole course first places it once.",
        "Are schemes given the same work?": "The same network and 16 frames a call, half of them made. Rolling windows "
        "and hierarchies have a few more calls; seconds are in the table.",
        "Could the recogniser be what drifts?": "Of true clips it finds every colour and shape, and is off by less "
        "than one step of 255.",
        "Could it come from noise?": "Ways share prompts and given frames, and the first noise of every frame. Each "
        "prompt has one noise; intervals are over prompts.",
        "What of days and nights, letters and solids?": "Left out: what colour is right depends on a course that the "
        "given frames do not settle, and solids are shaded.",
    },
    moves="more prompts: four times as many halve the intervals; longer videos; a world in which what was seen once "
    "comes back; a network that was trained on its own made frames.",
    models=("mini",),
)

if __name__ == "__main__":
    main(STUDY)
