"""What a report shows of forecasts: numbers by lead time, ranks, spectra, and maps of where errors are."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from zoetrope.fields.colours import coloured
from zoetrope.fields.npz import write_arrays
from zoetrope.files import whole
from zoetrope.metrics.measures import Result
from zoetrope.metrics.report.plots import Curves, bars, lines
from zoetrope.video import Video

SHOWN = 6  # frames of a map
_HEIGHT = 96  # rows that a map is enlarged to, about


def forecast_plots(results: Mapping[str, Result]) -> list[tuple[str, str]]:
    """Plots, each with what it is about, of the results of one measure by model; none of other measures."""
    first = next(iter(results.values())).details
    if "channels" in first:
        return [_by_lead(results, name) for name, row in first["channels"].items() if len(row["by_frame"]) > 1]
    if "thresholds" in first:
        return [_of_threshold(results, name) for name in first["thresholds"]["made"]]
    if "ranks" in first:
        return [_ranks(results, name) for name in first["ranks"]]
    if "spectra" in first:
        return [_spectrum(results, name) for name in first["spectra"]]
    return []


def _by_lead(results: Mapping[str, Result], name: str) -> tuple[str, str]:
    rows = {label: result.details["channels"][name] for label, result in results.items()}
    first = next(iter(rows.values()))
    plain: Curves = {way: row["by_frame"] for way, row in first["plain"].items()}
    curves = {label: row["by_frame"] for label, row in rows.items()}
    unit = f" {first['unit']}" if first["unit"] else ""
    return f"{name}{unit and ','}{unit}, by frame that was not given", lines({**curves, **plain}, unit, "frame")


def _of_threshold(results: Mapping[str, Result], name: str) -> tuple[str, str]:
    details = next(iter(results.values())).details
    curves = {label: result.details["thresholds"]["made"][name]["by_frame"] for label, result in results.items()}
    plain = {way: rows[name]["by_frame"] for way, rows in details["thresholds"].items() if way != "made"}
    about = f"{details['channel']} of at least {name}, by frame that was not given"
    if not any(value is not None for values in (*curves.values(), *plain.values()) for value in values):
        return about, "<p>no events</p>"
    return about, lines({**curves, **plain}, "", "frame")


def _ranks(results: Mapping[str, Result], name: str) -> tuple[str, str]:
    shares = {label: [100 * share for share in result.details["ranks"][name]] for label, result in results.items()}
    longest = max(len(values) for values in shares.values())
    series = {label: [*values, *[None] * (longest - len(values))] for label, values in shares.items()}
    return f"{name}: rank of the truth among the members, from below all", bars(list(map(str, range(longest))), series)


def _spectrum(results: Mapping[str, Result], name: str) -> tuple[str, str]:
    curves = {label: result.details["spectra"][name]["decibels"] for label, result in results.items()}
    return f"{name}: power over that of real clips, by wavenumber", lines(curves, " dB", "wavenumber")


def write_maps(out: Path, maps: Mapping[str, Mapping[str, Mapping[str, Tensor]]]) -> list[tuple[str, str]]:
    """Write what measures found at each place, by model, measure and channel, under `out`.

    The values, in units, are `maps/MODEL/MEASURE.npz`, an array (F, H, W) for each channel; pictures show some frames.
    Gives a caption and the name, relative to `out`, of each picture.
    """
    shown = list[tuple[str, str]]()
    for label, measures in maps.items():
        for measure, channels in measures.items():
            folder = out / "maps" / label
            folder.mkdir(parents=True, exist_ok=True)
            values: dict[str, Any] = {channel: found.float().numpy() for channel, found in channels.items()}
            with whole(folder / f"{measure}.npz") as partial:
                write_arrays(partial, values)
            for channel, one in values.items():
                path = folder / f"{measure}-{channel}.png"
                told = _pictured(one, path)
                shown.append((f"{label}: {measure} of {channel}, {told}", path.relative_to(out).as_posix()))
    return shown


def _pictured(values: np.ndarray, path: Path) -> str:
    """Some frames (F, H, W) side by side, in one range of colours; gives what they show, in words."""
    frames = sorted({round(place) for place in np.linspace(0, len(values) - 1, min(SHOWN, len(values)))})
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    factor = max(1, round(_HEIGHT / values.shape[1]))
    pictures = coloured((values[frames] - low) / (high - low or 1.0), "viridis")
    large = pictures.repeat(factor, 1).repeat(factor, 2)
    edged = np.pad(large, ((0, 0), (0, 0), (0, 4), (0, 0)), constant_values=255)
    Video(np.concatenate(list(edged), axis=1)[None], 1).save(path)
    numbers = ", ".join(str(frame + 1) for frame in frames)
    return f"frames {numbers} of those not given, from {low:.3g} to {high:.3g}"


def maps_shown(maps: Sequence[tuple[str, str]]) -> str:
    """The part of the page with the pictures of maps; nothing without any."""
    figures = "".join(
        f'<figure class="card"><figcaption>{escape(caption)}</figcaption>'
        f'<img src="{escape(name, quote=True)}" alt="" style="width: 100%; image-rendering: pixelated"></figure>'
        for caption, name in maps
    )
    return f'<h2>Maps</h2><div class="plots">{figures}</div>' if figures else ""
