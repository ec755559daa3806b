"""Pictures for people: many clips on one sheet."""

from collections.abc import Sequence

import numpy as np

from zoetrope.video.value import Video

_GAP = 4
_PAPER = 255


def contact_sheet(videos: Sequence[Video], columns: int = 1, picks: int = 6) -> np.ndarray:
    """One image (H, W, 3) uint8 of clips in `columns`, each a strip of `picks` pictures from its first to its last.

    All clips have the same height and width. Raises ValueError where they do not, and for no clips.
    """
    if not videos or columns < 1 or picks < 1:
        raise ValueError(f"contact_sheet: expected clips, columns and picks, got {len(videos)}, {columns} and {picks}")
    sizes = sorted({video.frames.shape[1:3] for video in videos})
    if len(sizes) > 1:
        raise ValueError(f"contact_sheet: expected clips of one size, got {', '.join(f'{h}x{w}' for h, w in sizes)}")
    picks = min(picks, max(len(video.frames) for video in videos))
    height, width = sizes[0]
    rows = -(-len(videos) // columns)
    strip = picks * (width + 1) - 1
    sheet = np.full((rows * (height + _GAP) + _GAP, columns * (strip + _GAP) + _GAP, 3), _PAPER, np.uint8)
    for number, video in enumerate(videos):
        top = _GAP + number // columns * (height + _GAP)
        left = _GAP + number % columns * (strip + _GAP)
        chosen = np.linspace(0, len(video.frames) - 1, min(picks, len(video.frames))).round().astype(int)
        for place, frame in enumerate(chosen):
            at = left + place * (width + 1)
            sheet[top : top + height, at : at + width] = video.frames[frame]
    return sheet
