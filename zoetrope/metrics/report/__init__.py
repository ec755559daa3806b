"""The report of an evaluation: `results.json` for machines, `index.html` with plots and videos for people."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from torch import Tensor

from zoetrope.config import Config
from zoetrope.files import write_text
from zoetrope.metrics.measures import Result, Unavailable
from zoetrope.metrics.shelf import Shelf
from zoetrope.shapes import VideoShape
from zoetrope.video import Video
from zoetrope.wording import readable_json

REAL = "real"  # the label of the real clips
SHOWN = 12  # prompts whose videos the page shows
_SLOWEST, _FASTEST = 1.0, 120.0  # frames per second of these; simulations have any
_HEIGHT = 180  # videos are enlarged to about this many rows, because players blur small ones


class StageEntry(Config):
    """A stage that ran: its name and shape, and how it was sampled."""

    name: str
    shape: str
    sampling: dict[str, Any]


class ModelEntry(Config):
    """A model and what was measured of it.

    Attributes:
        label: its name in the report; name: as it was asked for; shape: of its videos.
        key: a hash of its weights and settings.
    """

    label: str
    name: str
    shape: VideoShape
    stages: tuple[StageEntry, ...]
    device: str
    dtype: str
    key: str
    results: tuple[Result | Unavailable, ...]


class Report(Config):
    """The contents of a report.

    Attributes:
        settings: of the videos; reference: the real clips, in words; notes: about these.
        prompts: one per video; entries: one per model, with the same measures in the same order.
    """

    version: str
    settings: dict[str, Any]
    reference: str
    notes: tuple[str, ...] = ()
    prompts: tuple[str, ...]
    entries: tuple[ModelEntry, ...]


FoundMaps = Mapping[str, Mapping[str, Mapping[str, Tensor]]]
"""What measures found at each place, by model, measure and channel: (F, H, W), in units."""


def write_report(
    out: Path, report: Report, shelves: Mapping[str, Shelf], maps: FoundMaps = MappingProxyType({})
) -> dict[str, Any]:
    """Write results.json, the videos that are shown, and index.html into `out`; gives what results.json holds.

    `shelves` hold the clips by label; that of the real ones, "real", comes first. Of ensembles the first member is
    shown. Files appear whole or not at all.
    """
    from zoetrope.metrics.report.forecasts import write_maps
    from zoetrope.metrics.report.page import page

    content = report.to_json()
    write_text(out / "results.json", readable_json(content) + "\n")
    count, members = min(SHOWN, len(report.prompts)), report.settings.get("members", 1)
    videos = {
        label: _videos(out, label, shelf, range(0, count * step, step))
        for label, shelf in shelves.items()
        for step in [1 if label == REAL else members]
    }
    write_text(out / "index.html", _encodable(page(report, videos, write_maps(out, maps))))
    return content


def _encodable(text: str) -> str:
    """Text of which names of files that are no UTF-8 are spelt out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _videos(out: Path, label: str, shelf: Shelf, numbers: Iterable[int]) -> list[str]:
    """Write these videos of a shelf, enlarged; gives their names relative to the report."""
    folder = out / "videos" / label
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for number in numbers:
        suffix = ".png" if shelf.shape.frames == 1 else ".mp4"
        path = folder / f"{number:05d}{suffix}"
        _enlarged(shelf.video(number)).save(path)
        names.append(path.relative_to(out).as_posix())
    return names


def _enlarged(video: Video) -> Video:
    """The video with every pixel repeated, until it is large enough to be looked at, at a rate that players show."""
    factor = max(1, round(_HEIGHT / video.frames.shape[1]))
    return Video(np.repeat(np.repeat(video.frames, factor, 1), factor, 2), min(max(video.fps, _SLOWEST), _FASTEST))
