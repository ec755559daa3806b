"""A video as a notebook shows it: HTML of bounded size, with the video in it or, of a large one, some pictures."""

import base64
import html
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoetrope.video.sheet import contact_sheet
from zoetrope.video.writing import open_writer, save_image

if TYPE_CHECKING:
    from zoetrope.video.value import Video

MOST = 2**27
"""Values of frames to encode, as many as 640 frames of 256x256 have."""
LARGEST = 8_000_000
"""Bytes of an encoded video to embed; a notebook keeps them."""
WIDEST, PREVIEW, PICKS = 1024, 200, 6
"""Pixels of a picture, pixels and number of those on a sheet of a large video."""
_STYLE = "min-width: 240px; max-width: 100%; image-rendering: pixelated"


def as_html(video: "Video") -> str:
    """A video as HTML: a player of it as VP9, which repeats it; a picture; or pictures of a video that is too large."""
    told, frames = html.escape(repr(video)), video.frames
    if len(frames) > 1 and frames.size <= MOST and len(content := _webm(video)) <= LARGEST:
        source = f"data:video/webm;base64,{base64.b64encode(content).decode('ascii')}"
        return (
            f'<video src="{source}" controls loop muted autoplay playsinline title="{told}" style="{_STYLE}"></video>'
        )
    image = _reduced(frames[:1], WIDEST)[0] if len(frames) == 1 else _strip(video)
    source = f"data:image/png;base64,{base64.b64encode(_png(image)).decode('ascii')}"
    said = "" if len(frames) == 1 else f"<br>{told}: too large to play here; these are {PICKS} of its pictures"
    return f'<img src="{source}" alt="{told}" title="{told}" style="{_STYLE}">{said}'


def _strip(video: "Video") -> np.ndarray:
    """Pictures from the first to the last of a video, side by side."""
    chosen = np.linspace(0, len(video.frames) - 1, PICKS).round().astype(int)
    return contact_sheet([type(video)(_reduced(video.frames[chosen], PREVIEW), video.fps)], picks=PICKS)


def _reduced(frames: np.ndarray, most: int) -> np.ndarray:
    """Frames (F, H, W, 3) of at most so many pixels in height and width."""
    step = -(-max(frames.shape[1:3]) // most)
    return np.ascontiguousarray(frames[:, ::step, ::step])


def _webm(video: "Video") -> bytes:
    with tempfile.TemporaryDirectory(prefix="zoetrope-") as folder:
        path = Path(folder, "video.webm")
        with open_writer(path, video.fps, *video.frames.shape[1:3]) as writer:
            writer.write(video.frames)
        return path.read_bytes()


def _png(image: np.ndarray) -> bytes:
    with tempfile.TemporaryDirectory(prefix="zoetrope-") as folder:
        path = Path(folder, "image.png")
        save_image(path, image)
        return path.read_bytes()
