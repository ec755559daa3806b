"""Make the pictures of docs/images that show mini's videos: `python docs/_pictures.py [NAME ...]`, a few minutes each.

Nothing is selected: prompts are the first of their sets, seed 0, as the pages say.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zoetrope import Cascade
from zoetrope.data.toybox.prompts import SETS, Prompt, combinations
from zoetrope.data.toybox.render import render
from zoetrope.data.toybox.scene import scene
from zoetrope.shapes import VideoShape
from zoetrope.video import Video, contact_sheet, save_image

IMAGES = Path(__file__).parent / "images"
SCENES = 9_100_000  # the true clips of known frames are numbered from here, beyond those of training
CIRCLE = "a blue circle moving to the right on a white background"


def main(names: Sequence[str]) -> None:
    """Make the pictures of these names, or all."""
    for name in names or PICTURES:
        for file, picture in PICTURES[name]().items():
            save_image(IMAGES / file, picture)
            print(IMAGES / file)


def demo() -> dict[str, np.ndarray]:
    """Held-out combinations after ssr2."""
    return {"demo.png": _after_ssr2(combinations(8))}


def wordings() -> dict[str, np.ndarray]:
    """Held-out words after ssr2."""
    return {"wordings.png": _after_ssr2(SETS["wordings"](8))}


def others() -> dict[str, np.ndarray]:
    """Letters, solids, two things and styles, by the original of the base."""
    prompts = [prompt.text for name in ("letters", "solids", "pairs", "styles") for prompt in SETS[name](3)]
    videos = Cascade.from_pretrained("mini", teacher=True).generate(prompts, seed=0, until="base")
    return {"others.png": contact_sheet([_enlarged(video, 4) for video in videos])}


def stages() -> dict[str, np.ndarray]:
    """The seven stages of one video, and a frame of the last in full."""
    cascade = Cascade.from_pretrained("mini")
    rows: list[Video] = []
    for number, stage in enumerate(cascade.spec.stages):
        start = {"video": rows[-1], "after": cascade.spec.stages[number - 1].name} if rows else {}
        rows.append(cascade.generate(CIRCLE, seed=0, until=stage.name, **start))
    last = rows[-1].frames
    sized = [_sized(video, 96, 160) for video in rows]
    return {"stages.png": contact_sheet(sized), "full.png": last[len(last) // 2]}


def known() -> dict[str, np.ndarray]:
    """Videos of true clips' first frames, each under its clip, and of first and last ones."""
    cascade = Cascade.from_pretrained("mini")
    rows: list[Video] = []
    for number, prompt in enumerate(combinations(4)):
        clip = _clip(cascade.spec.stages[0].shape, prompt, SCENES + number)
        first, both = {0: clip.frames[0]}, {0: clip.frames[0], -1: clip.frames[-1]}
        rows.append(clip)
        rows += [cascade.generate(prompt.text, seed=0, until="base", known=given) for given in (first, both)]
    return {"known.png": contact_sheet([_enlarged(video, 4) for video in rows])}


def emoji() -> dict[str, np.ndarray]:
    """Captions as in training, the last three of hands in a tone of skin."""
    known = "owl|frog|turtle|rocket|volcano|birthday cake|red heart|peacock|robot|fire|snowman|bee"
    tones = "thumbs up, light|raised fist, medium|wave, dark"
    names = [*known.split("|"), *(f"{tone} skin tone" for tone in tones.split("|"))]
    videos = Cascade.from_pretrained("emoji").generate([f"an animated emoji of {name}" for name in names], seed=0)
    return {"emoji.png": contact_sheet(videos, 3, 4)}


def _after_ssr2(prompts: Sequence[Prompt]) -> np.ndarray:
    videos = Cascade.from_pretrained("mini").generate([prompt.text for prompt in prompts], seed=0, until="ssr2")
    return contact_sheet([_sized(video, 96, 160) for video in videos])


def _clip(shape: VideoShape, prompt: Prompt, number: int) -> Video:
    frames = render(scene(prompt.script, number), shape)
    return Video((frames * 255).round().astype(np.uint8), shape.fps)


def _enlarged(video: Video, times: int) -> Video:
    return Video(video.frames.repeat(times, axis=1).repeat(times, axis=2), video.fps)


def _sized(video: Video, height: int, width: int) -> Video:
    """Enlarged by whole factors, or reduced by means of blocks."""
    frames, (high, wide) = video.frames, video.frames.shape[1:3]
    if high <= height:
        return _enlarged(video, height // high)
    blocks = frames.reshape(len(frames), height, high // height, width, wide // width, 3)
    return Video(blocks.mean((2, 4)).round().astype(np.uint8), video.fps)


PICTURES = {"demo": demo, "wordings": wordings, "others": others, "stages": stages, "known": known, "emoji": emoji}

if __name__ == "__main__":
    main(sys.argv[1:])
