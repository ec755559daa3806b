"""What is in a toybox clip: a `Script` says what a caption can say, a `Scene` adds every position, size and speed.

Lengths are in frame heights from the middle of the frame, x to the right and y down; angles in radians, times in
seconds. The frame is taken to be 5/3 as wide as it is high, and a clip to last `SECONDS`.
"""

import math
from typing import NamedTuple

import numpy as np

from zoetrope.config import Config
from zoetrope.data.toybox import vocabulary as words

SECONDS = 16 / 3
LONGEST = SECONDS + 0.005  # clips of more seconds come from the long world, where courses go on
ASPECT = 5 / 3


class Thing(Config):
    """One object as a caption names it; `letter` is empty unless the shape is "letter"."""

    shape: str
    colour: str
    letter: str = ""


class Script(Config):
    """Everything about a clip that a caption can say, and `wording`, the number that selects the words.

    `relation` is where the first of two things stands with respect to the second; empty for one thing.
    """

    things: tuple[Thing, ...]
    motion: str
    background: str
    style: str = "flat"
    relation: str = ""
    wording: int = 0


class Object(Config):
    """One thing with its course through a clip.

    `amount` is the motion's size: heights travelled in a clip, radians per second (spin), ratio of the last to the
    first size (grow, shrink), radius of the orbit or height of a jump. `turns` is the number of orbits, negative
    against the clock, or of jumps in a clip; `phase` in turns is where they start.
    """

    shape: str
    rgb: tuple[float, float, float]
    diameter: float
    x: float
    y: float
    motion: str
    letter: str = ""
    angle: float = 0.0
    amount: float = 0.0
    turns: float = 0.0
    phase: float = 0.0


class Scene(Config):
    """A clip, fully determined: `render` needs nothing else. `stars` are (x, y, radius)."""

    objects: tuple[Object, ...]
    background: str
    style: str = "flat"
    stars: tuple[tuple[float, float, float], ...] = ()


class Pose(NamedTuple):
    """Where an object is at one moment: its centre, radius and angle."""

    x: float
    y: float
    radius: float
    angle: float


def pose(item: Object, time: float) -> Pose:
    """An object's pose `time` seconds after the start of its clip."""
    progress = time / SECONDS
    x, y, radius, angle = item.x, item.y, item.diameter / 2, item.angle
    match item.motion:
        case "left":
            x -= item.amount * (progress - 0.5)
        case "right":
            x += item.amount * (progress - 0.5)
        case "up":
            y -= item.amount * (progress - 0.5)
        case "down":
            y += item.amount * (progress - 0.5)
        case "spin":
            angle += item.amount * time
        case "grow" | "shrink":
            radius *= 1 + (item.amount - 1) * progress
        case "orbit":
            turn = 2 * math.pi * (item.phase + item.turns * progress)
            x, y = x + item.amount * math.cos(turn), y + item.amount * math.sin(turn)
        case "bounce":
            fall = (item.phase + item.turns * progress) % 1
            y -= item.amount * (4 * fall * (1 - fall) - 0.5)
    return Pose(x, y, radius, angle)


def path_length(item: Object) -> float:
    """How far an object's centre travels in a clip, in frame heights."""
    match item.motion:
        case "left" | "right" | "up" | "down":
            return item.amount
        case "orbit":
            return 2 * math.pi * item.amount * abs(item.turns)
        case "bounce":
            return 2 * item.amount * abs(item.turns)
        case _:
            return 0.0


def script(seed: int, held_out: bool = False) -> Script:
    """The script of this seed: without any held-out combination, or, if `held_out`, with at least one."""
    rng = np.random.default_rng(seed)
    # The kind is drawn once: what is refused below must not change how often each kind is seen.
    kind = str(
        rng.choice(
            ["flat", "solid", "letter", "pair", "style"],
            p=[0.70, 0.08, 0.07, 0.08, 0.07],
        )
    )
    while True:
        drawn = _draw(rng, kind)
        if drawn is not None and is_held_out(drawn) == held_out:
            return drawn


def is_held_out(script: Script) -> bool:
    """Whether a script combines values that training never shows together."""
    return bool(held_out_pairs(script))


def held_out_pairs(script: Script) -> tuple[tuple[str, str], ...]:
    """The pairs of values in a script that training never shows together."""
    return tuple(
        pair
        for thing in script.things
        for pair, kept in (
            ((thing.colour, thing.shape), words.HELD_OUT_COLOUR_SHAPE),
            ((thing.shape, script.motion), words.HELD_OUT_SHAPE_MOTION),
            ((thing.colour, script.motion), words.HELD_OUT_COLOUR_MOTION),
        )
        if pair in kept
    )


def pick(rng: np.random.Generator, choices: object) -> str:
    """One of the names, each as likely."""
    names = list(choices)  # type: ignore[call-overload]
    return str(names[int(rng.integers(len(names)))])


def _draw(rng: np.random.Generator, kind: str) -> Script | None:
    """One attempt at a script of this kind; None if what was drawn could not be seen."""
    shapes = {"solid": list(words.SOLID_SHAPES), "letter": ["letter"]}.get(kind, list(words.FLAT_SHAPES))
    things = [draw_thing(rng, shapes) for _ in range(2 if kind == "pair" else 1)]
    motion, background, style, relation = (
        pick(rng, words.MOTIONS),
        pick(rng, words.BACKGROUNDS),
        "flat",
        "",
    )
    if kind == "solid" and things[0].shape != "sphere" and rng.random() < 0.4:
        motion = "spin"
    if kind == "pair":
        relation = pick(rng, words.RELATIONS)
        motion = pick(rng, words.PAIR_MOTIONS[relation])
    if kind == "style":
        style = pick(rng, [name for name in words.STYLES if name != "flat"])
        if style != "pixel":
            background = pick(rng, words.DARK_BACKGROUNDS if style == "neon" else words.PAPERS)
    drawn = Script(
        things=tuple(things),
        motion=motion,
        background=background,
        style=style,
        relation=relation,
        wording=int(rng.integers(2**31)),
    )
    return drawn if _is_visible(drawn) else None


def draw_thing(rng: np.random.Generator, shapes: list[str]) -> Thing:
    """A thing of any colour with one of these shapes."""
    shape, colour, letter = (
        pick(rng, shapes),
        pick(rng, words.COLOURS),
        pick(rng, words.LETTERS),
    )
    return Thing(shape=shape, colour=colour, letter=letter if shape == "letter" else "")


def _is_visible(script: Script) -> bool:
    things, behind = script.things, words.BACKGROUNDS[script.background]
    if script.motion == "spin" and any(thing.shape in words.ROUND for thing in things):
        return False
    if any(thing.shape in words.SOLID_SHAPES and thing.colour == "black" for thing in things):
        return False  # no shading can be seen on it
    if len(things) == 2 and (things[0].shape == things[1].shape or things[0].colour == things[1].colour):
        return False
    middle = tuple((a + b) / 2 for a, b in zip(behind.top, behind.bottom, strict=True))
    return all(
        math.dist(words.COLOURS[thing.colour].rgb, colour) >= words.CONTRAST
        for thing in things
        for colour in (behind.top, middle, behind.bottom)
    )


def scene(script: Script, seed: int, tilted: bool = False) -> Scene:
    """Draw the sizes, places and speeds that the script leaves open; `tilted`: and the angles of what can tilt."""
    rng = np.random.default_rng(seed)
    objects = _pair(script, rng) if script.relation else (_single(script, rng),)
    stars: tuple[tuple[float, float, float], ...] = ()
    if words.BACKGROUNDS[script.background].stars:
        columns = zip(
            rng.uniform(-ASPECT / 2, ASPECT / 2, 26),
            rng.uniform(-0.5, 0.5, 26),
            rng.uniform(0.006, 0.014, 26),
            strict=True,
        )
        stars = tuple((float(x), float(y), float(radius)) for x, y, radius in columns)
    if tilted:
        objects = tuple(
            item.with_(angle=float(rng.uniform(0, 2 * math.pi))) if can_tilt(item.shape) else item for item in objects
        )
    return Scene(objects=objects, background=script.background, style=script.style, stars=stars)


def _single(script: Script, rng: np.random.Generator) -> Object:
    thing, motion = script.things[0], script.motion
    diameter, jitter_x, jitter_y = (
        rng.uniform(0.48, 0.60),
        rng.uniform(-0.12, 0.12),
        rng.uniform(-0.08, 0.08),
    )
    amount = turns = phase = 0.0
    match motion:
        case "left" | "right":
            amount, jitter_x = rng.uniform(0.60, 0.90), jitter_x / 3
        case "up" | "down":
            diameter = rng.uniform(0.42, 0.50)
            # 85 % of the object stay inside the frame at both ends.
            amount, jitter_y = rng.uniform(0.50, 1 - 0.7 * diameter), 0.0
        case "spin":
            amount = math.radians(rng.uniform(35, 60)) * rng.choice([-1, 1])
        case "grow":
            diameter, amount = rng.uniform(0.33, 0.40), rng.uniform(1.9, 2.2)
        case "shrink":
            amount = 1 / rng.uniform(1.9, 2.2)
            diameter = rng.uniform(0.33, 0.40) / amount
        case "orbit":
            diameter, amount = rng.uniform(0.40, 0.46), rng.uniform(0.20, 0.26)
            jitter_y, turns, phase = (
                0.0,
                rng.uniform(1.0, 1.5) * rng.choice([-1, 1]),
                rng.uniform(0, 1),
            )
        case "bounce":
            diameter, amount = rng.uniform(0.42, 0.50), rng.uniform(0.38, 0.48)
            jitter_y, turns, phase = 0.0, 2.0, rng.uniform(0, 1)
    if thing.shape in ("cube", "pyramid"):
        diameter *= 1.1  # they fill less of their circle
    return Object(
        shape=thing.shape,
        letter=thing.letter,
        rgb=words.COLOURS[thing.colour].rgb,
        diameter=diameter,
        x=jitter_x,
        y=jitter_y,
        motion=motion,
        angle=_angle(thing, rng),
        amount=amount,
        turns=turns,
        phase=phase,
    )


def can_tilt(shape: str) -> bool:
    """Whether a shape has an upright look that another angle changes: flat shapes that are not round, and letters."""
    return shape not in words.ROUND and shape not in words.SOLID_SHAPES


def _angle(thing: Thing, rng: np.random.Generator) -> float:
    """Solids are seen from any side; flat things stand nearly upright."""
    if thing.shape in words.SOLID_SHAPES:
        return float(rng.uniform(0, 2 * math.pi))
    return math.radians(rng.uniform(-6, 6))


def _pair(script: Script, rng: np.random.Generator) -> tuple[Object, ...]:
    beside, motion = script.relation in ("left", "right"), script.motion
    diameter = rng.uniform(0.40, 0.48) if beside else rng.uniform(0.36, 0.40)
    apart = rng.uniform(0.32, 0.40) if beside else rng.uniform(0.23, 0.26)
    middle = rng.uniform(-0.06, 0.06) if beside else rng.uniform(-0.10, 0.10)
    amount, turns, phase = 0.0, 0.0, rng.uniform(0, 1)
    if motion == "spin":
        amount = math.radians(rng.uniform(35, 60)) * rng.choice([-1, 1])
    elif motion == "bounce":
        amount, turns = rng.uniform(0.36, 0.44), 2.0
    elif motion != "still":
        amount = rng.uniform(0.45, 0.55)
    if motion in ("up", "down", "bounce"):
        middle = 0.0
    first = -1 if script.relation in ("left", "above") else 1
    return tuple(
        Object(
            shape=thing.shape,
            rgb=words.COLOURS[thing.colour].rgb,
            diameter=diameter,
            x=side * apart if beside else middle,
            y=middle if beside else side * apart,
            motion=motion,
            angle=_angle(thing, rng),
            amount=amount,
            turns=turns,
            phase=phase,
        )
        for thing, side in zip(script.things, (first, -first), strict=True)
    )
