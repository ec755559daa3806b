"""Toybox as an endless numbered list of captioned clips, with a bounded number of different captions."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from zoetrope.data.toybox.captions import caption, image_caption
from zoetrope.data.toybox.framing import Framing
from zoetrope.data.toybox.render import Pictures, render
from zoetrope.data.toybox.scene import SECONDS, Scene, Script, path_length, scene, script
from zoetrope.shapes import VideoShape, Window


def example(
    index: int,
    shape: VideoShape,
    window: Window | None = None,
    frames: Sequence[int] | None = None,
    *,
    scripts: int,
    seed: int = 0,
    motions: frozenset[str] = frozenset(),
    whole: bool = False,
    tilted: bool = False,
) -> tuple[Pictures, str]:
    """The clip (F, H, W, 3), float32 in [0, 1], with this number in the world of this seed, and its caption.

    One of `scripts` scripts is acted out with sizes, places and speeds of its own. A shape of one frame gives
    a picture from a random moment of the clip, with a caption that tells nothing of the motion. Of both, only the
    `window` is drawn, if one is given, and only `frames`, if those are. `motions` leaves out
    all scripts that move otherwise. `whole` frames the whole world, see `zoetrope.data.toybox.framing`. `tilted` things
    stand at any angle.
    """
    framing = Framing.whole(shape) if whole else None
    acted_script, acted, rng = _acted(index, scripts, seed, motions, tilted)
    if shape.frames == 1:
        start = float(rng.uniform(0, SECONDS))
        return render(acted, shape, start, window, frames, framing), image_caption(acted_script, tilted=tilted)
    return render(acted, shape, 0.0, window, frames, framing), caption(acted_script, tilted=tilted)


def told(
    index: int, shape: VideoShape, *, scripts: int, seed: int = 0, motions: frozenset[str] = frozenset()
) -> dict[str, float | str]:
    """The labels and numbers of clip number `index`, of its first thing: shape, colour, background and size.

    Of clips of several frames also the motion and the speed. The size is the diameter at the start, in frame heights;
    the speed that of the centre, the mean over the clip, in frame heights a second.
    """
    acted_script, acted, _ = _acted(index, scripts, seed, motions)
    thing, item = acted_script.things[0], acted.objects[0]
    still: dict[str, float | str] = {
        "shape": thing.shape,
        "colour": thing.colour,
        "background": acted_script.background,
        "size": item.diameter,
    }
    if shape.frames == 1:
        return still
    return {**still, "motion": acted_script.motion, "speed": path_length(item) / SECONDS}


def _acted(
    index: int, scripts: int, seed: int, motions: frozenset[str], tilted: bool = False
) -> tuple[Script, Scene, np.random.Generator]:
    """The script and the scene of clip number `index`, and the generator that drew them."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, index]))
    acted_script = numbered_script(int(rng.integers(scripts)), seed)
    while motions and acted_script.motion not in motions:
        acted_script = numbered_script(int(rng.integers(scripts)), seed)
    return acted_script, scene(acted_script, int(rng.integers(2**63)), tilted), rng


def script_captions(scripts: int, seed: int = 0, tilted: bool = False) -> list[str]:
    """Every caption that `example` can give with these arguments, each once, always in the same order."""
    return list(_captions(scripts, seed, tilted))


@lru_cache(maxsize=2)
def _captions(scripts: int, seed: int, tilted: bool) -> tuple[str, ...]:
    every = (numbered_script(number, seed) for number in range(scripts))
    ways = (caption, image_caption)
    return tuple(dict.fromkeys(way(one, tilted=tilted) for one in every for way in ways))


@lru_cache(maxsize=65536)
def numbered_script(number: int, seed: int = 0) -> Script:
    """The script with this number in the world of this seed."""
    return script(int(np.random.SeedSequence([seed, 1, number]).generate_state(1, np.uint64)[0]))
