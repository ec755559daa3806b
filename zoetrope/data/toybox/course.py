"""A long toybox clip: its `Course` says what is true at every second, and is drawn at any of them.

Everything is a function of the seconds since the start of the clip, which may last for minutes. Lengths and angles are
those of `zoetrope.data.toybox.scene`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from zoetrope.config import Config
from zoetrope.data.toybox.render import Pictures, PixelGrid, gradient, paint, strew
from zoetrope.data.toybox.scene import ASPECT, Object, Pose, Script, pose, scene
from zoetrope.data.toybox.story import DAYS, WALK, Rgb, Story, mixed, sky
from zoetrope.data.toybox.vocabulary import BACKGROUNDS, COLOURS
from zoetrope.shapes import VideoShape, Window

FADE = 0.4
"""How many seconds a change of colour takes."""
PERIODS = (24.0, 40.0)
"""Shortest and longest seconds from one noon to the next; the recogniser mistakes a shorter dusk for a thing."""
EVENT_BETWEEN = (0.25, 0.75)
"""The shares of the clip between which the colour changes."""


class Truth(NamedTuple):
    """What is true at one moment of a long clip.

    Attributes:
        colour: of the thing; in the first half of a fade the old one, then the new one.
        shape: of the thing.
        letter: which letter it is; empty for other shapes.
        motion: of the thing in the vocabulary's words; a walk is "left" or "right", as it goes at that moment.
        background: one of the vocabulary's, or "day" or "night", whichever is nearer.
        daylight: how much of the day is in the sky, in [0, 1]; 1 for backgrounds without days.
    """

    colour: str
    shape: str
    letter: str
    motion: str
    background: str
    daylight: float


class Course(Config):
    """A long clip, fully determined.

    Attributes:
        story: what it shows.
        seconds: how long it lasts.
        item: the thing in its first colour. Of a walk, `amount` is the speed in heights per second, `phase` in turns
            where it starts.
        moment: the second at which it is halfway into its second colour; None if it keeps its first.
        period: the seconds from one noon to the next.
        noon: when, as a share of the period, the first noon is.
        stars: (x, y, radius) of the night's stars.
    """

    story: Story
    seconds: float
    item: Object
    moment: float | None = None
    period: float = PERIODS[1]
    noon: float = 0.0
    stars: tuple[tuple[float, float, float], ...] = ()

    def colour_at(self, seconds: float) -> str:
        """The name of the thing's colour."""
        return self.story.thing.colour if self.moment is None or seconds < self.moment else self.story.becomes

    def rgb_at(self, seconds: float) -> Rgb:
        """The thing's red, green and blue in [0, 1]."""
        if self.moment is None:
            return self.item.rgb
        share = min(max((seconds - self.moment) / FADE + 0.5, 0.0), 1.0)
        return mixed(self.item.rgb, COLOURS[self.story.becomes].rgb, share)

    def daylight_at(self, seconds: float) -> float:
        """How much of the day is in the sky, from night (0) to day (1); it comes and goes at a steady pace."""
        if self.story.background != DAYS:
            return 1.0
        return abs(2 * ((seconds / self.period - self.noon) % 1) - 1)

    def backdrop_at(self, seconds: float) -> tuple[Rgb, Rgb]:
        """The colours behind the thing at the top and the bottom of the frame."""
        known = BACKGROUNDS.get(self.story.background)
        return (known.top, known.bottom) if known else sky(self.daylight_at(seconds))

    def pose_at(self, seconds: float) -> Pose:
        """Where the thing is."""
        at = pose(self.item, seconds)
        if self.item.motion != WALK:
            return at
        reach = _reach(self.item)
        return at._replace(x=reach * (abs(4 * self._walked(seconds) - 2) - 1))

    def motion_at(self, seconds: float) -> str:
        """What the thing does; a walk is "left" or "right"."""
        if self.item.motion != WALK:
            return self.item.motion
        return "left" if self._walked(seconds) < 0.5 else "right"

    def at(self, seconds: float) -> Truth:
        """All that is true at this second."""
        thing, daylight = self.story.thing, self.daylight_at(seconds)
        behind = self.story.background
        if behind == DAYS:
            behind = "day" if daylight >= 0.5 else "night"
        return Truth(self.colour_at(seconds), thing.shape, thing.letter, self.motion_at(seconds), behind, daylight)

    def _walked(self, seconds: float) -> float:
        """How much of the way from the right side to the left one and back is done, in [0, 1)."""
        return (self.item.phase + self.item.amount * seconds / (4 * _reach(self.item))) % 1


def _reach(item: Object) -> float:
    """How far from the middle a walk turns: where the thing nearly touches the side of the frame."""
    return ASPECT / 2 - item.diameter / 2 - 0.02


def course(story: Story, seed: int, seconds: float) -> Course:
    """The story, acted out in so many seconds with sizes, places, speeds and moments of this seed."""
    rng = np.random.default_rng([seed, 2])
    motion = "still" if story.motion == WALK else story.motion
    behind = "night" if story.background == DAYS else story.background
    acted = scene(Script(things=(story.thing,), motion=motion, background=behind), seed)
    item = acted.objects[0]
    if story.motion == WALK:
        item = item.with_(
            motion=WALK,
            diameter=float(rng.uniform(0.42, 0.50)),
            amount=float(rng.uniform(0.16, 0.26)),
            phase=float(rng.uniform(0, 1)),
        )
    moment = float(rng.uniform(*EVENT_BETWEEN)) * seconds
    return Course(
        story=story,
        seconds=seconds,
        item=item,
        moment=moment if story.becomes else None,
        period=float(rng.uniform(*PERIODS)),
        noon=float(rng.uniform(0, 1)),
        stars=acted.stars,
    )


def draw(
    course: Course, shape: VideoShape, window: Window | None = None, frames: Sequence[int] | None = None
) -> Pictures:
    """The clip (F, H, W, 3), float32 in [0, 1]; frame k shows its second k / fps.

    With a window, that part of the clip, and with `frames`, these of its frames instead of the window's, bit for bit.
    """
    window = window or Window.whole(shape)
    grid = PixelGrid.of(shape, window)
    times = [k / shape.fps for k in (window.frames if frames is None else frames)]
    video = _backdrops(course, grid, times)
    rgb = np.array([course.rgb_at(time) for time in times], dtype=np.float32)[:, None, None]
    paint(video, grid, "flat", course.item, [course.pose_at(time) for time in times], rgb)
    return video


def _backdrops(course: Course, grid: PixelGrid, times: Sequence[float]) -> Pictures:
    """What is behind the thing in each frame (F, H, W, 3)."""
    if course.story.background != DAYS:
        column = gradient(*course.backdrop_at(0.0), grid)
        still = strew(np.repeat(column, len(grid.x), axis=1), course.stars, grid)
        return np.repeat(still[None], len(times), axis=0)
    columns = np.stack([gradient(*course.backdrop_at(time), grid) for time in times])
    # Stars come out in the darker half of the day.
    clear = np.array([max(0.0, 1 - 2 * course.daylight_at(time)) for time in times], dtype=np.float32)
    cover = strew(np.zeros((len(grid.y), len(grid.x), 1), dtype=np.float32), course.stars, grid)
    return columns + clear[:, None, None, None] * cover * (1 - columns)
